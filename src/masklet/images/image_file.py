"""Picture files, opened by Pillow, checked before they are decoded, decoded and turned upright."""

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
from masklet.files.file_type import HEAD_BYTES, detect_file_type
from masklet.files.open_input import open_input
from masklet.files.translate import translate_errors
from masklet.images.colors import DEEP, DecodedImage
from masklet.images.in_memory import check_sides
from masklet.images.truncation import is_truncated

MAX_PIXELS = 178_956_970  # 512 MiB of RGB; what Pillow refuses, too

# Each format is opened by its own class: what Image.open may open is a setting of the whole process.
_OPENERS: dict[str, Callable[[IO[bytes]], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
}
_FAULTS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError, ArithmeticError),
    *(RuntimeError, AssertionError, struct.error, zlib.error),
)
_SUBFILE, _PHOTOMETRIC, _ORIENTATION, _DNG_VERSION = 254, 262, 274, 50706  # tags of TIFF and EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def describe_source(source: Any) -> str:
    """What messages call it."""
    return str(source) if isinstance(source, str | os.PathLike) else "the picture"


def open_source(source: Any) -> BinaryIO:
    """A path, bytes or an open binary file as an open file at its beginning. Raises `InputNotFound`, `ImageError`."""
    if isinstance(source, str | os.PathLike):
        return open_input(source)
    if hasattr(source, "read"):
        source = source.read()
    if not isinstance(source, bytes | bytearray | memoryview):
        kind = type(source).__name__
        message = f"a picture is a path, bytes, a binary file, an array, a PIL image or a tensor, not {kind}"
        raise ImageError("bad-image", message)
    if not len(source):
        raise InputNotFound("input-empty", "the picture is empty; it holds no bytes at all")
    return io.BytesIO(source)


def decode_image(handle: BinaryIO, name: str, max_pixels: int) -> DecodedImage:
    """The picture in an open file, decoded and upright. Raises `ImageError`."""
    handle.seek(0)
    kind = detect_file_type(handle.read(HEAD_BYTES))
    if kind not in _OPENERS:
        message = f"{name} is {kind}; pictures are read from JPEG, PNG, WebP, TIFF and BMP"
        raise ImageError("unsupported-format", message, path=name, kind=kind)
    handle.seek(0)
    with translate_image_errors(name, lambda: is_truncated(handle, kind)):
        return decode_opened(_OPENERS[kind](handle), name, max_pixels)


def decode_opened(image: ImageFile.ImageFile, name: str, max_pixels: int) -> DecodedImage:
    """Check what the header says, decode, turn upright."""
    check_size(image.size, name, max_pixels)
    tags = getattr(image, "tag_v2", {})
    if tags.get(_SUBFILE, 0) & 1 or _DNG_VERSION in tags:
        message = f"{name}: its first picture is only a preview, as in camera raw files; develop it to PNG or TIFF"
        raise ImageError("unsupported-format", message, path=name)
    if getattr(tags, "next", 0) or getattr(image, "is_animated", False):
        warn("first-picture-only", "took the first of several pictures in a file")
    bits, white_is_zero = _bits(image), tags.get(_PHOTOMETRIC) == 0 and image.mode in DEEP
    image.load()
    turn = _TURNS.get(_orientation(image))  # after loading: Pillow turns TIFF itself and forgets the tag
    return DecodedImage(image if turn is None else image.transpose(turn), name, bits, white_is_zero)


def read_size(source: Any) -> tuple[int, int] | None:
    """The (H, W) that a picture will have, without decoding it; None where that cannot be told."""
    try:
        with open_source(source) as handle:
            kind = detect_file_type(handle.read(HEAD_BYTES))
            handle.seek(0)
            image = _OPENERS[kind](handle)
            width, height = image.size
            turned = _orientation(image) > 4
    except (MaskletError, *_FAULTS):
        return None
    if turned and kind == "TIFF":  # which Pillow turns itself, at a time of its own
        return None
    return (width, height) if turned else (height, width)


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Raises `ImageError` (`bad-dimensions`, `too-many-pixels`) for a (width, height) that is not decoded."""
    width, height = size
    check_sides(width, height, name)
    if width * height > max_pixels:
        message = f"{name} has {width} × {height} = {width * height} pixels, more than max_pixels={max_pixels}"
        raise ImageError("too-many-pixels", message, path=name, limit=max_pixels, actual=width * height)


@contextmanager
def translate_image_errors(name: str, truncated: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Raise an error of masklet in place of whatever Pillow raises.

    `truncated` says whether the file ends early. It is also asked after success where another library has told Pillow
    to accept such files.
    """
    into = partial(_image_error, name, truncated)
    with translate_errors(MemoryError, Image.DecompressionBombError, *_FAULTS, into=into):
        yield
        if ImageFile.LOAD_TRUNCATED_IMAGES and truncated():
            raise _truncation_error(name)


def _image_error(name: str, truncated: Callable[[], bool], cause: BaseException) -> MaskletError:
    if isinstance(cause, MemoryError):
        return ResourceError("out-of-memory", f"{name}: not enough memory to decode the picture")
    if isinstance(cause, Image.DecompressionBombError):  # of WebP, whose class looks for itself
        return ImageError("too-many-pixels", f"{name}: {_reason(cause)}", path=name)
    if getattr(cause, "errno", None) is not None:
        return InputNotFound("input-unreadable", f"{name} cannot be read: {cause}", path=name)
    if truncated() or "truncated" in str(cause).lower():
        return _truncation_error(name)
    return ImageError("image-broken", f"{name}: the picture is broken ({_reason(cause)}); save it again", path=name)


def _truncation_error(name: str) -> ImageError:
    message = f"{name}: the picture is cut off before its end; copy or download it again"
    return ImageError("image-truncated", message, path=name)


def _bits(image: ImageFile.ImageFile) -> int:
    """Bits per channel in the file, from the name of the layout that Pillow is about to decode: "RGB;16B", "L;4"."""
    arguments = image.tile[0].args if image.tile else ""
    layout = arguments if isinstance(arguments, str) else str(next(iter(arguments or [""])))
    found = None if layout.startswith("BGR") else re.search(r";(\d+)", layout)
    return int(found[1]) if found else 8


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except _FAULTS:
        return 1  # broken EXIF says nothing; every viewer shows such a picture as it lies


def _reason(cause: BaseException) -> str:
    return " ".join(str(cause).split())[:100] or type(cause).__name__
