"""Released-format checkpoint files with weights by formula: speed does not depend on what the weights say."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from masklet.checkpoints import key_names, write_released

TESTS = Path(__file__).resolve().parents[1] / "tests"


def checkpoint(name: str) -> Path:
    """The file of configuration `name` ("sam2.1-tiny", "nano", …), made once per machine."""
    folder = Path(tempfile.gettempdir()) / "masklet-benchmarks"
    path = folder / f"{name}.pt"
    if not path.is_file():
        sys.path.insert(0, str(TESTS))
        from support.networks import network

        folder.mkdir(exist_ok=True)
        write_released(path, key_names.to_released(network(name).tensors))
    return path
