"""The commands of `masklet`: the Typer application with all sub-commands."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

import masklet
from masklet.cli import data, evaluate, everything, export, models, segment, serve, studio, track, train, webcam
from masklet.cli.option_groups import expand_groups

app = typer.Typer(
    name="masklet", pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)

# These modules import Typer only. Heavy packages are imported when a command runs.
app.command("segment")(segment.segment)
app.command("track")(track.track)
app.command("webcam")(webcam.webcam)
app.command("studio")(studio.studio)
app.command("serve")(serve.serve)
app.command("everything")(everything.everything)
app.command("train")(train.train)
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(export.app, name="export")


def _prepare_commands(commands: typer.Typer) -> None:
    """Unwrap the help of each command, so that `--help` wraps it at the terminal's width, and read its options."""
    for command in commands.registered_commands:
        text = inspect.getdoc(command.callback) or ""
        command.help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in text.split("\n\n"))
        if command.callback and not hasattr(command.callback, "__signature__"):
            command.callback = expand_groups(command.callback)
    for group in commands.registered_groups:
        if group.typer_instance:
            _prepare_commands(group.typer_instance)


_prepare_commands(app)


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
