"""Which frames of a video are visited, in which order, and how the tracker counts them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from masklet.backend import MAX_POINTERS
from masklet.errors import PromptError, SettingsError, StateError

if TYPE_CHECKING:
    from masklet.video import Frame, Video

Direction = Literal["forward", "backward", "both"]


@dataclass(frozen=True, slots=True)
class VisitedFrame:
    """A frame, its `place` among the visited ones, which is what the tracker counts, and where the walk goes: `step` 1
    forward, −1 backward, 0 where nothing is followed and the frame has no picture."""

    position: int
    direction: int
    index: int
    time: float | None
    frame: Frame | None


class Segment(NamedTuple):
    """A part of a walk: places in the order in which they are visited, and the step."""

    positions: range
    direction: int


@dataclass(frozen=True, slots=True)
class Traversal:
    """A way through a video that comes to every one of `frames`, which are sorted, exactly once.

    Forward from the first prompted frame, backward from the last one, or in both directions from the first one:
    forward to the end, then backward to the start. Frames that are not reached so are visited without being tracked:
    before the forward walk, after the backward one. `prompted` are places, sorted.
    """

    frames: Sequence[int]
    prompted: tuple[int, ...]
    direction: Direction = "forward"

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def turn(self) -> int | None:
        """How many visits go forward before the walk turns back; None where it does not turn."""
        first = self.prompted[0]
        return len(self) - first if self.direction == "both" and first > 0 else None

    def position_of(self, frame: int) -> int:
        """The place of a frame that is visited."""
        return bisect_left(self.frames, frame)

    def needed_back(self, visit: VisitedFrame) -> range:
        """The places that the first steps back recall, while the walk still goes forward."""
        first = self.prompted[0]
        return range(first, first + MAX_POINTERS) if self.turn is not None and visit.direction > 0 else range(0)

    def visits(self, video: Video, start: int = 0) -> Iterator[VisitedFrame]:
        """All visits but the first `start`, with the pictures of those that are tracked."""
        for places, step in self._legs():
            left = places[min(start, len(places)) :]
            start = max(0, start - len(places))
            if step == 0:
                for place in left:
                    yield VisitedFrame(place, 0, self.frames[place], video.times[self.frames[place]], None)
            else:
                for place, frame in zip(left, self._pictures(video, left), strict=True):
                    yield VisitedFrame(place, step, frame.index, frame.time, frame)

    def _legs(self) -> list[Segment]:
        first, last, count = self.prompted[0], self.prompted[-1], len(self)
        if self.direction == "forward":
            return [Segment(range(first), 0), Segment(range(first, count), 1)]
        if self.direction == "backward":
            return [Segment(range(last, -1, -1), -1), Segment(range(last + 1, count), 0)]
        return [Segment(range(first, count), 1), Segment(range(first - 1, -1, -1), -1)]

    def _pictures(self, video: Video, places: range) -> Iterator[Frame]:
        if not places:
            return
        if isinstance(self.frames, range):
            stop = self.frames[places[-1]] + self.frames.step * places.step
            yield from video.frames(range(self.frames[places[0]], stop, self.frames.step * places.step))
            return
        wanted = {self.frames[place] for place in places}
        span = range(self.frames[places[0]], self.frames[places[-1]] + places.step, places.step)
        yield from (frame for frame in video.frames(span) if frame.index in wanted)


def check_direction(direction: str) -> None:
    """Raises `SettingsError` unless a walk can go that way."""
    if direction not in ("forward", "backward", "both"):
        raise SettingsError("bad-usage", f"direction must be forward, backward or both, got {direction!r}")


def plan_traversal(
    length: int,
    prompted: Iterable[int],
    *,
    direction: Direction = "forward",
    start: int | None = None,
    stop: int | None = None,
    every: int = 1,
) -> Traversal:
    """The walk through a video of `length` frames that visits every `every`-th one of range(start, stop), and those
    that are `prompted`.

    Raises `StateError` (`no-prompts`), `PromptError` (`unknown-frame`) for a prompt on a frame that is outside, and
    `SettingsError` for a range that is empty.
    """
    asked = sorted(set(prompted))
    if not asked:
        raise StateError("no-prompts", "nothing to track; say what to follow with a click, a box or a mask")
    check_direction(direction)
    first, last = start or 0, length if stop is None else min(stop, length)
    if every < 1 or not 0 <= first < last:
        message = f"no frames to visit from {first} to before {last}, one in {every}, of a video of {length}"
        raise SettingsError("bad-usage", message)
    if outside := [frame for frame in asked if not first <= frame < last]:
        message = f"frame {outside[0]} has a prompt, but the frames that are visited are {first} to {last - 1}"
        raise PromptError("unknown-frame", message)
    frames: Sequence[int] = range(first, last, every)
    if any((frame - first) % every for frame in asked):
        frames = sorted({*frames, *asked})
    return Traversal(frames, tuple(bisect_left(frames, frame) for frame in asked), direction)
