"""Cleaned masks are shown as asked, and remembered only when that is asked too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from masklet.errors import SettingsError
from masklet.masks.connected_components import CLEAR
from masklet.masks.masks import Masks
from masklet.masks.nms import BEATEN
from masklet.masks.postprocessing import AS_FOUND, BARELY, Cleaning
from masklet.prompts import box, click
from masklet.tracking.session_file import read
from masklet.tracking.tracker import Tracker
from support.fake_backend import FakeBackend

PICTURES = np.random.RandomState(3).randint(0, 256, (12, 16, 16, 3)).astype(np.uint8)
ALL = Cleaning(holes=4, islands=3, apart=True)
REMEMBERED = Cleaning(holes=4, islands=3, apart=True, remembered=True)


def logits() -> np.ndarray:
    """A mask with a hole of one pixel and an island of one, on 8 × 8 pixels."""
    low_res = np.full((1, 8, 8), -5, np.float32)
    low_res[0, 1:6, 1:6], low_res[0, 3, 3], low_res[0, 7, 7] = 5, -5, 5
    return low_res


def test_holes_are_filled_barely_and_islands_dropped_clearly() -> None:
    cleaned = Cleaning(holes=1, islands=1).kept(logits())
    assert cleaned[0, 3, 3] == np.float32(BARELY) and cleaned[0, 7, 7] == -CLEAR
    assert (cleaned != logits()).sum() == 2


def test_larger_ones_stay() -> None:
    assert (Cleaning(holes=0.5, islands=0.5).kept(logits()) == logits()).all()


def test_masks_are_shown_as_they_would_be_remembered() -> None:
    masks = Masks.from_logits(logits(), (8, 8))
    assert (Cleaning(holes=1, islands=1).pieced(masks).low_res == Cleaning(holes=1, islands=1).kept(logits())).all()
    assert AS_FOUND.parted(AS_FOUND.pieced(masks)) is masks


def test_objects_are_kept_apart_by_the_higher_logit_also_from_those_that_stand() -> None:
    ours, theirs = np.full((1, 2, 2), 3, np.float32), np.array([[1, 9], [3, 4]], np.float32)
    assert Cleaning(apart=True).kept(ours, [theirs]).tolist() == [[[3, BEATEN], [3, BEATEN]]]


@pytest.mark.parametrize("areas", [{"holes": -1}, {"islands": -2}, {"holes": float("nan")}])
def test_areas_are_not_negative(areas: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="0 or more"):
        Cleaning(**areas)


def walk(tracker: Tracker, frames: range = range(12)) -> list[Masks]:
    tracker.prompt(0, {1: click(3, 3), 2: box(5, 5, 12, 12)}, PICTURES[0])
    return [tracker.step(index, PICTURES[index]) for index in frames]


def equal(one: list[Masks], other: list[Masks]) -> bool:
    return all(np.array_equal(a.low_res, b.low_res) for a, b in zip(one, other, strict=True))


def test_nothing_is_fed_back_unless_asked() -> None:
    plain = walk(Tracker(FakeBackend()))
    shown = walk(Tracker(FakeBackend(), cleaning=ALL))
    assert equal([ALL.parted(ALL.pieced(masks)) for masks in plain], shown) and not equal(plain, shown)


def remembered(cleaning: Cleaning) -> tuple[list[np.ndarray], list[Masks]]:
    """The logits that memories were made of, frame by frame, and the masks that were shown."""
    backend = FakeBackend()
    found: list[np.ndarray] = []
    before = backend.memorize
    backend.memorize = lambda f, d, p: (found.append(d.logits[:, 0]), before(f, d, p))[1]  # type: ignore[method-assign]
    return found, walk(Tracker(backend, cleaning=cleaning))


def test_what_is_remembered_is_what_is_shown() -> None:
    found, shown = remembered(Cleaning(holes=4, islands=3, remembered=True))
    assert len(found) == 12 and all(np.array_equal(a, b.low_res) for a, b in zip(found, shown, strict=True))


def test_no_place_is_remembered_of_two_objects_that_are_kept_apart() -> None:
    found, _ = remembered(REMEMBERED)
    assert len(found) == 12 and all(((one > 0).sum(axis=0) <= 1).all() for one in found)


def test_with_separation_remembered_a_correction_of_one_object_reaches_the_others() -> None:
    def corrected(tracker: Tracker) -> list[Masks]:
        tracker.prompt(4, {1: click(9, 9)}, PICTURES[4])
        return [tracker.step(index, PICTURES[index]) for index in range(12)]

    tracker = Tracker(FakeBackend(), cleaning=REMEMBERED)
    first = walk(tracker)
    second = corrected(tracker)
    third = [tracker.step(index, PICTURES[index]) for index in range(12)]
    assert equal(second, third), "walking again changes nothing"
    assert any(not np.array_equal(a.of(2).low_res, b.of(2).low_res) for a, b in zip(first[5:], second[5:], strict=True))
    alone = Tracker(FakeBackend(), cleaning=Cleaning(holes=4, islands=3, remembered=True))
    first, second = walk(alone), corrected(alone)
    assert all(np.array_equal(a.of(2).low_res, b.of(2).low_res) for a, b in zip(first, second, strict=True))


def test_a_session_remembers_how_masks_are_cleaned(tmp_path: Path) -> None:
    tracker = Tracker(FakeBackend(), cleaning=REMEMBERED)
    walk(tracker, range(6))
    tracker.save(tmp_path / "session")
    again = read(tmp_path / "session", FakeBackend())
    assert again.cleaning == REMEMBERED
    rest = [[one.step(index, PICTURES[index]) for index in range(6, 12)] for one in (tracker, again)]
    assert equal(*rest)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cleaned_masks_are_remembered_in_any_number_format(dtype: str, checkpoint: object) -> None:
    import masklet

    model = masklet.load(checkpoint("sam2.1-micro", 1), device="cpu", size=64, dtype=dtype)  # type: ignore[operator]
    clip = np.random.RandomState(0).randint(0, 256, (3, 48, 64, 3)).astype(np.uint8)
    prompts = {1: click(20, 20), 2: box(5, 5, 40, 40)}
    frames = list(model.track(clip, prompts, cleaning=Cleaning(holes=9, islands=9, apart=True, remembered=True)))
    assert all(not (frame.masks.binary.sum(axis=0) > 1).any() for frame in frames)


def test_a_hidden_object_stays_hidden_however_large_holes_may_be() -> None:
    hidden = np.full((1, 4, 4), -1024, np.float32)
    assert (Cleaning(holes=100, remembered=True).kept(hidden) == hidden).all()
