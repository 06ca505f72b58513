"""DICOM series: the files of a folder, or the frames of one file, as slices in the order of their positions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array

from masklet.errors import VideoError, warn
from masklet.images.bit_depth import Range
from masklet.images.spacing import Spacing
from masklet.video.stacks.detection import StackKind, list_series
from masklet.video.stacks.stack import StackGeometry

_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber", "Rows", "Columns", "NumberOfFrames"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "SpacingBetweenSlices"),
    *("SliceThickness", "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("PhotometricInterpretation", "WindowCenter", "WindowWidth", "VOILUTFunction", "BitsStored"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]  # fmt: skip
_MICROMETRES = 1000.0  # in a millimetre, the unit of DICOM
_MAX_FRAMES = 100_000  # of a file: over an hour of ultrasound
_IRREGULAR = 0.01  # share by which distances of slices may differ


class Slice(NamedTuple):
    """A slice of a series.

    Attributes:
        path: Its file.
        header: The header of the file, without pixels and without tags that are not needed.
        frame: Number of the frame in the file, from 0.
        position: Position of its first pixel in the patient in millimetres, x, y, z; None if it is not stated.
        orientation: Direction of its rows and of its columns in the patient, six numbers, or None.
    """

    path: Path
    header: Any
    frame: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None

    def find(self, name: str, group: str) -> Any:
        """Return an attribute of the file, or of its functional group for the frame; None if it is not there."""
        if name in self.header:
            return self.header[name].value
        return _find_in_groups(self.header, self.frame, name, group)


class DicomSeries:
    """Slices of a DICOM series, in the numbers of the modality, such as Hounsfield units.

    Attributes:
        slices: The slices, sorted along the normal of their planes, or by their numbers if they have no positions.
    """

    kind: StackKind = "dicom"
    truncated = False

    def __init__(self, path: Path) -> None:
        files = list_series(path) or [path]
        self.slices = _sort([one for file in files for one in _list_slices(file)], path)
        first = self.slices[0]
        self.length, self.size = len(self.slices), (int(first.header.Rows), int(first.header.Columns))
        distance = _measure_distance(self.slices, path)
        self.geometry = StackGeometry(_read_spacing(first), distance, _make_affine(self.slices))
        self.is_inverted = first.header.get("PhotometricInterpretation") == "MONOCHROME1"

    @property
    def value_range(self) -> Range | None:
        """The first window of the first slice."""
        first = self.slices[0]
        center = _first_number(first.find("WindowCenter", "FrameVOILUTSequence"))
        width = _first_number(first.find("WindowWidth", "FrameVOILUTSequence"))
        if center is None or width is None or width < 1:
            return None
        is_linear = first.header.get("VOILUTFunction", "LINEAR") == "LINEAR"
        middle, half = (center - 0.5, (width - 1) / 2) if is_linear else (center, width / 2)
        half = max(half, 0.5)
        return middle - half, middle + half

    def read(self, index: int) -> NDArray[Any]:
        """Read a slice, with slope and intercept applied."""
        one = self.slices[index]
        values = pixel_array(one.path, index=one.frame)
        return values if values.ndim == 3 else _rescale(values, one)

    def close(self) -> None:
        """Do nothing: files are closed after each slice."""


open_reader = DicomSeries


def _list_slices(path: Path) -> Iterator[Slice]:
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    if "Rows" not in header or "Columns" not in header:  # a report or a plan
        return
    count = int(header.get("NumberOfFrames") or 1)
    if count > _MAX_FRAMES:
        raise ValueError(f"{path.name} states {count} frames, more than {_MAX_FRAMES}")
    for frame in range(count):
        one = Slice(path, header, frame, None, None)
        position = one.find("ImagePositionPatient", "PlanePositionSequence")
        orientation = one.find("ImageOrientationPatient", "PlaneOrientationSequence")
        yield one._replace(position=_to_floats(position, 3), orientation=_to_floats(orientation, 6))


def _sort(slices: list[Slice], path: Path) -> list[Slice]:
    if not slices:
        raise VideoError("video-no-frames", f"{path} contains no DICOM images", path=str(path))
    series = Counter(one.header.get("SeriesInstanceUID") for one in slices)
    if len(series) > 1:
        counts = ", ".join(f"{count} of {str(uid)[-12:]}" for uid, count in series.most_common(4))
        message = f"{path} has {len(series)} series (slices by end of UID: {counts}); keep one in the folder"
        raise VideoError("frames-inconsistent", message, path=str(path))
    along = _measure_along_normal(slices)
    if along is None or len({*np.round(along, 3)}) == 1:
        return sorted(slices, key=lambda one: (int(one.header.get("InstanceNumber") or 0), one.path.name, one.frame))
    if len({*np.round(along, 3)}) < len(slices):
        message = f"{path} has several slices at the same position, as of several times; keep one of each in the folder"
        raise VideoError("frames-inconsistent", message, path=str(path))
    return [slices[number] for number in np.argsort(along, kind="stable")]


def _measure_along_normal(slices: Sequence[Slice]) -> NDArray[np.float64] | None:
    """Return the positions of slices along their normal in millimetres; None if one has no position."""
    if any(one.position is None or one.orientation is None for one in slices):
        return None
    orientation = np.array(slices[0].orientation)
    normal = np.cross(orientation[:3], orientation[3:])
    return np.array([np.dot(normal, np.array(one.position)) for one in slices])


def _measure_distance(slices: Sequence[Slice], path: Path) -> float | None:
    """Return the distance of neighboring slices in micrometres."""
    along = _measure_along_normal(slices)
    if along is not None and len(slices) > 1 and (mean := float(along[-1] - along[0]) / (len(slices) - 1)) > 0:
        if np.abs(np.diff(along) - mean).max() > _IRREGULAR * mean:
            warn("slices-irregular", f"{path}: distances of slices differ, so that some may be missing")
        return mean * _MICROMETRES
    stated = slices[0].find("SpacingBetweenSlices", "PixelMeasuresSequence")
    stated = stated or slices[0].find("SliceThickness", "PixelMeasuresSequence")
    return float(stated) * _MICROMETRES if stated else None


def _make_affine(slices: Sequence[Slice]) -> NDArray[np.float64] | None:
    """Return the affine from voxels to the patient; DICOM's axes point to the left, to the back and up."""
    first, last, spacing = slices[0], slices[-1], _read_spacing(slices[0])
    if first.position is None or first.orientation is None or last.position is None or spacing is None:
        return None
    orientation = np.array(first.orientation).reshape(2, 3)
    step = np.cross(*orientation)
    if len(slices) > 1:
        step = np.subtract(last.position, first.position) / (len(slices) - 1)
    affine = np.eye(4)
    affine[:3, 0] = orientation[0] * spacing.x / _MICROMETRES
    affine[:3, 1] = orientation[1] * spacing.y / _MICROMETRES
    affine[:3, 2], affine[:3, 3] = step, first.position
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def _read_spacing(one: Slice) -> Spacing | None:
    sides = one.find("PixelSpacing", "PixelMeasuresSequence") or one.header.get("ImagerPixelSpacing")
    numbers = _to_floats(sides, 2)
    return Spacing(numbers[1] * _MICROMETRES, numbers[0] * _MICROMETRES) if numbers and min(numbers) > 0 else None


def _rescale(values: NDArray[Any], one: Slice) -> NDArray[Any]:
    if "ModalityLUTSequence" in one.header:
        return np.asarray(apply_modality_lut(values, one.header))
    slope = _first_number(one.find("RescaleSlope", "PixelValueTransformationSequence"))
    intercept = _first_number(one.find("RescaleIntercept", "PixelValueTransformationSequence")) or 0.0
    slope = 1.0 if slope is None else slope
    if (slope, intercept) == (1.0, 0.0):
        return values
    if slope.is_integer() and intercept.is_integer():
        return np.asarray(values.astype(np.int32) * int(slope) + int(intercept))
    return np.asarray(values.astype(np.float32) * np.float32(slope) + np.float32(intercept))


def _find_in_groups(header: Any, frame: int, name: str, group: str) -> Any:
    frames = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for groups in [*frames[frame : frame + 1], *shared[:1]]:
        for item in groups.get(group) or []:
            if name in item:
                return item[name].value
    return None


def _to_floats(values: Any, count: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None


def _first_number(value: Any) -> float | None:
    """Return a number, the first one of several, or None."""
    try:
        return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
    except (TypeError, ValueError, IndexError):
        return None
