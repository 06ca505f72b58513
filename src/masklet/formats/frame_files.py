"""Frame files of a folder and their indices."""

from __future__ import annotations

from pathlib import Path

from masklet.errors import FormatError, InputNotFound
from masklet.files.image_files import sort_naturally
from masklet.files.junk_files import skip_junk


def list_frames(folder: Path, suffix: str, exclude: str = "") -> list[tuple[int, Path]]:
    """List the files with `suffix` in `folder` as (frame index, path), in order.

    If all names are numbers, these are the indices. Otherwise the files are frames 0, 1, … in natural order. The file
    named `exclude`, in any case of letters, and files that are no data are skipped.

    Raises:
        InputNotFound: The folder does not exist.
        FormatError: The folder has no such files.
    """
    if not folder.is_dir():
        raise InputNotFound("input-not-found", f"{folder}: no such folder", path=str(folder))
    entries = skip_junk(folder.iterdir())
    paths = [path for path in entries if path.suffix.lower() == suffix and path.name.lower() != exclude]
    if not paths:
        raise FormatError("annotation-broken", f"{folder} has no {suffix} files", path=str(folder))
    if all(path.stem.isdecimal() for path in paths):
        return sorted((int(path.stem), path) for path in paths)
    return list(enumerate(sort_naturally(paths)))
