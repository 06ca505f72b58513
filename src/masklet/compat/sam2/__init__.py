"""Drop-in replacement of the package `sam2`.

Import from here what a program imports from `sam2`, or call `install` first and leave the imports as they are:

    import masklet.compat.sam2

    masklet.compat.sam2.install()
    from sam2.build_sam import build_sam2
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from masklet.compat.sam2.installation import install

_MODULES = {
    "build_sam2": "build_sam",
    "build_sam2_camera_predictor": "build_sam",
    "build_sam2_hf": "build_sam",
    "build_sam2_video_predictor": "build_sam",
    "build_sam2_video_predictor_hf": "build_sam",
    "SAM2AutomaticMaskGenerator": "automatic_mask_generator",
    "SAM2CameraPredictor": "sam2_camera_predictor",
    "SAM2ImagePredictor": "sam2_image_predictor",
    "SAM2VideoPredictor": "sam2_video_predictor",
}

__all__ = ["install", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
