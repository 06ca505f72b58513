"""Promptable segmentation of pictures and video: SAM 2 and 2.1, from a click to masks that follow.

Names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOMES = {
    "PostProcessing": "masks.postprocessing",
    "EmbeddedImage": "predict.embedded_image",
    "MaskletError": "errors",
    "Masks": "masks.masks",
    "Prompt": "prompts",
    "MaskGeneratorOptions": "predict.mask_generator",
    "Segmenter": "segmenter",
    "Tracker": "tracking.tracker",
    "AutoTrackOptions": "tracking.auto_tracker",
    "absent": "prompts",
    "box": "prompts",
    "click": "prompts",
    "clicks": "prompts",
    "load": "segmenter",
    "mask": "prompts",
    "open_video": "video",
    "read_image": "images",
    "read_mask": "images",
}

__all__ = [
    "PostProcessing",
    "EmbeddedImage",
    "MaskletError",
    "Masks",
    "Prompt",
    "MaskGeneratorOptions",
    "Segmenter",
    "Tracker",
    "AutoTrackOptions",
    "absent",
    "box",
    "click",
    "clicks",
    "load",
    "mask",
    "open_video",
    "read_image",
    "read_mask",
]

if TYPE_CHECKING:
    from masklet.errors import MaskletError
    from masklet.images import read_image, read_mask
    from masklet.masks.masks import Masks
    from masklet.masks.postprocessing import PostProcessing
    from masklet.predict.embedded_image import EmbeddedImage
    from masklet.predict.mask_generator import MaskGeneratorOptions
    from masklet.prompts import Prompt, absent, box, click, clicks, mask
    from masklet.segmenter import Segmenter, load
    from masklet.tracking.auto_tracker import AutoTrackOptions
    from masklet.tracking.tracker import Tracker
    from masklet.video import open_video


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'masklet' has no attribute {name!r}")
    value = getattr(import_module(f"masklet.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
