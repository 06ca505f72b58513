"""`SAM2Transforms`: images to the network's input, prompts to its frame, and masks back to the size of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.backend import IMAGE_MEAN, IMAGE_STD
from masklet.compat.sam2.array import make_tensor, to_numpy
from masklet.errors import ImageError
from masklet.images.resize import resize_antialiased
from masklet.masks.connected_components import fill_holes_and_remove_islands
from masklet.masks.resize import resize_logits


class SAM2Transforms:
    """Transforms of images, prompts and masks.

    Attributes:
        resolution: Side of the network's square in pixels.
        mask_threshold: Logit above which a pixel belongs to the mask.
        max_hole_area: The largest area of a hole that is filled, in pixels of the low-resolution logits.
        max_sprinkle_area: The largest area of an island that is removed, in the same pixels.
        mean: Mean of each channel, of the images the networks were trained on.
        std: Standard deviation of each channel.
    """

    def __init__(
        self, resolution: int, mask_threshold: float, max_hole_area: float = 0.0, max_sprinkle_area: float = 0.0
    ) -> None:
        self.resolution, self.mask_threshold = resolution, mask_threshold
        self.max_hole_area, self.max_sprinkle_area = max_hole_area, max_sprinkle_area
        self.mean, self.std = list(IMAGE_MEAN), list(IMAGE_STD)

    def __call__(self, x: Any) -> Any:
        """Resize and normalize an image.

        Args:
            x: PIL image or array (H, W, 3), see `to_rgb`.

        Returns:
            Tensor (3, S, S) float32.
        """
        return self.transforms(self.to_tensor(x))

    def to_tensor(self, x: Any) -> Any:
        """Convert a PIL image or an array (H, W, 3) to a tensor (3, H, W) float32 in [0, 1]."""
        pixels = to_rgb(x).transpose(2, 0, 1)
        return make_tensor(pixels.astype(np.float32) / np.float32(255))

    def transforms(self, x: Any) -> Any:
        """Resize a tensor (3, H, W) in [0, 1] by antialiased bilinear interpolation, and normalize it."""
        planes = resize_antialiased(to_numpy(x), (self.resolution, self.resolution))
        mean, std = (np.array(values, planes.dtype)[:, None, None] for values in (self.mean, self.std))
        return make_tensor((planes - mean) / std)

    def forward_batch(self, img_list: Sequence[Any]) -> Any:
        """Resize and normalize N images of any sizes to a tensor (N, 3, S, S) float32."""
        return make_tensor(np.stack([to_numpy(self(image)) for image in img_list]))

    def transform_coords(self, coords: Any, normalize: bool = False, orig_hw: Any = None) -> Any:
        """Scale coordinates to the network's frame.

        Args:
            coords: Tensor or array (…, 2) of x and y: pixels of the image with `normalize`, else fractions.
            normalize: The coordinates are pixels.
            orig_hw: Size (H, W) of the image, which `normalize` needs.

        Returns:
            Tensor (…, 2) of coordinates from 0 to the resolution.
        """
        if normalize and orig_hw is None:
            raise AssertionError("orig_hw is needed with normalize=True")
        values = to_numpy(coords)
        values = values if values.dtype.kind == "f" else values.astype(np.float32)
        if normalize:
            values = values / np.array(orig_hw[::-1], values.dtype)
        return make_tensor(values * values.dtype.type(self.resolution), getattr(coords, "device", None))

    def transform_boxes(self, boxes: Any, normalize: bool = False, orig_hw: Any = None) -> Any:
        """Scale boxes (…, 4) xyxy to the network's frame, as `transform_coords`. Returns corners (B, 2, 2)."""
        return self.transform_coords(boxes.reshape(-1, 2, 2), normalize, orig_hw)

    def postprocess_masks(self, masks: Any, orig_hw: tuple[int, int]) -> Any:
        """Fill holes, remove islands and resize logits to the image.

        Args:
            masks: Low-resolution logits (B, C, h, w).
            orig_hw: Size (H, W) of the image.

        Returns:
            Logits (B, C, H, W).
        """
        resized = self.resize_to_image(to_numpy(masks), orig_hw)
        return make_tensor(resized, getattr(masks, "device", None))

    def resize_to_image(self, logits: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
        """Do what `postprocess_masks` does, with arrays (B, C, h, w)."""
        logits = logits if logits.dtype == np.float64 else logits.astype(np.float32)
        planes = [resize_logits(self.clean(plane), size) for plane in logits.reshape(-1, *logits.shape[2:])]
        return np.stack(planes).reshape(*logits.shape[:2], *size)

    def clean(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Fill the holes and remove the islands of one mask's low-resolution logits (h, w)."""
        if self.max_hole_area <= 0 and self.max_sprinkle_area <= 0:
            return logits
        shifted = logits - logits.dtype.type(self.mask_threshold)
        cleaned = fill_holes_and_remove_islands(shifted, self.max_hole_area, self.max_sprinkle_area)
        return np.where(cleaned == shifted, logits, cleaned + logits.dtype.type(self.mask_threshold))


def to_rgb(image: Any) -> NDArray[Any]:
    """Convert an image to an array (H, W, 3) of values from 0 to 255.

    Args:
        image: PIL image of any mode, or array (H, W, 3) uint8 RGB, or of fractions in [0, 1].

    Raises:
        ImageError: `bad-image`. The array has another shape or dtype, or no pixels.
    """
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError("bad-image", f"an image must be (H, W, 3) RGB, got shape {pixels.shape}")
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)  # PyTorch refuses reversed channels, as of BGR images
    if pixels.dtype.kind != "f":
        message = f"an image must be uint8, or fractions in [0, 1], got {pixels.dtype}; scale it to uint8"
        raise ImageError("bad-image", message)
    return np.asarray(pixels * pixels.dtype.type(255))
