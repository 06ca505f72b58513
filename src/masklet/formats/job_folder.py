"""Job folders: the outputs of a job in its output folder, which `--overwrite` removes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from masklet.files.atomic import remove_partial_files
from masklet.files.error_translation import translate_write_errors
from masklet.files.lock import Lock
from masklet.files.outputs import output_exists, remove_folder
from masklet.formats.format import FileFormat, Format
from masklet.formats.registry import FORMATS
from masklet.jobs.frame_log import FILE_NAME, read_notes

FOLDER = ".masklet"  # the folder of the frame log, inside the output folder


def remove_job(out: Path) -> None:
    """Remove an earlier job and its output; leave all other files in the folder.

    The notes of the frame log list the formats that the job wrote (`formats`) and the folders that it created: those of
    formats (`created`) and of images (`image_folders`). Only these folders are removed. The log is removed last, so
    that an interrupted removal can be repeated.

    Raises:
        ResourceError: A file cannot be removed, or another process has the job's lock.
    """
    folder = out / FOLDER
    if not output_exists(folder / FILE_NAME):
        return
    lock = Lock(folder / "lock")
    try:
        for path in find_created_folders(out):
            remove_folder(path)
        for form in (FORMATS[name] for note in _read_notes(out) for name in _names(note, "formats")):
            if isinstance(form, FileFormat):
                with translate_write_errors(form.path_in(out)):
                    form.path_in(out).unlink(missing_ok=True)
        with translate_write_errors(folder):
            remove_partial_files(folder)
            for state in folder.glob("state-*.session"):
                state.unlink()
            (folder / FILE_NAME).unlink()
    finally:
        lock.release()


def find_created_folders(out: Path) -> list[Path]:
    """Return the folders of formats and of images that an earlier job created, without symbolic links.

    Raises:
        ResourceError: The frame log cannot be read.
    """
    if not output_exists(out / FOLDER / FILE_NAME):
        return []
    folders: dict[Path, None] = {}
    for note in _read_notes(out):
        forms = [FORMATS[name] for name in _names(note, "created", default="formats")]
        names = [name for name in _strings(note.get("image_folders")) if name in _IMAGE_FOLDERS]
        folders |= dict.fromkeys(form.path_in(out) for form in forms if not isinstance(form, FileFormat))
        folders |= dict.fromkeys(out / name for name in names)
    return [folder for folder in folders if not folder.is_symlink()]


def list_new_folders(forms: Iterable[Format], out: Path) -> list[str]:
    """Return the names of the formats whose folders do not exist yet, which a job therefore creates."""
    return [form.name for form in forms if not isinstance(form, FileFormat) and not form.path_in(out).exists()]


def list_image_folders(forms: Iterable[Format]) -> list[str]:
    """Return the folders beside the files of formats into which images of frames are written."""
    return sorted({form.images.folder for form in forms if isinstance(form, FileFormat) and form.images})


_IMAGE_FOLDERS = {*list_image_folders(FORMATS.values())}


def _read_notes(out: Path) -> list[Mapping[str, Any]]:
    return [note for note in read_notes(out / FOLDER) if isinstance(note, Mapping)]


def _names(note: Mapping[str, Any], key: str, default: str = "") -> list[str]:
    """Return the known formats under `key` in a note, or under `default` in logs of version 0.1."""
    return [name for name in _strings(note.get(key, note.get(default, ()))) if name in FORMATS]


def _strings(values: Any) -> list[str]:
    """Return the texts in a list of a note; none if it is not a list."""
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
