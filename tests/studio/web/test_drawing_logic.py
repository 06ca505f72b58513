"""Logic of the studio's drawing area that needs no browser, in Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_TESTS = Path(__file__).with_name("drawing.test.mjs")


def test_logic_of_the_drawing_area() -> None:
    """Runs, label maps, transforms, tools, polygons and frames. Node reports each test that fails."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    result = subprocess.run([node, _TESTS], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
