"""Hiera: windows, tiles and the position embedding do what the plain trunk does."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from masklet.config import CONFIGS  # noqa: E402
from masklet.model.hiera import Hiera, WindowAttention, partition_windows, unpartition_windows  # noqa: E402

MICRO = CONFIGS["sam2.1-micro"]


@given(batch=st.integers(1, 3), across=st.integers(1, 4), side=st.integers(1, 5), channels=st.integers(1, 3))
def test_partitioned_windows_are_unpartitioned_without_loss(batch: int, across: int, side: int, channels: int) -> None:
    length = across * side
    x = torch.arange(batch * length * length * channels).view(batch, length, length, channels)
    windows = partition_windows(x, side)
    assert windows.shape == (batch * across * across, side, side, channels)
    assert torch.equal(windows[0], x[0, :side, :side])
    assert torch.equal(windows[-1], x[-1, -side:, -side:])
    assert torch.equal(unpartition_windows(windows, across), x)


def make_trunk() -> Hiera:
    torch.manual_seed(0)
    trunk = Hiera(MICRO)
    for parameter in trunk.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return trunk.double().eval().requires_grad_(False)


IMAGES = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def run_untiled(trunk: Hiera, images: torch.Tensor) -> list[torch.Tensor]:
    """Run the blocks one after another on whole maps, with windows instead of tiles."""
    x = trunk.patches(images)
    x = (x + trunk._position_embedding(*x.shape[-2:])).permute(0, 2, 3, 1)
    outputs = []
    for index, block in enumerate(trunk.blocks):
        x = block(x)
        if index in trunk.stage_ends:
            outputs.append(x.permute(0, 3, 1, 2))
    return outputs


def test_the_tiled_trunk_equals_the_untiled_one() -> None:
    trunk = make_trunk()
    for tiled, untiled in zip(trunk(IMAGES), run_untiled(trunk, IMAGES), strict=True):
        torch.testing.assert_close(tiled, untiled)


@pytest.mark.parametrize("tokens_at_once", [1, 64, 200, 1 << 20])
def test_a_limit_of_tokens_does_not_change_the_features(tokens_at_once: int) -> None:
    trunk = make_trunk()
    together = trunk(IMAGES)
    trunk.tokens_at_once = tokens_at_once
    for limited, unlimited in zip(trunk(IMAGES), together, strict=True):
        torch.testing.assert_close(limited, unlimited)


def test_attention_does_not_cross_the_borders_of_windows() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(8, 8, heads=2).double().requires_grad_(False)
    x = torch.randn(1, 8, 8, 8, dtype=torch.float64)
    changed = x.clone()
    changed[:, :4, :4] += 1
    difference = (attention(x, 4) - attention(changed, 4)).abs().amax(dim=-1)[0]
    assert difference[:4, :4].min() > 0
    assert difference[4:].max() == difference[:, 4:].max() == 0


def test_windows_over_the_edge_are_padded_with_the_biases() -> None:
    torch.manual_seed(0)
    attention = WindowAttention(8, 8, heads=1).double().requires_grad_(False)
    x = torch.randn(1, 3, 3, 8, dtype=torch.float64)
    qkv = torch.zeros(1, 4, 4, 24, dtype=torch.float64) + attention.qkv.bias
    qkv[:, :3, :3] = attention.qkv(x)
    q, k, v = qkv.flatten(1, 2).chunk(3, dim=-1)
    attended = ((q @ k.mT / 8**0.5).softmax(dim=-1) @ v).view(1, 4, 4, 8)[:, :3, :3]
    torch.testing.assert_close(attention(x, 4), attention.proj(attended))


def test_the_position_embedding_repeats_the_window_table() -> None:
    trunk = make_trunk()
    trunk.positions.zero_()
    embedding = trunk._position_embedding(24, 16)
    assert torch.equal(embedding[:, :, :8, :8], trunk.window_positions)
    assert torch.equal(embedding[:, :, 16:, 8:], trunk.window_positions)


def test_the_resized_position_table_is_that_of_pytorch() -> None:
    trunk = make_trunk()
    trunk.window_positions.zero_()
    expected = torch.nn.functional.interpolate(trunk.positions, size=(24, 16), mode="bicubic", align_corners=False)
    torch.testing.assert_close(trunk._position_embedding(24, 16), expected)
