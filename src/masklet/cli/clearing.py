"""Remove an earlier job from the folder that it wrote to."""

from __future__ import annotations

import shutil
from pathlib import Path

from masklet.files.lock import Lock
from masklet.formats import FORMATS, FolderFormat
from masklet.journal import NAME, notes_in

FOLDER = ".masklet"  # in the output: the journal, which knows how far the job is


def clear(out: Path) -> None:
    """Remove an earlier job and what it wrote; all else is left alone, and written over where it has the same name.

    What it wrote is said by its journal, in notes that list `formats`.
    """
    folder = out / FOLDER
    if not (folder / NAME).exists():
        return
    lock = Lock(folder / "lock")
    try:
        written = {name for note in notes_in(folder) for name in note.get("formats", ())}
        for form in (FORMATS[name] for name in written & FORMATS.keys()):
            if isinstance(form, FolderFormat):
                shutil.rmtree(form.place(out), ignore_errors=True)
            else:
                form.place(out).unlink(missing_ok=True)
        for path in folder.iterdir():
            if path.name != "lock":
                path.unlink()
    finally:
        lock.release()
