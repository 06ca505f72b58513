"""Image files: the suffixes and types that are read, and the natural order of their names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from masklet.files.file_type import HEAD_BYTES, detect_file_type
from masklet.files.open_input import open_input

IMAGE_TYPES = frozenset({"JPEG", "PNG", "WebP", "TIFF", "BMP"})
"""The file types that are read as images, as `kind_of` names them."""

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
IMAGE_SUFFIXES = JPEG_SUFFIXES | {".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"}
"""The suffixes, in lower case, of the files that count as images wherever a folder is read."""

_DIGITS = re.compile(r"(\d{1,1000})")  # Python converts at most 4300 digits by default

NaturalKey = tuple[list[str | tuple[int, str]], str]


def natural_key(name: str) -> NaturalKey:
    """Return a sort key that puts frame10 after frame9 and B1 after a2.

    Numbers are compared by value and letters without regard to case. The name itself decides between names that differ
    in nothing else, so the order never depends on the file system.
    """
    pieces = _DIGITS.split(name)
    return [(int(piece), piece) if number % 2 else piece.lower() for number, piece in enumerate(pieces)], name


def has_image_suffix(path: Path) -> bool:
    """Whether the name of a file ends like that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def is_image(path: Path) -> bool:
    """Whether a file begins like an image. Raises `InputNotFound` where it is empty or cannot be read."""
    with open_input(path) as handle:
        return detect_file_type(handle.read(HEAD_BYTES)) in IMAGE_TYPES


def sort_naturally(paths: Iterable[Path]) -> list[Path]:
    """Sort files by folder, then by name without suffix, then by suffix."""
    return sorted(paths, key=lambda path: (natural_key(str(path.parent)), natural_key(path.stem), path.suffix))


def select_images(paths: Iterable[Path]) -> list[Path]:
    """Return the images of a folder in natural order, which is the order in which a clip is played.

    A file is an image by its suffix, or by its content where no name has such a suffix. Hidden files and folders are
    left out. Raises `InputNotFound` for a file without suffix that cannot be read.
    """
    files = [path for path in paths if not path.name.startswith(".") and path.is_file()]
    named = [path for path in files if has_image_suffix(path)]
    return sort_naturally(named or [path for path in files if path.stat().st_size and is_image(path)])
