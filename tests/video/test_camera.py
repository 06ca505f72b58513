"""Cameras: the latest image, reconnection and lost cameras, with a scripted fake camera."""

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
from masklet.video.camera_connection import CameraImage
from masklet.video.cameras import Camera, CameraOptions
from support.cameras import FakeCamera, FileCamera
from support.clips import make_numbered_image, read_number, write_clip

QUICK = CameraOptions(timeout_s=0.3, max_reconnects=2, connect_timeout_s=2)
PATIENT = CameraOptions(
    timeout_s=5, max_reconnects=2, connect_timeout_s=5
)  # for tests without a loss, so that a slow machine does not fail them


def make_images(start: int = 0, size: tuple[int, int] = (16, 64)) -> Iterator[Any]:
    """Make numbered images without end."""
    return (make_numbered_image(number % 256, size) for number in count(start))


def make_few_images(count: int) -> Iterator[Any]:
    """Make images of the numbers 0, 1, …"""
    return (make_numbered_image(number, (16, 64)) for number in range(count))


def open_fake(*connections: Callable[[], Any], options: CameraOptions = QUICK) -> tuple[Camera, list[FakeCamera]]:
    """Open a camera with these connections, one after the other, and the last one for ever.

    Returns the camera and the fake cameras, to which one is added with each connection.
    """
    made: list[FakeCamera] = []

    def connect() -> FakeCamera:
        made.append(connections[min(len(made), len(connections) - 1)]())
        return made[-1]

    return Camera("the fake", connect, options), made


def block() -> None:
    """Block like a driver that hangs."""
    time.sleep(60)


def make_unplugged() -> FakeCamera:
    """Make a camera without images."""
    return FakeCamera(iter(()))


def take(video: Any, count: int) -> list[Any]:
    """Take the next frames."""
    return [frame for frame, _ in zip(video, range(count), strict=False)]


def test_images_come_in_order_with_ascending_times() -> None:
    video, _ = open_fake(lambda: FakeCamera(make_images()), options=PATIENT)
    frames = take(video, 8)
    assert [frame.index for frame in frames] == list(range(8))
    assert video.size == (16, 64)
    numbers, times = [read_number(frame.image) for frame in frames], [frame.time for frame in frames]
    assert numbers == sorted(set(numbers))
    assert times == sorted(set(times))
    video.close()


def test_a_slow_consumer_gets_the_latest_image_and_the_dropped_ones_are_counted() -> None:
    video, _ = open_fake(lambda: FakeCamera(make_images()), options=PATIENT)
    frames = iter(video)
    first = read_number(next(frames).image)
    time.sleep(0.3)
    second = read_number(next(frames).image)
    assert second - first > 10
    assert video.dropped >= second - first - 2
    video.close()


def test_a_slow_camera_is_waited_for() -> None:
    video, made = open_fake(lambda: FakeCamera(make_images(), pause_s=0.1), options=PATIENT)
    assert [read_number(frame.image) for frame in take(video, 4)] == [0, 1, 2, 3]
    assert len(made) == 1
    assert video.dropped == 0
    video.close()


def fail() -> None:
    """Fail like a broken driver."""
    raise RuntimeError("the driver crashed")


