"""Run: checks inputs of a kind in workers, and collects the failures, also of workers that crash or hang."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fuzzing.worker import PROGRESS, Task

HANG_S = 120.0  # of a check that uses no CPU time
START_S = 300.0  # in which a worker makes its files
MAX_FAILURES = 20
_POLL_S = 0.2
_MEMORY_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # writing to a disk takes longer than a check
_FOLDER = Path(__file__).resolve().parents[1]


@dataclass
class Failure:
    """An input that broke the promise."""

    target: str
    message: str
    content: bytes
    trace: str = ""

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return hashlib.sha256(self.content).hexdigest()[:12]


@dataclass
class Report:
    """The result of a run."""

    kind: str
    checks: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_bytes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        read = self.codes.get("read", 0)
        return (
            f"{self.kind}: {self.checks} inputs in {self.seconds:.0f} s, {read} read, {self.checks - read} refused "
            f"({len(self.codes) - ('read' in self.codes)} codes), {len(self.failures)} failures; slowest "
            f"{self.slowest_s:.2f} s of CPU time, memory +{self.peak_bytes >> 20} MiB"
        )

    def add(self, failure: Failure) -> None:
        """Add a failure, unless it is like an earlier one."""
        if all((failure.target, failure.message) != (other.target, other.message) for other in self.failures):
            self.failures.append(failure)

    def require_success(self) -> None:
        """Raise `AssertionError` with the failures."""
        shown = "\n".join(f"{failure.target}: {failure.message}\n{failure.trace}" for failure in self.failures[:5])
        assert not self.failures, f"{self}\n{shown}"

    def save(self, folder: Path) -> None:
        """Write the failing inputs, in the layout of the corpus, with a text about each."""
        for failure in self.failures:
            place = folder / self.kind / failure.target
            place.mkdir(parents=True, exist_ok=True)
            (place / failure.file_name).write_bytes(failure.content)
            (place / f"{failure.file_name}.txt").write_text(f"{failure.message}\n\n{failure.trace}", "utf-8")


def run_kind(
    kind: str,
    count: int = 1 << 40,
    *,
    seconds: float = 0.0,
    seed: int = 0,
    engine: str = "mutation",
    targets: Sequence[str] = (),
) -> Report:
    """Check inputs of a kind.

    Args:
        kind: A key of `KINDS`.
        count: Number of inputs.
        seconds: Time after which no further check begins; 0 for no limit.
        seed: Seed of the inputs.
        engine: "mutation" or "hypothesis".
        targets: Names of targets; empty for all.
    """
    report, started = Report(kind), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="masklet-fuzz-", dir=_MEMORY_FOLDER) as name:
        task = Task(kind, name, seed, 0, count, seconds, engine, tuple(targets))
        while task.start < count and len(report.failures) < MAX_FAILURES:
            remaining = seconds - (time.monotonic() - started) if seconds else 0.0
            if seconds and remaining <= 0:
                break
            done = _run_worker(replace(task, seconds=remaining), report)
            if done < 0 or engine == "hypothesis":
                break
            task = replace(task, start=done)
    report.seconds = time.monotonic() - started
    return report


def _run_worker(task: Task, report: Report) -> int:
    """Run a worker until it ends, and return the number of the next check; −1 if it could not start."""
    folder = Path(task.folder)
    (folder / "files").mkdir(exist_ok=True)
    (folder / "progress").write_bytes(PROGRESS.pack(task.start - 1, 0, 0))
    environment = {
        **os.environ,
        "PYTHONPATH": str(_FOLDER),
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
        "MASKLET_HOME": str(folder / "home"),
    }
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "fuzzing.worker", json.dumps(asdict(task))],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        )
        end = _read_results(process, folder, report)
        status = process.wait()
        number, place, started = _read_progress(folder)
        if end is not None:
            report.checks += end["done"] - task.start if task.engine == "mutation" else sum(end["codes"].values())
            report.codes.update(end["codes"])
            report.slowest_s = max(report.slowest_s, end["slowest"])
            report.peak_bytes = max(report.peak_bytes, end["peak"])
            return int(end["done"])
        errors.seek(0)
        trace = errors.read().decode("utf-8", "replace")[-3000:]
    if not started:
        report.failures.append(Failure("-", f"the worker does not start (status {status})", b"", trace))
        return -1
    report.checks += number + 1 - task.start
    name, path = json.loads((folder / "targets.json").read_text())[place]
    reason = f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    report.failures.append(Failure(name, reason, Path(path).read_bytes(), trace))
    return number + 1


def _read_results(process: subprocess.Popen[bytes], folder: Path, report: Report) -> dict[str, Any] | None:
    """Read the lines of a worker, and kill it if a check hangs. Returns its last line."""
    assert process.stdout
    started, pending = time.monotonic_ns(), b""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], _POLL_S)
        if ready:
            block = os.read(process.stdout.fileno(), 1 << 16)
            if not block:
                return None
            *lines, pending = (pending + block).split(b"\n")
            for line in lines:
                fields = json.loads(line)
                if "done" in fields:
                    return dict(fields)
                content = bytes.fromhex(fields["input"])
                report.add(Failure(fields["target"], fields["message"], content, fields["trace"]))
        last = _read_progress(folder)[2]
        if time.monotonic_ns() - (last or started) > (HANG_S if last else START_S) * 1e9:
            process.kill()


def _read_progress(folder: Path) -> tuple[int, int, int]:
    number, place, started = PROGRESS.unpack((folder / "progress").read_bytes())
    return number, place, started
