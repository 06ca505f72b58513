"""Masks of a video in the formats of annotation tools and data sets: written frame by frame, and read back."""

from masklet.formats.form import Clip, FileFormat, FolderFormat, Format
from masklet.formats.reading import masks_at, read
from masklet.formats.saving import Output, save
from masklet.formats.table import FORMATS, named

__all__ = ["FORMATS", "Clip", "FileFormat", "FolderFormat", "Format", "Output", "masks_at", "named", "read", "save"]
