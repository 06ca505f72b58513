"""A camera as a video: always its latest picture, and an error instead of silence when it is gone."""

from __future__ import annotations

import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from masklet.errors import ResourceError, VideoError
from masklet.video.frames import Closable, Frame, Image
from masklet.video.image_sequence import rescale_image

_PARTING = 1.0  # seconds that a read under way may still take when a camera is closed
_PAUSE = 0.02  # seconds after which a source is asked again that has just had nothing


class CameraImage(NamedTuple):
    """A picture (H, W, 3) uint8 RGB, and its time in seconds where the source tells it."""

    image: Image
    time: float | None = None
    arrival_time: float = 0.0


class CameraSource(Protocol):
    """What a `Camera` takes pictures from. It is built, used and closed in one thread of its own, and may block there.

    `live` sources go on whether their pictures are taken or not; others wait.
    """

    live: bool

    def read(self) -> CameraImage | None:
        """The next picture, None if there is none now. Raises `EOFError` where the source has come to its end."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """`size` (H, W) asks the camera for that resolution; it may give another. `patience` is how long a camera may show
    nothing new, in seconds, before it is connected again, at most `attempts` times in a row; `warm_up` how long the
    first picture may take. A picture that equals the one before it, byte for byte, is not new: unplugged cameras
    repeat their last one. `still` says that this one may show a still picture. `rescale` as in `VideoOptions`.
    """

    size: tuple[int, int] | None = None
    timeout_s: float = 3.0
    max_reconnects: int = 5
    connect_timeout_s: float = 10.0
    allow_still: bool = False
    rescale: bool = False


def camera(index: int = 0, options: CameraOptions | None = None) -> Camera:
    """The camera of that number, started. Raises `ResourceError` (`camera-not-found`) where it shows nothing.

    `for frame in camera(0)` always gives the latest picture; `dropped` counts those that came while the last one was
    worked on. Raises `camera-lost` when it stays away.
    """
    options = options or CameraOptions()
    return Camera(f"camera {index}", lambda: OpenCvSource(index, options.size), options)


class OpenCvSource:
    """A camera through OpenCV."""

    live = True

    def __init__(self, index: int, size: tuple[int, int] | None) -> None:
        import cv2  # takes a third of a second to import

        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise OSError("it cannot be opened")
        if size is not None:
            self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[0])
            self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[1])

    def read(self) -> CameraImage | None:
        """The next picture; blocks until there is one."""
        there, picture = self._capture.read()
        return CameraImage(np.ascontiguousarray(picture[:, :, ::-1])) if there and picture is not None else None

    def close(self) -> None:
        """Let the camera go."""
        self._capture.release()


class Camera(Closable):
    """A `LiveVideo` over pictures that `connect` gives access to. Frames are numbered as they are taken.

    The source is read in a thread. A read that never returns is left behind, with its thread, and the source is
    connected again in another one; `reconnects` counts how often.
    """

    def __init__(self, name: str, connect: Callable[[], CameraSource], options: CameraOptions) -> None:
        self.name, self._connect, self._options = name, connect, options
        self.reconnects, self._taken, self._dropped = 0, 0, 0
        self._started = time.monotonic()
        self._shift = 0.0  # seconds between the source's times and those that are told
        self._latest: tuple[_Line, float, float] | None = None  # of the last shot: connection, time told, arrival
        self._line = _Line(connect, still=options.allow_still)
        self._lines = [self._line]
        self._finish = weakref.finalize(self, _hang_up, self._lines)
        if not self._line.wait(options.connect_timeout_s, or_failure=True):
            self.close()
            reason = self._line.failure or f"none in {options.connect_timeout_s:g} s"
            message = f"{name} gives no picture ({reason}); is it plugged in, free and permitted?"
            raise ResourceError("camera-not-found", message)
        assert self._line.size is not None, "a picture has come"
        self.size = self._line.size

    @property
    def dropped(self) -> int:
        """How many pictures came and went while an earlier one was worked on."""
        return self._dropped + self._line.dropped

    def __iter__(self) -> Iterator[Frame]:
        """Frames until the source ends or is closed. Raises `camera-lost`, `VideoError` (`resolution-changed`)."""
        while (shot := self._next()) is not None:
            yield self._frame(shot)

    def close(self) -> None:
        """Let the source go; iterating ends. A read that is under way is waited for a moment."""
        self._finish()
        self._line.join(_PARTING)

    def _next(self) -> CameraImage | None:
        """The latest new picture, from another connection if need be; None at the end."""
        for attempt in range(self._options.max_reconnects + 1):
            if attempt and self._line.live:  # what has an end would begin again, and never come to it
                self._reconnect()
            if self._line.wait(self._options.timeout_s):
                return self._line.take()
            if self._line.over:
                return None
        self.close()
        why = f" ({self._line.failure})" if self._line.failure else ""
        more = f", nor after {self._options.max_reconnects} new connections" if self._line.live else ", again and again"
        message = f"{self.name} is gone{why}: nothing new in {self._options.timeout_s:g} s{more}"
        raise ResourceError("camera-lost", message)

    def _reconnect(self) -> None:
        self._line.hang_up()
        self._dropped += self._line.dropped
        self._line = _Line(self._connect, self._line.digest, still=self._options.allow_still)
        self._lines[:] = [self._line]
        self.reconnects += 1

    def _frame(self, shot: CameraImage) -> Frame:
        size = _size(shot.image)
        if size != self.size and not self._options.rescale:
            message = f"{self.name}: frame {self._taken} has size {size}, the first one {self.size}"
            raise VideoError("resolution-changed", message, frame=self._taken)
        self._taken += 1
        return Frame(self._taken - 1, self._seconds(shot), rescale_image(shot.image, self.size))

    def _seconds(self, shot: CameraImage) -> float:
        """The time of a shot. A source that was connected again counts anew; here it goes on from its last time."""
        if shot.time is None:
            return shot.arrival_time - self._started
        if self._latest and self._latest[0] is not self._line:
            _, seconds, arrived = self._latest
            self._shift = seconds + shot.arrival_time - arrived - shot.time
        self._latest = self._line, shot.time + self._shift, shot.arrival_time
        return shot.time + self._shift


class _Line:
    """One connection to a source: a thread that keeps the latest new picture."""

    def __init__(self, connect: Callable[[], CameraSource], digest: int | None = None, *, still: bool) -> None:
        self._connect, self._still, self._change = connect, still, threading.Condition()
        self._shot: CameraImage | None = None
        self.size: tuple[int, int] | None = None
        self.digest = digest  # of the latest picture; whoever takes that may draw on it
        self.dropped, self.over, self.failure = 0, False, ""
        self.live = True  # until the source says otherwise
        self._thread = threading.Thread(target=self._run, daemon=True, name="masklet-camera")
        self._thread.start()

    def wait(self, patience: float, *, or_failure: bool = False) -> bool:
        """Whether there is a picture to take within that many seconds. Returns at once when the line is over."""
        with self._change:
            self._change.wait_for(lambda: self._shot or self.over or (or_failure and self.failure), patience)
            return self._shot is not None

    def take(self) -> CameraImage | None:
        """The latest picture, once."""
        with self._change:
            shot, self._shot = self._shot, None
            self._change.notify_all()
            return shot

    def hang_up(self) -> None:
        """Tell the thread to end; a blocked one is not waited for."""
        with self._change:
            self.over = True
            self._change.notify_all()

    def join(self, seconds: float) -> None:
        """Wait that long for the thread to end: one that still works when Python ends may take it down."""
        if self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            grabber = self._connect()
            self.live = grabber.live
            try:
                while not self.over:
                    self._offer(grabber.read(), live=grabber.live)
            finally:
                grabber.close()
        except EOFError:
            self.hang_up()
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, the camera is gone
            with self._change:
                self.failure = str(error) or type(error).__name__
                self._change.notify_all()

    def _offer(self, shot: CameraImage | None, *, live: bool) -> None:
        if shot is None:
            time.sleep(_PAUSE)
            return
        digest = zlib.crc32(shot.image.data)
        if live and digest == self.digest and not self._still:
            return
        with self._change:
            self._change.wait_for(lambda: live or self._shot is None or self.over)
            if self.over:
                return
            self.dropped += self._shot is not None
            self._shot = shot._replace(arrival_time=time.monotonic())
            self.digest, self.size = digest, _size(shot.image)
            self._change.notify_all()


def _size(image: Image) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _hang_up(lines: list[_Line]) -> None:
    for line in lines:
        line.hang_up()
        line.take()
