"""What holds for every memory policy."""

from __future__ import annotations

import json
import pickle
import random
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from masklet.memory.dam4sam import Dam4SamMemory
from masklet.memory.policy import MemoryPolicy
from masklet.memory.recent_memory import RecentMemory
from masklet.memory.reference_memory import ReferenceMemory
from masklet.memory.sam2long import Sam2LongMemory
from masklet.memory.samurai import SamuraiMemory
from support.memory_run import MemoryRun, draw_candidates

ALL: list[MemoryPolicy] = [
    RecentMemory(),
    ReferenceMemory(),
    SamuraiMemory(),
    SamuraiMemory(stable_frames=2, memory_iou=0.9),
    Dam4SamMemory(),
    Dam4SamMemory(min_iou=1),
    Dam4SamMemory(stride=7, min_iou=0.3),
    Dam4SamMemory(stride=1, min_iou=0.3, min_interval=0, resolving_frames=6),
    Sam2LongMemory(),
    Sam2LongMemory(memory_iou=0.85),
]
each_policy = pytest.mark.parametrize("policy", ALL, ids=lambda policy: policy.name)
both_directions = pytest.mark.parametrize("direction", [1, -1])


@both_directions
@each_policy
def test_a_frame_that_is_not_retained_is_never_selected_later(policy: MemoryPolicy, direction: int) -> None:
    rng = random.Random(3)
    full, trimmed = (MemoryRun(policy, direction, trims=trims) for trims in (False, True))
    frame = 0
    for candidates in draw_candidates(300, 5):
        if frame == 0 or rng.random() < 0.004:
            full.prompt(frame * direction)
            trimmed.prompt(frame * direction)
        else:
            assert trimmed.step(frame * direction, candidates) == full.step(frame * direction, candidates)
        if rng.random() < 0.01 and len(full.prompted) > 1:
            removed = rng.choice([*full.prompted])
            del full.prompted[removed], trimmed.prompted[removed]
        frame += rng.choice([1] * 30 + [2, 3, 20])
    assert len(full.tracked) > 250
    assert len(trimmed.tracked) <= 32


@both_directions
@each_policy
def test_a_distant_frame_is_retained_for_when_a_prompt_is_removed(policy: MemoryPolicy, direction: int) -> None:
    full, trimmed = (MemoryRun(policy, direction, trims=trims) for trims in (False, True))
    masks = draw_candidates(1, 8)[0]
    for run in (full, trimmed):
        run.prompt(0)
        run.step(direction, replace(masks, iou=np.array([0.05, 0.01, 0.01])))
        run.prompt(40 * direction)
        del run.prompted[40 * direction]
    assert trimmed.step(41 * direction, masks) == full.step(41 * direction, masks)


@both_directions
@each_policy
def test_every_retained_frame_can_be_selected_later(policy: MemoryPolicy, direction: int) -> None:
    run = MemoryRun(policy, direction, trims=True)
    run.prompt(0)
    later: dict[int, set[int]] = {}
    for t, candidates in enumerate(draw_candidates(120, 6), 1):
        run.step(t * direction, candidates)
        frame = (t + 1) * direction
        selection = policy.select(run.past(frame), frame, direction)
        recalled = {i for _, i in (*selection.slots, *selection.pointers)} - {0}
        assert recalled <= run.tracked.keys()
        later[t] = set(run.tracked) - recalled
    spare = max(len(frames) for frames in later.values())
    assert spare <= 6  # frames for a time when fewer others take the slots


@both_directions
@each_policy
def test_a_run_resumed_from_json_goes_on_alike(policy: MemoryPolicy, direction: int) -> None:
    run = MemoryRun(policy, direction)
    run.prompt(0)
    for t, candidates in enumerate(draw_candidates(40, 7), 1):
        resumed = MemoryRun(policy, direction, prompted=run.prompted, tracked=dict(run.tracked))
        resumed.last = run.last._replace(state=tuple(json.loads(json.dumps(run.last.state))))
        assert resumed.step(t * direction, candidates) == run.step(t * direction, candidates)
        assert all(type(number) is float for number in run.last.state)


@each_policy
def test_a_policy_is_a_value(policy: MemoryPolicy) -> None:
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert len({policy, pickle.loads(pickle.dumps(policy))}) == 1
    with pytest.raises(FrozenInstanceError):
        policy.name = "other"  # type: ignore[misc]
