"""Writers of samples in the layouts of DAVIS, SA-V and SA-1B.

DAVIS    JPEGImages/480p/NAME/00000.jpg   Annotations/480p/NAME/00000.png (palette)   ImageSets/2017/SPLIT.txt
SA-V     NAME.mp4 at 24 frames a second   NAME_manual.json: run-length codes of every fourth frame
SA-1B    NAME.jpg                         NAME.json: run-length codes
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import ResourceError
from masklet.files.atomic import atomic_write
from masklet.masks import rle
from masklet.masks.label_map import make_davis_palette, make_label_map
from masklet.synthetic.engine.samples import Clip, Sample

SAV_ANNOTATION_STEP = 4
"""SA-V has masks for every fourth frame."""
SAV_FPS = 24
JPEG_QUALITY = 95


def write_davis(folder: Path, name: str, clip: Clip) -> None:
    """Write a clip as a DAVIS 2017 sequence. Objects get the ids 1 to N. Where masks overlap, the smaller id wins."""
    frames, annotations = (folder / part / "480p" / name for part in ("JPEGImages", "Annotations"))
    frames.mkdir(parents=True, exist_ok=True)
    annotations.mkdir(parents=True, exist_ok=True)
    ids = range(1, len(clip.kinds) + 1)
    for number, (frame, masks) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        _write(frames / f"{number:05d}.jpg", _encode_jpeg(frame))
        labels = make_label_map(masks, ids, (frame.shape[0], frame.shape[1]))
        _write(annotations / f"{number:05d}.png", _encode_palette_png(labels.astype(np.uint8)))


def write_davis_split(folder: Path, split: str, names: Iterable[str]) -> None:
    """Write the list of sequences of a split, which a DAVIS dataset needs."""
    lists = folder / "ImageSets" / "2017"
    lists.mkdir(parents=True, exist_ok=True)
    _write(lists / f"{split}.txt", "".join(f"{name}\n" for name in names).encode())


def write_sav(folder: Path, name: str, clip: Clip) -> None:
    """Write a clip as an SA-V training video with manual masklets on every fourth frame.

    Raises:
        ResourceError: The video cannot be encoded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_video(folder / f"{name}.mp4", clip.frames)
    annotation = build_sav_annotation(name, clip.masks[::SAV_ANNOTATION_STEP], len(clip.frames))
    _write(folder / f"{name}_manual.json", json.dumps(annotation).encode())


def build_sav_annotation(name: str, masks: NDArray[np.bool_], frames: int) -> dict[str, Any]:
    """Build the content of an SA-V annotation file. Absent objects have an empty run-length code.

    Args:
        name: Name of the video.
        masks: Masks of the annotated frames (A, N, H, W) bool.
        frames: Number of all frames of the video.
    """
    visible = np.asarray(masks.any((2, 3)))
    areas = masks.sum((2, 3)).sum(0) / np.maximum(visible.sum(0), 1)
    count, height, width = masks.shape[1:]
    changes = (visible[1:] != visible[:-1]).sum(0) - (
        ~visible[0] & visible.any(0)
    )  # the first appearance does not count
    return {
        "video_id": name,
        "video_duration": frames / SAV_FPS,
        "video_frame_count": float(frames),
        "video_height": float(height),
        "video_width": float(width),
        "video_resolution": float(height * width),
        "video_environment": "Synthetic",
        "video_split": "train",
        "masklet": [[rle.encode(mask) for mask in frame] for frame in masks],
        "masklet_id": list(range(count)),
        "masklet_size_rel": (areas / (height * width)).tolist(),
        "masklet_size_abs": areas.tolist(),
        "masklet_size_bucket": [_choose_size_bucket(area) for area in areas],
        "masklet_visibility_changes": changes.tolist(),
        "masklet_first_appeared_frame": visible.argmax(0).astype(float).tolist(),
        "masklet_frame_count": [len(masks)] * count,
        "masklet_edited_frame_count": [len(masks)] * count,
        "masklet_type": ["manual"] * count,
        "masklet_stability_score": [None] * count,
        "masklet_num": count,
    }


def write_sa1b(folder: Path, number: int, sample: Sample) -> None:
    """Write an image in the layout of SA-1B: a JPEG file and the run-length codes of the masks."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"sa_{number}"
    height, width = sample.image.shape[:2]
    annotations = [_build_sa1b_annotation(index, mask) for index, mask in enumerate(sample.masks)]
    image = {"image_id": number, "width": width, "height": height, "file_name": f"{name}.jpg"}
    _write(folder / f"{name}.jpg", _encode_jpeg(sample.image))
    _write(folder / f"{name}.json", json.dumps({"image": image, "annotations": annotations}).encode())


def _build_sa1b_annotation(index: int, mask: NDArray[np.bool_]) -> dict[str, Any]:
    code = rle.encode(mask)
    middle = np.argwhere(mask)[int(mask.sum()) // 2]
    return {
        "id": index,
        "segmentation": code,
        "bbox": rle.compute_coco_box(code),
        "area": int(mask.sum()),
        "predicted_iou": 1.0,
        "stability_score": 1.0,
        "crop_box": [0, 0, mask.shape[1], mask.shape[0]],
        "point_coords": [[float(middle[1]), float(middle[0])]],
    }


def _choose_size_bucket(area: float) -> str:
    """Return the size bucket of SA-V and COCO: small below 32 × 32 pixels, large from 96 × 96."""
    return "small" if area < 32**2 else "medium" if area < 96**2 else "large"


def _encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _encode_palette_png(labels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(labels)
    image.putpalette(make_davis_palette().ravel().tolist())
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path) as handle:
        handle.write(data)


def _write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """Write an mp4 file with the MPEG-4 codec, which OpenCV's wheels have on every system."""
    part = path.with_suffix(".part.mp4")
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"mp4v"), SAV_FPS, (width, height))
    if not writer.isOpened():
        raise ResourceError(
            "output-failed", f"{path}: OpenCV cannot encode MPEG-4 video; use another layout", path=str(path)
        )
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    part.replace(path)
