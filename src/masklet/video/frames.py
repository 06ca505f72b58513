"""Frames and the interfaces of videos: `Video` gives any frame by index, `LiveVideo` gives frames once and in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
SelfT = TypeVar("SelfT")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image of a video.

    Attributes:
        index: The number of the frame, counted from 0.
        time: The presentation time in seconds as the source states it, or None. Where a file states missing, repeated
            or descending times, they are corrected.
        image: (H, W, 3) uint8 RGB as a player shows it: rotated, flipped and with square pixels.
        corrupt: Whether the frame could not be decoded completely. `image` is then the decoded part, or the image of
            the previous frame.

    Example:
        >>> frame = next(iter(masklet.open_video("dog.mp4")))
        >>> frame.image.shape
    """

    index: int
    time: float | None
    image: Image
    corrupt: bool = False

    def __repr__(self) -> str:
        corrupt = ", corrupt=True" if self.corrupt else ""
        return f"Frame(index={self.index}, time={self.time}, size={self.image.shape[:2]}{corrupt})"


class LiveVideo(Protocol):
    """Frames that come once and in order: a camera, a stream or an iterator.

    Example:
        >>> for frame in masklet.open_video(iter(["000.png", "001.png"])):
        ...     print(frame.index, frame.image.shape)
    """

    name: str

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every image."""

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames from the next one."""

    def close(self) -> None:
        """Release the source. Iteration ends."""

    def __enter__(self: SelfT) -> SelfT: ...

    def __exit__(self, *_: object) -> None: ...


class Video(LiveVideo, Protocol):
    """A video that gives any frame by index. `len(video)` is the exact number of frames that can be shown.

    Example:
        >>> video = masklet.open_video("dog.mp4")
        >>> len(video), video.size, video[7].shape
    """

    @property
    def truncated(self) -> bool:
        """Whether the source ends before the last frame that it announces."""

    @property
    def times(self) -> tuple[float | None, ...]:
        """The presentation time of every frame in seconds, None where the source states none."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image:
        """Return the image of frame `index`, (H, W, 3) uint8 RGB. Raises `PromptError` (`unknown-frame`)."""

    def frames(self, indices: range) -> Iterator[Frame]:
        """Iterate over the frames of a range in its order, also backward, with few of them in memory."""


class Closable(ABC):
    """Base class of videos: a context manager that closes, and a short `repr`."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self, 'name', '')!r}, size={getattr(self, 'size', None)})"

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self: SelfT) -> SelfT:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
