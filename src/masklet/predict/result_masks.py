"""Masks of several objects, from their results in regions of one image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from masklet.backend import Backend, Decoded
from masklet.masks.masks import Masks
from masklet.views.view import Region


def build_masks(
    backend: Backend,
    size: tuple[int, int],
    object_ids: Iterable[int],
    results: Sequence[Decoded | None],
    regions: Iterable[Region],
    labels: Iterable[str | None],
) -> Masks:
    """Build the masks of N results.

    Args:
        backend: Backend of the results.
        size: The image's (H, W).
        object_ids: N object ids.
        results: N results of single objects; None stands for a hidden object.
        regions: N regions that the logits cover.
        labels: N labels.
    """
    if not results:
        return Masks.empty(size)
    predictions = backend.fetch(results)
    return Masks(
        low_res=predictions.logits,
        size=size,
        scores=predictions.iou.astype(np.float32),
        object_ids=tuple(object_ids),
        object_scores=predictions.object_score.astype(np.float32),
        crops=tuple(regions),
        labels=tuple(labels),
    )
