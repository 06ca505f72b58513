"""`masklet webcam`: track objects in the frames of a camera or stream while they arrive."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from masklet.cli import console
from masklet.cli.option_groups import expand_groups
from masklet.cli.options import Json, Overwrite, VideoModelOptions, parse_formats
from masklet.cli.postprocessing_options import PostProcessingOptions
from masklet.cli.prompt_options import VideoPromptOptions
from masklet.errors import EXIT_STATUS, SettingsError


@expand_groups
def webcam(
    camera: Annotated[
        str, typer.Argument(metavar="INDEX", help="Number of the camera, or address of a stream (rtsp://…).")
    ] = "0",
    *,
    prompts: VideoPromptOptions,
    stop: Annotated[int | None, typer.Option(help="Frame to stop before. Default: run until Ctrl-C.", min=1)] = None,
    every: Annotated[
        int, typer.Option(metavar="N", help="Track one in N of the images that the camera gives.", min=1)
    ] = 1,
    max_fps: Annotated[
        float | None, typer.Option(metavar="F", help="Track at most F frames per second. Default: no limit.")
    ] = None,
    model: VideoModelOptions,
    postprocessing: PostProcessingOptions,
    preview: Annotated[
        bool, typer.Option("--preview/--no-preview", help="Serve a local page that shows the frames and takes clicks.")
    ] = True,
    port: Annotated[int, typer.Option(help="Port of the page. 0: any free port.", min=0, max=65535)] = 0,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE.mp4", help="Record the frames with the masks drawn on them.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Output folder of the masks. Default: masks are not written.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="Formats of the masks, separated by commas: those of `masklet track`.", show_default="png"),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json-lines",
            help="Print a line of JSON per frame: capture time, latency, boxes and masks of the objects.",
        ),
    ] = False,
) -> int:
    """Track objects in the frames of a camera. Click on them on the page that opens, or give prompts.

    Frames that arrive during inference are dropped and counted, so masks always belong to the latest frame. Press
    Ctrl-C to stop; the recording and the masks are saved then, and also if the camera is disconnected.

    Examples:

      masklet webcam

      masklet webcam 1 --point 320,240 --record session.mp4

      masklet webcam rtsp://192.168.0.9/live --box 10,20,200,300 --no-preview --out masks

      masklet webcam --point 320,240 --no-preview --max-fps 5 --json-lines | my-robot
    """
    from masklet.cli.live_lines import print_record
    from masklet.cli.webcam_session import WebcamRequest, run
    from masklet.formats import FORMATS

    schedule = prompts.parse_schedule()
    if not schedule and not preview:
        message = "nothing to track; without the page give --point X,Y, --box X0,Y0,X1,Y1 or --mask FILE"
        raise SettingsError("no-prompts", message)
    if json and json_lines:
        raise SettingsError("bad-usage", "--json-lines ends with the summary of --json; leave --json out")
    if max_fps is not None and not 0 < max_fps < math.inf:
        raise SettingsError("bad-usage", f"--max-fps must be a positive number of frames per second, got {max_fps:g}")
    mask_folder = out or (Path("webcam_masks") if format else None)
    request = WebcamRequest(
        source=camera,
        schedule=schedule,
        stop=stop,
        model=model,
        postprocessing=postprocessing.build(),
        port=port if preview else None,
        record=record,
        out=mask_folder,
        formats=[FORMATS[name] for name in parse_formats(format or "png", FORMATS)] if mask_folder else [],
        overwrite=overwrite,
        every=every,
        max_rate=max_fps,
        lines=json_lines,
    )
    summary = run(request)
    if json_lines:
        print_record({"event": "end", **summary})
    elif json:
        console.print_json(summary)
    else:
        for path in summary["files"].values():
            console.print_line(path)
    return EXIT_STATUS[summary["error"]["code"]] if summary["error"] else 0
