"""What a frame is, and the two kinds of video: one that can be asked for any frame, and one that only goes on."""

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
    """One picture of a video. `index` counts decoded frames from 0; `time` is in seconds, as the source says it.

    `image` is (H, W, 3) uint8 RGB as a player shows it: turned, flipped and with square pixels. A `corrupt` frame could
    not be decoded, or only in part; its image is what there is, or the one before it.
    """

    index: int
    time: float | None
    image: Image
    corrupt: bool = False

    def __repr__(self) -> str:
        corrupt = ", corrupt=True" if self.corrupt else ""
        return f"Frame(index={self.index}, time={self.time}, size={self.image.shape[:2]}{corrupt})"


class LiveVideo(Protocol):
    """Frames that come once and in order: a camera, a stream, an iterator. All images have the size (H, W)."""

    name: str

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every image."""

    def __iter__(self) -> Iterator[Frame]:
        """The frames from the next one on."""

    def close(self) -> None:
        """Let go of the source. Iterating after that gives no frames."""

    def __enter__(self: SelfT) -> SelfT: ...

    def __exit__(self, *_: object) -> None: ...


class Video(LiveVideo, Protocol):
    """A video that can be asked for any frame. `len(video)` is the exact number of frames, counted, not promised."""

    @property
    def truncated(self) -> bool:
        """Whether the source ends before its end."""

    @property
    def times(self) -> tuple[float | None, ...]:
        """The time of every frame in seconds, None where the source has none."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image:
        """The image of frame `index`. Raises `PromptError` (`unknown-frame`) where there is none."""

    def frames(self, indices: range) -> Iterator[Frame]:
        """The frames of a range in its order, backward too, without holding more than a few of them."""


class Closable(ABC):
    """What is closed at the end of a `with` block."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self, 'name', '')!r}, size={getattr(self, 'size', None)})"

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self: SelfT) -> SelfT:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
