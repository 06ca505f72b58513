"""SAM2Long's memory, compared with an independent transcription of its published rule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from masklet.errors import SettingsError
from masklet.memory.policy import Choice, Past, Record
from masklet.memory.sam2long import Sam2LongMemory
from support.memory_run import FixedCandidates, MemoryRun, draw_candidates, load_candidates


class Pathway(NamedTuple):
    """One hypothesis of the transcription: score, and (frame, IoU, object score) of each of its tracked frames."""

    score: float
    frames: tuple[tuple[int, float, float], ...]


def transcribe_selection(
    pathway: Pathway, prompted: dict[int, float], t: int
) -> tuple[list[int], list[int], dict[int, float], dict[int, float]]:
    """Frames of maps and of pointers, nearest first, and the scales of both by frame; frames are distances."""
    good = [frame for frame, iou, score in pathway.frames if iou > 0.1 and score > 0]
    last = max((frame for frame, _, _ in pathway.frames), default=-1)
    if last not in good and last > max((p for p in prompted if p < t), default=-1):
        good.append(last)
    frames = sorted(good)[::-1]
    scores = {frame: score for frame, _, score in pathway.frames}

    def scale(selected: list[int], with_prompts: list[int]) -> dict[int, float]:
        ranked = sorted(sorted(selected), key=lambda frame: scores[frame])
        ranked += sorted(with_prompts, key=lambda p: (prompted[p], -abs(t - p)))
        if len(ranked) == 1:
            return {ranked[0]: 1.0}
        step = (1.05 - 0.95) / (len(ranked) - 1)
        return {frame: 0.95 + step * rank for rank, frame in enumerate(ranked)}

    behind = [p for p in prompted if p <= t]
    return frames[:6], frames[:15], scale(frames[:6], [*prompted]), scale(frames[:15], behind)


def transcribe_choice(pathways: list[Pathway], t: int, candidates: list[FixedCandidates]) -> list[tuple[int, int]]:
    """(hypothesis, candidate) of the new hypotheses."""
    score, iou, logit = np.zeros((len(pathways), 3)), np.zeros((len(pathways), 3)), np.zeros(len(pathways))
    for p, (pathway, c) in enumerate(zip(pathways, candidates, strict=True)):
        logit[p] = c.object_score
        for k in range(3):
            iou[p, k] = c.iou[k]
            score[p, k] = pathway.score + math.log(iou[p, k] + 1e-5)
    chosen: list[tuple[int, int]] = []
    seen: set[float] = set()
    for flat in np.argsort(-score.ravel(), kind="stable").tolist():
        p, k = divmod(flat, 3)
        value = float(np.round(iou[p, k], 2)) * (1 if logit[p] > 0 else -1)
        if np.abs(logit).max() > 2 or value not in seen:
            chosen.append((p, k))
            seen.add(value)
    return chosen[:3]


class TreeRun:
    """An object with several hypotheses that is tracked by the policy."""

    def __init__(self, policy: Sam2LongMemory, direction: int) -> None:
        self.policy, self.direction = policy, direction
        self.prompted: dict[int, Record] = {}
        self.levels: dict[int, list[Record]] = {}  # tracked frames in the order in which they were tracked
        self.last: list[Record] = []

    def prompt(self, frame: int) -> None:
        self.last = [Record(1.0, 10.0 + len(self.prompted), self.policy.start(np.zeros(4), 1))]
        self.prompted[frame] = self.last[0]

    def past(self, hypothesis: int) -> Past:
        def iterate() -> Iterator[tuple[int, Record]]:
            position = hypothesis
            for frame in reversed(self.levels):
                record = self.levels[frame][position if len(self.levels[frame]) > position else 0]
                yield frame, record
                position = record.parent

        return Past(self.prompted, iterate)

    def step(self, frame: int, candidates: list[FixedCandidates]) -> list[Choice]:
        choices = self.policy.choose(self.last, candidates, frame, self.direction)
        self.last = []
        for choice in choices:
            masks = candidates[choice.hypothesis]
            assert choice.candidate is not None
            iou = float(masks.iou[choice.candidate])
            self.last.append(Record(iou, masks.object_score, choice.state, choice.hypothesis))
        self.levels[frame] = self.last
        return choices


def draw_uncertain(count: int, seed: int) -> list[FixedCandidates]:
    """Draw candidates with object scores near 0 and predicted IoUs of which some are equal."""
    rng = np.random.default_rng(seed)
    empty = np.zeros((3, 4))
    return [
        FixedCandidates(np.round(rng.uniform(0, 1, 3), 1), float(rng.normal(0, 2)), empty, empty, empty[:, 0])
        for _ in range(count)
    ]


CASES = {
    "recorded": load_candidates() * 3,
    "random": draw_candidates(360, 1),
    "uncertain": draw_uncertain(360, 2),
}


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("case", CASES)
def test_hypotheses_and_memories_equal_the_transcription(case: str, direction: int) -> None:
    run = TreeRun(Sam2LongMemory(), direction)
    pathways: list[Pathway] = []
    prompted: dict[int, float] = {}
    counts = set()
    pool = iter(CASES[case])
    for t in [*range(40), *range(43, 60)]:
        if t in (0, 30):
            run.prompt(t * direction)
            prompted[t] = 10.0 + len(prompted)
            pathways = [Pathway(0.0, pathways[0].frames if pathways else ())]
            continue
        for p, pathway in enumerate(pathways):
            maps, pointers, map_scales, pointer_scales = transcribe_selection(pathway, prompted, t)
            selection = run.policy.select(run.past(p), t * direction, direction)
            assert selection.slots[: len(prompted)] == tuple((6, i * direction) for i in prompted)
            ranked = [(rank, i * direction) for rank, i in enumerate(maps)]
            assert selection.slots[len(prompted) :] == tuple(ranked[::-1])
            assert selection.pointers == tuple((t - i, i * direction) for i in [*prompted, *pointers])
            assert selection.scales is not None
            expected = [map_scales[abs(i)] for _, i in selection.slots]
            assert selection.scales[0] == pytest.approx(expected, abs=1e-12)
            expected = [pointer_scales[abs(i)] for _, i in selection.pointers]
            assert selection.scales[1] == pytest.approx(expected, abs=1e-12)
        candidates = [next(pool) for _ in pathways]
        chosen = transcribe_choice(pathways, t, candidates)
        choices = run.step(t * direction, candidates)
        assert [(choice.hypothesis, choice.candidate) for choice in choices] == chosen
        pathways = [
            Pathway(
                pathways[p].score + math.log(float(candidates[p].iou[k]) + 1e-5),
                (*pathways[p].frames, (t, float(candidates[p].iou[k]), candidates[p].object_score)),
            )
            for p, k in chosen
        ]
        assert [choice.state[0] for choice in choices] == pytest.approx([pathway.score for pathway in pathways])
        counts.add(len(choices))
    assert 3 in counts


def see(iou: list[float], object_score: float) -> FixedCandidates:
    return FixedCandidates(np.array(iou), object_score, np.zeros((3, 2, 2)), np.zeros((3, 4)), np.zeros(3))


def choose(last: list[float], candidates: list[FixedCandidates]) -> list[tuple[int, int | None]]:
    records = [Record(0.9, 5, (score,)) for score in last]
    return [choice[:2] for choice in Sam2LongMemory().choose(records, candidates, 5, 1)]


def test_a_prompted_object_branches_into_its_three_candidates() -> None:
    assert choose([0.0], [see([0.7, 0.9, 0.8], 5)]) == [(0, 1), (0, 2), (0, 0)]


def test_equal_ious_are_one_hypothesis_only_where_the_object_score_is_uncertain() -> None:
    assert choose([0.0], [see([0.8, 0.8, 0.8], 5)]) == [(0, 0), (0, 1), (0, 2)]
    assert choose([0.0], [see([0.8, 0.8, 0.8], 2)]) == [(0, 0)]
    assert choose([0.0], [see([0.801, 0.802, 0.806], 2)]) == [(0, 2), (0, 1)]
    assert choose([0.0, 0.0], [see([0.8, 0.8, 0.8], 1), see([0.8, 0.8, 0.8], -1)]) == [(0, 0), (1, 0)]
    assert choose([0.0, 0.0], [see([0.8, 0.8, 0.8], 1), see([0.8, 0.8, 0.8], -3)]) == [(0, 0), (0, 1), (0, 2)]


def test_a_low_iou_ends_a_hypothesis_with_a_high_score() -> None:
    assert choose([-1.0, -2.0], [see([0.01, 0.02, 0.3], 5), see([0.9, 0.95, 0.99], 5)]) == [(1, 2), (1, 1), (1, 0)]


def test_a_predicted_iou_of_zero_has_a_finite_score() -> None:
    choices = Sam2LongMemory().choose([Record(1, 1, (0.0,))], [see([0, -0.1, 0], -5)], 1, 1)
    assert [choice.state[0] for choice in choices] == pytest.approx([math.log(1e-5)] * 3)


def test_a_memory_alone_is_not_scaled() -> None:
    run = MemoryRun(Sam2LongMemory())
    run.prompt(0)
    assert run.policy.select(run.past(1), 1, 1).scales == ((1.0,), (1.0,))


def test_memories_are_scaled_by_the_rank_of_their_object_scores() -> None:
    run = MemoryRun(Sam2LongMemory())
    run.prompt(0)
    run.tracked = {1: Record(0.9, 5.0), 2: Record(0.9, 90.0), 3: Record(0.05, 5.0), 4: Record(0.9, 2.0)}
    selection = run.policy.select(run.past(5), 5, 1)
    assert selection.slots == ((6, 0), (2, 1), (1, 2), (0, 4))
    assert selection.scales is not None
    assert selection.scales[0] == pytest.approx([1.05, 0.95 + 0.1 / 3, 0.95 + 0.2 / 3, 0.95])


def test_of_equal_object_scores_the_nearer_frame_has_the_larger_factor() -> None:
    run = MemoryRun(Sam2LongMemory(min_scale=1, max_scale=3))
    run.prompt(0)
    run.tracked = dict.fromkeys((1, 2), Record(0.9, 5.0))
    selection = run.policy.select(run.past(3), 3, 1)
    assert selection.slots == ((6, 0), (1, 1), (0, 2))
    assert selection.pointers == ((3, 0), (1, 2), (2, 1))
    assert selection.scales == ((3, 1, 2), (3, 2, 1))


@pytest.mark.parametrize("numbers", [{"hypotheses": 0}, {"max_scale": 0.9}, {"memory_iou": 2}])
def test_numbers_out_of_range_are_errors(numbers: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(numbers))} of Sam2LongMemory must be"):
        Sam2LongMemory(**numbers)
