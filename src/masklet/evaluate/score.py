"""How good are these answers? J and F of every object of every clip, from the files that a benchmark's server takes."""

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

MIN_ANNOTATED_FRAMES = 3  # the first and the last annotated frame never count


def score_clips(
    predictions: PredictionFolder | StaticMasks, ground_truth: Clips, benchmark: Benchmark, *, workers: int = 1
) -> Iterator[list[ObjectScores]]:
    """The scores of every clip's objects, clip by clip in the data set's order, with that many processes.

    Raises `FormatError` naming the file or folder that is missing or wrong, as soon as it is met.
    """
    if workers == 1:
        yield from (score_clip(predictions, clip, benchmark) for clip in ground_truth)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy other libraries' threads in mid-step
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        try:
            for found in pool.map(_score_or_error, repeat(predictions), ground_truth, repeat(benchmark)):
                if isinstance(found, _WorkerError):
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise found.to_error()
                yield found
        except BrokenProcessPool as cause:
            message = f"one of {workers} scoring processes was ended from outside; memory may have run out, use fewer"
            raise ResourceError("out-of-memory", message) from cause


def has_public_ground_truth(clips: Clips) -> bool:
    """Whether there is a truth to score with, told by the first clip: more than the masks that objects are shown by."""
    clip = clips[clips.names[0]]
    return len(clip.annotated) >= MIN_ANNOTATED_FRAMES and len(clip.annotated) > len(clip.first_masks())


def score_clip(
    predictions: PredictionFolder | StaticMasks, clip: AnnotatedClip, benchmark: Benchmark
) -> list[ObjectScores]:
    """The scores of those of a clip's objects that have frames which count, by object id. Raises like `score`."""
    frames = clip.annotated
    if len(frames) < MIN_ANNOTATED_FRAMES:
        message = f"{clip.name} has {len(frames)} annotated frames, scores need {MIN_ANNOTATED_FRAMES}; is its truth kept secret?"
        raise FormatError("dataset-broken", message)
    mine = predictions.open_clip(clip.name)
    tables: dict[int, _ObjectTable] = {}
    for row, frame in enumerate(frames):
        true = clip.annotation(frame)
        answer = mine.read_frame(clip.frame_names[frame], true.size)
        for key in {*true.object_ids, *answer.object_ids}:
            tables.setdefault(key, _ObjectTable(len(frames))).fill(row, key, true, answer)
    known = {key for key, table in tables.items() if table.ground_truth.any()}
    _check_objects(mine, known, set(tables) - known if benchmark.strict_ids else set())
    scores = [_select_counted_frames(clip, key, tables[key], benchmark) for key in sorted(known)]
    return [one for one in scores if one.frames]


class _ObjectTable:
    """J, F and presence of one object on the T annotated frames of a clip."""

    def __init__(self, length: int) -> None:
        self.j, self.f = np.ones(length), np.ones(length)  # where neither has the object, both are right
        self.ground_truth, self.prediction = np.zeros(length, bool), np.zeros(length, bool)

    def fill(self, row: int, key: int, true: Annotation, answer: Annotation) -> None:
        """Compare the object's masks on one frame."""
        wanted, given = true.mask(key), answer.mask(key)
        self.ground_truth[row], self.prediction[row] = wanted.any(), given.any()
        self.j[row], self.f[row] = compute_j_and_f(wanted, given, true.void)


def _select_counted_frames(clip: AnnotatedClip, key: int, table: _ObjectTable, rules: Benchmark) -> ObjectScores:
    """What is left of a table under the benchmark's rules."""
    about = clip.objects.get(key)
    frames = np.array(clip.annotated)
    listed = None if about is None else about.frames
    expected = np.ones(len(frames), bool) if listed is None else np.isin(frames, sorted(listed))
    counted = rules.select_frames(Presence(table.ground_truth, table.prediction, expected))
    return ObjectScores(
        clip=clip.name,
        object_id=key,
        frames=tuple(frames[counted].tolist()),
        j=table.j[counted],
        f=table.f[counted],
        category="" if about is None else about.category,
    )


def _check_objects(answers: ClipPredictions | StaticClip, known: set[int], surplus: set[int]) -> None:
    """Raises `FormatError` for a folder per object that is missing, and for objects that must not be there."""
    if surplus:
        message = f"{answers.folder} has object {min(surplus)}, the truth only {sorted(known)}"
        raise FormatError("dataset-broken", message)
    missing = known - set(answers.objects)
    if answers.objects and missing:
        message = f"{answers.folder}: no folder of object {min(missing)}, only of {sorted(answers.objects)}"
        raise FormatError("dataset-broken", message)


@dataclass(frozen=True, slots=True)
class _WorkerError:
    """A fault on its way from one process to another: exceptions with keywords do not travel by themselves."""

    kind: type[MaskletError]
    code: str
    message: str
    hint: str
    context: dict[str, Any]

    def to_error(self) -> MaskletError:
        return self.kind(self.code, self.message, hint=self.hint, **self.context)


def _score_or_error(
    answers: PredictionFolder | StaticMasks, clip: AnnotatedClip, rules: Benchmark
) -> list[ObjectScores] | _WorkerError:
    try:
        return score_clip(answers, clip, rules)
    except MaskletError as error:
        return _WorkerError(type(error), error.code, error.message, error.hint, error.context)
