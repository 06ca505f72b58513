"""The formats that any video can be written in, and those of them that need no extra."""

from __future__ import annotations

from masklet.formats import FORMATS

VIDEO_FORMATS = {name: form for name, form in FORMATS.items() if name != "dicom_seg"}  # that needs a DICOM series
BASE_FORMATS = {name: form for name, form in VIDEO_FORMATS.items() if name not in ("tiff", "nifti")}
