"""Accuracy and time of each memory policy on clips with ground truth, with and without the zoom.

The prompt is the ground-truth mask on the first frame of each object. J&F, J and F are means over objects in percent,
of all annotated frames but the first and the last. A policy with several hypotheses gives the masks of the best one at
the end. `predicted` is the share of masks whose predicted IoU exceeds 0.8, DAM4SAM's threshold. Time is processor time
per frame on one thread, with the reading of frames and without scoring.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

import masklet
from benchmarks.plots import draw_bars
from masklet.datasets.dataset import AnnotatedClip
from masklet.datasets.layouts import open_clips
from masklet.evaluate.aggregation import ObjectScores, average_scores
from masklet.evaluate.j_and_f import compute_j_and_f
from masklet.evaluate.vos import FirstPrompt, track_clip
from masklet.masks.masks import Masks
from masklet.memory.dam4sam import Dam4SamMemory
from masklet.memory.policies import POLICIES, parse_memory
from masklet.memory.policy import MemoryPolicy
from masklet.segmenter import Segmenter

ZOOMS = (2.0, 0.0)
MIN_IOU = Dam4SamMemory.min_iou
LOW_MIN_IOU = 0.5  # for models whose predicted IoU is rarely above DAM4SAM's threshold
PROMPT = FirstPrompt.parse("mask")


class Measured(NamedTuple):
    """Scores of the objects of a clip, predicted IoUs of all masks, and processor time in seconds."""

    scores: list[ObjectScores]
    predicted: list[float]
    seconds: float


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measure every policy with every zoom and return one row for each."""
    parser = argparse.ArgumentParser(prog="scripts/bench memory", description=__doc__)
    parser.add_argument("data", type=Path, nargs="+", metavar="DATA", help="folders of annotated clips")
    parser.add_argument("--clips", nargs="+", default=[], metavar="NAME", help="clips to measure; by default all")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    clips = _open_clips(options.data, options.clips)
    loaded = {zoom: masklet.load(options.model, device=options.device, zoom=zoom) for zoom in ZOOMS}
    models = {
        (zoom, name): replace(model, memory=policy)
        for zoom, model in loaded.items()
        for name, policy in _list_policies(model.config.name).items()
    }
    for model in loaded.values():
        model.warm_up()
    # Clip by clip, so that other work on the machine affects all policies.
    measured = [{key: _measure(model, clip) for key, model in models.items()} for clip in clips]
    return [
        {
            "device": options.device,
            "zoom": zoom,
            "memory": name,
            **_summarize(clips, [one[zoom, name] for one in measured]),
        }
        for zoom, name in models
    ]


def columns() -> list[tuple[str, str, str]]:
    """Return (key, heading, format) of the columns of the table."""
    return [
        ("zoom", "zoom", "{:g}"),
        ("memory", "memory", "{}"),
        ("j_and_f", "J&F", "{:.1f}"),
        ("j", "J", "{:.1f}"),
        ("f", "F", "{:.1f}"),
        ("worst", "lowest J&F of a clip", "{:.1f}"),
        ("predicted", "predicted, %", "{:.0f}"),
        ("ms", "ms per frame", "{:.0f}"),
        ("clips", "clips", "{}"),
        ("frames", "frames", "{}"),
    ]


def plot(rows: list[dict[str, Any]]) -> str:
    """Draw J&F of every policy and zoom as SVG."""
    bars = {f"{row['memory']}, zoom {row['zoom']:g}": row["j_and_f"] for row in rows}
    return draw_bars(bars, "J&F by memory policy, percent")


def _open_clips(folders: Sequence[Path], names: Sequence[str]) -> list[AnnotatedClip]:
    opened = [open_clips(folder) for folder in folders]
    return [clips[name] for clips in opened for name in clips.names if not names or name in names]


def _list_policies(model_name: str) -> dict[str, MemoryPolicy]:
    return {
        **{name: parse_memory(name, model_name) for name in POLICIES},
        f"dam4sam, min_iou {LOW_MIN_IOU:g}": Dam4SamMemory(min_iou=LOW_MIN_IOU),
    }


def _measure(model: Segmenter, clip: AnnotatedClip) -> Measured:
    """Track and score the objects of a clip."""
    start = time.process_time()
    tracked = dict(track_clip(model, clip, PROMPT))
    seconds = time.process_time() - start
    predicted = [score for frame, masks in tracked.items() if frame for score in masks.scores.tolist()]
    return Measured(_score(tracked, clip), predicted, seconds)


def _score(tracked: Mapping[int, Masks], clip: AnnotatedClip) -> list[ObjectScores]:
    """Score the objects of a clip on its annotated frames but the first and the last."""
    frames = clip.annotated_frames[1:-1]
    scored: dict[int, list[tuple[float, float]]] = {}
    for frame in frames:
        masks, annotation = tracked[frame].remove_overlap(), clip.annotation(frame)
        for key, mask in zip(masks.object_ids, masks.binary, strict=True):
            scored.setdefault(key, []).append(compute_j_and_f(annotation.mask(key), mask, annotation.void))
    return [ObjectScores(clip.name, key, frames, *np.transpose(values)) for key, values in scored.items()]


def _summarize(clips: Sequence[AnnotatedClip], measured: Sequence[Measured]) -> dict[str, Any]:
    frames = sum(len(clip) for clip in clips)
    means = average_scores([score for one in measured for score in one.scores])
    by_clip = {clip.name: 100 * average_scores(one.scores).j_and_f for clip, one in zip(clips, measured, strict=True)}
    predicted = [score for one in measured for score in one.predicted]
    return {
        "j_and_f": 100 * means.j_and_f,
        "j": 100 * means.j,
        "f": 100 * means.f,
        "worst": min(by_clip.values()),
        "predicted": 100 * float(np.mean(np.array(predicted) > MIN_IOU)),
        "ms": 1e3 * sum(one.seconds for one in measured) / frames,
        "clips": len(clips),
        "frames": frames,
        "by_clip": by_clip,
    }
