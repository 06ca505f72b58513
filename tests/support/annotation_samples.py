"""Annotations of an image of 60 × 80 pixels with a square of 400 and a bar of 600 pixels, as other tools write them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.datasets.layouts import open_clips, open_images
from masklet.formats import read_masks

HEIGHT, WIDTH = 60, 80
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]  # 400 pixels
BAR = [50, 10, 70, 10, 70, 40, 50, 40]  # 600 pixels
APPLE_DOUBLE = bytes.fromhex("0005160700020000") + b"Mac OS X        " + b"\0" * 60  # of a file named ._*

Box = tuple[int, ...]


def write_photo(path: Path) -> Path:
    """Write an image of a gray ground, a red square and a green bar. Returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    pixels[10:30, 10:30], pixels[10:40, 50:70] = [220, 40, 40], [30, 200, 40]
    Image.fromarray(pixels).save(path, format="JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else None)
    return path


def write_labels(path: Path, *values: int) -> Path:
    """Write a gray label map with an object of 300 pixels for each value. Returns `path`."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, value in enumerate(values):
        labels[10:30, 5 + 20 * number : 20 + 20 * number] = value
    return write_array(path, labels)


def write_array(path: Path, pixels: NDArray[Any], mode: str | None = None) -> Path:
    """Write an array as an image. Returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return path


def make_soft_disc() -> NDArray[np.uint8]:
    """Make a white disc of radius 15 with an anti-aliased rim, as GIMP or a bilinear resize leave it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.clip((15.5 - np.hypot(x - 40, y - 30)) * 255, 0, 255).astype(np.uint8)


def write_text(path: Path, text: str | bytes) -> Path:
    """Write a file. Returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_json(path: Path, content: Any) -> Path:
    """Write a JSON file. Returns `path`."""
    return write_text(path, json.dumps(content))


def make_coco(
    annotations: Sequence[Any], images: Sequence[Any] | None = None, categories: Sequence[Any] | None = None
) -> dict[str, Any]:
    """Make the content of a COCO file, by default with the image `a.jpg`."""
    return {
        "images": images or [make_coco_image()],
        "annotations": annotations,
        "categories": categories or [{"id": 1, "name": "thing"}],
    }


def make_coco_image(number: Any = 1, name: Any = "a.jpg", **fields: Any) -> dict[str, Any]:
    """Make an entry of an image."""
    return {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH, **fields}


def make_coco_annotation(number: Any = 1, segmentation: Any = None, image: Any = 1, **fields: Any) -> dict[str, Any]:
    """Make an entry of an annotation, by default of the square."""
    shape = [SQUARE] if segmentation is None else segmentation
    head = {"id": number, "image_id": image, "category_id": 1, "segmentation": shape}
    return {**head, "area": 1, "bbox": [10, 10, 20, 20], "iscrowd": 0, **fields}


def make_labelme(shapes: Sequence[Mapping[str, Any]], name: str = "a.jpg", **fields: Any) -> dict[str, Any]:
    """Make the content of a LabelMe file."""
    head = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None}
    return {**head, "imageHeight": HEIGHT, "imageWidth": WIDTH, **fields}


def make_shape(label: Any, points: Any, kind: str = "polygon", group: Any = None, **fields: Any) -> dict[str, Any]:
    """Make a shape of a LabelMe file."""
    head = {"label": label, "points": points, "group_id": group, "description": ""}
    return {**head, "shape_type": kind, "flags": {}, **fields}


def encode_png(mask: NDArray[np.bool_]) -> str:
    """Encode a mask as a PNG in base64, as LabelMe stores it."""
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def make_cvat_images(*shapes: str, attributes: str = "") -> str:
    """Make a CVAT file of the image `a.jpg` with the given elements."""
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    image = f'<image id="0" name="a.jpg" {size} {attributes}>{"".join(shapes)}</image>'
    return (
        f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta></meta>{image}</annotations>'
    )


def make_cvat_task(number: int = 1, frames: int = 6, width: int = WIDTH, height: int = HEIGHT) -> str:
    """Make the element of a task of a video."""
    return (
        f"<task><id>{number}</id><name>v{number}</name><size>{frames}</size><mode>interpolation</mode>"
        f"<start_frame>0</start_frame><stop_frame>{frames - 1}</stop_frame><frame_filter></frame_filter>"
        f"<original_size><width>{width}</width><height>{height}</height></original_size></task>"
    )


def make_cvat_video(*tracks: str, meta: str | None = None) -> str:
    """Make a CVAT file of a video with the given elements."""
    head = make_cvat_task() if meta is None else meta
    return (
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>'
        f"<meta>{head}</meta>{''.join(tracks)}</annotations>"
    )


def make_cvat_polygon(points: Sequence[int], frame: int | None = None, **attributes: Any) -> str:
    """Make the element of a polygon, on a frame of a track or in an image."""
    text = ";".join(f"{x},{y}" for x, y in np.reshape(points, (-1, 2)).tolist())
    place = "" if frame is None else f' frame="{frame}" keyframe="1" outside="0"'
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<polygon label="x" occluded="0"{place} points="{text}" z_order="0"{more}></polygon>'


def read_areas(path: Path) -> list[list[int]]:
    """The areas of the objects of each frame, in the order of `read_masks`."""
    return [frame.masks.areas.tolist() for frame in read_masks(path)]


def read_objects(path: Path) -> dict[int, tuple[int, Box]]:
    """The area and the box of each object of the first frame."""
    masks = next(iter(read_masks(path))).masks
    boxes = [tuple(box) for box in masks.boxes.astype(int).tolist()]
    return dict(zip(masks.object_ids, zip(masks.areas.tolist(), boxes, strict=True), strict=True))


def read_dataset(path: Path) -> dict[str, tuple[dict[int, int], int]]:
    """The areas of the objects of each image of a dataset, and the number of its void pixels."""
    found = {}
    for record in open_images(path):
        _, annotation = record.read()
        areas = {key: int(annotation.mask(key).sum()) for key in annotation.object_ids}
        found[record.name] = areas, 0 if annotation.void is None else int(annotation.void.sum())
    return found


def read_clips(path: Path) -> dict[str, dict[int, dict[int, int]]]:
    """The areas of the objects of each annotated frame of each clip of a dataset."""
    found: dict[str, dict[int, dict[int, int]]] = {}
    for clip in open_clips(path):
        annotations = {frame: clip.annotation(frame) for frame in clip.annotated_frames}
        found[clip.name] = {
            frame: {key: int(annotation.mask(key).sum()) for key in annotation.object_ids}
            for frame, annotation in annotations.items()
        }
    return found
