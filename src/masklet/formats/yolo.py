"""YOLO segmentation labels: a text file per frame, with a line per object: its class and a polygon in 0 … 1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from masklet.formats.format import Clip, FolderFormat
from masklet.formats.image_layout import ImageLayout
from masklet.formats.yolo_classes import DESCRIPTION, encode_description
from masklet.formats.yolo_reader import read
from masklet.masks import rle
from masklet.masks.polygons import trace_mask
from masklet.masks.rle_frame import RleFrame


def _encode_frame(frame: RleFrame, clip: Clip) -> Mapping[str, bytes]:
    """Encode a line `class x y x y …` per visible object. The class is the number of its label."""
    classes = clip.number_classes()
    lines = [
        f"{classes[clip.class_of(mask.object_id)]} {_fractions(outline, frame.size)}\n"
        for mask in frame
        if len(outline := trace_mask(rle.decode(mask.rle)))
    ]
    return {f"labels/{clip.stem(frame.index)}.txt": "".join(lines).encode()}


def _encode_description(clip: Clip) -> Mapping[str, bytes]:
    return {DESCRIPTION: encode_description(clip)}


YOLO = FolderFormat(
    *("yolo", "yolo", _encode_frame, read, _encode_description),
    revision=2,
    images=ImageLayout("images", is_required=True),
)


def _fractions(outline: NDArray[np.float64], size: tuple[int, int]) -> str:
    height, width = size
    return " ".join(f"{x / width:.6f} {y / height:.6f}" for x, y in outline.tolist())
