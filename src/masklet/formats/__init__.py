"""Masks of a video in the formats of annotation tools and data sets: written frame by frame, and read back.

Names are loaded when first used: reading a file of masks needs no video library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

_HOMES = {
    "FORMATS": "table",
    "Clip": "form",
    "FileFormat": "form",
    "FolderFormat": "form",
    "Format": "form",
    "Output": "saving",
    "masks_at": "reading",
    "named": "table",
    "read": "reading",
    "save": "saving",
}

__all__ = ["FORMATS", "Clip", "FileFormat", "FolderFormat", "Format", "Output", "masks_at", "named", "read", "save"]

if TYPE_CHECKING:
    from masklet.formats.form import Clip, FileFormat, FolderFormat, Format
    from masklet.formats.reading import masks_at, read
    from masklet.formats.saving import Output, save
    from masklet.formats.table import FORMATS, named


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'masklet.formats' has no attribute {name!r}")
    value = getattr(import_module(f"masklet.formats.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__]
