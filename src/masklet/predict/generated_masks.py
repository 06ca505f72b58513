"""Masks of the mask generator, each stored as RLE with its scores and its point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from masklet.config import CERTAIN_LOGIT
from masklet.files.atomic import atomic_write
from masklet.images.image_source import ImageSource
from masklet.masks import overlay as drawing
from masklet.masks import rle
from masklet.masks.label_map import write_label_map
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import RleFrame

Box = tuple[int, int, int, int]
OutputMode = Literal["binary_mask", "uncompressed_rle", "coco_rle"]


@dataclass(frozen=True, slots=True)
class GeneratedMask:
    """One mask of the mask generator, as RLE.

    Attributes:
        rle: COCO run-length encoding, `{"size": [H, W], "counts": "…"}`.
        area: Number of pixels.
        box: (x0, y0, x1, y1) at pixel edges of the image.
        score: Predicted IoU.
        stability: Stability in [0, 1], see `Masks.stability`.
        point: Point (x, y) that produced the mask, in pixels of the image.
        crop: Crop of the image in which it was predicted, (x0, y0, x1, y1).
    """

    rle: dict[str, Any]
    area: int
    box: Box
    score: float
    stability: float
    point: tuple[float, float]
    crop: Box

    def __repr__(self) -> str:
        return (
            f"GeneratedMask(area={self.area}, box={self.box}, score={self.score:.3g}, stability={self.stability:.3g})"
        )

    def to_record(self, output_mode: OutputMode = "coco_rle") -> dict[str, Any]:
        """Return the record of SAM 2's mask generator, which SA-1B's files have too (reference-model §8.2).

        Args:
            output_mode: Type of `segmentation`: "coco_rle", "uncompressed_rle" or "binary_mask", (H, W) bool.

        Returns:
            `segmentation`, `area`, `bbox`, `predicted_iou`, `point_coords`, `stability_score` and `crop_box`. Boxes are
            (x, y, width, height). As in the reference, width and height of `bbox` are those between the centers of the
            outermost pixels: one less than the number of pixels.
        """
        x0, y0, x1, y1 = self.box
        left, top, right, bottom = self.crop
        return {
            "segmentation": _convert(self.rle, output_mode),
            "area": self.area,
            "bbox": [float(x0), float(y0), float(max(x1 - x0 - 1, 0)), float(max(y1 - y0 - 1, 0))],
            "predicted_iou": self.score,
            "point_coords": [[*self.point]],
            "stability_score": self.stability,
            "crop_box": [float(left), float(top), float(right - left), float(bottom - top)],
        }


@dataclass(frozen=True, slots=True)
class GeneratedMasks:
    """All masks that the mask generator produced for one image.

    Length, iteration and index are those of `masks`.

    Attributes:
        size: The image's (H, W) in pixels.
        masks: The masks, each as RLE, by descending score; with crops, those of small crops come first.

    Example:
        >>> generated = model.generate_masks("street.jpg")
        >>> generated.save("street.json")
        >>> generated[0].area, generated.to_masks().boxes
    """

    size: tuple[int, int]
    masks: tuple[GeneratedMask, ...]

    def __repr__(self) -> str:
        return f"GeneratedMasks({len(self)} masks, size={self.size})"

    def __len__(self) -> int:
        return len(self.masks)

    def __iter__(self) -> Iterator[GeneratedMask]:
        return iter(self.masks)

    def __getitem__(self, position: int) -> GeneratedMask:
        return self.masks[position]

    def to_masks(self) -> Masks:
        """Decode all masks as `Masks` of objects 1, 2, …, with at least one byte per pixel and mask."""
        if not self.masks:
            return Masks.empty(self.size)
        return Masks.from_rle([mask.rle for mask in self.masks], scores=np.array([mask.score for mask in self.masks]))

    def to_records(self, output_mode: OutputMode = "coco_rle") -> list[dict[str, Any]]:
        """Return the list of records that SAM 2's mask generator returns: see `GeneratedMask.to_record`."""
        return [mask.to_record(output_mode) for mask in self.masks]

    def to_label_map(self) -> NDArray[Any]:
        """Draw all masks into one label map, decoding one at a time.

        Returns:
            (H, W) uint8, or uint16 from 256 masks on: k where the k-th mask is, 0 elsewhere. Smaller masks are drawn
            over larger ones, so that parts remain visible.
        """
        labels = np.zeros(self.size, np.uint8 if len(self) < 256 else np.uint16)
        for position in self.order_by_area():
            labels[rle.decode(self.masks[position].rle)] = position + 1
        return labels

    def overlay(self, image: ImageSource) -> NDArray[np.uint8]:
        """Draw all masks in translucent colors on a copy of the image, smaller ones over larger ones.

        Args:
            image: The image: whatever `read_image` takes, such as a path or an array (H, W, 3) uint8 RGB.

        Raises:
            ImageError: `bad-image`. The image has another size than the masks. Also the errors of `read_image`.
        """
        order = self.order_by_area()
        masks = (rle.decode(self.masks[position].rle) for position in order)
        ids = [position + 1 for position in order]
        return drawing.draw_overlay(drawing.read_image_of_masks(image, self.size), masks, ids)

    def order_by_area(self) -> list[int]:
        """Return the positions of the masks by descending area."""
        return sorted(range(len(self)), key=lambda position: -self.masks[position].area)

    def encode_frame(self, index: int = 0) -> RleFrame:
        """Return the masks as objects 1, 2, … of frame `index`, as the formats of videos write them."""
        return RleFrame(
            index=index,
            time=None,
            size=self.size,
            object_ids=tuple(range(1, len(self) + 1)),
            scores=tuple(mask.score for mask in self),
            object_scores=(CERTAIN_LOGIT,) * len(self),
            counts=tuple(mask.rle["counts"] for mask in self),
        )

    def to_annotation(self, file_name: str | None = None, output_mode: OutputMode = "coco_rle") -> dict[str, Any]:
        """Return SA-1B's annotation of one image: `image` with its size, and `annotations`, records with an `id`."""
        height, width = self.size
        image = {"width": width, "height": height, **({"file_name": file_name} if file_name else {})}
        rows = [{"id": number, **record} for number, record in enumerate(self.to_records(output_mode), start=1)]
        return {"image": image, "annotations": rows}

    def save(self, path: str | Path) -> None:
        """Write the masks to a file, atomically.

        Args:
            path: `.json` is SA-1B's annotation of one image, `.png` the colored label map; any other suffix is written
                by `Masks.save`.

        Raises:
            FormatError: The suffix is unknown.
            ResourceError: The file cannot be written.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in (".json", ".png"):
            self.to_masks().save(target)
            return
        with atomic_write(target) as handle:
            if suffix == ".png":
                write_label_map(handle, self.to_label_map())
            else:
                handle.write(json.dumps(self.to_annotation()).encode())


def _convert(code: dict[str, Any], output_mode: OutputMode) -> Any:
    """Convert RLE to the `segmentation` of a record."""
    if output_mode == "coco_rle":
        return code
    if output_mode == "binary_mask":
        return rle.decode(code)
    size, counts = rle.read_runs(code)
    return {"size": list(size), "counts": counts.tolist()}
