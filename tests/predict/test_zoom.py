"""Looking closer: windows around objects, in pictures and in videos."""

from __future__ import annotations

import random
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from masklet import EmbeddedImage, Masks, Prompt, Segmenter, box, click, clicks, mask
from masklet.backend import Decoded, Features, Predictions, Query, Recall
from masklet.errors import BackendError, PromptError, SettingsError
from masklet.evaluate.j_and_f import compute_region_similarity
from masklet.masks.postprocessing import PostProcessing
from masklet.predict.crop import MAX_CROP_SHARE, MIN_CROP_PX, Crop, crop_around, widen_crop
from masklet.predict.zoomed_image import MAX_CROPS
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from support.color_backend import ColorBackend
from support.fake_backend import FakeBackend, RecomputingTracker, UnspilledTracker

SIZE = (200, 300)
GROUND, OBJECT = 60, 200
Picture = NDArray[np.uint8]


@dataclass
class LowResBackend(ColorBackend):
    """Sees 24 × 24 pixels of whatever it is shown."""

    def encode(self, images: Sequence[Picture]) -> list[Features]:
        return super().encode([few(image) for image in images])

    def use_masks(self, features: Features, masks: Sequence[NDArray[np.bool_]]) -> Decoded:
        return super().use_masks(features, [few(one.astype(np.uint8)) > 0 for one in masks])

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        return super().decode(features, [self._few(query) for query in queries], hide=hide)

    @staticmethod
    def _few(query: Query) -> Query:
        given = isinstance(query.mask, np.ndarray) and query.mask.dtype == bool
        return query._replace(mask=few(query.mask.astype(np.uint8)) > 0) if given else query


@dataclass
class Listening(LowResBackend):
    """Keeps the masks that it was told with each question, and the logits that it answered."""

    told: list[NDArray[Any] | None] = field(default_factory=list)
    answered: list[NDArray[Any]] = field(default_factory=list)

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        decoded = super().decode(features, queries, hide=hide)
        self.told += [query.mask for query in queries]
        self.answered += [decoded.logits[row] for row in range(len(queries))]
        return decoded

    def fetch_candidates(self, decoded: Decoded) -> Predictions:
        logits = decoded.logits[:, 0].repeat(3, 0)
        return Predictions(logits, np.ones(len(logits)), np.ones(len(logits)))


class Filled(FakeBackend):
    """Finds every object everywhere."""

    @staticmethod
    def _logits(key: int) -> NDArray[np.float32]:
        return np.full((1, 4, 4), 1 + key % 7, np.float32)

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        return super().decode(features, queries)


def few(image: Picture) -> Picture:
    return np.asarray(cv2.resize(image, (24, 24), interpolation=cv2.INTER_NEAREST), np.uint8)


