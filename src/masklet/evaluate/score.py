"""Scores of predictions for clips: J and F of every object, from the files that benchmark servers accept."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import cv2
import numpy as np

from masklet.datasets.annotation import Annotation
from masklet.datasets.dataset import AnnotatedClip, Clips
from masklet.errors import FormatError, MaskletError, ResourceError
from masklet.evaluate.aggregation import ObjectScores
from masklet.evaluate.benchmarks import Benchmark, Presence
from masklet.evaluate.j_and_f import compute_j_and_f
from masklet.evaluate.predictions import ClipPredictions, PredictionFolder
from masklet.evaluate.static_masks import StaticClip, StaticMasks

MIN_ANNOTATED_FRAMES = 3  # the first and the last annotated frame are not scored


def score_clips(
    predictions: PredictionFolder | StaticMasks, ground_truth: Clips, benchmark: Benchmark, *, workers: int = 1
) -> Iterator[list[ObjectScores]]:
    """Score the objects of every clip, in the order of the dataset.

    Args:
        predictions: The predicted masks.
        ground_truth: The clips with their ground truth.
        benchmark: The rules for the scored frames.
        workers: The number of processes. 1: score in this process.

    Yields:
        The scores of the objects of one clip.

    Raises:
        FormatError: A file is missing or invalid. The message names it.
        InputNotFound: The folder of a clip is missing.
        ResourceError: A worker process ended unexpectedly (`out-of-memory`).
    """
    if workers == 1:
        yield from (score_clip(predictions, clip, benchmark) for clip in ground_truth)
        return
    # A fork would copy locks of other libraries' threads in an arbitrary state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        try:
            for scores in pool.map(_score_or_error, repeat(predictions), ground_truth, repeat(benchmark)):
                if isinstance(scores, _WorkerError):
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise scores.to_error()
                yield scores
        except BrokenProcessPool as cause:
            message = f"one of {workers} scoring processes was killed; memory may have run out, use fewer workers"
            raise ResourceError("out-of-memory", message) from cause


def has_public_ground_truth(clips: Clips) -> bool:
    """Return whether the first clip has more ground truth than the masks that serve as prompts."""
    clip = clips[clips.names[0]]
    return len(clip.annotated_frames) >= MIN_ANNOTATED_FRAMES and len(clip.annotated_frames) > len(clip.first_masks())


def score_clip(
    predictions: PredictionFolder | StaticMasks, clip: AnnotatedClip, benchmark: Benchmark
) -> list[ObjectScores]:
    """Score the objects of one clip that have scored frames, in the order of object ids.

    Raises:
        FormatError: A file is missing or invalid, or the clip has too few annotated frames.
        InputNotFound: The folder of the clip is missing.
    """
    frames = clip.annotated_frames
    if len(frames) < MIN_ANNOTATED_FRAMES:
        message = (
            f"{clip.name} has {len(frames)} annotated frames, but scores need at least {MIN_ANNOTATED_FRAMES}; "
            "the ground truth of this split may not be public"
        )
        raise FormatError("dataset-broken", message)
    predicted_clip = predictions.open_clip(clip.name)
    tables: dict[int, _ObjectTable] = {}
    for row, frame in enumerate(frames):
        true = clip.annotation(frame)
        predicted = predicted_clip.read_frame(clip.frame_names[frame], true.size)
        for key in {*true.object_ids, *predicted.object_ids}:
            tables.setdefault(key, _ObjectTable(len(frames))).fill(row, key, true, predicted)
    known = {key for key, table in tables.items() if table.ground_truth.any()}
    _check_objects(predicted_clip, known, set(tables) - known if benchmark.strict_ids else set())
    scores = [_select_scored_frames(clip, key, tables[key], benchmark) for key in sorted(known)]
    return [score for score in scores if score.frames]


class _ObjectTable:
    """J, F and presence of one object on the T annotated frames of a clip."""

    def __init__(self, length: int) -> None:
        self.j, self.f = np.ones(length), np.ones(length)  # 1 on frames without the object in both
        self.ground_truth, self.prediction = np.zeros(length, bool), np.zeros(length, bool)

    def fill(self, row: int, key: int, true: Annotation, predicted: Annotation) -> None:
        """Score the masks of the object on one frame."""
        ground_truth, prediction = true.mask(key), predicted.mask(key)
        self.ground_truth[row], self.prediction[row] = ground_truth.any(), prediction.any()
        self.j[row], self.f[row] = compute_j_and_f(ground_truth, prediction, true.void)


def _select_scored_frames(clip: AnnotatedClip, key: int, table: _ObjectTable, benchmark: Benchmark) -> ObjectScores:
    """Select the frames of an object that the benchmark scores."""
    listing = clip.objects.get(key)
    frames = np.array(clip.annotated_frames)
    listed = None if listing is None else listing.frames
    expected = np.ones(len(frames), bool) if listed is None else np.isin(frames, sorted(listed))
    scored = benchmark.select_frames(Presence(table.ground_truth, table.prediction, expected))
    return ObjectScores(
        clip=clip.name,
        object_id=key,
        frames=tuple(frames[scored].tolist()),
        j=table.j[scored],
        f=table.f[scored],
        category="" if listing is None else listing.category,
    )


def _check_objects(predictions: ClipPredictions | StaticClip, known: set[int], unknown: set[int]) -> None:
    """Raise `FormatError` if the folder of an object is missing, or if there are unknown objects."""
    if unknown:
        message = f"{predictions.folder} has object {min(unknown)}, but the ground truth only {sorted(known)}"
        raise FormatError("dataset-broken", message)
    missing = known - set(predictions.objects)
    if predictions.objects and missing:
        message = f"{predictions.folder} has no folder of object {min(missing)}, only of {sorted(predictions.objects)}"
        raise FormatError("dataset-broken", message)


@dataclass(frozen=True, slots=True)
class _WorkerError:
    """Error of a worker process in a form that can be pickled, unlike exceptions with keyword arguments."""

    kind: type[MaskletError]
    code: str
    message: str
    hint: str
    context: dict[str, Any]

    def to_error(self) -> MaskletError:
        return self.kind(self.code, self.message, hint=self.hint, **self.context)


def _score_or_error(
    predictions: PredictionFolder | StaticMasks, clip: AnnotatedClip, benchmark: Benchmark
) -> list[ObjectScores] | _WorkerError:
    try:
        return score_clip(predictions, clip, benchmark)
    except MaskletError as error:
        return _WorkerError(type(error), error.code, error.message, error.hint, error.context)
