"""Click protocol: IoU of lone clicks on objects, at random pixels of the ground truth or at given positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedImage, Images
from masklet.errors import PromptError
from masklet.evaluate.click_simulator import sample_clicks
from masklet.evaluate.object_sizes import find_size_group
from masklet.evaluate.prompted_objects import PromptedObjects, embed_objects
from masklet.files.hashing import sha256
from masklet.prompts import POSITIVE, Prompt
from masklet.segmenter import Segmenter

Mask = NDArray[np.bool_]

CLICK_TARGETS = (0.8, 0.5)  # IoUs from which on a click counts as right


class ClickSource(Protocol):
    """Source of the clicks on an object."""

    def choose(self, image: str, object_id: int, ground_truth: Mask) -> Sequence[Prompt]:
        """Return the clicks on an object of an image, each a prompt of its own; none leaves the object out."""


@dataclass(frozen=True, slots=True)
class RandomClicks:
    """Clicks at random pixels of an object. They depend on the seed, the image's name and the object id only.

    Attributes:
        count: The number of clicks on each object.
        seed: The seed.
    """

    count: int = 10
    seed: int = 0

    def choose(self, image: str, object_id: int, ground_truth: Mask) -> Sequence[Prompt]:
        """Return the clicks on an object: see `ClickSource`."""
        digest = sha256(f"{self.seed}/{object_id}/{image}".encode("utf-8", "surrogatepass"))
        return sample_clicks(ground_truth, self.count, np.random.default_rng(int(digest, 16)))


@dataclass(frozen=True, slots=True, eq=False)
class FixedClicks:
    """Given clicks on objects, by image and object id."""

    clicks: Mapping[tuple[str, int], Sequence[Prompt]]

    @staticmethod
    def from_prompts(prompts: Iterable[tuple[str, int, Prompt]]) -> FixedClicks:
        """Group prompts of images, each a lone positive click.

        Raises:
            PromptError: A prompt is not a lone positive click.
        """
        clicks: dict[tuple[str, int], list[Prompt]] = {}
        for image, object_id, prompt in prompts:
            if prompt.mask is not None or prompt.labels.tolist() != [POSITIVE]:
                message = f"{image}, object {object_id}: expected one positive click, got {prompt}"
                raise PromptError("bad-prompt", f"{message}; give each click an entry of its own")
            clicks.setdefault((image, object_id), []).append(prompt)
        return FixedClicks(clicks)

    def choose(self, image: str, object_id: int, ground_truth: Mask) -> Sequence[Prompt]:
        """Return the clicks on an object: see `ClickSource`."""
        return self.clicks.get((image, object_id), ())

    def select(self, data: Images) -> Images:
        """Return the images that have clicks.

        Raises:
            FormatError: An image is not in the dataset.
            PromptError: An object is not in the ground truth of its image, or a click is not on its object.
        """
        selected = data.select(image for image, _ in self.clicks)
        for (image, object_id), clicks in self.clicks.items():
            annotation = selected[image].annotation()
            if object_id not in annotation.object_ids:
                message = (
                    f"{image} has no object {object_id}; its objects are {', '.join(map(str, annotation.object_ids))}"
                )
                raise PromptError("unknown-object", message)
            for prompt in clicks:
                _check_on_object(prompt, annotation.mask(object_id), f"{image}, object {object_id}")
        return selected


@dataclass(frozen=True, slots=True)
class ObjectClicks:
    """IoUs of lone clicks on one object of an image.

    Attributes:
        image: The name of the image.
        object_id: The id of the object in the ground truth.
        category: The name of its category; "" if the dataset has none.
        area: The area of the ground-truth mask in pixels.
        clicks: The positions (x, y) of the clicks in pixels.
        ious: The IoU of each click's prediction.
    """

    image: str
    object_id: int
    category: str
    area: int
    clicks: tuple[tuple[float, float], ...]
    ious: tuple[float, ...]

    @property
    def size_group(self) -> str:
        """The size of the object by COCO's limits: small, medium or large."""
        return find_size_group(self.area)

    @property
    def median(self) -> float:
        """The median IoU of the clicks."""
        return float(np.median(self.ious))

    def count_right(self, target: float) -> int:
        """Count the clicks whose IoU is at least `target`."""
        return sum(iou >= target for iou in self.ious)


def evaluate_clicks(model: Segmenter, record: AnnotatedImage, source: ClickSource) -> list[ObjectClicks]:
    """Predict each click on each object of one image by itself, in the order of object ids.

    The image is encoded once. Void pixels count as correct. Empty objects and objects without clicks are left out.

    Args:
        model: The model to evaluate.
        record: The image and its ground truth.
        source: The source of the clicks.

    Raises:
        MaskletError: The image or its annotation cannot be read.
    """
    results = []
    for objects in embed_objects(model, record):
        chosen = {key: source.choose(record.name, key, true) for key, true in objects.ground_truths.items()}
        clicks = {key: prompts for key, prompts in chosen.items() if prompts}
        for key, ious in _compute_ious(objects, clicks).items():
            positions = tuple((float(x), float(y)) for prompt in clicks[key] for x, y in prompt.points)
            area = int(objects.ground_truths[key].sum())
            category = objects.categories.get(key, "")
            results.append(ObjectClicks(record.name, key, category, area, positions, ious))
    return results


def _compute_ious(objects: PromptedObjects, clicks: Mapping[int, Sequence[Prompt]]) -> dict[int, tuple[float, ...]]:
    """Return the IoUs of each object's clicks. One click of each object is predicted at a time."""
    ious: dict[int, list[float]] = {key: [] for key in clicks}
    for position in range(max(map(len, clicks.values()), default=0)):
        prompts = {key: prompts[position] for key, prompts in clicks.items() if position < len(prompts)}
        for key, mask in objects.get_masks(objects.embedded.predict(prompts)).items():
            ious[key].append(objects.compute_iou(key, mask))
    return {key: tuple(values) for key, values in ious.items()}


def _check_on_object(prompt: Prompt, ground_truth: Mask, where: str) -> None:
    x, y = prompt.points[0].tolist()
    column, row = round(x), round(y)
    height, width = ground_truth.shape
    if not (0 <= column < width and 0 <= row < height and ground_truth[row, column]):
        raise PromptError("bad-prompt", f"{where}: the click ({x:g}, {y:g}) is not on the object; move it there")
