"""`masklet webcam`: follow objects in what a camera shows, while it shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masklet.cli.options import Overwrite
from masklet.cli.prompting import Box, MaskFile, Negative, Point, schedule_of
from masklet.errors import SettingsError


def webcam(
    source: Annotated[
        str, typer.Argument(metavar="[INDEX|URL]", help="A camera's number, or a stream's address.")
    ] = "0",
    point: Point = None,
    negative: Negative = None,
    box: Box = None,
    mask: MaskFile = None,
    stop: Annotated[int | None, typer.Option(help="End after so many frames; by default go on.", min=1)] = None,
    preview: Annotated[bool, typer.Option("--preview/--no-preview", help="Show the pictures on a local page.")] = True,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE.mp4", help="Record the pictures with their masks.")
    ] = None,
    model: Annotated[str, typer.Option(help="Name (see `masklet models list`) or checkpoint file.")] = "sam2.1-tiny",
    size: Annotated[int | None, typer.Option(help="Side of the square the network works on, a multiple of 32.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; by default the best there is.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16, float16 or float64.")] = None,
    overwrite: Overwrite = False,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON per frame, for machines.")] = False,
) -> int:
    """Follow objects in what a camera shows. Frames that come while one is worked on are dropped: masks are of now.

    Prompts are meant for the first frame, or for the one that @FRAME says, counting those that were not dropped. Ctrl-C
    ends it; a recording is complete at any moment.

    Examples:

      masklet webcam --point 320,240

      masklet webcam 1 --box 100,80,400,380 --record session.mp4 --no-preview

      masklet webcam rtsp://camera.local/stream --point 320,240 --no-preview --json
    """
    from masklet.cli.live import LiveWishes, follow
    from masklet.cli.tracking import Runtime

    schedule = schedule_of(point, negative, box, mask)
    if not schedule:
        raise SettingsError("bad-usage", "nothing to follow; give --point X,Y, --box X0,Y0,X1,Y1 or --mask FILE")
    runtime = Runtime(model, size, device, dtype)
    follow(LiveWishes(source, schedule, runtime, stop, preview, record, overwrite, json))
    return 0
