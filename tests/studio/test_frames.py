"""Frames of the studio: the cache of decoded frames, JPEG and PNG, and encoding in advance."""

from __future__ import annotations

import threading
import time
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.errors import InputNotFound, PromptError
from masklet.studio.connection import FrameRequest
from masklet.studio.frames import BoundedCache, DecodedFrames, FrameImages, encode_image

SIZE = (20, 30)
FRAME_BYTES = 20 * 30 * 3


class FakeMedium:
    """A video of ten frames, each filled with its number, that notes what is read."""

    def __init__(self, number: int, notes: list[Any]) -> None:
        self.number, self.notes, self.is_closed, self._busy = number, notes, False, threading.Lock()
        notes.append(("open", number))

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        assert self._busy.acquire(blocking=False), "one thread reads at a time"
        assert not self.is_closed
        self.notes.append((self.number, index))
        image = np.full((*SIZE, 3), 10 * self.number + index, np.uint8)
        self._busy.release()
        return image

    def close(self) -> None:
        self.is_closed = True
        self.notes.append(("close", self.number))


@pytest.fixture
def notes() -> list[Any]:
    return []


@pytest.fixture
def frames(notes: list[Any]) -> DecodedFrames:
    return DecodedFrames(lambda number: FakeMedium(number, notes), max_bytes=3 * FRAME_BYTES)


def decode(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG to RGB."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])


def test_a_cache_drops_what_was_used_least_recently() -> None:
    cache = BoundedCache[str](10)
    for key in "abc":
        cache.put(key, key, 4)
        cache.get("a")
    assert [cache.get(key) for key in "abc"] == ["a", None, "c"]
    cache.put("large", "large", 100)
    assert cache.get("large") == "large" and cache.get("a") is None


def test_a_frame_is_decoded_once(frames: DecodedFrames, notes: list[Any]) -> None:
    assert [int(frames.read(1, frame)[0, 0, 0]) for frame in (4, 4, 5, 4)] == [14, 14, 15, 14]
    assert notes == [("open", 1), (1, 4), (1, 5)]
    assert frames.has(1, 5) and not frames.has(1, 6)


def test_threads_share_a_medium(frames: DecodedFrames, notes: list[Any]) -> None:
    results: list[int] = []

    def read(frame: int) -> None:
        results.extend(int(frames.read(2, index % 10)[0, 0, 0]) - 20 for index in range(frame, frame + 10))

    threads = [threading.Thread(target=read, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 60 and set(results) == set(range(10))
    assert notes.count(("open", 2)) == 1


def test_few_media_are_open(frames: DecodedFrames, notes: list[Any]) -> None:
    for medium in range(1, 7):
        frames.read(medium, 0)
    assert [number for kind, number in notes if kind == "close"] == [1, 2]
    frames.read(1, 1)
    frames.close()
    assert sorted(number for kind, number in notes if kind == "close") == [1, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("frame", [-1, 10])
def test_a_frame_that_does_not_exist_is_refused(frames: DecodedFrames, frame: int) -> None:
    with pytest.raises(PromptError, match=f"no frame {frame}, only 0 to 9") as caught:
        frames.read(1, frame)
    assert caught.value.code == "unknown-frame"


def test_a_medium_that_cannot_be_opened_is_tried_again() -> None:
    attempts: list[int] = []

    def open_medium(number: int) -> FakeMedium:
        attempts.append(number)
        if len(attempts) == 1:
            raise InputNotFound("input-not-found", "the disk is not there")
        return FakeMedium(number, [])

    frames = DecodedFrames(open_medium)
    with pytest.raises(InputNotFound):
        frames.read(1, 0)
    assert frames.read(1, 0)[0, 0, 0] == 10


def draw_gradient() -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:40, :60]
    return np.stack([4 * columns, 6 * rows, 0 * rows], axis=-1).astype(np.uint8)


def test_a_png_is_equal_to_the_frame() -> None:
    image = draw_gradient()
    assert (decode(encode_image(image, FrameRequest(1, 0, format="png"))) == image).all()


def test_a_jpeg_is_close_to_the_frame() -> None:
    image = draw_gradient()
    data = encode_image(image, FrameRequest(1, 0))
    assert data[:2] == b"\xff\xd8"
    assert np.abs(decode(data).astype(int) - image).mean() < 4


def test_a_region_is_cut_before_it_is_reduced() -> None:
    image = draw_gradient()
    data = encode_image(image, FrameRequest(1, 0, 10, (20, 10, 40, 40), "png"))
    expected = cv2.resize(image[10:40, 20:40], (10, 15), interpolation=cv2.INTER_AREA)
    assert (decode(data) == expected).all()
    assert decode(encode_image(image, FrameRequest(1, 0, 1000))).shape == image.shape  # it is never enlarged
    assert decode(encode_image(image, FrameRequest(1, 0, 0))).shape == (1, 1, 3)


@pytest.mark.parametrize("region", [(0, 0, 61, 10), (0, 5, 10, 5), (10, 0, 5, 10), (0, 0, 10, 41)])
def test_a_region_outside_the_frame_is_refused(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(PromptError, match="60 × 40 pixels"):
        encode_image(draw_gradient(), FrameRequest(1, 0, region=region))


def test_the_next_frames_are_encoded_while_the_page_plays(frames: DecodedFrames, notes: list[Any]) -> None:
    images = FrameImages(frames)
    try:
        for frame in (5, 4):
            images.get(FrameRequest(1, frame))
        deadline = time.monotonic() + 5
        while (1, 0) not in notes and time.monotonic() < deadline:
            time.sleep(0.005)
        count = len(notes)
        assert [frame for number, frame in notes if number == 1] == [5, 4, 3, 2, 1, 0]
        content = images.get(FrameRequest(1, 3))
        assert content.media_type == "image/jpeg" and abs(int(decode(content.body)[0, 0, 0]) - 13) <= 1
        images.get(FrameRequest(1, 8, format="png"))
        assert len(notes) == count + 1  # frame 3 was ready
    finally:
        images.close()
        frames.close()


def test_the_end_of_a_video_ends_encoding_in_advance(frames: DecodedFrames) -> None:
    images = FrameImages(frames)
    for frame in (8, 9):
        assert images.get(FrameRequest(1, frame)).body
    with pytest.raises(PromptError):
        images.get(FrameRequest(1, 10))
    images.close()
    frames.close()
