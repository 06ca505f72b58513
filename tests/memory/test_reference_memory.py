"""Reference memory: prompted images alone are recalled."""

from __future__ import annotations

import numpy as np
import pytest

from masklet.memory.policy import Choice, Record
from masklet.memory.reference_memory import ReferenceMemory
from support.memory_run import MemoryRun, load_candidates

POLICY = ReferenceMemory()


@pytest.mark.parametrize("direction", [1, -1])
def test_all_prompted_images_are_recalled_in_slot_6_without_pointers(direction: int) -> None:
    run = MemoryRun(POLICY, direction, length=9)
    run.prompted = dict.fromkeys((4, 0, 7), Record(1, 10))
    run.tracked = {t: Record(0.9, 5) for t in (1, 2, 3, 5, 6)}
    selection = POLICY.select(run.past(5), 5, direction)
    assert selection.slots == ((6, 4), (6, 0), (6, 7))
    assert selection.pointers == ()
    assert selection.scales is None
    assert POLICY.retain(run.past(6), 5, direction) == set()


def test_the_decoders_choice_is_used_and_there_is_no_state() -> None:
    assert not POLICY.chooses
    assert POLICY.start(np.zeros(4), 0) == ()
    assert POLICY.choose([Record(1, 1)], load_candidates()[:1], 1, 1) == [Choice(0, None)]
