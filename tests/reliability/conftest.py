"""Fixtures of jobs that are killed, interrupted and repeated."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.track_runs import KILLED_JOB, read_outputs, write_frames
from support.zygote import Zygote


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 frames."""
    return write_frames(tmp_path_factory.mktemp("frames"))


@pytest.fixture(scope="session")
def zygote(checkpoint: Callable[[str, int], Path]) -> Iterator[Zygote]:
    """A process that runs commands in children."""
    if not hasattr(os, "fork"):
        pytest.skip("runs are killed in forked processes")
    with Zygote(checkpoint("sam2.1-micro", 1)) as zygote:
        yield zygote


@pytest.fixture(scope="session")
def whole(zygote: Zygote, frames: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The output of a run of `KILLED_JOB` that is not interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert zygote.run("track", frames, *KILLED_JOB, "--out", out)["status"] == 0
    return read_outputs(out)
