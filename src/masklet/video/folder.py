"""Which files of a folder are the frames of a video, and in what order?"""

from __future__ import annotations

import glob
import re
from itertools import pairwise
from pathlib import Path

from masklet.errors import InputNotFound, VideoError
from masklet.files.file_type import HEAD, kind_of

_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib"}
_SIGNS = "*?["  # of a pattern
_KINDS = {"JPEG", "PNG", "WebP", "TIFF", "BMP"}


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order: by their suffix, or by content where no name has such a suffix.

    Hidden files, folders and other files are left out. Raises `VideoError`: `video-no-frames` without pictures,
    `frames-inconsistent` for two of the same name with different suffixes; `InputNotFound`.
    """
    try:
        files = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
    except OSError as cause:
        raise InputNotFound("input-unreadable", f"{folder} cannot be read: {cause.strerror}") from cause
    named = [path for path in files if path.suffix.lower() in _SUFFIXES]
    return _ordered(named or [path for path in files if _is_picture(path)], str(folder))


def pictures_like(pattern: str) -> list[Path]:
    """The files that match a pattern such as `frames/*.png`, in natural order. Raises like `pictures_in`."""
    found = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 - pathlib's takes no absolute patterns
    return _ordered([path for path in found if path.is_file()], pattern)


def pictures_of(source: str) -> list[Path] | None:
    """The pictures that a folder or a pattern means, as `pictures_in` and `pictures_like` say; None for one file."""
    if any(sign in source for sign in _SIGNS) and not Path(source).exists():
        return pictures_like(source)
    return pictures_in(Path(source)) if Path(source).is_dir() else None


def name_of(source: Path) -> str:
    """What a video is called: its file or folder, of a pattern the folder that it is in; without suffix."""
    if source.exists():
        return source.resolve().stem
    plain = (part.name for part in source.absolute().parents if not any(sign in part.name for sign in _SIGNS))
    return next(plain, "") or "video"


def natural(name: str) -> list[str | tuple[int, str]]:
    """A key that puts frame 10 after frame 9."""
    pieces = re.split(r"(\d+)", name)
    return [(int(piece), piece) if number % 2 else piece.lower() for number, piece in enumerate(pieces)]


def _ordered(paths: list[Path], name: str) -> list[Path]:
    if not paths:
        raise VideoError("video-no-frames", f"{name} holds no pictures", path=name)
    ordered = sorted(paths, key=lambda path: (natural(str(path.parent)), natural(path.stem), path.suffix))
    for one, other in pairwise(ordered):
        if one.with_suffix("") == other.with_suffix(""):
            message = f"{one.name} and {other.name} would both be the same frame; put masks into another folder"
            raise VideoError("frames-inconsistent", message, path=name)
    return ordered


def _is_picture(path: Path) -> bool:
    with path.open("rb") as handle:
        return kind_of(handle.read(HEAD)) in _KINDS
