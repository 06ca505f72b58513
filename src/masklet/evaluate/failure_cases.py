"""The worst answers of a run as pictures, to see what goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedClip, Clips, Images
from masklet.evaluate.aggregation import ObjectScores
from masklet.evaluate.click_simulator import next_click, tight_box
from masklet.evaluate.error_images import comparison
from masklet.evaluate.image_protocol import ObjectResult
from masklet.evaluate.interactive import ObjectRounds
from masklet.evaluate.j_and_f import region_similarity
from masklet.evaluate.predictions import Answers
from masklet.evaluate.report import Picture
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.predict.embedded_image import EmbeddedImage
from masklet.prompts import Prompt, mask
from masklet.segmenter import Segmenter

COUNT = 12
OF_ONE = 2  # of one scene come first, so that one that fails altogether leaves room for others

Result = TypeVar("Result")

Mask = NDArray[np.bool_]


def worst_objects(model: Segmenter, data: Images, results: Sequence[ObjectResult], name: str) -> list[Picture]:
    """The objects with the lowest IoUs after the prompt of that name, asked again."""
    pictures = []
    ordered = sorted(results, key=lambda result: result.ious[name])
    for result in _of_many_scenes(ordered, lambda result: result.image):
        image, annotation = data[result.image].read()
        truth = annotation.mask(result.object_id)
        prompt, answer = ask_again(model.embed(image), truth, name)
        what = annotation.categories.get(result.object_id, "")
        caption = f"{result.image}, object {result.object_id} {what}".strip()
        jpeg = comparison(image, truth, answer, prompt)
        pictures.append(Picture(f"{caption}: {name}, IoU {100 * result.ious[name]:.1f}", jpeg))
    return pictures


def worst_frames(scores: Sequence[ObjectScores], truth: Clips, answers: Answers) -> list[Picture]:
    """The frame with the lowest J of each of the worst objects."""
    pictures = []
    ordered = sorted(scores, key=lambda score: float(score.j.mean() + score.f.mean()))
    for score in _of_many_scenes(ordered, lambda score: score.clip):
        clip = truth[score.clip]
        frame = score.frames[int(score.j.argmin())]
        true = clip.annotation(frame)
        answer = answers.of(clip.name).read(clip.frame_names[frame], true.size)
        image = _picture(clip, frame, true.size)
        caption = f"{score.clip}, object {score.object_id}, frame {clip.frame_names[frame]}"
        jpeg = comparison(image, true.mask(score.object_id), answer.mask(score.object_id))
        pictures.append(Picture(f"{caption}: J {100 * score.j.min():.1f}", jpeg))
    return pictures


def worst_rounds(results: Sequence[ObjectRounds], truth: Clips) -> list[Picture]:
    """The frame with the lowest J of each of the objects that stayed worst after all rounds."""
    pictures = []
    ordered = sorted((one for one in results if one.worst), key=lambda one: sum(one.rounds[-1]))
    for result in _of_many_scenes(ordered, lambda one: one.clip):
        assert result.worst is not None, "the others were left out"
        clip, (frame, code) = truth[result.clip], result.worst
        true, answer = clip.annotation(frame).mask(result.object_id), rle.decode(code)
        caption = f"{result.clip}, object {result.object_id}, frame {clip.frame_names[frame]}"
        jpeg = comparison(_picture(clip, frame, true.shape), true, answer)
        pictures.append(Picture(f"{caption}: J {100 * region_similarity(true, answer):.1f}", jpeg))
    return pictures


def ask_again(embedded: EmbeddedImage, truth: Mask, name: str) -> tuple[Prompt, Mask]:
    """The prompt of that name for an object, and the answer to it."""
    if not name.endswith("-click"):
        prompt = tight_box(truth) if name == "box" else mask(truth)
        return prompt, embedded.predict(prompt).binary[0]
    clicks: Prompt | None = None
    found: Masks | None = None
    for _ in range(int(name.removesuffix("-click"))):
        new = next_click(truth, None if found is None else found.binary[0])
        if new is None:
            break
        clicks = new if clicks is None else clicks + new
        found = embedded.predict(clicks, refine=found)
    assert clicks is not None and found is not None, "an object that is not empty gets a click"
    return clicks, found.binary[0]


def _of_many_scenes(ordered: Sequence[Result], scene: Callable[[Result], str]) -> list[Result]:
    """The first few, those last that follow `OF_ONE` others of their scene."""
    seen: Counter[str] = Counter()
    late = []
    for result in ordered:
        seen[scene(result)] += 1
        late.append(seen[scene(result)] > OF_ONE)
    return [ordered[place] for place in sorted(range(len(ordered)), key=late.__getitem__)[:COUNT]]


def _picture(clip: AnnotatedClip, frame: int, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """The frame, or grey where there are true masks only."""
    if clip.source is None:
        return np.full((*size, 3), 128, np.uint8)
    with closing(clip.video()) as video:
        return video[frame]
