"""A camera shows its latest picture, and says so when it is gone. Played from a fake one that misbehaves on cue."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.errors import MaskletError, ResourceError, VideoError
from masklet.video import camera, open_video
from masklet.video.cameras import Camera, CameraImage, CameraOptions
from support.cameras import FakeCamera, FileCamera
from support.clips import make_numbered_image, read_number, write_clip

QUICK = CameraOptions(timeout_s=0.3, max_reconnects=2, connect_timeout_s=2)
PATIENT = CameraOptions(
    timeout_s=5, max_reconnects=2, connect_timeout_s=5
)  # where nothing is lost, a busy machine must not matter


def pictures(start: int = 0, size: tuple[int, int] = (16, 64)) -> Iterator[Any]:
    return (make_numbered_image(number % 256, size) for number in count(start))


def few(number: int, start: int = 0) -> Iterator[Any]:
    return (make_numbered_image(place, (16, 64)) for place in range(start, start + number))


def watched(*connections: Callable[[], Any], options: CameraOptions = QUICK) -> tuple[Camera, list[FakeCamera]]:
    """A camera whose connections are these, one after the other, and the last for ever."""
    made: list[FakeCamera] = []

    def connect() -> FakeCamera:
        made.append(connections[min(len(made), len(connections) - 1)]())
        return made[-1]

    return Camera("the fake", connect, options), made


def stuck() -> None:
    time.sleep(60)


def unplugged() -> FakeCamera:
    return FakeCamera(iter(()))


def take(video: Any, number: int) -> list[Any]:
    return [frame for frame, _ in zip(video, range(number), strict=False)]


def test_pictures_come_in_order_with_times_that_ascend() -> None:
    video, _ = watched(lambda: FakeCamera(pictures()), options=PATIENT)
    frames = take(video, 8)
    assert [frame.index for frame in frames] == list(range(8))
    assert video.size == (16, 64)
    numbers, times = [read_number(frame.image) for frame in frames], [frame.time for frame in frames]
    assert numbers == sorted(set(numbers))
    assert times == sorted(set(times))
    video.close()


def test_a_slow_consumer_gets_the_latest_picture_and_the_rest_is_counted() -> None:
    video, _ = watched(lambda: FakeCamera(pictures()), options=PATIENT)
    frames = iter(video)
    first = read_number(next(frames).image)
    time.sleep(0.3)
    second = read_number(next(frames).image)
    assert second - first > 10
    assert video.dropped >= second - first - 2
    video.close()


def test_a_slow_camera_is_waited_for() -> None:
    video, made = watched(lambda: FakeCamera(pictures(), pause=0.1), options=PATIENT)
    assert [read_number(frame.image) for frame in take(video, 4)] == [0, 1, 2, 3]
    assert len(made) == 1
    assert video.dropped == 0
    video.close()


def raising() -> None:
    raise RuntimeError("the driver fell over")


LOSSES: dict[str, Callable[[], Any]] = {
    "unplugged": lambda: FakeCamera(few(3)),
    "stuck in a read": lambda: FakeCamera(iter([*few(3), stuck])),
    "frozen": lambda: FakeCamera(iter([*few(3), *[make_numbered_image(2, (16, 64))] * 10_000])),
    "raising": lambda: FakeCamera(iter([*few(3), raising])),
    "black": lambda: FakeCamera(iter([*few(3), *[np.zeros((16, 64, 3), np.uint8)] * 10_000])),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_camera_that_goes_is_lost_after_some_tries(loss: str) -> None:
    gone = FakeCamera if loss != "frozen" else lambda _: FakeCamera(iter([make_numbered_image(2, (16, 64))] * 10_000))
    video, made = watched(LOSSES[loss], lambda: gone(iter(())))
    start, seen = time.monotonic(), 0
    with pytest.raises(ResourceError, match="the fake is gone") as caught:
        for _ in video:
            seen += 1
    assert (caught.value.code, caught.value.exit_status) == ("camera-lost", 69)
    assert 1 <= seen <= 4
    assert len(made) == 3
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("loss", LOSSES)
def test_a_camera_that_comes_back_goes_on(loss: str) -> None:
    video, _ = watched(LOSSES[loss], lambda: FakeCamera(pictures(100)))
    frames = take(video, 12)
    assert [frame.index for frame in frames] == list(range(12))
    assert read_number(frames[-1].image) >= 100
    assert video.reconnects == 1
    video.close()


def test_times_go_on_where_a_source_that_comes_back_counts_anew() -> None:
    class Clock(FakeCamera):
        """Tells times of its own, from 100 s on."""

        def read(self) -> CameraImage | None:
            shot = super().read()
            self.told = getattr(self, "told", 100.0) + 0.1
            return None if shot is None else shot._replace(time=self.told)

    video, _ = watched(lambda: Clock(few(5)), lambda: Clock(pictures(40)))
    times = []
    for frame in video:
        times.append(frame.time)
        if video.reconnects and len(times) > 8:
            break
    assert times[0] >= 100.1 and times == sorted(times)
    assert times[-1] < 110, "the gap is as long as it was"


def test_drawing_on_a_picture_does_not_hide_that_the_next_one_is_the_same() -> None:
    video, _ = watched(lambda: FakeCamera(iter([*few(3), *[make_numbered_image(2, (16, 64))] * 10_000])), unplugged)
    with pytest.raises(ResourceError):
        for frame in video:
            frame.image[:] = 9


def test_a_still_picture_can_be_allowed() -> None:
    options = CameraOptions(timeout_s=5, connect_timeout_s=5, allow_still=True)
    video, made = watched(lambda: FakeCamera(iter([make_numbered_image(2, (16, 64))] * 10_000)), options=options)
    assert len(take(video, 5)) == 5
    assert len(made) == 1
    video.close()


@pytest.mark.parametrize("missing", [unplugged, lambda: FakeCamera(iter([raising])), lambda: FakeCamera(iter([stuck]))])
def test_a_camera_that_never_shows_anything_is_not_found(missing: Callable[[], Any]) -> None:
    start = time.monotonic()
    with pytest.raises(ResourceError, match="the fake gives no picture") as caught:
        watched(missing, options=CameraOptions(connect_timeout_s=0.5))
    assert (caught.value.code, caught.value.exit_status) == ("camera-not-found", 69)
    assert time.monotonic() - start < 2


def test_a_change_of_size_is_an_error_unless_rescaled() -> None:
    def growing() -> FakeCamera:
        return FakeCamera(iter([*few(3), *[make_numbered_image(place, (32, 128)) for place in range(3, 250)]]))

    video, _ = watched(growing, options=PATIENT)
    with pytest.raises(VideoError) as caught:
        list(video)
    assert caught.value.code == "resolution-changed"
    options = CameraOptions(timeout_s=5, connect_timeout_s=5, rescale=True)
    video, _ = watched(growing, options=options)
    assert {frame.image.shape for frame in take(video, 8)} == {(16, 64, 3)}
    video.close()


def test_closing_ends_the_walk_and_lets_the_camera_go() -> None:
    video, made = watched(lambda: FakeCamera(pictures()), options=PATIENT)
    frames = iter(video)
    next(frames)
    threading.Timer(0.1, video.close).start()
    assert len(list(frames)) < 200
    deadline = time.monotonic() + 2
    while not made[0].closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made[0].closed
    assert list(video) == []


def test_a_dropped_camera_is_let_go() -> None:
    video, made = watched(lambda: FakeCamera(pictures()), options=PATIENT)
    del video
    gc.collect()
    deadline = time.monotonic() + 2
    while not made[0].closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made[0].closed


def test_what_has_an_end_is_shown_whole_and_ends(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [0, 1, 1, 2, 3])
    video, _ = watched(lambda: FileCamera(path), options=PATIENT)
    frames = []
    for frame in video:
        time.sleep(0.02)
        frames.append(frame)
    assert [read_number(frame.image) for frame in frames] == [0, 1, 1, 2, 3]
    assert np.allclose([frame.time for frame in frames], [0, 0.1, 0.2, 0.3, 0.4])
    assert video.dropped == 0


class FakeCapture:
    """What OpenCV gives for a camera: number 3 exists and shows blue, green and red in that order."""

    def __init__(self, index: int) -> None:
        self.index, self.settings, self.number = index, {}, 0
        FakeCapture.last = self

    def isOpened(self) -> bool:  # noqa: N802
        return self.index == 3

    def set(self, name: int, value: float) -> None:
        self.settings[name] = value

    def read(self) -> tuple[bool, Any]:
        time.sleep(0.005)
        self.number += 1
        return True, np.full((4, 6, 3), (10, 20, self.number % 256), np.uint8)

    def release(self) -> None:
        pass


def test_what_has_an_end_is_waited_for_and_not_begun_again() -> None:
    class Slow(FakeCamera):
        """Plays eight pictures and stops for a while in the middle."""

        live = False

        def read(self) -> CameraImage | None:
            shot = super().read()
            if shot is None:
                raise EOFError
            if read_number(shot.image) == 4:
                time.sleep(0.5)
            return shot

    video, made = watched(lambda: Slow(few(8)))
    assert [read_number(frame.image) for frame in take(video, 20)] == list(range(8))
    assert len(made) == 1 and not video.reconnects


def test_opencv_cameras_are_read_as_rgb_in_the_size_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    video = camera(3, CameraOptions(size=(480, 640)))
    image = next(iter(video)).image
    assert image[0, 0, 1:].tolist() == [20, 10]
    assert image.flags.c_contiguous
    assert FakeCapture.last.settings == {cv2.CAP_PROP_FRAME_HEIGHT: 480, cv2.CAP_PROP_FRAME_WIDTH: 640}
    video.close()


def test_a_number_is_a_camera_and_a_missing_one_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    open_video(3).close()
    start = time.monotonic()
    with pytest.raises(MaskletError, match="camera 2 gives no picture") as caught:
        open_video(2)
    assert caught.value.code == "camera-not-found"
    assert time.monotonic() - start < 1
