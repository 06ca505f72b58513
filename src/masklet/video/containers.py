"""Which video files are opened at all, which are refused unopened, and which end too early."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path
from typing import BinaryIO

from masklet.errors import VideoError
from masklet.files.file_type import HEAD_BYTES, detect_file_type
from masklet.files.image_files import IMAGE_TYPES

# The names of FFmpeg's readers. Whatever opens other files is not among them: hls, dash, concat, sdp, image2, ….
FFMPEG_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
VIDEO_KINDS = {
    "an MP4 video",
    "a QuickTime video",
    "a Matroska or WebM video",
    "an AVI video",
    "an MPEG transport stream",
    "an MPEG program stream",
    "a Flash video",
    "a Windows Media file",
    "an Ogg file",
}
_REFERENCES = (b"#extm3u", b"ffconcat", b"[playlist]", b"[reference]", b"<asx", b"<smil", b"<mpd", b"v=0 o=")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:|subfile,,", re.IGNORECASE)


def check_address(source: str) -> None:
    """Raises `VideoError` (`reference-file-refused`) for what is an address and not a path."""
    if _ADDRESS.match(source) and not Path(source).exists():
        message = f"{source} is an address, not a file; open network video with stream(url)"
        raise VideoError("reference-file-refused", message, path=source)


def check_content(handle: BinaryIO, name: str) -> str:
    """Raises `VideoError` for playlists, scripts and pictures; else says what kind of file it is."""
    handle.seek(0)
    head = handle.read(HEAD_BYTES)
    handle.seek(0)
    kind = detect_file_type(head)
    text = re.sub(rb"<\?xml.*?\?>|<!--.*?-->|\s+", b" ", head.lower(), flags=re.DOTALL).lstrip(b"\xef\xbb\xbf ")
    if text.startswith(_REFERENCES):
        message = f"{name} only refers to other files (a playlist or a script); open those files themselves"
        raise VideoError("reference-file-refused", message, path=name)
    if kind in IMAGE_TYPES:
        message = (
            f"{name} is a single picture ({kind}); read it with read_image, or pass a folder or a list of pictures"
        )
        raise VideoError("unsupported-format", message, path=name, kind=kind)
    return kind


def is_truncated(handle: BinaryIO, kind: str) -> bool:
    """Whether the file ends before the place that its own structure names, or goes on with something else."""
    size = handle.seek(0, io.SEEK_END)
    handle.seek(0)
    try:
        if kind in {"an MP4 video", "a QuickTime video"}:
            return _boxes_end(handle, size) != size
        if kind == "an AVI video":
            return _riff_end(handle, size) > size
        if kind == "a Matroska or WebM video":
            return _segment_end(handle) > size
        if kind == "a Flash video":
            return _tags_end(handle, size) != size
        return kind == "an MPEG transport stream" and size % 188 != 0
    except struct.error:
        return True


def _boxes_end(handle: BinaryIO, size: int) -> int:
    """Where the last box of an MP4 ends."""
    place = 0
    while place < size:
        handle.seek(place)
        length, name = struct.unpack(">I4s", handle.read(8))
        if length == 1:
            length = struct.unpack(">Q", handle.read(8))[0]
        if length == 0:
            return size  # the box goes on to the end
        if length < 8 or not re.fullmatch(rb"[\x20-\x7e\xa9]{4}", name):
            break
        place += length
    return place


def _riff_end(handle: BinaryIO, size: int) -> int:
    """Where the last RIFF piece of an AVI ends; large files have several."""
    place = 0
    while place < size:
        handle.seek(place)
        name, length = struct.unpack("<4sI", handle.read(8))
        if name != b"RIFF":
            break
        place += 8 + length + length % 2
    return place


def _tags_end(handle: BinaryIO, size: int) -> int:
    """Where the last tag of a Flash video ends, with its length behind it."""
    place = 13  # after the header and a first length of 0
    while place < size:
        handle.seek(place)
        place += 11 + int.from_bytes(struct.unpack("B3s", handle.read(4))[1], "big") + 4
    return place


def _segment_end(handle: BinaryIO) -> int:
    """Where the segment of a Matroska file ends; 0 where it does not say."""
    _read_number(handle, keep_marker=True)
    length = _read_number(handle)
    handle.seek(length or 0, io.SEEK_CUR)
    _read_number(handle, keep_marker=True)
    length = _read_number(handle)
    return 0 if length is None else handle.tell() + length


def _read_number(handle: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """A number of variable length as EBML has them; None for "unknown"."""
    first = struct.unpack("B", handle.read(1))[0]
    length = 9 - first.bit_length()
    rest = handle.read(length - 1)
    if len(rest) != length - 1:
        raise struct.error("the number is cut")
    value = int.from_bytes(bytes([first]) + rest, "big")
    if keep_marker:
        return value
    value &= (1 << 7 * length) - 1
    return None if value == (1 << 7 * length) - 1 else value
