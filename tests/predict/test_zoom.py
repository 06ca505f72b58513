"""Zoom: crops around objects, in images and in videos."""

from __future__ import annotations

import random
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from masklet import EmbeddedImage, Masks, Prompt, Segmenter, box, click, clicks, mask
from masklet.backend import Decoded, Features, Predictions, Query
from masklet.errors import BackendError, PromptError, SettingsError
from masklet.evaluate.j_and_f import compute_region_similarity
from masklet.masks.crop import Crop
from masklet.masks.postprocessing import PostProcessing
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from masklet.views.encoded_frame import FeatureCache
from masklet.views.mapping import map_prompt
from masklet.views.view_fields import view_of_zoom
from masklet.views.zoom_view import MAX_CROP_SHARE, MIN_CROP_PX, ZoomView, crop_around, widen_crop
from support.color_backend import ColorBackend
from support.fake_backend import FakeBackend, RecomputingTracker, UnspilledTracker
from support.opaque_backend import OpaqueBackend

SIZE = (200, 300)
GROUND, OBJECT = 60, 200
Image = NDArray[np.uint8]


@dataclass
class LowResBackend(ColorBackend):
    """Backend that resizes images and mask prompts to 24 × 24 pixels."""

    def encode(self, images: Sequence[Image]) -> list[Features]:
        return super().encode([shrink(image) for image in images])

    def use_masks(self, features: Features, masks: Sequence[NDArray[np.bool_]]) -> Decoded:
        return super().use_masks(features, [shrink(one.astype(np.uint8)) > 0 for one in masks])

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        return super().decode(features, [self._shrink_mask(query) for query in queries], hide=hide)

    @staticmethod
    def _shrink_mask(query: Query) -> Query:
        given = isinstance(query.mask, np.ndarray) and query.mask.dtype == bool
        return query._replace(mask=shrink(query.mask.astype(np.uint8)) > 0) if given else query


@dataclass
class RecordingBackend(LowResBackend):
    """Backend that records the mask of each query and the logits that it returned."""

    masks: list[NDArray[Any] | None] = field(default_factory=list)
    logits: list[NDArray[Any]] = field(default_factory=list)

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        decoded = super().decode(features, queries, hide=hide)
        self.masks += [query.mask for query in queries]
        self.logits += [decoded.logits[row] for row in range(len(queries))]
        return decoded

    def fetch_candidates(self, decoded: Decoded) -> Predictions:
        logits = decoded.logits[:, 0].repeat(3, 0)
        return Predictions(logits, np.ones(len(logits)), np.ones(len(logits)))


class FullMaskBackend(FakeBackend):
    """Backend whose masks cover the whole image."""

    @staticmethod
    def _logits(key: int) -> NDArray[np.float32]:
        return np.full((1, 4, 4), 1 + key % 7, np.float32)

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        return super().decode(features, queries)


def opaque(backend: Any = None) -> Any:
    """Return a backend whose arrays the code above it cannot read."""
    return OpaqueBackend(backend or LowResBackend())


def shrink(image: Image) -> Image:
    return np.asarray(cv2.resize(image, (24, 24), interpolation=cv2.INTER_NEAREST), np.uint8)


