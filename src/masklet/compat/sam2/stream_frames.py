"""Frames of a stream as the model takes them: the last ones, and those that are kept to be prompted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.compat.sam2.array import make_tensor
from masklet.compat.sam2.video_frames import Normalization
from masklet.errors import ImageError

MAX_STREAM_FRAMES = 16  # the last frames of a stream, which can be prompted


class StreamFrames(Sequence[Any]):
    """Frames as normalized tensors (3, S, S), of which old ones are dropped.

    Args:
        normalization: Rule by which images become planes.
        device: Device of the tensors.
    """

    def __init__(self, normalization: Normalization, device: Any) -> None:
        self.normalization, self.device = normalization, device
        self._squares: dict[int, NDArray[np.uint8]] = {}
        self._pinned: set[int] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        """Return a frame (3, S, S). Raises `IndexError` for a frame that was dropped, or that does not exist."""
        position = int(index) + (self._count if index < 0 else 0)
        if position not in self._squares:
            reason = "was dropped" if 0 <= position < self._count else "does not exist"
            message = f"frame {index} {reason}; a stream has its last {MAX_STREAM_FRAMES} frames, and conditioning ones"
            raise IndexError(message)
        return make_tensor(self.normalization.apply(self._squares[position]), self.device)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all frames so far together, (T, 3, S, S)."""
        return self._count, 3, self.normalization.side, self.normalization.side

    def append(self, image: Any, *, keep: bool = False) -> tuple[int, int]:
        """Append a frame.

        Args:
            image: Array (H, W, 3) uint8 RGB, which OpenCV resizes by bilinear interpolation, or an image of Pillow,
                which is resized by its bicubic filter.
            keep: Never drop the frame.

        Returns:
            (H, W) of the image.

        Raises:
            ImageError: `bad-image`. It is something else.
        """
        side = self.normalization.side
        if isinstance(image, Image.Image):
            size = image.height, image.width
            square = np.asarray(image.convert("RGB").resize((side, side)))
        elif isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
            size = image.shape[0], image.shape[1]
            square = np.asarray(cv2.resize(image, (side, side)), np.uint8)
        else:
            shape = f" of {image.dtype} {image.shape}" if isinstance(image, np.ndarray) else ""
            message = (
                f"a frame must be an array (H, W, 3) uint8 or an image of Pillow, got {type(image).__name__}{shape}"
            )
            raise ImageError("bad-image", message)
        self._squares[self._count] = square
        self._pinned |= {self._count} if keep else set()
        self._count += 1
        oldest = self._count - MAX_STREAM_FRAMES
        self._squares = {t: one for t, one in self._squares.items() if t >= oldest or t in self._pinned}
        return size
