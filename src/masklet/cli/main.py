"""The `masklet` command: which sub-commands there are, and how each of them may end.

Exit statuses are those of `masklet.errors.EXIT_STATUS`, 0 for success, 2 for wrong usage, 130 and 143 after an
interrupt or a termination, 141 when nobody reads the output any more. 1 is never returned.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any

import typer

import masklet
from masklet.cli import data, evaluate, everything, export, models, segment, track, train, webcam
from masklet.cli.console import print_error, say
from masklet.errors import InputNotFound, MaskletError

INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143  # 128 + the signal's number, as shells report it

app = typer.Typer(
    name="masklet", pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)

# One line per command. The modules import Typer only; what is heavy they import when the command runs.
app.command("segment")(segment.segment)
app.command("track")(track.track)
app.command("webcam")(webcam.webcam)
app.command("everything")(everything.everything)
app.command("train")(train.train)
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(export.app, name="export")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (by default the process's own) and return its exit status. Prints errors, raises none."""
    words, debug = _debug(sys.argv[1:] if arguments is None else arguments)
    _prepare()
    try:
        status = app(args=words, prog_name="masklet", standalone_mode=False)
        sys.stdout.flush()
        if status == INTERRUPTED:  # what Typer makes of an interrupt
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except BaseException as error:  # noqa: BLE001 - the one place where everything ends
        if debug:
            traceback.print_exc()
        return _ended(error, as_json="--json" in words)


def _ended(error: BaseException, *, as_json: bool) -> int:
    """Tell what ended the run; returns the exit status."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        say("masklet: interrupted")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError) or (isinstance(error, SystemExit) and error.code == 1):
        return _unread()  # Typer answers a broken pipe, and nothing else, with 1
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    known = error if isinstance(error, MaskletError) else _explained(error)
    try:
        print_error(known, as_json=as_json)
        sys.stdout.flush()
    except OSError:
        _unread()
    return known.exit_status


def _explained(error: BaseException) -> MaskletError:
    """What another library raised, as one of our errors."""
    if isinstance(error, _UsageError):
        context: Any = getattr(error, "ctx", None)
        command = context.command_path if context else "masklet"
        return MaskletError("bad-usage", error.format_message(), hint=f"{command} --help shows what fits")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return MaskletError("disk-full", "the disk is full", hint="free some space and run it again")
    if isinstance(error, OSError) and error.errno in _UNREADABLE and error.filename:
        path = os.fsdecode(error.filename)
        return InputNotFound("input-unreadable", f"{path} cannot be read: {error.strerror}", path=path)
    if isinstance(error, MemoryError):
        return MaskletError("out-of-memory", "not enough memory", hint="a smaller model or size needs less")
    return MaskletError(
        "internal",
        f"a bug in masklet: {type(error).__name__}: {error}",
        hint="the same command with --debug shows where; please report it with that output",
    )


_UNREADABLE = frozenset({errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP})
"""What the system answers for a path that was only asked for; writers have their own errors by then."""

_UsageError: Any = typer.BadParameter.__base__  # Click's own class, wherever Typer keeps its Click


def _debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without `--debug`, which may stand anywhere before a `--`, and whether it stood there."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    return [word for word in words[:end] if word != "--debug"] + words[end:], "--debug" in words[:end]


def _prepare() -> None:
    """Names that the terminal's encoding lacks are escaped, and a termination unwinds like an interrupt."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> None:
    sys.exit(TERMINATED)


def _unread() -> int:
    """Stdout takes nothing any more: what is still buffered goes nowhere, so that the end is quiet."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path of ours
        os.dup2(nowhere.fileno(), 1)
    return BROKEN_PIPE


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"masklet {masklet.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def masklet_command(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="After an error, show where it was raised. May stand anywhere.")
    ] = False,
) -> None:
    """Segment pictures and video by click, box or mask: SAM 2 and 2.1."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
