"""Attention equals its formula, also under autocast, with masked keys and in memory attention."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from masklet.model.attention import Attention, scaled_dot_product_attention  # noqa: E402


def test_attention_under_autocast_on_a_cpu_equals_that_in_float32() -> None:
    q, k, v = (torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(k)).bfloat16() for k in range(3))
    with torch.autocast("cpu", torch.bfloat16):
        attended = scaled_dot_product_attention(q, k, v)
    assert attended.dtype == torch.bfloat16
    expected = ((q.float() @ k.float().mT) / 8**0.5).softmax(dim=-1) @ v.float()
    assert torch.equal(attended, expected.bfloat16()) or (attended.float() - expected).abs().max() < 0.01


def test_heads_are_split_and_merged_without_loss() -> None:
    attention = Attention(16, heads=4)
    tokens = torch.arange(2 * 5 * 16, dtype=torch.float32).view(2, 5, 16)
    heads = attention.split_heads(tokens)
    assert heads.shape == (2, 4, 5, 4)
    assert torch.equal(heads[:, 1], tokens[..., 4:8])
    assert torch.equal(attention.merge_heads(heads), tokens)


def test_keys_that_are_not_present_do_not_count() -> None:
    torch.manual_seed(0)
    attention = Attention(16, heads=2, inner=8).double()
    queries, keys = torch.randn(1, 3, 16).double(), torch.randn(1, 6, 16).double()
    present = torch.tensor([[True, True, False, True, False, False]])
    with torch.no_grad():
        masked = attention(queries, keys, keys, present)
        shortened = attention(queries, keys[:, present[0]], keys[:, present[0]])
    torch.testing.assert_close(masked, shortened)
