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

    truth: Flags
    answer: Flags
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
    counted: Callable[[Presence], Flags]
    files: Literal["labels", "masks"] = "labels"
    groups: Literal["category", "clip"] | None = None
    strict_ids: bool = False
    server: str = ""


def between(presence: Presence) -> Flags:
    """All annotated frames but the first and the last: DAVIS."""
    return _inner(np.ones_like(presence.truth))


def between_since_seen(presence: Presence) -> Flags:
    """Of the frames between the first and the last, those since the object is first in truth or answer: SA-V, MOSE."""
    inner = between(presence)
    if not (inner & presence.truth).any():  # an object that the truth never shows there is left out
        return np.zeros_like(inner)
    return np.asarray(inner & np.logical_or.accumulate(inner & (presence.truth | presence.answer)))


def between_expected(presence: Presence) -> Flags:
    """The frames on which the object is expected, without the first and the last of them: LVOS."""
    return _inner(presence.expected)


def after_first(presence: Presence) -> Flags:
    """The frames on which the object is expected, without the first, whose mask is given: YouTube-VOS."""
    counted: Flags = presence.expected.copy()
    counted[np.flatnonzero(counted)[:1]] = False
    return counted


def _inner(flags: Flags) -> Flags:
    counted: Flags = flags.copy()
    where = np.flatnonzero(flags)
    counted[where[:1]] = counted[where[-1:]] = False
    return counted


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("davis-2016", between, strict_ids=True),
        Benchmark("davis-2017", between, strict_ids=True),
        Benchmark("sa-v", between_since_seen, files="masks"),
        Benchmark("mose", between_since_seen, server="CodaLab competition 10703"),
        Benchmark("youtube-vos-2018", after_first, groups="category"),
        Benchmark("youtube-vos-2019", after_first, groups="category", server="CodaLab competition 20127"),
        Benchmark("lvos-v1", between_expected),
        Benchmark("lvos-v2", between_expected, groups="clip"),
        Benchmark("clips", between),
    )
}
"""By the `kind` of a data set; `clips` is any folder of clips, counted as DAVIS counts."""


def find_benchmark(name: str) -> Benchmark:
    """The rules of that name. Raises `SettingsError` for an unknown one."""
    if name not in BENCHMARKS:
        raise SettingsError("bad-usage", f"no benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
