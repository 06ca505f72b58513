"""Scoring rules of the video benchmarks: scored frames, main score and layout of the prediction files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.errors import SettingsError

Flags = NDArray[np.bool_]


class Presence(NamedTuple):
    """Presence of one object on the T annotated frames of a clip, each (T,) bool.

    Attributes:
        ground_truth: The ground truth has a mask of the object.
        prediction: The prediction has a mask of the object.
        expected: The dataset lists the frame for the object.
    """

    ground_truth: Flags
    prediction: Flags
    expected: Flags


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Scoring rules of one benchmark.

    Attributes:
        name: The name of the benchmark, which is also the `kind` of its dataset.
        select_frames: Select the scored frames of an object, (T,) bool.
        layout: The prediction files that the benchmark's server accepts: `labels` is one label map per frame, in which
            objects do not overlap; `masks` is one folder of masks per object.
        groups: Seen and unseen objects are distinguished by their `category` or by their `clip`, and the main score is
            the mean over both groups. None: the main score is J&F over all objects.
        strict_ids: Reject predictions with object ids that the ground truth does not have.
        server: The evaluation server for splits without public ground truth.
    """

    name: str
    select_frames: Callable[[Presence], Flags]
    layout: Literal["labels", "masks"] = "labels"
    groups: Literal["category", "clip"] | None = None
    strict_ids: bool = False
    server: str = ""


def _select_inner(presence: Presence) -> Flags:
    """Select all annotated frames except the first and the last (DAVIS)."""
    return _drop_first_and_last(np.ones_like(presence.ground_truth))


def _select_inner_since_first_seen(presence: Presence) -> Flags:
    """Select the inner frames from the first on which ground truth or prediction has the object (SA-V, MOSE)."""
    inner = _select_inner(presence)
    if not (inner & presence.ground_truth).any():
        return np.zeros_like(inner)  # the object is not scored
    return np.asarray(inner & np.logical_or.accumulate(inner & (presence.ground_truth | presence.prediction)))


def _select_inner_expected(presence: Presence) -> Flags:
    """Select the frames that the dataset lists for the object, except the first and the last of them (LVOS)."""
    return _drop_first_and_last(presence.expected)


def _select_expected_after_first(presence: Presence) -> Flags:
    """Select the listed frames of the object except the first, which is the prompt (YouTube-VOS)."""
    scored: Flags = presence.expected.copy()
    scored[np.flatnonzero(scored)[:1]] = False
    return scored


def _drop_first_and_last(flags: Flags) -> Flags:
    scored: Flags = flags.copy()
    indices = np.flatnonzero(flags)
    scored[indices[:1]] = scored[indices[-1:]] = False
    return scored


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("davis-2016", _select_inner, strict_ids=True),
        Benchmark("davis-2017", _select_inner, strict_ids=True),
        Benchmark("sa-v", _select_inner_since_first_seen, layout="masks"),
        Benchmark("mose", _select_inner_since_first_seen, server="CodaLab competition 10703"),
        Benchmark("youtube-vos-2018", _select_expected_after_first, groups="category"),
        Benchmark(
            "youtube-vos-2019", _select_expected_after_first, groups="category", server="CodaLab competition 20127"
        ),
        Benchmark("lvos-v1", _select_inner_expected),
        Benchmark("lvos-v2", _select_inner_expected, groups="clip"),
        Benchmark("clips", _select_inner),
    )
}
"""Benchmarks by the `kind` of a dataset. `clips` is any folder of clips, scored like DAVIS."""


def find_benchmark(name: str) -> Benchmark:
    """Return the rules of a benchmark.

    Raises:
        SettingsError: There is no benchmark of this name.
    """
    if name not in BENCHMARKS:
        raise SettingsError("bad-usage", f"unknown benchmark {name!r}; choose one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
