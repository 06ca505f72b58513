"""Correlation of two series: Pearson's of the values and Spearman's of their ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MIN_PAIRS = 3  # two pairs always have a correlation of -1 or 1


def compute_pearson(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Compute Pearson's correlation of pairs, from -1 to 1.

    Returns:
        The correlation; None for fewer than `MIN_PAIRS` pairs or a constant series.
    """
    if len(first) < MIN_PAIRS:
        return None
    deviations = [np.asarray(values, np.float64) - np.mean(values) for values in (first, second)]
    norm = float(np.linalg.norm(deviations[0]) * np.linalg.norm(deviations[1]))
    return float(deviations[0] @ deviations[1]) / norm if norm else None


def compute_spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Compute Spearman's correlation, that of the ranks; equal values have the mean of their ranks.

    Returns:
        The correlation; None for fewer than `MIN_PAIRS` pairs or a constant series.
    """
    return compute_pearson(_rank(first).tolist(), _rank(second).tolist())


def _rank(values: Sequence[float]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last_ranks = np.cumsum(counts)
    mean_ranks: NDArray[np.float64] = last_ranks - (counts - 1) / 2
    return mean_ranks[inverse]
