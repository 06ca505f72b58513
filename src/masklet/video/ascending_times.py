"""Ascending times: presentation times of frames where a file states missing, repeated or descending ones."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise
from math import isnan, nan
from statistics import median

_MAX_NEAR_STEPS = 10  # between two frames whose times are taken to be right
_LEAST_STEP = 1e-3  # of a step; a shorter one is an error of rounding
_MIN_JOIN_STEPS = 2  # by which times go back where two recordings are joined


def make_ascending(times: Sequence[float], default_step: float) -> array[float]:
    """Correct times that do not ascend.

    Where two recordings are joined and the times start again, the second one follows the first. A missing or repeated
    time, or a single one that is out of order, is interpolated from its neighbors.

    Args:
        times: Times of the frames in seconds, nan where there is none.
        default_step: Seconds between two frames, if the times do not show it.

    Returns:
        Ascending times; all nan if `times` are.
    """
    gaps = [after - before for before, after in pairwise(times) if after > before]
    step = median(gaps) if gaps else default_step
    return _interpolate(_join(times, step), step)


def _join(times: Sequence[float], step: float) -> list[float]:
    """Shift each recording behind the one before it, and replace times that are out of order by nan."""
    joined: list[float] = []
    shift, last, last_index = 0.0, nan, 0
    for index, stated in enumerate(times):
        time, following = stated + shift, (times[index + 1] if index + 1 < len(times) else nan) + shift
        earliest = last + _LEAST_STEP * step
        if earliest < following <= last + _MAX_NEAR_STEPS * step and not earliest < time <= following:
            time = nan
        elif time < last - _MIN_JOIN_STEPS * step:
            time = last + step * (index - last_index)
            shift = time - stated
        elif time <= earliest:
            time = nan
        if not isnan(time):
            last, last_index = time, index
        joined.append(time)
    return joined


def _interpolate(times: list[float], step: float) -> array[float]:
    """Fill in times that are nan, evenly between their neighbors and by steps before the first and after the last."""
    known = [index for index, time in enumerate(times) if not isnan(time)]
    if not known:
        return array("d", times)
    filled = array("d", times)
    for index in range(known[0]):
        filled[index] = times[known[0]] - step * (known[0] - index)
    for before, after in zip(known, [*known[1:], len(times)], strict=True):
        slope = (times[after] - times[before]) / (after - before) if after < len(times) else step
        for index in range(before + 1, after):
            filled[index] = times[before] + slope * (index - before)
    return filled
