"""Labels of objects, the names of their classes: in the text of PNG files, and numbered as classes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from masklet.errors import FormatError, PromptError
from masklet.prompts import check_label

UNLABELED = "object"  # the class of objects without a label in files that give every object a class
_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK = "masklet:labels"  # keyword of the text chunk


def read_label(value: Any) -> str | None:
    """Return a label that a file has; None if it is missing, empty or `UNLABELED`.

    Raises:
        FormatError: `annotation-broken`. The value is not a label.
    """
    if value is None or (isinstance(value, str) and value.strip() in ("", UNLABELED)):
        return None
    try:
        return check_label(value)
    except PromptError as error:
        raise FormatError("annotation-broken", error.message) from error


def number_classes(labels: Iterable[str | None], first: int = 0) -> dict[str, int]:
    """Number the distinct labels in order, from `first`; None is `UNLABELED`, the last class."""
    given = list(labels)
    names = dict.fromkeys(label for label in given if label and label != UNLABELED)
    if not all(given) or UNLABELED in given:
        names[UNLABELED] = None
    return {name: number for number, name in enumerate(names, start=first)}


def make_png_text(labels: Mapping[int, str | None]) -> PngInfo | None:
    """Make the text chunk of a PNG file with labels, JSON by the value of the object's pixels. None without labels."""
    given = {str(value): label for value, label in labels.items() if label}
    if not given:
        return None
    text = PngInfo()
    text.add_text(_CHUNK, json.dumps(given))
    return text


def read_png_labels(handle: BinaryIO) -> dict[int, str]:
    """Read the labels in the text chunk of an open PNG file, by the value of the object's pixels; {} without one.

    Raises:
        FormatError: `annotation-broken`. The chunk is not as `make_png_text` wrote it.
    """
    if handle.read(len(_PNG)) != _PNG:
        return {}
    handle.seek(0)
    with Image.open(handle, formats=["PNG"]) as image:
        text = image.info.get(_CHUNK)
    try:
        labels = {} if text is None else {int(key): read_label(label) for key, label in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as cause:
        raise FormatError("annotation-broken", f"the labels in its text chunk are broken ({cause})") from cause
    return {value: label for value, label in labels.items() if label}
