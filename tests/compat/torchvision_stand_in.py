"""A stand-in for the parts of torchvision that the package `sam2` imports, for environments without torchvision."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class ToTensor:
    """Convert an image to a tensor (C, H, W), whole numbers to [0, 1]."""

    def __call__(self, image: Any) -> Tensor:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels


class Resize(torch.nn.Module):
    """Resize a tensor (C, H, W) by antialiased bilinear interpolation."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        return F.interpolate(image[None], self.size, mode="bilinear", align_corners=False, antialias=True)[0]


class Normalize(torch.nn.Module):
    """Subtract the mean of each channel and divide by its standard deviation."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (mean, std))

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.mean) / self.std


def box_area(boxes: Tensor) -> Tensor:
    """Return the areas of boxes (N, 4)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Return the positions of the boxes that no better one overlaps by more than the threshold."""
    remaining, order, areas = [], scores.argsort(descending=True, stable=True), box_area(boxes)
    while len(order):
        best, order = order[0], order[1:]
        remaining.append(best)
        corner = torch.max(boxes[best, :2], boxes[order, :2]), torch.min(boxes[best, 2:], boxes[order, 2:])
        common = (corner[1] - corner[0]).clamp(min=0).prod(dim=1)
        order = order[~(common / (areas[best] + areas[order] - common) > iou_threshold)]
    return torch.stack(remaining) if remaining else order


CONTENTS: dict[str, tuple[Any, ...]] = {
    "torchvision": (),
    "torchvision.transforms": (ToTensor, Resize, Normalize),
    "torchvision.ops": (),
    "torchvision.ops.boxes": (box_area, batched_nms),
}


def install_torchvision() -> None:
    """Register the stand-in, unless torchvision is installed or was registered before."""
    if "torchvision" in sys.modules or find_spec("torchvision"):
        return
    for name, members in CONTENTS.items():
        module = sys.modules[name] = ModuleType(name)
        vars(module).update({member.__name__: member for member in members})
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
