"""Functions and records of `sam2.utils.amg`: run lengths, boxes, grids of points and crops."""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.compat.sam2.array import make_tensor, to_numpy
from masklet.masks import rle
from masklet.masks.connected_components import label_components


class MaskData:
    """Lists, arrays and tensors of equal length by name, which are filtered and extended together."""

    def __init__(self, **kwargs: Any) -> None:
        self._stats: dict[str, Any] = {}
        for name, value in kwargs.items():
            self[name] = value

    def __setitem__(self, key: str, item: Any) -> None:
        if not isinstance(item, list | np.ndarray) and not hasattr(item, "numpy"):
            raise AssertionError("MaskData only supports list, numpy arrays, and torch tensors.")
        self._stats[key] = item

    def __delitem__(self, key: str) -> None:
        del self._stats[key]

    def __getitem__(self, key: str) -> Any:
        return self._stats[key]

    def items(self) -> ItemsView[str, Any]:
        """Return the names and values."""
        return self._stats.items()

    def filter(self, keep: Any) -> None:
        """Keep the items at positions, or those where a tensor of booleans is true, in every value."""
        index = to_numpy(keep)
        positions = np.flatnonzero(index) if index.dtype == np.bool_ else index.astype(np.int64)
        for name, value in self._stats.items():
            self._stats[name] = [value[k] for k in positions] if isinstance(value, list) else value[positions]

    def cat(self, new_stats: MaskData) -> None:
        """Append the items of other data."""
        for name, value in new_stats.items():
            if name not in self._stats:
                self._stats[name] = list(value) if isinstance(value, list) else value
            elif isinstance(value, list):
                self._stats[name] = self._stats[name] + list(value)
            else:
                joined = np.concatenate([to_numpy(self._stats[name]), to_numpy(value)])
                self._stats[name] = joined if isinstance(value, np.ndarray) else make_tensor(joined, value.device)

    def to_numpy(self) -> None:
        """Convert tensors to arrays of float32."""
        for name, value in self._stats.items():
            if not isinstance(value, list | np.ndarray):
                self._stats[name] = to_numpy(value).astype(np.float32)


def is_box_near_crop_edge(boxes: Any, crop_box: list[int], orig_box: list[int], atol: float = 20.0) -> Any:
    """Return which boxes (N, 4) of a crop end near its edge, but not near the edge of the image, as a tensor (N,)."""
    outermost = to_numpy(uncrop_boxes_xyxy(boxes, crop_box)).astype(np.float32)
    near_crop, near_edge = (np.abs(outermost - np.array(edges)) <= atol for edges in (crop_box, orig_box))
    return make_tensor((near_crop & ~near_edge).any(axis=1))


def box_xyxy_to_xywh(box_xyxy: Any) -> Any:
    """Convert a box (4,) of corners to its left, top, width and height."""
    box = box_xyxy.clone() if hasattr(box_xyxy, "clone") else np.array(box_xyxy)
    box[2], box[3] = box[2] - box[0], box[3] - box[1]
    return box


def batch_iterator(batch_size: int, *args: Any) -> Iterator[list[Any]]:
    """Yield batches of sequences of equal length."""
    if not args or any(len(one) != len(args[0]) for one in args):
        raise AssertionError("Batched iteration must have inputs of all the same size.")
    for start in range(0, len(args[0]), batch_size):
        yield [one[start : start + batch_size] for one in args]


def mask_to_rle_pytorch(tensor: Any) -> list[dict[str, Any]]:
    """Encode masks (N, H, W) bool as uncompressed RLE of COCO, `{"size": [H, W], "counts": [...]}`."""
    return [_to_uncompressed(mask) for mask in to_numpy(tensor).astype(bool)]


