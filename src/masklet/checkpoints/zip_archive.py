"""The outside of a PyTorch checkpoint: a ZIP archive whose members lie uncompressed, so that they can be mapped."""

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

_MAX_DIRECTORY_BYTES = 1 << 20  # bytes; that of the largest released checkpoint has 0.1 MB
_LOCAL = struct.Struct("<4s22xHH")  # of a member's own header: mark, length of the name, length of the padding
_HARMLESS_FLAGS = 0x808  # sizes follow the data; the name is UTF-8
_TAIL = 66_000  # bytes from the end within which an intact archive has its end record


@dataclass(frozen=True, slots=True)
class Member:
    """A stretch of the file."""

    name: str
    start: int
    stop: int
    crc: int

    def raw(self, file: MappedFile) -> ByteArray:
        """Its bytes, without a copy."""
        return file.bytes[self.start : self.stop]


def list_members(file: MappedFile) -> dict[str, Member]:
    """The members of the archive by their names without the common folder: `data.pkl`, `data/0`, `byteorder`, …

    Raises `CheckpointError` unless there is exactly one `data.pkl`, all members are stored as they are, lie apart from
    each other within the file and have plain, different names, and none of them is code.
    """
    found, table = _directory(file)
    _check_names(file, [info.filename for info in found])
    laid = sorted((_located(file, info) for info in found), key=lambda member: member.start)
    for member, following in zip(laid, [*(m.start for m in laid[1:]), table], strict=True):
        if member.stop > following:
            raise file.make_error("checkpoint-bomb", f"the member {member.name!r} overlaps the next one")
    root = next(name for name in (m.name for m in laid) if _is_pickle(name)).removesuffix("data.pkl")
    return {member.name.removeprefix(root): member for member in laid if member.name.startswith(root)}


class _Frugal(io.RawIOBase):
    """The mapped file for `zipfile`, which reads its whole directory at once: not if that is enormous."""

    def __init__(self, file: MappedFile) -> None:
        super().__init__()
        self.file = file
        self.content: mmap.mmap = file.content

    def seek(self, offset: int, whence: Any = 0) -> int:
        """As of any file."""
        try:
            self.content.seek(offset, whence)
        except ValueError as cause:
            raise OSError(f"no position {offset}") from cause
        return self.content.tell()

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """As of any file."""
        return self.content.tell()

    def read(self, size: int | None = -1) -> bytes:
        """As of any file, up to `MAX_DIRECTORY` bytes."""
        left = len(self.content) - self.content.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > _MAX_DIRECTORY_BYTES:
            raise self.file.make_error(
                "checkpoint-bomb", f"its directory has {wanted} bytes, more than the {_MAX_DIRECTORY_BYTES} read"
            )
        return self.content.read(wanted)


def _directory(file: MappedFile) -> tuple[list[zipfile.ZipInfo], int]:
    """What the archive's directory lists, and where in the file the directory begins."""
    if b"PK\x05\x06" not in file.content[-_TAIL:]:
        raise file.make_error(
            "checkpoint-truncated", f"the end is missing; {len(file.content)} bytes are there", hint="download it again"
        )
    try:
        with zipfile.ZipFile(_Frugal(file)) as archive:
            return archive.infolist(), archive.start_dir
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OSError) as cause:
        raise file.make_error(
            "checkpoint-corrupt", f"the ZIP archive is broken: {cause}", hint="download it again"
        ) from cause


def _check_names(file: MappedFile, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise file.make_error("checkpoint-corrupt", "two members of the archive have the same name")
    for name in names:
        if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
            raise file.make_error("checkpoint-corrupt", f"the member name {name!r} points outside of the archive")
    if any("/code/" in f"/{name}" or name.endswith("constants.pkl") for name in names):
        raise file.make_error(
            "checkpoint-torchscript",
            "a TorchScript program, not a checkpoint; programs are not run",
            hint="save its state_dict() instead",
        )
    pickles = sum(map(_is_pickle, names))
    if pickles != 1:
        listed = ", ".join(map(repr, names[:3])) or "nothing"
        raise file.make_error(
            "checkpoint-unknown-format",
            f"a ZIP archive with {pickles} data.pkl, not 1; it holds {listed}",
            hint="name a .pt file",
        )


def _is_pickle(name: str) -> bool:
    return f"/{name}".endswith("/data.pkl")


def _located(file: MappedFile, info: zipfile.ZipInfo) -> Member:
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise file.make_error(
            "checkpoint-bomb",
            f"the member {info.filename!r} is compressed, {info.compress_size} for {info.file_size} bytes",
        )
    head = file.content[info.header_offset : info.header_offset + _LOCAL.size] if info.header_offset >= 0 else b""
    if info.flag_bits & ~_HARMLESS_FLAGS or len(head) < _LOCAL.size or not head.startswith(b"PK\x03\x04"):
        raise file.make_error(
            "checkpoint-corrupt", f"the header of {info.filename!r} is broken", hint="download it again"
        )
    _, name, padding = _LOCAL.unpack(head)
    start = info.header_offset + _LOCAL.size + name + padding
    return Member(info.filename, start, start + info.file_size, info.CRC)
