"""Which files of a folder are frames, and which frames they are."""

from __future__ import annotations

from pathlib import Path

from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import in_natural_order


def numbered(folder: Path, suffix: str) -> list[tuple[int, Path]]:
    """The files with `suffix` in `folder` by frame, in order.

    Where all names are numbers these are the frames; otherwise names are frames 0, 1, … in the order in which a folder
    is played. Raises `InputNotFound` for a folder that is not there, `FormatError` for one without such files.
    """
    if not folder.is_dir():
        raise InputNotFound("input-not-found", f"{folder}: no such folder", path=str(folder))
    found = [path for path in folder.iterdir() if path.suffix.lower() == suffix and not path.name.startswith(".")]
    if not found:
        raise FormatError("annotation-broken", f"{folder} holds no {suffix} files", path=str(folder))
    if all(path.stem.isdecimal() for path in found):
        return sorted((int(path.stem), path) for path in found)
    return list(enumerate(in_natural_order(found)))
