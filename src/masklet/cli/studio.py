"""`masklet studio`: segment images and track objects in videos in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masklet.cli.detection_options import DetectorName, DetectScore
from masklet.cli.option_groups import expand_groups
from masklet.cli.options import VideoModelOptions

DEFAULT_PROJECT = Path("masklet_project")


@expand_groups
def studio(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Images, videos, folders of them, and cameras: a number or rtsp://…."),
    ] = None,
    *,
    project: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the project, which is made if it does not exist.")
    ] = DEFAULT_PROJECT,
    detector: DetectorName = None,
    detect_score: DetectScore = None,
    model: VideoModelOptions,
    port: Annotated[
        int | None, typer.Option(help="Port of the server. Default: 8790, or any free port.", min=0, max=65535)
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser, or print how to open it.")
    ] = True,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on. Any but that of this machine needs a token."),
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name by which other machines reach the server. Can be repeated."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the token. Default: the variable $MASKLET_TOKEN, if set."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the address as JSON, in one line.")] = False,
) -> int:
    """Click, correct, track and review in the browser, and export the masks.

    Every action is saved in the project when it happens. Press Ctrl-C to end the server; `masklet studio` alone opens
    the project again.

    Examples:

      masklet studio photographs clip.mp4

      masklet studio

      masklet studio clips --project birds --model sam2.1-small

      masklet studio photographs --detector models/owlv2
    """
    from masklet.cli.studio_run import StudioRequest, run

    request = StudioRequest(
        paths=paths or [],
        project=project,
        detector=detector,
        detect_score=detect_score,
        model=model,
        port=port,
        browser=browser,
        host=host,
        allowed_hosts=allow_host or [],
        token_file=token_file,
        json=json,
    )
    return run(request)
