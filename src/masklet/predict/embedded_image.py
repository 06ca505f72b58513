"""Encoded pictures, ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend, Features, Predictions, Query, Recall, build_query
from masklet.errors import PromptError
from masklet.masks.masks import Masks
from masklet.prompts import EXAMPLE, Prompt, Prompts, group_by_object, refuse_sam2_arguments


class EmbeddedImage(Protocol):
    """A picture that is ready for any number of prompts: a `FullImage`, or a `ZoomedImage` of a model that zooms."""

    @property
    def size(self) -> tuple[int, int]:
        """The picture's (H, W)."""

    def predict(self, prompts: Prompts, *, multimask: bool | None = None, refine: Masks | None = None) -> Masks:
        """The masks of one prompt, of several (objects 1, 2, …) or of `{object_id: prompt}`.

        One mask each by default: the best of three for a lone click, which is ambiguous, and the single mask for
        anything that says more. `multimask=True` gives all three of each prompt, under the same object id;
        `multimask=False` the single one, unless it is unstable. `refine` feeds earlier masks back: for each prompt the
        best mask of its object, or the one mask there is.

        Raises `PromptError` for prompts outside the picture, for anything that is no prompt, and for masks to refine
        that do not fit.
        """


@dataclass(frozen=True, slots=True)
class FullImage:
    """A picture of `size` (H, W) as the network sees it: squashed to its square."""

    backend: Backend
    features: Features
    size: tuple[int, int]

    def __repr__(self) -> str:
        return f"FullImage(size={self.size})"

    @staticmethod
    def encode(backend: Backend, pictures: Sequence[NDArray[np.uint8]]) -> list[FullImage]:
        """Pictures (H, W, 3) uint8 RGB of any sizes, encoded in one call."""
        return [
            FullImage(backend, backend.attend(features, [Recall()]), picture.shape[:2])
            for picture, features in zip(pictures, backend.encode(pictures) if pictures else [], strict=True)
        ]

    @refuse_sam2_arguments("predict({})")
    def predict(self, prompts: Prompts, *, multimask: bool | None = None, refine: Masks | None = None) -> Masks:
        """`EmbeddedImage.predict`, in one decoder call."""
        asked = group_by_object(prompts)
        earlier = masks_to_refine(asked, refine)
        queries = [self._query(prompt, earlier.get(key), multimask) for key, prompt in asked.items()]
        decoded = self.backend.decode(self.features, queries)
        if multimask:
            return self._masks(self.backend.fetch_candidates(decoded), [key for key in asked for _ in range(3)])
        return self._masks(self.backend.fetch([decoded]), list(asked))

    def _query(self, prompt: Prompt, earlier: Masks | None, multimask: bool | None) -> Query:
        mask = prompt.mask if earlier is None else earlier.low_res[0]
        ambiguous = prompt.point_count <= 1 and mask is None if multimask is None else multimask
        return build_query(prompt.normalize_points(self.size), prompt.labels, mask, ambiguous=ambiguous)

    def _masks(self, answers: Predictions, object_ids: Sequence[int]) -> Masks:
        return Masks(
            low_res=answers.logits,
            size=self.size,
            scores=answers.iou.astype(np.float32),
            object_ids=tuple(object_ids),
            object_scores=answers.object_score.astype(np.float32),
        )


def masks_to_refine(asked: Mapping[int, Prompt], refine: Masks | Any | None) -> dict[int, Masks]:
    """The mask to start from, per object. Raises `PromptError` where `refine` is not masks, or not of these objects."""
    if refine is None:
        return {}
    if not isinstance(refine, Masks):
        raise PromptError(
            "bad-prompt",
            f"refine takes the Masks of an earlier call, got {type(refine).__name__}; "
            f"write predict({EXAMPLE}, refine=masks)",
        )
    if len(asked) == 1 and len(set(refine.object_ids)) == 1:
        return dict.fromkeys(asked, refine.best)
    unknown = [key for key in asked if key not in refine.object_ids]
    if unknown:
        raise PromptError(
            "bad-prompt", f"refine has no mask of object {unknown[0]}, only of {sorted(set(refine.object_ids))}"
        )
    if any(prompt.mask is not None for prompt in asked.values()):
        raise PromptError("bad-prompt", "a prompt with a mask cannot also refine one; leave one of them out")
    return {key: refine.of(key).best for key in asked}
