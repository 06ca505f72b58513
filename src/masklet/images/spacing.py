"""Spacing of pixels: the size of a pixel in micrometres, as TIFF files of microscopes and scanners state it."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, TiffImagePlugin

from masklet.files.open_input import open_input

_X_RESOLUTION, _Y_RESOLUTION, _UNIT, _DESCRIPTION = 282, 283, 296, 270  # tags of TIFF
_MICROMETRES = {2: 25_400.0, 3: 10_000.0}  # by TIFF's unit of resolution: inch and centimetre
_PLACEHOLDERS_DPI = (1.0, 72.0, 96.0)  # written by cameras and editors that know no spacing
_IMAGEJ_UNIT = re.compile(r"^unit=(\S+)", re.MULTILINE)
_OME_PIXELS = re.compile(r"<(?:\w+:)?Pixels\s([^>]*)>")
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*\"([^\"]*)\"")
_UNITS = {
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "\\u00B5m"), 1.0),
    **dict.fromkeys(("inch", "in"), 25_400.0),
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}


class Spacing(NamedTuple):
    """Width and height of a pixel in micrometres."""

    x: float
    y: float


def read_spacing(path: Path) -> Spacing | None:
    """Read the spacing of a TIFF file, or None if it states none.

    It is read from OME-XML, from the description of ImageJ, and from the resolution in pixels per inch or centimetre,
    in this order. 1, 72 and 96 dpi are taken for placeholders. Other files have no spacing.

    Raises:
        InputNotFound: The file cannot be read.
    """
    with open_input(path) as handle, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tags that are broken
        try:
            with Image.open(handle, formats=["TIFF"]) as image:
                tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
                return _parse_tags(tags)
        except (OSError, ValueError, SyntaxError, TypeError, ZeroDivisionError, Image.DecompressionBombError):
            return None


def _parse_tags(tags: Mapping[int, Any]) -> Spacing | None:
    description = _decode(str(tags.get(_DESCRIPTION, "")))
    if pixels := _OME_PIXELS.search(description):
        values = dict(_ATTRIBUTE.findall(pixels[1]))
        sides = [(values.get(f"PhysicalSize{axis}"), values.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "XY"]
        return _check(*(float(side) * _UNITS[unit] if side and unit in _UNITS else math.nan for side, unit in sides))
    per_unit = [float(tags[tag]) if tag in tags else math.nan for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
    if description.startswith("ImageJ") and (unit := _IMAGEJ_UNIT.search(description)):
        return _check(*(_UNITS.get(unit[1], math.nan) / value for value in per_unit))
    micrometres = _MICROMETRES.get(int(tags.get(_UNIT, 2)), math.nan)
    dpi = [value * 25_400 / micrometres for value in per_unit]
    if any(math.isclose(value, placeholder, rel_tol=1e-3) for value in dpi for placeholder in _PLACEHOLDERS_DPI):
        return None
    return _check(*(micrometres / value for value in per_unit))


def _decode(text: str) -> str:
    """Return a text that Pillow has decoded as Latin-1, and that may be UTF-8, as in OME."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _check(x: float, y: float) -> Spacing | None:
    """Return a spacing; None if it is not positive and finite."""
    return Spacing(x, y) if all(0 < side < math.inf for side in (x, y)) else None


def to_micrometres(length: object, unit: object) -> float | None:
    """Return a length in micrometres; None if it is not positive and finite, or its unit is unknown."""
    try:
        micrometres = float(length) * _UNITS.get(str(unit), math.nan)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return micrometres if 0 < micrometres < math.inf else None
