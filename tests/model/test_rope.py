"""Rotary position encoding equals complex multiplication and depends on relative positions only."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from masklet.model.rope import RotaryAttention, Rotations, compute_axial_rotation, compute_latent_rotation  # noqa: E402

SIDE, CHANNELS = 6, 32
FLOAT64 = torch.zeros(1, dtype=torch.float64)


def random_tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def complex_rotation() -> torch.Tensor:
    """Compute e^{iθ} (side², channels / 2) as the reference model defines θ, position by position."""
    angles = torch.empty(SIDE * SIDE, CHANNELS // 2, dtype=torch.float64)
    for token in range(SIDE * SIDE):
        y, x = divmod(token, SIDE)
        for pair in range(CHANNELS // 4):
            frequency = 10_000.0 ** -(4 * pair / CHANNELS)
            angles[token, pair] = x * frequency
            angles[token, CHANNELS // 4 + pair] = y * frequency
    return torch.polar(torch.ones_like(angles), angles)


def test_a_rotation_is_a_complex_multiplication() -> None:
    tokens = random_tokens(2, SIDE * SIDE, CHANNELS)
    rotated = compute_axial_rotation(SIDE, CHANNELS, FLOAT64).rotate(tokens)
    pairs = torch.view_as_complex(tokens.unflatten(-1, (-1, 2)).contiguous())
    expected = torch.view_as_real(pairs * complex_rotation()).flatten(-2)
    torch.testing.assert_close(rotated, expected, rtol=0, atol=1e-12)


def test_a_rotation_preserves_lengths() -> None:
    tokens = random_tokens(1, SIDE * SIDE, CHANNELS)
    rotated = compute_axial_rotation(SIDE, CHANNELS, FLOAT64).rotate(tokens)
    torch.testing.assert_close(rotated.norm(dim=-1), tokens.norm(dim=-1))
    assert torch.equal(rotated[:, 0], tokens[:, 0])  # position (0, 0)


def test_scores_depend_on_relative_positions_only() -> None:
    query, key = random_tokens(CHANNELS, seed=1), random_tokens(CHANNELS, seed=2)
    rotation = compute_axial_rotation(SIDE, CHANNELS, FLOAT64)
    q, k = (rotation.rotate(vector.expand(SIDE * SIDE, -1)).view(SIDE, SIDE, -1) for vector in (query, key))
    scores = torch.einsum("yxc,vuc->yxvu", q, k)
    for dy, dx in [(0, 1), (1, 0), (2, 3)]:
        shifted = torch.stack([scores[y, x, y + dy, x + dx] for y in range(SIDE - dy) for x in range(SIDE - dx)])
        torch.testing.assert_close(shifted, shifted[:1].expand_as(shifted))
    assert (scores[0, 0, 0, 0] - scores[0, 0, 0, 1]).abs() > 1e-3


def test_a_rotation_is_computed_in_float32_for_a_network_in_bfloat16() -> None:
    rotation = compute_axial_rotation(SIDE, CHANNELS, torch.zeros(1, dtype=torch.bfloat16))
    assert rotation.cos.dtype == torch.float32
    assert rotation.rotate(torch.ones(1, SIDE * SIDE, CHANNELS, dtype=torch.bfloat16)).dtype == torch.bfloat16


def make_attention(pooling: int = 0) -> RotaryAttention:
    torch.manual_seed(3)
    return RotaryAttention(CHANNELS, 8, pooling).double().requires_grad_(False)


def test_rotary_attention_equals_its_formula_with_maps_and_pointers() -> None:
    attention, maps, pointers = make_attention(), 2, 3
    queries = random_tokens(1, SIDE * SIDE, CHANNELS)
    keys, values = (random_tokens(2, maps * SIDE * SIDE + pointers, 8, seed=seed) for seed in (1, 2))
    rotation = compute_axial_rotation(SIDE, CHANNELS, FLOAT64)
    attended = attention(queries, keys, values, Rotations(rotation, rotation), maps)

    q, k = rotation.rotate(attention.q(queries)), attention.k(keys)
    parts = k.split([SIDE * SIDE] * maps + [pointers], dim=1)
    k = torch.cat([*(rotation.rotate(part) for part in parts[:-1]), parts[-1]], dim=1)
    weights = (q @ k.mT / CHANNELS**0.5).softmax(dim=-1)
    torch.testing.assert_close(attended, attention.out(weights @ attention.v(values)))


@pytest.mark.parametrize("scores_at_once", [None, 50])
def test_scales_are_factors_of_the_rotated_keys(scores_at_once: int | None) -> None:
    attention, pixels, pointers = make_attention(), SIDE * SIDE, 3
    queries, keys = random_tokens(1, pixels, CHANNELS), random_tokens(2, pixels + pointers, 8, seed=1)
    scales = 1 + random_tokens(2, pixels + pointers, seed=2)
    rotation = compute_axial_rotation(SIDE, CHANNELS, FLOAT64)
    attended = attention(queries, keys, keys, Rotations(rotation, rotation), 1, scores_at_once, scales)

    q, k = rotation.rotate(attention.q(queries)).numpy(), attention.k(keys)
    k = torch.cat((rotation.rotate(k[:, :pixels]), k[:, pixels:]), dim=1).numpy() * scales.numpy()[..., None]
    weights = np.exp(q @ k.transpose(0, 2, 1) / CHANNELS**0.5)
    averaged = weights / weights.sum(axis=-1, keepdims=True) @ attention.v(keys).numpy()
    np.testing.assert_allclose(attended.numpy(), attention.out(torch.from_numpy(averaged)).numpy(), atol=1e-12)


@pytest.mark.parametrize("scores_at_once", [1, 100, 10_000])
def test_a_limit_of_scores_does_not_change_the_result(scores_at_once: int) -> None:
    attention = make_attention()
    queries, keys = random_tokens(2, SIDE * SIDE, CHANNELS), random_tokens(2, SIDE * SIDE, 8, seed=1)
    rotation = compute_axial_rotation(SIDE, CHANNELS, FLOAT64)
    limited = attention(queries, keys, keys, Rotations(rotation, rotation), 1, scores_at_once)
    torch.testing.assert_close(limited, attention(queries, keys, keys, Rotations(rotation, rotation)))


@pytest.mark.parametrize("scores_at_once", [None, 50])
@pytest.mark.parametrize("pooling", [1, 2])
def test_keys_of_several_maps_are_pooled_after_they_are_rotated_and_scaled(
    pooling: int, scores_at_once: int | None
) -> None:
    attention, maps, pointers = make_attention(pooling), 2, 3
    queries = random_tokens(1, SIDE * SIDE, CHANNELS)
    keys, values = (random_tokens(2, maps * SIDE * SIDE + pointers, 8, seed=seed) for seed in (1, 2))
    scales = 1 + random_tokens(2, maps * SIDE * SIDE + pointers, seed=4)
    rotation = compute_axial_rotation(SIDE, CHANNELS, FLOAT64)
    attended = attention(queries, keys, values, Rotations(rotation, rotation), maps, scores_at_once, scales)

    q, k, v = rotation.rotate(attention.q(queries)), attention.k(keys), attention.v(values)
    parts = k.split([SIDE * SIDE] * maps + [pointers], dim=1)
    k = torch.cat([*(rotation.rotate(part) for part in parts[:-1]), parts[-1]], dim=1) * scales[..., None]
    cells = [
        [m * SIDE * SIDE + (y + dy) * SIDE + x + dx for dy in (0, 1) for dx in (0, 1)]
        for m in range(maps)
        for y in range(0, SIDE, 2)
        for x in range(0, SIDE, 2)
    ]
    k, v = (torch.cat((x[:, cells].mean(dim=2), x[:, -pointers:]), dim=1) for x in (k, v))
    offset = torch.tensor([np.log(4)] * len(cells) + [0] * pointers)
    k = k + offset[:, None] if pooling == 2 else k
    scores = q @ k.mT / CHANNELS**0.5 + (offset if pooling == 1 else 0)
    torch.testing.assert_close(attended, attention.out(scores.softmax(dim=-1) @ v))


def test_keys_of_one_map_are_not_pooled() -> None:
    queries, keys = random_tokens(1, SIDE * SIDE, CHANNELS), random_tokens(2, SIDE * SIDE + 3, 8, seed=1)
    rotation = compute_axial_rotation(SIDE, CHANNELS, FLOAT64)
    plain, pooling = (make_attention(kind)(queries, keys, keys, Rotations(rotation, rotation), 1) for kind in (0, 1))
    assert torch.equal(plain, pooling)


def test_global_latents_are_not_rotated_and_patch_latents_as_a_map_of_their_grid() -> None:
    latents = random_tokens(1, 10 + SIDE * SIDE, CHANNELS)
    rotated = compute_latent_rotation(10, SIDE, CHANNELS, FLOAT64).rotate(latents)
    assert torch.equal(rotated[:, :10], latents[:, :10])
    assert torch.equal(rotated[:, 10:], compute_axial_rotation(SIDE, CHANNELS, FLOAT64).rotate(latents[:, 10:]))
