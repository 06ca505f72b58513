"""Images of requests by the hash of their content, with their embeddings, each within a budget of memory."""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from masklet.errors import ImageError, InputNotFound
from masklet.images import read_image

_KEY_LENGTH = 32  # hexadecimal digits


@dataclass(frozen=True, slots=True, eq=False)
class ServedImage:
    """An image of a request.

    Attributes:
        key: Hash of the file's content, by which later requests may refer to the image.
        pixels: The image (H, W, 3) uint8 RGB, which does not change.
        number: Number of the image in this server, the key of its embeddings.
    """

    key: str
    pixels: NDArray[np.uint8]
    number: int

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])


class ImageStore:
    """The most recently used images within a budget. All methods may be called from any thread.

    Args:
        max_bytes: Budget of decoded images; at least one is kept.
        max_pixels: Most pixels of an image.
    """

    def __init__(self, max_bytes: int, max_pixels: int) -> None:
        self._max_bytes, self._max_pixels = max_bytes, max_pixels
        self._images: OrderedDict[str, ServedImage] = OrderedDict()
        self._numbers, self._lock = count(1), threading.Lock()

    def __len__(self) -> int:
        return len(self._images)

    @property
    def byte_count(self) -> int:
        """Bytes of all decoded images."""
        with self._lock:
            return sum(image.pixels.nbytes for image in self._images.values())

    def decode(self, data: bytes | str) -> ServedImage:
        """Decode an image and keep it, or return the one that was sent before with the same content.

        Args:
            data: The bytes of a JPEG, PNG, WebP, TIFF or BMP file; or their base64 as text, also as a `data:` URL.

        Raises:
            ImageError: `bad-image` if the text is not base64; else the errors of `read_image`.
            InputNotFound: `input-empty`. There are no bytes.
        """
        content = decode_base64(data) if isinstance(data, str) else data
        key = hashlib.sha256(content).hexdigest()[:_KEY_LENGTH]
        known = self._get(key)
        return known or self._put(key, read_image(content, max_pixels=self._max_pixels))

    def add(self, pixels: NDArray[np.uint8]) -> ServedImage:
        """Keep an image (H, W, 3) uint8 RGB that was sent as pixels, or return the one with the same content.

        Raises:
            ImageError: `too-many-pixels`, or `bad-dimensions` for a side of over 65,535 pixels.
        """
        height, width = pixels.shape[:2]
        if height * width > self._max_pixels:
            message = f"the image has {width} × {height} pixels, over {self._max_pixels}; send a smaller one"
            raise ImageError("too-many-pixels", message)
        content = read_image(np.array(pixels, order="C"))  # a copy that nobody else changes
        key = hashlib.sha256(f"{width} {height} ".encode() + content.tobytes()).hexdigest()[:_KEY_LENGTH]
        return self._get(key) or self._put(key, content)

    def find(self, key: str) -> ServedImage:
        """Return the image with a key. Raises `InputNotFound` if it is unknown or was dropped beyond the budget."""
        image = self._get(key)
        if image is None:
            message = f"the server has no image {key[:100]!r}, or no longer has it; send the image again"
            raise InputNotFound("input-not-found", message)
        return image

    def _get(self, key: str) -> ServedImage | None:
        with self._lock:
            image = self._images.get(key)
            if image is not None:
                self._images.move_to_end(key)
            return image

    def _put(self, key: str, pixels: NDArray[np.uint8]) -> ServedImage:
        pixels.flags.writeable = False
        with self._lock:
            image = self._images.setdefault(key, ServedImage(key, pixels, next(self._numbers)))
            self._images.move_to_end(key)
            total = sum(one.pixels.nbytes for one in self._images.values())
            while total > self._max_bytes and len(self._images) > 1:
                total -= self._images.popitem(last=False)[1].pixels.nbytes
            return image


def decode_base64(text: str) -> bytes:
    """Return the bytes of base64 or of a `data:` URL with base64. Raises `ImageError` (`bad-image`)."""
    if text.startswith("data:"):
        header, _, text = text.partition(",")
        if not header.endswith(";base64"):
            raise ImageError("bad-image", f"a data: URL of an image must be base64, got {header[:60]!r}")
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        message = f"the image must be base64 of a file, got {text[:40]!r} of {len(text)} characters"
        raise ImageError("bad-image", message) from None
