"""SAMURAI's memory, compared with an independent transcription of its published rule."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.errors import SettingsError
from masklet.memory.policy import Record
from masklet.memory.samurai import SamuraiMemory
from support.matrix_kalman import MatrixKalman
from support.memory_run import FixedCandidates, MemoryRun, draw_candidates, load_candidates, make_candidates, run_on


def overlap(p: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    w = max(0.0, min(p[2], b[2]) - max(p[0], b[0]))
    h = max(0.0, min(p[3], b[3]) - max(p[1], b[1]))
    return float(w * h / ((p[2] - p[0]) * (p[3] - p[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h))


class Transcription:
    """The published rule for one object that is tracked forward; frames are distances from the first one."""

    def __init__(self, weight: float = 0.25, stable_frames_threshold: int = 15) -> None:
        self.weight = weight
        self.stable_frames_threshold = stable_frames_threshold
        self.iou: dict[int, float] = {}
        self.object_score: dict[int, float] = {}
        self.motion_score: dict[int, float] = {}
        self.prompted: list[int] = []
        self.restart()

    def restart(self) -> None:
        self.kalman: MatrixKalman | None = None
        self.stable = 0

    def track(self, t: int, c: FixedCandidates) -> int:
        boxes = c.boxes.astype(float) if c.object_score > -1 else np.zeros((3, 4))
        scores = [float(iou) for iou in c.iou]
        if self.kalman is None or self.stable == 0:
            best = scores.index(max(scores))
            if boxes[best].any():
                self.kalman = MatrixKalman(boxes[best])
                self.stable = 1
        elif self.stable < self.stable_frames_threshold:
            self.kalman.predict()
            best = scores.index(max(scores))
            if scores[best] > 0.3 and boxes[best].any():
                self.kalman.update(boxes[best])
                self.stable += 1
            else:
                self.stable = 0
        else:
            self.kalman.predict()
            overlaps = [overlap(self.kalman.box, box) for box in boxes]
            weighted = [self.weight * a + (1 - self.weight) * b for a, b in zip(overlaps, scores, strict=True)]
            best = weighted.index(max(weighted))
            self.motion_score[t] = overlaps[best]
            if scores[best] < 0.3 or not boxes[best].any():
                self.stable = 0
            else:
                self.kalman.update(boxes[best])
        self.iou[t] = scores[best]
        self.object_score[t] = c.object_score
        return best

    def select(self, t: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        valid: list[int] = []
        for i in range(t - 1, -1, -1):
            if i in self.iou and self.iou[i] > 0.5 and self.object_score[i] > 0 and self.motion_score.get(i, 1) > 0:
                valid.insert(0, i)
            if len(valid) >= 15:
                break
        previous = max((i for i in {*self.iou, *self.prompted} if i < t), default=-1)
        if previous not in valid and previous in self.iou:
            valid.append(previous)
        slots = [(6, i) for i in self.prompted]
        for t_pos in range(1, 7):
            index = t_pos - 7
            if index >= -len(valid):
                slots.append((6 - t_pos, valid[index]))
        pointers = [(t - i, i) for i in self.prompted if i <= t]
        pointers += [(d, t - d) for d in range(1, 16) if t - d in self.iou]
        return slots, pointers


CASES = {
    "recorded": load_candidates()[:1] + load_candidates(),
    "random 1": draw_candidates(150, 1),
    "random 2": draw_candidates(150, 2),
}


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("weight, stable_frames", [(0.25, 15), (0.15, 15), (0.6, 3)])
@pytest.mark.parametrize("case", CASES)
def test_masks_and_memories_equal_the_transcription(
    case: str, weight: float, stable_frames: int, direction: int
) -> None:
    expected = Transcription(weight, stable_frames)
    run = MemoryRun(SamuraiMemory(motion_weight=weight, stable_frames=stable_frames), direction)
    prompts, gaps = (0, 50), (20, 21, 22, 53)
    chosen = set()
    for frame, candidates, selection, choice in run_on(run, CASES[case], prompts, gaps):
        t = frame * direction
        for prompt in prompts:
            if prompt < t and prompt not in expected.prompted:
                expected.prompted.append(prompt)
                expected.restart()
        slots, pointers = expected.select(t)
        assert selection.slots == tuple((slot, i * direction) for slot, i in slots)
        assert selection.pointers == tuple((since, i * direction) for since, i in pointers)
        assert selection.scales is None
        assert choice.hypothesis == 0
        assert choice.candidate == expected.track(t, candidates)
        chosen.add(choice.candidate != candidates.iou.argmax())
    assert expected.motion_score
    assert chosen == {True, False} or weight < 0.6  # motion decided on some frames


def stretch(boxes: list[tuple[int, int, int, int]], iou: list[float], object_score: float = 5.0) -> FixedCandidates:
    masks = np.zeros((3, 32, 64), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return make_candidates(masks, iou, object_score)


HERE, THERE, NOWHERE = (4, 4, 16, 16), (40, 10, 52, 22), (0, 0, 0, 0)


def track_stably(policy: SamuraiMemory, frames: int = 15) -> MemoryRun:
    run = MemoryRun(policy)
    run.prompt(0)
    for frame in range(1, frames + 1):
        run.step(frame, stretch([HERE, THERE, NOWHERE], [0.9, 0.2, 0.1]))
    return run


def test_motion_overrules_a_slightly_higher_iou_after_15_frames() -> None:
    tempting = stretch([HERE, THERE, NOWHERE], [0.8, 0.9, 0.1])
    assert track_stably(SamuraiMemory(), 14).step(15, tempting)[1].candidate == 1
    assert track_stably(SamuraiMemory(), 15).step(16, tempting)[1].candidate == 0
    assert track_stably(SamuraiMemory(motion_weight=0), 15).step(16, tempting)[1].candidate == 1


def test_equal_ious_choose_the_mask_that_fits_the_motion() -> None:
    run = track_stably(SamuraiMemory())
    assert run.step(16, stretch([NOWHERE, THERE, HERE], [0.7, 0.7, 0.7]))[1].candidate == 2


def test_a_hidden_object_restarts_the_filter_where_it_appears_again() -> None:
    run = track_stably(SamuraiMemory())
    for frame in range(16, 19):
        _, choice = run.step(frame, stretch([HERE, HERE, HERE], [0.5, 0.6, 0.4], object_score=-2))
        assert choice.state[0] == 0
    run.step(19, stretch([THERE, HERE, NOWHERE], [0.9, 0.2, 0.1]))
    _, choice = run.step(20, stretch([THERE, HERE, NOWHERE], [0.5, 0.9, 0.1]))
    assert choice.candidate == 1  # the filter is at THERE, but is not stable


def test_a_frame_without_motion_overlap_is_not_recalled() -> None:
    run = track_stably(SamuraiMemory())
    _, choice = run.step(16, stretch([THERE, THERE, THERE], [0.9, 0.9, 0.9]))
    assert choice.state[:2] == (15, 0)
    for frame in range(17, 19):
        selection, _ = run.step(frame, stretch([HERE, THERE, NOWHERE], [0.9, 0.2, 0.1]))
        assert (0, frame - 1) in selection.slots  # the frame before is always recalled
    assert 16 not in [t for _, t in selection.slots]


def test_a_bad_frame_before_a_correction_is_not_recalled() -> None:
    run = MemoryRun(SamuraiMemory())
    run.prompted = {0: Record(1, 10), 5: Record(1, 10)}
    run.tracked = {1: Record(0.9, 5), 2: Record(0.9, 5), 3: Record(0.1, 5), 4: Record(0.1, 5)}
    assert run.policy.select(run.past(6), 6, 1).slots == ((6, 0), (6, 5), (1, 1), (0, 2))
    assert run.policy.select(run.past(5), 5, 1).slots == ((6, 0), (6, 5), (2, 1), (1, 2), (0, 4))


def test_a_barely_visible_object_moves_the_filter_but_its_frame_is_not_recalled() -> None:
    run = track_stably(SamuraiMemory())
    _, choice = run.step(16, stretch([HERE, THERE, NOWHERE], [0.9, 0.2, 0.1], object_score=-0.5))
    assert choice.state[:2] == pytest.approx((15, 1), abs=0.1)
    run.step(17, stretch([HERE, THERE, NOWHERE], [0.9, 0.2, 0.1]))
    assert 16 not in [t for _, t in run.policy.select(run.past(18), 18, 1).slots]


@pytest.mark.parametrize(
    "numbers", [{"motion_weight": 1.5}, {"stable_frames": 0}, {"stable_frames": 2.5}, {"memory_iou": "high"}]
)
def test_numbers_out_of_range_are_errors(numbers: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(numbers))} of SamuraiMemory must be") as caught:
        SamuraiMemory(**numbers)  # type: ignore[arg-type]
    assert caught.value.code == "bad-usage"
