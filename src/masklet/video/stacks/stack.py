"""Stack video: the slices of a volume as frames, with its spacing and the mapping of its numbers to 8 bits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from masklet.errors import BackendError, ImageError, PromptError, VideoError
from masklet.files.error_translation import translate_errors
from masklet.images.bit_depth import Range, check_range, to_uint8
from masklet.images.in_memory import MAX_SIDE
from masklet.images.spacing import Spacing
from masklet.video.frames import Closable, Frame, Image
from masklet.video.options import VideoOptions
from masklet.video.prefetch import prefetch
from masklet.video.stacks.detection import StackKind

_PREFETCH_FRAMES = 4
_SAMPLES = 16  # slices from which the range of values is estimated
_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, slots=True, eq=False)
class StackGeometry:
    """Size of the voxels of a stack.

    Attributes:
        spacing: Width and height of a pixel in micrometres, or None if they are not known.
        slice_distance: Distance of neighboring slices in micrometres, or None if it is not known.
        affine: The affine (4, 4) from voxels (x, y, z) to millimetres in the patient, to the right, to the front and up
            (RAS+), as in NIfTI; None if it is not known.
    """

    spacing: Spacing | None = None
    slice_distance: float | None = None
    affine: NDArray[np.float64] | None = None


class SliceReader(Protocol):
    """Reads the slices of a stack, for one thread at a time. If it is inverted, low numbers are bright."""

    kind: StackKind
    length: int
    size: tuple[int, int]
    geometry: StackGeometry
    truncated: bool
    is_inverted: bool

    @property
    def value_range(self) -> Range | None:
        """The numbers of black and white that the source states, or None."""

    def read(self, index: int) -> NDArray[Any]:
        """Read a slice (H, W), or (H, W, 3) uint8 RGB, in the numbers of the source."""

    def close(self) -> None:
        """Close the files."""


class StackVideo(Closable):
    """A `Video` over the slices of a stack. Slices are read on demand.

    Numbers other than uint8 are scaled to 8 bits by one range for all slices: that of the options, else the one that
    the source states, else the 0.5th to the 99.5th percentile of 16 slices.

    Args:
        path: The file or folder.
        reader: The reader of its slices, which the video closes.
        options: Limits, and the range of values.

    Attributes:
        reader: The reader.
        geometry: The spacing of the stack.
        truncated: Whether the file ends before its last slice.
        value_range: The numbers of black and white, or None if all slices are uint8.

    Raises:
        VideoError: `video-no-frames` or `too-many-pixels`.
        SettingsError: The range of values is invalid.
    """

    def __init__(self, path: Path, reader: SliceReader, options: VideoOptions) -> None:
        check_range(options.value_range)
        self.name, self.reader, self.geometry, self.size = str(path), reader, reader.geometry, reader.size
        self.truncated, self._lock = reader.truncated, threading.Lock()
        height, width = self.size
        if not reader.length:
            raise VideoError("video-no-frames", f"{path} contains no slices", path=self.name)
        if max(self.size) > MAX_SIDE or height * width > options.max_pixels:
            limit = f"more than max_pixels={options.max_pixels} or {MAX_SIDE} a side; make them smaller"
            raise VideoError("too-many-pixels", f"{path} has slices of {width} × {height} pixels, {limit}")
        self.value_range = options.value_range or reader.value_range or self._estimate_range()

    @property
    def kind(self) -> StackKind:
        """The kind of the stack."""
        return self.reader.kind

    @property
    def times(self) -> tuple[float | None, ...]:
        """None for every frame, since slices have no times."""
        return (None,) * len(self)

    def __len__(self) -> int:
        return self.reader.length

    def __getitem__(self, index: int) -> Image:
        """Return slice `index`, (H, W, 3) uint8 RGB.

        Raises:
            PromptError: `unknown-frame`. There is no such slice.
            VideoError: `frame-corrupt`. The slice cannot be read.
        """
        return self._read_frame(index).image

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over all slices from the first one, with prefetch."""
        return self.frames(range(len(self)))

    def frames(self, indices: range) -> Iterator[Frame]:
        """Iterate over the slices of a range in its order, with prefetch."""
        return prefetch(map(self._read_frame, indices), _PREFETCH_FRAMES)

    def close(self) -> None:
        """Close the files. Iteration ends."""
        with self._lock:
            self.reader.close()

    def _read_frame(self, index: int) -> Frame:
        gray = to_uint8(self._read(index), self.name, self.value_range)
        if self.reader.is_inverted and gray.ndim == 2:
            gray = 255 - gray
        image = gray if gray.ndim == 3 else np.repeat(gray[:, :, None], 3, axis=2)
        return Frame(index, None, np.ascontiguousarray(image))

    def _read(self, index: int) -> NDArray[Any]:
        if not 0 <= index < len(self):
            message = f"{self.name} has no slice {index}; there are {len(self)}, numbered from 0"
            raise PromptError("unknown-frame", message, path=self.name, frame=index)
        with self._lock, translate_slice_errors(self.name, index):
            values = self.reader.read(index)
        if values.shape[:2] != self.size:
            message = f"{self.name}: slice {index} has size {values.shape[:2]}, the first one {self.size}"
            raise VideoError("frames-inconsistent", message, path=self.name, frame=index)
        return values

    def _estimate_range(self) -> Range | None:
        """Estimate the range from some slices; None if they are uint8 already."""
        chosen = np.unique(np.linspace(0, len(self) - 1, _SAMPLES).round().astype(int))
        slices = [self._read(int(index)) for index in chosen]
        if all(values.dtype in (np.uint8, np.bool_) for values in slices):
            return None
        if any(values.dtype.kind not in "buif" for values in slices):
            kinds = ", ".join(sorted({str(values.dtype) for values in slices}))
            raise ImageError("bad-image", f"{self.name} holds {kinds} numbers, which are not gray levels")
        finite = [values[np.isfinite(values)] for values in slices]
        limits = np.array([np.percentile(values, _PERCENTILES) for values in finite if values.size] or [(0, 1)])
        low, high = float(limits[:, 0].min()), float(limits[:, 1].max())
        return (low, high) if low < high else (low, low + 1)


def translate_stack_errors(path: Path, kind: str) -> AbstractContextManager[None]:
    """Translate the exceptions of opening a stack into `VideoError` (`unsupported-format`)."""
    return _translate_exceptions("unsupported-format", f"{path} cannot be read as {kind}", path=str(path))


def translate_slice_errors(name: str, index: int) -> AbstractContextManager[None]:
    """Translate the exceptions of reading a slice into `VideoError` (`frame-corrupt`)."""
    return _translate_exceptions("frame-corrupt", f"{name}: slice {index} cannot be read", path=name, frame=index)


def _translate_exceptions(code: str, message: str, **context: Any) -> AbstractContextManager[None]:
    """Translate every exception but warnings, since each library has classes of its own."""

    def to_error(cause: Exception) -> Exception:
        if isinstance(cause, Warning):
            return cause
        return VideoError(code, f"{message}: {_describe(cause)}", **context)

    return translate_errors(Exception, into=to_error)


def translate_missing_library(library: str, purpose: str) -> AbstractContextManager[None]:
    """Translate an `ImportError` of a library into `BackendError` (`backend-missing`), which names the extra."""

    def to_error(cause: ImportError) -> BackendError:
        return BackendError("backend-missing", f"{purpose} need {library}, {cause}", hint='pip install ".[stacks]"')

    return translate_errors(ImportError, into=to_error)


def _describe(cause: BaseException) -> str:
    return " ".join(str(cause).split())[:160] or type(cause).__name__
