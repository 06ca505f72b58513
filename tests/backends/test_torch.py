"""The PyTorch backend's dtypes. `test_backend.py` tests the protocol on every backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import masklet
from masklet.backend import NO_PROMPT
from parity.inputs import frames

torch = pytest.importorskip("torch")

CLIP = frames(1, 90, 160, 3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_arrays_of_every_dtype_are_restored_bit_for_bit(dtype: str, checkpoint: Callable[[str, int], Path]) -> None:
    backend = masklet.load(checkpoint("sam2.1-micro", 5), device="cpu", input_size=64, runtime="torch").backend
    before = torch.randn(3, 2, dtype=getattr(torch, dtype))
    (after,) = backend.restore(backend.store([before]))
    assert before.dtype == after.dtype
    assert torch.equal(before, after)


def test_overflow_of_float16_is_an_error(checkpoint: Callable[[str, int], Path]) -> None:
    backend = masklet.load(checkpoint("sam2.1-micro", 5), device="cpu", dtype="float16", input_size=64).backend
    features = backend.encode([CLIP[0]])[0]
    broken = features._replace(stride16=features.stride16 * float("inf"))
    with pytest.raises(masklet.MaskletError, match="NaN") as caught:
        backend.fetch([backend.decode(broken, [NO_PROMPT])])
    assert caught.value.code == "non-finite-output"
