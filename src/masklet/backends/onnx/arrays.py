"""Arrays that the ONNX graphs take and return: images, points, masks and memories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.backend import (
    IMAGE_MEAN,
    IMAGE_STD,
    LOGIT_LIMIT,
    MASK_BIAS,
    MASK_SCALE,
    MASK_THRESHOLD,
    STABLE_OFFSET,
    Query,
    Recall,
)
from masklet.backends.onnx.session import Array, to_numpy
from masklet.config import MASK_STRIDE, NOT_A_POINT
from masklet.images.resize import resize_antialiased

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Float64, Int64, Shaped, UInt8, UInt16

Floats = NDArray[np.float32]


def normalize_image(image: UInt8[NDArray[np.uint8], "H W 3"], side: int) -> Float32[Floats, "1 3 {side} {side}"]:
    """Resize an image to the square by antialiased bilinear interpolation, and normalize it."""
    planes = np.stack([plane.astype(np.float32) for plane in cv2.split(image)])
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    return np.asarray((resize_antialiased(planes, (side, side)) / np.float32(255) - mean) / std, np.float32)[None]


def resize_mask(mask: Bool[NDArray[np.bool_], "H W"], side: int) -> Float32[Floats, "1 1 {side} {side}"]:
    """Resize a mask to the square, as zeros and ones."""
    values = mask.astype(np.float32)
    return (resize_antialiased(values, (side, side)) >= MASK_THRESHOLD).astype(np.float32)[None, None]


def masks_to_logits(squares: Float32[Floats, "N 1 S S"]) -> Float32[Floats, "N 1 S//4 S//4"]:
    """Convert masks of zeros and ones to low-resolution logits."""
    side = squares.shape[-1] // MASK_STRIDE
    return resize_antialiased(squares * np.float32(MASK_SCALE) + np.float32(MASK_BIAS), (side, side))


def encode_mask_prompt(mask: Shaped[NDArray[Any], "*single H W"], side: int) -> Float32[Floats, "1 1 {side} {side}"]:
    """Resize a mask or logits of any size to low-resolution logits."""
    if mask.dtype == np.bool_:
        fractions = resize_antialiased(mask.astype(np.float32)[None, None], (side, side))
        return np.asarray(fractions * np.float32(MASK_SCALE) + np.float32(MASK_BIAS))
    logits = from_bfloat16(mask).reshape(1, 1, *mask.shape[-2:])
    return np.asarray(resize_antialiased(logits, (side, side)).clip(-LOGIT_LIMIT, LOGIT_LIMIT))


class PointBatch(NamedTuple):
    """The points of N queries, padded to the same number P."""

    points: Float32[Floats, "N P 2"]  # xy as fractions of the image
    labels: Int64[NDArray[np.int64], "N P"]
    present: Bool[NDArray[np.bool_], "N P"]  # false for padding


def batch_points(queries: Sequence[Query]) -> PointBatch:
    """Pad the points of all queries to one array."""
    counts = np.array([len(query.points) for query in queries])
    shape = (len(counts), int(counts.max()))
    points, labels = np.zeros((*shape, 2), np.float32), np.full(shape, NOT_A_POINT, np.int64)
    for row, query in enumerate(queries):
        points[row, : counts[row]], labels[row, : counts[row]] = query.points, query.labels
    return PointBatch(points, labels, np.arange(shape[1]) < counts[:, None])


def batch_memories(recalls: Sequence[Recall[Array]]) -> dict[str, NDArray[Any]]:
    """Stack recalls of one group.

    Returns:
        `memories` (N, T, c, h, w), `slots` (N, T), `pointers` (N, P, C) and `times` (N, P), and for recalls with scales
        `map_scales` (N, T) and `pointer_scales` (N, P).
    """
    maps = [from_bfloat16(to_numpy(memory.features)) for recall in recalls for _, memory in recall.spatial]
    pointers = [from_bfloat16(to_numpy(memory.pointer)) for recall in recalls for _, memory in recall.pointers]
    times = [[ago / max(recall.horizon, 1) for ago, _ in recall.pointers] for recall in recalls]
    channels = to_numpy(recalls[0].spatial[0][1].pointer).shape[-1]
    scales = [recall.scales for recall in recalls if recall.scales is not None]
    names = ("map_scales", "pointer_scales") if scales else ()
    return {
        "memories": np.concatenate(maps).reshape(len(recalls), -1, *maps[0].shape[1:]),
        "slots": np.array([[slot for slot, _ in recall.spatial] for recall in recalls], np.int64),
        "pointers": np.reshape(pointers, (len(recalls), len(times[0]), channels)),
        "times": np.array(times, np.float32),
        **{name: np.array(part, np.float32) for name, part in zip(names, zip(*scales, strict=True), strict=True)},
    }


def compute_stability(
    single: Float32[Floats, "N h w"], offset: float = STABLE_OFFSET
) -> Float64[NDArray[np.float64], " N"]:
    """Compute the stability of logits: the IoU of high and low thresholds (reference-model §5.4)."""
    inside, around = (np.count_nonzero(single > level, axis=(1, 2)) for level in (offset, -offset))
    return np.where(around > 0, inside / np.maximum(around, 1), 1.0)


def to_bfloat16(values: Float32[Floats, "*shape"]) -> UInt16[NDArray[np.uint16], "*shape"]:
    """Round to bfloat16, ties to even, and return the bits (reference-model §7.4)."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def from_bfloat16(bits: Shaped[NDArray[Any], "*shape"]) -> Float32[Floats, "*shape"]:
    """Convert bits of bfloat16 (uint16) or numbers of any other dtype to float32.

    Any array of a session that the PyTorch backend wrote may be bfloat16.
    """
    if bits.dtype != np.uint16:
        return bits.astype(np.float32, copy=False)
    return (bits.astype(np.uint32) << 16).view(np.float32)
