"""From J and F per frame to the numbers of a table: means, recall, decay, seen and unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RECALL_THRESHOLD = 0.5  # a frame above this counts for recall (DAVIS)
NUM_QUARTERS = 4  # decay compares the first and the last part of a clip of so many (DAVIS)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectScores:
    """J and F, each (T,) from 0 to 1, of one object of one clip on the frames that count; `frames` says which."""

    clip: str
    object_id: int
    frames: tuple[int, ...]
    j: NDArray[np.float64]
    f: NDArray[np.float64]
    category: str = ""


@dataclass(frozen=True, slots=True)
class Averages:
    """The numbers of some objects, each the mean over objects: J and F with their recall and decay."""

    objects: int
    j: float
    f: float
    j_recall: float
    f_recall: float
    j_decay: float
    f_decay: float

    @property
    def j_and_f(self) -> float:
        """J&F, the mean of both."""
        return (self.j + self.f) / 2


def average_scores(scores: Sequence[ObjectScores]) -> Averages:
    """Means over all objects of all clips together, as every benchmark averages: not clip by clip."""
    assert scores, "there is no mean of no objects"

    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values)))

    return Averages(
        objects=len(scores),
        j=mean(score.j.mean() for score in scores),
        f=mean(score.f.mean() for score in scores),
        j_recall=mean((score.j > RECALL_THRESHOLD).mean() for score in scores),
        f_recall=mean((score.f > RECALL_THRESHOLD).mean() for score in scores),
        j_decay=mean(compute_decay(score.j) for score in scores),
        f_decay=mean(compute_decay(score.f) for score in scores),
    )


def group_by_clip(scores: Iterable[ObjectScores]) -> dict[str, list[ObjectScores]]:
    """The objects of each clip, in the given order."""
    clips: dict[str, list[ObjectScores]] = {}
    for score in scores:
        clips.setdefault(score.clip, []).append(score)
    return clips


def average_seen_and_unseen(groups: Mapping[str, Averages]) -> float:
    """The headline of YouTube-VOS (G) and of LVOS v2: the mean of J and F of seen and of unseen objects.

    Where there are objects of one kind only, the mean of their J and F.
    """
    return float(np.mean([value for group in groups.values() for value in (group.j, group.f)]))


def compute_decay(values: NDArray[np.float64]) -> float:
    """How much worse (T,) values get: the mean of the first quarter less that of the last (DAVIS).

    Neighbouring quarters share the frame at which they meet.
    """
    ends = np.round(np.linspace(1, len(values), NUM_QUARTERS + 1) + 1e-10).astype(int) - 1
    return float(values[: ends[1] + 1].mean() - values[ends[-2] :].mean())
