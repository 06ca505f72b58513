"""Image datasets: the masks of several images in formats that hold all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from masklet.formats.coco import COCO
from masklet.formats.csv_measurements import CSV_IMAGES
from masklet.formats.cvat import CVAT
from masklet.formats.cvat_images import CVAT_IMAGES
from masklet.formats.format import Clip, Format
from masklet.formats.image_layout import FrameMode, ImageLayout
from masklet.formats.label_maps import PNG
from masklet.formats.labelme import LABELME
from masklet.formats.writer import Output
from masklet.formats.yolo import YOLO
from masklet.images.spacing import Spacing
from masklet.masks.rle_frame import RleFrame

IMAGES = "images"  # folder of the images beside a COCO file


def _encode_yolo_classes(clip: Clip) -> dict[str, bytes]:
    """Encode the description of images, whose sizes are those of the files in `images/`."""
    return {name: content.partition(b"\n")[2] for name, content in YOLO.encode_shared(clip).items()}


DATASET_FORMATS: dict[str, Format] = {
    COCO.name: replace(COCO, images=ImageLayout(IMAGES)),
    PNG.name: PNG,
    LABELME.name: LABELME,
    CVAT.name: CVAT_IMAGES,
    YOLO.name: replace(YOLO, encode_shared=_encode_yolo_classes),
    CSV_IMAGES.name: CSV_IMAGES,
}
"""Formats that hold several images, as they are written for images, by name."""

Key = tuple[int, int]
"""Position of an image in its set, and the id of an object."""


@dataclass(frozen=True, slots=True)
class ImageDataset:
    """Masks of several images, which formats write as the frames of one clip.

    In formats for several images an object has one label in all of them. An object whose label differs from that of the
    same object id in an earlier image therefore gets another id.

    Attributes:
        name: Name of the set.
        names: File names of the images, with distinct stems.
        files: The image files.
        masks: The masks, with the position of the image as the index. It may be iterated several times.
        labels: The label of each object, or None, in the order of the images.
        size: (H, W) of the largest image.
        spacing_of: Returns the spacing of the image at a position.
    """

    name: str
    names: Sequence[str]
    files: Sequence[Path]
    masks: Iterable[RleFrame]
    labels: Mapping[Key, str | None]
    size: tuple[int, int]
    spacing_of: Callable[[int], Spacing | None] = lambda index: None

    def __iter__(self) -> Iterator[RleFrame]:
        """Iterate over the images as frames, with the object ids of the set."""
        numbers = group_by_label(self.labels)
        for frame in self.masks:
            yield replace(frame, object_ids=tuple(numbers[frame.index, key] for key in frame.object_ids))

    def open_output(self, out: Path, images: FrameMode | None) -> Output:
        """Return the output of the set, for formats of `DATASET_FORMATS`, which take this set as their frames.

        Args:
            out: The output folder.
            images: How the images are written beside annotations. By default they are copied for the formats that
                require them.
        """
        numbers = group_by_label(self.labels)
        clip = Clip(
            self.name,
            self.size,
            tuple(sorted({*numbers.values()})),
            names=self.names,
            labels={numbers[key]: label for key, label in self.labels.items() if label},
            files=self.files,
            spacing_of=self.spacing_of,
        )
        return Output(out, clip, images)


def group_by_label(labels: Mapping[Key, str | None]) -> dict[Key, int]:
    """Number the objects of several images for formats in which an object has one label in all of them.

    Args:
        labels: The label of each object, by image and object id.

    Returns:
        A number for each object: its own, unless it has another label in an earlier image.
    """
    label_of: dict[int, str | None] = {}
    numbers: dict[Key, int] = {}
    other: dict[tuple[int, str | None], int] = {}
    free = max((object_id for _, object_id in labels), default=0)
    for (image, object_id), label in labels.items():
        number = object_id
        if label_of.setdefault(object_id, label) != label:
            if (object_id, label) not in other:
                free += 1
                other[object_id, label] = free
            number = other[object_id, label]
        numbers[image, object_id] = number
    return numbers
