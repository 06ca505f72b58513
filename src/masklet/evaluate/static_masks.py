"""Static-mask baseline for clips: the first mask of each object on every later frame, without a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from masklet.datasets.annotation import Annotation, Mask, annotation_from_masks
from masklet.datasets.dataset import AnnotatedClip, Clips

BASELINE_NAME = "the first mask, unmoved"


@dataclass(frozen=True, slots=True)
class StaticMasks:
    """Predictions for a dataset that repeat the first mask of each object."""

    clips: Clips

    def open_clip(self, clip: str) -> StaticClip:
        """Open the predictions of one clip."""
        return StaticClip(self.clips[clip])


@dataclass(slots=True)
class StaticClip:
    """Predictions of one clip with the interface of `ClipPredictions`."""

    clip: AnnotatedClip
    objects: dict[int, Path] = field(default_factory=dict)  # empty, as for label maps: objects may be missing
    first_masks: dict[int, dict[int, Mask]] = field(init=False)

    def __post_init__(self) -> None:
        self.first_masks = self.clip.first_masks()

    @property
    def folder(self) -> Path:
        return Path(self.clip.name)

    def read_frame(self, frame: str, size: tuple[int, int]) -> Annotation:
        """Return the first masks of all objects that have appeared up to a frame."""
        number = self.clip.frame_names.index(frame)
        started = [masks for start, masks in self.first_masks.items() if start <= number]
        masks = {key: mask for objects in started for key, mask in objects.items()}
        return annotation_from_masks(masks) if masks else Annotation(size, {})