def disc(x: float, y: float, radius: float, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: size[0], : size[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 < radius**2)


def draw(target: NDArray[np.bool_]) -> Image:
    return np.repeat(np.where(target, OBJECT, GROUND)[..., None], 3, axis=2).astype(np.uint8)


def same(a: Masks, b: Masks) -> bool:
    return a.object_ids == b.object_ids and np.array_equal(a.low_res, b.low_res) and np.array_equal(a.scores, b.scores)


boxes = st.tuples(st.integers(0, 290), st.integers(0, 190), st.integers(1, 120), st.integers(1, 120)).map(
    lambda b: np.array([b[0], b[1], min(300, b[0] + b[2]), min(200, b[1] + b[3])], np.float64)
)


@given(boxes, st.floats(1, 5))
def test_a_crop_is_a_square_in_the_image_that_holds_the_box(tight: NDArray[np.float64], zoom: float) -> None:
    crop = crop_around(tight, SIZE, zoom)
    if crop is None:
        return
    height, width = crop.size
    assert 0 <= crop.left < crop.right <= 300
    assert 0 <= crop.top < crop.bottom <= 200
    assert height == width or height == 200
    assert max(height, width) >= MIN_CROP_PX
    assert (np.array(crop[:2]) <= tight[:2] + 1).all()
    assert (np.array(crop[2:]) >= tight[2:] - 1).all()


def test_a_box_that_fills_the_image_has_no_crop() -> None:
    long = MAX_CROP_SHARE * 300 / 2
    assert crop_around(np.array([10, 10, 10 + long + 2, 20]), SIZE, 2) is None
    assert crop_around(np.array([10, 10, 10 + long - 2, 20]), SIZE, 2) is not None


def test_a_crop_stays_while_its_object_moves_little_and_follows_it_otherwise() -> None:
    first = crop_around(np.array([100, 80, 130, 110]), SIZE, 2)
    assert first is not None
    assert crop_around(np.array([105, 82, 137, 113]), SIZE, 2, first) == first
    moved = crop_around(np.array([125, 80, 155, 110]), SIZE, 2, first)
    assert moved is not None and moved.left == first.left + 25
    grown = crop_around(np.array([90, 70, 140, 120]), SIZE, 2, first)
    assert grown is not None and first.size[0] < grown.size[0] < 1.1 * first.size[0]
    full = crop_around(np.array([87, 67, 143, 123]), SIZE, 2, first)
    assert full is not None and full.size[0] > 1.2 * first.size[0]


def test_a_crop_widens_to_the_full_image() -> None:
    crop: Crop | None = Crop(100, 80, 140, 120)
    sizes = []
    while crop is not None:
        sizes.append(crop.size[1])
        crop = widen_crop(crop, SIZE)
    assert sizes == sorted(set(sizes))
    assert len(sizes) < 15


def test_prompts_are_mapped_to_a_crop_and_masks_pasted_back() -> None:
    crop = Crop(50, 40, 110, 100)
    target = disc(80, 70, 12)
    mapped = map_prompt(mask(target) + clicks([(60, 50), (20, 20)], [1, 0]), crop, SIZE)
    assert mapped is not None and mapped.mask is not None
    assert mapped.points.tolist() == [[10, 10]]
    logits = np.where(mapped.mask, np.float32(3), np.float32(-3))
    assert np.array_equal(crop.paste(logits, SIZE) > 0, target)
    assert map_prompt(click(20, 20, positive=False), crop, SIZE) is None
    assert map_prompt(box(0, 0, 300, 200), crop, SIZE) is not None


def test_a_mask_prompt_of_another_size_covers_the_image_too() -> None:
    half = cv2.resize(disc(80, 70, 12).astype(np.uint8), (150, 100), interpolation=cv2.INTER_NEAREST)
    mapped = map_prompt(mask(half), Crop(50, 40, 110, 100), SIZE)
    assert mapped is not None and mapped.mask is not None
    assert compute_region_similarity(disc(30, 30, 12, (60, 60)), mapped.mask) > 0.8


@pytest.mark.parametrize("prompt", [box(128, 88, 152, 112), click(140, 100), mask(disc(140, 100, 11))])
def test_small_objects_have_finer_masks_in_a_crop(prompt: object) -> None:
    target = disc(140, 100, 12)
    plain, zoomed = (
        Segmenter(LowResBackend(), view_of_zoom(zoom)).segment(draw(target), prompt) for zoom in (0.0, 2.0)
    )  # type: ignore[arg-type]
    assert zoomed.size == plain.size == SIZE
    assert compute_region_similarity(target, plain.binary[0]) < 0.75
    assert compute_region_similarity(target, zoomed.binary[0]) > 0.8


def test_objects_have_crops_of_their_own_and_keep_their_ids() -> None:
    first, second = disc(60, 50, 11), disc(240, 150, 14)
    backend = LowResBackend()
    found = Segmenter(backend, view_of_zoom(2.0)).segment(
        draw(first | second), {4: box(49, 39, 71, 61), 2: box(226, 136, 254, 164)}
    )
    assert found.object_ids == (4, 2)
    assert compute_region_similarity(first, found.binary[0]) > 0.8
    assert compute_region_similarity(second, found.binary[1]) > 0.8
    assert backend.encoded == 2  # the full image was not needed


def test_of_two_similar_objects_the_clicked_one_is_cropped() -> None:
    one, other = disc(60, 60, 12), disc(240, 140, 12)
    model = Segmenter(LowResBackend(), view_of_zoom(2.0))
    found = model.segment(draw(one | other), click(60, 60))
    assert compute_region_similarity(one, found.binary[0]) > 0.8
    tracker = model.tracker()
    followed = tracker.prompt(0, {1: click(60, 60)}, draw(one | other))
    assert compute_region_similarity(one, followed.binary[0]) > 0.8


def test_an_object_that_fills_the_image_is_predicted_on_the_full_image() -> None:
    target = disc(150, 100, 80)
    backend = LowResBackend()
    zoomed = Segmenter(backend, view_of_zoom(2.0)).segment(draw(target), box(70, 20, 230, 180))
    plain = Segmenter(LowResBackend()).segment(draw(target), box(70, 20, 230, 180))
    assert same(zoomed, plain)
    assert backend.encoded == 1


def test_a_mask_is_refined_in_the_crop_around_it() -> None:
    target = disc(140, 100, 7)
    image = Segmenter(LowResBackend(), view_of_zoom(2.0)).embed(draw(target))
    first = image.predict({3: click(140, 100)})
    again = image.predict({3: click(140, 100) + click(2, 2, positive=False)}, refine=first)
    assert again.object_ids == (3,)
    assert compute_region_similarity(target, again.binary[0]) > 0.7


def test_the_box_of_a_prompt_places_the_crop_also_with_a_mask_to_refine() -> None:
    first, second = disc(60, 50, 11), disc(240, 150, 14)
    image = Segmenter(LowResBackend(), view_of_zoom(2.0)).embed(draw(first | second))
    found = image.predict(box(226, 136, 254, 164), refine=image.predict(box(49, 39, 71, 61)))
    assert compute_region_similarity(second, found.binary[0]) > 0.8


def test_masks_of_the_image_at_another_size_are_refined_like_those_of_its_size() -> None:
    target = disc(140, 100, 7)
    image = Segmenter(LowResBackend(), view_of_zoom(2.0)).embed(draw(target))
    half = Masks.from_binary(disc(70, 50, 3.5, (100, 150)))
    prompts = click(140, 100)
    assert same(image.predict(prompts, refine=half), image.predict(prompts, refine=replace(half, size=SIZE)))
    assert compute_region_similarity(target, image.predict(prompts, refine=half).binary[0]) > 0.8


def test_a_box_on_the_edge_of_the_image_is_on_the_edge_of_its_crop() -> None:
    edge = box(300.1, 10, 300.4, 40)
    Segmenter(LowResBackend(), view_of_zoom(2.0)).segment(draw(disc(290, 25, 9)), edge)
    Tracker(opaque(), view=ZoomView(2.0)).prompt(0, {1: edge}, draw(disc(290, 25, 9)))


def test_an_empty_mask_is_not_cropped() -> None:
    found = Segmenter(LowResBackend(), view_of_zoom(2.0)).segment(draw(disc(140, 100, 7)), click(5, 5, positive=False))
    assert found.areas.tolist() == [0]


@pytest.mark.parametrize("zoom", [0.5, -1, 1000, float("nan")])
def test_a_zoom_below_1_is_refused(zoom: float) -> None:
    with pytest.raises(SettingsError, match="zoom") as caught:
        Segmenter(LowResBackend(), view_of_zoom(zoom))
    assert caught.value.code == "bad-usage"


def test_prompts_outside_the_image_are_refused_before_anything_is_computed() -> None:
    backend = LowResBackend()
    with pytest.raises(PromptError, match="outside"):
        Segmenter(backend, view_of_zoom(2.0)).segment(draw(disc(140, 100, 7)), {1: box(1, 1, 9, 9), 2: click(900, 5)})
    assert backend.encoded == 0


@pytest.mark.parametrize("zoom", [0.0, 2.0])
def test_a_frame_that_could_not_be_encoded_may_be_passed_again(zoom: float) -> None:
    class Choosy(LowResBackend):
        def encode(self, images: Sequence[Image]) -> list[Features]:
            if not images[0].any():
                raise BackendError("non-finite-output", "black")
            return super().encode(images)

    target = disc(140, 100, 7)
    tracker = Tracker(opaque(Choosy()), view=view_of_zoom(zoom))
    with pytest.raises(BackendError):
        tracker.prompt(0, {1: box(130, 90, 150, 110)}, np.zeros((*SIZE, 3), np.uint8))
    assert tracker.prompt(0, {1: box(130, 90, 150, 110)}, draw(target)).areas.all()
    assert tracker.prompt(
        0, {1: click(140, 100)}, np.zeros((*SIZE, 3), np.uint8)
    ).areas.all()  # the first image is used


def test_features_of_a_stream_are_held_for_one_frame() -> None:
    references: list[weakref.ref[Image]] = []

    class CountingBackend(LowResBackend):
        def encode(self, images: Sequence[Image]) -> list[Features]:
            (features,) = super().encode(images)
            references.append(weakref.ref(features.stride16))
            return [features]

    tracker = Tracker(opaque(CountingBackend()), view=ZoomView(2.0))
    for frame in range(2):
        before = len(references)
        tracker.prompt(frame, {k: box(30 * k, 20, 30 * k + 9, 30) for k in range(1, 9)}, draw(disc(140, 100, 7)))
        tracker.prompt(frame, {9: click(140, 100)})
        assert not any(one() is not None for one in references[:before])
        assert any(one() is not None for one in references[before:])


def test_each_of_many_crops_is_encoded_once() -> None:
    backend = LowResBackend()
    image, prompts = draw(disc(140, 100, 7)), {k: box(30 * k, 20, 30 * k + 9, 30) for k in range(1, 9)}
    tracker = Tracker(backend, view=ZoomView(2.0))
    tracker._features = FeatureCache(backend, 0)
    tracker.prompt(0, prompts, image)
    assert backend.encoded == len(prompts)


def test_another_image_of_a_frame_is_encoded_again() -> None:
    frames = np.stack([draw(disc(60 + 20 * t, 100, 9)) for t in range(3)])
    tracker = Tracker(LowResBackend(), frames, view=ZoomView(2.0))
    tracker.prompt(0, {1: box(50, 90, 70, 110)})
    for t in (1, 2):
        tracker.step(t)
    target = disc(200, 60, 9)
    masks = tracker.prompt(0, {2: box(190, 50, 210, 70)}, draw(target))
    assert compute_region_similarity(target, masks.of(2).binary[0]) > 0.8


PATH = [(40 + 5 * t, 60 + 3 * t) for t in range(24)]
TARGETS = [disc(x, y, 7 + t / 8) for t, (x, y) in enumerate(PATH)]


@pytest.mark.parametrize("prompt", [mask(TARGETS[0]), box(33, 53, 48, 68), click(40, 60)])
def test_a_crop_follows_its_object(prompt: object) -> None:
    frames = [draw(target) for target in TARGETS]
    tracked = [
        [frame.masks.binary[0] for frame in Segmenter(opaque(), view_of_zoom(zoom)).track(iter(frames), prompt)]  # type: ignore[arg-type]
        for zoom in (0.0, 2.5)
    ]
    plain, zoomed = (
        [compute_region_similarity(*pair) for pair in zip(TARGETS, masks, strict=True)] for masks in tracked
    )
    assert min(zoomed) > 0.7
    assert np.mean(plain) < np.mean(zoomed) - 0.15


def similarities(targets: Sequence[NDArray[np.bool_]], masks: Mapping[int, Masks]) -> list[float]:
    return [compute_region_similarity(targets[frame], one.binary[0]) for frame, one in masks.items()]


def track_target(*frames: int) -> tuple[Tracker, dict[int, Masks]]:
    """Return the tracker of the moving object, prompted on the first of these frames, and the masks on all of them."""
    tracker = Tracker(opaque(), np.stack([draw(target) for target in TARGETS]), view=ZoomView(2.5))
    tracker.prompt(frames[0], {1: mask(TARGETS[frames[0]])})
    return tracker, {frame: tracker.step(frame) for frame in frames}


def test_tracking_backward_starts_at_the_crop_of_the_prompt() -> None:
    tracker, _ = track_target(*range(12, 24))
    back = {frame: tracker.step(frame, direction=-1) for frame in range(11, -1, -1)}
    assert min(similarities(TARGETS, back)) > 0.7


def test_tracking_again_gives_the_same_masks_and_computes_nothing() -> None:
    tracker, first = track_target(*range(24))
    backend: Any = tracker.backend
    encoded = backend.encoded
    for frame in (23, 6, 7, 23):
        assert same(tracker.step(frame), first[frame])
    assert backend.encoded == encoded


def test_tracking_continues_at_the_last_crop_after_a_distant_correction() -> None:
    tracker, _ = track_target(*range(20))
    tracker.prompt(3, {1: mask(TARGETS[3])})
    assert min(similarities(TARGETS, {frame: tracker.step(frame) for frame in range(20, 24)})) > 0.7


def test_a_removed_prompt_leaves_no_crop() -> None:
    tracker, _ = track_target(*range(20))
    tracker.prompt(19, {1: mask(disc(20, 180, 8))})
    tracker.remove_prompt(19, 1)
    assert min(similarities(TARGETS, {19: tracker.step(19)})) > 0.7


@pytest.mark.parametrize("zoom", [1.0, 1.2, 2.0, 3.0])
def test_a_crop_grows_as_fast_as_its_object(zoom: float) -> None:
    targets = [disc(150, 100, 12 * 1.15**t) for t in range(14)]
    tracked = Segmenter(opaque(), view_of_zoom(zoom)).track(
        iter([draw(target) for target in targets]), mask(targets[0])
    )
    assert min(compute_region_similarity(targets[frame.index], frame.masks.binary[0]) for frame in tracked) > 0.7


def test_a_lost_object_is_found_again_elsewhere() -> None:
    targets = [disc(60, 60, 8)] * 3 + [np.zeros(SIZE, bool)] * 12 + [disc(240, 150, 20)] * 4
    frames = [draw(target) for target in targets]
    found = [f.masks.binary[0] for f in Segmenter(opaque(), view_of_zoom(2.0)).track(iter(frames), mask(targets[0]))]
    assert compute_region_similarity(targets[2], found[2]) > 0.8
    assert not any(one.any() for one in found[3:15])
    assert compute_region_similarity(targets[-1], found[-1]) > 0.8


@pytest.mark.parametrize("prompt", [click(150, 100), click(150, 100) + click(20, 20, positive=False)])
def test_a_click_on_an_object_that_fills_the_image_is_predicted_once(prompt: Prompt) -> None:
    image = draw(disc(150, 100, 85))
    whole, zoomed = (opaque(FullMaskBackend()) for _ in range(2))
    expected = Tracker(whole).prompt(0, {1: prompt}, image)
    assert same(Tracker(zoomed, view=ZoomView(2.0)).prompt(0, {1: prompt}, image), expected)
    assert zoomed.methods() == ["encode", "attend", "decode", "memorize"]


@pytest.mark.parametrize("video", [False, True])
def test_a_click_is_predicted_in_two_crops_after_the_full_image(video: bool) -> None:
    target, crops = disc(140, 100, 9), []

    class SizesBackend(LowResBackend):
        def encode(self, images: Sequence[Image]) -> list[Features]:
            crops.extend(image.shape[1] for image in images)
            return super().encode(images)

    if video:
        Tracker(opaque(SizesBackend()), view=ZoomView(2.0)).prompt(0, {1: click(140, 100)}, draw(target))
    else:
        Segmenter(SizesBackend(), view_of_zoom(2.0)).segment(draw(target), click(140, 100))
    full, first, second = crops
    assert full == SIZE[1] > 3 * max(first, second)


@pytest.mark.parametrize("video", [False, True])
def test_a_prediction_in_a_crop_is_repeated_from_its_own_mask(video: bool) -> None:
    target, backend = disc(140, 100, 7), RecordingBackend()
    if video:
        Tracker(opaque(backend), view=ZoomView(2.0)).prompt(0, {1: box(132, 92, 148, 108)}, draw(target))
    else:
        Segmenter(backend, view_of_zoom(2.0)).segment(draw(target), box(132, 92, 148, 108))
    first, second = backend.masks
    assert first is None and second is not None
    assert np.array_equal(np.squeeze(second), np.squeeze(backend.logits[0]))


def test_three_masks_and_a_given_mask_are_predicted_once() -> None:
    target = disc(140, 100, 7)
    for prompt, multimask in ((mask(target) + click(140, 100), None), (box(132, 92, 148, 108), True)):
        backend = RecordingBackend()
        embedded = Segmenter(backend, view_of_zoom(2.0)).embed(draw(target))
        assert len(embedded.predict(prompt, multimask=multimask)) == (3 if multimask else 1)
        assert len(backend.masks) == 1


def test_clicks_and_boxes_of_one_frame_are_predicted_in_crops() -> None:
    target = disc(140, 100, 7)
    tracker = Tracker(opaque(), view=ZoomView(2.0))
    prompts = {1: click(140, 100), 2: click(142, 100), 3: box(132, 92, 148, 108)}
    found = tracker.prompt(0, prompts, draw(target))
    assert found.object_ids == (1, 2, 3)
    assert min(compute_region_similarity(target, one) for one in found.binary) > 0.7


def test_a_correction_is_predicted_in_the_crop_of_the_mask_so_far() -> None:
    frames = np.stack([draw(target) for target in TARGETS])
    tracker = Tracker(opaque(), frames, view=ZoomView(2.5))
    tracker.prompt(0, {1: mask(TARGETS[0])})
    for frame in range(12):
        tracker.step(frame)
    corrected = tracker.prompt(6, {1: click(*PATH[6])})
    assert compute_region_similarity(TARGETS[6], corrected.binary[0]) > 0.7
    assert same(tracker.step(6), corrected)
    assert compute_region_similarity(TARGETS[11], [tracker.step(frame) for frame in range(7, 12)][-1].binary[0]) > 0.7


def test_islands_are_removed_in_crops_and_overlaps_in_the_image() -> None:
    target = disc(60, 60, 8)
    image = draw(target)
    tracker = Tracker(
        opaque(), view=ZoomView(2.0), postprocessing=PostProcessing(remove_islands=3, non_overlapping=True)
    )
    masks = tracker.prompt(0, {1: box(52, 52, 69, 69), 2: click(61, 61)}, image)
    assert masks.low_res.shape == (2, *SIZE)
    assert not masks.binary.all(axis=0).any()
    with pytest.raises(SettingsError, match="non-overlapping memories"):
        Tracker(opaque(), view=ZoomView(2.0), postprocessing=PostProcessing(non_overlapping=True, in_memory=True))


LENGTH = 30
CLIP = np.random.RandomState(0).randint(0, 256, (LENGTH, 60, 96, 1), np.uint8)


def session(rng: random.Random, *trackers: Tracker) -> None:
    """Prompt and track several trackers at random, all in the same way, and check that their masks are equal."""
    for _ in range(8):
        frame, direction, count = rng.randrange(LENGTH), rng.choice([1, 1, -1]), rng.randint(1, 12)
        x, y = rng.randint(0, 80), rng.randint(0, 50)
        prompt = rng.choice([click(x, y), box(x, y, x + 9, y + 9), mask(disc(x, y, 5, (60, 96)))])
        key = rng.randint(1, 2)
        results = []
        for one in trackers:
            found = [one.prompt(frame, {key: prompt})]
            found += [
                one.step(k, direction=direction)
                for k in range(frame, frame + direction * count, direction)
                if 0 <= k < LENGTH
            ]
            results.append(found)
        for other in results[1:]:
            assert all(same(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_neither_the_disk_cache_nor_reuse_changes_a_mask(seed: int) -> None:
    rng = random.Random(seed)
    session(
        rng,
        *(k(opaque(FakeBackend()), CLIP, view=ZoomView(1.5)) for k in (Tracker, UnspilledTracker, RecomputingTracker)),
    )


@pytest.mark.parametrize("seed", range(6))
def test_a_saved_session_continues_with_its_crops(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    one = Tracker(opaque(FakeBackend()), CLIP, view=ZoomView(1.5))
    session(rng, one)
    one.save(tmp_path / "session")
    session(rng, one, read_session(tmp_path / "session", opaque(FakeBackend()), CLIP))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_objects_in_crops_do_not_influence_each_other(seed: int) -> None:
    rng = random.Random(seed)
    prompts = {key: click(rng.randint(0, 95), rng.randint(0, 59)) for key in (1, 2)}
    together = Tracker(opaque(FakeBackend()), CLIP, view=ZoomView(1.5))
    together.prompt(0, prompts)
    alone = {key: Tracker(opaque(FakeBackend()), CLIP, view=ZoomView(1.5)) for key in prompts}
    for key, one in alone.items():
        one.prompt(0, {key: prompts[key]})
    for frame in range(4):
        masks = together.step(frame)
        for key, one in alone.items():
            assert np.array_equal(masks.of(key).binary, one.step(frame).binary)


def embed_full(backend: LowResBackend, target: NDArray[np.bool_]) -> EmbeddedImage:
    """Encode the full image, and set the number of encodings back to 0."""
    image = Segmenter(backend, view_of_zoom(2.0)).embed(draw(target))
    assert backend.encoded == 1
    backend.encoded = 0
    return image


def test_embed_encodes_the_full_image_once() -> None:
    backend = LowResBackend()
    image = embed_full(backend, disc(150, 100, 80))
    for _ in range(3):
        image.predict(box(70, 20, 230, 180))  # fills the image, so that it is not cropped
    assert backend.encoded == 0


def test_images_are_encoded_in_one_call() -> None:
    calls: list[int] = []

    class CallsBackend(LowResBackend):
        def encode(self, images: Sequence[Image]) -> list[Features]:
            calls.append(len(images))
            return super().encode(images)

    targets = [disc(150, 100, 80), disc(40, 60, 9)]
    images = Segmenter(CallsBackend(), view_of_zoom(2.0)).embed([draw(target) for target in targets])
    assert calls == [2]
    for target, image in zip(targets, images, strict=True):
        alone = Segmenter(LowResBackend(), view_of_zoom(2.0)).segment(draw(target), mask(target))
        assert same(image.predict(mask(target)), alone)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_crop_that_is_prompted_four_times_is_encoded_once(lazy: bool) -> None:
    target, backend = disc(140, 100, 12), LowResBackend()
    image = Segmenter(backend, view_of_zoom(2.0)).embed(draw(target), lazy=lazy)
    full = 0 if lazy else 1
    assert backend.encoded == full
    prompts = box(128, 88, 152, 112)
    found = [image.predict(prompts) for _ in range(4)]
    assert backend.encoded == full + 1
    fresh = Segmenter(LowResBackend(), view_of_zoom(2.0)).segment(draw(target), prompts)
    assert all(same(one, fresh) for one in found)


def test_a_repeated_click_encodes_nothing() -> None:
    backend = LowResBackend()
    image = embed_full(backend, disc(140, 100, 9))
    first = image.predict(click(140, 100))
    assert backend.encoded == 2  # the crop around the mask on the full image, and the crop around the mask in that crop
    assert same(image.predict({1: click(140, 100)}), first)
    assert backend.encoded == 2


def test_changing_an_image_after_embed_does_not_change_its_masks() -> None:
    target = disc(140, 100, 12)
    given = draw(target)
    model = Segmenter(LowResBackend(), view_of_zoom(2.0))
    images = [model.embed(given, lazy=lazy) for lazy in (False, True)]
    if find_spec("torch"):
        import torch

        images.append(model.embed(torch.from_numpy(given).permute(2, 0, 1)))
    given[:] = 0
    for image in images:
        assert compute_region_similarity(target, image.predict(box(128, 88, 152, 112)).binary[0]) > 0.8


def test_the_repr_of_a_zoomed_image_is_one_line() -> None:
    model = Segmenter(LowResBackend(), view_of_zoom(2.0))
    assert repr(model) == "Segmenter(sam2.1-micro, fake, cpu, float32, 64 px, zoom 2)"
    assert repr(model.embed(draw(disc(9, 9, 5)))) == "EmbeddedImage(size=(200, 300), zoom 2)"
