"""Options of `masklet serve`: who may use it, and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(eq=False, repr=False)
class AccessOptions:
    """Who may use the server, and what it may read for clients."""

    host: Annotated[str, typer.Option(help="Address to listen on. Any but that of this machine needs a token.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, typer.Option(help="Port of the server; 0 for any free one.", min=0, max=65535)] = 8791
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name by which clients or a proxy reach the server. Can be repeated."),
    ] = None
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the token. Default: the variable $MASKLET_TOKEN, if set."),
    ] = None
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder whose files clients may name. Default: no paths are accepted."),
    ] = None
    allow_url: Annotated[
        list[str] | None,
        typer.Option(metavar="PREFIX", help="Beginning of addresses that the server may download. Can be repeated."),
    ] = None


@dataclass(eq=False, repr=False)
class LimitOptions:
    """Limits of requests and of memory."""

    max_body: Annotated[int, typer.Option(metavar="MB", help="Largest image of a request.", min=1)] = 64
    max_upload: Annotated[int, typer.Option(metavar="MB", help="Largest video of a request.", min=1)] = 1024
    max_pixels: Annotated[float, typer.Option(metavar="MP", help="Megapixels of an image or frame.", min=0.01)] = 50
    max_objects: Annotated[int, typer.Option(help="Objects of a request, and of a video session.", min=1)] = 256
    max_waiting: Annotated[int, typer.Option(help="Requests that wait; further ones get status 503.", min=1)] = 64
    max_batch: Annotated[int, typer.Option(help="Requests whose prompts are decoded together.", min=1)] = 16
    max_sessions: Annotated[int, typer.Option(help="Open video sessions.", min=1)] = 16
    session_idle: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time without requests after which a session ends.", min=1)
    ] = 900
    embedding_memory: Annotated[int, typer.Option(metavar="MB", help="Budget of embeddings.", min=1)] = 1024
    image_memory: Annotated[int, typer.Option(metavar="MB", help="Budget of decoded images.", min=1)] = 512
    drain: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time in which requests may end when the server stops.", min=0.1)
    ] = 10
