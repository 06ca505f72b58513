"""COCO: all masks of images or of a video in one JSON file, an entry per image and an annotation per mask.

`parse` reads such files, for frames here and for datasets in `masklet.datasets.coco`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.files.json_fields import Fields, name_errors, read_fields
from masklet.formats.format import Clip, FileFormat
from masklet.formats.frame_masks import ReadMask, build_frame, check_size
from masklet.formats.image_layout import ImageLayout
from masklet.masks import rle
from masklet.masks.labels import read_label
from masklet.masks.polygons import rasterize
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write a category per label, the images, then an annotation per mask that is not empty."""
    handle.write(f'{{"categories": {json.dumps(list_categories(clip))},\n'.encode())
    _write_rows(handle, "images", (_image_entry(frame, clip) for frame in frames))
    handle.write(b",\n")
    _write_rows(handle, "annotations", _annotation_entries(frames, clip))
    handle.write(b"}\n")


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """A mask of an object. `category` is the name of its class, or empty; `place` is used in messages."""

    object_id: int
    score: float
    category: str
    segmentation: Any
    size: tuple[int, int]
    place: str

    def label(self) -> str | None:
        """Return the label of the object, the name of its category. Raises `FormatError`."""
        with name_errors(self.place):
            return read_label(self.category)

    def to_rle(self) -> Mapping[str, Any]:
        """Return the mask as COCO RLE, without decoding it. Raises `FormatError`."""
        with name_errors(self.place):
            return encode_segmentation(self.segmentation, self.size)

    def mask(self) -> NDArray[np.bool_]:
        """Decode the mask (H, W). Raises `FormatError`."""
        with name_errors(self.place):
            if isinstance(self.segmentation, list):
                return rasterize(self.segmentation, self.size)
            return rle.decode(encode_segmentation(self.segmentation, self.size))


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image or a frame of a video, its entry in the file, and its annotations by object."""

    fields: Fields
    size: tuple[int, int]
    objects: dict[int, list[CocoAnnotation]] = field(default_factory=dict)


def parse(file: Fields) -> list[CocoImage]:
    """Read the images of a COCO file with their annotations.

    An object is a `track_id`, else an `instance_id`, else an annotation by its `id`. Several annotations of an object
    in an image are parts of its mask. Crowds (`iscrowd`) are skipped. Raises `FormatError`.
    """
    images: dict[int, CocoImage] = {}
    for row in file.objects("images"):
        with name_errors(row.place):
            image = CocoImage(row, check_size((row.integer("height"), row.integer("width"))))
        if images.setdefault(row.integer("id"), image) is not image:
            raise row.error(f"another image has the id {row.integer('id')}")
    category_names = read_categories(file)
    for row in file.objects("annotations"):
        if row.get("iscrowd"):
            continue
        image_id = row.integer("image_id")
        if image_id not in images:
            raise row.error(f"there is no image {image_id}")
        annotation = _parse_annotation(row, images[image_id].size, category_names)
        images[image_id].objects.setdefault(annotation.object_id, []).append(annotation)
    return list(images.values())


def read_categories(file: Fields) -> dict[int, str]:
    """Read the names of the categories, by id; none if the file has no categories. Raises `FormatError`."""
    if file.get("categories") is None:
        return {}
    return {row.integer("id"): row.text("name", "") for row in file.objects("categories")}


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a COCO file of masklet or another tool; see `parse`. Raises `FormatError`."""
    return read_frames(read_fields(path))


def read_frames(file: Fields) -> Iterator[TrackedFrame]:
    """Read the frames of a parsed file. The index of a frame is its `frame_index`, else its position in the list.

    The label of an object is the name of its category, except `UNLABELED`.
    """
    for position, image in enumerate(parse(file)):
        annotations = [annotation for parts in image.objects.values() for annotation in parts]
        with name_errors(image.fields.place):
            masks = [
                ReadMask(annotation.object_id, annotation.score, annotation.to_rle(), annotation.label())
                for annotation in annotations
            ]
            frame = build_frame(
                image.fields.integer("frame_index", position), _time_of(image.fields), image.size, masks
            )
        yield frame


COCO = FileFormat("coco", "coco.json", write, read, images=ImageLayout("frames"))


def _write_rows(handle: BinaryIO, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a list of JSON objects, one per line."""
    handle.write(f'"{name}": ['.encode())
    for number, row in enumerate(rows):
        handle.write((",\n" if number else "\n").encode() + json.dumps(row, allow_nan=False).encode())
    handle.write(b"\n]")


def list_categories(clip: Clip) -> list[dict[str, Any]]:
    """List the categories of a clip, one per label. Objects without a label are of the category `UNLABELED`."""
    return [{"id": number, "name": name} for name, number in clip.number_classes(first=1).items()]


def encode_segmentation(segmentation: Any, size: tuple[int, int]) -> Mapping[str, Any]:
    """Return a segmentation, RLE or a list of polygons, as RLE. Raises `FormatError`."""
    if isinstance(segmentation, Mapping):
        return segmentation
    if not isinstance(segmentation, list):
        raise FormatError("annotation-broken", "a segmentation must be RLE or a list of polygons")
    return rle.encode(rasterize(segmentation, size))


def _time_of(row: Fields) -> float | None:
    """Return the time of a frame in seconds, or None if the file has none."""
    return None if row.get("time") is None else row.number("time", 0.0)


def _image_entry(frame: RleFrame, clip: Clip) -> dict[str, Any]:
    height, width = frame.size
    return {
        "id": frame.index + 1,
        "file_name": clip.image_name(frame.index),
        "height": height,
        "width": width,
        "frame_index": frame.index,
        "time": frame.time,
    }


def _annotation_entries(frames: Iterable[RleFrame], clip: Clip) -> Iterator[dict[str, Any]]:
    number, classes = 0, clip.number_classes(first=1)
    for frame in frames:
        for mask in frame:
            if area := rle.compute_area(mask.rle):
                number += 1
                yield {
                    "id": number,
                    "image_id": frame.index + 1,
                    "category_id": classes[clip.class_of(mask.object_id)],
                    "track_id": mask.object_id,
                    "segmentation": mask.rle,
                    "area": area,
                    "bbox": rle.compute_coco_box(mask.rle),
                    "iscrowd": 0,
                    "score": mask.score,
                }


def _parse_annotation(row: Fields, size: tuple[int, int], categories: Mapping[int, str]) -> CocoAnnotation:
    number = row.integer("id")
    object_id = row.integer("track_id", row.integer("instance_id", number))
    category = "" if row.get("category_id") is None else categories.get(row.integer("category_id"), "")
    place = f"{row.source}, annotation {number}"
    return CocoAnnotation(object_id, row.number("score", 1.0), category, row.get("segmentation"), size, place)
