"""Output folders: checks for existing outputs, atomic creation, and removal of folders that masklet made.

This is the only module that removes folders. It removes folders that the running process made, folders with the name of
a partial folder, and folders that a caller recognizes as masklet's own by a frame log or a run record.
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
from masklet.files.error_translation import translate_write_errors

_PARTIAL_NAME = re.compile(r"\.masklet-[0-9a-f]{16}\.part")


def output_exists(path: Path) -> bool:
    """Return whether there is a file or folder at the path of an output.

    Raises:
        ResourceError: `output-unwritable`. It cannot be checked: its name is too long or a folder is not accessible.
    """
    with translate_write_errors(path):
        return path.exists()


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Make a partial folder that is renamed to `target` when the block ends, and removed when the block fails.

    Args:
        target: The new folder. Its parents are made if missing.

    Yields:
        The partial folder, to write into.

    Raises:
        ResourceError: `output-exists` if `target` exists, `output-unwritable` or `disk-full` if it cannot be made.
    """
    if os.path.lexists(target):
        raise ResourceError("output-exists", f"{target} exists; move it away or choose another folder")
    part = target.with_name(f".masklet-{secrets.token_hex(8)}.part")
    try:  # from before the folder exists, since a signal may raise at any point
        with translate_write_errors(target):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.mkdir()
        yield part
        with translate_write_errors(target):
            part.rename(target)
    except BaseException:
        with contextlib.suppress(ResourceError):
            remove_folder(part)
        raise


def remove_partial_folders(folder: Path) -> None:
    """Remove the partial folders in `folder` that killed processes left; no other process may be writing there."""
    if folder.is_dir():
        for part in folder.iterdir():
            if _PARTIAL_NAME.fullmatch(part.name):
                remove_folder(part)


def remove_folder(folder: Path) -> None:
    """Remove a folder that masklet made, with its content, if it exists. Links in it are removed and not followed.

    Raises:
        ResourceError: `output-unwritable`. The folder cannot be removed, or it is a link, whose target masklet did not
            make.
    """
    if not os.path.lexists(folder):
        return
    if folder.is_symlink():
        raise ResourceError("output-unwritable", f"{folder} is a link and is not removed; remove it or choose another")
    with translate_write_errors(folder):
        shutil.rmtree(folder)
