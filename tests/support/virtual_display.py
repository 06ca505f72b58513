"""A virtual X display, on which programs with windows and OpenGL run without a screen."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def start_display() -> Iterator[str]:
    """Start Xvfb, and yield the name of its display. The test is skipped without Xvfb, and fails without in CI."""
    program = shutil.which("Xvfb")
    if program is None:
        assert os.environ.get("CI") != "true", "CI has no Xvfb"
        pytest.skip("no Xvfb")
    reader, writer = os.pipe()
    command = [program, "-displayfd", str(writer), "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL)
    os.close(writer)
    try:
        with os.fdopen(reader) as lines:
            number = lines.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()
