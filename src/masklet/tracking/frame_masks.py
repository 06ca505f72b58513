"""Masks of all objects on a frame, from the results of their tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from masklet.backend import Backend
from masklet.masks.masks import Masks
from masklet.masks.postprocessing import PostProcessing
from masklet.tracking.object_track import ObjectTrack


def build_masks(
    backend: Backend,
    tracks: Mapping[int, ObjectTrack],
    frame: int,
    size: tuple[int, int],
    postprocessing: PostProcessing,
) -> Masks:
    """Build the masks of objects on a frame. An object without a result there is hidden.

    Args:
        backend: Backend with the model.
        tracks: The objects by id.
        frame: Number of the frame.
        size: The frame's (H, W).
        postprocessing: Hole filling, removal of islands, and separation of objects.
    """
    results = [track.results.get(frame) for track in tracks.values()]
    if not results:
        return Masks.empty(size)
    logits, iou, score = backend.fetch([None if result is None else result.decoded for result in results])
    masks = Masks.from_logits(
        logits,
        size,
        scores=iou,
        object_ids=tuple(tracks),
        object_scores=score,
        labels=[track.label for track in tracks.values()],
    )
    masks = replace(masks, crops=tuple(None if result is None else result.region for result in results))
    return postprocessing.separate(postprocessing.fill_and_remove(masks))
