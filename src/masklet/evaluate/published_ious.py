"""Predicted IoUs of the released checkpoints that third parties publish, to check real weights.

The sources are the transformers library's (Apache-2.0): for truck.jpg and groceries.jpg the tests of its Sam2Model
(`tests/models/sam2/test_modeling_sam2.py` @01841b3, float32, tolerance 1e-4), for car.png its converters (tolerance
1e-3). That library resizes 8-bit images with antialiasing, and the reference resizes floating-point numbers, so scores
differ by up to 1e-2. Values of the tests are left out where that library pads the points of one object to the number
of another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from masklet.errors import ImageError, InputNotFound, SettingsError
from masklet.images import read_image
from masklet.prompts import Prompt, box, click, clicks
from masklet.segmenter import Segmenter

TOLERANCE = 1e-2
"""Largest difference of a predicted IoU from the published one."""


class Photograph(NamedTuple):
    """An image that scores are published for."""

    name: str  # of the file
    size: tuple[int, int] | None  # (W, H) in pixels; None where it is not published
    source: str


TRUCK, GROCERIES, CAR = PHOTOGRAPHS = (
    Photograph("truck.jpg", (1800, 1200), "the tests of Sam2Model in transformers"),
    Photograph("groceries.jpg", (800, 534), "the tests of Sam2Model in transformers"),
    Photograph("car.png", None, "huggingface.co/ybelkada/segment-anything/resolve/main/assets/car.png"),
)


@dataclass(frozen=True, slots=True)
class PublishedIous:
    """Published predicted IoUs of one call.

    Attributes:
        photograph: The image.
        description: The prompts in words.
        prompts: A prompt for each object. Coordinates are pixels of the image.
        scores: The predicted IoUs: of each object's single mask, or of the three masks of the only object, descending.
        refined: A prompt whose best of three masks is the mask prompt.
    """

    photograph: Photograph
    description: str
    prompts: tuple[Prompt, ...]
    scores: tuple[float, ...]
    refined: Prompt | None = None

    @property
    def is_multimask(self) -> bool:
        """Whether these are the scores of the three masks of one object."""
        return len(self.scores) > len(self.prompts)


class Comparison(NamedTuple):
    """Published scores, and the scores that a model predicts; None if the photograph is not there."""

    entry: PublishedIous
    scores: tuple[float, ...] | None

    @property
    def difference(self) -> float | None:
        """The largest difference of the scores."""
        if self.scores is None:
            return None
        return float(np.abs(np.subtract(self.scores, self.entry.scores)).max())

    @property
    def is_equal(self) -> bool | None:
        """Whether all scores are within the tolerance; None if the photograph is not there."""
        return None if self.difference is None else self.difference <= TOLERANCE


_CLICK = click(500, 375)
_TINY = (
    PublishedIous(TRUCK, "click, three masks", (_CLICK,), (0.9547, 0.4932, 0.0427)),
    PublishedIous(TRUCK, "click, one mask", (_CLICK,), (0.9364,)),
    PublishedIous(
        TRUCK,
        "four boxes",
        (box(75, 275, 1725, 850), box(425, 600, 700, 875), box(1375, 550, 1650, 800), box(1240, 675, 1400, 750)),
        (0.9904, 0.9689, 0.9770, 0.9079),
    ),
    PublishedIous(
        TRUCK, "mask and two clicks", (clicks([(500, 375), (1125, 625)], [1, 1]),), (0.9738,), refined=_CLICK
    ),
    PublishedIous(
        TRUCK, "mask, click and negative click", (clicks([(500, 375), (1125, 625)], [1, 0]),), (0.9719,), refined=_CLICK
    ),
    PublishedIous(GROCERIES, "two clicks", (clicks([(630, 300), (550, 300)], [1, 1]),), (0.9114,)),
    PublishedIous(
        GROCERIES,
        "four boxes",
        (box(450, 170, 520, 350), box(350, 190, 450, 350), box(500, 170, 580, 350), box(580, 170, 640, 350)),
        (0.9739, 0.9816, 0.9838, 0.9781),
    ),
)


def _list_ious_of_car(*scores: float) -> PublishedIous:
    return PublishedIous(CAR, "click, three masks", (click(1000, 600),), scores)


PUBLISHED_IOUS: Mapping[str, tuple[PublishedIous, ...]] = {
    "sam2.1-tiny": (*_TINY, _list_ious_of_car(0.9647, 0.1029, 0.0316)),
    "sam2.1-small": (_list_ious_of_car(0.9664, 0.1494, 0.0456),),
    "sam2.1-base-plus": (_list_ious_of_car(0.9775, 0.1307, 0.0361),),
    "sam2.1-large": (_list_ious_of_car(0.9648, 0.1898, 0.0371),),
    "sam2-tiny": (_list_ious_of_car(0.9567, 0.1415, 0.0439),),
    "sam2-small": (_list_ious_of_car(0.9593, 0.1633, 0.0392),),
    "sam2-base-plus": (_list_ious_of_car(0.9815, 0.0897, 0.0423),),
    "sam2-large": (_list_ious_of_car(0.9514, 0.1787, 0.0535),),
    "edgetam": (_list_ious_of_car(0.9707, 0.2141, 0.0356),),
}
"""The published scores by configuration."""


def compare_with_published_ious(model: Segmenter, folder: Path) -> list[Comparison]:
    """Predict what is published for a model, on the photographs in a folder.

    Args:
        model: The model with its default input size and without a zoom.
        folder: The folder of the photographs. Those that it lacks are left out.

    Returns:
        The comparisons in the order of `PUBLISHED_IOUS`.

    Raises:
        SettingsError: `bad-usage`. Nothing is published for this network.
        InputNotFound: `input-not-found`. The folder has none of the photographs.
        ImageError: A photograph is broken, or has another size than the published one.
    """
    entries = PUBLISHED_IOUS.get(model.config.name)
    if entries is None:
        message = f"no predicted IoUs of {model.config.name} are published; they are of {', '.join(PUBLISHED_IOUS)}"
        raise SettingsError("bad-usage", message)
    photographs = list(dict.fromkeys(entry.photograph for entry in entries))
    found = [photograph for photograph in photographs if (folder / photograph.name).is_file()]
    if not found:
        listed = "; ".join(f"{photograph.name} from {photograph.source}" for photograph in photographs)
        raise InputNotFound("input-not-found", f"{folder} has none of the photographs: {listed}", path=str(folder))
    scores: dict[int, tuple[float, ...]] = {}
    for photograph in found:
        scores |= _predict_scores(model, folder, photograph, entries)
    return [Comparison(entry, scores.get(index)) for index, entry in enumerate(entries)]


def _predict_scores(
    model: Segmenter, folder: Path, photograph: Photograph, entries: tuple[PublishedIous, ...]
) -> dict[int, tuple[float, ...]]:
    """Predict the scores of one photograph, by their numbers."""
    image = read_image(folder / photograph.name)
    size = image.shape[1], image.shape[0]
    if photograph.size not in (None, size):
        message = f"{folder / photograph.name} must have {photograph.size} pixels (W, H), got {size}"
        raise ImageError("bad-dimensions", f"{message}; take it from {photograph.source}")
    embedded = model.embed(image, warn=False)
    found = {}
    for index, entry in enumerate(entries):
        if entry.photograph == photograph:
            refine = embedded.predict(entry.refined, multimask=True).best if entry.refined else None
            masks = embedded.predict(list(entry.prompts), multimask=entry.is_multimask, refine=refine)
            scores = masks.scores.astype(float).tolist()
            found[index] = tuple(sorted(scores, reverse=True) if entry.is_multimask else scores)
    return found
