"""Small networks with weights by formula, for tests of graphs and runtimes; needs no PyTorch."""

from __future__ import annotations

from functools import cache

import numpy as np

from masklet.config import CONFIGS
from masklet.graphs.network import Network
from masklet.graphs.shapes import expected_shapes
from masklet.model import weights
from parity.inputs import weights as by_formula


@cache
def network(name: str, size: int = 64, seed: int = 1) -> Network:
    """The configuration `name` for pictures of `size`, with its weights by formula."""
    shapes = {
        weights.rename(ours, "ours", "released") or ours: shape
        for ours, shape in expected_shapes(CONFIGS[name]).items()
    }
    made = by_formula({key: list(shape) for key, shape in shapes.items()}, seed)
    return Network(CONFIGS[name], weights.to_ours({key: np.asarray(value) for key, value in made.items()}), size)
