"""Selections of memories: the parts that several memory policies share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from masklet.backend import MAX_POINTERS, MEMORY_SLOTS
from masklet.errors import SettingsError
from masklet.memory.policy import Past, Record

PROMPT_SLOT = MEMORY_SLOTS - 1  # of all prompted frames
RECENT_SLOTS = MEMORY_SLOTS - 1  # those of tracked frames


def list_slots(past: Past, recent: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """List (slot, frame) of the prompted frames, and then of recent ones in slots by rank, the farthest first.

    Args:
        past: Past of the object.
        recent: Tracked frames, nearest first; the nearest is in slot 0.
    """
    ranked = [*enumerate(recent)]
    return (*((PROMPT_SLOT, t) for t in past.prompted), *ranked[::-1])


def list_pointers(past: Past, frame: int, direction: int, tracked: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """List (number of frames since, frame) of the prompted frames that are not ahead, and then of tracked frames."""
    behind = (t for t in past.prompted if (frame - t) * direction >= 0)
    return tuple(((frame - t) * direction, t) for t in (*behind, *tracked))


def iterate_window(past: Past, frame: int, direction: int) -> Iterator[tuple[int, Record]]:
    """Iterate over the tracked frames whose pointers SAM 2 recalls: those at most 15 frames before, nearest first."""
    for t, record in past.tracked():
        if (frame - t) * direction >= MAX_POINTERS:
            break
        yield t, record


def retain_window(past: Past, frame: int, direction: int) -> set[int]:
    """Return the frames of the window that are still in the window of the next frame."""
    return {t for t, _ in iterate_window(past, frame + direction, direction)}


def _is_last_frame(past: Past, tracked: int, frame: int, direction: int) -> bool:
    """Tell whether no prompted frame lies between the nearest tracked frame and the frame."""
    distance = (frame - tracked) * direction
    return not any(0 < (frame - t) * direction < distance for t in past.prompted)


def select_reliable(
    past: Past, is_reliable: Callable[[Record], bool], limit: int, frame: int, direction: int
) -> list[tuple[int, Record]]:
    """Select the frame before, and the nearest reliable frames, at most `limit` in all."""
    selected = (
        (t, record)
        for rank, (t, record) in enumerate(past.tracked())
        if is_reliable(record) or (rank == 0 and _is_last_frame(past, t, frame, direction))
    )
    return [*islice(selected, limit)]


def retain_reliable(past: Past, is_reliable: Callable[[Record], bool], limit: int) -> set[int]:
    """Return the nearest frame and the nearest `limit` reliable frames."""
    retained: set[int] = set()
    reliable = 0
    for rank, (t, record) in enumerate(past.tracked()):
        if rank == 0 or is_reliable(record):
            retained.add(t)
            reliable += is_reliable(record)
        if reliable == limit:
            break
    return retained


def compute_horizon(length: int | None) -> int:
    """Compute the divisor of the times of pointers: 15 frames, or less in a shorter video."""
    return min(length or MAX_POINTERS, MAX_POINTERS) - 1


def check_number(policy: object, name: str, low: float, high: float) -> None:
    """Check a number of a policy. Raises `SettingsError` (`bad-usage`)."""
    value = getattr(policy, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        message = f"{name} of {type(policy).__name__} must be a number from {low:g} to {high:g}, got {value!r}"
        raise SettingsError("bad-usage", message)


def check_count(policy: object, name: str, low: int, high: int = 1_000_000) -> None:
    """Check a whole number of a policy. Raises `SettingsError` (`bad-usage`)."""
    value = getattr(policy, name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        message = f"{name} of {type(policy).__name__} must be a whole number from {low} to {high}, got {value!r}"
        raise SettingsError("bad-usage", message)
