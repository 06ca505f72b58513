"""The `masklet` command: its sub-commands, and the exit status of each error.

Exit statuses are those of `masklet.errors.EXIT_STATUS`: 0 for success, 2 for wrong usage, 3 if some inputs failed. 130
is for an interrupt, 143 for a termination and 141 for a closed output pipe. 1 is never returned.
"""

from __future__ import annotations

import errno
import inspect
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any

import typer

import masklet
from masklet.cli import data, evaluate, everything, export, models, segment, studio, track, train, webcam
from masklet.cli.console import print_error, say
from masklet.errors import InputNotFound, MaskletError

INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143  # 128 + the signal's number, as shells report it

app = typer.Typer(
    name="masklet", pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)

# These modules import Typer only. Heavy packages are imported when a command runs.
app.command("segment")(segment.segment)
app.command("track")(track.track)
app.command("webcam")(webcam.webcam)
app.command("studio")(studio.studio)
app.command("everything")(everything.everything)
app.command("train")(train.train)
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(export.app, name="export")


def _unwrap_help(commands: typer.Typer) -> None:
    """Join the lines of each paragraph of the docstrings, so that `--help` wraps them at the terminal's width."""
    for command in commands.registered_commands:
        text = inspect.getdoc(command.callback) or ""
        command.help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in text.split("\n\n"))
    for group in commands.registered_groups:
        if group.typer_instance:
            _unwrap_help(group.typer_instance)


_unwrap_help(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status. Errors are printed, not raised.

    Args:
        arguments: The arguments after the program's name. By default those of the process.
    """
    return run(app, "masklet", arguments)


def run(command: typer.Typer, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a Typer command called `name` like `main`; development tools share the errors and exit statuses."""
    words, debug = _split_debug(sys.argv[1:] if arguments is None else arguments)
    _prepare()
    try:
        status = command(args=words, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
        if status == INTERRUPTED:  # Typer returns this status for an interrupt
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except BaseException as error:  # noqa: BLE001 - every error ends here
        if debug:
            traceback.print_exc()
        return _report_end(error, as_json="--json" in words)


def _report_end(error: BaseException, *, as_json: bool) -> int:
    """Report the exception that ended the run, and return the exit status."""
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
        _discard_stdout()
    return known.exit_status


def _translate(error: BaseException) -> MaskletError:
    """Translate an exception of another library into an error of masklet."""
    if isinstance(error, _UsageError):
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


_UNREADABLE = frozenset({errno.ENAMETOOLONG, errno.EACCES, errno.ELOOP})
"""Errors of opening a path to read. Errors of writing are translated where the file is written."""

_UsageError: Any = typer.BadParameter.__base__  # Click's class, which Typer may bundle


def _split_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Return the arguments without `--debug`, and whether it was given anywhere before a `--`."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    return [word for word in words[:end] if word != "--debug"] + words[end:], "--debug" in words[:end]


def _prepare() -> None:
    """Escape characters that the terminal's encoding does not have, and exit cleanly on SIGTERM."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _exit_terminated)


def _exit_terminated(number: int, frame: FrameType | None) -> None:
    sys.exit(TERMINATED)


def _discard_stdout() -> int:
    """Redirect stdout to the null device, so that flushing it raises no error; return the exit status."""
    with open(os.devnull, "wb") as null:  # noqa: PTH123 - a device
        os.dup2(null.fileno(), 1)
    return BROKEN_PIPE


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"masklet {masklet.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _masklet_command(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error. Allowed anywhere.")] = False,
) -> None:
    """Segment images and video with clicks, boxes or masks: SAM 2 and SAM 2.1."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
