"""ZIP archive of a PyTorch checkpoint: the byte ranges of its members, which are uncompressed so they can be mapped."""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from masklet.checkpoints.dtypes import ByteArray
from masklet.checkpoints.memory_map import MappedFile
from masklet.errors import CheckpointError

_MAX_DIRECTORY_BYTES = 1 << 20  # the directory of the largest released checkpoint has 0.1 MB
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, length of the name, length of the padding
_ALLOWED_FLAGS = 0x808  # sizes follow the data; the name is UTF-8
_TAIL_BYTES = 66_000  # an intact archive has its end record this close to the end
_DOWNLOAD_AGAIN = "download it again"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the archive.

    Attributes:
        name: Its name.
        start: The position of its first byte in the file.
        stop: The position after its last byte.
        crc: The CRC-32 of its content.
    """

    name: str
    start: int
    stop: int
    crc: int

    def raw(self, file: MappedFile) -> ByteArray:
        """Return the content, without a copy."""
        return file.bytes[self.start : self.stop]


def list_members(file: MappedFile) -> dict[str, Member]:
    """List the members of the archive, without the name of their common folder: `data.pkl`, `data/0`, `byteorder`, …

    Raises:
        CheckpointError: The archive is damaged, is compressed, has overlapping members, unsafe or duplicate names,
            code, or not exactly one `data.pkl`.
    """
    entries, directory_start = _read_directory(file)
    _check_names(file, [entry.filename for entry in entries])
    members = sorted((_locate_member(file, entry) for entry in entries), key=lambda member: member.start)
    for member, limit in zip(members, [*(following.start for following in members[1:]), directory_start], strict=True):
        if member.stop > limit:
            raise file.make_error("checkpoint-bomb", f"the archive member {member.name!r} overlaps the next one")
    root = next(member.name for member in members if _is_pickle(member.name)).removesuffix("data.pkl")
    return {member.name.removeprefix(root): member for member in members if member.name.startswith(root)}


class _BoundedReader(io.RawIOBase):
    """The mapped file for `zipfile`, which reads the whole directory at once; here at most `_MAX_DIRECTORY_BYTES`."""

    def __init__(self, file: MappedFile) -> None:
        super().__init__()
        self.file = file
        self.content: mmap.mmap = file.content

    def seek(self, offset: int, whence: Any = 0) -> int:
        """See `io.RawIOBase`."""
        try:
            self.content.seek(offset, whence)
        except ValueError as cause:
            raise OSError(f"no position {offset}") from cause
        return self.content.tell()

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """See `io.RawIOBase`."""
        remaining = len(self.content) - self.content.tell()
        count = remaining if size is None or size < 0 else min(size, remaining)
        if count > _MAX_DIRECTORY_BYTES:
            message = f"the directory of the archive has {count} bytes; at most {_MAX_DIRECTORY_BYTES} are read"
            raise self.file.make_error("checkpoint-bomb", message)
        return self.content.read(count)


def _read_directory(file: MappedFile) -> tuple[list[zipfile.ZipInfo], int]:
    """Return the entries of the archive's directory and the position where it starts."""
    if b"PK\x05\x06" not in file.content[-_TAIL_BYTES:]:
        message = f"the end of the archive is missing; the file has {len(file.content)} bytes"
        raise file.make_error("checkpoint-truncated", message, hint=_DOWNLOAD_AGAIN)
    try:
        with zipfile.ZipFile(_BoundedReader(file)) as archive:
            return archive.infolist(), archive.start_dir
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OSError) as cause:
        message = f"the ZIP archive is broken: {cause}"
        raise file.make_error("checkpoint-corrupt", message, hint=_DOWNLOAD_AGAIN) from cause


def _check_names(file: MappedFile, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise file.make_error("checkpoint-corrupt", "two members of the archive have the same name")
    for name in names:
        if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
            raise file.make_error("checkpoint-corrupt", f"the archive member {name!r} points outside of the archive")
    if any("/code/" in f"/{name}" or name.endswith("constants.pkl") for name in names):
        message = "a TorchScript program, not a checkpoint; programs are not run"
        raise file.make_error("checkpoint-torchscript", message, hint="save its state_dict() instead")
    pickles = sum(map(_is_pickle, names))
    if pickles != 1:
        listed = ", ".join(map(repr, names[:3])) or "nothing"
        message = f"a ZIP archive with {pickles} files data.pkl instead of 1; it contains {listed}"
        raise file.make_error("checkpoint-unknown-format", message, hint="pass a .pt file")


def _is_pickle(name: str) -> bool:
    return f"/{name}".endswith("/data.pkl")


def _locate_member(file: MappedFile, entry: zipfile.ZipInfo) -> Member:
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        sizes = f"{entry.file_size} bytes to {entry.compress_size}"
        raise file.make_error("checkpoint-bomb", f"the archive member {entry.filename!r} is compressed from {sizes}")
    offset = entry.header_offset
    header = file.content[offset : offset + _LOCAL_HEADER.size] if offset >= 0 else b""
    is_complete = len(header) == _LOCAL_HEADER.size and header.startswith(b"PK\x03\x04")
    if entry.flag_bits & ~_ALLOWED_FLAGS or not is_complete:
        message = f"the header of the archive member {entry.filename!r} is broken"
        raise file.make_error("checkpoint-corrupt", message, hint=_DOWNLOAD_AGAIN)
    _, name_length, padding = _LOCAL_HEADER.unpack(header)
    start = offset + _LOCAL_HEADER.size + name_length + padding
    return Member(entry.filename, start, start + entry.file_size, entry.CRC)
