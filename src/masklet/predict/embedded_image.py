"""Encoded image that predicts masks from prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend, Features, Recall
from masklet.config import NUM_CANDIDATES
from masklet.errors import PromptError, issue
from masklet.masks.masks import Masks
from masklet.predict.mask_checks import check_masks
from masklet.predict.prompt_prediction import (
    PredictedMask,
    PromptedObject,
    PromptRules,
    Steps,
    collect_in_steps,
    run_steps,
)
from masklet.predict.result_masks import build_masks
from masklet.predict.sam2_arguments import refuse_sam2_arguments
from masklet.prompts import EXAMPLE, Prompt, Prompts, group_by_object
from masklet.views.encoded_frame import EncodedFrame, FeatureCache
from masklet.views.found_mask import FoundMask
from masklet.views.view import WHOLE_VIEW, View


class EmbeddedImage:
    """Encoded image, ready for any number of prompts. Build it with `Segmenter.embed`.

    A mask that is probably wrong gets a `MaskWarning` in `Masks.warnings`. An image of `Segmenter.embed` also issues it
    as a Python warning, each kind once for an object.

    With a zoom each object is predicted in a crop around it. The whole image and the crops are encoded when they are
    first needed, and kept in a cache of `masklet.views.encoded_frame.MAX_FEATURE_BYTES`, which drops the least recently
    used one.

    Example:
        >>> image = model.embed("dog.jpg")
        >>> masks = image.predict(click(630, 300))
        >>> masks = image.predict(click(630, 300) + click(690, 400, positive=False), refine=masks)
    """

    def __init__(self, frame: EncodedFrame, view: View = WHOLE_VIEW, *, warn: bool = False) -> None:
        self._frame, self._view, self._warn = frame, view, warn
        self._issued: set[tuple[int, str]] = set()

    def __repr__(self) -> str:
        view = f", {self._view}" if self._view.has_regions else ""
        return f"EmbeddedImage(size={self.size}{view})"

    @staticmethod
    def encode(
        backend: Backend,
        images: Sequence[NDArray[np.uint8]],
        view: View = WHOLE_VIEW,
        *,
        lazy: bool = False,
        warn: bool = False,
    ) -> list[EmbeddedImage]:
        """Encode images (H, W, 3) uint8 RGB of any sizes in one call.

        Args:
            backend: Backend with the model.
            images: The images, which must not change if the view has regions.
            view: Rule that places the regions in which objects are predicted.
            lazy: Encode a whole image only when a prompt first needs it, as a view without a first look always does.
            warn: Issue Python warnings for masks that are probably wrong.
        """
        if view.has_regions and (lazy or not view.looks):
            frames = [EncodedFrame(backend, image, FeatureCache(backend)) for image in images]
        else:
            frames = EncodedFrame.encode_all(backend, images, keep_images=view.has_regions)
        return [EmbeddedImage(frame, view, warn=warn) for frame in frames]

    @property
    def size(self) -> tuple[int, int]:
        """The image's (H, W) in pixels."""
        return self._frame.size

    @property
    def features(self) -> Features:
        """Features of the whole image, as the decoder takes them."""
        return self._frame.attend(None, [Recall()])

    @refuse_sam2_arguments("predict({})")
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
        return run_steps(self._frame.backend, self.predict_in_steps(prompts, multimask=multimask, refine=refine))

    def predict_in_steps(
        self, prompts: Prompts, *, multimask: bool | None = None, refine: Masks | None = None
    ) -> Steps[Masks]:
        """Predict as `predict` does, but yield the calls of the decoder, and be sent their results.

        `masklet.predict.batch_prediction` runs the calls of several predictions together.
        """
        by_object = group_by_object(prompts)
        for prompt in by_object.values():
            prompt.check_fits(self.size)  # before anything is computed
        refined = _select_refined(by_object, refine)
        objects = {
            key: PromptedObject(prompt, _find_mask(refined[key], self.size) if key in refined else None)
            for key, prompt in by_object.items()
        }

        def is_ambiguous(prompt: Prompt, has_mask: bool) -> bool:
            return prompt.point_count <= 1 and not has_mask if multimask is None else multimask

        rules = PromptRules(is_ambiguous, multimask=bool(multimask))
        by_key = yield from collect_in_steps(self._frame, self._view, rules, objects)
        predicted = {key: by_key[key] for key in objects}
        labels = {key: prompt.label or (refined[key].labels[0] if key in refined else None)
                  for key, prompt in by_object.items()}  # fmt: skip
        masks = self._build_masks(predicted, labels, rules)
        masks = replace(masks, warnings=check_masks(masks, by_object))
        self._issue(masks)
        return masks

    def _issue(self, masks: Masks) -> None:
        """Issue the warnings that were not issued before."""
        for warning in masks.warnings if self._warn else ():
            if (warning.object_id, warning.code) not in self._issued:
                self._issued.add((warning.object_id, warning.code))
                issue(warning)

    def _build_masks(
        self, predicted: Mapping[int, PredictedMask], labels: Mapping[int, str | None], rules: PromptRules
    ) -> Masks:
        backend, count = self._frame.backend, NUM_CANDIDATES if rules.multimask else 1
        results = [
            one
            for mask in predicted.values()
            for one in (mask.select_three(backend) if rules.multimask else [mask.select(backend)])
        ]
        keys = [key for key in predicted for _ in range(count)]
        regions, labels_of_keys = [predicted[key].region for key in keys], [labels[key] for key in keys]
        return build_masks(backend, self.size, keys, results, regions, labels_of_keys)


def _find_mask(refined: Masks, size: tuple[int, int]) -> FoundMask:
    """Return the best of an object's masks as one that was found in an image of `size` (H, W)."""
    best = refined.best
    if best.size != size and best.crops[0] is not None:  # the image was resized since
        best = Masks.from_logits(best.logits, best.size)
    logits = best.low_res[0]
    return FoundMask(best.crops[0], size, logits, lambda: logits)


def _select_refined(prompts: Mapping[int, Prompt], refine: Masks | Any | None) -> dict[int, Masks]:
    """Select the masks from which the prediction of each object starts, by object id.

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
    if any(prompt.mask is not None for prompt in prompts.values()):
        raise PromptError("bad-prompt", "a prompt with a mask cannot also refine one; leave one of them out")
    if len(prompts) == 1 and len(set(refine.object_ids)) == 1:
        return dict.fromkeys(prompts, refine)
    unknown = [key for key in prompts if key not in refine.object_ids]
    if unknown:
        raise PromptError(
            "bad-prompt", f"refine has no mask of object {unknown[0]}, only of {sorted(set(refine.object_ids))}"
        )
    return {key: refine.of(key) for key in prompts}
