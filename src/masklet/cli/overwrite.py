"""Remove an earlier job from the folder that it wrote to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from masklet.files.atomic import remove_leftovers
from masklet.files.lock import Lock
from masklet.files.outputs import output_exists, remove_folder
from masklet.files.translate import translate_write_errors
from masklet.formats import FORMATS, FolderFormat, Format
from masklet.jobs.frame_log import NAME, notes_in

FOLDER = ".masklet"  # in the output: the journal, which knows how far the job is


def clear(out: Path) -> None:
    """Remove an earlier job and what it wrote; all else is left alone, and written over where it has the same name.

    What it wrote is said by its journal, in notes that list `formats`. Of these only folders are removed that the job
    made itself, as its notes list in `created`. The journal goes last, so that a removal that is interrupted is done
    again. Raises `ResourceError` where something cannot be removed.
    """
    folder = out / FOLDER
    if not output_exists(folder / NAME):
        return
    lock = Lock(folder / "lock")
    try:
        notes = [note for note in notes_in(folder) if isinstance(note, Mapping)]
        created = {name for note in notes for name in _names(note, "created", default="formats")}
        for form in (FORMATS[name] for note in notes for name in _names(note, "formats")):
            _remove(form, out, created=form.name in created)
        with translate_write_errors(folder):
            remove_leftovers(folder)
            for state in folder.glob("state-*.session"):
                state.unlink()
            (folder / NAME).unlink()
    finally:
        lock.release()


def created_by(forms: Iterable[Format], out: Path) -> list[str]:
    """The formats whose folders are not there yet, so that a job that writes them creates them."""
    return [form.name for form in forms if isinstance(form, FolderFormat) and not form.place(out).exists()]


def _names(note: Mapping[str, Any], key: str, default: str = "") -> list[str]:
    """The known formats in a note; earlier versions did not list what they created, which was all that they wrote."""
    found = note.get(key, note.get(default, ()))
    return [name for name in found if isinstance(name, str) and name in FORMATS] if isinstance(found, list) else []


def _remove(form: Format, out: Path, *, created: bool) -> None:
    """Remove a format's file, or its folder if the job created it and it is no link to another."""
    place = form.place(out)
    if not isinstance(form, FolderFormat):
        with translate_write_errors(place):
            place.unlink(missing_ok=True)
    elif created and not place.is_symlink():
        remove_folder(place)
