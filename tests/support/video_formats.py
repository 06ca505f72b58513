"""The formats that any video can be written in."""

from __future__ import annotations

from masklet.formats import FORMATS

VIDEO_FORMATS = {name: form for name, form in FORMATS.items() if name != "dicom_seg"}  # that needs a DICOM series
