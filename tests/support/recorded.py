"""Recorded data of the reference implementation in tests/parity."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

PARITY = Path(__file__).resolve().parents[1] / "parity"


@cache
def load_relative_shapes() -> dict[str, dict[str, list[int]]]:
    """Load the shapes of released state dicts of EdgeTAM and EfficientTAM, as `load_shapes` those of SAM 2."""
    found: dict[str, dict[str, list[int]]] = json.loads((PARITY / "shapes_relatives.json").read_text())
    return found


@cache
def load_shapes() -> dict[str, dict[str, list[int]]]:
    """Load the shapes of ten released state dicts: configuration → name of the entry → shape."""
    found: dict[str, dict[str, list[int]]] = json.loads((PARITY / "shapes.json").read_text())
    return found
