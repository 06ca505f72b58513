"""Turns a decoded frame the way its file asks for."""

from __future__ import annotations

import numpy as np

from masklet.video.frames import Image
from masklet.video.raw_frame import Matrix, RawFrame


def rotate_upright(frame: RawFrame, matrix: Matrix) -> Image:
    """(H, W, 3) uint8 RGB as it is shown. Transparency is composited on black."""
    rows = np.frombuffer(frame.pixels, np.uint8, frame.height * frame.stride).reshape(frame.height, frame.stride)
    pixels = rows[:, : frame.width * frame.channels].reshape(frame.height, frame.width, frame.channels)
    if frame.channels == 4:
        pixels = ((pixels[:, :, :3].astype(np.uint16) * pixels[:, :, 3:] + 127) // 255).astype(np.uint8)
    transposed, mirrored, upended = _decompose(matrix)
    borrowed = not isinstance(frame.pixels, bytearray)  # from the decoder, which may still need it
    if not (transposed or mirrored or upended):
        return np.array(pixels) if borrowed else np.ascontiguousarray(pixels)
    import cv2  # several times faster than numpy; costs a third of a second when first used

    turned = cv2.transpose(pixels) if transposed else np.ascontiguousarray(pixels)
    if mirrored or upended:
        turned = cv2.flip(turned, 1 if not upended else 0 if not mirrored else -1)
    return np.asarray(turned, np.uint8)


def rotate_size(size: tuple[int, int], matrix: Matrix) -> tuple[int, int]:
    """(H, W) after turning."""
    return (size[1], size[0]) if _decompose(matrix)[0] else size


def _decompose(matrix: Matrix) -> tuple[bool, bool, bool]:
    """A display matrix as the nearest turn by a multiple of 90°: rows and columns swapped, then mirrored, upended."""
    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0
