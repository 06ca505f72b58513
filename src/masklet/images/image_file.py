"""Image files: opened by Pillow, checked before decoding, decoded and turned upright."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, BinaryIO

from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from masklet.errors import ImageError, InputNotFound, MaskletError, ResourceError, warn
from masklet.files.error_translation import translate_errors
from masklet.files.file_type import HEAD_BYTES, detect_file_type
from masklet.files.open_input import open_input
from masklet.images.colors import DEEP, DecodedImage
from masklet.images.in_memory import check_sides
from masklet.images.jpeg_scans import has_excessive_scans
from masklet.images.tiff import TiffFile, reopen, silence_libtiff
from masklet.images.truncation import is_truncated

MAX_PIXELS = 178_956_970  # 512 MiB of RGB; the limit of Pillow

# Each format is opened by its own class, since the formats that Image.open accepts are a setting of the process.
_OPENERS: dict[str, Callable[[IO[bytes]], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}
_PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError, ArithmeticError),
    *(RuntimeError, AssertionError, struct.error, zlib.error),
)
_UNSUPPORTED = re.compile(r"unknown pixel mode|unknown data organization|cannot handle|unsupported", re.IGNORECASE)
_UNSIGNED_LAYOUTS = {"I;32", "I;32N", "I;32B"}
_SUBFILE, _PHOTOMETRIC, _ORIENTATION, _DNG_VERSION = 254, 262, 274, 50706  # tags of TIFF and EXIF
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def describe_source(source: Any) -> str:
    """Return the name of a source in messages: its path, or "the image"."""
    return str(source) if isinstance(source, str | os.PathLike) else "the image"


def open_source(source: Any) -> BinaryIO:
    """Open a path, bytes or a binary file at its beginning. Raises `InputNotFound` or `ImageError`."""
    if isinstance(source, str | os.PathLike):
        return open_input(source)
    if hasattr(source, "read"):
        source = source.read()
    if not isinstance(source, bytes | bytearray | memoryview):
        kind = type(source).__name__
        message = f"an image must be a path, bytes, a binary file, an array, a PIL image or a tensor, got {kind}"
        raise ImageError("bad-image", message)
    if not len(source):
        raise InputNotFound("input-empty", "the image is empty; it holds no bytes")
    return io.BytesIO(source)


def decode_image(handle: BinaryIO, name: str, max_pixels: int) -> DecodedImage:
    """Decode the image in an open file. Raises `ImageError`."""
    handle.seek(0)
    kind = detect_file_type(handle.read(HEAD_BYTES))
    if kind not in _OPENERS:
        message = f"{name} is {kind}; images must be JPEG, PNG, WebP, TIFF or BMP"
        raise ImageError("unsupported-format", message, path=name, kind=kind)
    handle.seek(0)
    with translate_image_errors(name, lambda: is_truncated(handle, kind)):
        return decode_opened(_OPENERS[kind](handle), name, max_pixels)


def decode_opened(image: ImageFile.ImageFile, name: str, max_pixels: int) -> DecodedImage:
    """Check the header of an opened image, decode it and turn it upright. Raises `ImageError`."""
    check_size(image.size, name, max_pixels)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        image = reopen(image)
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.tile and has_excessive_scans(image.fp, image.size):
        message = f"{name} has so many progressive scans that it would take too long to decode; save it again"
        raise ImageError("image-broken", message, path=name)
    tags = getattr(image, "tag_v2", {})
    if tags.get(_SUBFILE, 0) & 1 or _DNG_VERSION in tags:
        message = f"{name}: its first image is only a preview, as in camera raw files; export it as PNG or TIFF"
        raise ImageError("unsupported-format", message, path=name)
    if getattr(tags, "next", 0) or getattr(image, "is_animated", False):
        warn("first-picture-only", "took the first of several images in a file")
    layout = _read_layout(image)
    bits, white_is_zero = _read_bits(layout), tags.get(_PHOTOMETRIC) == 0 and image.mode in DEEP
    is_unsigned = image.mode == "I" and layout in _UNSIGNED_LAYOUTS
    with silence_libtiff():
        image.load()
    turn = _TRANSPOSITIONS.get(_read_orientation(image))  # after loading: Pillow turns TIFF itself and drops the tag
    return DecodedImage(image if turn is None else image.transpose(turn), name, bits, white_is_zero, is_unsigned)


def read_size(source: Any) -> tuple[int, int] | None:
    """Read the size (H, W) of an image after decoding from its header; None if the header does not determine it."""
    try:
        with open_source(source) as handle:
            kind = detect_file_type(handle.read(HEAD_BYTES))
            handle.seek(0)
            image = _OPENERS[kind](handle)
            width, height = image.size
            turned = _read_orientation(image) > 4
    except (MaskletError, *_PILLOW_ERRORS):
        return None
    if turned and kind == "TIFF":  # Pillow turns it when it loads
        return None
    return (width, height) if turned else (height, width)


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Raise `ImageError` (`bad-dimensions`, `too-many-pixels`) if an image of `size` (width, height) is not decoded."""
    width, height = size
    check_sides(width, height, name)
    if width * height > max_pixels:
        message = f"{name} has {width} × {height} = {width * height} pixels"
        message = f"{message}, more than max_pixels={max_pixels}; make it smaller"
        raise ImageError("too-many-pixels", message, path=name, limit=max_pixels, actual=width * height)


