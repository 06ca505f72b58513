"""How far a long job is: frames, frames per second, time left, objects, memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from masklet.cli.console import say

Report = Callable[[int, int], None]
"""`report(done, objects)`: so many frames are finished, those of earlier starts included, and so many are followed."""


@contextmanager
def meter(title: str, total: int, done: int) -> Iterator[Report]:
    """A line on stderr that follows a job of `total` frames, `done` of them before; only its title where stderr is no
    terminal."""
    if not sys.stderr.isatty():
        say(f"{title}: {total} frames" + (f", {done} of them finished before" if done else ""))
        yield lambda count, objects: None
        return
    from rich import progress
    from rich.console import Console

    columns = [
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=None),
        progress.MofNCompleteColumn(),
        progress.TextColumn(
            "{task.fields[rate]} · {task.fields[left]} left · {task.fields[objects]} · {task.fields[memory]}"
        ),
    ]
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(
            title, total=total, completed=done, objects="–", rate="– frames/s", left="–", memory=memory()
        )
        started = time.monotonic()

        def report(count: int, objects: int) -> None:
            followed = f"{objects} object" + "s" * (objects != 1)
            rate = (count - done) / max(time.monotonic() - started, 1e-6)
            left = _duration((total - count) / rate) if rate else "–"
            said = f"{rate:.3g} frames/s"
            bar.update(task, completed=count, rate=said, left=left, objects=followed, memory=memory())

        yield report


@contextmanager
def live_meter() -> Iterator[Callable[[str], None]]:
    """A line on stderr that is written over again and again, for what has no end; nothing where it is no terminal."""
    if not sys.stderr.isatty():
        yield lambda line: None
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    with console.status(Text("–")) as status:
        yield lambda line: status.update(Text(f"{line} · {memory()}"))


def memory() -> str:
    """How much memory this process holds, or at most held where the system tells no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return f"{pages * _page_size() / 1e9:.1f} GB"
    except OSError:
        return f"{_peak() / 1e9:.1f} GB"


def _page_size() -> int:
    import resource

    return resource.getpagesize()


def _peak() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
