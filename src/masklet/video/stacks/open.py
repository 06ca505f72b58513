"""Opening of stacks: the reader of each kind."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from masklet.errors import VideoError
from masklet.video.options import VideoOptions
from masklet.video.stacks.detection import StackKind, find_stack
from masklet.video.stacks.stack import SliceReader, StackVideo, translate_missing_library, translate_stack_errors


class _Kind(NamedTuple):
    """The module that reads a kind of stacks, the library that it needs, and the name of the kind in messages."""

    module: str
    library: str
    name: str


_READERS: dict[StackKind, _Kind] = {
    "tiff": _Kind("tiff_stack", "tifffile", "TIFF stacks"),
    "nifti": _Kind("nifti_volume", "nibabel", "NIfTI files"),
    "dicom": _Kind("dicom_series", "pydicom", "DICOM files"),
}


def open_stack(path: Path, kind: StackKind, options: VideoOptions) -> StackVideo:
    """Open a stack.

    Raises:
        BackendError: `backend-missing`. The library that reads it is not installed.
        VideoError: The stack cannot be read.
    """
    with translate_stack_errors(path, _READERS[kind].name):
        return StackVideo(path, _open_reader(path, kind), options)


def open_reader(path: Path) -> SliceReader:
    """Open the slices of a stack without mapping their numbers to 8 bits. Raises as `open_stack`."""
    kind = find_stack(path)
    if kind is None:
        raise VideoError("unsupported-format", f"{path} is no TIFF stack, NIfTI file or DICOM series", path=str(path))
    with translate_stack_errors(path, _READERS[kind].name):
        return _open_reader(path, kind)


def require_library(library: str) -> None:
    """Raise `BackendError` (`backend-missing`), which names the extra, if a library is not installed."""
    name = next(kind.name for kind in _READERS.values() if kind.library == library)
    with translate_missing_library(library, name):
        import_module(library)


def _open_reader(path: Path, kind: StackKind) -> SliceReader:
    require_library(_READERS[kind].library)
    reader: SliceReader = import_module(f"masklet.video.stacks.{_READERS[kind].module}").open_reader(path)
    return reader
