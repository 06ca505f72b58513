"""Registry of annotation formats by their name on the command line."""

from __future__ import annotations

from collections.abc import Iterable

from masklet.errors import SettingsError
from masklet.formats.coco import COCO
from masklet.formats.csv_measurements import CSV
from masklet.formats.cutout_video import CUTOUT, PRORES
from masklet.formats.cvat import CVAT
from masklet.formats.dicom_seg import DICOM_SEG
from masklet.formats.effect_video import EFFECT_VIDEOS
from masklet.formats.format import Format
from masklet.formats.label_maps import PNG, SAV
from masklet.formats.label_stack import NIFTI, TIFF
from masklet.formats.labelme import LABELME
from masklet.formats.matte import MATTES
from masklet.formats.mots import MOTS
from masklet.formats.npz import NPZ
from masklet.formats.overlay_video import OVERLAY
from masklet.formats.yolo import YOLO
from masklet.formats.ytvis import YTVIS

_ALL: tuple[Format, ...] = (
    *(PNG, SAV, COCO, YTVIS, YOLO, LABELME, CVAT, MOTS, NPZ, CSV, TIFF, NIFTI, DICOM_SEG),
    *(OVERLAY, CUTOUT, PRORES, *EFFECT_VIDEOS, *MATTES),
)
FORMATS: dict[str, Format] = {form.name: form for form in _ALL}


def find_formats(names: Iterable[str]) -> list[Format]:
    """Return the formats with these names, each once. Raises `SettingsError` for an unknown name."""
    selected = list(dict.fromkeys(names))
    if unknown := [name for name in selected if name not in FORMATS]:
        raise SettingsError("bad-usage", f"unknown format {unknown[0]!r}; formats are {', '.join(FORMATS)}")
    return [FORMATS[name] for name in selected]
