"""Image files: the suffixes and types that are read, and natural sort of their names."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from masklet.files.file_type import HEAD_BYTES, detect_file_type
from masklet.files.open_input import open_input

IMAGE_TYPES = frozenset({"JPEG", "PNG", "WebP", "TIFF", "BMP"})
"""File types that are read as images, as `detect_file_type` names them."""

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
IMAGE_SUFFIXES = JPEG_SUFFIXES | {".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"}
"""Suffixes, in lower case, of the files that are images wherever a folder is read."""

_WILDCARDS = "*?["
_DIGITS = re.compile(r"(\d{1,1000})")  # Python converts at most 4300 digits by default

NaturalKey = tuple[list[str | tuple[int, str]], str]


def natural_key(name: str) -> NaturalKey:
    """Return a sort key that puts frame10 after frame9 and B1 after a2.

    Numbers are compared by value and letters without case. Names that are equal otherwise are compared as they are, so
    the order never depends on the file system.
    """
    parts = _DIGITS.split(name)
    return [(int(part), part) if number % 2 else part.lower() for number, part in enumerate(parts)], name


def has_image_suffix(path: Path) -> bool:
    """Return whether a file has the suffix of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_image(path: Path) -> bool:
    """Return whether the content of a file is an image. Raises `InputNotFound` if it is empty or unreadable."""
    with open_input(path) as handle:
        return detect_file_type(handle.read(HEAD_BYTES)) in IMAGE_TYPES


def sort_naturally(paths: Iterable[Path]) -> list[Path]:
    """Sort files by folder, then by name without suffix, then by suffix."""
    return sorted(paths, key=lambda path: (natural_key(str(path.parent)), natural_key(path.stem), path.suffix))


def has_wildcards(text: str) -> bool:
    """Return whether a text has a wildcard of patterns."""
    return any(wildcard in text for wildcard in _WILDCARDS)


def is_pattern(source: str) -> bool:
    """Return whether a source is a pattern such as `frames/*.png`, and not the path of a file or folder."""
    return has_wildcards(source) and not Path(source).exists()


def match_pattern(pattern: str) -> list[Path]:
    """Return the files and folders that match a pattern, in natural order. `**` stands for any folders."""
    return sort_naturally(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207 - pathlib accepts no absolute patterns


def select_images(paths: Iterable[Path]) -> list[Path]:
    """Select the images among the entries of a folder and sort them as the frames of a clip.

    Files with the suffix of an image are images. If there are none, the content of each file decides. Hidden files and
    folders are skipped.

    Raises:
        InputNotFound: The content of a file has to be read and cannot be.
    """
    files = [path for path in paths if not path.name.startswith(".") and path.is_file()]
    named = [path for path in files if has_image_suffix(path)]
    return sort_naturally(named or [path for path in files if path.stat().st_size and is_image(path)])
