"""Frames of a video as the model takes them, a sequence that reads each frame when it is asked for."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.backend import IMAGE_MEAN, IMAGE_STD
from masklet.compat.sam2.array import make_tensor
from masklet.errors import ImageError
from masklet.images.resize import resize_antialiased
from masklet.video import Video, VideoOptions, open_video

READ_BACK = 16  # frames that are decoded together where a file is read backward

ReadImage = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True)
class Normalization:
    """How images become planes of the network: resized to a square, shifted and scaled.

    Attributes:
        side: Side of the square in pixels.
        mean: Mean of each channel, of values in [0, 1].
        std: Standard deviation of each channel.
        dtype: Number format of the planes.
    """

    side: int
    mean: Sequence[float] = IMAGE_MEAN
    std: Sequence[float] = IMAGE_STD
    dtype: type[np.floating[Any]] = np.float32

    def apply(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """Convert an image (H, W, 3) uint8 RGB to planes (3, side, side), by antialiased bilinear interpolation."""
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(self.dtype)
        planes = resize_antialiased(planes, (self.side, self.side)) / self.dtype(255)
        mean, std = (np.array(values, self.dtype)[:, None, None] for values in (self.mean, self.std))
        return np.asarray((planes - mean) / std)


class VideoFrames(Sequence[Any]):
    """Frames as normalized tensors (3, S, S), in place of one tensor (T, 3, S, S).

    A frame is read when it is asked for, and none is kept.

    Args:
        read: Returns the image of a frame, (H, W, 3) uint8 RGB.
        count: Number of frames.
        normalization: Rule by which images become planes.
        device: Device of the tensors, None for the CPU.
    """

    def __init__(self, read: ReadImage, count: int, normalization: Normalization, device: Any = None) -> None:
        self._read, self._count = read, count
        self.normalization, self.device = normalization, device

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        """Return one frame (3, S, S), or those of a slice (t, 3, S, S).

        Raises:
            IndexError: There is no such frame.
        """
        if isinstance(index, slice):
            side = self.normalization.side
            planes = [self._read_planes(k) for k in range(self._count)[index]]
            return make_tensor(np.reshape(planes, (-1, 3, side, side)).astype(self.normalization.dtype), self.device)
        position = int(index)
        if not -self._count <= position < self._count:
            raise IndexError(f"frame {position} does not exist; the video has {self._count} frames")
        return make_tensor(self._read_planes(position % self._count), self.device)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all frames together, (T, 3, S, S)."""
        return self._count, 3, self.normalization.side, self.normalization.side

    def _read_planes(self, index: int) -> NDArray[Any]:
        return self.normalization.apply(self._read(index))


class FolderReader:
    """Images of a folder at the size of the network's square, resized by Pillow's bicubic filter.

    Args:
        paths: The files.
        side: Side of the square in pixels.
    """

    def __init__(self, paths: Sequence[Path], side: int) -> None:
        self._paths, self._side = paths, side

    def __len__(self) -> int:
        return len(self._paths)

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """Return the image of a frame. Raises `ImageError` if it cannot be read."""
        path = self._paths[index]
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB").resize((self._side, self._side)))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            message = f"{path} cannot be read as an image ({error}); replace or remove it"
            raise ImageError("image-broken", message, path=str(path)) from error

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the last image, as the package `sam2` takes the size of all."""
        with Image.open(self._paths[-1]) as image:
            return image.height, image.width


class FileReader:
    """Frames of a video file at the size of the network's square, resized by FFmpeg's bicubic filter.

    Args:
        source: Path of the file, or its content.
        side: Side of the square in pixels.

    Attributes:
        size: (H, W) of the frames in the file.

    Raises:
        InputNotFound: The file does not exist.
        VideoError: It cannot be decoded.
    """

    def __init__(self, source: str | bytes, side: int) -> None:
        path = self._write_temporary(source) if isinstance(source, bytes) else source
        with open_video(path) as original:
            self.size = original.size
        self._video: Video = open_video(path, VideoOptions(scale_to=(side, side)))
        self._block: dict[int, NDArray[np.uint8]] = {}
        self._last = -1

    def __len__(self) -> int:
        return len(self._video)

    def __call__(self, index: int) -> NDArray[np.uint8]:
        """Return the image of a frame. Raises `VideoError` if it cannot be decoded."""
        if index not in self._block:
            first = max(0, index - READ_BACK + 1) if index == self._last - 1 else index
            self._block = {frame.index: frame.image for frame in self._video.frames(range(first, index + 1))}
        self._last = index
        return self._block[index]

    def _write_temporary(self, content: bytes) -> str:
        """Write the content to a file that is deleted with this reader."""
        with tempfile.NamedTemporaryFile(suffix=".mp4", delete=False) as file:
            file.write(content)
        weakref.finalize(self, _delete, file.name)
        return file.name


def _delete(name: str) -> None:
    try:
        Path(name).unlink(missing_ok=True)
    except PermissionError:  # on Windows, while the decoder's process has not ended
        return
