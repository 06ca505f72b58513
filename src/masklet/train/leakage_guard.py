"""Pictures that must never be trained on, because models are measured on them: told by their bytes, not their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from masklet.errors import FormatError, InputNotFound, SettingsError
from masklet.files.hashing import sha256_of_file


class Frozen(NamedTuple):
    """A file of a measured set."""

    sha256: str
    bytes: int
    name: str


def listed(root: Path) -> str:
    """The lines of a list of all files below a folder: SHA-256, size in bytes, name; for `read`."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return "".join(f"{sha256_of_file(path)}  {path.stat().st_size}  {path.relative_to(root)}\n" for path in files)


def read(path: Path) -> list[Frozen]:
    """The files of a list; lines that begin with # are for people. Raises `InputNotFound` or `FormatError`."""
    if not path.is_file():
        raise InputNotFound("input-not-found", f"{path}: no such list of frozen files", path=str(path))
    rows = [line.split(maxsplit=2) for line in path.read_text("utf-8").splitlines() if line and line[0] != "#"]
    try:
        return [Frozen(digest, int(size), name) for digest, size, name in rows]
    except ValueError as cause:
        message = f"{path}: every line must be a SHA-256, a size in bytes and a name ({cause})"
        raise FormatError("dataset-broken", message, path=str(path)) from cause


def refuse(data: Iterable[Path], frozen: Iterable[Frozen]) -> None:
    """Raise `SettingsError` if one of the frozen files lies in the data, under whatever name.

    Only files of a size that is in the list are read, so that large sets are checked in no time. What is packed into
    archives is not looked at.
    """
    known = {entry.sha256: entry for entry in frozen}
    sizes = {entry.bytes for entry in known.values()}
    for path in _files(data):
        entry = known.get(sha256_of_file(path)) if path.stat().st_size in sizes else None
        if entry:
            message = f"{path} is {entry.name} of a set that models are measured on; take it out of the training data"
            raise SettingsError("frozen-data", message, path=str(path))


def _files(data: Iterable[Path]) -> Iterator[Path]:
    for path in data:
        root = path if path.is_dir() else path.parent
        yield from (file for file in sorted(root.rglob("*")) if file.is_file())
