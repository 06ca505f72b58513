"""Camera connection: a thread that reads a camera or stream and keeps its latest new image."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

from masklet.video.frames import Image

_POLL_INTERVAL_S = 0.02  # after which a source without a new image is read again


class CameraImage(NamedTuple):
    """An image of a camera.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        time: The time in seconds as the source states it, or None.
        arrival_time: The value of `time.monotonic()` when it was read.
    """

    image: Image
    time: float | None = None
    arrival_time: float = 0.0


class CameraSource(Protocol):
    """A source of images. It is created, read and closed in one thread of its own, and may block there.

    A `live` source continues even if its images are not taken. Any other source waits.
    """

    live: bool

    def read(self) -> CameraImage | None:
        """Return the next image, or None if there is none yet. Raises `EOFError` at the end of the source."""

    def close(self) -> None: ...


class Connection:
    """One connection to a source: a thread that keeps the latest new image.

    Args:
        connect: Creates the source.
        digest: The checksum of the last image of the previous connection, which is not new.
        allow_still: Whether an image that equals the previous one counts as new.

    Attributes:
        size: (H, W) of the last image, or None before the first one.
        digest: The checksum of the last image. The image itself may be changed by its consumer.
        dropped: The number of images that were replaced before they were taken.
        is_over: Whether the source has ended or been closed.
        is_live: Whether the source is live.
        failure: The message of the exception that ended the thread, or "".
    """

    def __init__(self, connect: Callable[[], CameraSource], digest: int | None = None, *, allow_still: bool) -> None:
        self._connect, self._allow_still, self._change = connect, allow_still, threading.Condition()
        self._latest: CameraImage | None = None
        self.size: tuple[int, int] | None = None
        self.digest = digest
        self.dropped, self.is_over, self.failure = 0, False, ""
        self.is_live = True  # until the source is created
        self._thread = threading.Thread(target=self._run, daemon=True, name="masklet-camera")
        self._thread.start()

    def wait(self, timeout_s: float, *, or_failure: bool = False) -> bool:
        """Wait for an image and return whether there is one.

        Returns early when the connection is over or, with `or_failure`, has failed.
        """
        with self._change:
            self._change.wait_for(lambda: self._latest or self.is_over or (or_failure and self.failure), timeout_s)
            return self._latest is not None

    def take(self) -> CameraImage | None:
        """Take the latest image, which is returned only once."""
        with self._change:
            latest, self._latest = self._latest, None
            self._change.notify_all()
            return latest

    def disconnect(self) -> None:
        """Request the end of the thread without waiting for it."""
        with self._change:
            self.is_over = True
            self._change.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end. A thread inside a driver at the exit of Python may crash the process."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            source = self._connect()
            self.is_live = source.live
            try:
                while not self.is_over:
                    self._offer(source.read(), is_live=source.live)
            finally:
                source.close()
        except EOFError:
            self.disconnect()
        except Exception as error:  # noqa: BLE001 - a driver may raise anything, and the camera is lost then
            with self._change:
                self.failure = str(error) or type(error).__name__
                self._change.notify_all()

    def _offer(self, image: CameraImage | None, *, is_live: bool) -> None:
        """Keep an image if it is new. Wait until the previous one is taken if the source is not live."""
        if image is None:
            time.sleep(_POLL_INTERVAL_S)
            return
        digest = zlib.crc32(image.image.data)
        if is_live and digest == self.digest and not self._allow_still:
            return
        with self._change:
            self._change.wait_for(lambda: is_live or self._latest is None or self.is_over)
            if self.is_over:
                return
            self.dropped += self._latest is not None
            self._latest = image._replace(arrival_time=time.monotonic())
            self.digest, self.size = digest, (image.image.shape[0], image.image.shape[1])
            self._change.notify_all()
