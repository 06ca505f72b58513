"""How good are masks after one click, three, five, a box? The protocol of the SAM papers, over any model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedImage
from masklet.errors import SettingsError
from masklet.evaluate.click_simulator import simulate_box, simulate_click
from masklet.evaluate.j_and_f import compute_region_similarity
from masklet.masks.masks import Masks
from masklet.predict.embedded_image import EmbeddedImage
from masklet.prompts import Prompt, mask
from masklet.segmenter import Segmenter

Mask = NDArray[np.bool_]
Baseline = Callable[[NDArray[np.uint8], Mask], Mask]

MAX_CLICKS = 20  # where NoC gives up (RITM and its predecessors)
IOU_TARGETS = (0.85, 0.90)  # the IoUs that NoC@85 and NoC@90 count clicks for
MAX_OBJECTS_PER_CALL = 32  # objects of one picture asked in one call: bounds the memory for their masks
SIZE_LIMITS_PX = {"small": 32**2, "medium": 96**2}  # pixels below which an object is small or medium (COCO)


@dataclass(frozen=True, slots=True)
class PromptPlan:
    """What is asked of every object: after how many clicks to look, and whether to try a box and a mask too."""

    clicks: tuple[int, ...] = (1, 3, 5)
    box: bool = True
    mask: bool = True

    @staticmethod
    def parse(text: str) -> PromptPlan:
        """From words as in `1-click,3-click,box,mask`. Raises `SettingsError` for anything else."""
        words = [word.strip() for word in text.split(",")]
        numbers = [re.fullmatch(r"(\d{1,3})-clicks?", word) for word in words]
        wrong = [
            word for word, number in zip(words, numbers, strict=True) if not number and word not in ("box", "mask")
        ]
        clicks = tuple(sorted({int(number[1]) for number in numbers if number}))
        if wrong or (clicks and not 1 <= clicks[0] <= clicks[-1] <= 100):
            raise SettingsError("bad-usage", f"prompts are 1-click … 100-click, box and mask, got {text!r}")
        return PromptPlan(clicks, "box" in words, "mask" in words)

    @property
    def names(self) -> tuple[str, ...]:
        """The prompts as words."""
        clicks = [f"{count}-click" for count in self.clicks]
        return (*clicks, *["box"] * self.box, *["mask"] * self.mask)


@dataclass(frozen=True, slots=True)
class ObjectIous:
    """The IoUs of one object of a picture: `ious` by the name of the prompt, `clicks` after each click in turn.

    The clicks end before the limit where nothing is wrong any more, or where no later one is asked for.
    """

    image: str
    object_id: int
    area: int
    ious: Mapping[str, float]
    clicks: tuple[float, ...]

    @property
    def size_group(self) -> str:
        """small, medium or large, as COCO has it."""
        return next((name for name, limit in SIZE_LIMITS_PX.items() if self.area < limit), "large")

    def count_clicks_to(self, goal: float) -> int:
        """How many clicks it takes to an IoU of `goal`, at most `MOST_CLICKS`."""
        return next((count for count, iou in enumerate(self.clicks[:MAX_CLICKS], start=1) if iou >= goal), MAX_CLICKS)


def evaluate_image(
    model: Segmenter, record: AnnotatedImage, plan: PromptPlan, baselines: Mapping[str, Baseline] | None = None
) -> list[ObjectIous]:
    """The results of every object of one picture that is not empty, by object id; `baselines` get picture and truth.

    The picture is encoded once; void pixels count as right. Raises what the record's readers raise.
    """
    image, annotation = record.read()
    embedded = model.embed(image, lazy=True)
    results = []
    for start in range(0, len(annotation.object_ids), MAX_OBJECTS_PER_CALL):
        truths = {key: annotation.mask(key) for key in annotation.object_ids[start : start + MAX_OBJECTS_PER_CALL]}
        asked = _PromptedObjects(
            embedded, {key: truth for key, truth in truths.items() if truth.any()}, annotation.void
        )
        ious, clicks = _compute_ious(asked, plan)
        for key, truth in asked.ground_truths.items():
            guesses = {name: asked.compute_iou(key, guess(image, truth)) for name, guess in (baselines or {}).items()}
            results.append(
                ObjectIous(record.name, key, int(truth.sum()), {**ious[key], **guesses}, clicks.get(key, ()))
            )
    return results


@dataclass(frozen=True, slots=True, eq=False)
class _PromptedObjects:
    """Objects of one picture that are asked together, none of them empty; `void` pixels are nobody's."""

    embedded: EmbeddedImage
    ground_truths: Mapping[int, Mask]
    void: Mask | None = None

    def get_masks(self, masks: Masks) -> dict[int, Mask]:
        """Each object's mask, without void pixels."""
        pairs = zip(masks.object_ids, masks.binary, strict=True)
        return {key: mask if self.void is None else mask & ~self.void for key, mask in pairs}

    def compute_iou(self, key: int, prediction: Mask) -> float:
        """The IoU of an answer with the object's true mask."""
        return compute_region_similarity(
            self.ground_truths[key], prediction if self.void is None else prediction & ~self.void
        )


def _simulate_clicks(asked: _PromptedObjects, min_clicks: int) -> dict[int, tuple[float, ...]]:
    """The IoUs of each object after each click, every click on top of the mask that the earlier ones gave.

    Each object gets `least` clicks, then more until its IoU reaches the highest of `GOALS`, at most `MOST_CLICKS`, and
    none where nothing is wrong any more.
    """
    ious: dict[int, list[float]] = {key: [] for key in asked.ground_truths}
    prompts: dict[int, Prompt] = {}
    masks: dict[int, Mask] = {}
    found: Masks | None = None
    for count in range(max(min_clicks, MAX_CLICKS)):
        due = [key for key in asked.ground_truths if count < min_clicks or max(ious[key]) < max(IOU_TARGETS)]
        clicks = {key: simulate_click(asked.ground_truths[key], masks.get(key)) for key in due}
        new = {
            key: prompts[key] + click if key in prompts else click for key, click in clicks.items() if click is not None
        }
        if not new:
            break
        found = asked.embedded.predict(new, refine=found)
        masks.update(asked.get_masks(found))
        prompts.update(new)
        for key in new:
            ious[key].append(asked.compute_iou(key, masks[key]))
    return {key: tuple(values) for key, values in ious.items()}


def _compute_ious(
    asked: _PromptedObjects, plan: PromptPlan
) -> tuple[dict[int, dict[str, float]], dict[int, tuple[float, ...]]]:
    """By object, the IoU of each prompt of the plan, and those after each click."""
    ious: dict[int, dict[str, float]] = {key: {} for key in asked.ground_truths}
    clicks = _simulate_clicks(asked, plan.clicks[-1]) if plan.clicks else {}
    for key, values in clicks.items():
        ious[key].update({f"{count}-click": values[min(count, len(values)) - 1] for count in plan.clicks})
    prompts: dict[str, Callable[[Mask], Prompt]] = {"box": simulate_box, "mask": mask}
    for name in plan.names[len(plan.clicks) :] if asked.ground_truths else ():
        found = asked.embedded.predict({key: prompts[name](truth) for key, truth in asked.ground_truths.items()})
        for key, answer in asked.get_masks(found).items():
            ious[key][name] = asked.compute_iou(key, answer)
    return ious, clicks
