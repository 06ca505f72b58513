"""Warnings of masks that may be wrong: how many masks each check reports, and how many of these are wrong.

A mask is wrong if its IoU with the ground truth is below 0.5, and good if it is above 0.75. Objects of images are
prompted with a click on their deepest pixel, with their box, and with a click on the deepest pixel that is not theirs.
Objects of clips are tracked from their mask on the first frame. Jumps of the area are counted by object, in the tracked
masks and in the ground truth.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import torch

import masklet
from masklet.datasets.dataset import AnnotatedClip, AnnotatedImage
from masklet.datasets.layouts import open_clips, open_images
from masklet.evaluate.click_simulator import simulate_box, simulate_click
from masklet.masks.iou import mask_iou
from masklet.predict.mask_checks import MIN_SCORE, MaskFacts
from masklet.prompts import Prompt, click, mask
from masklet.segmenter import Segmenter
from masklet.tracking.monitor import TrackingMonitor

MAX_OBJECTS = 12  # of an image
WRONG, GOOD = 0.5, 0.75  # IoU
IMAGE_CHECKS = ("low-score", "tiny-mask", "mask-covers-image")


class Checked(NamedTuple):
    """IoU of a mask with its ground truth, and the codes of its warnings."""

    iou: float
    codes: frozenset[str]


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure images and clips and return one row for each check and kind of prompt."""
    parser = argparse.ArgumentParser(prog="scripts/bench mask_warnings", description=__doc__)
    parser.add_argument("--images", type=Path, nargs="+", required=True, metavar="DATA", help="annotated images")
    parser.add_argument("--clips", type=Path, nargs="+", required=True, metavar="DATA", help="annotated clips")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", masklet.MaskWarning)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = masklet.load(options.model, device=options.device)
    by_prompt: dict[str, list[Checked]] = defaultdict(list)
    for record in (record for folder in options.images for record in open_images(folder)):
        for prompt, checked in _check_image(model, record):
            by_prompt[prompt].append(checked)
    rows = [_summarize(code, prompt, checked) for prompt, checked in by_prompt.items() for code in IMAGE_CHECKS]
    clips = [clip for folder in options.clips for clip in open_clips(folder)]
    rows += _check_clips(model, clips)
    return [{"device": options.device, **row} for row in rows]


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("check", "check", "{}"),
        ("prompt", "masks", "{}"),
        ("masks", "number", "{}"),
        ("wrong", "wrong", "{}"),
        ("good", "good", "{}"),
        ("reported", "reported", "{}"),
        ("reported_wrong", "of which wrong", "{}"),
        ("reported_good", "of which good", "{}"),
    ]


def _check_image(model: Segmenter, record: AnnotatedImage) -> Iterable[tuple[str, Checked]]:
    image, annotation = record.read()
    embedded = model.embed(image, warn=False)
    masks = [annotation.mask(key) for key in annotation.object_ids]
    for expected in [one for one in masks if one.any()][:MAX_OBJECTS]:
        beside = simulate_click(~expected)
        assert beside is not None, "an object does not cover its image"
        prompts: dict[str, Prompt] = {
            "a click on the object": click(*_position(expected)),
            "a box": simulate_box(expected),
            "a click beside the object": beside,
        }
        for name, prompt in prompts.items():
            found = embedded.predict(prompt)
            iou = float(mask_iou(found.binary, expected[None])[0, 0])
            yield name, Checked(iou, frozenset(warning.code for warning in found.warnings))


def _position(expected: Any) -> tuple[float, float]:
    prompt = simulate_click(expected)
    assert prompt is not None, "the object has pixels"
    x, y = prompt.points[0].tolist()
    return x, y


def _check_clips(model: Segmenter, clips: Sequence[AnnotatedClip]) -> list[dict[str, Any]]:
    tracked: list[Checked] = []
    jumps = {"tracked": 0, "ground truth": 0}
    objects = 0
    for clip in clips:
        first = clip.first_masks()
        start = min(first)
        prompts = {start: {key: mask(one) for key, one in first[start].items()}}
        monitors = {name: TrackingMonitor() for name in jumps}
        objects += len(first[start])
        with clip.video() as video:  # type: ignore[attr-defined]
            for frame in model.track(video, prompts):
                annotation = clip.annotation(frame.index) if frame.index in clip.annotations else None
                expected_masks = {key: annotation.mask(key) for key in frame.masks.object_ids} if annotation else {}
                areas = {
                    "tracked": dict(zip(frame.masks.object_ids, frame.masks.areas.tolist(), strict=True)),
                    "ground truth": {key: int(expected.sum()) for key, expected in expected_masks.items()},
                }
                for name, monitor in monitors.items():
                    facts = [MaskFacts(key, 1.0, area) for key, area in areas[name].items()]
                    found = monitor.check(frame.index, frame.masks.size, facts, {})
                    jumps[name] += sum(warning.code == "area-jump" for warning in found)
                for key, score, binary in zip(
                    frame.masks.object_ids, frame.masks.scores, frame.masks.binary, strict=True
                ):
                    if key in expected_masks and frame.index > start:
                        codes = frozenset({"low-score"} if score < MIN_SCORE else ())
                        tracked.append(Checked(float(mask_iou(binary[None], expected_masks[key][None])[0, 0]), codes))
    row = _summarize("low-score", "tracked", tracked)
    return [row] + [
        {
            **dict.fromkeys(("wrong", "good", "reported_wrong", "reported_good"), "–"),
            "check": "area-jump",
            "prompt": f"objects of clips, {name}",
            "masks": objects,
            "reported": count,
        }
        for name, count in jumps.items()
    ]


def _summarize(code: str, prompt: str, checked: Sequence[Checked]) -> dict[str, Any]:
    reported = [one for one in checked if code in one.codes]
    return {
        "check": code,
        "prompt": prompt,
        "masks": len(checked),
        "wrong": sum(one.iou < WRONG for one in checked),
        "good": sum(one.iou > GOOD for one in checked),
        "reported": len(reported),
        "reported_wrong": sum(one.iou < WRONG for one in reported),
        "reported_good": sum(one.iou > GOOD for one in reported),
    }
