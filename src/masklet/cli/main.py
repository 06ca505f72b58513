"""The `masklet` command: its sub-commands, and the exit status of each error.

Exit statuses are those of `masklet.errors.EXIT_STATUS`: 0 for success, 2 for wrong usage, 3 if some inputs failed. 130
is for an interrupt, 143 for a termination, 129 for a hang-up and 141 for a closed output pipe. 1 is never returned.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from masklet.cli.streams import discard_stream, open_standard_streams
from masklet.errors import InputNotFound, MaskletError
from masklet.signals import END_SIGNALS, handle_signals, repeat_lost_signals

if TYPE_CHECKING:
    import typer

INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 + the signal's number, as shells report it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status. Errors are printed, not raised.

    Args:
        arguments: The arguments after the program's name. By default those of the process.
    """
    return _run(_load_commands, "masklet", arguments)


def run(command: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a Typer command called `name` like `main`; development tools share the errors and exit statuses."""
    return _run(lambda: command, name, arguments)


def _load_commands() -> typer.Typer:
    from masklet.cli.commands import app

    return app


def _run(load: Callable[[], typer.Typer], name: str, arguments: Sequence[str] | None) -> int:
    words, debug = _split_debug(sys.argv[1:] if arguments is None else arguments)
    open_standard_streams()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # its warnings about cameras are repeated by our errors
    numbers = [number for number in END_SIGNALS if number != signal.SIGINT]  # Ctrl-C raises KeyboardInterrupt
    with handle_signals(_exit_at_signal, numbers):  # before the commands are imported, which takes part of a second
        try:
            with repeat_lost_signals():
                status = _call(load(), words, name)
            if status == INTERRUPTED:  # Typer returns this status for an interrupt
                raise KeyboardInterrupt
            return status if isinstance(status, int) else 0
        except BaseException as error:  # noqa: BLE001 - every error ends here
            if debug:
                traceback.print_exc()
            return _report_end(error, as_json="--json" in words)


def _call(command: Callable[..., Any], words: list[str], name: str) -> Any:
    from masklet.cli.console import flush_stdout, print_warnings

    _check_current_folder()
    with print_warnings():
        status = command(args=words, prog_name=name, standalone_mode=False)
    flush_stdout()
    return status


def _check_current_folder() -> None:
    """Raise `InputNotFound` if the current folder was removed: no relative path has a meaning, and PyTorch ends."""
    try:
        Path.cwd()
    except FileNotFoundError as cause:
        message = "the current folder does not exist any more; change to another one"
        raise InputNotFound("input-not-found", message) from cause


def _exit_at_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _report_end(error: BaseException, *, as_json: bool) -> int:
    """Report the exception that ended the run, and return the exit status."""
    import typer

    from masklet.cli.console import print_error, say

    if isinstance(error, KeyboardInterrupt | typer.Abort):
        say("masklet: interrupted")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError) or (isinstance(error, SystemExit) and error.code == 1):
        return _discard_stdout()  # Typer exits with 1 for a broken pipe only
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    known = error if isinstance(error, MaskletError) else _translate(error)
    try:
        print_error(known, as_json=as_json)
        sys.stdout.flush()
    except OSError:
        discard_stream(sys.stdout)
    return known.exit_status


def _translate(error: BaseException) -> MaskletError:
    """Translate an exception of another library into an error of masklet."""
    import typer

    usage_error: Any = typer.BadParameter.__base__  # Click's class, which Typer may bundle
    if isinstance(error, usage_error):
        context: Any = getattr(error, "ctx", None)
        command = context.command_path if context else "masklet"
        return MaskletError(
            "bad-usage", error.format_message(), hint=f"{command} --help lists the commands and options"
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return MaskletError("disk-full", "the disk is full", hint="free some space and run the command again")
    if isinstance(error, OSError) and error.errno in _UNREADABLE and error.filename:
        path = os.fsdecode(error.filename)
        return InputNotFound("input-unreadable", f"{path} cannot be read: {error.strerror}", path=path)
    if isinstance(error, MemoryError):
        return MaskletError("out-of-memory", "not enough memory", hint="use a smaller model or a smaller --input-size")
    return MaskletError(
        "internal",
        f"a bug in masklet: {type(error).__name__}: {error}",
        hint="please report it with the output of the same command with --debug",
    )


_UNREADABLE = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EIO", "EISDIR", "ELOOP", "ENAMETOOLONG", "ENODEV", "ENOTDIR", "ENXIO", "EPERM", "ESTALE")
    if hasattr(errno, name)
)
"""Errors of opening a path to read. Errors of writing are translated where the file is written."""


def _split_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Return the arguments without `--debug`, and whether it was given anywhere before a `--`."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    return [word for word in words[:end] if word != "--debug"] + words[end:], "--debug" in words[:end]


def _discard_stdout() -> int:
    """Redirect stdout to the null device, so that flushing it raises no error; return the exit status."""
    discard_stream(sys.stdout)
    return BROKEN_PIPE
