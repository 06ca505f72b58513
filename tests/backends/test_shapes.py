"""Arrays below the backend protocol have the shapes that the types state."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import masklet

TESTS = Path(__file__).resolve().parents[1]


def test_both_backends_run_with_the_shapes_of_their_types() -> None:
    for package in ("torch", "jaxtyping", "beartype"):
        pytest.importorskip(package)
    path = os.pathsep.join((str(Path(masklet.__file__).parents[1]), str(TESTS)))
    command = [sys.executable, "-m", "support.checked_backends"]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
