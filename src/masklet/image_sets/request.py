"""Requests to segment a set of images, and the result of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from masklet.detectors.detections import Detector
from masklet.errors import MaskletError
from masklet.formats.image_layout import FrameMode
from masklet.images.spacing import Spacing
from masklet.masks.effects import WHITE, Background
from masklet.masks.masks import Masks
from masklet.masks.object_detection import ObjectDetection
from masklet.prompts import Prompt


@dataclass(frozen=True, eq=False)
class ImageSetRequest:
    """Images, prompts, post-processing and output files.

    Attributes:
        images: The images to segment, whose names have distinct stems.
        prompts: Prompts by image and object id; with `references` those of the reference images.
        folder: Output folder.
        formats: Names of the output formats.
        references: Find the objects of the prompted images in all images.
        detector: Detector that finds the objects of each image, in place of prompts.
        min_score: Score of the detector from which a detection is an object; None for that of the detector.
        multimask: Write the three candidate masks of each prompt.
        fill_holes: Largest area of holes to fill, in low-resolution pixels.
        remove_islands: Largest area of islands to remove, in low-resolution pixels.
        background: What replaces the background in the format `background`.
        frames: How images are written beside annotations; None is the default of each format.
        spacing: Size of a pixel of all images, for measurements. By default that of each file, if it states one.
        resume: Continue an earlier run: images that it finished are not segmented again.
        overwrite: Replace existing files.
    """

    images: Sequence[Path]
    prompts: Mapping[Path, Mapping[int, Prompt]]
    folder: Path
    formats: Sequence[str]
    references: bool = False
    detector: Detector | None = None
    min_score: float | None = None
    multimask: bool = False
    fill_holes: float = 0
    remove_islands: float = 0
    background: Background = WHITE
    frames: FrameMode | None = None
    spacing: Spacing | None = None
    resume: bool = False
    overwrite: bool = False

    def prompts_of(self, image: Path) -> Mapping[int, Prompt]:
        """Return the prompts of an image, none if it has none."""
        return self.prompts.get(image, {})


@dataclass(frozen=True, eq=False)
class SegmentedImage:
    """Result of one image of a set.

    Attributes:
        path: The image.
        masks: Its masks, or None if it failed.
        error: Why it failed, or None.
        files: The files of the image by format; formats that hold several images have one file or folder for all.
        resumed: Whether an earlier run segmented the image.
        reference: Whether it is a reference image; None if there are none.
        encode_seconds: Time of encoding.
        decode_seconds: Time of decoding, with a detector that of all.
        detections: The box and the score of each object, if a detector found them.
    """

    path: Path
    masks: Masks | None = None
    error: MaskletError | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    resumed: bool = False
    reference: bool | None = None
    encode_seconds: float = 0.0
    decode_seconds: float = 0.0
    detections: tuple[ObjectDetection, ...] = ()

    def __repr__(self) -> str:
        result = f"masks={self.masks}" if self.error is None else f"error={self.error.code!r}"
        return f"SegmentedImage({str(self.path)!r}, {result})"
