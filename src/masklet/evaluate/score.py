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
from masklet.evaluate.j_and_f import overlap
from masklet.evaluate.predictions import Answers, ClipAnswers
from masklet.evaluate.static_masks import Standing, StandingClip

LEAST_FRAMES = 3  # the first and the last annotated frame never count


def score(
    answers: Answers | Standing, truth: Clips, rules: Benchmark, *, workers: int = 1
) -> Iterator[list[ObjectScores]]:
    """The scores of every clip's objects, clip by clip in the data set's order, with that many processes.

    Raises `FormatError` naming the file or folder that is missing or wrong, as soon as it is met.
    """
    if workers == 1:
        yield from (score_clip(answers, clip, rules) for clip in truth)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy other libraries' threads in mid-step
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        try:
            for found in pool.map(_score_or_fault, repeat(answers), truth, repeat(rules)):
                if isinstance(found, _Fault):
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise found.error()
                yield found
        except BrokenProcessPool as cause:
            message = f"one of {workers} scoring processes was ended from outside; memory may have run out, use fewer"
            raise ResourceError("out-of-memory", message) from cause


def is_public(truth: Clips) -> bool:
    """Whether there is a truth to score with, told by the first clip: more than the masks that objects are shown by."""
    clip = truth[truth.names[0]]
    return len(clip.annotated) >= LEAST_FRAMES and len(clip.annotated) > len(clip.first_masks())


def score_clip(answers: Answers | Standing, clip: AnnotatedClip, rules: Benchmark) -> list[ObjectScores]:
    """The scores of those of a clip's objects that have frames which count, by object id. Raises like `score`."""
    frames = clip.annotated
    if len(frames) < LEAST_FRAMES:
        message = (
            f"{clip.name} has {len(frames)} annotated frames, scores need {LEAST_FRAMES}; is its truth kept secret?"
        )
        raise FormatError("dataset-broken", message)
    mine = answers.of(clip.name)
    tables: dict[int, _Table] = {}
    for row, frame in enumerate(frames):
        true = clip.annotation(frame)
        answer = mine.read(clip.frame_names[frame], true.size)
        for key in {*true.object_ids, *answer.object_ids}:
            tables.setdefault(key, _Table(len(frames))).fill(row, key, true, answer)
    known = {key for key, table in tables.items() if table.truth.any()}
    _check_objects(mine, known, set(tables) - known if rules.strict_ids else set())
    scores = [_counted(clip, key, tables[key], rules) for key in sorted(known)]
    return [one for one in scores if one.frames]


class _Table:
    """J, F and presence of one object on the T annotated frames of a clip."""

    def __init__(self, length: int) -> None:
        self.j, self.f = np.ones(length), np.ones(length)  # where neither has the object, both are right
        self.truth, self.answer = np.zeros(length, bool), np.zeros(length, bool)

    def fill(self, row: int, key: int, true: Annotation, answer: Annotation) -> None:
        """Compare the object's masks on one frame."""
        wanted, given = true.mask(key), answer.mask(key)
        self.truth[row], self.answer[row] = wanted.any(), given.any()
        self.j[row], self.f[row] = overlap(wanted, given, true.void)


def _counted(clip: AnnotatedClip, key: int, table: _Table, rules: Benchmark) -> ObjectScores:
    """What is left of a table under the benchmark's rules."""
    about = clip.objects.get(key)
    frames = np.array(clip.annotated)
    listed = None if about is None else about.frames
    expected = np.ones(len(frames), bool) if listed is None else np.isin(frames, sorted(listed))
    counted = rules.counted(Presence(table.truth, table.answer, expected))
    return ObjectScores(
        clip=clip.name,
        object_id=key,
        frames=tuple(frames[counted].tolist()),
        j=table.j[counted],
        f=table.f[counted],
        category="" if about is None else about.category,
    )


def _check_objects(answers: ClipAnswers | StandingClip, known: set[int], surplus: set[int]) -> None:
    """Raises `FormatError` for a folder per object that is missing, and for objects that must not be there."""
    if surplus:
        message = f"{answers.folder} has object {min(surplus)}, the truth only {sorted(known)}"
        raise FormatError("dataset-broken", message)
    missing = known - set(answers.objects)
    if answers.objects and missing:
        message = f"{answers.folder}: no folder of object {min(missing)}, only of {sorted(answers.objects)}"
        raise FormatError("dataset-broken", message)


@dataclass(frozen=True, slots=True)
class _Fault:
    """A fault on its way from one process to another: exceptions with keywords do not travel by themselves."""

    kind: type[MaskletError]
    code: str
    message: str
    hint: str
    context: dict[str, Any]

    def error(self) -> MaskletError:
        return self.kind(self.code, self.message, hint=self.hint, **self.context)


def _score_or_fault(answers: Answers | Standing, clip: AnnotatedClip, rules: Benchmark) -> list[ObjectScores] | _Fault:
    try:
        return score_clip(answers, clip, rules)
    except MaskletError as error:
        return _Fault(type(error), error.code, error.message, error.hint, error.context)
