"""The tree of PNGs in which benchmarks take answers: one label map per frame, or one folder of masks per object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from masklet.datasets.annotation import Annotation, from_labels
from masklet.datasets.frame_folders import object_number
from masklet.datasets.label_files import black_and_white, read_labels, read_object_masks
from masklet.errors import FormatError, InputNotFound
from masklet.files.atomic import atomic_write
from masklet.files.names import check_name
from masklet.files.outputs import atomic_folder
from masklet.masks.label_map import make_label_map, write_label_map, write_mask
from masklet.masks.masks import Masks

PredictionLayout = Literal["labels", "masks"]


@dataclass(frozen=True, slots=True)
class PredictionFolder:
    """Answers below `root`: `<clip>/<frame>.png`, or `<clip>/<object>/<frame>.png` where masks may overlap."""

    root: Path

    def has_clip(self, clip: str) -> bool:
        """Whether there is a finished answer for a clip."""
        return self._clip_folder(clip).is_dir()

    def open_clip(self, clip: str) -> ClipPredictions:
        """The answer of one clip. Raises `InputNotFound` if there is none."""
        folder = self._clip_folder(clip)
        if not folder.is_dir():
            raise InputNotFound("input-not-found", f"{folder} is missing; answers need a folder for every clip")
        return ClipPredictions(
            folder, {object_number(path): path for path in sorted(folder.iterdir()) if path.is_dir()}
        )

    @contextmanager
    def write_clip(self, clip: str) -> Iterator[Path]:
        """A folder to write a clip's answer in. It gets its name when the block ends well: a name means a whole clip.

        Raises `ResourceError` (`output-exists`) where there is an answer already.
        """
        with atomic_folder(self._clip_folder(clip)) as part:
            yield part

    def _clip_folder(self, clip: str) -> Path:
        """The folder of a clip. Raises `FormatError` for a name that could lead out of `root`."""
        return self.root / check_name(clip, self.root)


@dataclass(frozen=True, slots=True)
class ClipPredictions:
    """The answer of one clip: label maps in `folder`, or masks in `objects`, its folder per object."""

    folder: Path
    objects: Mapping[int, Path]

    def read_frame(self, frame: str, size: tuple[int, int]) -> Annotation:
        """The masks on one frame. Raises `FormatError` for a missing file or another size than (H, W)."""
        paths = {key: folder / f"{frame}.png" for key, folder in self.objects.items()}
        alone = self.folder / f"{frame}.png"
        for path in paths.values() or [alone]:
            if not path.is_file():
                raise FormatError("dataset-broken", f"{path} is missing; answers need a file for every annotated frame")
        found = read_object_masks(paths) if paths else _read_label_map(alone)
        if found.size != size:
            message = f"{self.folder}: frame {frame} is {found.size}, the true mask {size}"
            raise FormatError("dataset-broken", message)
        return found


def write_frame(folder: Path, frame: str, masks: Masks, layout: PredictionLayout) -> None:
    """One frame's masks in the clip's folder: the smallest id wins overlaps in a label map."""
    if layout == "labels":
        with atomic_write(folder / f"{frame}.png") as handle:
            write_label_map(handle, make_label_map(masks.binary, masks.object_ids, masks.size))
        return
    for key, mask in zip(masks.object_ids, masks.binary, strict=True):
        place = folder / f"{key:03d}"
        place.mkdir(exist_ok=True)
        with atomic_write(place / f"{frame}.png") as handle:
            write_mask(handle, mask)


def _read_label_map(path: Path) -> Annotation:
    """A label map; one in black and white is of object 1."""
    labels = read_labels(path)
    return from_labels(labels, binary=black_and_white(labels))
