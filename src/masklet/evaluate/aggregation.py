"""Averages of J and F over frames and objects, with recall, decay and the mean of seen and unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

RECALL_THRESHOLD = 0.5  # recall is the fraction of frames above this score (DAVIS)
NUM_QUARTERS = 4  # decay compares the first and the last of this many parts of a clip (DAVIS)


class _OfClip(Protocol):
    """Result of one object of a clip."""

    @property
    def clip(self) -> str: ...


Result = TypeVar("Result", bound=_OfClip)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectScores:
    """J and F of one object of one clip on the scored frames.

    Attributes:
        clip: The name of the clip.
        object_id: The id of the object in the ground truth.
        frames: The numbers of the T scored frames.
        j: J per frame, (T,), from 0 to 1.
        f: F per frame, (T,), from 0 to 1.
        category: The category of the object, if the dataset names one.
    """

    clip: str
    object_id: int
    frames: tuple[int, ...]
    j: NDArray[np.float64]
    f: NDArray[np.float64]
    category: str = ""


@dataclass(frozen=True, slots=True)
class Averages:
    """Means over objects of J and F, and of their recall and decay, each from 0 to 1 (decay from -1 to 1)."""

    objects: int
    j: float
    f: float
    j_recall: float
    f_recall: float
    j_decay: float
    f_decay: float

    @property
    def j_and_f(self) -> float:
        """J&F, the mean of J and F."""
        return (self.j + self.f) / 2


def average_scores(scores: Sequence[ObjectScores]) -> Averages:
    """Average over all objects of all clips together, as every benchmark does, not clip by clip.

    Args:
        scores: The scores of at least one object.
    """
    assert scores, "an average needs at least one object"

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


def group_by_clip(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Group the results of objects by the name of their clip, in the given order."""
    clips: dict[str, list[Result]] = {}
    for result in results:
        clips.setdefault(result.clip, []).append(result)
    return clips


def average_seen_and_unseen(groups: Mapping[str, Averages]) -> float:
    """Average J and F of seen and of unseen objects: the main score of YouTube-VOS (G) and of LVOS v2.

    With objects of one kind only, the result is the mean of their J and F.
    """
    return float(np.mean([value for group in groups.values() for value in (group.j, group.f)]))


def compute_decay(values: NDArray[np.float64]) -> float:
    """Subtract the mean of the last quarter of the values (T,) from that of the first (DAVIS).

    Neighboring quarters share a frame.
    """
    ends = np.round(np.linspace(1, len(values), NUM_QUARTERS + 1) + 1e-10).astype(int) - 1
    return float(values[: ends[1] + 1].mean() - values[ends[-2] :].mean())
