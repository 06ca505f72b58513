"""Weights by formula under the names of the published EfficientNet-Lite files, for a small network."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from masklet.config import CONFIGS, LITE_STEM_CHANNELS

MICRO = CONFIGS["lite-micro"]


def make_pixels() -> NDArray[np.uint8]:
    """Return two images (2, 3, 64, 64)."""
    return np.random.RandomState(5).randint(0, 256, (2, 3, 64, 64)).astype(np.uint8)


def make_original_tensors() -> dict[str, NDArray[np.float32]]:
    """Return convolutions and batch norms of `lite-micro`, without the head."""
    tensors = _make_layer("_conv_stem", "_bn0", (LITE_STEM_CHANNELS, 3, 3, 3))
    for index, block in enumerate(MICRO.mbconv_blocks):
        name, hidden = f"_blocks.{index}", block.hidden
        if block.expansion > 1:
            tensors |= _make_layer(f"{name}._expand_conv", f"{name}._bn0", (hidden, block.channels, 1, 1))
        tensors |= _make_layer(f"{name}._depthwise_conv", f"{name}._bn1", (hidden, 1, block.kernel, block.kernel))
        tensors |= _make_layer(f"{name}._project_conv", f"{name}._bn2", (block.out, hidden, 1, 1))
    return tensors


def _make_layer(conv: str, norm: str, shape: tuple[int, ...]) -> dict[str, NDArray[np.float32]]:
    random, count = np.random.RandomState(zlib.crc32(conv.encode())), shape[0]
    values = {
        f"{conv}.weight": random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:])),
        f"{norm}.weight": random.uniform(0.5, 1.5, count),
        f"{norm}.bias": random.standard_normal(count) * 0.5,
        f"{norm}.running_mean": random.standard_normal(count) * 0.5,
        f"{norm}.running_var": random.uniform(0.5, 2.0, count),
    }
    return {name: value.astype(np.float32) for name, value in values.items()}
