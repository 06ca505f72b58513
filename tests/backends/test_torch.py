"""What only the seam over PyTorch does: other number formats. `test_backend.py` has what every backend promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import masklet
from masklet.backend import NO_PROMPT
from parity.inputs import frames

torch = pytest.importorskip("torch")

from masklet.model.attention import scaled_dot_product_attention  # noqa: E402

CLIP = frames(1, 90, 160, 3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_arrays_of_every_format_come_back_bit_for_bit(dtype: str, checkpoint: Callable[[str, int], Path]) -> None:
    backend = masklet.load(checkpoint("sam2.1-micro", 5), device="cpu", input_size=64, runtime="torch").backend
    before = torch.randn(3, 2, dtype=getattr(torch, dtype))
    (after,) = backend.restore(backend.store([before]))
    assert before.dtype == after.dtype
    assert torch.equal(before, after)


def test_float16_overflow_is_an_error_and_never_a_mask(checkpoint: Callable[[str, int], Path]) -> None:
    backend = masklet.load(checkpoint("sam2.1-micro", 5), device="cpu", dtype="float16", input_size=64).backend
    features = backend.encode([CLIP[0]])[0]
    broken = features._replace(stride16=features.stride16 * float("inf"))
    with pytest.raises(masklet.MaskletError, match="NaN") as caught:
        backend.fetch([backend.decode(broken, [NO_PROMPT])])
    assert caught.value.code == "non-finite-output"


def test_attention_under_autocast_on_a_processor_is_that_of_float32() -> None:
    q, k, v = (torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(k)).bfloat16() for k in range(3))
    with torch.autocast("cpu", torch.bfloat16):
        seen = scaled_dot_product_attention(q, k, v)
    assert seen.dtype == torch.bfloat16
    expected = ((q.float() @ k.float().mT) / 8**0.5).softmax(dim=-1) @ v.float()
    assert torch.equal(seen, expected.bfloat16()) or (seen.float() - expected).abs().max() < 0.01
