"""The seam over PyTorch: objects in batches, whatever their memories' sizes, and arrays that come back bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import masklet
from masklet import box, click
from masklet.backend import NO_OBJECT, NO_PROMPT, Backend, choose
from masklet.memory import MemoryBank
from masklet.tracker import Tracker
from parity.inputs import frames

torch = pytest.importorskip("torch")

CLIP = frames(8, 90, 160, 3)
CLOSE = 1e-4


@pytest.fixture(scope="module")
def backend(checkpoint: Callable[[str, int], Path]) -> Backend:
    return masklet.load(checkpoint("sam2.1-micro", 5), device="cpu", dtype="float64", size=128).backend


def test_objects_with_memories_of_different_sizes_are_tracked_as_if_alone(backend: Backend) -> None:
    schedule = {0: {1: click(35, 30)}, 2: {2: box(80, 20, 120, 60)}, 3: {1: click(40, 35), 3: click(100, 70)}}
    together = Tracker(backend, CLIP)
    alone = {key: Tracker(backend, CLIP) for key in (1, 2, 3)}
    for frame in range(len(CLIP)):
        for key, prompt in schedule.get(frame, {}).items():
            together.prompt(frame, {key: prompt})
            alone[key].prompt(frame, {key: prompt})
        masks = together.step(frame)
        for key in together.object_ids:
            assert np.abs(masks.of(key).low_res - alone[key].step(frame).low_res).max() < CLOSE


def test_stored_arrays_come_back_bit_for_bit(backend: Backend) -> None:
    arrays = [torch.randn(3, 2, dtype=dtype) for dtype in (torch.bfloat16, torch.float32, torch.float64)]
    for before, after in zip(arrays, backend.restore(backend.store(arrays)), strict=True):
        assert before.dtype == after.dtype
        assert torch.equal(before, after)


def test_memories_are_kept_in_half_precision(backend: Backend) -> None:
    features = backend.encode([CLIP[0]])[0]
    decoded = backend.decode(backend.attend(features, [MemoryBank().recall(0)]), [NO_PROMPT], hide=True)
    memory = backend.memorize(features, decoded, [False])[0]
    assert memory.features.dtype == torch.bfloat16
    assert backend.store(memory)[0].dtype == np.uint16


def test_an_absent_object_is_hidden_everywhere(backend: Backend) -> None:
    answers = backend.fetch([None])
    assert (answers.logits == NO_OBJECT).all()
    assert answers.object_score[0] < 0


def test_an_ambiguous_prompt_gets_the_best_of_three_and_its_pointer() -> None:
    iou = np.array([[0.9, 0.1, 0.8, 0.2]])
    assert choose(iou, np.ones(1), [True]) == ([2], [2])


def test_a_stable_single_mask_is_kept() -> None:
    iou = np.array([[0.1, 0.1, 0.8, 0.2]])
    assert choose(iou, np.array([0.98]), [False]) == ([0], [0])


def test_an_unstable_single_mask_is_replaced_but_keeps_its_pointer() -> None:
    iou = np.array([[0.9, 0.1, 0.8, 0.2]])
    assert choose(iou, np.array([0.97]), [False]) == ([2], [0])


def test_float16_overflow_is_an_error_and_never_a_mask(checkpoint: Callable[[str, int], Path]) -> None:
    backend = masklet.load(checkpoint("sam2.1-micro", 5), device="cpu", dtype="float16", size=64).backend
    features = backend.encode([CLIP[0]])[0]
    broken = features._replace(stride16=features.stride16 * float("inf"))
    with pytest.raises(masklet.MaskletError, match="NaN") as caught:
        backend.fetch([backend.decode(broken, [NO_PROMPT])])
    assert caught.value.code == "non-finite-output"
