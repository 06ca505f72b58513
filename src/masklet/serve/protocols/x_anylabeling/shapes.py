"""Masks as shapes of X-AnyLabeling, and the fields that all requests share."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from masklet.errors import PromptError
from masklet.files.json_fields import Fields
from masklet.masks.masks import Masks
from masklet.masks.polygons import trace_pieces
from masklet.serve.protocols.main_parts import select_main_parts

_LABEL = "AUTOLABEL_OBJECT"  # X-AnyLabeling asks the user for the label of such a shape
_EPSILON_FACTOR = 0.001  # of the program's slider at 10, its default


def make_shapes(masks: Masks, epsilon_factor: float = _EPSILON_FACTOR, *, label: str = _LABEL) -> list[dict[str, Any]]:
    """Return masks as polygons, one for each connected component that is not a speck (`select_main_parts`).

    The components of one object have its id as their group. A hole is joined to its outline by a line of no width. The
    first point is repeated at the end, which closes the polygon in X-AnyLabeling.

    Args:
        masks: The masks of a frame.
        epsilon_factor: Tolerance of the outlines, as a share of the length of the longest one; 0 for every vertex.
        label: Label of objects without one.
    """
    shapes = []
    for object_id, mask, score, name in zip(
        masks.object_ids, masks.binary, masks.scores.tolist(), masks.labels, strict=True
    ):
        main = select_main_parts(mask)
        pieces = trace_pieces(main, epsilon_factor * _measure_outline(main))
        group = object_id if len(pieces) > 1 and object_id > 0 else None
        shapes += [make_shape(piece, name or label, score, group) for piece in pieces]
    return shapes


def make_shape(polygon: NDArray[np.float64], label: str, score: float, group_id: int | None = None) -> dict[str, Any]:
    """Return a polygon (P, 2) xy as a shape of X-AnyLabeling."""
    points = polygon.round(2).tolist()
    return {"label": label, "shape_type": "polygon", "points": [*points, points[0]],
            "score": min(max(score, 0.0), 1.0), "attributes": {}, "description": None, "difficult": False,
            "direction": 0, "flags": None, "group_id": group_id, "kie_linking": []}  # fmt: skip


def read_epsilon(params: Fields) -> float:
    """Return the tolerance of outlines that a request has, between 0 and 1."""
    return min(max(params.number("epsilon_factor", _EPSILON_FACTOR), 0.0), 1.0)


def read_params(body: Fields) -> Fields:
    """Return the parameters of a request.

    Raises:
        FormatError: `annotation-broken`. They are not an object.
    """
    return body.object("params") if body.get("params") is not None else Fields({}, "the request", ("params",))


def refuse_text(fields: Fields) -> None:
    """Raise `PromptError` if there is a text prompt, which this server does not have."""
    if fields.get("text_prompt"):
        raise PromptError("bad-prompt", "this server takes points and rectangles, no text; remove the text prompt")


def succeed(data: Any) -> Response:
    """Return a response in the envelope of the protocol."""
    return JSONResponse({"success": True, "data": data})


def _measure_outline(mask: NDArray[np.bool_]) -> float:
    """Return the length of the longest outline of a mask in pixels."""
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return max((cv2.arcLength(contour, True) for contour in contours), default=0.0)