LOSSES: dict[str, Callable[[], Any]] = {
    "unplugged": lambda: FakeCamera(make_few_images(3)),
    "blocked in a read": lambda: FakeCamera(iter([*make_few_images(3), block])),
    "frozen": lambda: FakeCamera(iter([*make_few_images(3), *[make_numbered_image(2, (16, 64))] * 10_000])),
    "failing": lambda: FakeCamera(iter([*make_few_images(3), fail])),
    "black": lambda: FakeCamera(iter([*make_few_images(3), *[np.zeros((16, 64, 3), np.uint8)] * 10_000])),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_camera_that_stays_away_is_lost_after_some_attempts(loss: str) -> None:
    lost = FakeCamera if loss != "frozen" else lambda _: FakeCamera(iter([make_numbered_image(2, (16, 64))] * 10_000))
    video, made = open_fake(LOSSES[loss], lambda: lost(iter(())))
    start, seen = time.monotonic(), 0
    with pytest.raises(ResourceError, match="the fake is lost") as caught:
        for _ in video:
            seen += 1
    assert (caught.value.code, caught.value.exit_status) == ("camera-lost", 69)
    assert 1 <= seen <= 4
    assert len(made) == 3
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("loss", LOSSES)
def test_a_camera_that_comes_back_continues(loss: str) -> None:
    video, _ = open_fake(LOSSES[loss], lambda: FakeCamera(make_images(100)))
    frames = take(video, 12)
    assert [frame.index for frame in frames] == list(range(12))
    assert read_number(frames[-1].image) >= 100
    assert video.reconnects == 1
    video.close()


def test_times_continue_when_a_source_restarts_its_clock() -> None:
    class Clock(FakeCamera):
        """States times of its own, which begin at 100 s."""

        def read(self) -> CameraImage | None:
            image = super().read()
            self.time = getattr(self, "time", 100.0) + 0.1
            return None if image is None else image._replace(time=self.time)

    video, _ = open_fake(lambda: Clock(make_few_images(5)), lambda: Clock(make_images(40)))
    times = []
    for frame in video:
        times.append(frame.time)
        if video.reconnects and len(times) > 8:
            break
    assert times[0] >= 100.1 and times == sorted(times)
    assert times[-1] < 110, "the gap is as long as the interruption"


def test_a_frozen_camera_is_detected_although_its_images_are_changed() -> None:
    video, _ = open_fake(
        lambda: FakeCamera(iter([*make_few_images(3), *[make_numbered_image(2, (16, 64))] * 10_000])), make_unplugged
    )
    with pytest.raises(ResourceError):
        for frame in video:
            frame.image[:] = 9


def test_a_still_image_can_be_allowed() -> None:
    options = CameraOptions(timeout_s=5, connect_timeout_s=5, allow_still=True)
    video, made = open_fake(lambda: FakeCamera(iter([make_numbered_image(2, (16, 64))] * 10_000)), options=options)
    assert len(take(video, 5)) == 5
    assert len(made) == 1
    video.close()


@pytest.mark.parametrize(
    "missing", [make_unplugged, lambda: FakeCamera(iter([fail])), lambda: FakeCamera(iter([block]))]
)
def test_a_camera_without_images_is_not_found(missing: Callable[[], Any]) -> None:
    start = time.monotonic()
    with pytest.raises(ResourceError, match="the fake gives no image") as caught:
        open_fake(missing, options=CameraOptions(connect_timeout_s=0.5))
    assert (caught.value.code, caught.value.exit_status) == ("camera-not-found", 69)
    assert time.monotonic() - start < 2


def test_a_change_of_size_is_an_error_unless_rescaled() -> None:
    def growing() -> FakeCamera:
        return FakeCamera(
            iter([*make_few_images(3), *[make_numbered_image(number, (32, 128)) for number in range(3, 250)]])
        )

    video, _ = open_fake(growing, options=PATIENT)
    with pytest.raises(VideoError) as caught:
        list(video)
    assert caught.value.code == "resolution-changed"
    options = CameraOptions(timeout_s=5, connect_timeout_s=5, rescale=True)
    video, _ = open_fake(growing, options=options)
    assert {frame.image.shape for frame in take(video, 8)} == {(16, 64, 3)}
    video.close()


def test_closing_ends_the_iteration_and_releases_the_camera() -> None:
    video, made = open_fake(lambda: FakeCamera(make_images()), options=PATIENT)
    frames = iter(video)
    next(frames)
    threading.Timer(0.1, video.close).start()
    assert len(list(frames)) < 200
    deadline = time.monotonic() + 2
    while not made[0].is_closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made[0].is_closed
    assert list(video) == []


def test_a_garbage_collected_camera_is_released() -> None:
    video, made = open_fake(lambda: FakeCamera(make_images()), options=PATIENT)
    del video
    gc.collect()
    deadline = time.monotonic() + 2
    while not made[0].is_closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made[0].is_closed


def test_a_source_with_an_end_gives_all_its_frames_and_ends(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", [0, 1, 1, 2, 3])
    video, _ = open_fake(lambda: FileCamera(path), options=PATIENT)
    frames = []
    for frame in video:
        time.sleep(0.02)
        frames.append(frame)
    assert [read_number(frame.image) for frame in frames] == [0, 1, 1, 2, 3]
    assert np.allclose([frame.time for frame in frames], [0, 0.1, 0.2, 0.3, 0.4])
    assert video.dropped == 0


class FakeCapture:
    """OpenCV's capture object: camera 3 exists and gives images in the order blue, green, red."""

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


def test_a_source_with_an_end_is_waited_for_and_not_restarted() -> None:
    class Slow(FakeCamera):
        """Plays eight images with a pause of 0.5 s in the middle."""

        live = False

        def read(self) -> CameraImage | None:
            image = super().read()
            if image is None:
                raise EOFError
            if read_number(image.image) == 4:
                time.sleep(0.5)
            return image

    video, made = open_fake(lambda: Slow(make_few_images(8)))
    assert [read_number(frame.image) for frame in take(video, 20)] == list(range(8))
    assert len(made) == 1 and not video.reconnects


def test_opencv_cameras_are_read_as_rgb_in_the_requested_size(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    video = camera(3, CameraOptions(size=(480, 640)))
    image = next(iter(video)).image
    assert image[0, 0, 1:].tolist() == [20, 10]
    assert image.flags.c_contiguous
    assert FakeCapture.last.settings == {cv2.CAP_PROP_FRAME_HEIGHT: 480, cv2.CAP_PROP_FRAME_WIDTH: 640}
    video.close()


def test_a_number_opens_a_camera_and_a_missing_one_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    open_video(3).close()
    start = time.monotonic()
    with pytest.raises(MaskletError, match="camera 2 gives no image") as caught:
        open_video(2)
    assert caught.value.code == "camera-not-found"
    assert time.monotonic() - start < 1
