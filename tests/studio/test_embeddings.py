"""Embeddings: what is encoded, how often, and within which budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import masklet
from masklet.backend import count_feature_bytes
from masklet.segmenter import Segmenter
from masklet.studio.embeddings import Embeddings
from masklet.studio.frames import DecodedFrames
from masklet.views.zoom_view import ZoomView
from support.fake_backend import VariedBackend

SIZE = (40, 60)


class Gradient:
    """An image or video of many frames that differ."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        return np.repeat((rows + 3 * columns + 7 * index + self.number)[..., None] % 256, 3, axis=2).astype(np.uint8)

    def close(self) -> None: ...


@pytest.fixture
def backend() -> VariedBackend:
    return VariedBackend()


@pytest.fixture
def frames() -> DecodedFrames:
    return DecodedFrames(Gradient)


def test_a_frame_is_encoded_once_for_predictions_and_previews(backend: VariedBackend, frames: DecodedFrames) -> None:
    embeddings = Embeddings(Segmenter(backend), frames)
    embeddings.encode(1, 3)
    embeddings.encode(1, 3)
    embeddings.open(1, 3).predict(masklet.click(20, 20))
    embeddings.open_whole(1, 3).predict(masklet.click(30, 20))
    assert backend.methods().count("encode") == 1


def test_predictions_equal_those_of_the_model(backend: VariedBackend, frames: DecodedFrames) -> None:
    model = Segmenter(backend, ZoomView(2))
    predicted = Embeddings(model, frames).open(2, 5).predict(masklet.click(20, 20), multimask=True)
    expected = model.embed(frames.read(2, 5)).predict(masklet.click(20, 20), multimask=True)
    assert (predicted.binary == expected.binary).all() and predicted.crops == expected.crops


def test_a_preview_of_a_zoomed_model_encodes_no_crop(backend: VariedBackend, frames: DecodedFrames) -> None:
    embeddings = Embeddings(Segmenter(backend, ZoomView(2)), frames)
    embeddings.encode(1, 0)
    masks = embeddings.open_whole(1, 0).predict(masklet.click(20, 20))
    assert backend.methods().count("encode") == 1 and masks.crops == (None,)
    embeddings.open(1, 0).predict(masklet.box(10, 10, 20, 20))
    embeddings.open(1, 0).predict(masklet.box(10, 10, 20, 20))
    assert backend.methods().count("encode") == 2  # the crop of the first box is there


def test_features_and_images_are_dropped_beyond_the_budget(backend: VariedBackend, frames: DecodedFrames) -> None:
    two_regions, two_images = 2 * count_feature_bytes(backend), 2 * 3 * SIZE[0] * SIZE[1]
    embeddings = Embeddings(Segmenter(backend), frames, max_feature_bytes=two_regions, max_image_bytes=two_images)
    for frame in range(3):
        embeddings.encode(1, frame)
    assert [embeddings.is_encoded(1, frame) for frame in range(3)] == [False, True, True]
    first = embeddings.open(1, 0).predict(masklet.click(20, 20))
    assert backend.methods().count("encode") == 4
    assert (first.binary == Segmenter(backend).embed(frames.read(1, 0)).predict(masklet.click(20, 20)).binary).all()


def test_work_that_somebody_waits_for_is_reported(backend: VariedBackend, frames: DecodedFrames) -> None:
    reports: list[Any] = []
    embeddings = Embeddings(Segmenter(backend), frames, lambda *report: reports.append(report))
    embeddings.encode(1, 3)
    embeddings.encode(1, 3)
    frames.read(1, 4)
    embeddings.encode(1, 4)
    embeddings.encode(1, 5, in_advance=True)
    assert reports == [("decoding", 1, 3), ("encoding", 1, 3), (None, 1, 3), ("encoding", 1, 4), (None, 1, 4)]
    with pytest.raises(masklet.PromptError):
        embeddings.encode(1, 1000)
    assert reports[-1] == (None, 1, 1000)
