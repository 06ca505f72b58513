"""Datasets as records: named images or clips with ground-truth masks, read on access."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation, Mask
from masklet.errors import FormatError, InputNotFound, PromptError

if TYPE_CHECKING:
    from masklet.video import Video

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImage:
    """An image with ground-truth masks. `image()` reads (H, W, 3) uint8 RGB, `annotation()` masks of the same size."""

    name: str
    image: Callable[[], NDArray[np.uint8]]
    annotation: Callable[[], Annotation]

    def __repr__(self) -> str:
        return f"AnnotatedImage({self.name!r})"

    def read(self) -> tuple[NDArray[np.uint8], Annotation]:
        """Read the image and its annotation. Raises `FormatError` if their sizes differ."""
        image, annotation = self.image(), self.annotation()
        if image.shape[:2] != annotation.size:
            message = f"{self.name}: the image is {image.shape[:2]} (H, W), its masks are {annotation.size}"
            raise FormatError("dataset-broken", message)
        return image, annotation


@dataclass(frozen=True, slots=True)
class ClipObject:
    """An object of a clip: its category, and the frames on which the benchmark expects it (None: all)."""

    category: str = ""
    frames: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedClip:
    """A clip with ground-truth masks on some frames.

    Attributes:
        name: Name of the clip.
        source: Argument of `open_video`, or None if there are only masks.
        frame_names: Name of every frame, which predictions use too.
        annotations: Readers of the masks by frame index.
        objects: Properties of the objects that are known without reading masks.
        required_frames: Frames for which the benchmark requires predictions. By default all.
    """

    name: str
    source: Path | None
    frame_names: tuple[str, ...]
    annotations: Mapping[int, Callable[[], Annotation]]
    objects: Mapping[int, ClipObject] = field(default_factory=dict)
    required_frames: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.required_frames:
            object.__setattr__(self, "required_frames", tuple(range(len(self.frame_names))))

    def __repr__(self) -> str:
        return f"AnnotatedClip({self.name!r}, {len(self)} frames, {len(self.annotations)} annotated)"

    def __len__(self) -> int:
        return len(self.frame_names)

    @property
    def annotated_frames(self) -> tuple[int, ...]:
        """The frames that have ground-truth masks, ascending."""
        return tuple(sorted(self.annotations))

    def annotation(self, frame: int) -> Annotation:
        """Read the ground truth of a frame. Raises `PromptError` (`unknown-frame`) if it has none."""
        if frame not in self.annotations:
            raise PromptError("unknown-frame", f"{self.name}: frame {frame} is not annotated")
        return self.annotations[frame]()

    def first_masks(self) -> dict[int, dict[int, Mask]]:
        """Find the first mask of each object that is not empty, by frame and object, as prompts for tracking.

        Raises `FormatError` if all masks are empty.
        """
        first: dict[int, dict[int, Mask]] = {}
        prompted: set[int] = set()
        for frame in self.annotated_frames:
            annotation = self.annotation(frame)
            masks = {key: annotation.mask(key) for key in annotation.object_ids if key not in prompted}
            new = {key: mask for key, mask in masks.items() if mask.any()}
            if new:
                first[frame] = new
                prompted.update(new)
        if not first:
            raise FormatError("dataset-broken", f"{self.name}: all of its masks are empty; there is nothing to track")
        return first

    def video(self) -> Video:
        """Open the frames as a video, which the caller closes.

        Raises `InputNotFound` if there are only masks, `FormatError` for a wrong number of frames, and the errors of
        `open_video`.
        """
        from masklet.video import open_video  # imported here, since scoring does not decode videos

        if self.source is None:
            raise InputNotFound("input-not-found", f"{self.name} has only masks and no frames; pass the whole dataset")
        video = open_video(self.source)
        if len(video) != len(self):
            video.close()
            raise FormatError("dataset-broken", f"{self.source} has {len(video)} frames, expected {len(self)}")
        return video


@dataclass(frozen=True, slots=True, eq=False)
class Dataset(Generic[Record]):
    """Images or clips by name. `dataset[name]` builds a record, which decodes nothing until it is read.

    Attributes:
        kind: Layout and key of the benchmark: "davis-2017", "sa-v", "coco", …
        split: Name of the split.
        root: Folder or file of the dataset.
        license: License of the data.
        names: Names of the records, in order.
        build: Builds the record of a name.
        unseen: Categories or clips that are not in the training split, if the benchmark reports them separately.
    """

    kind: str
    split: str
    root: Path
    license: str
    names: tuple[str, ...]
    build: Callable[[str], Record]
    unseen: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"Dataset({self.kind}, {self.split}, {len(self)} records)"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> Record:
        return self.build(name)

    def __iter__(self) -> Iterator[Record]:
        return (self.build(name) for name in self.names)

    def select(self, names: Iterable[str]) -> Dataset[Record]:
        """Return the dataset with only these names, in its order. Raises `FormatError` for an unknown name."""
        selected = set(names)
        missing = sorted(selected - set(self.names))
        if missing:
            raise FormatError("dataset-broken", f"{self.root}: no {missing[0]} in {self.kind} {self.split}")
        return replace(self, names=tuple(name for name in self.names if name in selected))


Images = Dataset[AnnotatedImage]
Clips = Dataset[AnnotatedClip]