def disc(x: float, y: float, radius: float, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: size[0], : size[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 < radius**2)


def shown(truth: NDArray[np.bool_]) -> Picture:
    return np.repeat(np.where(truth, OBJECT, GROUND)[..., None], 3, axis=2).astype(np.uint8)


def same(a: Masks, b: Masks) -> bool:
    return a.object_ids == b.object_ids and np.array_equal(a.low_res, b.low_res) and np.array_equal(a.scores, b.scores)


boxes = st.tuples(st.integers(0, 290), st.integers(0, 190), st.integers(1, 120), st.integers(1, 120)).map(
    lambda b: np.array([b[0], b[1], min(300, b[0] + b[2]), min(200, b[1] + b[3])], np.float64)
)


@given(boxes, st.floats(1, 5))
def test_a_window_is_a_square_in_the_picture_that_holds_the_box(tight: NDArray[np.float64], reach: float) -> None:
    window = crop_around(tight, SIZE, reach)
    if window is None:
        return
    height, width = window.size
    assert 0 <= window.left < window.right <= 300
    assert 0 <= window.top < window.bottom <= 200
    assert height == width or height == 200
    assert max(height, width) >= MIN_CROP_PX
    assert (np.array(window[:2]) <= tight[:2] + 1).all()
    assert (np.array(window[2:]) >= tight[2:] - 1).all()


def test_what_fills_the_picture_has_no_window() -> None:
    long = MAX_CROP_SHARE * 300 / 2
    assert crop_around(np.array([10, 10, 10 + long + 2, 20]), SIZE, 2) is None
    assert crop_around(np.array([10, 10, 10 + long - 2, 20]), SIZE, 2) is not None


def test_a_window_stays_while_its_object_hardly_moves_and_follows_it_then() -> None:
    first = crop_around(np.array([100, 80, 130, 110]), SIZE, 2)
    assert first is not None
    assert crop_around(np.array([105, 82, 137, 113]), SIZE, 2, first) == first
    moved = crop_around(np.array([125, 80, 155, 110]), SIZE, 2, first)
    assert moved is not None and moved.left == first.left + 25
    grown = crop_around(np.array([90, 70, 140, 120]), SIZE, 2, first)
    assert grown is not None and first.size[0] < grown.size[0] < 1.1 * first.size[0]
    full = crop_around(np.array([87, 67, 143, 123]), SIZE, 2, first)
    assert full is not None and full.size[0] > 1.2 * first.size[0]


def test_a_window_widens_to_the_whole_picture() -> None:
    window: Crop | None = Crop(100, 80, 140, 120)
    sizes = []
    while window is not None:
        sizes.append(window.size[1])
        window = widen_crop(window, SIZE)
    assert sizes == sorted(set(sizes))
    assert len(sizes) < 15


def test_prompts_come_into_a_window_and_masks_out_of_it() -> None:
    window = Crop(50, 40, 110, 100)
    truth = disc(80, 70, 12)
    told = window.to_crop(mask(truth) + clicks([(60, 50), (20, 20)], [1, 0]), SIZE)
    assert told is not None and told.mask is not None
    assert told.points.tolist() == [[10, 10]]
    logits = np.where(told.mask, np.float32(3), np.float32(-3))
    assert np.array_equal(window.paste(logits, SIZE) > 0, truth)
    assert window.to_crop(click(20, 20, positive=False), SIZE) is None
    assert window.to_crop(box(0, 0, 300, 200), SIZE) is not None


def test_a_mask_prompt_of_another_size_covers_the_picture_too() -> None:
    half = cv2.resize(disc(80, 70, 12).astype(np.uint8), (150, 100), interpolation=cv2.INTER_NEAREST)
    told = Crop(50, 40, 110, 100).to_crop(mask(half), SIZE)
    assert told is not None and told.mask is not None
    assert compute_region_similarity(disc(30, 30, 12, (60, 60)), told.mask) > 0.8


@pytest.mark.parametrize("prompt", [box(128, 88, 152, 112), click(140, 100), mask(disc(140, 100, 11))])
def test_small_objects_have_finer_masks_in_a_window(prompt: object) -> None:
    truth = disc(140, 100, 12)
    plain, zoomed = (Segmenter(LowResBackend(), zoom).segment(shown(truth), prompt) for zoom in (0.0, 2.0))  # type: ignore[arg-type]
    assert zoomed.size == plain.size == SIZE
    assert compute_region_similarity(truth, plain.binary[0]) < 0.75
    assert compute_region_similarity(truth, zoomed.binary[0]) > 0.8


def test_objects_have_windows_of_their_own_and_keep_their_ids() -> None:
    first, second = disc(60, 50, 11), disc(240, 150, 14)
    backend = LowResBackend()
    found = Segmenter(backend, 2.0).segment(shown(first | second), {4: box(49, 39, 71, 61), 2: box(226, 136, 254, 164)})
    assert found.object_ids == (4, 2)
    assert compute_region_similarity(first, found.binary[0]) > 0.8
    assert compute_region_similarity(second, found.binary[1]) > 0.8
    assert backend.encoded == 2  # the whole picture was never needed


def test_of_things_alike_the_one_that_was_clicked_is_looked_at() -> None:
    one, other = disc(60, 60, 12), disc(240, 140, 12)
    model = Segmenter(LowResBackend(), 2.0)
    found = model.segment(shown(one | other), click(60, 60))
    assert compute_region_similarity(one, found.binary[0]) > 0.8
    tracker = model.tracker()
    followed = tracker.prompt(0, {1: click(60, 60)}, shown(one | other))
    assert compute_region_similarity(one, followed.binary[0]) > 0.8


def test_what_fills_the_picture_is_answered_there() -> None:
    truth = disc(150, 100, 80)
    backend = LowResBackend()
    zoomed = Segmenter(backend, 2.0).segment(shown(truth), box(70, 20, 230, 180))
    plain = Segmenter(LowResBackend()).segment(shown(truth), box(70, 20, 230, 180))
    assert same(zoomed, plain)
    assert backend.encoded == 1


def test_a_mask_is_refined_in_the_window_around_it() -> None:
    truth = disc(140, 100, 7)
    picture = Segmenter(LowResBackend(), 2.0).embed(shown(truth))
    first = picture.predict({3: click(140, 100)})
    again = picture.predict({3: click(140, 100) + click(2, 2, positive=False)}, refine=first)
    assert again.object_ids == (3,)
    assert compute_region_similarity(truth, again.binary[0]) > 0.7


def test_the_box_of_a_prompt_says_where_to_look_also_beside_a_mask_to_refine() -> None:
    first, second = disc(60, 50, 11), disc(240, 150, 14)
    picture = Segmenter(LowResBackend(), 2.0).embed(shown(first | second))
    found = picture.predict(box(226, 136, 254, 164), refine=picture.predict(box(49, 39, 71, 61)))
    assert compute_region_similarity(second, found.binary[0]) > 0.8


def test_masks_of_the_picture_at_another_size_are_refined_like_those_of_it() -> None:
    truth = disc(140, 100, 7)
    picture = Segmenter(LowResBackend(), 2.0).embed(shown(truth))
    half = Masks.from_binary(disc(70, 50, 3.5, (100, 150)))
    asked = click(140, 100)
    assert same(picture.predict(asked, refine=half), picture.predict(asked, refine=replace(half, size=SIZE)))
    assert compute_region_similarity(truth, picture.predict(asked, refine=half).binary[0]) > 0.8


def test_a_box_on_the_edge_of_the_picture_is_one_of_its_window_too() -> None:
    edge = box(300.1, 10, 300.4, 40)
    Segmenter(LowResBackend(), 2.0).segment(shown(disc(290, 25, 9)), edge)
    Tracker(LowResBackend(), zoom=2.0).prompt(0, {1: edge}, shown(disc(290, 25, 9)))


def test_nothing_found_is_nothing_to_look_at() -> None:
    found = Segmenter(LowResBackend(), 2.0).segment(shown(disc(140, 100, 7)), click(5, 5, positive=False))
    assert found.areas.tolist() == [0]


@pytest.mark.parametrize("zoom", [0.5, -1, 1000, float("nan")])
def test_a_window_is_at_least_as_long_as_its_object(zoom: float) -> None:
    with pytest.raises(SettingsError, match="zoom") as caught:
        Segmenter(LowResBackend(), zoom)
    assert caught.value.code == "bad-usage"


def test_prompts_outside_the_picture_are_refused_before_anything_is_computed() -> None:
    backend = LowResBackend()
    with pytest.raises(PromptError, match="outside"):
        Segmenter(backend, 2.0).segment(shown(disc(140, 100, 7)), {1: box(1, 1, 9, 9), 2: click(900, 5)})
    assert backend.encoded == 0


@pytest.mark.parametrize("zoom", [0.0, 2.0])
def test_a_frame_that_could_not_be_encoded_may_be_given_again(zoom: float) -> None:
    class Choosy(LowResBackend):
        def encode(self, images: Sequence[Picture]) -> list[Features]:
            if not images[0].any():
                raise BackendError("non-finite-output", "black")
            return super().encode(images)

    truth = disc(140, 100, 7)
    tracker = Tracker(Choosy(), zoom=zoom)
    with pytest.raises(BackendError):
        tracker.prompt(0, {1: box(130, 90, 150, 110)}, np.zeros((*SIZE, 3), np.uint8))
    assert tracker.prompt(0, {1: box(130, 90, 150, 110)}, shown(truth)).areas.all()
    assert tracker.prompt(0, {1: click(140, 100)}, np.zeros((*SIZE, 3), np.uint8)).areas.all()  # the first one stands


def test_of_many_windows_one_is_held_at_a_time() -> None:
    kept: list[weakref.ref[Picture]] = []

    class Remembering(LowResBackend):
        most = 0

        def encode(self, images: Sequence[Picture]) -> list[Features]:
            (features,) = super().encode(images)
            kept.append(weakref.ref(features.stride16))
            self.most = max(self.most, sum(one() is not None for one in kept))
            return [features]

    backend = Remembering()
    tracker = Tracker(backend, zoom=2.0)
    for frame in range(2):
        tracker.prompt(frame, {k: box(30 * k, 20, 30 * k + 9, 30) for k in range(1, 9)}, shown(disc(140, 100, 7)))
        tracker.prompt(frame, {9: click(140, 100)})
    assert backend.most == 2  # and the picture


PATH = [(40 + 5 * t, 60 + 3 * t) for t in range(24)]
TRUTHS = [disc(x, y, 7 + t / 8) for t, (x, y) in enumerate(PATH)]


@pytest.mark.parametrize("prompt", [mask(TRUTHS[0]), box(33, 53, 48, 68), click(40, 60)])
def test_a_window_goes_with_its_object(prompt: object) -> None:
    frames = [shown(truth) for truth in TRUTHS]
    tracked = [
        [frame.masks.binary[0] for frame in Segmenter(LowResBackend(), zoom).track(iter(frames), prompt)]  # type: ignore[arg-type]
        for zoom in (0.0, 2.5)
    ]
    plain, zoomed = (
        [compute_region_similarity(*pair) for pair in zip(TRUTHS, masks, strict=True)] for masks in tracked
    )
    assert min(zoomed) > 0.7
    assert np.mean(plain) < np.mean(zoomed) - 0.15


def alike(truths: Sequence[NDArray[np.bool_]], masks: Mapping[int, Masks]) -> list[float]:
    return [compute_region_similarity(truths[frame], one.binary[0]) for frame, one in masks.items()]


def followed(*frames: int) -> tuple[Tracker, dict[int, Masks]]:
    """What moves, prompted on the first of these frames and seen on all of them."""
    tracker = Tracker(LowResBackend(), np.stack([shown(truth) for truth in TRUTHS]), zoom=2.5)
    tracker.prompt(frames[0], {1: mask(TRUTHS[frames[0]])})
    return tracker, {frame: tracker.step(frame) for frame in frames}


def test_a_walk_back_begins_where_the_object_was_prompted() -> None:
    tracker, _ = followed(*range(12, 24))
    back = {frame: tracker.step(frame, direction=-1) for frame in range(11, -1, -1)}
    assert min(alike(TRUTHS, back)) > 0.7


def test_a_walk_that_is_taken_again_gives_the_same_and_computes_nothing() -> None:
    tracker, first = followed(*range(24))
    assert isinstance(tracker.backend, LowResBackend)
    encoded = tracker.backend.encoded
    for frame in (23, 6, 7, 23):
        assert same(tracker.step(frame), first[frame])
    assert tracker.backend.encoded == encoded


def test_a_walk_goes_on_where_the_object_is_after_a_correction_far_behind() -> None:
    tracker, _ = followed(*range(20))
    tracker.prompt(3, {1: mask(TRUTHS[3])})
    assert min(alike(TRUTHS, {frame: tracker.step(frame) for frame in range(20, 24)})) > 0.7


def test_a_prompt_that_is_taken_back_leaves_no_window() -> None:
    tracker, _ = followed(*range(20))
    tracker.prompt(19, {1: mask(disc(20, 180, 8))})
    tracker.remove_prompt(19, 1)
    assert min(alike(TRUTHS, {19: tracker.step(19)})) > 0.7


@pytest.mark.parametrize("zoom", [1.0, 1.2, 2.0, 3.0])
def test_a_window_grows_as_fast_as_its_object(zoom: float) -> None:
    truths = [disc(150, 100, 12 * 1.15**t) for t in range(14)]
    tracked = Segmenter(LowResBackend(), zoom).track(iter([shown(truth) for truth in truths]), mask(truths[0]))
    assert min(compute_region_similarity(truths[frame.index], frame.masks.binary[0]) for frame in tracked) > 0.7


def test_a_lost_object_is_found_again_elsewhere() -> None:
    truths = [disc(60, 60, 8)] * 3 + [np.zeros(SIZE, bool)] * 12 + [disc(240, 150, 20)] * 4
    frames = [shown(truth) for truth in truths]
    found = [f.masks.binary[0] for f in Segmenter(LowResBackend(), 2.0).track(iter(frames), mask(truths[0]))]
    assert compute_region_similarity(truths[2], found[2]) > 0.8
    assert not any(one.any() for one in found[3:15])
    assert compute_region_similarity(truths[-1], found[-1]) > 0.8


@pytest.mark.parametrize("prompt", [click(150, 100), click(150, 100) + click(20, 20, positive=False)])
def test_a_click_on_what_fills_the_picture_is_answered_there_once(prompt: Prompt) -> None:
    picture = shown(disc(150, 100, 85))
    tracker = Tracker(Filled(), zoom=2.0)
    assert same(tracker.prompt(0, {1: prompt}, picture), Tracker(Filled()).prompt(0, {1: prompt}, picture))
    assert isinstance(tracker.backend, Filled)
    assert tracker.backend.methods() == ["encode", "attend", "decode", "memorize"]


@pytest.mark.parametrize("video", [False, True])
def test_a_click_is_looked_at_closer_twice_the_second_time_where_the_first_showed_it(video: bool) -> None:
    truth, windows = disc(140, 100, 9), []

    class Watched(LowResBackend):
        def encode(self, images: Sequence[Picture]) -> list[Features]:
            windows.extend(image.shape[1] for image in images)
            return super().encode(images)

    if video:
        Tracker(Watched(), zoom=2.0).prompt(0, {1: click(140, 100)}, shown(truth))
    else:
        Segmenter(Watched(), 2.0).segment(shown(truth), click(140, 100))
    whole, first, second = windows
    assert whole == SIZE[1] > 3 * max(first, second)


@pytest.mark.parametrize("video", [False, True])
def test_what_is_answered_in_a_window_is_asked_again_with_the_answer(video: bool) -> None:
    truth, backend = disc(140, 100, 7), Listening()
    if video:
        Tracker(backend, zoom=2.0).prompt(0, {1: box(132, 92, 148, 108)}, shown(truth))
    else:
        Segmenter(backend, 2.0).segment(shown(truth), box(132, 92, 148, 108))
    first, second = backend.told
    assert first is None and second is not None
    assert np.array_equal(np.squeeze(second), np.squeeze(backend.answered[0]))


def test_all_three_masks_and_a_mask_that_was_given_are_asked_for_once() -> None:
    truth = disc(140, 100, 7)
    for prompt, multimask in ((mask(truth) + click(140, 100), None), (box(132, 92, 148, 108), True)):
        backend = Listening()
        embedded = Segmenter(backend, 2.0).embed(shown(truth))
        assert len(embedded.predict(prompt, multimask=multimask)) == (3 if multimask else 1)
        assert len(backend.told) == 1


def test_a_click_is_answered_in_the_picture_and_then_in_the_window() -> None:
    truth = disc(140, 100, 7)
    tracker = Tracker(LowResBackend(), zoom=2.0)
    asked = {1: click(140, 100), 2: click(142, 100), 3: box(132, 92, 148, 108)}
    found = tracker.prompt(0, asked, shown(truth))
    assert found.object_ids == (1, 2, 3)
    assert min(compute_region_similarity(truth, one) for one in found.binary) > 0.7


def test_a_correction_is_answered_in_the_window_of_what_was_found() -> None:
    frames = np.stack([shown(truth) for truth in TRUTHS])
    tracker = Tracker(LowResBackend(), frames, zoom=2.5)
    tracker.prompt(0, {1: mask(TRUTHS[0])})
    for frame in range(12):
        tracker.step(frame)
    corrected = tracker.prompt(6, {1: click(*PATH[6])})
    assert compute_region_similarity(TRUTHS[6], corrected.binary[0]) > 0.7
    assert same(tracker.step(6), corrected)
    assert compute_region_similarity(TRUTHS[11], [tracker.step(frame) for frame in range(7, 12)][-1].binary[0]) > 0.7


def test_masks_are_cleaned_in_their_windows_and_kept_apart_in_the_picture() -> None:
    truth = disc(60, 60, 8)
    picture = shown(truth)
    tracker = Tracker(LowResBackend(), zoom=2.0, postprocessing=PostProcessing(remove_islands=3, non_overlapping=True))
    masks = tracker.prompt(0, {1: box(52, 52, 69, 69), 2: click(61, 61)}, picture)
    assert masks.low_res.shape == (2, *SIZE)
    assert not masks.binary.all(axis=0).any()
    with pytest.raises(SettingsError, match="non-overlapping memories"):
        Tracker(LowResBackend(), zoom=2.0, postprocessing=PostProcessing(non_overlapping=True, in_memory=True))


LENGTH = 30
CLIP = np.random.RandomState(0).randint(0, 256, (LENGTH, 60, 96, 1), np.uint8)


def session(rng: random.Random, *trackers: Tracker) -> None:
    """Does the same random things to several trackers, and sees that they answer the same."""
    for _ in range(8):
        frame, step, count = rng.randrange(LENGTH), rng.choice([1, 1, -1]), rng.randint(1, 12)
        x, y = rng.randint(0, 80), rng.randint(0, 50)
        prompt = rng.choice([click(x, y), box(x, y, x + 9, y + 9), mask(disc(x, y, 5, (60, 96)))])
        key = rng.randint(1, 2)
        answers = []
        for one in trackers:
            found = [one.prompt(frame, {key: prompt})]
            found += [one.step(k, direction=step) for k in range(frame, frame + step * count, step) if 0 <= k < LENGTH]
            answers.append(found)
        for other in answers[1:]:
            assert all(same(a, b) for a, b in zip(answers[0], other, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_neither_trimming_nor_reuse_changes_a_mask(seed: int) -> None:
    rng = random.Random(seed)
    session(rng, *(kind(FakeBackend(), CLIP, zoom=1.5) for kind in (Tracker, UnspilledTracker, RecomputingTracker)))


@pytest.mark.parametrize("seed", range(6))
def test_a_saved_session_goes_on_with_its_windows(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    one = Tracker(FakeBackend(), CLIP, zoom=1.5)
    session(rng, one)
    one.save(tmp_path / "session")
    session(rng, one, read_session(tmp_path / "session", FakeBackend(), CLIP))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_objects_in_windows_do_not_influence_each_other(seed: int) -> None:
    rng = random.Random(seed)
    prompts = {key: click(rng.randint(0, 95), rng.randint(0, 59)) for key in (1, 2)}
    together = Tracker(FakeBackend(), CLIP, zoom=1.5)
    together.prompt(0, prompts)
    alone = {key: Tracker(FakeBackend(), CLIP, zoom=1.5) for key in prompts}
    for key, one in alone.items():
        one.prompt(0, {key: prompts[key]})
    for frame in range(4):
        masks = together.step(frame)
        for key, one in alone.items():
            assert np.array_equal(masks.of(key).binary, one.step(frame).binary)


def embedded_whole(backend: LowResBackend, truth: NDArray[np.bool_]) -> EmbeddedImage:
    """A picture whose whole is encoded, with the count of encodings set back to 0."""
    picture = Segmenter(backend, 2.0).embed(shown(truth))
    assert backend.encoded == 1
    backend.encoded = 0
    return picture


def test_embedding_encodes_the_whole_picture_once() -> None:
    backend = LowResBackend()
    picture = embedded_whole(backend, disc(150, 100, 80))
    for _ in range(3):
        picture.predict(box(70, 20, 230, 180))  # fills the picture, in which it is answered
    assert backend.encoded == 0


def test_pictures_are_encoded_in_one_call() -> None:
    calls: list[int] = []

    class Counting(LowResBackend):
        def encode(self, images: Sequence[Picture]) -> list[Features]:
            calls.append(len(images))
            return super().encode(images)

    truths = [disc(150, 100, 80), disc(40, 60, 9)]
    pictures = Segmenter(Counting(), 2.0).embed([shown(truth) for truth in truths])
    assert calls == [2]
    for truth, picture in zip(truths, pictures, strict=True):
        alone = Segmenter(LowResBackend(), 2.0).segment(shown(truth), mask(truth))
        assert same(picture.predict(mask(truth)), alone)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_crop_that_is_prompted_four_times_is_encoded_once(lazy: bool) -> None:
    truth, backend = disc(140, 100, 12), LowResBackend()
    picture = Segmenter(backend, 2.0).embed(shown(truth), lazy=lazy)
    whole = 0 if lazy else 1
    assert backend.encoded == whole
    asked = box(128, 88, 152, 112)
    found = [picture.predict(asked) for _ in range(4)]
    assert backend.encoded == whole + 1
    fresh = Segmenter(LowResBackend(), 2.0).segment(shown(truth), asked)
    assert all(same(one, fresh) for one in found)


def test_a_click_that_is_repeated_encodes_nothing() -> None:
    backend = LowResBackend()
    picture = embedded_whole(backend, disc(140, 100, 9))
    first = picture.predict(click(140, 100))
    assert backend.encoded == 2  # the crop of what is found in the picture, and the crop of what is seen there
    assert same(picture.predict({1: click(140, 100)}), first)
    assert backend.encoded == 2


def test_the_least_recently_used_crop_makes_room() -> None:
    backend = LowResBackend()
    picture = embedded_whole(backend, disc(140, 100, 9))
    asked = [box(30 * k, 20, 30 * k + 9, 30) for k in range(MAX_CROPS + 1)]
    for prompt in (*asked[:MAX_CROPS], asked[0], asked[MAX_CROPS]):  # the last one takes the place of the second one
        picture.predict(prompt)
    assert backend.encoded == MAX_CROPS + 1
    for prompt in (asked[0], *asked[2:]):
        picture.predict(prompt)
    assert backend.encoded == MAX_CROPS + 1
    picture.predict(asked[1])
    assert backend.encoded == MAX_CROPS + 2


def test_an_image_keeps_no_more_crops_than_its_budget() -> None:
    kept: list[weakref.ref[Picture]] = []

    class Remembering(LowResBackend):
        def attend(self, features: Features, recalls: Sequence[Recall]) -> Features:
            seen = super().attend(features, recalls)
            kept.append(weakref.ref(seen.stride16))
            return seen

    picture = Segmenter(Remembering(), 2.0).embed(shown(disc(140, 100, 9)))
    for k in range(3 * MAX_CROPS):
        picture.predict(box(10 * k, 20, 10 * k + 9, 30))
    assert sum(one() is not None for one in kept) == MAX_CROPS + 1  # and the picture


def test_a_picture_that_is_changed_after_it_was_embedded_is_answered_as_it_was() -> None:
    truth = disc(140, 100, 12)
    given_picture = shown(truth)
    pictures = [Segmenter(LowResBackend(), 2.0).embed(given_picture, lazy=lazy) for lazy in (False, True)]
    given_picture[:] = 0
    for picture in pictures:
        assert compute_region_similarity(truth, picture.predict(box(128, 88, 152, 112)).binary[0]) > 0.8


def test_a_zoomed_image_is_shown_in_a_line() -> None:
    model = Segmenter(LowResBackend(), 2.0)
    assert repr(model) == "Segmenter(sam2.1-micro, fake, cpu, float32, 64 px, zoom 2)"
    assert repr(model.embed(shown(disc(9, 9, 5)))) == "ZoomedImage(size=(200, 300), zoom=2)"
