"""Overwriting: remove an earlier job from its output folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from masklet.files.atomic import remove_partial_files
from masklet.files.error_translation import translate_write_errors
from masklet.files.lock import Lock
from masklet.files.outputs import output_exists, remove_folder
from masklet.formats import FORMATS, FolderFormat, Format
from masklet.jobs.frame_log import FILE_NAME, read_notes

FOLDER = ".masklet"  # the folder of the frame log, inside the output folder


def remove_job(out: Path) -> None:
    """Remove an earlier job and its output; leave all other files in the folder.

    The notes of the frame log list the formats that the job wrote (`formats`) and the folders that it created
    (`created`). Only these folders are removed. The log is removed last, so that an interrupted removal can be
    repeated.

    Raises:
        ResourceError: A file cannot be removed, or another process has the job's lock.
    """
    folder = out / FOLDER
    if not output_exists(folder / FILE_NAME):
        return
    lock = Lock(folder / "lock")
    try:
        notes = [note for note in read_notes(folder) if isinstance(note, Mapping)]
        created = {name for note in notes for name in _names(note, "created", default="formats")}
        for form in (FORMATS[name] for note in notes for name in _names(note, "formats")):
            _remove(form, out, created=form.name in created)
        with translate_write_errors(folder):
            remove_partial_files(folder)
            for state in folder.glob("state-*.session"):
                state.unlink()
            (folder / FILE_NAME).unlink()
    finally:
        lock.release()


def list_new_folders(forms: Iterable[Format], out: Path) -> list[str]:
    """Return the names of the formats whose folders do not exist yet, which a job therefore creates."""
    return [form.name for form in forms if isinstance(form, FolderFormat) and not form.path_in(out).exists()]


def _names(note: Mapping[str, Any], key: str, default: str = "") -> list[str]:
    """Return the known formats under `key` in a note, or under `default` in logs of version 0.1."""
    names = note.get(key, note.get(default, ()))
    return [name for name in names if isinstance(name, str) and name in FORMATS] if isinstance(names, list) else []


def _remove(form: Format, out: Path, *, created: bool) -> None:
    """Remove the file of a format, or its folder if the job created it and it is not a symbolic link."""
    place = form.path_in(out)
    if not isinstance(form, FolderFormat):
        with translate_write_errors(place):
            place.unlink(missing_ok=True)
    elif created and not place.is_symlink():
        remove_folder(place)
