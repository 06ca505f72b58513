"""What is inside a package file: every member's path and bytes, containers within containers included.

`.deb` (ar around a tar), `.tgz`, zip (`.sh3f`), Qt resource bundles (`.rcc`) and themes with embedded JPEGs (`.edj`)
are read in memory, one member at a time; nothing is unpacked to disk, so no path in an archive can point anywhere.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from masklet.errors import FormatError, InputNotFound

MAX_MEMBER = 256 * 2**20
"""No asset is larger than this many bytes; a member that claims to be is refused."""


class Member(NamedTuple):
    """One file of an archive; a file inside a nested container has the container's path as a folder."""

    path: str
    data: bytes


def members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    """Every file of `archive` whose path passes `wanted`, in the archive's order.

    Nested containers (`.rcc`, `.sh3f`, `.edj`) are always looked into; `wanted` sees the paths inside them.

    Raises `InputNotFound` for a missing file, `FormatError` for an archive that is broken or of an unknown kind.
    """
    if not archive.is_file():
        raise InputNotFound("input-not-found", f"{archive}: no such package file", path=str(archive))
    try:
        with archive.open("rb") as stream:
            payload = _data_of_deb(stream, archive) if archive.suffix == ".deb" else stream
            yield from _tar(payload, wanted)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        message = f"{archive}: the package file is broken ({error}); download it again"
        raise FormatError("unsupported-format", message, path=str(archive)) from error


def _tar(stream: IO[bytes], wanted: Callable[[str], bool]) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r|*") as tar:
        for entry in tar:
            path = entry.name.removeprefix("./")
            nested = _CONTAINERS.get(Path(path).suffix)
            if not entry.isfile() or entry.size > MAX_MEMBER or not (nested or wanted(path)):
                continue
            handle = tar.extractfile(entry)
            assert handle is not None  # entry.isfile() is true
            data = handle.read()
            if nested:
                yield from (inner for inner in nested(Member(path, data)) if wanted(inner.path))
            else:
                yield Member(path, data)


def _data_of_deb(stream: IO[bytes], archive: Path) -> IO[bytes]:
    """The `data.tar.*` member of a Debian package, as a stream that starts at its first byte."""
    if stream.read(8) != b"!<arch>\n":
        raise FormatError("unsupported-format", f"{archive}: not a Debian package", path=str(archive))
    while header := stream.read(60):
        name, length = header[:16].decode("ascii", "replace").strip(" /"), int(header[48:58])
        if name == "data.tar.zst":
            message = f"{archive}: packed with zstd, which tarfile cannot read; take the package of Debian bookworm"
            raise FormatError("unsupported-format", message, path=str(archive))
        if name.startswith("data.tar"):
            return stream
        stream.seek(length + length % 2, io.SEEK_CUR)
    raise FormatError("unsupported-format", f"{archive}: a Debian package without data.tar", path=str(archive))


def _zip(member: Member) -> Iterator[Member]:
    with zipfile.ZipFile(io.BytesIO(member.data)) as archive:
        for entry in archive.infolist():
            if not entry.is_dir() and entry.file_size <= MAX_MEMBER:
                yield Member(f"{member.path}/{entry.filename}", archive.read(entry))


def _embedded_jpegs(member: Member) -> Iterator[Member]:
    """JPEG streams carved out of an Enlightenment theme at their start and end markers."""
    start, number = member.data.find(b"\xff\xd8\xff"), 0
    while start >= 0:
        end = member.data.find(b"\xff\xd9", start)
        following = member.data.find(b"\xff\xd8\xff", start + 3)
        while 0 <= end < len(member.data) and 0 <= member.data.find(b"\xff\xd9", end + 2) < max(following, 0):
            end = member.data.find(b"\xff\xd9", end + 2)  # the last end marker before the next start
        yield Member(f"{member.path}/{number}.jpg", member.data[start : end + 2 if end >= 0 else None])
        start, number = following, number + 1


def _resource_bundle(member: Member) -> Iterator[Member]:
    """A Qt `.rcc`: a tree of fixed-size records, names in UTF-16, payloads optionally deflated."""
    data = member.data
    magic, version, tree, payloads, names = struct.unpack_from(">4s4I", data)
    if magic != b"qres":
        raise FormatError("unsupported-format", f"{member.path}: not a Qt resource bundle", path=member.path)
    record_size = 14 if version < 2 else 22

    def name_at(offset: int) -> str:
        length = struct.unpack_from(">H", data, names + offset)[0]
        return data[names + offset + 6 : names + offset + 6 + 2 * length].decode("utf-16-be")

    stack = [(0, member.path)]
    while stack:
        index, folder = stack.pop()
        name_offset, flags = struct.unpack_from(">IH", data, tree + index * record_size)
        path = f"{folder}/{name_at(name_offset)}" if index else folder
        if flags & 2:  # a folder: its children are consecutive records
            count, first = struct.unpack_from(">II", data, tree + index * record_size + 6)
            stack.extend((child, path) for child in range(first + count - 1, first - 1, -1))
        elif not flags & 4:  # 4: compressed with zstd, which no asset of ours is
            start = payloads + struct.unpack_from(">I", data, tree + index * record_size + 10)[0]
            length = struct.unpack_from(">I", data, start)[0]
            body = data[start + 4 : start + 4 + length]
            yield Member(path, zlib.decompress(body[4:]) if flags & 1 else body)


_CONTAINERS: dict[str, Callable[[Member], Iterator[Member]]] = {
    ".rcc": _resource_bundle,
    ".sh3f": _zip,
    ".edj": _embedded_jpegs,
}
