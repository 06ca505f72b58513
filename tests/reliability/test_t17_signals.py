"""T17: signals end a job in order, with a command that continues it, and leave neither processes nor partial files.

Signals during a download, an export, training, the webcam and the studio are tested with these commands.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from support.clips import write_clip
from support.track_runs import COUNT, KILLED_JOB, read_outputs
from support.zygote import Zygote

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
MAX_S = 60.0
"""A multiple of the promised 5 s, since the machine may be busy. `docs/reliability.md` has measured times."""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGTERM, signal.SIGHUP))]
)
def test_an_interrupted_job_shows_how_to_resume(
    number: int, zygote: Zygote, whole: dict[str, bytes], frames: Path, tmp_path: Path
) -> None:
    for attempt in range(5):  # on a busy machine a job may end before the signal comes
        out = tmp_path / str(attempt)
        result = zygote.run("track", frames, *KILLED_JOB, "--out", out, kill=number, frames=1)
        if result["status"]:
            break
    assert result["status"] == STATUS[signal.Signals(number)] and result["seconds"] <= MAX_S
    assert f"continue with: masklet track {frames}" in result["stderr"] and "--resume" in result["stderr"]
    assert not list(out.rglob("*.part"))
    assert zygote.run("track", frames, *KILLED_JOB, "--resume", "--out", out)["status"] == 0
    assert read_outputs(out) == whole


@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("count", [25])
def test_signals_at_random_times(
    count: int, twice: bool, zygote: Zygote, whole: dict[str, bytes], frames: Path, tmp_path: Path
) -> None:
    chance, slowest = random.Random(count), 0.0
    for attempt in range(count):
        out, number = tmp_path / str(attempt), chance.choice([*STATUS])
        result = zygote.run(
            "track", frames, *KILLED_JOB, "--out", out,
            kill=number, frames=chance.randint(0, COUNT), after=chance.uniform(0, 0.2), twice=twice,
        )  # fmt: skip
        statuses = {0, STATUS[number]} | ({-number} if twice else set())  # the second one may come in the exit itself
        assert result["status"] in statuses, result
        slowest = max(slowest, result["seconds"])
        assert not result["orphans"] and "Traceback" not in result["stderr"]
        assert twice or not list(out.rglob("*.part"))
        resume = ["--resume"] if out.exists() else []
        assert zygote.run("track", frames, *KILLED_JOB, *resume, "--out", out)["status"] == 0
        assert read_outputs(out) == whole
    assert slowest <= MAX_S
    print(f"slowest end after a signal: {slowest:.2f} s")


@pytest.mark.slow
@pytest.mark.parametrize("count", [10])
def test_no_process_of_a_video_remains(count: int, zygote: Zygote, tmp_path: Path) -> None:
    """Videos are decoded in a child process."""
    clip, chance, interrupted = write_clip(tmp_path / "clip.mp4", 60), random.Random(count), 0
    for attempt in range(count):
        out, number = tmp_path / str(attempt), chance.choice([*STATUS])
        result = zygote.run(
            "track", clip, "--box", "20,5,100,40", "--format", "png", "--out", out,
            kill=number, frames=chance.randint(0, 20), after=chance.uniform(0, 0.1),
        )  # fmt: skip
        assert result["status"] in (0, STATUS[number]), result
        interrupted += result["status"] != 0
        assert not result["orphans"] and not list(out.rglob("*.part"))
    assert interrupted
