"""Soft edges: alpha channels of masks whose edge is as soft as the logits, stored as one byte per pixel of the edge.

With the mask m (0 or 1) and the sigmoid s of the logit, alpha is

    a = m + (s − m) · w,    w = min(1, (R + 1 − d) / R)

where d ≥ 1 is the distance in pixels to the nearest pixel on the other side of the edge, the larger of its distances in
x and y, and R is the width of the rim. So alpha is the sigmoid at the edge and the mask away from it, and lies above
0.5 exactly where the mask is. It is stored with a step of 1/512.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError

_RIM = 0.005  # of the image's shorter side: width of the rim on each side of the edge
_MIN_RIM = 2  # pixels
_STEPS = 512  # of alpha from 0 to 1; a pixel has 255 of them on its side of 0.5


def encode_edge(mask: NDArray[np.bool_], logits: NDArray[Any]) -> str:
    """Encode the soft edge of a mask.

    Args:
        mask: The mask (H, W).
        logits: Its logits (H, W).

    Returns:
        The distances of alpha from the mask in the rim, row by row, compressed, as text.
    """
    rim, weights = _find_rim(mask)
    soft = 1 / (1 + np.exp(-logits[rim].astype(np.float32).clip(-50, 50)))
    return base64.b85encode(zlib.compress(_quantize(np.abs(soft - mask[rim]) * weights).tobytes())).decode()


def decode_alpha(mask: NDArray[np.bool_], edge: str | None) -> NDArray[np.float32]:
    """Return the alpha channel (H, W) from 0 to 1 of a mask (H, W).

    Args:
        mask: The mask.
        edge: Its edge from `encode_edge`. Without one, the edge of the mask is blurred by a pixel on each side, and
            alpha still lies above 0.5 exactly where the mask is.

    Raises:
        FormatError: `session-broken`. The edge is not that of the mask.
    """
    rim, _ = _find_rim(mask)
    inside = mask[rim]
    if edge is None:
        blurred = cv2.GaussianBlur(mask.astype(np.float32), (3, 3), 0, borderType=cv2.BORDER_REPLICATE)
        steps = _quantize(np.abs(blurred[rim] - inside))
    else:
        steps = _decompress(edge, len(inside))
    alpha = mask.astype(np.float32)
    alpha[rim] += np.where(inside, -1, 1).astype(np.float32) * steps / _STEPS
    return alpha


def _find_rim(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return where the rim of a mask is (H, W), and the weights w of its pixels, row by row.

    Distances are whole numbers, so that the rim is the same with every version of OpenCV.
    """
    width = max(_MIN_RIM, round(_RIM * min(mask.shape)))
    pixels = mask.astype(np.uint8)
    sides = [cv2.distanceTransform(side, cv2.DIST_C, 3) for side in (pixels, 1 - pixels)]
    distance = np.where(mask, *sides)
    rim = distance <= width if mask.any() and not mask.all() else np.zeros_like(mask)
    return rim, np.asarray((width + 1 - distance[rim]) / width, np.float32)


def _quantize(distances: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.minimum(np.floor(distances * _STEPS), _STEPS // 2 - 1).astype(np.uint8)


def _decompress(edge: str, length: int) -> NDArray[np.uint8]:
    unpacker = zlib.decompressobj()
    try:
        steps = unpacker.decompress(base64.b85decode(edge), length + 1)
    except (ValueError, binascii.Error, zlib.error) as cause:
        raise _edge_error() from cause
    if len(steps) != length:
        raise _edge_error()
    return np.frombuffer(steps, np.uint8)


def _edge_error() -> FormatError:
    return FormatError("session-broken", "the soft edge of a mask does not fit the mask; track again with --overwrite")
