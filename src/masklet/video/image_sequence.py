"""Pictures as a video: a folder, a list, an array, an iterator. They are read when they are looked at."""

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

_AHEAD = 4  # pictures that are read before they are asked for
_CORRUPT = {"image-broken", "image-truncated", "input-empty"}


class ImageSequence(Closable):
    """A `Video` over anything with a length that gives what `read_image` takes. `names` are for messages.

    A broken picture is a corrupt frame; the first one must be sound. Pictures of several sizes raise `VideoError`
    (`frames-inconsistent`) at the first that differs, unless the options say to rescale.
    """

    truncated = False

    def __init__(self, name: str, items: Any, names: Sequence[str], options: VideoOptions) -> None:
        self.name, self._items, self._names, self._options = name, items, names, options
        if not len(items):
            raise VideoError("video-no-frames", f"{name} holds no pictures", path=name)
        self.size = _size(read_image(items[0], max_pixels=options.max_pixels))

    def __len__(self) -> int:
        return len(self._items)

    @property
    def times(self) -> tuple[float | None, ...]:
        """Pictures have no times."""
        return (None,) * len(self)

    def __getitem__(self, index: int) -> Image:
        """The image of frame `index`. Raises `PromptError` (`unknown-frame`), `ImageError`, `VideoError`."""
        return self._frame(index).image

    def __iter__(self) -> Iterator[Frame]:
        """All frames from the first on, read a few ahead."""
        return self.frames(range(len(self)))

    def frames(self, indices: range) -> Iterator[Frame]:
        """The frames of a range in its order, read a few ahead."""
        told = False
        for frame in prefetch(map(self._frame, indices), _AHEAD):
            if frame.corrupt and not told:
                told = True
                broken = f"{self._names[frame.index]} is corrupt; the picture before it stands in"
                warn("frame-corrupt", broken)
            yield frame

    def check_sizes(self) -> None:
        """Look at the headers of all files before the first is decoded. Raises `frames-inconsistent`."""
        for place, item in enumerate(self._items):
            if isinstance(item, str | os.PathLike) and (size := read_size(item)):
                self._check(place, size)

    def close(self) -> None:
        """Forget the pictures. Iterating after that gives no frames."""
        self._items = ()

    def _frame(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            message = f"{self.name} has no frame {index}; there are {len(self)}"
            raise PromptError("unknown-frame", message, path=self.name, frame=index)
        for place in range(index, -1, -1):
            image = self._sound(place)
            if image is not None:
                return Frame(index, None, image, corrupt=place != index)
        raise VideoError("video-no-frames", f"{self.name}: no picture up to {index} can be read", path=self.name)

    def _sound(self, place: int) -> Image | None:
        try:
            image = read_image(self._items[place], max_pixels=self._options.max_pixels)
        except (ImageError, InputNotFound) as error:
            if error.code not in _CORRUPT:
                raise
            return None
        self._check(place, _size(image))
        return rescale_image(image, self.size)

    def _check(self, place: int, size: tuple[int, int]) -> None:
        if size != self.size and not self._options.rescale:
            message = (
                f"{self._names[place]} has size {size}, {self._names[0]} {self.size}; "
                "pass VideoOptions(rescale=True) to bring it to that"
            )
            raise VideoError("frames-inconsistent", message, path=self._names[place], frame=place)


class ImageIterator(Closable):
    """A `LiveVideo` over an iterator of what `read_image` takes."""

    def __init__(self, items: Iterable[Any], options: VideoOptions) -> None:
        self.name, self._options = "the iterator", options
        images = (read_image(item, max_pixels=options.max_pixels) for item in items)
        first = next(images, None)
        if first is None:
            raise VideoError("video-no-frames", "the iterator gave no picture")
        self.size = _size(first)
        self._frames = (
            Frame(index, None, self._checked(index, image)) for index, image in enumerate(chain([first], images))
        )

    def __iter__(self) -> Iterator[Frame]:
        """The frames from the next one on."""
        return self._frames

    def close(self) -> None:
        """Take nothing more from the iterator."""
        self._frames.close()

    def _checked(self, index: int, image: Image) -> Image:
        if _size(image) != self.size and not self._options.rescale:
            message = f"frame {index} has size {_size(image)}, the first one {self.size}"
            raise VideoError("resolution-changed", message, frame=index)
        return rescale_image(image, self.size)


def rescale_image(image: Image, size: tuple[int, int]) -> Image:
    """The image scaled to `size` (H, W); itself where it has that."""
    if _size(image) == size:
        return image
    height, width = size
    return np.array(PilImage.fromarray(image).resize((width, height), PilImage.Resampling.BICUBIC))


def _size(image: Image) -> tuple[int, int]:
    return image.shape[0], image.shape[1]
