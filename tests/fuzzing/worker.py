"""Worker: checks inputs of a kind in a process of its own, with limits of CPU time and memory.

It prints a line of JSON for each failure and one at the end. A file in its folder has the number of the check in
progress, so that the parent notices a hang and knows the input of a crash.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import resource
import struct
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.kinds import Kind, find_kind
from fuzzing.reduce import reduce_input
from fuzzing.target import Target

PROGRESS = struct.Struct("<qqq")  # number of the check, index of its target, and its start in nanoseconds
_ADDRESS_SPACE_MARGIN = 1 << 30  # bytes that are reserved without being used: thread stacks and arenas
_EVENTS = ("open", "exec", "compile", "import", "os.", "socket.", "subprocess.", "pickle.", "ctypes.", "shutil.")


@dataclass(frozen=True)
class Task:
    """What a worker does.

    Attributes:
        kind: Name of the kind.
        folder: A folder for its files.
        seed: Seed of the mutations.
        start: Number of the first check.
        stop: Number after the last check.
        seconds: Time after which no further check begins; 0 for no limit.
        engine: "mutation", or "hypothesis" to draw the same mutations with hypothesis.
        targets: Names of the targets; empty for all.
    """

    kind: str
    folder: str
    seed: int
    start: int
    stop: int
    seconds: float = 0.0
    engine: str = "mutation"
    targets: tuple[str, ...] = ()


@dataclass
class Limits:
    """The limits of the checks, and the audit of what they do."""

    kind: Kind
    slowest_s: float = 0.0
    events: list[str] = field(default_factory=list)
    is_quiet: bool = False
    path: str = ""
    base: int = 0

    def install(self) -> None:
        """Limit the memory of this process, and observe what quiet checks open, run and import."""
        self.base = _peak_bytes()
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
        if pages:
            most = pages * mmap.PAGESIZE + self.kind.memory_bytes + _ADDRESS_SPACE_MARGIN
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.addaudithook(self._observe)

    def check(self, target: Target, content: bytes) -> str:
        """Run a check within the limits. Returns its code; raises on a failure."""
        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        stop = math.ceil(used + 5 * self.kind.cpu_s + 20)
        resource.setrlimit(resource.RLIMIT_CPU, (stop, resource.RLIM_INFINITY))
        target.path.write_bytes(content)
        self.events.clear()
        self.path, self.is_quiet = str(target.path), target.is_quiet
        started = time.process_time()
        try:
            code = target.read()
        finally:
            self.is_quiet = False
        spent = time.process_time() - started
        self.slowest_s = max(self.slowest_s, spent)
        if spent > self.kind.cpu_s:
            raise TooMuch(f"slow: {spent:.2f} s of CPU time")
        grown = _peak_bytes() - self.base
        if grown > self.kind.memory_bytes:
            raise TooMuch(f"memory: {grown >> 20} MiB more than before")
        if self.events:
            raise TooMuch(f"side effect: {', '.join(self.events[:5])}")
        return code

    def _observe(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_quiet or not event.startswith(_EVENTS):
            return
        if event == "open" and not isinstance(arguments[0], int):
            writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if os.fsdecode(arguments[0]) == self.path and not writes:
                return
        if event == "open" and isinstance(arguments[0], int):
            return
        self.events.append(f"{event} {arguments[0] if arguments else ''}"[:120])


class TooMuch(Exception):
    """A check took too long, used too much memory, or did more than read its input."""


def work(task: Task) -> None:
    """Check inputs, and print the results."""
    warnings.simplefilter("ignore")
    kind, folder = find_kind(task.kind), Path(task.folder)
    codes: Counter[str] = Counter()
    done = task.start
    with kind.open_targets(folder / "files") as opened, (folder / "progress").open("r+b") as file:
        targets = [target for target in opened if not task.targets or target.name in task.targets]
        assert targets, f"{task.kind} has no target {task.targets}"
        (folder / "targets.json").write_text(json.dumps([(target.name, str(target.path)) for target in targets]))
        progress = mmap.mmap(file.fileno(), PROGRESS.size)
        for target in targets:  # libraries are imported at their first use
            for content in target.seeds:
                assert target.run(content) == "", f"a sound file of {target.name} is refused"
        limits = Limits(kind)
        limits.install()
        deadline = time.monotonic() + task.seconds if task.seconds else math.inf

        def check(number: int, content: bytes) -> str:
            place = number % len(targets)
            progress[:] = PROGRESS.pack(number, place, time.monotonic_ns())
            return limits.check(targets[place], content)

        run = _run_hypothesis if task.engine == "hypothesis" else _run_mutations
        for number, content, outcome in run(task, targets, check, deadline):
            done = number + 1
            if isinstance(outcome, str):
                codes[outcome or "read"] += 1
                continue
            target = targets[number % len(targets)]
            message = describe_failure(outcome)
            reduced = _reduce(limits, target, content, message)
            target.path.with_name("reduced").write_bytes(reduced)
            _print(target=target.name, number=number, message=message, trace=_trace(outcome), input=reduced.hex())
            if isinstance(outcome, TooMuch | MemoryError):
                break  # the peak does not fall again, so the parent starts another worker
    _print(done=done, codes=codes, slowest=limits.slowest_s, peak=_peak_bytes() - limits.base)


Outcomes = Iterator[tuple[int, bytes, str | BaseException]]


def _run_mutations(task: Task, targets: list[Target], check: Callable[[int, bytes], str], deadline: float) -> Outcomes:
    for number in range(task.start, task.stop):
        if time.monotonic() > deadline:
            return
        content = draw_input(task, targets, number)
        try:
            yield number, content, check(number, content)
        except Exception as error:  # noqa: BLE001 - every exception is a finding
            yield number, content, error


def draw_input(task: Task, targets: list[Target], number: int) -> bytes:
    """Draw the input of a check, which depends only on the seed, the kind and the number."""
    return targets[number % len(targets)].draw(Random(f"{task.seed}/{task.kind}/{number}"))


def _run_hypothesis(task: Task, targets: list[Target], check: Callable[[int, bytes], str], deadline: float) -> Outcomes:
    """Let hypothesis draw and shrink the mutations of each target in turn."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    share = max(1, (task.stop - task.start) // len(targets))
    for place, target in enumerate(targets):
        outcomes: list[tuple[bytes, str]] = []
        failed: list[bytes] = [b""]

        def explore(rng: Random, place: int, target: Target, outcomes: Any, failed: Any) -> None:
            if time.monotonic() > deadline:
                return
            content = target.draw(rng)
            try:
                outcomes.append((content, check(place, content)))
            except BaseException:
                failed.append(content)
                raise

        options = settings(
            max_examples=share,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=[*HealthCheck],
        )
        rng, others = st.randoms(use_true_random=False), map(st.just, (place, target, outcomes, failed))
        error: BaseException | None = None
        try:
            seeded(task.seed)(options(given(rng, *others)(explore)))()
        except Exception as caught:  # noqa: BLE001 - every exception is a finding
            error = caught
        yield from ((place, content, code) for content, code in outcomes)
        if error is not None:
            yield place, failed[-1], error


