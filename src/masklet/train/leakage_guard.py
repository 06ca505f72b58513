"""Leakage guard: keeps files of benchmarks out of the training data, by their content instead of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from masklet.errors import FormatError, InputNotFound, SettingsError
from masklet.files.hashing import sha256_of_file


class ProtectedFile(NamedTuple):
    """A file of a benchmark, which must not be trained on."""

    sha256: str
    bytes: int
    name: str


def list_files(root: Path) -> str:
    """Return the list of all files in a folder: a line per file with SHA-256, size in bytes and name."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return "".join(f"{sha256_of_file(path)}  {path.stat().st_size}  {path.relative_to(root)}\n" for path in files)


def read_list(path: Path) -> list[ProtectedFile]:
    """Read a list of files as `list_files` makes it. Lines that start with # are comments.

    Raises:
        InputNotFound: There is no such file.
        FormatError: A line is not a SHA-256, a size and a name.
    """
    if not path.is_file():
        message = f"{path}: the list of protected files does not exist"
        raise InputNotFound("input-not-found", message, path=str(path))
    rows = [line.split(maxsplit=2) for line in path.read_text("utf-8").splitlines() if line and line[0] != "#"]
    try:
        return [ProtectedFile(digest, int(size), name) for digest, size, name in rows]
    except ValueError as cause:
        message = f"{path}: every line must be a SHA-256, a size in bytes and a name ({cause})"
        raise FormatError("dataset-broken", message, path=str(path)) from cause


def check_leakage(data: Iterable[Path], protected: Iterable[ProtectedFile]) -> None:
    """Raise `SettingsError` if a protected file is in the data, under any name.

    Only files with the size of a protected file are read. Files in archives are not checked.

    Args:
        data: Folders, or index files that stand for their folders.
        protected: The files to look for.
    """
    known = {entry.sha256: entry for entry in protected}
    sizes = {entry.bytes for entry in known.values()}
    for path in _iter_files(data):
        entry = known.get(sha256_of_file(path)) if path.stat().st_size in sizes else None
        if entry:
            message = f"{path} is the benchmark file {entry.name}; remove it from the training data"
            raise SettingsError("frozen-data", message, path=str(path))


def _iter_files(data: Iterable[Path]) -> Iterator[Path]:
    for path in data:
        root = path if path.is_dir() else path.parent
        yield from (file for file in sorted(root.rglob("*")) if file.is_file())
