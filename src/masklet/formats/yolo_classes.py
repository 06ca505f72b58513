"""Classes of a YOLO dataset: the names in its description, `data.yaml`, or the lines of `classes.txt`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from masklet.errors import FormatError, InputNotFound
from masklet.files.json_fields import name_errors
from masklet.files.open_input import open_input
from masklet.files.text_files import decode_text
from masklet.formats.format import Clip
from masklet.masks.labels import read_label

DESCRIPTION = "data.yaml"
LIST = "classes.txt"
_MAX_BYTES = 1 << 20  # of a description or a list

# The first line of a description: the size of the frames, which label files do not have. Version 0.1 wrote it without
# `classes`, and named a class after each object.
_HEADER = re.compile(r'# \{"size": \[(\d{1,9}), (\d{1,9})\](, "classes": "labels")?\}\n')
_OBJECT = re.compile(r"object (\d{1,9})")

_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\n]|'')*'"  # text in YAML
_FLOW_TOKEN = re.compile(rf"{_QUOTED}|[^\]}}\"']+")  # in a list or a mapping in brackets
_FLOW_ITEM = re.compile(rf"(?:(\d{{1,9}})\s*:\s*)?({_QUOTED}|[^\s,\[\]{{}}\"'][^,\]}}\n]*)")
_BLOCK_ITEM = re.compile(r"[ \t]*(?:-[ \t]|(\d{1,9})[ \t]*:)(.*)")  # a line of a list or a mapping


class Classes(NamedTuple):
    """Classes by number.

    Attributes:
        labels: The label of each class, or None.
        size: Size (H, W) of all frames, if masklet wrote it.
        object_ids: The object of each class, in files of version 0.1, where a class was an object.
    """

    labels: Mapping[int, str | None]
    size: tuple[int, int] | None = None
    object_ids: Mapping[int, int] = {}


def encode_description(clip: Clip) -> bytes:
    """Encode `data.yaml` with the class names, and the image size in a comment, since label files do not have it.

    Without `path`, `train` and `val` are relative to the file; with `path: .` they would be so to the working folder.
    """
    lines = [f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for name, number in clip.number_classes().items()]
    height, width = clip.size
    header = json.dumps({"size": [height, width], "classes": "labels"})
    return f"# {header}\ntrain: images\nval: images\nnames:\n{''.join(lines)}".encode()


def read_classes(folder: Path) -> Classes:
    """Read the classes of the dataset in a folder, or of the one whose split the folder is.

    Raises `InputNotFound` if there are neither `data.yaml` nor `classes.txt`, and `FormatError`.
    """
    places = [folder / DESCRIPTION, folder / LIST, folder / "labels" / LIST, folder.parent / DESCRIPTION]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        message = f"{folder}: neither {DESCRIPTION} nor {LIST} names the classes"
        raise InputNotFound("input-not-found", message, path=str(folder))
    with open_input(path) as handle:
        text = decode_text(handle.read(_MAX_BYTES)).replace("\r\n", "\n").replace("\r", "\n")
    with name_errors(path):
        if path.name == LIST:
            return Classes({number: read_label(line) for number, line in enumerate(text.splitlines())})
        return _parse_description(text)


def _parse_description(text: str) -> Classes:
    names, header = _parse_names(text), _HEADER.match(text)
    size = (int(header[1]), int(header[2])) if header else None
    objects = {number: _OBJECT.fullmatch(name) for number, name in names.items()}
    if header and not header[3]:
        return Classes({}, size, {number: int(match[1]) for number, match in objects.items() if match})
    return Classes({number: read_label(name) for number, name in names.items()}, size)


def _parse_names(text: str) -> dict[int, str]:
    """Parse the value of `names`, a list or a mapping from class numbers, in either style of YAML."""
    start = re.search(r"^names[ \t]*:[ \t]*", text, re.MULTILINE)
    if start is None:
        raise FormatError("annotation-broken", "it has no names of classes")
    value = text[start.end() :]
    items = _list_flow_items(value) if value[:1] in ("[", "{") else _list_block_items(value)
    return {int(number or position): _unquote(scalar) for position, (number, scalar) in enumerate(items)}


def _list_flow_items(value: str) -> Iterator[tuple[str, str]]:
    end = 1
    while token := _FLOW_TOKEN.match(value, end):
        end = token.end()
    if value[end : end + 1] not in ("]", "}"):
        raise FormatError("annotation-broken", f"its names of classes cannot be read, {value[:60]!r}")
    yield from _FLOW_ITEM.findall(value[1:end])


def _list_block_items(value: str) -> Iterator[tuple[str, str]]:
    for line in value.splitlines()[1:]:
        match = _BLOCK_ITEM.match(line)
        if match:
            yield match[1] or "", match[2]
        elif line.strip() and not line.lstrip().startswith("#"):
            return


def _unquote(scalar: str) -> str:
    """Return the text of a YAML scalar: quoted, or plain and perhaps followed by a comment."""
    text = scalar.strip()
    quoted = re.match(_QUOTED, text)
    if quoted is None:
        return re.split(r"(?:^|[ \t])#", text, maxsplit=1)[0].strip()
    if text[0] == "'":
        return quoted[0][1:-1].replace("''", "'")
    try:
        return str(json.loads(quoted[0], strict=False))
    except ValueError as cause:
        raise FormatError("annotation-broken", f"the class name {text:.60} cannot be read") from cause
