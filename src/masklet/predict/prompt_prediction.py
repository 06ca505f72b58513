"""Prediction of masks from prompts, on an image or on a frame of a video.

An image is a frame without memories. Both take the same way: place a region by the prompt, encode it, decode the prompt
in it, and zoom in where the view asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend, Decoded, Features, Query, Recall, build_query
from masklet.config import NUM_CANDIDATES
from masklet.prompts import Prompt
from masklet.views.encoded_frame import EncodedFrame
from masklet.views.found_mask import FoundMask
from masklet.views.mapping import map_prompt
from masklet.views.view import Region, View, group_by_region

R = TypeVar("R")


class DecodeCall(NamedTuple):
    """Arguments of `Backend.decode`, which a prediction waits for."""

    features: Features
    queries: list[Query]
    hide: bool


Steps: TypeAlias = Generator[DecodeCall, Decoded, R]
"""Work that yields its calls of the decoder, is sent their results, and returns its own."""


@dataclass(frozen=True, slots=True)
class PromptRules:
    """Rules in which an image and a frame of a video differ.

    Attributes:
        is_ambiguous: Returns whether a prompt gets the best of the three masks, from the prompt and whether it has a
            mask to refine.
        video: The results are memorized: a mask without points is used as it is, instead of being refined, and objects
            whose score is not positive are hidden.
        multimask: Three masks are wanted, so that a prediction is not refined by itself.
    """

    is_ambiguous: Callable[[Prompt, bool], bool]
    video: bool = False
    multimask: bool = False


VIDEO_RULES = PromptRules(lambda prompt, has_mask: prompt.point_count <= 1, video=True)
"""Rules of frames that are memorized."""


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
    region: Region

    def select(self, backend: Backend) -> Decoded:
        """Return the object's result alone."""
        return backend.select(self.decoded, [(self.row, None)])[0]

    def select_three(self, backend: Backend) -> list[Decoded]:
        """Return the three candidates."""
        return backend.select(self.decoded, [(self.row, candidate) for candidate in range(NUM_CANDIDATES)])


def predict_prompts(
    frame: EncodedFrame, view: View, rules: PromptRules, objects: Mapping[int, PromptedObject]
) -> Iterator[tuple[Region, dict[int, PredictedMask]]]:
    """Predict the masks of prompted objects, those in one region in one decoder call.

    Args:
        frame: The image or frame.
        view: Rule that places the regions.
        rules: Rules of images or of videos.
        objects: The objects by id.

    Yields:
        Each region with the final masks of the objects in it, while its features are in the frame's cache.
    """
    steps, decoded = predict_in_steps(frame, view, rules, objects), None
    while True:
        try:
            step = steps.send(decoded)
        except StopIteration:
            return
        decoded = run_decoder(frame.backend, step) if isinstance(step, DecodeCall) else None
        if not isinstance(step, DecodeCall):
            yield step


def predict_in_steps(
    frame: EncodedFrame, view: View, rules: PromptRules, objects: Mapping[int, PromptedObject]
) -> Generator[DecodeCall | tuple[Region, dict[int, PredictedMask]], Decoded | None, None]:
    """Predict as `predict_prompts` does, but yield the calls of the decoder too, and be sent their results."""
    call = _Call(frame, view, rules)
    regions = {key: view.place(one.prompt, one.found, frame.size) for key, one in objects.items()}
    in_whole = {key for key, region in regions.items() if region is None}
    for look in range(view.looks + 1):
        zoomed: dict[int, PromptedObject] = {}
        next_regions: dict[int, Region] = {}
        for region, group in group_by_region(objects, regions.__getitem__):
            predicted = yield from call.predict(region, group)
            for key in in_whole & group.keys() if look < view.looks else ():
                found = call.find_mask(predicted[key]).keep_clicked(group[key].prompt)
                next_regions[key] = view.zoom_in(group[key].prompt, found, frame.size)
                if next_regions[key] is not None:
                    zoomed[key] = replace(group[key], found=found)
            if final := {key: one for key, one in predicted.items() if key not in zoomed}:
                yield region, final
        objects, regions = zoomed, next_regions


