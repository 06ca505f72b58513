"""Video containers: the supported formats, the refusal of files that reference others, and truncated files."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path
from typing import BinaryIO

from masklet.errors import VideoError
from masklet.files.file_type import HEAD_BYTES, detect_file_type
from masklet.files.image_files import IMAGE_TYPES

FFMPEG_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
"""FFmpeg's names of the supported formats, without those that open other files: hls, dash, concat, sdp, image2, …"""

VIDEO_TYPES = frozenset(
    {
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
)
"""The supported file types, as `detect_file_type` names them."""

_REFERENCES = (b"#extm3u", b"ffconcat", b"[playlist]", b"[reference]", b"<asx", b"<smil", b"<mpd", b"v=0 o=")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:|subfile,,", re.IGNORECASE)


def check_address(source: str) -> None:
    """Raise `VideoError` (`reference-file-refused`) if `source` is an address and not a path."""
    if _ADDRESS.match(source) and not Path(source).exists():
        message = f"{source} is an address, not a file; open network video with masklet.stream(url)"
        raise VideoError("reference-file-refused", message, path=source)


def check_content(handle: BinaryIO, name: str) -> str:
    """Check that a file neither references other files nor is an image.

    Args:
        handle: The file. The check resets its position to 0.
        name: The name of the file, for messages.

    Returns:
        The type of the file, as `detect_file_type` names it. It may be of another type than a video.

    Raises:
        VideoError: `reference-file-refused` for a playlist or script, `unsupported-format` for an image.
    """
    handle.seek(0)
    head = handle.read(HEAD_BYTES)
    handle.seek(0)
    file_type = detect_file_type(head)
    text = re.sub(rb"<\?xml.*?\?>|<!--.*?-->|\s+", b" ", head.lower(), flags=re.DOTALL).lstrip(b"\xef\xbb\xbf ")
    if text.startswith(_REFERENCES):
        message = f"{name} is a playlist or a script that references other files; open those files instead"
        raise VideoError("reference-file-refused", message, path=name)
    if file_type in IMAGE_TYPES:
        message = f"{name} is one image ({file_type}), not a video"
        hint = "read it with read_image, or pass a folder or a list of images"
        raise VideoError("unsupported-format", message, hint=hint, path=name, kind=file_type)
    return file_type


def is_truncated(handle: BinaryIO, file_type: str) -> bool:
    """Return whether a file ends before the position that its structure states, or continues with other data."""
    size = handle.seek(0, io.SEEK_END)
    handle.seek(0)
    try:
        if file_type in {"an MP4 video", "a QuickTime video"}:
            return _find_end_of_boxes(handle, size) != size
        if file_type == "an AVI video":
            return _find_end_of_riff(handle, size) > size
        if file_type == "a Matroska or WebM video":
            return _find_end_of_segment(handle) > size
        if file_type == "a Flash video":
            return _find_end_of_tags(handle, size) != size
        return file_type == "an MPEG transport stream" and size % 188 != 0
    except struct.error:
        return True


def _find_end_of_boxes(handle: BinaryIO, size: int) -> int:
    """Find the end of the last box of an MP4 file."""
    position = 0
    while position < size:
        handle.seek(position)
        length, name = struct.unpack(">I4s", handle.read(8))
        if length == 1:
            length = struct.unpack(">Q", handle.read(8))[0]
        if length == 0:
            return size  # the box extends to the end of the file
        if length < 8 or not re.fullmatch(rb"[\x20-\x7e\xa9]{4}", name):
            break
        position += length
    return position


def _find_end_of_riff(handle: BinaryIO, size: int) -> int:
    """Find the end of the last RIFF chunk of an AVI file. Files of more than 1 GB have several."""
    position = 0
    while position < size:
        handle.seek(position)
        name, length = struct.unpack("<4sI", handle.read(8))
        if name != b"RIFF":
            break
        position += 8 + length + length % 2
    return position


def _find_end_of_tags(handle: BinaryIO, size: int) -> int:
    """Find the end of the last tag of a Flash video, with the length that follows it."""
    position = 13  # after the header and a first length of 0
    while position < size:
        handle.seek(position)
        position += 11 + int.from_bytes(struct.unpack("B3s", handle.read(4))[1], "big") + 4
    return position


def _find_end_of_segment(handle: BinaryIO) -> int:
    """Find the end of the segment of a Matroska file. Returns 0 if the file does not state it."""
    _read_ebml_number(handle, keep_marker=True)
    length = _read_ebml_number(handle)
    handle.seek(length or 0, io.SEEK_CUR)
    _read_ebml_number(handle, keep_marker=True)
    length = _read_ebml_number(handle)
    return 0 if length is None else handle.tell() + length


def _read_ebml_number(handle: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """Read an EBML number of variable length. Returns None for "unknown"."""
    first = struct.unpack("B", handle.read(1))[0]
    length = 9 - first.bit_length()
    rest = handle.read(length - 1)
    if len(rest) != length - 1:
        raise struct.error("the number is truncated")
    value = int.from_bytes(bytes([first]) + rest, "big")
    if keep_marker:
        return value
    value &= (1 << 7 * length) - 1
    return None if value == (1 << 7 * length) - 1 else value
