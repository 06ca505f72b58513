"""Ascending times: joined recordings, and single times that are missing or out of order."""

from __future__ import annotations

from itertools import pairwise
from math import isnan, nan

import numpy as np
import pytest

from masklet.video.ascending_times import make_ascending


@pytest.mark.parametrize(
    ("stated", "corrected"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([5, 6, 7, 0, 1, 2], [5, 6, 7, 8, 9, 10]),  # joined
        ([0, 1, 2, 0, 1, 2, 0, 1, 2], range(9)),
        ([0, 1, 2, -9, -8, -7], range(6)),
        ([0, 1, 2, nan, nan, 0, 1, nan], range(8)),
        ([-2, -1, 0, 1], [-2, -1, 0, 1]),
        ([0, 1, 7, 8, 9], [0, 1, 7, 8, 9]),  # a pause
        ([0, 1, 1, 2, 2, 3], [0, 1, 1.5, 2, 2.5, 3]),  # repeated
        ([0, 1, 3, 2, 4, 5], [0, 1, 1.5, 2, 4, 5]),
        ([0, 1, 900, 3, 4], range(5)),  # one wrong time
        ([0, 1, -900, 3, 4], range(5)),
        ([nan, nan, 0, 1], [-2, -1, 0, 1]),
        ([3, nan, nan, nan], [3, 3.5, 4, 4.5]),
        ([1, 1, 1], [1, 1.5, 2]),
        ([], []),
    ],
)
def test_times_ascend(stated: list[float], corrected: list[float]) -> None:
    assert list(make_ascending(stated, 0.5)) == pytest.approx(list(corrected))


def test_a_file_without_times_has_none() -> None:
    assert all(map(isnan, make_ascending([nan] * 3, 0.5)))


def test_any_times_become_ascending_ones() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        times = rng.choice([nan, 0, 0.1, 0.2, 1, 2, 50, -3], size=rng.integers(1, 12)).tolist()
        found = list(make_ascending(times, 0.1))
        assert len(found) == len(times)
        assert all(map(isnan, times)) or all(before < after for before, after in pairwise(found))
