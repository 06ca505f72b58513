"""Small image files, written byte by byte where no library writes them, and damage to files."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from numpy.typing import NDArray
from PIL import Image

FORMATS = ("JPEG", "PNG", "WebP", "TIFF", "BMP")


def encode_image(image: Image.Image | NDArray[Any], file_format: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of an image file that Pillow writes."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, file_format, **options)
    return buffer.getvalue()


def png(width: int, height: int, bits: int, color: int, rows: bytes, **chunks: bytes) -> bytes:
    """Return a PNG with the given header and raw rows, which are not checked; `color` is its color type."""
    header = struct.pack(">2I5B", width, height, bits, color, 0, 0, 0)
    stride = len(rows) // max(height, 1)
    lines = b"".join(b"\0" + rows[start : start + stride] for start in range(0, len(rows), max(stride, 1)))
    parts = {"IHDR": header, **chunks, "IDAT": zlib.compress(lines), "IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name.encode(), data) for name, data in parts.items())


def tiff(width: int, height: int, bits: tuple[int, ...], photometric: int, pixels: bytes, **tags: int) -> bytes:
    """Return an uncompressed little-endian TIFF of one strip; `tags` are named t123 for tag 123 and hold one short."""
    depths = struct.pack(f"<{len(bits)}H", *bits)
    entries = {
        256: (4, 1, struct.pack("<I", width)),
        257: (4, 1, struct.pack("<I", height)),
        258: (3, len(bits), depths),
        259: (3, 1, struct.pack("<HH", 1, 0)),
        262: (3, 1, struct.pack("<HH", photometric, 0)),
        273: (4, 1, b""),
        277: (3, 1, struct.pack("<HH", len(bits), 0)),
        278: (4, 1, struct.pack("<I", height)),
        279: (4, 1, struct.pack("<I", len(pixels))),
        **{int(name[1:]): (3, 1, struct.pack("<HH", value, 0)) for name, value in tags.items()},
    }
    after = 8 + 2 + 12 * len(entries) + 4
    extra = depths if len(depths) > 4 else b""
    entries[273] = (4, 1, struct.pack("<I", after + len(extra)))
    if extra:
        entries[258] = (3, len(bits), struct.pack("<I", after))
    directory = b"".join(
        struct.pack("<HHI", tag, type_code, count) + value.ljust(4, b"\0")
        for tag, (type_code, count, value) in sorted(entries.items())
    )
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", 0) + extra + pixels


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
