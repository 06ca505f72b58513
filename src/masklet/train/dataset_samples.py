"""Any data set of ours as training data: random square views of its pictures, stretches of its clips."""

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
from masklet.predict.crop import Crop
from masklet.synthetic.engine.samples import Clip, Sample, TargetKind
from masklet.synthetic.engine.views import random_view

MIN_OBJECT_PIXELS = 24  # of an object in the view
MAX_OBJECTS = 32  # that are decoded of a picture: SA-1B has hundreds
MAX_ATTEMPTS = 100
CHECKED_RECORDS = 200  # records that are read before training starts; all of them in a smaller set

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class DatasetImageSampler:
    """`sample(index)` gives a view, `size` pixels square, of a random picture with at least one object."""

    images: Images
    size: int
    seed: int

    def sample(self, index: int) -> Sample:
        """View number `index`, the same for ever for this seed. Raises what the reader raises for a broken record."""
        for attempt in range(MAX_ATTEMPTS):
            rng = np.random.default_rng((self.seed, index, attempt))
            image, annotation = self.images[_draw_name(self.images.names, rng)].read()
            masks = _read_masks(annotation, rng)
            if not len(masks):
                continue
            view = random_view(masks[int(rng.integers(len(masks)))], rng)
            seen = _view_masks(masks, view, self.size)
            seen = seen[seen.sum(axis=(1, 2)) >= MIN_OBJECT_PIXELS]
            if len(seen):
                return Sample(_view_image(image, view, self.size), seen, _instance_kinds(len(seen)))
        raise FormatError(
            "dataset-broken", f"{self.images.root}: no object in {MAX_ATTEMPTS} pictures; is it annotated?"
        )


@dataclass(frozen=True, slots=True, eq=False)
class DatasetClipSampler:
    """`sample(index)` gives `frames` annotated frames of a random clip through one view, forwards or backwards."""

    clips: Clips
    size: int
    frames: int
    seed: int

    def sample(self, index: int) -> Clip:
        """Stretch number `index`, the same for ever for this seed; at least one object on its first frame."""
        for attempt in range(MAX_ATTEMPTS):
            rng = np.random.default_rng((self.seed, index, attempt))
            clip = self.clips[_draw_name(self.clips.names, rng)]
            frames = draw_frames(clip.annotated_frames, self.frames, rng)
            if frames is None:
                continue
            objects, masks = _read_tracks(clip, frames)
            if not objects:
                continue
            view = random_view(masks[0, int(rng.integers(len(objects)))], rng)
            seen = np.stack([_view_masks(shown, view, self.size) for shown in masks])
            kept = seen[0].sum(axis=(1, 2)) >= MIN_OBJECT_PIXELS
            if kept.any():
                images = [_view_image(image, view, self.size) for image in _read_frames(clip, frames)]
                return Clip(np.stack(images), seen[:, kept], _instance_kinds(int(kept.sum())))
        message = f"{self.clips.root}: no {self.frames} annotated frames with an object in {MAX_ATTEMPTS} clips"
        raise FormatError("dataset-broken", message)


def check_dataset(images: Images) -> None:
    """Read records all over the set; raises `FormatError` or `ImageError` naming the file that is wrong."""
    step = max(1, len(images) // CHECKED_RECORDS)
    for name in images.names[::step]:
        _, annotation = images[name].read()
        for key in annotation.object_ids[:MAX_OBJECTS]:
            annotation.mask(key)


def draw_frames(annotated: Sequence[int], count: int, rng: Generator) -> list[int] | None:
    """`count` of the annotated frames, every one, second or third, half of the times backwards; None if too few."""
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
    """The masks (N, H, W) of some objects that are not empty."""
    keys = rng.permutation(annotation.object_ids)[:MAX_OBJECTS]
    masks = [annotation.mask(int(key)) for key in keys]
    return np.stack([*[mask for mask in masks if mask.any()], np.zeros(annotation.size, bool)])[:-1]


def _read_tracks(clip: AnnotatedClip, frames: Sequence[int]) -> tuple[list[int], NDArray[np.bool_]]:
    """The objects that are visible on the first of the frames, and their masks (T, N, H, W)."""
    annotations = [clip.annotation(frame) for frame in frames]
    objects = [key for key in annotations[0].object_ids[:MAX_OBJECTS] if annotations[0].mask(key).any()]
    return objects, np.stack(
        [np.stack([a.mask(key) for key in objects]) for a in annotations]
    ) if objects else _NO_TRACKS


_NO_TRACKS: NDArray[np.bool_] = np.zeros((0, 0, 0, 0), bool)


def _read_frames(clip: AnnotatedClip, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
    with closing(clip.video()) as video:
        return [np.asarray(video[frame]) for frame in frames]


def _view_image(image: NDArray[np.uint8], view: Crop, size: int) -> NDArray[np.uint8]:
    window = view.cut(image)
    method = cv2.INTER_AREA if min(window.shape[:2]) > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(window, (size, size), interpolation=method), np.uint8)


def _view_masks(masks: NDArray[np.bool_], view: Crop, size: int) -> NDArray[np.bool_]:
    windows = [view.cut(mask).view(np.uint8) for mask in masks]
    resized = [cv2.resize(w, (size, size), interpolation=cv2.INTER_NEAREST_EXACT) for w in windows]
    return np.stack(resized).astype(bool)
