"""Orientation of frames: rotation and flips by the display matrix of a file."""

from __future__ import annotations

import numpy as np

from masklet.video.frames import Image
from masklet.video.raw_frame import Matrix, RawFrame


def rotate_upright(frame: RawFrame, matrix: Matrix) -> Image:
    """Return the image of a frame as a player shows it, (H, W, 3) uint8 RGB. Transparency is composited on black."""
    rows = np.frombuffer(frame.pixels, np.uint8, frame.height * frame.stride).reshape(frame.height, frame.stride)
    pixels = rows[:, : frame.width * frame.channels].reshape(frame.height, frame.width, frame.channels)
    if frame.channels == 4:
        pixels = ((pixels[:, :, :3].astype(np.uint16) * pixels[:, :, 3:] + 127) // 255).astype(np.uint8)
    is_transposed, is_mirrored, is_upside_down = _decompose(matrix)
    is_borrowed = not isinstance(frame.pixels, bytearray)  # the decoder may reuse its buffer
    if not (is_transposed or is_mirrored or is_upside_down):
        return np.array(pixels) if is_borrowed else np.ascontiguousarray(pixels)
    import cv2  # several times faster than numpy; takes 0.3 s to import

    image = cv2.transpose(pixels) if is_transposed else np.ascontiguousarray(pixels)
    if is_mirrored or is_upside_down:
        image = cv2.flip(image, 1 if not is_upside_down else 0 if not is_mirrored else -1)
    return np.asarray(image, np.uint8)


def rotate_size(size: tuple[int, int], matrix: Matrix) -> tuple[int, int]:
    """Return (H, W) after the rotation."""
    return (size[1], size[0]) if _decompose(matrix)[0] else size


def _decompose(matrix: Matrix) -> tuple[bool, bool, bool]:
    """Decompose the nearest rotation by a multiple of 90°: transpose first, then mirror, then flip upside down."""
    a, b, c, d = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0