@contextmanager
def translate_image_errors(name: str, truncated: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Translate the exceptions that Pillow raises.

    Args:
        name: Name of the image in error messages.
        truncated: Returns whether the file ends early. It is also called after success if another library has set
            Pillow to accept truncated files.

    Raises:
        ImageError: The image is broken, truncated or too large.
        InputNotFound: The file cannot be read.
        ResourceError: There is not enough memory.
    """
    into = partial(_image_error, name, truncated)
    with translate_errors(MemoryError, Image.DecompressionBombError, *_PILLOW_ERRORS, into=into):
        yield
        if ImageFile.LOAD_TRUNCATED_IMAGES and truncated():
            raise _truncation_error(name)


def _image_error(name: str, truncated: Callable[[], bool], cause: BaseException) -> MaskletError:
    if isinstance(cause, MemoryError):
        return ResourceError("out-of-memory", f"{name}: not enough memory to decode the image; use a smaller image")
    if isinstance(cause, Image.DecompressionBombError):  # the WebP class checks the size itself
        return ImageError("too-many-pixels", f"{name}: {_describe_cause(cause)}", path=name)
    if getattr(cause, "errno", None) is not None:
        return InputNotFound("input-unreadable", f"{name} cannot be read: {cause}", path=name)
    if truncated() or "truncated" in str(cause).lower():
        return _truncation_error(name)
    if _UNSUPPORTED.match(str(cause)):
        message = f"{name}: its kind of image is not supported ({_describe_cause(cause)}); save it as PNG with 8 bits"
        return ImageError("unsupported-format", message, path=name)
    return ImageError(
        "image-broken", f"{name}: the image is broken ({_describe_cause(cause)}); save it again", path=name
    )


def _truncation_error(name: str) -> ImageError:
    message = f"{name}: the image file ends too early; copy or download it again"
    return ImageError("image-truncated", message, path=name)


def _read_layout(image: ImageFile.ImageFile) -> str:
    """Read the name of the layout that Pillow is about to decode: "RGB;16B", "L;4"."""
    arguments = image.tile[0].args if image.tile else ""
    return arguments if isinstance(arguments, str) else str(next(iter(arguments or [""])))


def _read_bits(layout: str) -> int:
    """Read the bits per channel from the name of a layout."""
    match = None if layout.startswith("BGR") else re.search(r";(\d+)", layout)
    return int(match[1]) if match else 8


def _read_orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _PILLOW_ERRORS:
        return 1  # image viewers ignore broken EXIF data too


def _describe_cause(cause: BaseException) -> str:
    return " ".join(str(cause).split())[:100] or type(cause).__name__
