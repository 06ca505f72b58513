"""Progress of a job: frames, frames per second, remaining time, objects and memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from masklet.cli.console import say

Report = Callable[[int, int], None]
"""`report(done, objects)`: the number of finished frames, earlier runs included, and of tracked objects."""


@contextmanager
def show_job_progress(title: str, total: int, done: int) -> Iterator[Report]:
    """Show the progress of a job on stderr while the block runs; only its title if stderr is no terminal.

    Args:
        title: What the job does.
        total: The number of frames.
        done: The number of frames that earlier runs finished.
    """
    if not sys.stderr.isatty():
        say(f"{title}: {total} frames" + (f", {done} finished by an earlier run" if done else ""))
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
            title, total=total, completed=done, objects="–", rate="– frames/s", left="–", memory=_format_memory()
        )
        started = time.monotonic()

        def report(count: int, objects: int) -> None:
            rate = (count - done) / max(time.monotonic() - started, 1e-6)
            bar.update(
                task,
                completed=count,
                rate=f"{rate:.3g} frames/s",
                left=_format_duration((total - count) / rate) if rate else "–",
                objects=format_count(objects, "object"),
                memory=_format_memory(),
            )

        yield report


@contextmanager
def show_live_status() -> Iterator[Callable[[str], None]]:
    """Show a status line on stderr while the block runs; nothing if stderr is no terminal.

    Yields the function that replaces the line.
    """
    if not sys.stderr.isatty():
        yield lambda line: None
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    with console.status(Text("–")) as status:
        yield lambda line: status.update(Text(f"{line} · {_format_memory()}"))


def format_count(count: int, noun: str) -> str:
    """Format a count as `1 object` or `2 objects`."""
    return f"{count} {noun}" + "s" * (count != 1)


def _format_memory() -> str:
    """Return the resident memory of this process as `1.2 GB`; its peak on systems without /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return f"{pages * _page_size() / 1e9:.1f} GB"
    except OSError:
        return f"{_peak_memory() / 1e9:.1f} GB"


def _page_size() -> int:
    import resource

    return resource.getpagesize()


def _peak_memory() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
