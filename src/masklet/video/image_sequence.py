"""Image sequences as videos: the files of a folder, a list or an array, read on demand, and iterators of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image as PilImage

from masklet.errors import ImageError, InputNotFound, PromptError, VideoError, warn
from masklet.images import read_image
from masklet.images.image_file import read_size
from masklet.video.frames import Closable, Frame, Image
from masklet.video.options import VideoOptions
from masklet.video.prefetch import prefetch

_PREFETCH_FRAMES = 4
_CORRUPT_CODES = {"image-broken", "image-truncated", "input-empty"}


class ImageSequence(Closable):
    """A `Video` over a sequence of images.

    A broken image becomes a corrupt frame with the image before it. The first image must be valid.

    Args:
        name: The name of the video, for messages.
        items: A sequence of anything that `read_image` accepts.
        names: The names of the items, for messages.
        options: Frame size and limits.

    Raises:
        VideoError: `video-no-frames`. The sequence is empty.
        ImageError: The first image cannot be read.
    """

    truncated = False

    def __init__(self, name: str, items: Any, names: Sequence[str], options: VideoOptions) -> None:
        self.name, self._items, self._names, self._options = name, items, names, options
        if not len(items):
            raise VideoError("video-no-frames", f"{name} contains no images", path=name)
        self.size = _size_of(read_image(items[0], max_pixels=options.max_pixels))

    def __len__(self) -> int:
        return len(self._items)

    @property
    def times(self) -> tuple[float | None, ...]:
        """None for every frame, since images have no times."""
        return (None,) * len(self)

    def __getitem__(self, index: int) -> Image:
        """Return the image of frame `index`, (H, W, 3) uint8 RGB.

        Raises:
            PromptError: `unknown-frame`. There is no such frame.
            ImageError: The image cannot be read.
            VideoError: `frames-inconsistent`. The image has another size than the first one, and `rescale` is off.
        """
        return self._read_frame(index).image

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over all frames from the first one, with prefetch."""
        return self.frames(range(len(self)))

    def frames(self, indices: range) -> Iterator[Frame]:
        """Iterate over the frames of a range in its order, with prefetch. Warns at the first corrupt frame."""
        has_warned = False
        for frame in prefetch(map(self._read_frame, indices), _PREFETCH_FRAMES):
            if frame.corrupt and not has_warned:
                has_warned = True
                message = f"{self._names[frame.index]} is corrupt; the image before it is used instead"
                warn("frame-corrupt", message)
            yield frame

    def check_sizes(self) -> None:
        """Compare the sizes in the headers of all files. Raises `VideoError` (`frames-inconsistent`)."""
        for index, item in enumerate(self._items):
            if isinstance(item, str | os.PathLike) and (size := read_size(item)):
                self._check_size(index, size)

    def close(self) -> None:
        """Release the images. Iteration ends."""
        self._items = ()

    def _read_frame(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            message = f"{self.name} has no frame {index}; there are {len(self)} frames"
            raise PromptError("unknown-frame", message, path=self.name, frame=index)
        for previous in range(index, -1, -1):
            image = self._read_unless_corrupt(previous)
            if image is not None:
                return Frame(index, None, image, corrupt=previous != index)
        raise VideoError("video-no-frames", f"{self.name}: no image up to frame {index} can be read", path=self.name)

    def _read_unless_corrupt(self, index: int) -> Image | None:
        try:
            image = read_image(self._items[index], max_pixels=self._options.max_pixels)
        except (ImageError, InputNotFound) as error:
            if error.code not in _CORRUPT_CODES:
                raise
            return None
        self._check_size(index, _size_of(image))
        return rescale_image(image, self.size)

    def _check_size(self, index: int, size: tuple[int, int]) -> None:
        if size != self.size and not self._options.rescale:
            message = (
                f"{self._names[index]} has size {size}, {self._names[0]} {self.size}; "
                "pass VideoOptions(rescale=True) to scale it"
            )
            raise VideoError("frames-inconsistent", message, path=self._names[index], frame=index)


class ImageIterator(Closable):
    """A `LiveVideo` over an iterator of images, which runs in the thread of the caller.

    Args:
        items: An iterable of anything that `read_image` accepts.
        options: Frame size and limits.

    Raises:
        VideoError: `video-no-frames`. The iterator is empty.
    """

    def __init__(self, items: Iterable[Any], options: VideoOptions) -> None:
        self.name, self._options = "the iterator", options
        images = (read_image(item, max_pixels=options.max_pixels) for item in items)
        first = next(images, None)
        if first is None:
            raise VideoError("video-no-frames", "the iterator gives no image; pass one that gives at least one")
        self.size = _size_of(first)
        self._frames = (
            Frame(index, None, self._fit(index, image)) for index, image in enumerate(chain([first], images))
        )

    def __iter__(self) -> Iterator[Frame]:
        """Iterate over the frames from the next one. Raises `VideoError` (`resolution-changed`)."""
        return self._frames

    def close(self) -> None:
        """Stop the iterator. Iteration ends."""
        self._frames.close()

    def _fit(self, index: int, image: Image) -> Image:
        if _size_of(image) != self.size and not self._options.rescale:
            message = (
                f"frame {index} has size {_size_of(image)}, the first one {self.size}; "
                "pass VideoOptions(rescale=True) to scale it"
            )
            raise VideoError("resolution-changed", message, frame=index)
        return rescale_image(image, self.size)


def rescale_image(image: Image, size: tuple[int, int]) -> Image:
    """Scale an image to `size` (H, W) with bicubic interpolation. Returns an image of that size unchanged."""
    if _size_of(image) == size:
        return image
    height, width = size
    return np.array(PilImage.fromarray(image).resize((width, height), PilImage.Resampling.BICUBIC))


def _size_of(image: Image) -> tuple[int, int]:
    return image.shape[0], image.shape[1]
