"""Recorded outputs of each new part of EdgeTAM and EfficientTAM, on random inputs, within 1e-5."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.config import CONFIGS
from support.recorded import PARITY

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from masklet.model.memory_attention import MemoryTokens  # noqa: E402
from masklet.model.position_encoding import compute_sine_encoding  # noqa: E402
from masklet.model.sam2 import Sam2  # noqa: E402
from masklet.position_tables import compute_latent_positions  # noqa: E402
from parity.test_video import backend, sample  # noqa: E402

SEED, POINTERS = 1, 8
MICRO = ["edgetam-micro", "efficienttam-micro", "efficienttam-micro-1", "efficienttam-micro-2"]
FULL = [
    *("edgetam", "efficienttam-s", "efficienttam-s-512", "efficienttam-ti"),
    *("efficienttam-ti-1", "efficienttam-ti-2", "efficienttam-ti-512"),
]


def compute_parts(model: Sam2) -> dict[str, Tensor]:
    """Compute the recorded parts with the recorded order of random inputs."""
    random, config = np.random.RandomState(1000 + SEED), model.config

    def draw(*shape: int) -> Tensor:
        return torch.from_numpy(random.standard_normal(shape).astype(np.float32)).double()

    size = config.input_size
    maps = model.trunk(draw(1, 3, size, size))
    found = {f"trunk_{level}": value for level, value in enumerate(maps)}
    neck = model.neck(maps)
    found[f"neck_{2 if config.high_resolution else 0}"] = neck.stride16
    side = size // 16
    found["position"] = compute_sine_encoding(side, side, config.channels, neck.stride16)
    features = draw(1, config.channels, side, side)
    found["memory_dense"] = dense = model.memory_encoder(features, 20 * draw(1, 1, size, size).sigmoid() - 10)
    tokens = side**2
    if model.perceiver is not None:
        found["memory_latents"] = model.perceiver(dense).flatten(2).mT
        sizes = config.global_latents, config.latent_grid, config.memory_channels
        found["memory_latents_pos"] = torch.from_numpy(compute_latent_positions(*sizes))
        tokens = config.global_latents + config.latent_grid**2
    for count in (1, 3):
        current, position = draw(side**2, 1, config.channels), draw(side**2, 1, config.channels)
        memory = draw(count * tokens + POINTERS, 1, config.memory_channels)
        memory_position = draw(count * tokens + POINTERS, 1, config.memory_channels)
        own = compute_sine_encoding(side, side, config.channels, current)  # is added, unlike the drawn position
        image = (current + 0.1 * position)[:, 0].T.unflatten(1, (side, side)) - 0.1 * own
        keys, values = (x.transpose(0, 1) for x in (memory + memory_position, memory))
        attended = model.memory_attention(image[None], MemoryTokens(keys, values, count))
        found[f"attention_{count}"] = attended.flatten(2).permute(2, 0, 1)
    return found


def compare(found: dict[str, Tensor], name: str) -> set[str]:
    recorded = np.load(PARITY / f"parts_{name}_{SEED}.npz")
    for key, value in found.items():
        expected: NDArray[np.float32] = recorded[key]
        assert np.abs(sample(value.numpy(), expected) - expected).max() < 1e-5, key
    return set(recorded.files) - set(found)


@pytest.mark.parametrize("name", [*MICRO, *(pytest.param(name, marks=pytest.mark.slow) for name in FULL)])
def test_every_part_gives_its_recorded_output(name: str) -> None:
    model = backend(f"{name}_{SEED}", "float64").model
    with torch.inference_mode():
        rest = compare(compute_parts(model), name)
    # strides 4, 8 and 32 of the reference's neck: the first two have another convolution here, the last is dropped
    assert rest == ({"neck_0", "neck_1", "neck_3"} if CONFIGS[name].high_resolution else set())
