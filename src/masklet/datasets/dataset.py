"""What every data set is to us: named pictures or clips with true masks, read only when looked at."""

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
    """A picture with true masks. `image()` reads uint8 (H, W, 3) RGB, `annotation()` the masks of the same size."""

    name: str
    image: Callable[[], NDArray[np.uint8]]
    annotation: Callable[[], Annotation]

    def read(self) -> tuple[NDArray[np.uint8], Annotation]:
        """Both. Raises `FormatError` if they are not of one size."""
        image, annotation = self.image(), self.annotation()
        if image.shape[:2] != annotation.size:
            message = f"{self.name}: the picture is {image.shape[:2]} (H, W), its masks are {annotation.size}"
            raise FormatError("dataset-broken", message)
        return image, annotation


@dataclass(frozen=True, slots=True)
class ClipObject:
    """What a data set says of one object of a clip: its category, and the frames on which it expects it (or all)."""

    category: str = ""
    frames: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedClip:
    """A clip of which some frames have true masks.

    `source` is what `open_video` takes, None where there are masks only. `frame_names` names every frame, as answers
    are named. `annotations` reads the masks by frame; `objects` holds what is known without reading any. `wanted` are
    the frames that the benchmark wants answers for; the others only help to follow.
    """

    name: str
    source: Path | None
    frame_names: tuple[str, ...]
    annotations: Mapping[int, Callable[[], Annotation]]
    objects: Mapping[int, ClipObject] = field(default_factory=dict)
    wanted: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.wanted:
            object.__setattr__(self, "wanted", tuple(range(len(self.frame_names))))

    def __len__(self) -> int:
        return len(self.frame_names)

    @property
    def annotated(self) -> tuple[int, ...]:
        """The frames that have true masks, ascending."""
        return tuple(sorted(self.annotations))

    def annotation(self, frame: int) -> Annotation:
        """The true masks of an annotated frame. Raises `PromptError` (`unknown-frame`) for another."""
        if frame not in self.annotations:
            raise PromptError("unknown-frame", f"{self.name}: frame {frame} is not annotated")
        return self.annotations[frame]()

    def first_masks(self) -> dict[int, dict[int, Mask]]:
        """By frame and object, the first mask of each object that is not empty: what objects are shown by.

        Raises `FormatError` if there is none.
        """
        starts: dict[int, dict[int, Mask]] = {}
        known: set[int] = set()
        for frame in self.annotated:
            annotation = self.annotation(frame)
            masks = {key: annotation.mask(key) for key in annotation.object_ids if key not in known}
            new = {key: mask for key, mask in masks.items() if mask.any()}
            if new:
                starts[frame] = new
                known.update(new)
        if not starts:
            raise FormatError("dataset-broken", f"{self.name}: no object in any of its masks; nothing can be followed")
        return starts

    def video(self) -> Video:
        """The frames, to be closed after use. Raises `InputNotFound` where there are masks only, `FormatError` where
        there are not as many frames as there should be, and what `open_video` raises."""
        from masklet.video import open_video  # here, since scores need no decoder

        if self.source is None:
            raise InputNotFound("input-not-found", f"{self.name} has no frames, only masks; give the whole data set")
        video = open_video(self.source)
        if len(video) != len(self):
            video.close()
            raise FormatError("dataset-broken", f"{self.source} has {len(video)} frames, there should be {len(self)}")
        return video


@dataclass(frozen=True, slots=True, eq=False)
class Dataset(Generic[Record]):
    """Pictures or clips by name. `dataset[name]` builds a record; nothing is decoded before the record is asked.

    `kind` is the layout and the key of its benchmark: "davis-2017", "sa-v", "coco", … `unseen` holds the categories or
    clips that no training split has, where the benchmark reports them apart; None where that is not known.
    """

    kind: str
    split: str
    root: Path
    licence: str
    names: tuple[str, ...]
    build: Callable[[str], Record]
    unseen: frozenset[str] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> Record:
        return self.build(name)

    def __iter__(self) -> Iterator[Record]:
        return (self.build(name) for name in self.names)

    def only(self, names: Iterable[str]) -> Dataset[Record]:
        """The same with only these names, in the data set's order. Raises `FormatError` for one that is not there."""
        wanted = set(names)
        missing = sorted(wanted - set(self.names))
        if missing:
            raise FormatError("dataset-broken", f"{self.root}: no {missing[0]} in {self.kind} {self.split}")
        return replace(self, names=tuple(name for name in self.names if name in wanted))


Images = Dataset[AnnotatedImage]
Clips = Dataset[AnnotatedClip]
