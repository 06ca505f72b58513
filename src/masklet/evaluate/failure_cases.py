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
from masklet.evaluate.click_simulator import simulate_box, simulate_click
from masklet.evaluate.error_images import draw_comparison
from masklet.evaluate.image_protocol import ObjectIous
from masklet.evaluate.interactive import ObjectRounds
from masklet.evaluate.j_and_f import compute_region_similarity
from masklet.evaluate.predictions import PredictionFolder
from masklet.evaluate.report import CaptionedImage
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.predict.embedded_image import EmbeddedImage
from masklet.prompts import Prompt, mask
from masklet.segmenter import Segmenter

MAX_IMAGES = 12
MAX_PER_SCENE_FIRST = 2  # of one scene come first, so that one that fails altogether leaves room for others

Result = TypeVar("Result")

Mask = NDArray[np.bool_]


def draw_worst_objects(
    model: Segmenter, data: Images, results: Sequence[ObjectIous], prompt_name: str
) -> list[CaptionedImage]:
    """The objects with the lowest IoUs after the prompt of that name, asked again."""
    pictures = []
    ordered = sorted(results, key=lambda result: result.ious[prompt_name])
    for result in _spread_over_scenes(ordered, lambda result: result.image):
        image, annotation = data[result.image].read()
        truth = annotation.mask(result.object_id)
        prompt, answer = _predict_again(model.embed(image), truth, prompt_name)
        what = annotation.categories.get(result.object_id, "")
        caption = f"{result.image}, object {result.object_id} {what}".strip()
        jpeg = draw_comparison(image, truth, answer, prompt)
        pictures.append(CaptionedImage(f"{caption}: {prompt_name}, IoU {100 * result.ious[prompt_name]:.1f}", jpeg))
    return pictures


def draw_worst_frames(
    scores: Sequence[ObjectScores], ground_truth: Clips, predictions: PredictionFolder
) -> list[CaptionedImage]:
    """The frame with the lowest J of each of the worst objects."""
    pictures = []
    ordered = sorted(scores, key=lambda score: float(score.j.mean() + score.f.mean()))
    for score in _spread_over_scenes(ordered, lambda score: score.clip):
        clip = ground_truth[score.clip]
        frame = score.frames[int(score.j.argmin())]
        true = clip.annotation(frame)
        answer = predictions.open_clip(clip.name).read_frame(clip.frame_names[frame], true.size)
        image = _read_frame(clip, frame, true.size)
        caption = f"{score.clip}, object {score.object_id}, frame {clip.frame_names[frame]}"
        jpeg = draw_comparison(image, true.mask(score.object_id), answer.mask(score.object_id))
        pictures.append(CaptionedImage(f"{caption}: J {100 * score.j.min():.1f}", jpeg))
    return pictures


def draw_worst_rounds(results: Sequence[ObjectRounds], ground_truth: Clips) -> list[CaptionedImage]:
    """The frame with the lowest J of each of the objects that stayed worst after all rounds."""
    pictures = []
    ordered = sorted((one for one in results if one.worst), key=lambda one: sum(one.rounds[-1]))
    for result in _spread_over_scenes(ordered, lambda one: one.clip):
        assert result.worst is not None, "the others were left out"
        clip, (frame, code) = ground_truth[result.clip], result.worst
        true, answer = clip.annotation(frame).mask(result.object_id), rle.decode(code)
        caption = f"{result.clip}, object {result.object_id}, frame {clip.frame_names[frame]}"
        jpeg = draw_comparison(_read_frame(clip, frame, true.shape), true, answer)
        pictures.append(CaptionedImage(f"{caption}: J {100 * compute_region_similarity(true, answer):.1f}", jpeg))
    return pictures


def _predict_again(embedded: EmbeddedImage, ground_truth: Mask, prompt_name: str) -> tuple[Prompt, Mask]:
    """The prompt of that name for an object, and the answer to it."""
    if not prompt_name.endswith("-click"):
        prompt = simulate_box(ground_truth) if prompt_name == "box" else mask(ground_truth)
        return prompt, embedded.predict(prompt).binary[0]
    clicks: Prompt | None = None
    found: Masks | None = None
    for _ in range(int(prompt_name.removesuffix("-click"))):
        new = simulate_click(ground_truth, None if found is None else found.binary[0])
        if new is None:
            break
        clicks = new if clicks is None else clicks + new
        found = embedded.predict(clicks, refine=found)
    assert clicks is not None and found is not None, "an object that is not empty gets a click"
    return clicks, found.binary[0]


def _spread_over_scenes(ordered: Sequence[Result], scene: Callable[[Result], str]) -> list[Result]:
    """The first few, those last that follow `OF_ONE` others of their scene."""
    seen: Counter[str] = Counter()
    late = []
    for result in ordered:
        seen[scene(result)] += 1
        late.append(seen[scene(result)] > MAX_PER_SCENE_FIRST)
    return [ordered[place] for place in sorted(range(len(ordered)), key=late.__getitem__)[:MAX_IMAGES]]


def _read_frame(clip: AnnotatedClip, frame: int, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """The frame, or grey where there are true masks only."""
    if clip.source is None:
        return np.full((*size, 3), 128, np.uint8)
    with closing(clip.video()) as video:
        return video[frame]
