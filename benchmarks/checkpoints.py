"""Checkpoint files for benchmarks, in the released format and with weights by formula.

Speed does not depend on the values of the weights.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from masklet.checkpoints import key_names, write_released

TESTS = Path(__file__).resolve().parents[1] / "tests"


def make_checkpoint(name: str) -> Path:
    """Write the checkpoint of a configuration ("sam2.1-tiny", "nano", …) once per machine and return its path."""
    folder = Path(tempfile.gettempdir()) / "masklet-benchmarks"
    path = folder / f"{name}.pt"
    if not path.is_file():
        sys.path.insert(0, str(TESTS))
        from support.networks import make_model

        folder.mkdir(exist_ok=True)
        write_released(path, key_names.to_released(make_model(name).tensors))
    return path
