"""Memory bank: recalled frames, compared with an independent transcription of reference-model §6.3."""

from __future__ import annotations

import random

import pytest

from masklet.backend import Memory
from masklet.memory.memory_bank import NO_RECORD, MemoryBank
from masklet.memory.policy import Past
from masklet.memory.recent_memory import RecentMemory
from support.memory_run import transcribe_recall


def test_recall_equals_the_reference_on_20000_random_banks() -> None:
    rng = random.Random(6)
    for _ in range(20_000):
        length = rng.choice([2, 5, 9, 16, 17, 40])
        frames = list(range(length))
        prompted = rng.sample(frames, rng.randint(1, min(4, length)))
        tracked = set(rng.sample(frames, rng.randint(0, length))) - set(prompted)
        bank = MemoryBank(prompted={t: Memory(t, t) for t in prompted}, recent={t: Memory(t, t) for t in tracked})
        frame, reverse = rng.choice(frames), rng.random() < 0.5
        recall = bank.recall(frame, -1 if reverse else 1, length=length)
        spatial, pointers = transcribe_recall(prompted, tracked, frame, length, reverse)
        assert [(slot, memory.features) for slot, memory in recall.spatial] == spatial
        assert [(since, memory.pointer) for since, memory in recall.pointers] == pointers
        assert recall.horizon == min(length, 16) - 1


def test_the_first_frame_after_a_prompt_recalls_one_map_and_one_pointer() -> None:
    bank = MemoryBank(prompted={0: Memory("map", "pointer")})
    recall = bank.recall(1)
    assert recall.spatial == ((6, Memory("map", "pointer")),)
    assert recall.pointers == ((1, Memory("map", "pointer")),)


def test_frame_eight_recalls_seven_maps_and_eight_pointers() -> None:
    bank = MemoryBank(prompted={0: Memory(0, 0)}, recent={t: Memory(t, t) for t in range(1, 8)})
    recall = bank.recall(8)
    assert [slot for slot, _ in recall.spatial] == [6, 5, 4, 3, 2, 1, 0]
    assert len(recall.pointers) == 8


def test_a_tracked_memory_does_not_replace_a_prompted_one() -> None:
    bank = MemoryBank()
    bank.remember(3, Memory("prompted", 0), prompted=True)
    bank.remember(3, Memory("tracked", 0))
    assert bank.recall(4).spatial[0][1].features == "prompted"
    assert 3 not in bank.recent


def test_a_prompted_memory_replaces_a_tracked_one() -> None:
    bank = MemoryBank()
    bank.remember(3, Memory("tracked", 0))
    bank.remember(3, Memory("prompted", 0), prompted=True)
    assert [memory.features for _, memory in bank.recall(4).spatial] == ["prompted"]


def retained(bank: MemoryBank, frame: int, direction: int) -> set[int]:
    """Return the frames up to `frame` that later ones may recall."""
    past = sorted((t for t in bank.recent if (frame - t) * direction >= 0), key=lambda t: abs(frame - t))
    return RecentMemory().retain(Past({}, lambda: ((t, NO_RECORD) for t in past)), frame, direction)


@pytest.mark.parametrize("direction", [1, -1])
def test_dropping_unreachable_memories_changes_no_later_recall(direction: int) -> None:
    whole = MemoryBank(prompted={50: Memory(50, 50)}, recent={t: Memory(t, t) for t in range(100) if t != 50})
    trimmed = MemoryBank(prompted=dict(whole.prompted), recent=dict(whole.recent))
    for frame in {t for t in trimmed.recent if (50 - t) * direction > 0} - retained(trimmed, 50, direction):
        del trimmed.recent[frame]
    assert len(trimmed.recent) < len(whole.recent)
    later = range(51, 70) if direction == 1 else range(49, 30, -1)
    for frame in later:
        assert trimmed.recall(frame, direction) == whole.recall(frame, direction)


def test_frames_more_than_14_behind_are_not_retained() -> None:
    bank = MemoryBank(recent={t: Memory(t, t) for t in range(30)})
    assert retained(bank, 20, 1) == set(range(6, 21))
    assert retained(bank, 20, -1) == set(range(20, 30))
