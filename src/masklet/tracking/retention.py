"""Retention of memories that tracking recalls after it turns from forward to backward."""

from __future__ import annotations

from collections.abc import Callable, Container

from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import Traversal, VisitedFrame


def retain_for_turn(tracker: Tracker, traversal: Traversal) -> Callable[[VisitedFrame], Container[int]]:
    """Return the rule by which `propagate` keeps the memories that are recalled after the turn of a traversal.

    How far behind the turn they lie depends on the memory policy, which may skip frames with low scores.

    Args:
        tracker: The tracker.
        traversal: The traversal, whose positions are the tracker's frame numbers.
    """
    first = traversal.prompted[0]

    def list_needed(visit: VisitedFrame) -> set[int]:
        if traversal.turn is None or visit.direction < 0:
            return set()
        return {t for track in tracker.tracks.values() for t in track.list_retained(first, -1)}

    return list_needed
