"""Failure cases: images of the objects with the lowest scores of an evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedClip, Clips, Images
from masklet.evaluate.aggregation import ObjectScores
from masklet.evaluate.click_protocol import ObjectClicks
from masklet.evaluate.click_simulator import simulate_box, simulate_click
from masklet.evaluate.error_images import draw_comparison
from masklet.evaluate.generator_protocol import ImageProposals
from masklet.evaluate.image_protocol import ObjectIous
from masklet.evaluate.interactive import ObjectRounds
from masklet.evaluate.j_and_f import compute_region_similarity
from masklet.evaluate.predictions import PredictionFolder
from masklet.evaluate.report import CaptionedImage
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.predict.embedded_image import EmbeddedImage
from masklet.prompts import Prompt, click, mask
from masklet.segmenter import Segmenter

MAX_IMAGES = 12
MAX_PER_SCENE_FIRST = 2  # further objects of an image or clip come after those of all others

Result = TypeVar("Result")

Mask = NDArray[np.bool_]


def draw_worst_objects(
    model: Segmenter, data: Images, results: Sequence[ObjectIous], prompt_name: str
) -> list[CaptionedImage]:
    """Draw the objects with the lowest IoUs after one kind of prompt, which is predicted again for the drawing."""
    images = []
    ordered = sorted(results, key=lambda result: result.ious[prompt_name])
    for result in _spread_over_scenes(ordered, lambda result: result.image):
        image, annotation = data[result.image].read()
        ground_truth = annotation.mask(result.object_id)
        prompt, prediction = _predict_again(model.embed(image, warn=False), ground_truth, prompt_name)
        category = annotation.categories.get(result.object_id, "")
        caption = f"{result.image}, object {result.object_id} {category}".strip()
        jpeg = draw_comparison(image, ground_truth, prediction, prompt)
        images.append(CaptionedImage(f"{caption}: {prompt_name}, IoU {100 * result.ious[prompt_name]:.1f}", jpeg))
    return images


def draw_worst_clicks(model: Segmenter, data: Images, results: Sequence[ObjectClicks]) -> list[CaptionedImage]:
    """Draw the worst click on each of the objects with the lowest medians, which is predicted again for the drawing."""
    images = []
    ordered = sorted(results, key=lambda result: result.median)
    for result in _spread_over_scenes(ordered, lambda result: result.image):
        image, annotation = data[result.image].read()
        worst = result.ious.index(min(result.ious))
        prompt = click(*result.clicks[worst])
        prediction = model.embed(image, warn=False).predict(prompt).binary[0]
        caption = f"{result.image}, object {result.object_id} {result.category}".strip()
        jpeg = draw_comparison(image, annotation.mask(result.object_id), prediction, prompt)
        details = f"median IoU {100 * result.median:.1f}, worst click {100 * result.ious[worst]:.1f}"
        images.append(CaptionedImage(f"{caption}: {details}", jpeg))
    return images


def draw_missed_objects(data: Images, results: Sequence[ImageProposals]) -> list[CaptionedImage]:
    """Draw the objects that the mask generator found worst, each with the proposed mask of the highest IoU."""
    images = []
    pairs = [(result.image, match) for result in results for match in result.objects]
    for name, match in _spread_over_scenes(sorted(pairs, key=lambda pair: pair[1].iou), lambda pair: pair[0]):
        image, annotation = data[name].read()
        ground_truth = annotation.mask(match.object_id)
        proposed = np.zeros_like(ground_truth) if match.rle is None else rle.decode(dict(match.rle))
        caption = f"{name}, object {match.object_id} {match.category}".strip()
        jpeg = draw_comparison(image, ground_truth, proposed)
        images.append(CaptionedImage(f"{caption}: best IoU {100 * match.iou:.1f}", jpeg))
    return images


def draw_worst_frames(
    scores: Sequence[ObjectScores], ground_truth: Clips, predictions: PredictionFolder
) -> list[CaptionedImage]:
    """Draw the frame with the lowest J of each of the objects with the lowest J&F."""
    images = []
    ordered = sorted(scores, key=lambda score: float(score.j.mean() + score.f.mean()))
    for score in _spread_over_scenes(ordered, lambda score: score.clip):
        clip = ground_truth[score.clip]
        frame = score.frames[int(score.j.argmin())]
        annotation = clip.annotation(frame)
        predicted = predictions.open_clip(clip.name).read_frame(clip.frame_names[frame], annotation.size)
        image = _read_frame(clip, frame, annotation.size)
        caption = f"{score.clip}, object {score.object_id}, frame {clip.frame_names[frame]}"
        jpeg = draw_comparison(image, annotation.mask(score.object_id), predicted.mask(score.object_id))
        images.append(CaptionedImage(f"{caption}: J {100 * score.j.min():.1f}", jpeg))
    return images


def draw_worst_rounds(results: Sequence[ObjectRounds], ground_truth: Clips) -> list[CaptionedImage]:
    """Draw the frame with the lowest J of each of the objects with the lowest J&F after the last round."""
    images = []
    ordered = sorted((result for result in results if result.worst), key=lambda result: sum(result.rounds[-1]))
    for result in _spread_over_scenes(ordered, lambda result: result.clip):
        assert result.worst is not None, "objects without a worst frame were filtered out"
        clip, (frame, encoded) = ground_truth[result.clip], result.worst
        true, predicted = clip.annotation(frame).mask(result.object_id), rle.decode(encoded)
        caption = f"{result.clip}, object {result.object_id}, frame {clip.frame_names[frame]}"
        jpeg = draw_comparison(_read_frame(clip, frame, true.shape), true, predicted)
        images.append(CaptionedImage(f"{caption}: J {100 * compute_region_similarity(true, predicted):.1f}", jpeg))
    return images


def _predict_again(embedded: EmbeddedImage, ground_truth: Mask, prompt_name: str) -> tuple[Prompt, Mask]:
    """Simulate the named prompt for an object and return it with the predicted mask."""
    if not prompt_name.endswith("-click"):
        prompt = simulate_box(ground_truth) if prompt_name == "box" else mask(ground_truth)
        return prompt, embedded.predict(prompt).binary[0]
    clicks: Prompt | None = None
    masks: Masks | None = None
    for _ in range(int(prompt_name.removesuffix("-click"))):
        new = simulate_click(ground_truth, None if masks is None else masks.binary[0])
        if new is None:
            break
        clicks = new if clicks is None else clicks + new
        masks = embedded.predict(clicks, refine=masks)
    assert clicks is not None and masks is not None, "a mask that is not empty gets a click"
    return clicks, masks.binary[0]


def _spread_over_scenes(ordered: Sequence[Result], scene: Callable[[Result], str]) -> list[Result]:
    """Choose the first `MAX_IMAGES` results; those after `MAX_PER_SCENE_FIRST` others of their scene come last."""
    seen: Counter[str] = Counter()
    is_late = []
    for result in ordered:
        seen[scene(result)] += 1
        is_late.append(seen[scene(result)] > MAX_PER_SCENE_FIRST)
    return [ordered[index] for index in sorted(range(len(ordered)), key=is_late.__getitem__)[:MAX_IMAGES]]


def _read_frame(clip: AnnotatedClip, frame: int, size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read a frame of a clip. Without frames, the result is a gray image."""
    if clip.source is None:
        return np.full((*size, 3), 128, np.uint8)
    with closing(clip.video()) as video:
        return video[frame]
