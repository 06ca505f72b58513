"""Handlers of nuclio for CVAT: interactor and tracker in a container, without a server of masklet.

`main.py` of a function takes both names from here:

    from masklet.integrations.cvat.nuclio import make_handlers
    init_context, handler = make_handlers("interactor")
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from masklet.errors import ImageError, MaskletError, StateError
from masklet.files.json_fields import Fields
from masklet.images import read_image
from masklet.integrations.cvat.shape_track import ShapeTrack, SharedEmbeddings
from masklet.masks.cvat_shapes import POLYGON, RECTANGLE, make_click_prompt
from masklet.predict.embedded_image import EmbeddedImage
from masklet.segmenter import Segmenter, load

MODEL_VARIABLE, DEVICE_VARIABLE = "MASKLET_MODEL", "MASKLET_DEVICE"
MAX_TRACKS = 256
TRACK_LIFETIME_S = 8 * 3600.0  # as of CVAT's signed states
_MAX_IMAGES = 4
_RECTANGLE_NUMBERS = 4

Function: TypeAlias = Callable[[Fields], Any]
Handler: TypeAlias = Callable[[Any, Any], Any]


class InteractorFunction:
    """Masks of prompted objects. The embeddings of the last few images are kept.

    Args:
        model: The model.
    """

    def __init__(self, model: Segmenter) -> None:
        self._model = model
        self._images: OrderedDict[str, EmbeddedImage] = OrderedDict()

    def __call__(self, request: Fields) -> dict[str, Any]:
        """Return `{"mask": rows of 0 and 1}` for `image`, `pos_points`, `neg_points` and `obj_bbox`.

        Raises:
            MaskletError: The image is broken, or a point lies outside it.
        """
        positive, negative, box = (_read_list(request, name) for name in ("pos_points", "neg_points", "obj_bbox"))
        prompt = make_click_prompt(positive, negative, box)
        masks = self._embed(_decode(request)).predict(prompt)
        return {"mask": masks.binary[0].astype(np.uint8).tolist()}

    def _embed(self, content: bytes) -> EmbeddedImage:
        key = hashlib.sha256(content).hexdigest()
        if key not in self._images:
            self._images[key] = self._model.embed(content, warn=False)
        self._images.move_to_end(key)
        while len(self._images) > _MAX_IMAGES:
            self._images.popitem(last=False)
        return self._images[key]


class TrackerFunction:
    """Rectangles and polygons that are followed from frame to frame.

    A state is the name of a track in this process, which nobody can guess. A function must therefore have one worker.

    Args:
        model: The model.
        max_tracks: Most tracks; the least recently followed one is dropped for a new one.
        now: The clock, in seconds.
    """

    def __init__(
        self, model: Segmenter, max_tracks: int = MAX_TRACKS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._model, self._backend = model, SharedEmbeddings(model.backend)
        self._max_tracks, self._now = max_tracks, now
        self._tracks: OrderedDict[str, tuple[float, ShapeTrack, list[float]]] = OrderedDict()

    def __call__(self, request: Fields) -> dict[str, Any]:
        """Return `{"shapes", "states"}` for `image`, `shapes` and `states`, whose states are null for new shapes.

        A shape whose object is not found stays where it was last.

        Raises:
            StateError: `session-gone`. A state is too old.
            MaskletError: The image is broken, or a shape has no area in it.
        """
        image = read_image(_decode(request))
        shapes, states = _read_list(request, "shapes"), _read_list(request, "states")
        padded = [*states, *[None] * (len(shapes) - len(states))]
        results = [self._begin(image, shapes[n: n + 1]) if state is None else self._follow(image, state)
                   for n, state in enumerate(padded)]  # fmt: skip
        return {"shapes": [shape for shape, _ in results], "states": [state for _, state in results]}

    def _begin(self, image: NDArray[np.uint8], shapes: Sequence[Any]) -> tuple[list[float], str]:
        points = Fields({"points": next(iter(shapes), None)}, "the request", ("shapes",)).array("points")
        kind = RECTANGLE if len(points) == _RECTANGLE_NUMBERS else POLYGON
        return self._keep(
            secrets.token_urlsafe(16), ShapeTrack(self._model, kind, points, image, self._backend), points
        )

    def _follow(self, image: NDArray[np.uint8], state: Any) -> tuple[list[float], str]:
        name = state if isinstance(state, str) else ""
        used, track, last = self._tracks.get(name, (0.0, None, []))
        if track is None or used < self._now() - TRACK_LIFETIME_S:
            raise StateError(
                "session-gone", f"there is no track {str(state)[:60]!r}, or it is too old; start a new one"
            )
        return self._keep(name, track, track.follow(image) or last)

    def _keep(self, name: str, track: ShapeTrack, points: list[float]) -> tuple[list[float], str]:
        self._tracks[name] = self._now(), track, points
        self._tracks.move_to_end(name)
        while len(self._tracks) > self._max_tracks:
            self._tracks.popitem(last=False)
        return points, name


def make_handlers(kind: str) -> tuple[Callable[[Any], None], Handler]:
    """Return `init_context` and `handler` of a nuclio function.

    The environment variables `MASKLET_MODEL` and `MASKLET_DEVICE` select the model, by default `nano`, and its device.

    Args:
        kind: "interactor" or "tracker".
    """
    functions: dict[str, Callable[[Segmenter], Function]] = {
        "interactor": InteractorFunction,
        "tracker": TrackerFunction,
    }
    build = functions[kind]

    def init_context(context: Any) -> None:
        model = load(os.environ.get(MODEL_VARIABLE) or "nano", device=os.environ.get(DEVICE_VARIABLE) or None)
        context.user_data.function = build(model)

    def handler(context: Any, event: Any) -> Any:
        body, status = respond(context.user_data.function, event.body)
        if status != 200:
            context.logger.error(body)
        return context.Response(body=body, headers={}, content_type="application/json", status_code=status)

    return init_context, handler


def respond(function: Function, body: Any) -> tuple[str, int]:
    """Return the JSON and the HTTP status of the response to a body, which nuclio has parsed or not."""
    try:
        value = json.loads(body) if isinstance(body, str | bytes) else body
        return json.dumps(function(Fields(value, "the request"))), 200
    except (MaskletError, ValueError) as error:
        message = error.message if isinstance(error, MaskletError) else f"the body must be JSON: {error}"
        return json.dumps({"error": message}), 503 if isinstance(error, MaskletError) and error.retryable else 400


def _read_list(request: Fields, name: str) -> list[Any]:
    """Return a list of the request, which may be missing or null."""
    return [] if request.get(name) is None else request.array(name)


def _decode(request: Fields) -> bytes:
    text = request.text("image")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("bad-image", f"the image must be base64 of a file, got {text[:40]!r}") from None
