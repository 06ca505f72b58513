"""Descriptions of the functions for CVAT, and the results of the detector."""

from __future__ import annotations

import json
from typing import Any

from masklet.masks import rle
from masklet.masks.cvat_shapes import POLYGON, encode_shape
from masklet.predict.generated_masks import GeneratedMask, GeneratedMasks
from masklet.serve.service import ModelInfo

LABEL = "object"
_LABELS = json.dumps([{"id": 1, "name": LABEL, "type": "mask", "attributes": []}])
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "interactor": (
        "Masks of objects from positive and negative points and a box",
        {
            "spec": "",
            "min_pos_points": "1",
            "min_neg_points": "0",
            "startswith_box_optional": True,
            "help_message": "Click the object. Points with the right button exclude parts; a box is optional.",
            "animated_gif": "",
        },
    ),
    "tracker": ("Follows rectangles and polygons through frames", {"spec": ""}),
    "detector": ("Masks of everything in an image, without names", {"spec": _LABELS}),
}


def describe_functions(info: ModelInfo, port: int | None) -> dict[str, Any]:
    """Return the functions by name, as nuclio's dashboard lists them."""
    return {f"masklet-{kind}": _describe(kind, info, port) for kind in _KINDS}


def make_detections(generated: GeneratedMasks) -> list[dict[str, Any]]:
    """Return automatic masks as the result of a detector, with a polygon for tasks that convert masks."""
    return [_make_detection(one) for one in generated]


def _describe(kind: str, info: ModelInfo, port: int | None) -> dict[str, Any]:
    description, annotations = _KINDS[kind]
    name = f"masklet {info.name} {kind}"
    return {
        "metadata": {
            "name": f"masklet-{kind}",
            "namespace": "nuclio",
            "labels": {"nuclio.io/project-name": "cvat"},
            "annotations": {"name": name, "version": "2", "type": kind, **annotations},
        },
        "spec": {"description": description, "handler": "main:handler", "runtime": "python"},
        "status": {"state": "ready", "httpPort": port or 80},
    }


def _make_detection(found: GeneratedMask) -> dict[str, Any]:
    pixels = rle.decode(found.rle)
    left, top, right, bottom = found.box
    flat: list[int] = pixels[top:bottom, left:right].ravel().astype(int).tolist()
    return {
        "label": LABEL,
        "type": "mask",
        "confidence": found.score,
        "points": encode_shape(POLYGON, pixels),
        "mask": [*flat, left, top, right - 1, bottom - 1],
        "attributes": [],
    }
