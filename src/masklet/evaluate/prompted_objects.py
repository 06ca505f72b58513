"""Objects of an embedded image that are prompted together, with their ground truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedImage
from masklet.evaluate.j_and_f import compute_region_similarity
from masklet.masks.masks import Masks
from masklet.predict.embedded_image import EmbeddedImage
from masklet.segmenter import Segmenter

Mask = NDArray[np.bool_]

MAX_OBJECTS_PER_CALL = 32  # objects of one image in one prediction; bounds the memory for their masks


@dataclass(frozen=True, slots=True, eq=False)
class PromptedObjects:
    """Objects of one image that are prompted together, none of them empty; `void` pixels belong to no object."""

    image: NDArray[np.uint8]
    embedded: EmbeddedImage
    ground_truths: Mapping[int, Mask]
    void: Mask | None = None
    categories: Mapping[int, str] = field(default_factory=dict)

    def get_masks(self, masks: Masks) -> dict[int, Mask]:
        """Return the mask of each object without void pixels."""
        pairs = zip(masks.object_ids, masks.binary, strict=True)
        return {key: mask if self.void is None else mask & ~self.void for key, mask in pairs}

    def compute_iou(self, key: int, prediction: Mask) -> float:
        """Compute the IoU of a prediction with the ground truth of the object."""
        return compute_region_similarity(
            self.ground_truths[key], prediction if self.void is None else prediction & ~self.void
        )


def embed_objects(model: Segmenter, record: AnnotatedImage) -> Iterator[PromptedObjects]:
    """Embed an image once and yield its objects in the order of their ids, `MAX_OBJECTS_PER_CALL` at a time.

    Empty objects are left out.

    Raises:
        MaskletError: The image or its annotation cannot be read.
    """
    image, annotation = record.read()
    embedded = model.embed(image, lazy=True, warn=False)
    for start in range(0, len(annotation.object_ids), MAX_OBJECTS_PER_CALL):
        masks = {key: annotation.mask(key) for key in annotation.object_ids[start : start + MAX_OBJECTS_PER_CALL]}
        visible = {key: mask for key, mask in masks.items() if mask.any()}
        yield PromptedObjects(image, embedded, visible, annotation.void, annotation.categories)
