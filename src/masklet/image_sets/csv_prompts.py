"""CSV files of prompts: a row for each box or click on an object of an image."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from masklet.errors import FormatError, PromptError
from masklet.files.names import check_relative, clean_file_name
from masklet.files.open_input import open_input
from masklet.files.text_files import decode_text
from masklet.prompts import Prompt, box, click

_BOX, _CLICK = ("x0", "y0", "x1", "y1"), ("x", "y")
_COLUMNS = ("image", "object", "label", *_BOX, *_CLICK, "positive")
_BOOLEANS = {**dict.fromkeys(("", "1", "true", "yes"), True), **dict.fromkeys(("0", "false", "no"), False)}
_SEPARATORS = ",;\t"

Row = Mapping[str, str]


def read_csv_prompts(path: Path) -> Iterator[tuple[str, int, Prompt]]:
    """Read the prompts of a CSV file.

    The first line names the columns, in any order: `image`, and `x0, y0, x1, y1` for boxes or `x, y` for clicks, or
    both. `object` is the object id, 1 by default, `label` the name of its class, and `positive` whether a click is on
    the object, 1 by default. A row is one box or one click; the other columns are empty. Rows of one object of an image
    are parts of one prompt. Columns are separated by commas, semicolons or tabs.

    Yields:
        Image, object id and prompt of each row. An image is the relative path of a file.

    Raises:
        InputNotFound: The file is missing or cannot be read.
        FormatError: The file is not of this form; the message has the line.
        PromptError: A prompt is invalid.
    """
    with open_input(path) as handle:
        lines = decode_text(handle.read()).splitlines(keepends=True)
    first = next((line for line in lines if line.strip()), "")
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    header: list[str] = []
    try:
        for cells in reader:
            values = [cell.strip() for cell in cells]
            if not any(values):
                continue
            if not header:
                header = _check_header(values, path)
            else:
                yield _parse_row(values, header, path, f"{path}, line {reader.line_num}")
    except csv.Error as cause:
        _fail(path, f"{path}, line {reader.line_num}", f"cannot be read as CSV ({cause})")
    if not header:
        _fail(path, str(path), f"has no header; its first line names the columns, such as {','.join(_COLUMNS)}")


def _check_header(values: list[str], path: Path) -> list[str]:
    names = [value.lower() for value in values]
    while names and not names[-1]:
        names.pop()
    expected = f"columns are {', '.join(_COLUMNS)}"
    if unknown := [name for name in names if name not in _COLUMNS]:
        _fail(path, f"{path}, line 1", f"unknown column {unknown[0]!r}; {expected}")
    if repeated := [name for name in names if names.count(name) > 1]:
        _fail(path, f"{path}, line 1", f"the column {repeated[0]!r} is repeated")
    if "image" not in names or not any(set(columns) <= set(names) for columns in (_BOX, _CLICK)):
        _fail(path, f"{path}, line 1", "needs the column 'image', and x0, y0, x1, y1 for boxes or x, y for clicks")
    return names


def _parse_row(values: list[str], header: list[str], path: Path, where: str) -> tuple[str, int, Prompt]:
    if len(values) > len(header) and any(values[len(header) :]):
        _fail(path, where, f"{len(values)} values for {len(header)} columns")
    row = dict(zip(header, values, strict=False))
    image = check_relative(clean_file_name(row.get("image", "")), where)
    object_id = _parse_object(row, path, where)
    try:
        prompt = _parse_part(row, path, where)
        return image, object_id, replace(prompt, label=row["label"]) if row.get("label") else prompt
    except PromptError as error:
        raise PromptError(error.code, f"{where}: {error.message}") from error


def _parse_object(row: Row, path: Path, where: str) -> int:
    text = row.get("object", "") or "1"
    if not text.isdecimal() or len(text) > 18 or int(text) < 1:
        _fail(path, where, f"an object is a whole number from 1, got {text[:40]!r}")
    return int(text)


def _parse_part(row: Row, path: Path, where: str) -> Prompt:
    """Return the box or the click of a row."""
    given = [columns for columns in (_BOX, _CLICK) if any(row.get(name) for name in columns)]
    if len(given) != 1:
        what = "a box and a click; write them in two rows" if given else "neither a box nor a click"
        _fail(path, where, f"the row has {what}")
    numbers = [_parse_number(row, name, path, where) for name in given[0]]
    if given[0] is _BOX:
        return box(*numbers)
    positive = row.get("positive", "").lower()
    if positive not in _BOOLEANS:
        _fail(path, where, f"'positive' is 1 or 0, got {positive[:40]!r}")
    return click(*numbers, positive=_BOOLEANS[positive])


def _parse_number(row: Row, name: str, path: Path, where: str) -> float:
    try:
        return float(row.get(name, ""))
    except ValueError:
        _fail(path, where, f"{name!r} is a number of pixels, got {row.get(name, '')[:40]!r}")


def _fail(path: Path, where: str, message: str) -> NoReturn:
    raise FormatError("annotation-broken", f"{where}: {message}", path=str(path))
