"""PNG masks: a label map per frame in DAVIS's colors, or a binary mask per frame and object as in SA-V."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, InputNotFound
from masklet.files.json_fields import name_errors
from masklet.files.open_input import open_input
from masklet.formats.format import Clip, FolderFormat
from masklet.formats.frame_files import list_frames
from masklet.masks import rle
from masklet.masks.label_map import make_label_map, write_label_map, write_mask
from masklet.masks.labels import read_png_labels
from masklet.masks.mask_reader import read_mask
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame


def _encode_label_map(frame: RleFrame, clip: Clip) -> Mapping[str, bytes]:
    """Encode a label map. The smallest id wins overlaps. All frames have 8 bits, or 16 if an id is above 255.

    Raises `FormatError` for ids outside 1 … 65535.
    """
    labels = make_label_map(np.stack([rle.decode(mask.rle) for mask in frame]), frame.object_ids, frame.size) if (
        frame.object_ids
    ) else np.zeros(frame.size, np.uint8)  # fmt: skip
    buffer = io.BytesIO()
    names = {object_id: clip.labels.get(object_id) for object_id in frame.object_ids}
    write_label_map(buffer, labels.astype(np.uint16) if max(clip.object_ids, default=0) > 255 else labels, names)
    return {f"{clip.stem(frame.index)}.png": buffer.getvalue()}


def _encode_object_masks(frame: RleFrame, clip: Clip) -> Mapping[str, bytes]:
    """Encode a black-and-white mask per object of the clip, in a folder per object."""
    empty = np.zeros(frame.size, bool)
    masks = {mask.object_id: rle.decode(mask.rle) for mask in frame}
    return {
        f"{object_id:03d}/{clip.stem(frame.index)}.png": _png(masks.get(object_id, empty), clip.labels.get(object_id))
        for object_id in clip.object_ids
    }


def read_frames(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a folder of label maps, or of one label map.

    Labels are read from the text chunk of PNG files that masklet wrote.
    """
    for index, file in list_frames(path, ".png") if path.is_dir() else [(0, path)]:
        labels = read_mask(file)
        object_ids = [int(label) for label in np.unique(labels) if label]
        yield TrackedFrame(index, None, build_masks(labels, object_ids, _read_names(file)))


def read_objects(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a folder that has a folder of masks per object, named by the object id."""
    if not path.is_dir():
        raise InputNotFound("input-not-found", f"{path}: no such folder", path=str(path))
    folders = {int(folder.name): folder for folder in path.iterdir() if folder.is_dir() and folder.name.isdecimal()}
    if not folders:
        raise FormatError("annotation-broken", f"{path} has no folders named by object ids", path=str(path))
    files_by_object = {object_id: dict(list_frames(folder, ".png")) for object_id, folder in sorted(folders.items())}
    for index in sorted({index for files in files_by_object.values() for index in files}):
        paths = {object_id: files[index] for object_id, files in files_by_object.items() if index in files}
        parts = [read_mask(file) != 0 for file in paths.values()]
        if len({part.shape for part in parts}) != 1:
            raise FormatError("annotation-broken", f"{path}: masks of frame {index} have different sizes")
        labels = [_read_names(file).get(1) for file in paths.values()]
        yield TrackedFrame(index, None, Masks.from_binary(np.stack(parts), object_ids=[*paths], labels=labels))


PNG = FolderFormat("png", "png", _encode_label_map, read_frames)
SAV = FolderFormat("sav", "sav", _encode_object_masks, read_objects)


def _read_names(file: Path) -> dict[int, str]:
    """Read the labels of the objects in a PNG file, by the value of their pixels."""
    with open_input(file) as handle, name_errors(file):
        return read_png_labels(handle)


def build_masks(labels: NDArray[np.int32], object_ids: list[int], names: Mapping[int, str]) -> Masks:
    """Build the masks of objects in a label map (H, W), with their labels by object id."""
    if not object_ids:
        return Masks.empty((labels.shape[0], labels.shape[1]))
    binary = np.stack([labels == object_id for object_id in object_ids])
    return Masks.from_binary(binary, object_ids=object_ids, labels=[names.get(object_id) for object_id in object_ids])


def _png(mask: NDArray[np.bool_], label: str | None) -> bytes:
    buffer = io.BytesIO()
    write_mask(buffer, mask, label)
    return buffer.getvalue()
