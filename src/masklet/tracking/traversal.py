"""Traversal of a video: which frames are visited, in which order, and in which direction each is tracked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from masklet.errors import PromptError, SettingsError, StateError

if TYPE_CHECKING:
    from masklet.video import Frame, Video

Direction = Literal["forward", "backward", "both"]


@dataclass(frozen=True, slots=True)
class VisitedFrame:
    """Frame of a traversal.

    Attributes:
        position: Position among the frames of the traversal, which is the tracker's frame number in a job.
        direction: 1 if it is tracked forward, −1 backward, 0 if it is not tracked.
        index: Number of the frame in the video.
        time: Time in seconds, or None if the source has none.
        size: The frame's (H, W).
        frame: The decoded frame; None if it is not tracked.
    """

    position: int
    direction: int
    index: int
    time: float | None
    size: tuple[int, int]
    frame: Frame | None


def visit_in_order(frames: Iterable[Frame]) -> Iterator[VisitedFrame]:
    """Visit frames forward as they arrive; each has its number as its position."""
    for frame in frames:
        size = (int(frame.image.shape[0]), int(frame.image.shape[1]))
        yield VisitedFrame(frame.index, 1, frame.index, frame.time, size, frame)


class _Segment(NamedTuple):
    """Part of a traversal: positions in the order of the visits, and the direction of tracking."""

    positions: range
    direction: int


@dataclass(frozen=True, slots=True)
class Traversal:
    """Order in which frames of a video are visited, each exactly once.

    Tracking goes forward from the first prompted frame, backward from the last one, or both ways from the first one: to
    the end, then back to the start. Frames that are not reached are visited without being tracked: before those that
    are tracked forward, and after those that are tracked backward.

    Attributes:
        frames: Numbers of the frames, sorted.
        prompted: Positions of the prompted frames, sorted.
        direction: "forward", "backward" or "both".
    """

    frames: Sequence[int]
    prompted: tuple[int, ...]
    direction: Direction = "forward"

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def turn(self) -> int | None:
        """Number of visits before tracking changes from forward to backward; None if it does not."""
        first = self.prompted[0]
        return len(self) - first if self.direction == "both" and first > 0 else None

    @property
    def ends(self) -> dict[int, tuple[int, int]]:
        """Last position and direction of each part that is tracked, by the number of visits up to its end."""
        ends, visits = {}, 0
        for positions, direction in self._segments():
            visits += len(positions)
            if direction and positions:
                ends[visits] = (positions[-1], direction)
        return ends

    @property
    def order(self) -> list[int]:
        """Numbers of the frames in the order of the visits."""
        return [self.frames[position] for positions, _ in self._segments() for position in positions]

    def position_of(self, frame: int) -> int:
        """Return the position of a frame of the traversal."""
        return bisect_left(self.frames, frame)

    def visits(self, video: Video, start: int = 0) -> Iterator[VisitedFrame]:
        """Visit all frames after the first `start` ones, and decode those that are tracked."""
        for positions, direction in self._segments():
            remaining = positions[min(start, len(positions)) :]
            start = max(0, start - len(positions))
            if direction == 0:
                for position in remaining:
                    index = self.frames[position]
                    yield VisitedFrame(position, 0, index, video.times[index], video.size, None)
            else:
                for position, frame in zip(remaining, self._decode(video, remaining), strict=True):
                    yield VisitedFrame(position, direction, frame.index, frame.time, video.size, frame)

    def _segments(self) -> list[_Segment]:
        first, last, count = self.prompted[0], self.prompted[-1], len(self)
        if self.direction == "forward":
            return [_Segment(range(first), 0), _Segment(range(first, count), 1)]
        if self.direction == "backward":
            return [_Segment(range(last, -1, -1), -1), _Segment(range(last + 1, count), 0)]
        return [_Segment(range(first, count), 1), _Segment(range(first - 1, -1, -1), -1)]

    def _decode(self, video: Video, positions: range) -> Iterator[Frame]:
        if not positions:
            return
        if isinstance(self.frames, range):
            stop = self.frames[positions[-1]] + self.frames.step * positions.step
            yield from video.frames(range(self.frames[positions[0]], stop, self.frames.step * positions.step))
            return
        selected = {self.frames[position] for position in positions}
        span = range(self.frames[positions[0]], self.frames[positions[-1]] + positions.step, positions.step)
        yield from (frame for frame in video.frames(span) if frame.index in selected)


@dataclass(frozen=True, slots=True)
class TraversedVideo:
    """Images of a video by their position in a traversal, which is a tracker's frame number."""

    video: Video
    traversal: Traversal

    def __getitem__(self, position: int) -> Any:
        """Return the image (H, W, 3) at a position."""
        return self.video[self.traversal.frames[position]]


def check_direction(direction: str) -> None:
    """Raise `SettingsError` unless a direction is "forward", "backward" or "both"."""
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
    """Plan the traversal of a video.

    Args:
        length: Number of frames of the video.
        prompted: Numbers of the prompted frames, which are visited in any case.
        direction: "forward", "backward" or "both".
        start: First frame of the range; by default 0.
        stop: End of the range, as in `range(start, stop)`; by default the end of the video.
        every: Visit one frame in so many.

    Raises:
        StateError: `no-prompts`: no frame is prompted.
        PromptError: `unknown-frame`: a prompted frame is outside the range.
        SettingsError: The range has no frames, or the direction is unknown.
    """
    prompted_frames = sorted(set(prompted))
    if not prompted_frames:
        raise StateError("no-prompts", "nothing to track; prompt an object with a click, a box or a mask")
    check_direction(direction)
    first, last = start or 0, length if stop is None else min(stop, length)
    if every < 1 or not 0 <= first < last:
        message = f"no frames to visit: start {first}, stop {last} and every {every} in a video of {length} frames"
        raise SettingsError("bad-usage", message)
    if outside := [frame for frame in prompted_frames if not first <= frame < last]:
        message = f"frame {outside[0]} has a prompt, but the frames that are visited are {first} to {last - 1}"
        raise PromptError("unknown-frame", message)
    frames: Sequence[int] = range(first, last, every)
    if any((frame - first) % every for frame in prompted_frames):
        frames = sorted({*frames, *prompted_frames})
    return Traversal(frames, tuple(bisect_left(frames, frame) for frame in prompted_frames), direction)