def collect_in_steps(
    frame: EncodedFrame, view: View, rules: PromptRules, objects: Mapping[int, PromptedObject]
) -> Steps[dict[int, PredictedMask]]:
    """Return the masks of prompted objects by id, in steps."""
    predicted: dict[int, PredictedMask] = {}
    steps, decoded = predict_in_steps(frame, view, rules, objects), None
    while True:
        try:
            step = steps.send(decoded)
        except StopIteration:
            return predicted
        decoded = (yield step) if isinstance(step, DecodeCall) else None
        if not isinstance(step, DecodeCall):
            predicted |= step[1]


def run_steps(backend: Backend, steps: Steps[R]) -> R:
    """Run the calls of the decoder that work yields, one by one, and return its result."""
    try:
        call = next(steps)
        while True:
            call = steps.send(run_decoder(backend, call))
    except StopIteration as end:
        result: R = end.value
        return result


def run_decoder(backend: Backend, call: DecodeCall) -> Decoded:
    """Run one call of the decoder."""
    return backend.decode(call.features, call.queries, hide=call.hide)


@dataclass(frozen=True, slots=True)
class _Call:
    """Predictions on one frame by one view and set of rules."""

    frame: EncodedFrame
    view: View
    rules: PromptRules

    def predict(self, region: Region, group: Mapping[int, PromptedObject]) -> Steps[dict[int, PredictedMask]]:
        """Predict objects in one region."""
        predicted: dict[int, PredictedMask] = {}
        given = {key: one for key, one in group.items() if self.rules.video and not one.prompt.point_count}
        others = {key: one for key, one in group.items() if key not in given}
        if given:
            predicted |= _list_rows(self._use_masks(region, [*given.values()]), given, region)
        if others:
            decoded = yield from self._decode(region, [*others.values()])
            predicted |= _list_rows(decoded, others, region)
        return predicted

    def find_mask(self, predicted: PredictedMask) -> FoundMask:
        """Return a predicted mask as one that was found; of three candidates, all together measure the object."""
        backend = self.frame.backend

        def fetch_extent() -> NDArray[Any]:
            return np.asarray(backend.fetch(predicted.select_three(backend)).logits.max(axis=0))

        extent = fetch_extent if self.rules.multimask else None
        return FoundMask.of(backend, predicted.select(backend), predicted.region, self.frame.size, extent)

    def _use_masks(self, region: Region, objects: list[PromptedObject]) -> Decoded:
        masks = [self._map(one.prompt, region).mask for one in objects]
        return self.frame.backend.use_masks(self.frame.encode(region), [mask for mask in masks if mask is not None])

    def _decode(self, region: Region, objects: list[PromptedObject]) -> Steps[Decoded]:
        """Decode prompts in a region, twice those that are repeated from their own mask."""
        backend, hide = self.frame.backend, self.rules.video
        attended = self.frame.attend(region, [one.recall for one in objects])
        queries = [self._build_query(region, one) for one in objects]
        decoded = yield DecodeCall(attended, [*queries], hide)
        repeats = self.view.repeats and region is not None and not self.rules.multimask
        repeated = [row for row, one in enumerate(objects) if repeats and one.prompt.mask is None]
        if not repeated:
            return decoded
        selected = backend.select(decoded, [(row, None) for row in repeated])
        for row, one in zip(repeated, selected, strict=True):
            ambiguous = self.rules.is_ambiguous(objects[row].prompt, True)
            queries[row] = queries[row]._replace(mask=one.logits, ambiguous=ambiguous)
        return (yield DecodeCall(attended, queries, hide))

    def _build_query(self, region: Region, one: PromptedObject) -> Query:
        prompt = self._map(one.prompt, region)
        mask = prompt.mask if prompt.mask is not None or one.found is None else one.found.cover(region)
        points = prompt.normalize_points(self.frame.size if region is None else region.size)
        ambiguous = self.rules.is_ambiguous(one.prompt, mask is not None)
        return build_query(points, prompt.labels, mask, ambiguous=ambiguous)

    def _map(self, prompt: Prompt, region: Region) -> Prompt:
        mapped = map_prompt(prompt, region, self.frame.size)
        assert mapped is not None, "a region that is placed for a prompt contains some of it"
        return mapped


def _list_rows(decoded: Decoded, keys: Mapping[int, object], region: Region) -> dict[int, PredictedMask]:
    return {key: PredictedMask(decoded, row, region) for row, key in enumerate(keys)}
