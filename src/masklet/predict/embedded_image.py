"""Encoded image that predicts masks from prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend, Features, Predictions, Query, Recall, build_query
from masklet.errors import PromptError
from masklet.masks.masks import Masks
from masklet.predict.sam2_arguments import refuse_sam2_arguments
from masklet.prompts import EXAMPLE, Prompt, Prompts, group_by_object


class EmbeddedImage(Protocol):
    """Encoded image, ready for any number of prompts. Build it with `Segmenter.embed`.

    It is a `FullImage`, or a `ZoomedImage` of a model with a zoom.

    Example:
        >>> image = model.embed("dog.jpg")
        >>> masks = image.predict(click(630, 300))
        >>> masks = image.predict(click(630, 300) + click(690, 400, positive=False), refine=masks)
    """

    @property
    def size(self) -> tuple[int, int]:
        """The image's (H, W) in pixels."""

    def predict(self, prompts: Prompts, *, multimask: bool | None = None, refine: Masks | None = None) -> Masks:
        """Predict one mask per object.

        Args:
            prompts: A prompt of object 1, a list of prompts of objects 1, 2, …, or a mapping from object id to prompt.
                Coordinates are pixels of the image, (x, y).
            multimask: With True, return the three candidate masks of each object, all with its object id. With False,
                return the single mask, or the best of the three if the single one is unstable. By default, a lone
                click gets the best of the three, since it is ambiguous, and any other prompt the single mask.
            refine: Masks of an earlier call, from which the prediction starts: of each object the best one, or the
                masks of the only object for the only prompt.

        Returns:
            Masks at the image's size in the order of `prompts`: N, or 3 N with `multimask=True`.

        Raises:
            PromptError: A point lies outside the image, an argument is not a prompt, or `refine` has no mask of a
                prompted object.
        """


@dataclass(frozen=True, slots=True)
class FullImage:
    """Encoded image, resized as a whole to the network's square.

    Attributes:
        backend: Backend with the model.
        features: The image's features, B = 1.
        size: The image's (H, W) in pixels.
    """

    backend: Backend
    features: Features
    size: tuple[int, int]

    def __repr__(self) -> str:
        return f"FullImage(size={self.size})"

    @staticmethod
    def encode(backend: Backend, images: Sequence[NDArray[np.uint8]]) -> list[FullImage]:
        """Encode images (H, W, 3) uint8 RGB of any sizes in one call."""
        return [
            FullImage(backend, backend.attend(features, [Recall()]), image.shape[:2])
            for image, features in zip(images, backend.encode(images) if images else [], strict=True)
        ]

    @refuse_sam2_arguments("predict({})")
    def predict(self, prompts: Prompts, *, multimask: bool | None = None, refine: Masks | None = None) -> Masks:
        """Predict one mask per object in one decoder call: see `EmbeddedImage.predict`."""
        by_object = group_by_object(prompts)
        refined = masks_to_refine(by_object, refine)
        queries = [self._query(prompt, refined.get(key), multimask) for key, prompt in by_object.items()]
        decoded = self.backend.decode(self.features, queries)
        if multimask:
            return self._masks(self.backend.fetch_candidates(decoded), [key for key in by_object for _ in range(3)])
        return self._masks(self.backend.fetch([decoded]), list(by_object))

    def _query(self, prompt: Prompt, refined: Masks | None, multimask: bool | None) -> Query:
        mask = prompt.mask if refined is None else refined.low_res[0]
        ambiguous = prompt.point_count <= 1 and mask is None if multimask is None else multimask
        return build_query(prompt.normalize_points(self.size), prompt.labels, mask, ambiguous=ambiguous)

    def _masks(self, predictions: Predictions, object_ids: Sequence[int]) -> Masks:
        return Masks(
            low_res=predictions.logits,
            size=self.size,
            scores=predictions.iou.astype(np.float32),
            object_ids=tuple(object_ids),
            object_scores=predictions.object_score.astype(np.float32),
        )


def masks_to_refine(prompts: Mapping[int, Prompt], refine: Masks | Any | None) -> dict[int, Masks]:
    """Select the mask from which the prediction of each object starts, by object id.

    Raises:
        PromptError: `refine` is not `Masks`, has no mask of a prompted object, or a prompt has a mask of its own.
    """
    if refine is None:
        return {}
    if not isinstance(refine, Masks):
        raise PromptError(
            "bad-prompt",
            f"refine takes the Masks of an earlier call, got {type(refine).__name__}; "
            f"write predict({EXAMPLE}, refine=masks)",
        )
    if len(prompts) == 1 and len(set(refine.object_ids)) == 1:
        return dict.fromkeys(prompts, refine.best)
    unknown = [key for key in prompts if key not in refine.object_ids]
    if unknown:
        raise PromptError(
            "bad-prompt", f"refine has no mask of object {unknown[0]}, only of {sorted(set(refine.object_ids))}"
        )
    if any(prompt.mask is not None for prompt in prompts.values()):
        raise PromptError("bad-prompt", "a prompt with a mask cannot also refine one; leave one of them out")
    return {key: refine.of(key).best for key in prompts}
