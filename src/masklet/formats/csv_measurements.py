"""CSV of measurements: a row for each object on each image or frame, in pixels and in micrometres."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

from masklet.files.names import replace_surrogates
from masklet.formats.format import Clip, FileFormat
from masklet.images.spacing import Spacing
from masklet.masks import rle
from masklet.masks.rle_frame import RleFrame, RleMask

_SIDES = ("x0", "y0", "x1", "y1")
_PIXELS = ("area", "centroid_x", "centroid_y", *_SIDES)
_UNITS = ("area_um2", "centroid_x_um", "centroid_y_um", *(f"{side}_um" for side in _SIDES))


def _write_frames(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write a row per object and frame of a video, with the time of the frame in seconds."""
    _write(handle, frames, clip, ("frame", "time"), lambda frame: (frame.index, _format(frame.time)))


def _write_images(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write a row per object and image of a set."""
    _write(handle, frames, clip, ("image",), lambda frame: (clip.names[frame.index] if clip.names else frame.index,))


CSV = FileFormat("csv", "measurements.csv", _write_frames)
CSV_IMAGES = FileFormat("csv", "measurements.csv", _write_images)


def measure(mask: RleMask, spacing: Spacing | None = None) -> list[float | None]:
    """Measure a mask.

    Args:
        mask: The mask.
        spacing: Width and height of a pixel in micrometres; by default lengths are in pixels.

    Returns:
        Area, centroid x and y, and the box x0, y0, x1, y1. Coordinates are 0 at the left and top edge of the image, so
        that the center of its first pixel is at 0.5, 0.5 pixels. An empty mask has the area 0 and None for the rest.
    """
    x, y = spacing or (1.0, 1.0)
    area = rle.compute_area(mask.rle)
    if not area:
        return [0, *[None] * 6]
    left, top, right, bottom = rle.compute_box(mask.rle)
    part = rle.decode(mask.rle)[top:bottom, left:right]
    column = left + 0.5 + float(np.arange(right - left) @ part.sum(axis=0, dtype=np.int64)) / area
    row = top + 0.5 + float(np.arange(bottom - top) @ part.sum(axis=1, dtype=np.int64)) / area
    return [area * x * y if spacing else area, column * x, row * y, left * x, top * y, right * x, bottom * y]


def _write(
    handle: BinaryIO,
    frames: Iterable[RleFrame],
    clip: Clip,
    place_columns: Sequence[str],
    place: object,
) -> None:
    assert callable(place)
    has_units = any(clip.spacing_of(frame.index) for frame in frames)
    units = _UNITS if has_units else ()
    handle.write(_encode([*place_columns, "id", "label", *_PIXELS, "score", *units]))
    for frame in frames:
        for row in _measure_frame(frame, clip, has_units=has_units):
            handle.write(_encode([*place(frame), *row]))


def _measure_frame(frame: RleFrame, clip: Clip, *, has_units: bool) -> Iterator[list[object]]:
    spacing = clip.spacing_of(frame.index)
    for mask in frame:
        pixels = [*map(_format, measure(mask))]
        units = [*map(_format, measure(mask, spacing))] if spacing else [""] * len(_UNITS)
        label = clip.labels.get(mask.object_id) or mask.label or ""
        yield [mask.object_id, label, *pixels, _format(mask.score), *(units if has_units else ())]


def _format(value: float | None) -> str:
    """Write a number with at most 9 significant digits, and "" for None."""
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.9g}"


def _encode(values: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return replace_surrogates(text.getvalue()).encode()
