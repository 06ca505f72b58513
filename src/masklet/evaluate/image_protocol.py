"""How good are masks after one click, three, five, a box? The protocol of the SAM papers, over any model."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedImage
from masklet.errors import SettingsError
from masklet.evaluate.click_simulator import next_click, tight_box
from masklet.evaluate.j_and_f import region_similarity
from masklet.masks.masks import Masks
from masklet.predict.embedded_image import EmbeddedImage
from masklet.prompts import Prompt, mask
from masklet.segmenter import Segmenter

Mask = NDArray[np.bool_]
Baseline = Callable[[NDArray[np.uint8], Mask], Mask]

MOST_CLICKS = 20  # where NoC gives up (RITM and its predecessors)
GOALS = (0.85, 0.90)  # the IoUs that NoC@85 and NoC@90 count clicks for
AT_ONCE = 32  # objects of one picture asked in one call: bounds the memory for their masks
SIZES = {"small": 32**2, "medium": 96**2}  # pixels below which an object is small or medium (COCO)


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
class ObjectResult:
    """The IoUs of one object of a picture: `ious` by the name of the prompt, `clicks` after each click in turn.

    The clicks end before the limit where nothing is wrong any more, or where no later one is asked for.
    """

    image: str
    object_id: int
    area: int
    ious: Mapping[str, float]
    clicks: tuple[float, ...]

    @property
    def size(self) -> str:
        """small, medium or large, as COCO has it."""
        return next((name for name, limit in SIZES.items() if self.area < limit), "large")

    def clicks_to(self, goal: float) -> int:
        """How many clicks it takes to an IoU of `goal`, at most `MOST_CLICKS`."""
        return next((count for count, iou in enumerate(self.clicks[:MOST_CLICKS], start=1) if iou >= goal), MOST_CLICKS)


def evaluate_image(
    model: Segmenter, record: AnnotatedImage, plan: PromptPlan, baselines: Mapping[str, Baseline] | None = None
) -> list[ObjectResult]:
    """The results of every object of one picture that is not empty, by object id; `baselines` get picture and truth.

    The picture is encoded once; void pixels count as right. Raises what the record's readers raise.
    """
    image, annotation = record.read()
    embedded = model.embed(image, lazy=True)
    results = []
    for start in range(0, len(annotation.object_ids), AT_ONCE):
        truths = {key: annotation.mask(key) for key in annotation.object_ids[start : start + AT_ONCE]}
        asked = Asked(embedded, {key: truth for key, truth in truths.items() if truth.any()}, annotation.void)
        ious, clicks = _ious(asked, plan)
        for key, truth in asked.truths.items():
            guesses = {name: asked.iou(key, guess(image, truth)) for name, guess in (baselines or {}).items()}
            results.append(
                ObjectResult(record.name, key, int(truth.sum()), {**ious[key], **guesses}, clicks.get(key, ()))
            )
    return results


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Objects of one picture that are asked together, none of them empty; `void` pixels are nobody's."""

    embedded: EmbeddedImage
    truths: Mapping[int, Mask]
    void: Mask | None = None

    def answers(self, masks: Masks) -> dict[int, Mask]:
        """Each object's mask, without void pixels."""
        pairs = zip(masks.object_ids, masks.binary, strict=True)
        return {key: mask if self.void is None else mask & ~self.void for key, mask in pairs}

    def iou(self, key: int, answer: Mask) -> float:
        """The IoU of an answer with the object's true mask."""
        return region_similarity(self.truths[key], answer if self.void is None else answer & ~self.void)


def click_in_turn(asked: Asked, least: int) -> dict[int, tuple[float, ...]]:
    """The IoUs of each object after each click, every click on top of the mask that the earlier ones gave.

    Each object gets `least` clicks, then more until its IoU reaches the highest of `GOALS`, at most `MOST_CLICKS`, and
    none where nothing is wrong any more.
    """
    ious: dict[int, list[float]] = {key: [] for key in asked.truths}
    prompts: dict[int, Prompt] = {}
    masks: dict[int, Mask] = {}
    found: Masks | None = None
    for count in range(max(least, MOST_CLICKS)):
        due = [key for key in asked.truths if count < least or max(ious[key]) < max(GOALS)]
        clicks = {key: next_click(asked.truths[key], masks.get(key)) for key in due}
        new = {
            key: prompts[key] + click if key in prompts else click for key, click in clicks.items() if click is not None
        }
        if not new:
            break
        found = asked.embedded.predict(new, refine=found)
        masks.update(asked.answers(found))
        prompts.update(new)
        for key in new:
            ious[key].append(asked.iou(key, masks[key]))
    return {key: tuple(values) for key, values in ious.items()}


def _ious(asked: Asked, plan: PromptPlan) -> tuple[dict[int, dict[str, float]], dict[int, tuple[float, ...]]]:
    """By object, the IoU of each prompt of the plan, and those after each click."""
    ious: dict[int, dict[str, float]] = {key: {} for key in asked.truths}
    clicks = click_in_turn(asked, plan.clicks[-1]) if plan.clicks else {}
    for key, values in clicks.items():
        ious[key].update({f"{count}-click": values[min(count, len(values)) - 1] for count in plan.clicks})
    prompts: dict[str, Callable[[Mask], Prompt]] = {"box": tight_box, "mask": mask}
    for name in plan.names[len(plan.clicks) :] if asked.truths else ():
        found = asked.embedded.predict({key: prompts[name](truth) for key, truth in asked.truths.items()})
        for key, answer in asked.answers(found).items():
            ious[key][name] = asked.iou(key, answer)
    return ious, clicks
