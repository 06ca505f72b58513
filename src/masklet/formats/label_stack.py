"""Label stacks: the masks of a stack in one file, as ImageJ's TIFF or as NIfTI, with its spacing and geometry.

Pixel values are object ids; the smallest id wins overlaps. Slices that were not tracked are empty.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.formats.format import Clip, FileFormat
from masklet.formats.label_maps import build_masks
from masklet.masks import rle
from masklet.masks.label_map import check_object_ids, make_label_map
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.video.stacks.open import open_reader, require_library
from masklet.video.stacks.stack import StackGeometry, translate_slice_errors

Labels = NDArray[np.uint8] | NDArray[np.uint16]
_MAX_IMAGEJ_BYTES = 3_900_000_000  # ImageJ's files have offsets of 32 bits
_MILLIMETRES = 1e-3  # in a micrometre


def _count_slices(frames: Iterable[RleFrame], clip: Clip) -> int:
    """Return the number of slices of a stack, or of frames of any other video."""
    return len(clip.video) if clip.video is not None else 1 + max(frame.index for frame in frames)


def _draw_slices(frames: Iterable[RleFrame], clip: Clip, count: int) -> Iterator[Labels]:
    """Yield the label map of each of `count` slices."""
    dtype: Any = _choose_dtype(clip)
    empty: Any = np.zeros(clip.size, dtype)
    next_index = 0
    for frame in frames:
        for _ in range(next_index, frame.index):
            yield empty
        masks = [rle.decode(mask.rle) for mask in frame]
        yield make_label_map(np.stack(masks), frame.object_ids, frame.size).astype(dtype) if masks else empty
        next_index = frame.index + 1
    for _ in range(next_index, count):
        yield empty


def _choose_dtype(clip: Clip) -> type[np.uint8] | type[np.uint16]:
    check_object_ids(clip.object_ids)
    return np.uint16 if max(clip.object_ids, default=0) > 255 else np.uint8


def _read_geometry(clip: Clip) -> StackGeometry:
    """Return the geometry of a stack, or that of pixels whose spacing is given."""
    geometry: StackGeometry = getattr(clip.video, "geometry", StackGeometry())
    return geometry if geometry.spacing else StackGeometry(clip.spacing_of(0), geometry.slice_distance, geometry.affine)


def write_tiff(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write a stack as ImageJ does, or as OME's BigTIFF if it is too long for ImageJ's files."""
    import tifffile

    geometry, dtype = _read_geometry(clip), np.dtype(_choose_dtype(clip))
    shape = (_count_slices(frames, clip), *clip.size)
    is_long = math.prod(shape) * dtype.itemsize > _MAX_IMAGEJ_BYTES
    settings = _describe_for_ome(geometry) if is_long else _describe_for_imagej(geometry)
    spacing = None if is_long else geometry.spacing
    with tifffile.TiffWriter(handle, imagej=not is_long, ome=is_long, bigtiff=is_long) as writer:
        writer.write(
            _draw_slices(frames, clip, shape[0]),
            shape=shape,
            dtype=dtype,
            photometric="minisblack",
            resolution=(1 / spacing.x, 1 / spacing.y) if spacing else None,
            metadata={"axes": "ZYX", **settings},
            software="masklet",
        )


def _describe_for_imagej(geometry: StackGeometry) -> dict[str, Any]:
    distance = {"spacing": geometry.slice_distance} if geometry.slice_distance else {}
    return {**distance, "unit": "um"} if geometry.spacing or distance else {}


def _describe_for_ome(geometry: StackGeometry) -> dict[str, Any]:
    sides = dict(zip("XYZ", (*(geometry.spacing or (None, None)), geometry.slice_distance), strict=True))
    stated = {axis: side for axis, side in sides.items() if side}
    lengths = {f"PhysicalSize{axis}": side for axis, side in stated.items()}
    return lengths | {f"PhysicalSize{axis}Unit": "µm" for axis in stated}


def write_nifti(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write a compressed NIfTI file with the header and affine of the source, slice by slice."""
    count, dtype = _count_slices(frames, clip), np.dtype(_choose_dtype(clip))
    header = _make_header(clip, count, dtype)
    with gzip.GzipFile(filename="", mode="wb", fileobj=handle, mtime=0) as packed:
        packed.write(header.binaryblock)
        packed.write(bytes(int(header["vox_offset"]) - len(header.binaryblock)))  # no extensions
        for labels in _draw_slices(frames, clip, count):
            packed.write(np.ascontiguousarray(labels, dtype.newbyteorder(header.endianness)).tobytes())


def _make_header(clip: Clip, count: int, dtype: np.dtype[Any]) -> Any:
    import nibabel

    image: Any = getattr(getattr(clip.video, "reader", None), "image", None)
    if image is None:
        library: Any = nibabel  # it has types for some of its functions only
        header = library.Nifti1Header()
        shape = (clip.size[1], clip.size[0], count)
    else:
        header, shape = image.header.copy(), image.shape
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = 0
    header["vox_offset"] = len(header.binaryblock) + 4
    if image is None:
        affine = _make_affine(_read_geometry(clip))
        header.set_xyzt_units("mm")
        header.set_qform(affine, code="scanner")
        header.set_sform(affine, code="scanner")
    return header


def _make_affine(geometry: StackGeometry) -> NDArray[np.float64]:
    """Return the affine from voxels to millimetres; voxels of unknown sides have sides of 1 mm."""
    if geometry.affine is not None:
        return geometry.affine
    sides = (*(geometry.spacing or (None, None)), geometry.slice_distance)
    return np.diag([*(1.0 if side is None else side * _MILLIMETRES for side in sides), 1.0])


def read_stack(path: Path) -> Iterator[TrackedFrame]:
    """Read the label maps of a TIFF stack or of a NIfTI file as frames.

    Raises:
        FormatError: A value is not a whole number from 0.
        VideoError: The file or a slice cannot be read.
        BackendError: The library that reads it is not installed.
    """
    reader = open_reader(path)
    try:
        for index in range(reader.length):
            with translate_slice_errors(str(path), index):
                values = reader.read(index)
            labels = np.asarray(values, np.int64) if values.ndim == 2 else np.full((1, 1), -1)
            if (labels < 0).any() or not np.array_equal(labels, values):
                message = f"{path}: slice {index} has values that are not object ids, whole numbers from 0"
                raise FormatError("annotation-broken", message, path=str(path))
            ids = [int(value) for value in np.unique(labels) if value]
            yield TrackedFrame(index, None, build_masks(labels.astype(np.int32), ids, {}))
    finally:
        reader.close()


def _need(library: str) -> Callable[[Any], None]:
    return lambda video: require_library(library)


TIFF = FileFormat("tiff", "masks.tif", write_tiff, read_stack, check=_need("tifffile"))
NIFTI = FileFormat("nifti", "masks.nii.gz", write_nifti, read_stack, check=_need("nibabel"))
