"""`masklet track`: a video and prompts in, masks of every frame out."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from masklet.cli import console
from masklet.cli.options import Json, Overwrite
from masklet.cli.prompting import Box, MaskFile, Negative, Point, PromptFile, schedule_of
from masklet.errors import SettingsError

FORMATS = "png, sav, coco, ytvis, yolo, labelme, cvat, mots, npz, overlay, cutout, prores"
PARTLY_DONE = 3  # all that could be decoded is done, but that was not everything


class Way(str, Enum):
    """Where to go from the prompted frames."""

    FORWARD = "forward"
    BACKWARD = "backward"
    BOTH = "both"


def track(
    video: Annotated[Path, typer.Argument(help="A video file, or a folder of pictures.", show_default=False)],
    point: Point = None,
    negative: Negative = None,
    box: Box = None,
    mask: MaskFile = None,
    prompts: PromptFile = None,
    direction: Annotated[Way, typer.Option(help="Where to go from the prompted frames.")] = Way.FORWARD,
    start: Annotated[int, typer.Option(help="The first frame.", min=0)] = 0,
    stop: Annotated[int | None, typer.Option(help="The frame to stop before; by default the end.")] = None,
    every: Annotated[int, typer.Option(help="Track only every so many frames.", min=1)] = 1,
    model: Annotated[
        str, typer.Option(help="Name (see `masklet models list`), checkpoint file or exported folder.")
    ] = "sam2.1-tiny",
    size: Annotated[int | None, typer.Option(help="Side of the square the network works on, a multiple of 32.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; by default the best there is.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16, float16 or float64.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default VIDEO_masks.")] = None,
    format: Annotated[str, typer.Option(help=f"What to write, of {FORMATS}, joined by commas.")] = "png,overlay",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a job that was stopped, if there is one.")
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Follow objects through a video. A job that is stopped, or killed, goes on with --resume.

    Examples:

      masklet track dog.mp4 --box 260,100,700,620

      masklet track dog.mp4 --point 480,300@40#1 --point 80,90@40#2 --direction both --format coco,overlay

      masklet track frames/ --mask first.png --every 5 --format yolo --resume
    """
    from masklet.cli.tracking import Range, Runtime, Wishes, run
    from masklet.formats import named

    if resume and overwrite:
        raise SettingsError("bad-usage", "--resume goes on with what is there, --overwrite replaces it; choose one")
    schedule = schedule_of(point, negative, box, mask, prompts, first=start)
    if not schedule:
        message = "nothing to track; give --point X,Y, --box X0,Y0,X1,Y1, --mask FILE or --prompts FILE"
        raise SettingsError("bad-usage", message)
    wishes = Wishes(
        source=video,
        schedule=schedule,
        range=Range(direction.value, start, stop, every),
        runtime=Runtime(model, size, device, dtype),
        out=out or Path(f"{video.resolve().stem}_masks"),
        formats=named(name.strip() for name in format.split(",")),
        resume=resume,
        overwrite=overwrite,
    )
    record = run(wishes)
    if json:
        console.print_json(record)
    else:
        for path in record["files"].values():
            console.print_line(path)
    return PARTLY_DONE if record["truncated"] or record["corrupt_frames"] or record["error"] else 0
