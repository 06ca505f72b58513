"""Clients of a protocol of `masklet serve` without the rest of the server, with a model whose masks are known."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.testclient import TestClient

from masklet.errors import MaskletError
from masklet.http.problems import Problem
from masklet.segmenter import Segmenter
from masklet.serve.limits import Limits
from masklet.serve.service import Service
from masklet.serve.sources import Sources
from masklet.video import VideoOptions
from support.gray_world import GrayWorld

SIDE = 64  # of an image, as of the network's square: masks are exact
Box = tuple[int, int, int, int]


class _QuickService(Service):
    """A service that decodes videos without a process of their own, whose start takes half a second."""

    @property
    def _video_options(self) -> VideoOptions:
        return replace(super()._video_options, isolated=False)


@contextmanager
def open_protocol(protocol: Any, sources: Sources | None = None, limits: Limits | None = None) -> Iterator[TestClient]:
    """Serve a protocol with `GrayWorld`, which segments the gray value that is clicked."""
    service = _QuickService(lambda: Segmenter(GrayWorld()), limits, sources)

    @asynccontextmanager
    async def run(app: Starlette) -> AsyncIterator[None]:
        service.start()
        while not service.is_ready:
            await service.run_in_thread(service.thread.engine.submit(1, lambda model: None).wait, 10)
        yield
        await service.stop()

    def refuse(request: Request, error: Exception) -> Response:
        response: Response = protocol.make_error_response(Problem.of(error))
        return response

    routes = [Mount(protocol.PREFIX, routes=protocol.routes(service))]
    handlers: dict[Any, Any] = {MaskletError: refuse, HTTPException: refuse, Exception: refuse}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=run)
    with TestClient(app, f"http://localhost{protocol.PREFIX}", raise_server_exceptions=False) as client:
        yield client


def draw(boxes: Mapping[int, Box]) -> NDArray[np.uint8]:
    """Draw boxes (left, top, right, bottom) by gray value on a black image of `SIDE` pixels a side."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    for value, (x0, y0, x1, y1) in boxes.items():
        image[y0:y1, x0:x1] = value
    return image


def make_mask(box: Box) -> NDArray[np.bool_]:
    """Return the mask (`SIDE`, `SIDE`) of a box."""
    return draw({255: box})[..., 0] > 0


def encode_png(image: NDArray[np.uint8]) -> str:
    """Return an image as base64 of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def decode_data_url(url: str) -> NDArray[np.uint8]:
    """Return the image of a `data:` URL of a PNG file, as it is stored."""
    prefix, _, text = url.partition(",")
    assert prefix == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def write_lossless_clip(path: Path, images: list[NDArray[np.uint8]], fps: int = 10) -> Path:
    """Write images as a video whose gray values are exact."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
