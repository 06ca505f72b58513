"""A client of one protocol of `masklet serve` with the model of `GrayWorld`, in this process."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount
from starlette.testclient import TestClient

from masklet.errors import MaskletError
from masklet.http.problems import Problem
from masklet.segmenter import Segmenter
from masklet.serve.limits import Limits
from masklet.serve.service import Service
from support.gray_world import GrayWorld, draw_boxes

BOX, OTHER_BOX = (10, 8, 30, 20), (35, 5, 50, 35)  # left, top, right, bottom
IMAGE = draw_boxes({100: BOX, 200: OTHER_BOX})


def encode_png(image: NDArray[np.uint8] = IMAGE) -> bytes:
    """Return an image (H, W, 3) as a PNG file."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def encode_base64(image: NDArray[np.uint8] = IMAGE) -> str:
    """Return a PNG file of an image as base64."""
    return base64.b64encode(encode_png(image)).decode()


def fill(box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Return the mask of a box."""
    mask = np.zeros(IMAGE.shape[:2], bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


@contextmanager
def open_client(
    module: ModuleType, limits: Limits | None = None, load: Callable[[], Segmenter] = lambda: Segmenter(GrayWorld())
) -> Iterator[TestClient]:
    """Serve a protocol, and yield a client whose paths begin at its prefix."""
    limits = limits or Limits()

    @asynccontextmanager
    async def run(app: Starlette) -> Any:
        service.start()
        while not service.is_ready:
            await asyncio.sleep(0.001)
        yield
        await service.stop()

    def respond(request: Any, error: Exception) -> Any:
        return module.make_error_response(Problem.of(error))

    service = Service(load, limits)
    handlers: Any = {MaskletError: respond, HTTPException: respond}
    app = Starlette(
        routes=[Mount(module.PREFIX, routes=module.routes(service))], lifespan=run, exception_handlers=handlers
    )
    with TestClient(app, base_url=f"http://testserver{module.PREFIX}") as client:
        yield client