def rle_to_mask(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Decode an RLE of COCO, uncompressed or compressed, to a mask (H, W)."""
    return _decode(rle)


def area_from_rle(rle: Mapping[str, Any]) -> int:
    """Count the pixels of an RLE."""
    return _compute_area(rle)


def coco_encode_rle(uncompressed_rle: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an uncompressed RLE to a compressed one, whose `counts` are text."""
    return rle.encode(rle.decode(uncompressed_rle))


def calculate_stability_score(masks: Any, mask_threshold: float, threshold_offset: float) -> Any:
    """Compute the IoU of the masks at a high and a low threshold, of logits (N, H, W), as a tensor (N,)."""
    logits = to_numpy(masks)
    inner, outer = (
        np.count_nonzero(logits > mask_threshold + offset, axis=(-2, -1))
        for offset in (threshold_offset, -threshold_offset)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return make_tensor((inner / outer).astype(np.float32))


def build_point_grid(n_per_side: int) -> NDArray[np.float64]:
    """Return the centers (n², 2) of n × n cells of the unit square, row by row."""
    centers = (np.arange(n_per_side) + 0.5) / n_per_side
    return np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 2)


def build_all_layer_point_grids(n_per_side: int, n_layers: int, scale_per_layer: int) -> list[NDArray[np.float64]]:
    """Return the grid of the image and of each layer of crops."""
    return [build_point_grid(int(n_per_side / scale_per_layer**layer)) for layer in range(n_layers + 1)]


def generate_crop_boxes(
    im_size: tuple[int, ...], n_layers: int, overlap_ratio: float
) -> tuple[list[list[int]], list[int]]:
    """Return the boxes xyxy of the image and of its crops, and the layer of each."""
    height, width = im_size
    boxes, layers = [[0, 0, width, height]], [0]
    for layer in range(1, n_layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(height, width) * (2 / count))
        crop_width, crop_height = (math.ceil((overlap * (count - 1) + side) / count) for side in (width, height))
        for column, row in product(range(count), range(count)):
            x0, y0 = (crop_width - overlap) * column, (crop_height - overlap) * row
            boxes.append([x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height)])
            layers.append(layer)
    return boxes, layers


def uncrop_boxes_xyxy(boxes: Any, crop_box: list[int]) -> Any:
    """Move boxes (…, 4) from a crop to the image."""
    return _move(boxes, [*crop_box[:2], *crop_box[:2]])


def uncrop_points(points: Any, crop_box: list[int]) -> Any:
    """Move points (…, 2) from a crop to the image."""
    return _move(points, crop_box[:2])


def uncrop_masks(masks: Any, crop_box: list[int], orig_h: int, orig_w: int) -> Any:
    """Paste masks (N, h, w) of a crop into the image."""
    x0, y0, x1, y1 = crop_box
    values = to_numpy(masks)
    pasted = np.zeros((*values.shape[:-2], orig_h, orig_w), values.dtype)
    pasted[..., y0:y1, x0:x1] = values
    return make_tensor(pasted)


def remove_small_regions(mask: NDArray[np.bool_], area_thresh: float, mode: str) -> tuple[NDArray[np.bool_], bool]:
    """Fill the holes or remove the islands of a mask that have fewer pixels than `area_thresh`.

    Args:
        mask: Mask (H, W).
        area_thresh: Number of pixels.
        mode: "holes" or "islands". Of islands that are all smaller, the largest one remains.

    Returns:
        The mask, and whether it was changed.
    """
    if mode not in ("holes", "islands"):
        raise AssertionError(f"mode must be holes or islands, got {mode!r}")
    labels = label_components(~mask if mode == "holes" else mask)
    areas = np.bincount(labels.ravel())
    small: NDArray[np.bool_] = np.less(areas, area_thresh)
    small[0] = False
    if not small.any():
        return mask, False
    if mode == "holes":
        return mask | small[labels], True
    remaining = ~small
    remaining[0] = False
    if not remaining.any():
        remaining[1 + areas[1:].argmax()] = True
    return remaining[labels], True


def batched_mask_to_box(masks: Any) -> Any:
    """Compute the outermost pixels x0, y0, x1, y1 of masks (…, H, W) as a tensor (…, 4), zeros for an empty mask."""
    values = to_numpy(masks).astype(bool)
    boxes = np.zeros((*values.shape[:-2], 4), np.int64)
    for axis, (low, high) in ((-2, (0, 2)), (-1, (1, 3))):
        occupied = np.asarray(values.any(axis=axis))
        if occupied.shape[-1]:
            boxes[..., low] = occupied.argmax(axis=-1)
            boxes[..., high] = occupied.shape[-1] - 1 - occupied[..., ::-1].argmax(axis=-1)
    boxes[~values.any(axis=(-2, -1))] = 0
    return make_tensor(boxes, getattr(masks, "device", None))


def _move(coordinates: Any, offset: list[int]) -> Any:
    values = to_numpy(coordinates)
    return make_tensor(values + np.array(offset, values.dtype), getattr(coordinates, "device", None))


def _to_uncompressed(mask: NDArray[np.bool_]) -> dict[str, Any]:
    size, counts = rle.read_runs(rle.encode(mask))
    return {"size": list(size), "counts": counts.tolist()}


_decode, _compute_area = rle.decode, rle.compute_area  # `rle` is also the name of an argument
