"""NIfTI volumes: slices along the third axis, in the order in which the file stores them."""

from __future__ import annotations

import gzip
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from masklet.errors import VideoError
from masklet.images.bit_depth import Range
from masklet.images.spacing import Spacing, to_micrometres
from masklet.video.stacks.detection import StackKind
from masklet.video.stacks.stack import StackGeometry

_UNITS = {"mm": "mm", "meter": "m", "micron": "µm", "unknown": "mm"}  # software takes unknown units for millimetres


class NiftiVolume:
    """Slices of a NIfTI file. Pixel (x, y) of slice z is the voxel [x, y, z].

    A compressed file is unpacked into a temporary one, so that slices are read in any order.

    Attributes:
        image: nibabel's image, with affine and header.
    """

    kind: StackKind = "nifti"
    is_inverted = False
    truncated = False

    def __init__(self, path: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="masklet-")
        self.image = _load(_unpack(path, Path(self._folder.name)))
        shape: tuple[int, ...] = self.image.shape
        shape = (*shape, 1)[:3] if len(shape) == 2 else shape
        long = [side for side in shape[3:] if side > 1]
        if len(shape) < 3 or (long and shape[2] > 1) or len(long) > 1:
            message = f"{path} has the shape {self.image.shape}; a stack is one volume: save one of its volumes"
            raise VideoError("unsupported-format", message, path=str(path))
        self._series_axis = next((axis for axis in range(3, len(shape)) if shape[axis] > 1), 2)
        self._dimensions = len(self.image.shape)
        self.length, self.size = shape[self._series_axis], (shape[1], shape[0])
        self.geometry = self._read_geometry()

    @property
    def value_range(self) -> Range | None:
        """The display range in the header."""
        low, high = (float(self.image.header[name]) for name in ("cal_min", "cal_max"))
        return (low, high) if low < high else None

    def read(self, index: int) -> NDArray[Any]:
        """Read a slice, with slope and intercept applied."""
        places: list[Any] = [slice(None), slice(None), *[0] * (self._dimensions - 2)]
        if self._dimensions > 2:
            places[self._series_axis] = index
        values = np.asarray(self.image.dataobj[tuple(places)])
        if values.dtype.names:  # RGB
            return np.stack([values[name].T for name in values.dtype.names[:3]], axis=-1)
        return np.asarray(values.T)

    def close(self) -> None:
        """Remove the temporary file."""
        self.image.uncache()
        self._folder.cleanup()

    def _read_geometry(self) -> StackGeometry:
        unit = _UNITS.get(self.image.header.get_xyzt_units()[0], "mm")
        sides = [to_micrometres(f"{zoom:.7g}", unit) for zoom in self.image.header.get_zooms()[:3]]
        x, y, z = (*sides, None)[:3]
        return StackGeometry(
            Spacing(x, y) if x and y else None, z if self._series_axis == 2 else None, np.asarray(self.image.affine)
        )


def _load(path: Path) -> Any:
    return nibabel.load(path)


def _unpack(path: Path, folder: Path) -> Path:
    """Return the file, or an unpacked copy that is no longer than its header says."""
    if not path.name.lower().endswith(".gz"):
        return path
    image = _load(path)
    length = image.dataobj.offset + math.prod(image.shape) * image.get_data_dtype().itemsize
    free = shutil.disk_usage(folder).free
    if length > free:
        raise ValueError(f"unpacked it has {length} bytes, and {free} are free in {folder.parent}")
    target = folder / "volume.nii"
    with gzip.open(path) as content, target.open("wb") as copy:
        while length and (piece := content.read(min(length, 1 << 20))):
            copy.write(piece)
            length -= len(piece)
    return target


open_reader = NiftiVolume
