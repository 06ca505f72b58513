"""NumPy archive (.npz) with all masks of a video, written and read frame by frame, or with those of one image."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from masklet.config import CERTAIN_LOGIT
from masklet.errors import FormatError
from masklet.files.json_fields import name_errors
from masklet.files.open_input import open_input
from masklet.formats.format import Clip, FileFormat
from masklet.formats.frame_masks import check_size
from masklet.masks import rle
from masklet.masks.labels import read_label
from masklet.masks.mask_files import crops_from_array
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame

_FIXED_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # so that equal masks give equal bytes
_HIDDEN_SCORE = -CERTAIN_LOGIT  # object score of an object that is not on the frame
_CHARACTER_BYTES = 4  # of NumPy's text
_MAX_BYTES = 2**29  # of one array, or of the masks of one frame

# NumPy's own reader evaluates this text as Python and raises various errors if it is damaged.
_HEADER = re.compile(r"\{'descr': '(?P<dtype>[^']+)', 'fortran_order': False, 'shape': \((?P<shape>[\d, ]+)\), \} *\n")

_FAULTS = (OSError, EOFError, LookupError, ValueError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)

Shape = tuple[int, ...]


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write the arrays `masks` (T, N, H, W) bool, `scores` and `object_scores` (T, N) float32, `frames` (T,) int64,
    `times` (T,) float64 in seconds with NaN for unknown times, and `object_ids` (N,) int64, compressed with deflate. If
    there are labels, `labels` (N,) has those of the objects, "" for None.
    """
    count, size = 0, (0, 0)
    for frame in frames:
        count, size = count + 1, frame.size
    ids = clip.object_ids
    columns: dict[str, tuple[str, Shape, Callable[[RleFrame], Any]]] = {
        "frames": ("<i8", (count,), lambda frame: frame.index),
        "times": ("<f8", (count,), lambda frame: np.nan if frame.time is None else frame.time),
        "scores": ("<f4", (count, len(ids)), lambda frame: _row(frame.object_ids, frame.scores, ids, 0)),
        "object_scores": ("<f4", (count, len(ids)), lambda f: _row(f.object_ids, f.object_scores, ids, _HIDDEN_SCORE)),
        "masks": ("|b1", (count, len(ids), *size), lambda frame: _masks(frame, ids)),
    }  # fmt: skip
    with zipfile.ZipFile(handle, "w") as archive:
        _write_array(archive, "object_ids", "<i8", (len(ids),), ids)
        if clip.labels:
            labels = np.array([clip.labels.get(object_id, "") for object_id in ids])
            _write_array(archive, "labels", f"<U{labels.itemsize // _CHARACTER_BYTES}", labels.shape, labels)
        for name, (dtype, shape, part) in columns.items():
            _write_array(archive, name, dtype, shape, map(part, frames))


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a file that `write` wrote, one at a time, or of one that `Masks.save` wrote.

    Raises `FormatError`.
    """
    with open_input(path) as handle, name_errors(path):
        try:
            with zipfile.ZipFile(handle) as archive:
                if "low_res.npy" in archive.namelist():
                    yield TrackedFrame(0, None, _saved_masks(archive))
                else:
                    with archive.open("masks.npy") as member:
                        yield from _frames(archive, member)
        except _FAULTS as cause:
            if isinstance(cause, FormatError):
                raise
            message = f"{path}: not an .npz file of masks written by masklet: {cause}"
            raise FormatError("annotation-broken", message, path=str(path)) from cause


NPZ = FileFormat("npz", "masks.npz", write, read)


def _write_array(archive: zipfile.ZipFile, name: str, dtype: str, shape: Shape, rows: Iterable[Any]) -> None:
    member = zipfile.ZipInfo(f"{name}.npy", _FIXED_TIMESTAMP)
    member.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(member, "w", force_zip64=True) as file:
        npy.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
        for row in rows:
            file.write(np.asarray(row, dtype).tobytes())


def _row(object_ids: Iterable[int], values: Iterable[float], columns: Iterable[int], default: float) -> list[float]:
    values_by_id = dict(zip(object_ids, values, strict=True))
    return [values_by_id.get(object_id, default) for object_id in columns]


def _masks(frame: RleFrame, columns: Iterable[int]) -> NDArray[np.bool_]:
    masks_by_id = {mask.object_id: rle.decode(mask.rle) for mask in frame}
    empty = np.zeros(frame.size, bool)
    return np.array([masks_by_id.get(object_id, empty) for object_id in columns], bool)


def _frames(archive: zipfile.ZipFile, member: IO[bytes]) -> Iterator[TrackedFrame]:
    (count, objects, height, width), _ = _header(member, "masks", r"\|b1", (None, None, None, None))
    indices, times = (_array(archive, name, dtype, (count,)) for name, dtype in (("frames", "<i8"), ("times", "<f8")))
    ids = _array(archive, "object_ids", "<i8", (objects,)).tolist()
    labels = _labels(archive, objects)
    scores, object_scores = (_array(archive, name, "<f4", (count, objects)) for name in ("scores", "object_scores"))
    _check_room((objects, height, width), 1)
    for position in range(count):
        data = member.read(objects * height * width)
        if len(data) < objects * height * width:
            raise EOFError("the masks are truncated")
        binary = np.frombuffer(data, bool).reshape(objects, height, width)
        decoded = Masks.from_binary(binary, object_ids=ids, scores=scores[position], labels=labels)
        time = None if np.isnan(times[position]) else float(times[position])
        yield TrackedFrame(int(indices[position]), time, replace(decoded, object_scores=object_scores[position]))


def _saved_masks(archive: zipfile.ZipFile) -> Masks:
    """Read the masks of a file that `Masks.save` wrote."""
    low_res = _array(archive, "low_res", "<f[48]", (None, None, None))
    height, width = _array(archive, "size", "<i[48]", (2,)).tolist()
    objects = len(low_res)
    _check_room((objects, height, width), 1)
    size = check_size((height, width))
    masks = Masks.from_logits(
        low_res,
        size,
        object_ids=_array(archive, "object_ids", "<i8", (objects,)).tolist(),
        scores=_array(archive, "scores", "<f4", (objects,)),
        object_scores=_array(archive, "object_scores", "<f4", (objects,)),
        labels=_labels(archive, objects),
    )
    if "crops.npy" not in archive.namelist():
        return masks
    return replace(masks, crops=crops_from_array(_array(archive, "crops", "<i8", (objects, 4)), size))


def _labels(archive: zipfile.ZipFile, objects: int) -> list[str | None]:
    if "labels.npy" not in archive.namelist():
        return [None] * objects
    return [read_label(label) for label in _array(archive, "labels", r"<U\d{1,3}", (objects,)).tolist()]


def _array(archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Read an array. Its dtype must match the pattern `dtype`, and its shape the given sides of `shape`."""
    with archive.open(f"{name}.npy") as file:
        sides, found = _header(file, name, dtype, shape)
        _check_room(sides, found.itemsize)
        data = file.read(prod(sides) * found.itemsize)
    return np.frombuffer(data, found).reshape(sides)


def _header(file: IO[bytes], name: str, dtype: str, shape: tuple[int | None, ...]) -> tuple[Shape, np.dtype[Any]]:
    """Read the header of an array and return its shape and dtype, which must match `shape` and the pattern `dtype`."""
    start = file.read(10)
    text = file.read(int.from_bytes(start[8:], "little")).decode("ascii", "replace")
    match = _HEADER.fullmatch(text) if start[:8] == b"\x93NUMPY\1\0" else None
    sides = tuple(int(side) for side in re.findall(r"\d+", match["shape"])) if match else ()
    fits = len(sides) == len(shape) and all(side in (None, actual) for actual, side in zip(sides, shape, strict=True))
    if match is None or not re.fullmatch(dtype, match["dtype"]) or not fits:
        raise ValueError(f"{name} has another dtype or shape than expected")
    return sides, np.dtype(match["dtype"])


def _check_room(shape: Shape, itemsize: int) -> None:
    if prod(shape) * itemsize > _MAX_BYTES:
        raise ValueError(f"an array of shape {shape} is too large to read")
