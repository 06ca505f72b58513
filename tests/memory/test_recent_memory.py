"""Recent memory, compared with an independent transcription of SAM 2's rule."""

from __future__ import annotations

import random

import numpy as np
import pytest

from masklet.memory.policy import Choice, Record
from masklet.memory.recent_memory import RecentMemory
from support.memory_run import MemoryRun, load_candidates, transcribe_recall

POLICY = RecentMemory()


def test_the_selection_equals_the_transcription_on_random_pasts() -> None:
    rng = random.Random(6)
    for _ in range(2000):
        length = rng.choice([2, 5, 9, 16, 17, 40])
        prompted = rng.sample(range(length), rng.randint(1, min(4, length)))
        tracked = set(rng.sample(range(length), rng.randint(0, length))) - set(prompted)
        frame, reverse = rng.randrange(length), rng.random() < 0.5
        run = MemoryRun(POLICY, -1 if reverse else 1, length)
        run.prompted = dict.fromkeys(prompted, Record(1, 1))
        run.tracked = dict.fromkeys(tracked, Record(1, 1))
        selection = POLICY.select(run.past(frame), frame, run.direction)
        maps, pointers = transcribe_recall(prompted, tracked, frame, length, reverse)
        assert [*selection.slots] == maps
        assert [*selection.pointers] == pointers
        assert selection.horizon == min(length, 16) - 1
        assert selection.scales is None


@pytest.mark.parametrize("direction", [1, -1])
def test_frames_less_than_15_frames_behind_are_retained(direction: int) -> None:
    run = MemoryRun(POLICY, direction)
    run.tracked = {t * direction: Record(1, 1) for t in range(41)}
    past = run.past(41 * direction)
    assert POLICY.retain(past, 40 * direction, direction) == {t * direction for t in range(26, 41)}


def test_without_a_known_length_times_of_pointers_are_divided_by_15() -> None:
    assert POLICY.select(MemoryRun(POLICY).past(3), 3, 1).horizon == 15


def test_the_decoders_choice_is_used_and_there_is_no_state() -> None:
    assert not POLICY.chooses
    assert POLICY.start(np.zeros(4), 0) == ()
    assert POLICY.choose([Record(1, 1)], load_candidates()[:1], 1, 1) == [Choice(0, None)]
