"""Annotation formats: write the masks of a video frame by frame, and read them back.

Names are loaded on first use, so that reading a mask file does not import a video library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    "FORMATS": "registry",
    "Clip": "format",
    "FileFormat": "format",
    "FolderFormat": "format",
    "Format": "format",
    "Output": "writer",
    "masks_at": "reader",
    "name_frames": "format",
    "read_background": "effect_video",
    "find_formats": "registry",
    "read_masks": "reader",
    "save_masks": "writer",
}

__all__ = [
    "FORMATS",
    "Clip",
    "FileFormat",
    "FolderFormat",
    "Format",
    "Output",
    "masks_at",
    "name_frames",
    "find_formats",
    "read_background",
    "read_masks",
    "save_masks",
]

if TYPE_CHECKING:
    from masklet.formats.effect_video import read_background
    from masklet.formats.format import Clip, FileFormat, FolderFormat, Format, name_frames
    from masklet.formats.reader import masks_at, read_masks
    from masklet.formats.registry import FORMATS, find_formats
    from masklet.formats.writer import Output, save_masks


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'masklet.formats' has no attribute {name!r}")
    value = getattr(import_module(f"masklet.formats.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__]
