"""`masklet webcam`: objects followed in a camera's picture while it is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masklet.cli import console
from masklet.cli.options import Device, Dtype, Json, Model, Overwrite, Size, Zoom
from masklet.cli.postprocessing_options import Apart, Holes, Islands, RememberCleaned
from masklet.cli.prompt_options import Box, MaskFile, Negative, Point, PromptFile, schedule_of
from masklet.config import EMBEDDED
from masklet.errors import EXIT_STATUS, SettingsError


def webcam(
    camera: Annotated[
        str, typer.Argument(metavar="INDEX", help="The camera's number, or the address of a stream (rtsp://…).")
    ] = "0",
    point: Point = None,
    negative: Negative = None,
    box: Box = None,
    mask: MaskFile = None,
    prompts: PromptFile = None,
    stop: Annotated[int | None, typer.Option(help="End before this frame; by default with Ctrl-C.", min=1)] = None,
    model: Model = EMBEDDED,
    size: Size = None,
    zoom: Zoom = None,
    device: Device = None,
    dtype: Dtype = None,
    holes: Holes = 0,
    islands: Islands = 0,
    apart: Apart = False,
    remember_cleaned: RememberCleaned = False,
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", help="Show the picture on a page of this machine, to click on.")
    ] = True,
    port: Annotated[int, typer.Option(help="Where the page is served; 0 is any free port.", min=0, max=65535)] = 0,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE.mp4", help="Record the picture with the masks on it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write masks to; by default none are written.")] = None,
    format: Annotated[
        str | None, typer.Option(help="What to write there: png (by default), sav, coco, ytvis, yolo, labelme, … .")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Follow objects in a camera's picture. Click on them on the page that opens, or say where they are.

    A picture that comes while the last one is worked on is dropped, and counted: masks are always of the latest one.
    Ctrl-C ends it, and everything that was asked for is saved; so it is when the camera is unplugged.

    Examples:

      masklet webcam

      masklet webcam 1 --point 320,240 --record session.mp4

      masklet webcam rtsp://192.168.0.9/live --box 10,20,200,300 --no-preview --out masks --format png,coco
    """
    from masklet.cli.track_run import Runtime
    from masklet.cli.webcam_session import Wishes, run
    from masklet.formats import named
    from masklet.masks.postprocessing import Cleaning

    schedule = schedule_of(point, negative, box, mask, prompts)
    if not schedule and not preview:
        message = "nothing to follow; without a page to click on give --point X,Y, --box X0,Y0,X1,Y1 or --mask FILE"
        raise SettingsError("no-prompts", message)
    saving = out or (Path("webcam_masks") if format else None)
    wishes = Wishes(
        source=camera,
        schedule=schedule,
        stop=stop,
        runtime=Runtime(model, size, device, dtype, zoom),
        cleaning=Cleaning(holes, islands, apart, remember_cleaned),
        port=port if preview else None,
        record=record,
        out=saving,
        formats=named(name.strip() for name in (format or "png").split(",")) if saving else [],
        overwrite=overwrite,
    )
    told = run(wishes)
    if json:
        console.print_json(told)
    else:
        for path in told["files"].values():
            console.print_line(path)
    return EXIT_STATUS[told["error"]["code"]] if told["error"] else 0
