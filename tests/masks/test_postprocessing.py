"""Post-processing applies to the returned masks, and to the memory bank only if that is requested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from masklet.errors import SettingsError
from masklet.masks.connected_components import FILL_LOGIT
from masklet.masks.masks import Masks
from masklet.masks.overlap import MAX_LOSING_LOGIT
from masklet.masks.postprocessing import NO_POSTPROCESSING, VIDEO_FILL_LOGIT, PostProcessing
from masklet.prompts import box, click
from masklet.tracking.session_reader import read_session
from masklet.tracking.tracker import Tracker
from support.fake_backend import FakeBackend

IMAGES = np.random.RandomState(3).randint(0, 256, (12, 16, 16, 3)).astype(np.uint8)
ALL = PostProcessing(fill_holes=4, remove_islands=3, non_overlapping=True)
IN_MEMORY = PostProcessing(fill_holes=4, remove_islands=3, non_overlapping=True, in_memory=True)


def logits() -> np.ndarray:
    """Return the logits of a mask with a hole and an island of one pixel each, on 8 × 8 pixels."""
    low_res = np.full((1, 8, 8), -5, np.float32)
    low_res[0, 1:6, 1:6], low_res[0, 3, 3], low_res[0, 7, 7] = 5, -5, 5
    return low_res


def test_filled_holes_get_a_low_logit_and_removed_islands_minus_ten() -> None:
    processed = PostProcessing(fill_holes=1, remove_islands=1).process_for_memory(logits())
    assert processed[0, 3, 3] == np.float32(VIDEO_FILL_LOGIT) and processed[0, 7, 7] == -FILL_LOGIT
    assert (processed != logits()).sum() == 2


def test_larger_holes_and_islands_remain() -> None:
    assert (PostProcessing(fill_holes=0.5, remove_islands=0.5).process_for_memory(logits()) == logits()).all()


def test_returned_masks_equal_those_written_to_memory() -> None:
    masks = Masks.from_logits(logits(), (8, 8))
    assert (
        PostProcessing(fill_holes=1, remove_islands=1).fill_and_remove(masks).low_res
        == PostProcessing(fill_holes=1, remove_islands=1).process_for_memory(logits())
    ).all()
    assert NO_POSTPROCESSING.separate(NO_POSTPROCESSING.fill_and_remove(masks)) is masks


def test_objects_are_separated_by_the_highest_logit_also_from_other_objects() -> None:
    ours, theirs = np.full((1, 2, 2), 3, np.float32), np.array([[1, 9], [3, 4]], np.float32)
    assert PostProcessing(non_overlapping=True).process_for_memory(ours, [theirs]).tolist() == [
        [[3, MAX_LOSING_LOGIT], [3, MAX_LOSING_LOGIT]]
    ]


@pytest.mark.parametrize("areas", [{"fill_holes": -1}, {"remove_islands": -2}, {"fill_holes": float("nan")}])
def test_negative_areas_are_refused(areas: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="0 or more"):
        PostProcessing(**areas)


def test_files_name_the_options_as_version_0_1_did() -> None:
    fields = {"holes": 4, "islands": 3, "apart": True, "remembered": True}
    assert IN_MEMORY.to_fields() == fields
    assert PostProcessing.from_fields(fields) == IN_MEMORY
    assert PostProcessing.from_fields({"holes": 4}) == PostProcessing(fill_holes=4)


def track(tracker: Tracker, frames: range = range(12)) -> list[Masks]:
    tracker.prompt(0, {1: click(3, 3), 2: box(5, 5, 12, 12)}, IMAGES[0])
    return [tracker.step(index, IMAGES[index]) for index in frames]


def equal(one: list[Masks], other: list[Masks]) -> bool:
    return all(np.array_equal(a.low_res, b.low_res) for a, b in zip(one, other, strict=True))


def test_memory_is_not_post_processed_by_default() -> None:
    plain = track(Tracker(FakeBackend()))
    returned = track(Tracker(FakeBackend(), postprocessing=ALL))
    assert equal([ALL.separate(ALL.fill_and_remove(masks)) for masks in plain], returned) and not equal(plain, returned)


def track_and_record(postprocessing: PostProcessing) -> tuple[list[np.ndarray], list[Masks]]:
    """Return the logits that were written to memory, frame by frame, and the returned masks."""
    backend = FakeBackend()
    written: list[np.ndarray] = []
    before = backend.memorize
    backend.memorize = lambda f, d, p: (
        written.append(np.concatenate([one.logits[:, 0] for one in d])),
        before(f, d, p),
    )[1]  # type: ignore[method-assign]
    return written, track(Tracker(backend, postprocessing=postprocessing))


def test_masks_in_memory_equal_the_returned_masks() -> None:
    written, returned = track_and_record(PostProcessing(fill_holes=4, remove_islands=3, in_memory=True))
    assert len(written) == 12 and all(np.array_equal(a, b.low_res) for a, b in zip(written, returned, strict=True))


def test_masks_in_memory_do_not_overlap_with_the_constraint() -> None:
    written, _ = track_and_record(IN_MEMORY)
    assert len(written) == 12 and all(((one > 0).sum(axis=0) <= 1).all() for one in written)


def test_with_the_constraint_in_memory_a_correction_changes_the_other_objects() -> None:
    def correct(tracker: Tracker) -> list[Masks]:
        tracker.prompt(4, {1: click(9, 9)}, IMAGES[4])
        return [tracker.step(index, IMAGES[index]) for index in range(12)]

    tracker = Tracker(FakeBackend(), postprocessing=IN_MEMORY)
    first = track(tracker)
    second = correct(tracker)
    third = [tracker.step(index, IMAGES[index]) for index in range(12)]
    assert equal(second, third), "tracking again changes nothing"
    assert any(not np.array_equal(a.of(2).low_res, b.of(2).low_res) for a, b in zip(first[5:], second[5:], strict=True))
    alone = Tracker(FakeBackend(), postprocessing=PostProcessing(fill_holes=4, remove_islands=3, in_memory=True))
    first, second = track(alone), correct(alone)
    assert all(np.array_equal(a.of(2).low_res, b.of(2).low_res) for a, b in zip(first, second, strict=True))


def test_a_session_file_contains_the_post_processing(tmp_path: Path) -> None:
    tracker = Tracker(FakeBackend(), postprocessing=IN_MEMORY)
    track(tracker, range(6))
    tracker.save(tmp_path / "session")
    restored = read_session(tmp_path / "session", FakeBackend())
    assert restored.postprocessing == IN_MEMORY
    rest = [[one.step(index, IMAGES[index]) for index in range(6, 12)] for one in (tracker, restored)]
    assert equal(*rest)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_masks_in_memory_can_be_of_any_dtype(dtype: str, checkpoint: object) -> None:
    import masklet

    model = masklet.load(checkpoint("sam2.1-micro", 1), device="cpu", input_size=64, dtype=dtype)  # type: ignore[operator]
    clip = np.random.RandomState(0).randint(0, 256, (3, 48, 64, 3)).astype(np.uint8)
    prompts = {1: click(20, 20), 2: box(5, 5, 40, 40)}
    frames = list(
        model.track(
            clip,
            prompts,
            postprocessing=PostProcessing(fill_holes=9, remove_islands=9, non_overlapping=True, in_memory=True),
        )
    )
    assert all(not (frame.masks.binary.sum(axis=0) > 1).any() for frame in frames)


def test_a_hidden_object_stays_hidden_with_any_area_of_holes() -> None:
    hidden = np.full((1, 4, 4), -1024, np.float32)
    assert (PostProcessing(fill_holes=100, in_memory=True).process_for_memory(hidden) == hidden).all()
