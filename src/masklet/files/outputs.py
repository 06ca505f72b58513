"""Outputs: ask what is in the way, write a folder whole or not at all, and remove a folder that masklet made.

This is the only module that removes folders. It removes what the running process made, what carries the name of an
unfinished folder, and what a caller knows by a mark of masklet's own: a journal, or the record of a run.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from masklet.errors import ResourceError
from masklet.files.translate import translate_write_errors

_UNFINISHED = re.compile(r"\.masklet-[0-9a-f]{16}\.part")


def output_exists(path: Path) -> bool:
    """Whether a file or folder is where an output goes.

    Raises `ResourceError` (`output-unwritable`) where the system cannot tell, as for a name that is too long or a
    folder that must not be entered.
    """
    with translate_write_errors(path):
        return path.exists()


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Give a new folder that is called `target` once the block has ended, and is removed if the block fails.

    Folders above `target` are made if missing. Raises `ResourceError`: `output-exists` where `target` is there already,
    `output-unwritable` or `disk-full` where it cannot be made.
    """
    if os.path.lexists(target):
        raise ResourceError("output-exists", f"{target} exists; move it away or choose another folder")
    part = target.with_name(f".masklet-{secrets.token_hex(8)}.part")
    with translate_write_errors(target):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
    try:
        yield part
        with translate_write_errors(target):
            part.rename(target)
    except BaseException:
        with contextlib.suppress(ResourceError):
            remove_folder(part)
        raise


def remove_partial_folders(folder: Path) -> None:
    """Remove the folders in `folder` that a killed `atomic_folder` left; no other process may be writing there."""
    if folder.is_dir():
        for part in folder.iterdir():
            if _UNFINISHED.fullmatch(part.name):
                remove_folder(part)


def remove_folder(folder: Path) -> None:
    """Remove a folder that masklet made, with all that is in it; nothing happens where there is none.

    Links in it are removed and not followed. Raises `ResourceError` where it cannot be removed, and where `folder` is a
    link itself, since the folder that it leads to is not masklet's.
    """
    if not os.path.lexists(folder):
        return
    if folder.is_symlink():
        raise ResourceError("output-unwritable", f"{folder} is a link and is not removed; remove it or choose another")
    with translate_write_errors(folder):
        shutil.rmtree(folder)
