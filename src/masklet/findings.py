"""What was found by looking for everything in a picture: one finding per mask, small enough to keep thousands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from masklet import rle
from masklet.atomic import atomic_write
from masklet.masks import Masks

Box = tuple[int, int, int, int]
Form = Literal["binary_mask", "uncompressed_rle", "coco_rle"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mask, as a run-length code, and why it was kept. Boxes are xyxy at pixel edges, of the whole picture."""

    code: dict[str, Any]  # as `rle.encode` gives it
    area: int  # pixels
    box: Box
    score: float  # predicted IoU
    stability: float  # in [0, 1], see `Masks.stability`
    point: tuple[float, float]  # the click that found it, xy in pixels
    crop: Box  # the part of the picture that was looked at

    def record(self, form: Form = "coco_rle") -> dict[str, Any]:
        """The finding as the reference's generator and SA-1B's files write it (spec §8.2).

        Their `bbox` is x, y, width, height between the outermost pixels' centres: one less than the pixels counted.
        """
        x0, y0, x1, y1 = self.box
        left, top, right, bottom = self.crop
        return {
            "segmentation": _written(self.code, form),
            "area": self.area,
            "bbox": [float(x0), float(y0), float(max(x1 - x0 - 1, 0)), float(max(y1 - y0 - 1, 0))],
            "predicted_iou": self.score,
            "point_coords": [[*self.point]],
            "stability_score": self.stability,
            "crop_box": [float(left), float(top), float(right - left), float(bottom - top)],
        }


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings in a picture of `size` (H, W), the surest first."""

    size: tuple[int, int]
    found: tuple[Finding, ...]

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.found)

    def __getitem__(self, position: int) -> Finding:
        return self.found[position]

    @property
    def masks(self) -> Masks:
        """The masks as objects 1, 2, …; decoded anew each time, one byte per pixel and mask at the least."""
        if not self.found:
            return Masks.empty(self.size)
        return Masks.from_rle([one.code for one in self.found], scores=np.array([one.score for one in self.found]))

    def records(self, form: Form = "coco_rle") -> list[dict[str, Any]]:
        """Every finding as the reference's generator gives it: see `Finding.record`."""
        return [one.record(form) for one in self.found]

    def save(self, path: str | Path) -> None:
        """Write the findings, whole or not at all: `.json` as SA-1B's annotation of one picture, with compressed
        run-length codes and scores; any other suffix as `Masks.save`."""
        target = Path(path)
        if target.suffix.lower() == ".json":
            with atomic_write(target) as handle:
                handle.write(json.dumps(self._annotation()).encode())
        else:
            self.masks.save(target)

    def _annotation(self) -> dict[str, Any]:
        height, width = self.size
        return {"image": {"height": height, "width": width}, "annotations": self.records()}


def _written(code: dict[str, Any], form: Form) -> Any:
    if form == "coco_rle":
        return code
    if form == "binary_mask":
        return rle.decode(code)
    size, counts = rle.runs(code)
    return {"size": list(size), "counts": counts.tolist()}
