"""`masklet track`: a video and prompts in, masks of every frame out."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from masklet.cli import console
from masklet.cli.options import Device, Dtype, Json, Model, Overwrite, Size, Zoom
from masklet.cli.postprocessing_options import Apart, Holes, Islands, RememberCleaned
from masklet.cli.prompt_options import Box, MaskFile, Negative, Point, PromptFile, schedule_of
from masklet.config import EMBEDDED
from masklet.errors import SettingsError, VideoError

FORMATS = "png, sav, coco, ytvis, yolo, labelme, cvat, mots, npz, overlay, cutout, prores"


class OnCorrupt(str, Enum):
    """What a frame gets that cannot be decoded."""

    SKIP = "skip"
    CARRY = "carry"


class OnResize(str, Enum):
    """What happens at a frame of another size."""

    STOP = "stop"
    SCALE = "scale"


class Way(str, Enum):
    """Where to go from the prompted frames."""

    FORWARD = "forward"
    BACKWARD = "backward"
    BOTH = "both"


def track(
    video: Annotated[
        str,
        typer.Argument(
            metavar="VIDEO",
            help="A video file, a folder of pictures, or a pattern such as 'frames/*.png'.",
            show_default=False,
        ),
    ],
    point: Point = None,
    negative: Negative = None,
    box: Box = None,
    mask: MaskFile = None,
    prompts: PromptFile = None,
    direction: Annotated[Way, typer.Option(help="Where to go from the prompted frames.")] = Way.FORWARD,
    start: Annotated[int, typer.Option(help="The first frame.", min=0)] = 0,
    stop: Annotated[int | None, typer.Option(help="The frame to stop before; by default the end.")] = None,
    every: Annotated[int, typer.Option(help="Track only every so many frames.", min=1)] = 1,
    model: Model = EMBEDDED,
    size: Size = None,
    zoom: Zoom = None,
    device: Device = None,
    dtype: Dtype = None,
    holes: Holes = 0,
    islands: Islands = 0,
    apart: Apart = False,
    remember_cleaned: RememberCleaned = False,
    autorotate: Annotated[
        bool, typer.Option("--autorotate/--no-autorotate", help="Turn frames as the file asks for.")
    ] = True,
    on_resize: Annotated[
        OnResize, typer.Option(help="At a frame of another size: stop there, or scale it to the first one's.")
    ] = OnResize.STOP,
    on_corrupt: Annotated[
        OnCorrupt, typer.Option(help="A frame that cannot be decoded gets no masks, or those before it.")
    ] = OnCorrupt.SKIP,
    strict: Annotated[
        bool, typer.Option("--strict", help="Take no video that breaks off, and stop where a frame is broken.")
    ] = False,
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
    from masklet.cli.track_run import Care, Range, Runtime, Wishes, run
    from masklet.formats import named
    from masklet.masks.postprocessing import Cleaning
    from masklet.video.frame_folder import name_of

    if "://" in video:
        message = f"{video} is an address, not a file; a stream is followed by: masklet webcam {video}"
        raise VideoError("reference-file-refused", message)
    source = Path(video)
    schedule = schedule_of(point, negative, box, mask, prompts, first=start)
    if not schedule:
        message = "nothing to track; give --point X,Y, --box X0,Y0,X1,Y1, --mask FILE or --prompts FILE"
        raise SettingsError("bad-usage", message)
    wishes = Wishes(
        source=source,
        schedule=schedule,
        range=Range(direction.value, start, stop, every),
        runtime=Runtime(model, size, device, dtype, zoom),
        cleaning=Cleaning(holes, islands, apart, remember_cleaned),
        care=Care(autorotate, on_resize is OnResize.SCALE, on_corrupt is OnCorrupt.CARRY, strict),
        out=out or Path(f"{name_of(source)}_masks"),
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
    return console.PARTLY_DONE if record["truncated"] or record["corrupt_frames"] or record["error"] else 0
