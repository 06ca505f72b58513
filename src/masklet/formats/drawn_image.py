"""Drawn images: an image with its masks as an overlay, a cutout or an effect, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.files.atomic import atomic_write
from masklet.masks.effects import EFFECTS, WHITE, Background
from masklet.masks.masks import Masks

DRAWN = frozenset({"overlay", "cutout", *EFFECTS})
"""Names of the formats that show the image."""

_JPEG_QUALITY = 92


def write_drawn_image(
    path: Path, name: str, masks: Masks, image: NDArray[np.uint8], background: Background = WHITE
) -> None:
    """Write an image with its masks: a cutout as PNG, anything else as JPEG.

    Args:
        path: The file, which is replaced if it exists.
        name: One of `DRAWN`.
        masks: The masks.
        image: The image (H, W, 3) uint8.
        background: What the format `background` shows behind the objects.

    Raises:
        ResourceError: The file cannot be written.
    """
    options: dict[str, Any] = {"format": "JPEG", "quality": _JPEG_QUALITY}
    if name == "cutout":
        drawn, options = masks.cutout(image), {"format": "PNG"}
    else:
        drawn = masks.overlay(image) if name == "overlay" else masks.apply_effect(image, name, background=background)
    with atomic_write(path) as handle:
        Image.fromarray(drawn).save(handle, **options)
