"""The option `--spacing`: the size of a pixel, for measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.errors import SettingsError

if TYPE_CHECKING:
    from masklet.formats import Format
    from masklet.images.spacing import Spacing

SpacingOption = Annotated[
    float | None,
    typer.Option(
        metavar="UM",
        help="Width and height of a pixel in micrometres, for measurements in the format csv. "
        "Default: what TIFF files and stacks state, otherwise only pixels are measured.",
    ),
]


def parse_spacing(value: float | None) -> Spacing | None:
    """Return the value of `--spacing`. Raises `SettingsError` if it is not a positive number."""
    from masklet.images.spacing import Spacing

    if value is None:
        return None
    if not 0 < value < math.inf:
        raise SettingsError("bad-usage", f"--spacing must be a positive number of micrometres, got {value:g}")
    return Spacing(value, value)


def find_spacing(
    source: Path, spacing: Spacing | None, formats: Collection[Format], video: Any = None
) -> Callable[[int], Spacing | None]:
    """Return a function from the frames of a video to their spacing.

    It is `spacing` or else, if a format has measures, that of a stack or of the first file of a folder of frames.
    """
    from masklet.formats.csv_measurements import CSV
    from masklet.formats.label_stack import NIFTI, TIFF
    from masklet.images.spacing import read_spacing
    from masklet.video.frame_folder import find_frame_files

    geometry = getattr(video, "geometry", None)
    if spacing is None and geometry is not None:
        spacing = geometry.spacing
    elif spacing is None and any(form in (CSV, TIFF, NIFTI) for form in formats):
        spacing = next(map(read_spacing, find_frame_files(str(source)) or []), None)
    return lambda index: spacing
