"""Frame files of a folder and their indices."""

from __future__ import annotations

from pathlib import Path

from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import sort_naturally


def list_frames(folder: Path, suffix: str, exclude: str = "") -> list[tuple[int, Path]]:
    """List the files with `suffix` in `folder` as (frame index, path), in order.

    If all names are numbers, these are the indices. Otherwise the files are frames 0, 1, … in natural order. The file
    named `exclude` and hidden files are skipped.

    Raises:
        InputNotFound: The folder does not exist.
        FormatError: The folder has no such files.
    """
    if not folder.is_dir():
        raise InputNotFound("input-not-found", f"{folder}: no such folder", path=str(folder))
    entries = (path for path in folder.iterdir() if path.suffix.lower() == suffix and path.name != exclude)
    paths = [path for path in entries if not path.name.startswith(".")]
    if not paths:
        raise FormatError("annotation-broken", f"{folder} has no {suffix} files", path=str(folder))
    if all(path.stem.isdecimal() for path in paths):
        return sorted((int(path.stem), path) for path in paths)
    return list(enumerate(sort_naturally(paths)))
