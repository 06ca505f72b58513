"""Reader of video files for napari: an image layer (T, Y, X, 3) whose frames are decoded when they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.video import open_video

LayerData = tuple[Any, dict[str, Any], str]


def find_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return the function that reads a file, or None for several files."""
    return _read_video if isinstance(path, str) else None


def _read_video(path: Any) -> list[LayerData]:
    """Return one image layer of a video. Raises the errors of `open_video`."""
    return [(VideoArray(path), {"name": Path(path).stem, "rgb": True}, "image")]


class VideoArray:
    """A video as an array (T, H, W, 3) uint8 RGB, of which only the frames that are indexed are decoded.

    Args:
        path: The file.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, path: str) -> None:
        self._video = open_video(path)
        self.shape = (len(self._video), *self._video.size, 3)
        self.size = int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        """Return the part of the video that an index selects, as NumPy does."""
        first, *others = index if isinstance(index, tuple) else (index,)
        if first is Ellipsis:
            return np.asarray(np.asarray(self)[index])
        if isinstance(first, int | np.integer):
            return np.asarray(self._read(int(first))[tuple(others)])
        positions = np.arange(len(self))[first]
        images = np.stack([self._read(int(position)) for position in positions])
        within = (slice(None), *others)
        return np.asarray(images[within])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.stack([self._read(index) for index in range(len(self))]).astype(dtype or self.dtype, copy=False)

    def _read(self, index: int) -> NDArray[np.uint8]:
        return np.asarray(self._video[index % len(self)], np.uint8)
