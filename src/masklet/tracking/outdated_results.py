"""Outdated results of a tracker: objects whose result on a frame may change if it is tracked again."""

from __future__ import annotations

from collections.abc import Mapping

from masklet.tracking.object_track import ObjectTrack


def select_outdated(
    tracks: Mapping[int, ObjectTrack], frame: int, direction: int, *, dependent: bool
) -> dict[int, ObjectTrack]:
    """Select the objects whose result on a frame may change; not those that are prompted there.

    Args:
        tracks: All objects of the tracker.
        frame: Number of the frame.
        direction: 1 forward, −1 backward.
        dependent: The memories of an object depend on other objects, so that all are computed together.
    """
    unprompted = {key: track for key, track in tracks.items() if frame not in track.prompts}
    outdated = {
        key: track
        for key, track in unprompted.items()
        if not _is_current(tracks, track, frame, direction, dependent=dependent)
    }
    return unprompted if outdated and dependent else outdated


def compute_basis(
    tracks: Mapping[int, ObjectTrack], track: ObjectTrack, frame: int, direction: int, *, dependent: bool
) -> int:
    """Return a hash of everything that an object's result on a frame depends on. See `select_outdated`."""
    if not dependent:
        return track.compute_basis(frame, direction)
    return hash(tuple((key, other.compute_basis(frame, direction)) for key, other in tracks.items()))


def _is_current(
    tracks: Mapping[int, ObjectTrack], track: ObjectTrack, frame: int, direction: int, *, dependent: bool
) -> bool:
    """Return whether tracking would give the same result again."""
    result = track.results.get(frame)
    if result is None or result.direction != direction:
        return False
    return result.basis == compute_basis(tracks, track, frame, direction, dependent=dependent)
