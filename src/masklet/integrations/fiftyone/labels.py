"""Labels of FiftyOne as prompts, and masks as labels of FiftyOne."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import Any

import cv2
import fiftyone as fo
import numpy as np
from numpy.typing import NDArray

from masklet.errors import PromptError
from masklet.masks.labels import UNLABELED
from masklet.masks.masks import Masks
from masklet.prompts import Prompt, box, clicks, mask

_POINT_LABELS = ("sam_labels", "sam2_labels")  # attributes of keypoints, as FiftyOne's models of SAM read them


def read_prompts(
    label: Any, size: tuple[int, int], *, use_masks: bool = True, taken: Collection[int] = ()
) -> dict[int, Prompt]:
    """Read the prompts that a label of FiftyOne stands for.

    - A detection is its instance mask if it has one, else its box.
    - A keypoint is a prompt of its points. Its attribute `sam_labels` or `sam2_labels` has 1 for each point of the
      object and 0 for each other one; without it all are of the object. Points without coordinates (NaN) are left out.
    - A segmentation is one mask for each value above 0, which is the object id.

    Args:
        label: `Detections`, `Detection`, `Keypoints`, `Keypoint`, `Segmentation`, or None.
        size: Size (H, W) of the image.
        use_masks: Use the instance masks of detections. Without, their boxes are used.
        taken: Object ids that are not given to detections and keypoints without an `index`.

    Returns:
        Prompt by object id: the `index` of a detection or a keypoint, or else a number that is not used yet, from 1.
        Labels become labels of the prompts.

    Raises:
        PromptError: `bad-prompt`. The label is of another type, a box has no area, or a keypoint has no points.
    """
    if label is None:
        return {}
    if isinstance(label, fo.Segmentation):
        values = np.asarray(label.get_mask())
        return {int(value): mask(values == value) for value in np.unique(values) if value}
    items = _list_items(label)
    used = {*taken, *list_indices(label)}
    unused = (number for number in count(1) if number not in used)
    read = _read_keypoint if isinstance(label, fo.Keypoints | fo.Keypoint) else _read_detection
    prompts: dict[int, Prompt] = {}
    for item in items:
        object_id = next(unused) if item.index is None else int(item.index)
        prompt = read(item, size, use_masks)
        prompts[object_id] = prompts[object_id] + prompt if object_id in prompts else prompt
    return prompts


def list_indices(label: Any) -> set[int]:
    """List the `index` of each detection or keypoint of a label, of those that have one."""
    if label is None or isinstance(label, fo.Segmentation):
        return set()
    return {int(item.index) for item in _list_items(label) if item.index is not None}


def to_detections(masks: Masks, instances: Mapping[int, Any] | None = None) -> Any:
    """Return masks as `fiftyone.Detections` with instance masks; masks without pixels are left out.

    Args:
        masks: The masks. Object ids become `index`, labels `label` ("object" without), scores `confidence`.
        instances: `fiftyone.Instance` of each object, which links its detections in several frames.
    """
    detections = [
        fo.Detection.from_mask(
            binary,
            label or UNLABELED,
            index=object_id,
            confidence=float(np.clip(score, 0, 1)),
            instance=(instances or {}).get(object_id),
        )
        for binary, label, object_id, score in zip(
            masks.binary, masks.labels, masks.object_ids, masks.scores, strict=True
        )
        if binary.any()
    ]
    return fo.Detections(detections=detections)


def to_segmentation(masks: Masks, targets: Mapping[int, str] | None = None) -> Any:
    """Return masks as `fiftyone.Segmentation`; where they overlap, the first one wins.

    Args:
        masks: The masks.
        targets: Name of each value, a dataset's `mask_targets`. The value of a mask is that of its label. By default it
            is the object id.

    Raises:
        PromptError: `bad-prompt`. A label is not in `targets`, or an object id is not in 1 … 65535.
    """
    numbers = {name: value for value, name in (targets or {}).items()}
    values = [_find_value(*pair, numbers) for pair in zip(masks.object_ids, masks.labels, strict=True)]
    drawn: NDArray[Any] = np.zeros(masks.size, np.uint8 if max(values, default=0) < 256 else np.uint16)
    for binary, value in reversed([*zip(masks.binary, values, strict=True)]):
        drawn[binary] = value
    return fo.Segmentation(mask=drawn)


def _find_value(object_id: int, label: str | None, numbers: Mapping[str, int]) -> int:
    value = numbers.get(label or UNLABELED) if numbers else object_id
    if value is None:
        message = f"object {object_id} has the label {label or UNLABELED!r}, the mask targets are {[*numbers]}"
        raise PromptError("bad-prompt", f"{message}; add it to them")
    if not 0 < value < 2**16:
        message = f"a segmentation holds values from 1 to 65535, got {value} for object {object_id}"
        raise PromptError("bad-prompt", f"{message}; write detections instead")
    return value


def _list_items(label: Any) -> Sequence[Any]:
    if isinstance(label, fo.Detections):
        return list(label.detections)
    if isinstance(label, fo.Keypoints):
        return list(label.keypoints)
    if isinstance(label, fo.Detection | fo.Keypoint):
        return [label]
    message = f"prompts are Detections, Keypoints or a Segmentation, got {type(label).__name__}"
    raise PromptError("bad-prompt", f"{message}; name another field")


def _read_detection(detection: Any, size: tuple[int, int], use_masks: bool) -> Prompt:
    height, width = size
    x, y, w, h = detection.bounding_box
    corners = np.clip([x, y, x + w, y + h], 0, 1) * (width, height, width, height)
    if use_masks and detection.has_mask:
        return mask(_draw_instance(detection.get_mask(), corners, size), label=detection.label)
    return box(*corners.tolist(), label=detection.label)


def _draw_instance(instance: NDArray[Any], corners: NDArray[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw an instance mask (h, w), which covers a box (4,) xyxy in pixels, on an image of `size` (H, W)."""
    drawn = np.zeros(size, bool)
    x0, y0, x1, y1 = np.rint(corners).astype(int).tolist()
    if x0 < x1 and y0 < y1:
        resized = cv2.resize((np.asarray(instance) > 0).astype(np.float32), (x1 - x0, y1 - y0))
        drawn[y0:y1, x0:x1] = resized >= 0.5
    return drawn


def _read_keypoint(keypoint: Any, size: tuple[int, int], _: bool) -> Prompt:
    points = np.array(keypoint.points, np.float64).reshape(-1, 2)
    named = [keypoint[name] for name in _POINT_LABELS if name in keypoint and keypoint[name] is not None]
    labels = np.asarray(named[0] if named else np.ones(len(points)))
    if len(labels) != len(points):
        message = f"a keypoint of {len(points)} points needs as many labels, got {len(labels)}"
        raise PromptError("bad-prompt", f"{message}; correct its attribute sam_labels")
    valid = ~np.isnan(points).any(axis=1)
    return clicks(points[valid] * size[::-1], labels[valid], label=keypoint.label)
