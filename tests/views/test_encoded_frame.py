"""Encoded regions: each is encoded once while it fits the budget of its cache."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Features, Recall, count_feature_bytes
from masklet.masks.crop import Crop
from masklet.predict.embedded_image import EmbeddedImage
from masklet.prompts import box
from masklet.views.encoded_frame import EncodedFrame, FeatureCache
from masklet.views.zoom_view import ZoomView
from support.color_backend import ColorBackend

IMAGE = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
CROPS = [Crop(10 * k, 0, 10 * k + 40, 40) for k in range(4)]


class CountingBackend(ColorBackend):
    """Backend that keeps weak references to the features that it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[weakref.ref[NDArray[np.bool_]]] = []

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Features]:
        features = super().encode(images)
        self.references += [weakref.ref(one.stride16) for one in features]
        return features

    def count_alive(self) -> int:
        return sum(one() is not None for one in self.references)


def make_frame(backend: CountingBackend, regions: int) -> EncodedFrame:
    return EncodedFrame(backend, IMAGE, FeatureCache(backend, regions * count_feature_bytes(backend)))


def test_a_region_is_encoded_once() -> None:
    backend = CountingBackend()
    frame = make_frame(backend, 2)
    assert not frame.is_encoded
    for region in (None, CROPS[0], None, CROPS[0]):
        frame.encode(region)
    assert backend.encoded == 2 and frame.is_encoded


def test_the_least_recently_used_region_is_dropped() -> None:
    backend = CountingBackend()
    frame = make_frame(backend, 3)
    for region in (*CROPS[:3], CROPS[0], CROPS[3]):  # the last one replaces the second one
        frame.encode(region)
    assert backend.encoded == 4 and backend.count_alive() == 3
    for region in (CROPS[0], CROPS[2], CROPS[3]):
        frame.encode(region)
    assert backend.encoded == 4
    frame.encode(CROPS[1])
    assert backend.encoded == 5


def test_a_budget_below_one_region_keeps_one() -> None:
    backend = CountingBackend()
    frame = make_frame(backend, 0)
    for region in (CROPS[0], CROPS[0], CROPS[1]):
        frame.encode(region)
    assert backend.encoded == 2 and backend.count_alive() == 1


def test_an_image_holds_no_more_regions_than_its_budget() -> None:
    backend = CountingBackend()
    image = EmbeddedImage(make_frame(backend, 3), ZoomView(2))
    for k in range(12):
        image.predict(box(10 * k, 20, 10 * k + 9, 30))
    assert backend.encoded > 9 and backend.count_alive() == 3


def test_features_without_memories_are_those_of_one_image() -> None:
    frame = make_frame(CountingBackend(), 1)
    assert len(frame.attend(None, [Recall(), Recall()]).stride16) == 1


def test_the_size_of_features_is_computed_from_the_model() -> None:
    backend = ColorBackend()  # 64 pixels a side, 256 channels
    assert count_feature_bytes(backend) == 4 * (16 * 16 * 32 + 8 * 8 * 64 + 4 * 4 * 256)
