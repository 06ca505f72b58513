"""How each video benchmark counts: which frames of an object, which mean over objects, which files of answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.errors import SettingsError

Flags = NDArray[np.bool_]


class Presence(NamedTuple):
    """On the T annotated frames of a clip, whether an object is in truth and answer and is expected: each (T,)."""

    ground_truth: Flags
    prediction: Flags
    expected: Flags


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The rules of one benchmark.

    `counted` picks the frames of an object that count. `files` are the answers that its server takes: one label map
    per frame, in which objects cannot overlap, or one folder of masks per object. `groups` says whose name tells seen
    objects from unseen ones, where the headline is the mean over both. With `strict_ids` an answer may have no
    objects that the truth has not. `server` scores the splits whose truth is not public.
    """

    name: str
    select_frames: Callable[[Presence], Flags]
    layout: Literal["labels", "masks"] = "labels"
    groups: Literal["category", "clip"] | None = None
    strict_ids: bool = False
    server: str = ""


def _select_inner(presence: Presence) -> Flags:
    """All annotated frames but the first and the last: DAVIS."""
    return _drop_first_and_last(np.ones_like(presence.ground_truth))


def _select_inner_since_first_seen(presence: Presence) -> Flags:
    """Of the frames between the first and the last, those since the object is first in truth or answer: SA-V, MOSE."""
    inner = _select_inner(presence)
    if not (inner & presence.ground_truth).any():  # an object that the truth never shows there is left out
        return np.zeros_like(inner)
    return np.asarray(inner & np.logical_or.accumulate(inner & (presence.ground_truth | presence.prediction)))


def _select_inner_expected(presence: Presence) -> Flags:
    """The frames on which the object is expected, without the first and the last of them: LVOS."""
    return _drop_first_and_last(presence.expected)


def _select_expected_after_first(presence: Presence) -> Flags:
    """The frames on which the object is expected, without the first, whose mask is given: YouTube-VOS."""
    counted: Flags = presence.expected.copy()
    counted[np.flatnonzero(counted)[:1]] = False
    return counted


def _drop_first_and_last(flags: Flags) -> Flags:
    counted: Flags = flags.copy()
    where = np.flatnonzero(flags)
    counted[where[:1]] = counted[where[-1:]] = False
    return counted


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
"""By the `kind` of a data set; `clips` is any folder of clips, counted as DAVIS counts."""


def find_benchmark(name: str) -> Benchmark:
    """The rules of that name. Raises `SettingsError` for an unknown one."""
    if name not in BENCHMARKS:
        raise SettingsError("bad-usage", f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
