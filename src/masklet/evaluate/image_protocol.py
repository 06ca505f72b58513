"""Image protocol of the SAM papers: IoU after simulated clicks, a box and a mask, for any model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedImage
from masklet.errors import SettingsError
from masklet.evaluate.click_simulator import simulate_box, simulate_click
from masklet.evaluate.object_sizes import find_size_group
from masklet.evaluate.prompted_objects import PromptedObjects, embed_objects
from masklet.masks.masks import Masks
from masklet.prompts import Prompt, mask
from masklet.segmenter import Segmenter

Mask = NDArray[np.bool_]
Baseline = Callable[[NDArray[np.uint8], Mask], Mask]

MAX_CLICKS = 20  # limit of NoC, the number of clicks to an IoU (RITM and its predecessors)
IOU_TARGETS = (0.85, 0.90)  # of NoC@85 and NoC@90


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """Prompts that are simulated for every object: numbers of clicks to measure after, a box, a mask."""

    clicks: tuple[int, ...] = (1, 3, 5)
    box: bool = True
    mask: bool = True

    @staticmethod
    def parse(text: str) -> PromptPlan:
        """Parse a list of prompts, as in `1-click,3-click,box,mask`.

        Raises:
            SettingsError: A word is none of 1-click … 100-click, box and mask.
        """
        words = [word.strip() for word in text.split(",")]
        numbers = [re.fullmatch(r"(\d{1,3})-clicks?", word) for word in words]
        wrong = [
            word for word, number in zip(words, numbers, strict=True) if not number and word not in ("box", "mask")
        ]
        clicks = tuple(sorted({int(number[1]) for number in numbers if number}))
        if wrong or (clicks and not 1 <= clicks[0] <= clicks[-1] <= 100):
            raise SettingsError("bad-usage", f"prompts must be 1-click … 100-click, box or mask, got {text!r}")
        return PromptPlan(clicks, "box" in words, "mask" in words)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the prompts."""
        clicks = [f"{count}-click" for count in self.clicks]
        return (*clicks, *["box"] * self.box, *["mask"] * self.mask)


@dataclass(frozen=True, slots=True)
class ObjectIous:
    """IoUs of one object of an image.

    Attributes:
        image: The name of the image.
        object_id: The id of the object in the ground truth.
        area: The area of the ground-truth mask in pixels.
        ious: IoU by the name of the prompt.
        clicks: IoU after each click. Clicks end when the prediction has no error, or when no later one is needed.
    """

    image: str
    object_id: int
    area: int
    ious: Mapping[str, float]
    clicks: tuple[float, ...]

    @property
    def size_group(self) -> str:
        """The size of the object by COCO's limits: small, medium or large."""
        return find_size_group(self.area)

    def count_clicks_to(self, target: float) -> int:
        """Count the clicks until the IoU reaches `target`, at most `MAX_CLICKS`."""
        return next((count for count, iou in enumerate(self.clicks[:MAX_CLICKS], start=1) if iou >= target), MAX_CLICKS)


def evaluate_image(
    model: Segmenter, record: AnnotatedImage, plan: PromptPlan, baselines: Mapping[str, Baseline] | None = None
) -> list[ObjectIous]:
    """Evaluate a model on every object of one image, in the order of object ids. Empty objects are left out.

    The image is encoded once. Void pixels count as correct.

    Args:
        model: The model to evaluate.
        record: The image and its ground truth.
        plan: The prompts to simulate.
        baselines: Functions from image and ground-truth mask to a mask, by name. Their IoUs are added to the results.

    Raises:
        MaskletError: The image or its annotation cannot be read.
    """
    results = []
    for objects in embed_objects(model, record):
        ious, clicks = _compute_ious(objects, plan)
        for key, ground_truth in objects.ground_truths.items():
            others = {
                name: objects.compute_iou(key, baseline(objects.image, ground_truth))
                for name, baseline in (baselines or {}).items()
            }
            area = int(ground_truth.sum())
            results.append(ObjectIous(record.name, key, area, {**ious[key], **others}, clicks.get(key, ())))
    return results


def _simulate_clicks(objects: PromptedObjects, min_clicks: int) -> dict[int, tuple[float, ...]]:
    """Return the IoUs of each object after each click. Every prediction refines the previous mask.

    Each object gets `min_clicks` clicks, then more until its IoU reaches the highest of `IOU_TARGETS`, at most
    `MAX_CLICKS`. An object without error gets no further click.
    """
    ious: dict[int, list[float]] = {key: [] for key in objects.ground_truths}
    prompts: dict[int, Prompt] = {}
    masks: dict[int, Mask] = {}
    latest: Masks | None = None
    for count in range(max(min_clicks, MAX_CLICKS)):
        pending = [key for key in objects.ground_truths if count < min_clicks or max(ious[key]) < max(IOU_TARGETS)]
        clicks = {key: simulate_click(objects.ground_truths[key], masks.get(key)) for key in pending}
        new = {
            key: prompts[key] + click if key in prompts else click for key, click in clicks.items() if click is not None
        }
        if not new:
            break
        latest = objects.embedded.predict(new, refine=latest)
        masks.update(objects.get_masks(latest))
        prompts.update(new)
        for key in new:
            ious[key].append(objects.compute_iou(key, masks[key]))
    return {key: tuple(values) for key, values in ious.items()}


def _compute_ious(
    objects: PromptedObjects, plan: PromptPlan
) -> tuple[dict[int, dict[str, float]], dict[int, tuple[float, ...]]]:
    """Return by object the IoU of each prompt of the plan, and the IoUs after each click."""
    ious: dict[int, dict[str, float]] = {key: {} for key in objects.ground_truths}
    clicks = _simulate_clicks(objects, plan.clicks[-1]) if plan.clicks else {}
    for key, values in clicks.items():
        ious[key].update({f"{count}-click": values[min(count, len(values)) - 1] for count in plan.clicks})
    prompts: dict[str, Callable[[Mask], Prompt]] = {"box": simulate_box, "mask": mask}
    for name in plan.names[len(plan.clicks) :] if objects.ground_truths else ():
        masks = objects.embedded.predict({key: prompts[name](true) for key, true in objects.ground_truths.items()})
        for key, prediction in objects.get_masks(masks).items():
            ious[key][name] = objects.compute_iou(key, prediction)
    return ious, clicks
