"""TIFF stacks: the images of a file of ImageJ, of OME, or of any other program, as slices."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from masklet.errors import VideoError, warn
from masklet.images.bit_depth import Range
from masklet.images.spacing import read_spacing, to_micrometres
from masklet.video.stacks.detection import StackKind
from masklet.video.stacks.stack import StackGeometry

_MAX_BYTES = 1 << 30  # of a stack that can only be read as a whole


class TiffStack:
    """Slices of a TIFF file. Uncompressed stacks are mapped into memory, others are read image by image."""

    kind: StackKind = "tiff"

    def __init__(self, path: Path) -> None:
        with _collect_errors() as errors:
            self._file = tifffile.TiffFile(path)
            self._series: Any = self._file.series[0]
        self.truncated = bool(errors)
        self.is_inverted = self._series.keyframe.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        self._axes, self._shape = self._series.axes, self._series.shape
        self._frame_axis = self._find_frame_axis(path)
        self.length = self._shape[self._frame_axis] if self._frame_axis is not None else 1
        self.size = tuple(self._shape[self._axes.index(axis)] for axis in "YX")
        self.geometry = StackGeometry(read_spacing(path), self._read_distance())
        self._mapped = self._map()
        if errors:
            message = f"{path} is truncated or damaged ({errors[0]}); the {self.length} images before that are used"
            warn("video-truncated", message)

    @property
    def value_range(self) -> Range | None:
        """The display range of ImageJ."""
        settings = self._file.imagej_metadata or {}
        low, high = (settings.get(name) for name in ("min", "max"))
        return (float(low), float(high)) if low is not None and high is not None and low < high else None

    def read(self, index: int) -> NDArray[Any]:
        """Read a slice; of several channels the first one."""
        places = [
            slice(None) if axis in "YXS" else index if number == self._frame_axis else 0
            for number, axis in enumerate(self._axes)
        ]
        if self._mapped is not None:
            return self._arrange(np.asarray(self._mapped[tuple(places)]))
        numbers = [place for place in places if isinstance(place, int)]  # axes before those of an image
        page = int(np.ravel_multi_index(numbers, self._shape[: len(numbers)])) if numbers else 0
        return self._arrange(np.asarray(self._series.pages[page].asarray()))

    def close(self) -> None:
        """Close the file."""
        self._mapped = None
        self._file.close()

    def _find_frame_axis(self, path: Path) -> int | None:
        lengths = dict(zip(self._axes, self._shape, strict=True))
        if "Y" not in lengths or "X" not in lengths or lengths.get("S", 1) not in (1, 3, 4):
            raise VideoError("unsupported-format", f"{path} has the axes {self._axes}, which are not those of a stack")
        others = [axis for axis in self._axes if axis not in "YXSC" and lengths[axis] > 1]
        if len(others) > 1:
            sizes = ", ".join(f"{axis}={lengths[axis]}" for axis in others)
            message = f"{path} has slices along several axes ({sizes}); save one time or one depth as a stack"
            raise VideoError("unsupported-format", message, path=str(path))
        if lengths.get("C", 1) > 1:
            warn("first-picture-only", f"took the first of {lengths['C']} channels of {path.name}")
        return self._axes.index(others[0]) if others else None

    def _read_distance(self) -> float | None:
        """Read the distance of slices in micrometres from ImageJ's or OME's description."""
        if self._file.is_imagej:
            settings = self._file.imagej_metadata or {}
            return to_micrometres(settings.get("spacing"), settings.get("unit"))
        if self._file.ome_metadata:
            pixels = tifffile.xml2dict(self._file.ome_metadata)["OME"]["Image"]
            pixels = (pixels[0] if isinstance(pixels, list) else pixels)["Pixels"]
            return to_micrometres(pixels.get("PhysicalSizeZ"), pixels.get("PhysicalSizeZUnit", "µm"))
        return None

    def _map(self) -> Any:
        """Map the stack into memory, or return None if it is read image by image."""
        if self._series.dataoffset is not None:
            return tifffile.memmap(self._file.filehandle.path, series=0, mode="r")
        trailing = "".join(axis for axis in self._axes if axis in "YXS")
        leading = math.prod(self._shape[: len(self._axes) - len(trailing)])
        if self._axes.endswith(trailing) and len(self._series.pages) == leading:
            return None
        if self._series.nbytes > _MAX_BYTES:
            message = (
                f"its images have the axes {self._axes} and {self._series.nbytes} bytes; save it without compression"
            )
            raise ValueError(message)
        return self._series.asarray()

    def _arrange(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return (H, W), or (H, W, 3) for colors."""
        order = [axis for axis in self._axes if axis in "YXS"]
        values = np.moveaxis(values.reshape([self._shape[self._axes.index(axis)] for axis in order]), [
            order.index(axis) for axis in "YXS" if axis in order
        ], range(len(order)))  # fmt: skip
        return values if values.ndim == 2 else values[..., 0] if values.shape[2] == 1 else values[..., :3]


open_reader = TiffStack


@contextmanager
def _collect_errors() -> Iterator[list[str]]:
    """Yield the errors that tifffile logs during the block, which do not reach the log."""
    logger, errors = logging.getLogger("tifffile"), list[str]()
    handler, propagate = logging.Handler(logging.ERROR), logger.propagate
    handler.emit = lambda record: errors.append(" ".join(record.getMessage().split())[:120])  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield errors
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
