"""Regions of Label Studio: masks as the items of a prediction."""

from __future__ import annotations

import base64
import io
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import PromptError
from masklet.masks.brush_rle import encode_brush
from masklet.masks.iou import masks_to_boxes
from masklet.masks.polygons import trace_pieces
from masklet.serve.protocols.label_studio.label_config import Tool

Mask = NDArray[np.bool_]


class Box(NamedTuple):
    """A box in percent of the image: left and top edge, width and height."""

    x: float
    y: float
    width: float
    height: float


def make_regions(tool: Tool, mask: Mask, label: str | None, score: float) -> list[dict[str, Any]]:
    """Return the regions of a mask (H, W): one, or with polygons one for each connected component.

    Args:
        tool: The tool of the label configuration, one of `label_config.OUTPUT_TAGS`.
        mask: The mask. An empty one has no regions.
        label: Label of the regions.
        score: Predicted IoU.
    """
    if not mask.any():
        return []
    height, width = mask.shape
    kind = tool.tag.lower()
    common = {"from_name": tool.name, "to_name": tool.to_name.split(",")[0], "type": kind, "original_width": width,
              "original_height": height, "image_rotation": 0, "score": score, "readonly": False}  # fmt: skip
    labels = {} if label is None else {kind: [label]}
    return [{"id": make_id(), **common, "value": {**value, **labels}} for value in _make_values(tool.tag, mask)]


def choose_label(tool: Tool, drawn: str | None) -> str | None:
    """Return the label of a result: that of the prompt, or the only one of the tool that the result is written with.

    Raises:
        PromptError: `bad-prompt`. The tool has several labels and not that of the prompt.
    """
    if drawn in tool.labels or not tool.labels:
        return drawn
    if len(tool.labels) == 1:
        return tool.labels[0]
    message = f"the label {drawn!r} is not one of {tool.tag} {tool.name!r}: {', '.join(tool.labels[:10])}"
    raise PromptError("bad-prompt", f"{message}; give the smart tools of the label configuration the same labels")


def measure_box(mask: Mask) -> Box | None:
    """Return the bounding box of a mask (H, W) in percent; None if it is empty."""
    if not mask.any():
        return None
    height, width = mask.shape
    x0, y0, x1, y1 = masks_to_boxes([mask])[0].tolist()
    return Box(x0 * 100 / width, y0 * 100 / height, (x1 - x0) * 100 / width, (y1 - y0) * 100 / height)


def make_data_url(mask: Mask) -> str:
    """Return a mask (H, W) as a `data:` URL of an 8-bit gray PNG with 0 and 255."""
    buffer = io.BytesIO()
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def make_id() -> str:
    """Return the id of a new region."""
    return secrets.token_urlsafe(8)[:10]


def _make_values(tag: str, mask: Mask) -> Iterator[dict[str, Any]]:
    height, width = mask.shape
    if tag == "BrushLabels":
        yield {"format": "rle", "rle": encode_brush(mask)}
    elif tag == "BitmaskLabels":
        yield {"imageDataURL": make_data_url(mask)}
    elif tag == "PolygonLabels":
        for polygon in trace_pieces(mask):
            yield {"points": (polygon * (100 / width, 100 / height)).tolist(), "closed": True}
    elif (found := measure_box(mask)) is not None:
        yield {**found._asdict(), "rotation": 0}
