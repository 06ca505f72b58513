"""Masks as responses of the API."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.config import CERTAIN_LOGIT
from masklet.errors import MaskWarning
from masklet.masks import polygons, rle
from masklet.masks.label_map import write_mask
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.predict.generated_masks import GeneratedMasks
from masklet.serve.api.models import Output


def describe_masks(masks: Masks, output: Output) -> dict[str, Any]:
    """Return the fields of a response with masks. It takes CPU time, and the memory of one mask at a time."""
    height, width = masks.size
    records = [_describe_mask(one, output) for one in masks]
    return {"width": width, "height": height, "masks": records, **_describe_warnings(masks.warnings)}


def describe_generated(generated: GeneratedMasks, output: Output) -> dict[str, Any]:
    """Return the fields of a response with automatic masks."""
    height, width = generated.size
    records = []
    for number, one in enumerate(generated, start=1):
        record: dict[str, Any] = {
            "object": number,
            "score": round(one.score, 5),
            "object_score": CERTAIN_LOGIT,
            "stability": round(one.stability, 5),
            "area": one.area,
            "box": [*one.box],
        }
        if output == "rle":
            record["rle"] = one.rle
        elif output != "none":
            record |= _encode(rle.decode(one.rle), output)
        records.append(record)
    return {"width": width, "height": height, "masks": records}


def describe_frame(frame: TrackedFrame, output: Output) -> dict[str, Any]:
    """Return a tracked frame as a response."""
    time = {} if frame.time is None else {"time": round(frame.time, 6)}
    return {"frame": frame.index, **time, **describe_masks(frame.masks, output), **_describe_warnings(frame.warnings)}


def _describe_mask(one: Masks, output: Output) -> dict[str, Any]:
    """Return the record of the only one of some masks."""
    binary = one.binary[0]
    label = {"label": one.labels[0]} if one.labels[0] else {}
    return {
        "object": one.object_ids[0],
        **label,
        "score": round(float(one.scores[0]), 5),
        "object_score": round(float(one.object_scores[0]), 4),
        "area": int(one.areas[0]),
        "box": one.boxes[0].tolist(),
        **_encode(binary, output),
    }


def _encode(mask: NDArray[np.bool_], output: Output) -> dict[str, Any]:
    """Return a mask (H, W) as the field that `output` names."""
    if output == "rle":
        return {"rle": rle.encode(mask)}
    if output == "polygons":
        return {"polygons": [polygon.tolist() for polygon in polygons.trace_pieces(mask)]}
    if output == "png":
        file = io.BytesIO()
        write_mask(file, mask, None)
        return {"png": base64.b64encode(file.getvalue()).decode()}
    return {}


def _describe_warnings(warnings: Iterable[MaskWarning]) -> dict[str, Any]:
    listed = [{"code": one.code, "object": one.object_id, "message": one.message} for one in warnings]
    return {"warnings": listed} if listed else {}
