"""Console output: data on stdout; messages, errors and progress bars on stderr."""

from __future__ import annotations

import errno
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from masklet.cli.streams import discard_stream
from masklet.errors import MaskletError, MaskletWarning, ResourceError
from masklet.files.error_translation import translate_errors

PARTLY_DONE = 3  # exit status of a command that failed for some of its inputs and finished the others

Progress = Callable[[int, int | None], None]
"""`progress(done, total)`; the total is None while it is unknown."""


def print_json(value: Any) -> None:
    """Write one JSON document to stdout. Paths become strings; NaN raises `ValueError`, because JSON has none."""
    _print(json.dumps(value, indent=2, default=str, allow_nan=False) + "\n")


def print_line(text: str) -> None:
    """Write one line of data to stdout, with control characters escaped."""
    _print(escape_unprintable(text) + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write aligned columns to stdout, without borders, so that `cut`, `sort` and `grep` work on them."""
    lines = [[escape_unprintable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(header))]
    for line in lines:
        _print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def flush_stdout() -> None:
    """Write what is buffered to stdout.

    Raises:
        BrokenPipeError: The reader has closed it.
        ResourceError: `disk-full` or `output-failed`. It cannot be written.
    """
    with translate_errors(OSError, into=_translate_stdout_error):
        sys.stdout.flush()


def say(text: str) -> None:
    """Write one line to stderr, with control characters escaped. Lines are lost if stderr cannot be written."""
    try:
        sys.stderr.write(escape_unprintable(text) + "\n")
    except OSError:  # messages do not end a job
        discard_stream(sys.stderr)


def _print(text: str) -> None:
    with translate_errors(OSError, into=_translate_stdout_error):
        sys.stdout.write(text)


def _translate_stdout_error(error: OSError) -> OSError:
    if isinstance(error, BrokenPipeError):
        return error
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError("disk-full", "standard output cannot be written: the disk is full")
    return ResourceError("output-failed", f"standard output cannot be written: {error.strerror}")


def print_error(error: MaskletError, *, as_json: bool = False, name: str = "") -> None:
    """Write an error and its hint to stderr, and with `as_json` also as a JSON object to stdout.

    `name` is that of the input, which is written before a message that does not have it.
    """
    if as_json:
        print_json({"error": error_record(error)})
    place = f"{name}: " if name and Path(name).name not in error.message else ""
    say(f"masklet: error: {place}{error.message} [{error.code}]")
    if error.hint:
        say(f"hint: {error.hint}")


def record_failed_image(name: str, error: MaskletError, *, only: bool) -> dict[str, Any]:
    """Print the error of an image and return its record, so that the command can continue with the next image.

    Raises the error if it is the `only` image, or if the other images would fail for the same reason.
    """
    if only or error.code in ("disk-full", "out-of-memory"):
        raise error
    print_error(error, name=name)
    return {"picture": name, "error": error_record(error)}


@contextmanager
def print_warnings() -> Iterator[None]:
    """Print each `MaskletWarning` of the block as one line, and the same line once."""
    printed: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", MaskletWarning)
        original = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not issubclass(category, MaskletWarning):
                original(message, category, *rest, **more)
            elif str(message) not in printed:
                printed.add(str(message))
                say(f"masklet: warning: {message}")

        warnings.showwarning = show
        yield


def error_record(error: MaskletError) -> dict[str, Any]:
    """Return an error as an object of the JSON output."""
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
    """Show a progress bar on stderr while the block runs; only the title if stderr is no terminal.

    Yields the function to call with the number of finished units and the total.
    """
    if not sys.stderr.isatty():
        say(title)
        yield lambda done, total: None
        return
    with _bar(unit) as bar:
        task = bar.add_task(escape_unprintable(title), total=None)
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


def escape_unprintable(text: str) -> str:
    """Escape every character that is not printable, so that `text` is one line and cannot control the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
