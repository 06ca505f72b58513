"""Clips without any network: every object stays where it was shown. A model below that is worth nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from masklet.datasets.annotation import Annotation, Mask, from_masks
from masklet.datasets.dataset import AnnotatedClip, Clips

BASELINE_NAME = "the first mask, unmoved"


@dataclass(frozen=True, slots=True)
class StaticMasks:
    """Answers to a data set: the first mask of each object on every frame from there on."""

    clips: Clips

    def open_clip(self, clip: str) -> StaticClip:
        """The answer of one clip."""
        return StaticClip(self.clips[clip])


@dataclass(slots=True)
class StaticClip:
    """As `ClipAnswers`, without files."""

    clip: AnnotatedClip
    objects: dict[int, Path] = field(default_factory=dict)  # no folders: as in label maps, objects may be missing
    starts: dict[int, dict[int, Mask]] = field(init=False)

    def __post_init__(self) -> None:
        self.starts = self.clip.first_masks()

    @property
    def folder(self) -> Path:
        return Path(self.clip.name)

    def read_frame(self, frame: str, size: tuple[int, int]) -> Annotation:
        """The masks of the objects that were shown by then."""
        number = self.clip.frame_names.index(frame)
        shown = [masks for start, masks in self.starts.items() if start <= number]
        together = {key: mask for masks in shown for key, mask in masks.items()}
        return from_masks(together) if together else Annotation(size, {})
