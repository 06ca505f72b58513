"""Options that say what is done to masks after the network."""

from __future__ import annotations

from typing import Annotated

import typer

Holes = Annotated[int, typer.Option(help="Fill holes of up to so many low-res pixels.", min=0)]
Islands = Annotated[int, typer.Option(help="Drop pieces of up to so many low-res pixels.", min=0)]
Apart = Annotated[bool, typer.Option("--apart", help="Let no pixel belong to two objects.")]
RememberCleaned = Annotated[
    bool, typer.Option("--remember-cleaned", help="Go on from the cleaned masks; otherwise they are only written.")
]
