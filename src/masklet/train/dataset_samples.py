"""Samples of annotated datasets: random square views of images, and short clips of annotated frames."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation
from masklet.datasets.dataset import AnnotatedClip, Clips, Images
from masklet.errors import FormatError
from masklet.masks.crop import Crop
from masklet.synthetic.engine.samples import Clip, Sample, TargetKind
from masklet.synthetic.engine.views import sample_crop

MIN_OBJECT_PIXELS = 24  # smaller objects in a view are left out
MAX_OBJECTS = 32  # decoded per image: SA-1B has hundreds
MAX_ATTEMPTS = 100  # random records and views until one has an object
CHECKED_RECORDS = 200  # records that are read before training starts

_NO_TRACKS: NDArray[np.bool_] = np.zeros((0, 0, 0, 0), bool)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetImageSampler:
    """An `ImageSampler` of views, `size` pixels square, of random images with at least one object."""

    images: Images
    size: int
    seed: int

    def sample(self, index: int) -> Sample:
        """Return view `index`. Raises `FormatError` or `ImageError` for a broken record."""
        for attempt in range(MAX_ATTEMPTS):
            rng = np.random.default_rng((self.seed, index, attempt))
            image, annotation = self.images[_draw_name(self.images.names, rng)].read()
            masks = _read_masks(annotation, rng)
            if not len(masks):
                continue
            view = sample_crop(masks[int(rng.integers(len(masks)))], rng)
            visible = _view_masks(masks, view, self.size)
            visible = visible[visible.sum(axis=(1, 2)) >= MIN_OBJECT_PIXELS]
            if len(visible):
                return Sample(_view_image(image, view, self.size), visible, _instance_kinds(len(visible)))
        message = f"{self.images.root}: {MAX_ATTEMPTS} images without an object; check that the data is annotated"
        raise FormatError("dataset-broken", message)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetClipSampler:
    """A `ClipSampler` of `frames` annotated frames of random clips, in one view, forward or backward."""

    clips: Clips
    size: int
    frames: int
    seed: int

    def sample(self, index: int) -> Clip:
        """Return clip `index`, with at least one object on its first frame. Raises as `DatasetImageSampler`."""
        for attempt in range(MAX_ATTEMPTS):
            rng = np.random.default_rng((self.seed, index, attempt))
            clip = self.clips[_draw_name(self.clips.names, rng)]
            frames = draw_frames(clip.annotated_frames, self.frames, rng)
            if frames is None:
                continue
            objects, masks = _read_tracks(clip, frames)
            if not objects:
                continue
            view = sample_crop(masks[0, int(rng.integers(len(objects)))], rng)
            visible = np.stack([_view_masks(on_frame, view, self.size) for on_frame in masks])
            large = visible[0].sum(axis=(1, 2)) >= MIN_OBJECT_PIXELS
            if large.any():
                images = [_view_image(image, view, self.size) for image in _read_frames(clip, frames)]
                return Clip(np.stack(images), visible[:, large], _instance_kinds(int(large.sum())))
        message = f"{self.clips.root}: {MAX_ATTEMPTS} clips without {self.frames} annotated frames that show an object"
        raise FormatError("dataset-broken", message)


def check_dataset(images: Images) -> None:
    """Read up to `CHECKED_RECORDS` records, spread over the set.

    Raises:
        FormatError, ImageError: A record is broken; the error names the file.
    """
    step = max(1, len(images) // CHECKED_RECORDS)
    for name in images.names[::step]:
        _, annotation = images[name].read()
        for key in annotation.object_ids[:MAX_OBJECTS]:
            annotation.mask(key)


def draw_frames(annotated: Sequence[int], count: int, rng: Generator) -> list[int] | None:
    """Draw `count` evenly spaced frames of a clip.

    Consecutive frames are one to three annotated frames apart. Half of the draws run backward.

    Returns:
        The frame numbers, or None for a clip of fewer than `count` annotated frames.
    """
    if len(annotated) < count:
        return None
    widest = min(3, (len(annotated) - 1) // max(1, count - 1))
    step = int(rng.integers(1, widest, endpoint=True))
    start = int(rng.integers(0, len(annotated) - step * (count - 1)))
    frames = list(annotated[start : start + step * (count - 1) + 1 : step])
    return frames[::-1] if rng.random() < 0.5 else frames


def _instance_kinds(count: int) -> tuple[TargetKind, ...]:
    kind: TargetKind = "instance"
    return (kind,) * count


def _draw_name(names: Sequence[str], rng: Generator) -> str:
    return names[int(rng.integers(len(names)))]


def _read_masks(annotation: Annotation, rng: Generator) -> NDArray[np.bool_]:
    """Read the masks (N, H, W) of up to `MAX_OBJECTS` random objects, without empty ones."""
    keys = rng.permutation(annotation.object_ids)[:MAX_OBJECTS]
    masks = [annotation.mask(int(key)) for key in keys]
    return np.stack([*[mask for mask in masks if mask.any()], np.zeros(annotation.size, bool)])[:-1]


def _read_tracks(clip: AnnotatedClip, frames: Sequence[int]) -> tuple[list[int], NDArray[np.bool_]]:
    """Read the objects that are visible on the first of the frames, and their masks (T, N, H, W)."""
    annotations = [clip.annotation(frame) for frame in frames]
    objects = [key for key in annotations[0].object_ids[:MAX_OBJECTS] if annotations[0].mask(key).any()]
    if not objects:
        return objects, _NO_TRACKS
    return objects, np.stack([np.stack([a.mask(key) for key in objects]) for a in annotations])


def _read_frames(clip: AnnotatedClip, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
    with closing(clip.video()) as video:
        return [np.asarray(video[frame]) for frame in frames]


def _view_image(image: NDArray[np.uint8], view: Crop, size: int) -> NDArray[np.uint8]:
    """Crop an image to the view and resize it to `size` pixels square."""
    crop = view.cut(image)
    method = cv2.INTER_AREA if min(crop.shape[:2]) > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, (size, size), interpolation=method), np.uint8)


def _view_masks(masks: NDArray[np.bool_], view: Crop, size: int) -> NDArray[np.bool_]:
    """Crop masks to the view and resize them to `size` pixels square."""
    crops = [view.cut(mask).view(np.uint8) for mask in masks]
    resized = [cv2.resize(crop, (size, size), interpolation=cv2.INTER_NEAREST_EXACT) for crop in crops]
    return np.stack(resized).astype(bool)
