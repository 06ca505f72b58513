"""Annotation files in the opened folders, from which annotations can be imported."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from masklet.files.image_files import sort_naturally

_SUFFIXES = frozenset({".json", ".xml", ".npz"})
_MAX_FILES = 1000


def list_annotation_files(folders: Iterable[Path], project: Path) -> list[Path]:
    """List the files that may hold annotations, in folders and the folders in them.

    Args:
        folders: The opened folders.
        project: The folder of the project, which is left out.
    """
    files: dict[Path, None] = {}
    for folder in folders:
        for inner in (folder, *(entry for entry in _list(folder) if entry.is_dir() and not entry.is_symlink())):
            if os.path.realpath(inner) != os.path.realpath(project):
                files.update(dict.fromkeys(filter(_is_annotation_file, _list(inner))))
    return [*files][:_MAX_FILES]


def _list(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from sort_naturally(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _is_annotation_file(path: Path) -> bool:
    return path.suffix.lower() in _SUFFIXES and path.is_file() and not path.is_symlink()
