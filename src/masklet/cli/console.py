"""How commands talk: data goes to stdout, everything said about it to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from masklet.errors import MaskletError

PARTLY_DONE = 3  # the exit status where something failed and the rest is done

Progress = Callable[[int, int | None], None]
"""`progress(done, total)`; a total of None is one that nobody knows yet."""


def print_json(value: Any) -> None:
    """One JSON document on stdout, for machines. Paths become strings; NaN is refused, since JSON has none."""
    sys.stdout.write(json.dumps(value, indent=2, default=str, allow_nan=False) + "\n")


def print_line(text: str) -> None:
    """One line of data on stdout, with control characters made visible."""
    sys.stdout.write(visible(text) + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns on stdout: no frames, so that they can be cut, sorted and searched."""
    lines = [[visible(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    for line in lines:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def say(text: str) -> None:
    """One line on stderr for the person who waits."""
    sys.stderr.write(visible(text) + "\n")


def print_error(error: MaskletError, *, as_json: bool = False) -> None:
    """What went wrong: a line and perhaps a hint on stderr, and with `as_json` the whole error on stdout too."""
    if as_json:
        print_json({"error": error_record(error)})
    say(f"masklet: error: {error.message} [{error.code}]")
    if error.hint:
        say(f"hint: {error.hint}")


def picture_failed(picture: str, error: MaskletError, *, only: bool) -> dict[str, Any]:
    """What is told and recorded of a picture that failed, so that the others can go on.

    Raises the error where it is the only one, or where the others would fail by the same.
    """
    if only or error.code in ("disk-full", "out-of-memory"):
        raise error
    print_error(error)
    return {"picture": picture, "error": error_record(error)}


def error_record(error: MaskletError) -> dict[str, Any]:
    """An error as every machine-readable surface shows it."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "exit_status": error.exit_status,
        "context": error.context,
    }


@contextmanager
def progress(
    title: str, *, unit: Literal["bytes", "frames", "images", "clips", "clicks", "steps"] = "frames"
) -> Iterator[Progress]:
    """A bar on stderr while the block runs, where stderr is a terminal; otherwise only its title.

    Gives the function to call with what is done and what there is to do.
    """
    if not sys.stderr.isatty():
        say(title)
        yield lambda done, total: None
        return
    with _bar(unit) as bar:
        task = bar.add_task(visible(title), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _bar(unit: str) -> Any:
    from rich import progress as columns
    from rich.console import Console

    done = (
        [columns.DownloadColumn(), columns.TransferSpeedColumn()]
        if unit == "bytes"
        else [columns.MofNCompleteColumn(), columns.TextColumn(unit)]
    )
    title = columns.TextColumn("{task.description}", markup=False)
    return columns.Progress(
        title, columns.BarColumn(), *done, columns.TimeRemainingColumn(), console=Console(stderr=True)
    )


def visible(text: str) -> str:
    """`text` on one line: whatever would move the cursor or hide something is written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
