"""Images of an image layer, as the model reads them and as the viewer shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.errors import ImageError
from masklet.images import read_image
from masklet.video.image_sequence import ImageSequence
from masklet.video.options import VideoOptions


class LayerImages:
    """Images (H, W, 3) uint8 RGB of a layer (Y, X[, C]) or (T, Y, X[, C]), converted when they are indexed.

    Values of single-channel layers are scaled from the layer's contrast limits, so that the model sees what the viewer
    shows. Layers of 8-bit colors are taken as they are.

    Args:
        layer: The image layer.

    Raises:
        ImageError: `bad-image`. The layer has more than one axis beside Y and X.
    """

    def __init__(self, layer: Any) -> None:
        if layer.ndim not in (2, 3):
            message = f"layer {layer.name!r} has {layer.ndim} axes; pass one image (Y, X) or a stack (T, Y, X)"
            hint = "colors need a last axis of 3 or 4 and rgb=True; of other axes select one index"
            raise ImageError("bad-image", message, hint=hint)
        self._data = layer.data[0] if layer.multiscale else layer.data
        self._is_stack = layer.ndim == 3
        self._range = None if layer.rgb else tuple(map(float, layer.contrast_limits))

    def __len__(self) -> int:
        return len(self._data) if self._is_stack else 1

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        values = np.asarray(self._data[index] if self._is_stack else self._data)
        if self._range is None:
            return read_image(values if values.dtype == np.uint8 else _scale(values, (0.0, 1.0)))
        return read_image(_scale(values, self._range))


def open_layer(layer: Any) -> ImageSequence:
    """Open an image layer as a video, with one frame for a single image. Raises as `LayerImages` does."""
    images = LayerImages(layer)
    names = [f"frame {index} of layer {layer.name!r}" for index in range(len(images))]
    return ImageSequence(layer.name, images, names, VideoOptions())


def _scale(values: NDArray[Any], limits: tuple[float, ...]) -> NDArray[np.uint8]:
    """Scale numbers from limits (low, high) to 0 … 255; numbers outside are clipped."""
    low, high = limits
    shares = (values.astype(np.float32) - low) / ((high - low) or 1.0)
    return np.asarray(np.rint(np.nan_to_num(shares).clip(0, 1) * 255).astype(np.uint8))
