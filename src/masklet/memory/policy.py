"""Memory policies: which memories a frame recalls, and which masks a tracked object keeps.

A policy is a set of rules over numbers. It has no state of its own: what its rules must remember of a frame is part of
that frame's `Record`. So a frame can be tracked again, in either direction, and a resumed session gives the same masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray


class Record(NamedTuple):
    """Numbers of one hypothesis of an object on one frame.

    Attributes:
        iou: Predicted IoU of its mask.
        object_score: Logit that is positive where the object is visible.
        state: Numbers that the policy needs on later frames.
        parent: Position, among the hypotheses of the frame before, of the one that it continues.
        direction: Direction of tracking in which that frame is before, 1 or −1; 0 for a prompt, which continues none.
    """

    iou: float
    object_score: float
    state: tuple[float, ...] = ()
    parent: int = 0
    direction: int = 0

    def find_parent(self, direction: int) -> int:
        """Return the position of the parent on the frame before in a direction; 0, the best, if it has none there."""
        return self.parent if self.direction == direction else 0


@dataclass(frozen=True, slots=True)
class Past:
    """Past of one hypothesis of an object, as a frame sees it that is tracked in a direction.

    Attributes:
        prompted: Records of the object's prompted frames, before and after the frame.
        tracked: Returns an iterator over the tracked frames before the frame that have a memory, nearest first, each
            with its record. Prompted frames are not among them.
        length: Number of frames of the video, if it is known.
    """

    prompted: Mapping[int, Record]
    tracked: Callable[[], Iterator[tuple[int, Record]]]
    length: int | None = None


class Selection(NamedTuple):
    """Memories that a frame recalls.

    Attributes:
        slots: (slot, frame) of each frame whose memory map is recalled, in the order in which they are attended to;
            slots are 0 (the nearest) to 6 (that of prompted frames).
        pointers: (number of frames since, frame) of each frame whose object pointer is recalled.
        horizon: Divisor of the times of pointers, in frames.
        scales: Factors of the attention keys of each frame in `slots` and of each in `pointers`; None for 1.
    """

    slots: tuple[tuple[int, int], ...]
    pointers: tuple[tuple[int, int], ...]
    horizon: int
    scales: tuple[tuple[float, ...], tuple[float, ...]] | None = None


class MaskCandidates(Protocol):
    """The three masks that the decoder proposes for one hypothesis on one frame."""

    @property
    def iou(self) -> NDArray[Any]:
        """Predicted IoUs, (3,)."""

    @property
    def object_score(self) -> float:
        """Logit that is positive where the object is visible."""

    @property
    def logits(self) -> NDArray[Any]:
        """Low-resolution logits (3, h, w), as they cover the part of the frame in which the object was searched."""

    @property
    def boxes(self) -> NDArray[Any]:
        """Boxes (3, 4) xyxy of the masks in pixels of the frame; zeros for an empty mask."""

    @property
    def areas(self) -> NDArray[Any]:
        """Areas (3,) of the masks in pixels of the frame."""


class Choice(NamedTuple):
    """Mask that an object keeps on a frame.

    Attributes:
        hypothesis: Position of the hypothesis on the frame before that it continues.
        candidate: Position of the mask among the three candidates, or None for the one that the decoder chose.
        state: State of the new record.
    """

    hypothesis: int
    candidate: int | None
    state: tuple[float, ...] = ()


class MemoryPolicy(Protocol):
    """Rules of a tracker's memory. All methods are pure functions of their arguments.

    A subclass that keeps the decoder's choice needs a `name`, `select` and `retain`.
    """

    @property
    def name(self) -> str:
        """Name for `masklet.load(..., memory=...)` and `--memory`."""

    @property
    def chooses(self) -> bool:
        """Whether `choose` is called; otherwise, as by default, the decoder's choice is used: one hypothesis."""
        return False

    @property
    def revises(self) -> bool:
        """Whether there are several hypotheses, so that the best one at the end may differ from earlier masks."""
        return False

    def select(self, past: Past, frame: int, direction: int) -> Selection:
        """Select the memories that a hypothesis recalls on a frame, tracked forward (1) or backward (−1)."""

    def retain(self, past: Past, frame: int, direction: int) -> set[int]:
        """Return the tracked frames up to `frame` that a later frame may recall. All others can be dropped.

        `past` includes `frame` itself, as the next frame sees it.
        """

    def start(self, box: NDArray[Any], area: int) -> tuple[float, ...]:
        """Return the state after a prompt, from the box (4,) xyxy and the area of its mask in pixels of the frame.

        By default it is empty.
        """
        return ()

    def choose(
        self, last: Sequence[Record], candidates: Sequence[MaskCandidates], frame: int, direction: int
    ) -> list[Choice]:
        """Choose the hypotheses of an object on a frame, the best first; by default, the decoder's choice.

        Args:
            last: Record of each hypothesis on the frame before.
            candidates: Candidates of each hypothesis.
            frame: Number of the frame.
            direction: 1 forward, −1 backward.
        """
        return [Choice(0, None)]
