"""What was found by looking for everything in a picture: one finding per mask, small enough to keep thousands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from masklet.files.atomic import atomic_write
from masklet.masks import drawing, rle
from masklet.masks.label_map import write_label_map
from masklet.masks.masks import CERTAIN_LOGIT, Masks
from masklet.masks.rle_frame import RleFrame

Box = tuple[int, int, int, int]
Form = Literal["binary_mask", "uncompressed_rle", "coco_rle"]


@dataclass(frozen=True, slots=True)
class GeneratedMask:
    """One mask, as a run-length code, and why it was kept. Boxes are xyxy at pixel edges, of the whole picture."""

    rle: dict[str, Any]  # as `rle.encode` gives it
    area: int  # pixels
    box: Box
    score: float  # predicted IoU
    stability: float  # in [0, 1], see `Masks.stability`
    point: tuple[float, float]  # the click that found it, xy in pixels
    crop: Box  # the part of the picture that was looked at

    def __repr__(self) -> str:
        return (
            f"GeneratedMask(area={self.area}, box={self.box}, score={self.score:.3g}, stability={self.stability:.3g})"
        )

    def to_record(self, form: Form = "coco_rle") -> dict[str, Any]:
        """The finding as the reference's generator and SA-1B's files write it (reference-model §8.2).

        Their `bbox` is x, y, width, height between the outermost pixels' centres: one less than the pixels counted.
        """
        x0, y0, x1, y1 = self.box
        left, top, right, bottom = self.crop
        return {
            "segmentation": _written(self.rle, form),
            "area": self.area,
            "bbox": [float(x0), float(y0), float(max(x1 - x0 - 1, 0)), float(max(y1 - y0 - 1, 0))],
            "predicted_iou": self.score,
            "point_coords": [[*self.point]],
            "stability_score": self.stability,
            "crop_box": [float(left), float(top), float(right - left), float(bottom - top)],
        }


@dataclass(frozen=True, slots=True)
class GeneratedMasks:
    """All findings in a picture of `size` (H, W), the surest first."""

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

    @property
    def to_masks(self) -> Masks:
        """The masks as objects 1, 2, …; decoded anew each time, one byte per pixel and mask at the least."""
        if not self.masks:
            return Masks.empty(self.size)
        return Masks.from_rle([one.rle for one in self.masks], scores=np.array([one.score for one in self.masks]))

    def to_records(self, form: Form = "coco_rle") -> list[dict[str, Any]]:
        """Every finding as the reference's generator gives it: see `Finding.record`."""
        return [one.to_record(form) for one in self.masks]

    def label_map(self) -> NDArray[Any]:
        """One picture (H, W) of numbers: k where the k-th finding is, 0 where nothing is. Of findings that overlap the
        smaller one is on top, so that parts show on what they are parts of. Holds one mask at a time."""
        labels = np.zeros(self.size, np.uint8 if len(self) < 256 else np.uint16)
        for place in self.order_by_area():
            labels[rle.decode(self.masks[place].rle)] = place + 1
        return labels

    def overlay(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (H, W, 3) uint8 RGB with each finding in a colour of its own, the smaller ones on top."""
        order = self.order_by_area()
        masks = (rle.decode(self.masks[place].rle) for place in order)
        return drawing.draw_overlay(drawing.check_image(image, self.size), masks, [place + 1 for place in order])

    def order_by_area(self) -> list[int]:
        """The findings' places, by area."""
        return sorted(range(len(self)), key=lambda place: -self.masks[place].area)

    def encode_frame(self, index: int = 0) -> RleFrame:
        """The findings as objects 1, 2, … of frame `index`, as the formats of video write them."""
        return RleFrame(
            index=index,
            time=None,
            size=self.size,
            object_ids=tuple(range(1, len(self) + 1)),
            scores=tuple(one.score for one in self),
            object_scores=(CERTAIN_LOGIT,) * len(self),
            counts=tuple(one.rle["counts"] for one in self),
        )

    def to_annotation(self, file_name: str | None = None, form: Form = "coco_rle") -> dict[str, Any]:
        """What SA-1B has beside a picture: its size and every finding with a run-length code, scores and an id."""
        height, width = self.size
        image = {"width": width, "height": height, **({"file_name": file_name} if file_name else {})}
        rows = [{"id": number, **record} for number, record in enumerate(self.to_records(form), start=1)]
        return {"image": image, "annotations": rows}

    def save(self, path: str | Path) -> None:
        """Write the findings, whole or not at all: `.json` as SA-1B's annotation of one picture, `.png` as the
        `label_map` in colours; any other suffix as `Masks.save`."""
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in (".json", ".png"):
            self.to_masks.save(target)
            return
        with atomic_write(target) as handle:
            if suffix == ".png":
                write_label_map(handle, self.label_map())
            else:
                handle.write(json.dumps(self.to_annotation()).encode())


def _written(code: dict[str, Any], form: Form) -> Any:
    if form == "coco_rle":
        return code
    if form == "binary_mask":
        return rle.decode(code)
    size, counts = rle.read_runs(code)
    return {"size": list(size), "counts": counts.tolist()}
