"""Protocol of automatic mask generation: which objects of an image the mask generator finds, and how it ranks masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation
from masklet.datasets.dataset import AnnotatedImage
from masklet.evaluate.object_sizes import SIZE_LIMITS_PX, find_size_group
from masklet.masks import rle
from masklet.masks.iou import mask_iou
from masklet.predict.generated_masks import GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.segmenter import Segmenter

Mask = NDArray[np.bool_]

FOUND_IOUS = (0.5, 0.75)  # an object is found, and a mask matches it, above these IoUs
MIN_AREA_PX = SIZE_LIMITS_PX["small"]  # smaller objects are not searched for
_MASKS_PER_BATCH = 32  # proposed masks that are decoded at a time; bounds the memory


@dataclass(frozen=True, slots=True)
class ObjectMatch:
    """Proposed mask with the highest IoU for one object of an image.

    Attributes:
        object_id: The id of the object in the ground truth.
        category: The name of its category; "" if the dataset has none.
        area: The area of the ground-truth mask in pixels.
        iou: The highest IoU of a proposed mask; 0 if no mask overlaps the object.
        rle: The proposed mask; None if no mask overlaps the object.
    """

    object_id: int
    category: str
    area: int
    iou: float
    rle: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def size_group(self) -> str:
        """The size of the object by COCO's limits: medium or large, since smaller ones are not searched for."""
        return find_size_group(self.area)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Proposed mask: its predicted IoU, and its highest IoU with an object of the ground truth, of any size."""

    predicted_iou: float
    iou: float


@dataclass(frozen=True, slots=True)
class ImageProposals:
    """Result of the mask generator on one image.

    Attributes:
        image: The name of the image.
        objects: The objects of at least `MIN_AREA_PX` pixels, in the order of their ids.
        proposals: The proposed masks, in the generator's order.
    """

    image: str
    objects: tuple[ObjectMatch, ...]
    proposals: tuple[Proposal, ...]

    def compute_recall(self, iou: float) -> float | None:
        """Compute the share of the objects that are found above an IoU; None if there is no object."""
        return float(np.mean([match.iou > iou for match in self.objects])) if self.objects else None


def evaluate_generator(
    model: Segmenter, record: AnnotatedImage, options: MaskGeneratorOptions | None = None
) -> ImageProposals:
    """Generate the masks of one image and match them with its ground truth.

    Void pixels belong to no mask. Empty objects are left out.

    Args:
        model: The model to evaluate.
        record: The image and its ground truth.
        options: Options of the mask generator.

    Raises:
        MaskletError: The image or its annotation cannot be read.
    """
    image, annotation = record.read()
    generated = model.generate_masks(image, options)
    masks = {key: annotation.mask(key) for key in annotation.object_ids}
    masks = {key: mask for key, mask in masks.items() if mask.any()}
    ious = _compute_ious(generated, list(masks.values()), annotation.void)
    matches = [
        _find_match(key, mask, annotation, generated, ious[:, column])
        for column, (key, mask) in enumerate(masks.items())
    ]
    return ImageProposals(
        image=record.name,
        objects=tuple(match for match in matches if match.area >= MIN_AREA_PX),
        proposals=tuple(
            Proposal(proposed.score, float(row.max(initial=0.0))) for proposed, row in zip(generated, ious, strict=True)
        ),
    )


def _compute_ious(generated: GeneratedMasks, masks: Sequence[Mask], void: Mask | None) -> NDArray[np.float64]:
    """Compute the IoU of each proposed mask with each object, (P, N)."""
    ious = np.zeros((len(generated), len(masks)))
    for start in range(0, len(generated) if masks else 0, _MASKS_PER_BATCH):
        batch = np.stack([rle.decode(mask.rle) for mask in generated.masks[start : start + _MASKS_PER_BATCH]])
        if void is not None:
            batch &= ~void
        ious[start : start + _MASKS_PER_BATCH] = mask_iou(batch, np.stack(masks))
    return ious


def _find_match(
    key: int, mask: Mask, annotation: Annotation, generated: GeneratedMasks, ious: NDArray[np.float64]
) -> ObjectMatch:
    category, area = annotation.categories.get(key, ""), int(np.count_nonzero(mask))
    if not ious.any():
        return ObjectMatch(key, category, area, 0.0)
    best = int(ious.argmax())
    return ObjectMatch(key, category, area, float(ious[best]), generated[best].rle)
