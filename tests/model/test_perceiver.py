"""EdgeTAM's perceiver: which latents see which part of a memory, and where they are stored."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from masklet.config import CONFIGS  # noqa: E402
from masklet.model.perceiver import Perceiver  # noqa: E402

CONFIG = CONFIGS["edgetam-micro"]
GRID, ROWS = CONFIG.latent_grid, CONFIG.global_latents // CONFIG.latent_grid


@pytest.fixture(scope="module")
def perceiver() -> Perceiver:
    torch.manual_seed(0)
    network = Perceiver(CONFIG)
    torch.nn.init.normal_(network.latents)
    torch.nn.init.normal_(network.patch_latents)
    return network.double().requires_grad_(False)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("side", [8, 16, 24])
def test_a_change_reaches_all_global_latents_and_the_patch_latent_of_its_window(
    perceiver: Perceiver, side: int
) -> None:
    memory = random(1, CONFIG.memory_channels, side, side)
    changed = memory.clone()
    row, column = side // 2, side - 1
    changed[:, :, row, column] *= -1  # a norm would remove a constant
    difference = (perceiver(changed) - perceiver(memory)).abs().amax(dim=1)[0]
    assert (difference[:ROWS] > 1e-9).all()
    window = side // GRID
    assert (difference[ROWS:] > 1e-9).nonzero().tolist() == [[row // window, column // window]]


def test_the_order_of_tokens_within_a_window_matters_to_global_latents_only(perceiver: Perceiver) -> None:
    memory = random(1, CONFIG.memory_channels, 16, 16)
    windows = memory.unflatten(3, (GRID, -1)).unflatten(2, (GRID, -1))
    shuffled = windows.flip(3, 5).flatten(4, 5).flatten(2, 3)
    difference = (perceiver(shuffled) - perceiver(memory)).abs()
    assert difference[:, :, :ROWS].max() > 1e-6
    assert difference[:, :, ROWS:].max() < 1e-12


def test_maps_of_a_batch_do_not_mix(perceiver: Perceiver) -> None:
    memories = random(3, CONFIG.memory_channels, 16, 16)
    alone = torch.cat([perceiver(memory[None]) for memory in memories])
    torch.testing.assert_close(perceiver(memories), alone, rtol=0, atol=1e-12)