def _reduce(limits: Limits, target: Target, content: bytes, message: str) -> bytes:
    def fails_alike(candidate: bytes) -> bool:
        try:
            limits.check(target, candidate)
        except Exception as error:  # noqa: BLE001 - compared below
            return describe_failure(error) == message
        return False

    if message.startswith(("slow", "memory", "MemoryError")):
        return content
    return reduce_input(content, fails_alike)


def describe_failure(error: BaseException) -> str:
    """Describe a failure by its exception and the innermost line of masklet that it came from."""
    if isinstance(error, TooMuch):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/masklet/" in frame.filename] or list(frames)
    where = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "?"
    text = str(error).splitlines()[0][:200] if str(error) and type(error).__name__ == "WrongResult" else ""
    return f"{type(error).__name__} in {where}{': ' if text else ''}{text}"


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-3000:]


def _peak_bytes() -> int:
    """Return the largest resident memory of this process; `getrusage` would include that of the parent."""
    try:
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123 - thousands of times
            return next(int(line.split()[1]) << 10 for line in status if line.startswith(b"VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _print(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def _main() -> None:
    output = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries write there
    sys.stdout = os.fdopen(output, "w")
    with contextlib.suppress(KeyboardInterrupt):
        values = json.loads(sys.argv[1])
        work(Task(**{**values, "targets": tuple(values["targets"])}))
    sys.stdout.flush()
    os._exit(0)  # threads of servers and libraries need not be joined


if __name__ == "__main__":
    _main()
