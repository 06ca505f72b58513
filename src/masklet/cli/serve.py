"""`masklet serve`: masks for other programs, by HTTP and WebSocket."""

from __future__ import annotations

from typing import Annotated

import typer

from masklet.cli.option_groups import expand_groups
from masklet.cli.options import VideoModelOptions
from masklet.cli.serve_options import AccessOptions, LimitOptions


@expand_groups
def serve(
    *,
    model: VideoModelOptions,
    access: AccessOptions,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Protocol of an annotation tool beside the API, such as label-studio or cvat; `all` for every one. "
            "Can be repeated.",
        ),
    ] = None,
    limits: LimitOptions,
    json: Annotated[bool, typer.Option("--json", help="Print the address as JSON, in one line.")] = False,
) -> int:
    """Serve masks to other programs: an API of images and videos, and the protocols of annotation tools.

    The API is described at /openapi.json and in docs/serving.md. Press Ctrl-C to end the server; requests that run are
    finished first.

    Examples:

      masklet serve --model sam2.1-small

      masklet serve --protocol label-studio --protocol cvat

      masklet serve --host 0.0.0.0 --allow-host gpu.example.org --token-file token.txt
    """
    from masklet.cli.serve_run import ServeRequest, run

    return run(ServeRequest(model=model, access=access, protocols=protocol or [], limits=limits, json=json))
