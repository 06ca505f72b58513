"""Frames of a project's images and videos: decoded for the model, and as JPEG or PNG for the page."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import ImageError, MaskletError, PromptError
from masklet.http.problems import log_bug
from masklet.studio.connection import Content, FrameRequest

Image = NDArray[np.uint8]
Value = TypeVar("Value")

MAX_DECODED_BYTES = 256 << 20
MAX_ENCODED_BYTES = 64 << 20
_MAX_OPEN = 4  # images and videos; each video has a decoder process
_FRAMES_AHEAD = 4  # that are encoded while the page plays
_MAX_SIDE_PX = 65_500  # of a JPEG
_OPTIONS = {"jpeg": [cv2.IMWRITE_JPEG_QUALITY, 92], "png": [cv2.IMWRITE_PNG_COMPRESSION, 3]}


class Medium(Protocol):
    """Opened image or video."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image:
        """Return frame `index`, (H, W, 3) uint8 RGB."""

    def close(self) -> None: ...


class BoundedCache(Generic[Value]):
    """Values by key, the most recently used ones within a budget of bytes. Threads may share it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        """Return a value, which becomes the most recently used one; None if it is not there."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """Keep a value of `size` bytes, and drop the least recently used ones beyond the budget."""
        with self._lock:
            self._bytes += size - self._values.pop(key, (None, 0))[1]
            self._values[key] = value, size
            while self._bytes > self._max_bytes and len(self._values) > 1:
                _, (_, dropped) = self._values.popitem(last=False)
                self._bytes -= dropped


class _Source:
    """An image or video that is opened when it is read, and its lock, which a reader holds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.medium: Medium | None = None

    def close(self) -> None:
        """Close what is open. The caller holds the lock."""
        if self.medium is not None:
            self.medium.close()
            self.medium = None


class DecodedFrames:
    """Decoded frames of all images and videos of a project, in a cache. Threads may share it.

    Args:
        open_medium: Opens an image or video by number. It raises `MaskletError`.
        max_bytes: Budget of the cache.
    """

    def __init__(self, open_medium: Callable[[int], Medium], max_bytes: int = MAX_DECODED_BYTES) -> None:
        self._open, self._cache = open_medium, BoundedCache[Image](max_bytes)
        self._sources: OrderedDict[int, _Source] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, medium: int, frame: int) -> Image:
        """Return a frame, (H, W, 3) uint8 RGB, which must not be changed.

        Raises:
            PromptError: `unknown-frame`. There is no such frame.
            MaskletError: The image or video cannot be read.
        """
        image = self._cache.get((medium, frame))
        if image is not None:
            return image
        with self._use(medium) as opened:
            image = self._cache.get((medium, frame))  # another thread may have decoded it meanwhile
            if image is None:
                if not 0 <= frame < len(opened):
                    message = f"medium {medium} has no frame {frame}, only 0 to {len(opened) - 1}"
                    raise PromptError("unknown-frame", message)
                image = opened[frame]
                self._cache.put((medium, frame), image, image.nbytes)
        return image

    def has(self, medium: int, frame: int) -> bool:
        """Return whether a frame is in the cache."""
        return self._cache.get((medium, frame)) is not None

    def close(self) -> None:
        """Close all images and videos."""
        with self._lock:
            sources, self._sources = [*self._sources.values()], OrderedDict()
        for source in sources:
            with source.lock:
                source.close()

    @contextmanager
    def _use(self, number: int) -> Iterator[Medium]:
        """Open an image or video, and close the least recently used one beyond `_MAX_OPEN`."""
        with self._lock:
            source = self._sources.setdefault(number, _Source())
            self._sources.move_to_end(number)
            dropped = self._sources.popitem(last=False)[1] if len(self._sources) > _MAX_OPEN else None
        if dropped is not None:
            with dropped.lock:
                dropped.close()
        with source.lock:
            if source.medium is None:
                source.medium = self._open(number)
            try:
                yield source.medium
            finally:
                if self._sources.get(number) is not source:  # dropped, or all are closed
                    source.close()


class FrameImages:
    """Frames as JPEG and PNG, in a cache. While the page plays, the next frames are encoded in advance.

    Args:
        frames: The decoded frames.
        max_bytes: Budget of the cache.
    """

    def __init__(self, frames: DecodedFrames, max_bytes: int = MAX_ENCODED_BYTES) -> None:
        self._frames, self._cache = frames, BoundedCache[bytes](max_bytes)
        self._change = threading.Condition()
        self._last: FrameRequest | None = None
        self._ahead: list[FrameRequest] = []
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def get(self, request: FrameRequest) -> Content:
        """Return a frame as the page requests it.

        Raises:
            PromptError: `unknown-frame`. There is no such frame. `bad-prompt`. The region lies outside it.
            MaskletError: The image or video cannot be read.
        """
        self._plan(request)
        return Content(self._encode(request), f"image/{request.format}")

    def close(self) -> None:
        """End encoding in advance."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()

    def _encode(self, request: FrameRequest) -> bytes:
        data = self._cache.get(request)
        if data is None:
            data = encode_image(self._frames.read(request.medium, request.frame), request)
            self._cache.put(request, data, len(data))
        return data

    def _plan(self, request: FrameRequest) -> None:
        """Plan the next frames if the last request was for the one before."""
        with self._change:
            last, self._last = self._last, request
            step = request.frame - last.frame if last is not None else 0
            if last is None or step not in (1, -1) or last._replace(frame=request.frame) != request:
                self._ahead = []
                return
            frames = (request.frame + step * distance for distance in range(1, _FRAMES_AHEAD + 1))
            self._ahead = [request._replace(frame=frame) for frame in frames if frame >= 0]
            if self._thread is None:
                self._thread = threading.Thread(target=self._read_ahead, daemon=True, name="masklet-read-ahead")
                self._thread.start()
            self._change.notify_all()

    def _read_ahead(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._ahead or self._is_closed)
                if self._is_closed:
                    return
                request = self._ahead.pop(0)
            try:
                self._encode(request)
            except MaskletError:  # reported when the page requests it
                with self._change:
                    self._ahead = []
            except Exception as error:  # noqa: BLE001 - the thread must not end
                log_bug(error)


def encode_image(image: Image, request: FrameRequest) -> bytes:
    """Cut, reduce and encode an image (H, W, 3) as requested.

    Raises:
        PromptError: The region does not lie in the image.
        ImageError: The image is too large for a JPEG.
    """
    height, width = image.shape[:2]
    if request.region is not None:
        x0, y0, x1, y1 = request.region
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            message = f"the region {x0},{y0},{x1},{y1} does not lie in the image of {width} × {height} pixels"
            raise PromptError("bad-prompt", message)
        image = image[y0:y1, x0:x1]
    if request.width is not None:
        image = _reduce(image, max(1, request.width))
    if max(image.shape[:2]) > _MAX_SIDE_PX:
        message = f"an image of {image.shape[1]} × {image.shape[0]} pixels is too large; request a width or a region"
        raise ImageError("too-many-pixels", message)
    bgr: Any = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    is_encoded, data = cv2.imencode(f".{request.format}", bgr, _OPTIONS[request.format])
    assert is_encoded, "OpenCV encodes every image of 8 bits"
    return bytes(data)


def _reduce(image: Image, width: int) -> Image:
    """Reduce an image to at most `width` pixels in width."""
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
