"""Cameras as live videos: always the latest image, reconnection, and an error when the camera is lost."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from masklet.errors import ResourceError, VideoError
from masklet.video.camera_connection import CameraImage, CameraSource, Connection
from masklet.video.frames import Closable, Frame
from masklet.video.image_sequence import rescale_image

_MAX_INDEX = 99  # OpenCV takes hundreds for another driver, and ends the process for some negative numbers
_JOIN_TIMEOUT_S = 1.0  # for a read that is in progress when the camera is closed


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """Options of a camera or a network stream.

    Attributes:
        size: (H, W) to request from the camera, which may use another resolution.
        timeout_s: Seconds without a new image after which the camera is connected again. An image that equals the
            previous one byte for byte is not new, because unplugged cameras repeat their last image.
        max_reconnects: The number of consecutive reconnections before the camera is lost.
        connect_timeout_s: Seconds until the first image.
        allow_still: Count images that equal the previous one as new.
        rescale: Scale images of another size to the size of the first one. Without it they raise an error.
    """

    size: tuple[int, int] | None = None
    timeout_s: float = 3.0
    max_reconnects: int = 5
    connect_timeout_s: float = 10.0
    allow_still: bool = False
    rescale: bool = False


def camera(index: int = 0, options: CameraOptions | None = None) -> Camera:
    """Open a camera as a `LiveVideo`.

    Iteration gives the latest image each time. Images that arrive while the previous one is processed are dropped, and
    counted in `dropped`. Iteration raises `ResourceError` (`camera-lost`) when reconnections fail.

    Args:
        index: The number of the camera, from 0 to 99.
        options: Resolution and timeouts.

    Raises:
        ResourceError: `camera-not-found`. The index is no such number, or there is no image within the timeout.

    Example:
        >>> for frame in masklet.camera(0):
        ...     print(frame.index, frame.time, frame.image.shape)
    """
    is_number = isinstance(index, int | np.integer) and not isinstance(index, bool)
    if not is_number or not 0 <= index <= _MAX_INDEX:
        raise ResourceError("camera-not-found", f"a camera is a number from 0 to {_MAX_INDEX}, got {index!r:.60}")
    options = options or CameraOptions()
    return Camera(f"camera {index}", lambda: OpenCvSource(int(index), options.size), options)


class OpenCvSource:
    """A `CameraSource` for local cameras, through OpenCV."""

    live = True

    def __init__(self, index: int, size: tuple[int, int] | None) -> None:
        import cv2  # takes 0.3 s to import

        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise OSError("it cannot be opened")
        if size is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])

    def read(self) -> CameraImage | None:
        """Wait for the next image and return it."""
        is_read, image = self._capture.read()
        return CameraImage(np.ascontiguousarray(image[:, :, ::-1])) if is_read and image is not None else None

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()


class Camera(Closable):
    """A `LiveVideo` over a camera or stream. Frames are numbered in the order in which they are taken.

    The source is read in a thread. A read that never returns is abandoned with its thread, and the source is connected
    again in another thread.

    Args:
        name: The name of the source, for messages.
        connect: Creates the source. It is called in the thread.
        options: Timeouts and frame size.

    Attributes:
        size: (H, W) of every image.
        reconnects: The number of reconnections so far.
        arrival_time: The value of `time.monotonic()` when the latest frame was read from the source.

    Raises:
        ResourceError: `camera-not-found`. There is no image within the timeout.
    """

    def __init__(self, name: str, connect: Callable[[], CameraSource], options: CameraOptions) -> None:
        self.name, self._connect, self._options = name, connect, options
        self.reconnects, self._frame_count, self._dropped = 0, 0, 0
        self._start_time = time.monotonic()
        self.arrival_time = self._start_time
        self._time_shift = 0.0  # added to the source's times
        self._last: tuple[Connection, float, float] | None = None  # of the last frame: connection, time, arrival time
        self._connection = Connection(connect, allow_still=options.allow_still)
        self._connections = [self._connection]  # shared with the finalizer
        self._finish = weakref.finalize(self, _disconnect, self._connections)
        if not self._connection.wait(options.connect_timeout_s, or_failure=True):
            self.close()
            reason = self._connection.failure or f"no image in {options.connect_timeout_s:g} s"
            message = f"{name} gives no image ({reason}); check that it is connected, not in use and permitted"
            raise ResourceError("camera-not-found", message)
        assert self._connection.size is not None, "there is an image"
        self.size = self._connection.size

    @property
    def dropped(self) -> int:
        """The number of images that arrived during processing and were replaced by a later one."""
        return self._dropped + self._connection.dropped

    @property
    def received(self) -> int:
        """The number of images that arrived and were taken or dropped."""
        return self._frame_count + self.dropped

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the latest images until the source ends or is closed.

        Raises:
            ResourceError: `camera-lost`. There is no new image, also after connecting again.
            VideoError: `resolution-changed`. The size has changed and `rescale` is off.
        """
        while (image := self._take_image()) is not None:
            yield self._make_frame(image)

    def close(self) -> None:
        """Release the source. Iteration ends. Wait up to one second for a read in progress."""
        self._finish()
        self._connection.join(_JOIN_TIMEOUT_S)

    def _take_image(self) -> CameraImage | None:
        """Return the latest new image, from another connection if necessary, or None at the end of the source."""
        for attempt in range(self._options.max_reconnects + 1):
            if attempt and self._connection.is_live:  # a source with an end would start again from its beginning
                self._reconnect()
            if self._connection.wait(self._options.timeout_s):
                return self._connection.take()
            if self._connection.is_over:
                return None
        self.close()
        reason = f" ({self._connection.failure})" if self._connection.failure else ""
        problem = f"no new image within {self._options.timeout_s:g} s in {self._options.max_reconnects + 1} attempts"
        message = f"{self.name} is lost{reason}: {problem}; check its connection"
        raise ResourceError("camera-lost", message)

    def _reconnect(self) -> None:
        self._connection.disconnect()
        self._dropped += self._connection.dropped
        self._connection = Connection(self._connect, self._connection.digest, allow_still=self._options.allow_still)
        self._connections[:] = [self._connection]
        self.reconnects += 1

    def _make_frame(self, image: CameraImage) -> Frame:
        size = image.image.shape[:2]
        if size != self.size and not self._options.rescale:
            message = f"{self.name}: frame {self._frame_count} has size {size}, the first one {self.size}"
            hint = "pass CameraOptions(rescale=True) to scale it"
            raise VideoError("resolution-changed", message, hint=hint, frame=self._frame_count)
        self._frame_count, self.arrival_time = self._frame_count + 1, image.arrival_time
        return Frame(self._frame_count - 1, self._compute_time(image), rescale_image(image.image, self.size))

    def _compute_time(self, image: CameraImage) -> float:
        """Compute the time of an image. After a reconnection the source restarts its clock, but the times continue."""
        if image.time is None:
            return image.arrival_time - self._start_time
        if self._last and self._last[0] is not self._connection:
            _, seconds, arrival_time = self._last
            self._time_shift = seconds + image.arrival_time - arrival_time - image.time
        self._last = self._connection, image.time + self._time_shift, image.arrival_time
        return image.time + self._time_shift


def _disconnect(connections: list[Connection]) -> None:
    for connection in connections:
        connection.disconnect()
        connection.take()
