"""DAM4SAM's memory, compared with an independent transcription of its published rule."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.errors import SettingsError
from masklet.memory.dam4sam import Dam4SamMemory
from masklet.memory.policy import Record
from support.memory_run import FixedCandidates, MemoryRun, draw_candidates, load_candidates, make_candidates, run_on


def find_largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Flood fill of 8-connected components."""
    best: set[tuple[int, int]] = set()
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    for start in sorted(left):
        if start not in left:
            continue
        left.discard(start)
        component, queue = {start}, deque([start])
        while queue:
            y, x = queue.popleft()
            for near in ((y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
                if near in left:
                    left.discard(near)
                    component.add(near)
                    queue.append(near)
        if len(component) > len(best):
            best = component
    largest = np.zeros_like(mask)
    for y, x in best:
        largest[y, x] = True
    return largest


def compute_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class Transcription:
    """The published rule for one object that is tracked forward; frames are distances from the first one."""

    def __init__(self, min_iou: float, max_box_iou: float) -> None:
        self.min_iou, self.max_box_iou = min_iou, max_box_iou
        self.sizes: dict[int, int] = {}  # of tracked frames
        self.resolving: list[int] = []
        self.prompted: list[int] = []

    def prompt(self, t: int, size: int) -> None:
        self.prompted.append(t)
        self.object_sizes = [size]
        self.since = 10**6

    def track(self, t: int, c: FixedCandidates) -> int:
        best = int(np.argsort(-c.iou, kind="stable")[0])
        size = int(c.areas[best]) if c.object_score > 0 else 0
        self.object_sizes.append(size)
        self.sizes[t] = size
        self.since += 1
        visible = [one for one in self.object_sizes[-300:] if one >= 1][-10:]
        typical = size >= 1 and len(visible) > 1 and 0.8 <= size / np.median(visible) <= 1.2
        if typical and self.since > 5 and float(c.iou[best]) > self.min_iou and self.sees_distractor(c, best):
            self.resolving.append(t)
            self.since = 0
        return best

    def sees_distractor(self, c: FixedCandidates, best: int) -> bool:
        masks = c.logits > 0
        overlaps = []
        for i in range(3):
            rest = masks[i] & ~masks[best]
            if i != best and rest.sum() >= 1:
                x0, y0, x1, y1 = compute_box(find_largest_component(rest) | masks[best])
                a0, b0, a1, b1 = compute_box(masks[best])
                overlaps.append((a1 - a0) * (b1 - b0) / ((x1 - x0) * (y1 - y0)))
        return bool(overlaps) and min(overlaps) <= self.max_box_iou

    def select(self, t: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        drm = self.resolving[max(0, len(self.resolving) - max(0, 4 - len(self.prompted))) :]
        ram: list[int] = []
        for i in range(t - 1, -1, -1):
            if self.sizes.get(i, 0) >= 1 and i not in self.resolving and (ram == [] or i % 5 == 0):
                ram.append(i)
        ram = ram[: 7 - min(4, len(self.prompted) + len(drm))]
        slots = [(6, i) for i in self.prompted + drm]
        slots += [(len(ram) - 1 - k, i) for k, i in enumerate(reversed(ram))]
        near = {t - d for d in range(1, 16) if self.sizes.get(t - d, 0) >= 1}
        pointers = [(t - i, i) for i in self.prompted] + [(t - i, i) for i in sorted(near | set(drm), reverse=True)]
        return slots, pointers


CASES = {
    "recorded": (load_candidates()[:1] + load_candidates(), 0.4, 0.95),
    "random 1": (draw_candidates(300, 1), 0.8, 0.7),
    "random 2": (draw_candidates(200, 2), 0.6, 0.7),
}


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("case", CASES)
def test_masks_and_memories_equal_the_transcription(case: str, direction: int) -> None:
    candidates, min_iou, max_box_iou = CASES[case]
    expected = Transcription(min_iou, max_box_iou)
    run = MemoryRun(Dam4SamMemory(min_iou=min_iou, max_box_iou=max_box_iou), direction)
    prompts, gaps = (0, 52, 120), (20, 21, 22, 53)
    for frame, masks, selection, choice in run_on(run, candidates, prompts, gaps):
        t = frame * direction
        for prompt in prompts:
            if prompt < t and prompt not in expected.prompted:
                expected.prompt(prompt, 400)
        slots, pointers = expected.select(t)
        assert selection.slots == tuple((slot, i * direction) for slot, i in slots)
        assert selection.pointers == tuple((since, i * direction) for since, i in pointers)
        assert choice.candidate == expected.track(t, masks)
    assert len(expected.resolving) >= 1
    assert 0 in expected.sizes.values()


def show(*parts: slice, iou: float = 0.9, object_score: float = 5.0) -> FixedCandidates:
    """The object at columns 2 to 12; the second mask also has the parts, the third is empty."""
    masks = np.zeros((3, 20, 60), bool)
    masks[:2, 5:15, 2:12] = True
    for part in parts:
        masks[1, 5:15, part] = True
    return make_candidates(masks, [iou, 0.5, 0.1], object_score)


def list_added(policy: Dam4SamMemory, frames: list[FixedCandidates], area: int = 1600) -> list[int]:
    run = MemoryRun(policy)
    run.prompt(0, area)
    return [t for t, frame in enumerate(frames, 1) if run.step(t, frame)[1].state[1]]


FAR, NEAR = slice(40, 50), slice(12, 15)


def test_a_frame_with_a_distant_part_in_another_mask_is_added() -> None:
    assert list_added(Dam4SamMemory(), [show(), show(FAR)]) == [2]
    assert list_added(Dam4SamMemory(), [show(), show(NEAR)]) == []  # boxes overlap by 10 / 13
    assert list_added(Dam4SamMemory(max_box_iou=10 / 13), [show(), show(NEAR)]) == [2]


def test_only_the_largest_other_part_counts() -> None:
    speck = slice(58, 59)
    assert list_added(Dam4SamMemory(), [show(NEAR, speck)]) == []


@pytest.mark.parametrize(
    "frame, area",
    [
        (show(FAR, iou=0.75), 1600),
        (show(FAR, object_score=-1), 1600),  # hidden
        (show(FAR), 1000),  # 1600 / median(1600, 1000) > 1.2
        (show(FAR), 2500),  # 1600 / median(1600, 2500) < 0.8
    ],
)
def test_other_frames_are_not_added(frame: FixedCandidates, area: int) -> None:
    assert list_added(Dam4SamMemory(), [frame], area) == []


def test_an_addition_follows_more_than_five_frames_after_another() -> None:
    assert list_added(Dam4SamMemory(), [show(FAR)] * 20) == [1, 7, 13, 19]


def test_without_an_earlier_area_no_frame_is_added() -> None:
    assert list_added(Dam4SamMemory(), [show(FAR)], area=0) == []
    assert list_added(Dam4SamMemory(), [show(FAR), show(FAR)], area=0) == [2]


def test_areas_are_forgotten_after_the_window() -> None:
    frames = [show(object_score=-1)] * 9 + [show(FAR)]
    assert list_added(Dam4SamMemory(area_window=11), frames) == [10]
    assert list_added(Dam4SamMemory(area_window=10), frames) == []


def test_hidden_frames_are_not_recalled() -> None:
    run = MemoryRun(Dam4SamMemory())
    run.prompt(0)
    for frame in range(1, 30):
        run.step(frame, show(object_score=5 if frame <= 12 else -1))
    selection, _ = run.step(30, show())
    assert selection.slots == ((6, 0), (2, 5), (1, 10), (0, 12))
    assert selection.pointers == ((30, 0),)


def test_three_recent_frames_are_recalled_beside_many_prompts() -> None:
    run = MemoryRun(Dam4SamMemory())
    run.prompted = {t: Record(1, 10) for t in (0, 1, 2, 3, 60)}
    run.tracked = {t: Record(0.9, 5, run.policy.start(np.zeros(4), 9)) for t in range(4, 40)}
    run.tracked[8] = Record(0.9, 5, (1, 1, 0))
    slots = run.policy.select(run.past(40), 40, 1).slots
    assert slots == ((6, 0), (6, 1), (6, 2), (6, 3), (6, 60), (2, 30), (1, 35), (0, 39))


def test_the_initial_frame_and_three_additions_stay_without_temporal_position() -> None:
    run = MemoryRun(Dam4SamMemory())
    run.prompt(0, 1600)
    for frame in range(1, 27):
        selection, _ = run.step(frame, show(FAR))
    assert selection.slots == ((6, 0), (6, 13), (6, 19), (6, 25), (2, 15), (1, 20), (0, 24))
    assert [since for since, _ in selection.pointers] == [26, *range(1, 16)]


@pytest.mark.parametrize("numbers", [{"stride": 0}, {"resolving_frames": 7}, {"max_area_ratio": 0.9}, {"min_iou": -1}])
def test_numbers_out_of_range_are_errors(numbers: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(numbers))} of Dam4SamMemory must be"):
        Dam4SamMemory(**numbers)
