"""T8: a job that is killed at random times and resumed loses no finished frame and ends with the same files."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from support.track_runs import COUNT, KILLED_JOB, read_outputs
from support.zygote import Zygote, count_frames


@pytest.mark.parametrize("kills", [1, pytest.param(200, marks=pytest.mark.slow)])
def test_a_job_killed_at_random_times_ends_with_the_same_output(
    kills: int, zygote: Zygote, whole: dict[str, bytes], frames: Path, tmp_path: Path
) -> None:
    chance, killed, job = random.Random(kills), 0, 0
    while killed < kills:
        out, finished = tmp_path / f"job {job}", 0
        job += 1
        while killed < kills:
            target = min(COUNT, finished + chance.randint(0, 4))
            result = zygote.run(
                "track", frames, *KILLED_JOB, "--resume", "--out", out,
                kill=signal.SIGKILL, frames=target, after=chance.uniform(0, 0.4 if target == COUNT else 0.1),
            )  # fmt: skip
            now = count_frames(out / ".masklet/journal.jsonl")
            assert now >= finished, "no finished frame is lost"
            finished = now
            if result["status"] == 0:
                break
            assert result["status"] == -signal.SIGKILL, result
            killed += 1
            for name, content in read_outputs(out).items() if out.exists() else ():
                assert ".part" in name or whole[name] == content, "a file with its final name is complete"
            written = [name for name in read_outputs(out) if name.startswith("png/")] if out.exists() else []
            assert len(written) >= finished
        result = zygote.run("track", frames, *KILLED_JOB, "--resume", "--out", out)
        assert result["status"] == 0, result
        assert read_outputs(out) == whole
        assert sorted(path.name for path in (out / ".masklet").iterdir()) == ["journal.jsonl", "lock"]
