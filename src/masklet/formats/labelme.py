"""LabelMe: a JSON file per image with shapes; of a video, a file per frame.

`masklet.formats.labelme_reader` reads such files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from masklet.formats.format import Clip, FolderFormat
from masklet.formats.image_layout import ImageLayout
from masklet.formats.labelme_reader import name_unlabeled, read
from masklet.masks import rle
from masklet.masks.polygons import trace_pieces
from masklet.masks.rle_frame import RleFrame

_VERSION = "5.5.0"  # of LabelMe's file format


def _encode_frame(frame: RleFrame, clip: Clip) -> Mapping[str, bytes]:
    """Encode the file of a frame. The shapes of an object share its label and group id."""
    shapes = [
        {
            "label": clip.labels.get(mask.object_id) or name_unlabeled(mask.object_id),
            "points": outline.tolist(),
            "group_id": mask.object_id,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for mask in frame
        for outline in trace_pieces(rle.decode(mask.rle))
    ]
    height, width = frame.size
    record: dict[str, Any] = {
        "version": _VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": Path(clip.image_name(frame.index)).name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return {f"{clip.stem(frame.index)}.json": json.dumps(record, indent=1).encode()}


LABELME = FolderFormat("labelme", "labelme", _encode_frame, read, images=ImageLayout("", is_required=True))
