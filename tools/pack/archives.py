"""Archive members of package files, including those of nested archives.

`.deb` (an ar archive with a tar archive), `.tgz`, zip (`.sh3f`), Qt resource bundles (`.rcc`) and themes with embedded
JPEG files (`.edj`) are read in memory, one member at a time. Paths in archives cannot do harm: nothing is unpacked to
disk.
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

MAX_MEMBER_BYTES = 256 * 2**20
"""Larger members are skipped."""


class Member(NamedTuple):
    """A file of an archive. The path of a file in a nested archive begins with the path of that archive."""

    path: str
    data: bytes


def read_members(archive: Path, is_needed: Callable[[str], bool]) -> Iterator[Member]:
    """Yield the files of an archive whose paths pass `is_needed`, in the archive's order.

    Nested archives (`.rcc`, `.sh3f`, `.edj`) are always read; `is_needed` gets the paths inside them.

    Raises:
        InputNotFound: There is no such file.
        FormatError: The archive is broken or has an unknown format.
    """
    if not archive.is_file():
        raise InputNotFound("input-not-found", f"{archive}: no such package file", path=str(archive))
    try:
        with archive.open("rb") as stream:
            payload = _open_deb_data(stream, archive) if archive.suffix == ".deb" else stream
            yield from _read_tar(payload, is_needed)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, struct.error) as error:
        message = f"{archive}: the package file is broken ({error}); download it again"
        raise FormatError("unsupported-format", message, path=str(archive)) from error


def _read_tar(stream: IO[bytes], is_needed: Callable[[str], bool]) -> Iterator[Member]:
    with tarfile.open(fileobj=stream, mode="r|*") as tar:
        for entry in tar:
            path = entry.name.removeprefix("./")
            nested = _CONTAINERS.get(Path(path).suffix)
            if not entry.isfile() or entry.size > MAX_MEMBER_BYTES or not (nested or is_needed(path)):
                continue
            handle = tar.extractfile(entry)
            assert handle is not None  # entry.isfile() is true
            data = handle.read()
            if nested:
                yield from (inner for inner in nested(Member(path, data)) if is_needed(inner.path))
            else:
                yield Member(path, data)


def _open_deb_data(stream: IO[bytes], archive: Path) -> IO[bytes]:
    """Seek to the first byte of the `data.tar.*` member of a Debian package and return the stream."""
    if stream.read(8) != b"!<arch>\n":
        raise FormatError(
            "unsupported-format", f"{archive}: not a Debian package; download it again", path=str(archive)
        )
    while header := stream.read(60):
        name, length = header[:16].decode("ascii", "replace").strip(" /"), int(header[48:58])
        if name == "data.tar.zst":
            message = f"{archive}: compressed with zstd, which cannot be read; use the package of Debian bookworm"
            raise FormatError("unsupported-format", message, path=str(archive))
        if name.startswith("data.tar"):
            return stream
        stream.seek(length + length % 2, io.SEEK_CUR)
    message = f"{archive}: a Debian package without data.tar; download it again"
    raise FormatError("unsupported-format", message, path=str(archive))


def _read_zip(member: Member) -> Iterator[Member]:
    with zipfile.ZipFile(io.BytesIO(member.data)) as archive:
        for entry in archive.infolist():
            if not entry.is_dir() and entry.file_size <= MAX_MEMBER_BYTES:
                yield Member(f"{member.path}/{entry.filename}", archive.read(entry))


def _carve_jpegs(member: Member) -> Iterator[Member]:
    """Yield the JPEG files in an Enlightenment theme, found by their start and end markers."""
    start, number = member.data.find(b"\xff\xd8\xff"), 0
    while start >= 0:
        end = member.data.find(b"\xff\xd9", start)
        following = member.data.find(b"\xff\xd8\xff", start + 3)
        while 0 <= end < len(member.data) and 0 <= member.data.find(b"\xff\xd9", end + 2) < max(following, 0):
            end = member.data.find(b"\xff\xd9", end + 2)  # the last end marker before the next start
        yield Member(f"{member.path}/{number}.jpg", member.data[start : end + 2 if end >= 0 else None])
        start, number = following, number + 1


def _read_resource_bundle(member: Member) -> Iterator[Member]:
    """Yield the files of a Qt `.rcc` bundle: a tree of fixed-size records, UTF-16 names, optional compression."""
    data = member.data
    magic, version, tree, payloads, names = struct.unpack_from(">4s4I", data)
    if magic != b"qres":
        raise FormatError(
            "unsupported-format",
            f"{member.path}: not a Qt resource bundle; download the package again",
            path=member.path,
        )
    record_size = 14 if version < 2 else 22

    def read_name(offset: int) -> str:
        length = struct.unpack_from(">H", data, names + offset)[0]
        return data[names + offset + 6 : names + offset + 6 + 2 * length].decode("utf-16-be")

    stack = [(0, member.path)]
    while stack:
        index, folder = stack.pop()
        name_offset, flags = struct.unpack_from(">IH", data, tree + index * record_size)
        path = f"{folder}/{read_name(name_offset)}" if index else folder
        if flags & 2:  # a folder: its children are consecutive records
            count, first = struct.unpack_from(">II", data, tree + index * record_size + 6)
            stack.extend((child, path) for child in range(first + count - 1, first - 1, -1))
        elif not flags & 4:  # 4: compressed with zstd, used by no asset of the sources
            start = payloads + struct.unpack_from(">I", data, tree + index * record_size + 10)[0]
            length = struct.unpack_from(">I", data, start)[0]
            body = data[start + 4 : start + 4 + length]
            yield Member(path, zlib.decompress(body[4:]) if flags & 1 else body)


_CONTAINERS: dict[str, Callable[[Member], Iterator[Member]]] = {
    ".rcc": _read_resource_bundle,
    ".sh3f": _read_zip,
    ".edj": _carve_jpegs,
}
