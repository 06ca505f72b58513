"""Prediction of masks from prompts, on an image or on a frame of a video.

An image is a frame without memories. Both take the same way: place a region by the prompt, encode it, decode the prompt
in it, and zoom in where the view asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from masklet.backend import Backend, Decoded, Query, Recall, build_query
from masklet.masks.crop import Crop
from masklet.prompts import Prompt
from masklet.views.encoded_frame import EncodedFrame
from masklet.views.found_mask import FoundMask
from masklet.views.mapping import map_prompt
from masklet.views.view import View, group_by_region


@dataclass(frozen=True, slots=True)
class PromptRules:
    """Rules in which an image and a frame of a video differ.

    Attributes:
        is_ambiguous: Returns whether a prompt gets the best of the three masks, from the prompt and whether it has a
            mask to refine.
        hide: Hide objects whose score is not positive.
        use_masks: Use a mask without points as it is, instead of refining it.
        multimask: Three masks are wanted, so that a prediction is not refined by itself.
    """

    is_ambiguous: Callable[[Prompt, bool], bool]
    hide: bool = False
    use_masks: bool = False
    multimask: bool = False


@dataclass(frozen=True, slots=True)
class PromptedObject:
    """Object that is predicted from a prompt.

    Attributes:
        prompt: The prompt, in pixels of the image.
        found: The object's mask so far, from which the prediction starts.
        recall: The object's memories.
    """

    prompt: Prompt
    found: FoundMask | None = None
    recall: Recall = field(default_factory=Recall)


class PredictedMask(NamedTuple):
    """Row of a decoder call.

    Attributes:
        decoded: Result of the call.
        row: Position of the object in it.
        region: Part of the image that the logits cover; None is the whole image.
    """

    decoded: Decoded
    row: int
    region: Crop | None

    def select(self, backend: Backend) -> Decoded:
        """Return the object's result alone."""
        return backend.select(self.decoded, [(self.row, None)])[0]

    def select_three(self, backend: Backend) -> list[Decoded]:
        """Return the three candidates."""
        return backend.select(self.decoded, [(self.row, candidate) for candidate in range(3)])


def predict_prompts(
    frame: EncodedFrame, view: View, rules: PromptRules, objects: Mapping[int, PromptedObject]
) -> dict[int, PredictedMask]:
    """Predict the masks of prompted objects, those in one region in one decoder call.

    Args:
        frame: The image or frame.
        view: Rule that places the regions.
        rules: Rules of images or of videos.
        objects: The objects by id.
    """
    regions = {key: view.place(one.prompt, one.found, frame.size) for key, one in objects.items()}
    predicted = _predict_in(regions, frame, rules, objects)
    looking = {key: one for key, one in objects.items() if regions[key] is None}
    for _ in range(view.looks):
        found = {key: _find_mask(predicted[key], frame, rules).keep_clicked(one.prompt) for key, one in looking.items()}
        regions = {key: view.zoom_in(looking[key].prompt, mask, frame.size) for key, mask in found.items()}
        looking = {key: replace(one, found=found[key]) for key, one in looking.items() if regions[key] is not None}
        predicted |= _predict_in(regions, frame, rules, looking)
    return {key: predicted[key] for key in objects}


def _predict_in(
    regions: Mapping[int, Crop | None], frame: EncodedFrame, rules: PromptRules, objects: Mapping[int, PromptedObject]
) -> dict[int, PredictedMask]:
    predicted: dict[int, PredictedMask] = {}
    for region, group in group_by_region(objects, regions.__getitem__):
        given = {key: one for key, one in group.items() if rules.use_masks and not one.prompt.point_count}
        others = {key: one for key, one in group.items() if key not in given}
        for part, predict in ((given, _use_masks), (others, _decode)):
            if part:
                decoded = predict(region, frame, rules, [*part.values()])
                predicted |= {key: PredictedMask(decoded, row, region) for row, key in enumerate(part)}
    return predicted


def _use_masks(region: Crop | None, frame: EncodedFrame, rules: PromptRules, objects: list[PromptedObject]) -> Decoded:
    masks = [_map(one.prompt, region, frame).mask for one in objects]
    return frame.backend.use_masks(frame.encode(region), [mask for mask in masks if mask is not None])


def _decode(region: Crop | None, frame: EncodedFrame, rules: PromptRules, objects: list[PromptedObject]) -> Decoded:
    """Decode prompts in a region. A prompt without a mask is decoded again with the mask that was predicted there."""
    attended = frame.attend(region, [one.recall for one in objects])
    queries = [_build_query(region, frame, rules, one) for one in objects]
    decoded = frame.backend.decode(attended, queries, hide=rules.hide)
    again = [one.prompt.mask is None and region is not None and not rules.multimask for one in objects]
    if not any(again):
        return decoded
    selected = frame.backend.select(decoded, [(row, None) for row in range(len(objects))])
    queries = [
        query._replace(mask=one.logits, ambiguous=rules.is_ambiguous(prompted.prompt, True)) if repeated else query
        for query, one, prompted, repeated in zip(queries, selected, objects, again, strict=True)
    ]
    return frame.backend.decode(attended, queries, hide=rules.hide)


def _build_query(region: Crop | None, frame: EncodedFrame, rules: PromptRules, one: PromptedObject) -> Query:
    prompt = _map(one.prompt, region, frame)
    mask = prompt.mask if prompt.mask is not None or one.found is None else one.found.cover(region)
    points = prompt.normalize_points(frame.size if region is None else region.size)
    return build_query(points, prompt.labels, mask, ambiguous=rules.is_ambiguous(one.prompt, mask is not None))


def _map(prompt: Prompt, region: Crop | None, frame: EncodedFrame) -> Prompt:
    mapped = map_prompt(prompt, region, frame.size)
    assert mapped is not None, "a region that is placed for a prompt contains some of it"
    return mapped


def _find_mask(predicted: PredictedMask, frame: EncodedFrame, rules: PromptRules) -> FoundMask:
    backend = frame.backend
    selected = predicted.select(backend)
    return FoundMask(
        predicted.region,
        frame.size,
        selected.logits,
        lambda: backend.fetch([selected]).logits[0],
        (lambda: backend.fetch(predicted.select_three(backend)).logits.max(axis=0)) if rules.multimask else None,
    )
