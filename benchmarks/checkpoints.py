"""Released-format checkpoint files with weights by formula: speed does not depend on what the weights say."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parents[1] / "tests"


def checkpoint(name: str) -> Path:
    """The file of configuration `name` ("sam2.1-tiny", …), made once per machine."""
    folder = Path(tempfile.gettempdir()) / "masklet-benchmarks"
    path = folder / f"{name}.pt"
    if not path.is_file():
        sys.path.insert(0, str(TESTS))
        from parity.inputs import weights

        shapes = json.loads((TESTS / "parity" / "shapes.json").read_text())[name.replace("base-plus", "base_plus")]
        folder.mkdir(exist_ok=True)
        part = path.with_suffix(".part")
        torch.save({"model": {key: torch.from_numpy(value) for key, value in weights(shapes, 1).items()}}, part)
        part.replace(path)
    return path
