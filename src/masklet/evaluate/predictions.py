"""Prediction files of the video benchmarks: one PNG label map per frame, or one folder of PNG masks per object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from masklet.datasets.annotation import Annotation, annotation_from_label_map
from masklet.datasets.frame_folders import parse_object_id
from masklet.datasets.label_files import is_black_and_white, read_labels, read_object_masks
from masklet.errors import FormatError, InputNotFound
from masklet.files.atomic import atomic_write
from masklet.files.names import check_name
from masklet.files.outputs import atomic_folder
from masklet.masks.label_map import make_label_map, write_label_map, write_mask
from masklet.masks.masks import Masks

PredictionLayout = Literal["labels", "masks"]


@dataclass(frozen=True, slots=True)
class PredictionFolder:
    """Folder of predictions: `<clip>/<frame>.png`, or `<clip>/<object>/<frame>.png` for masks that overlap."""

    root: Path

    def has_clip(self, clip: str) -> bool:
        """Return whether the predictions of a clip are complete."""
        return self._clip_folder(clip).is_dir()

    def open_clip(self, clip: str) -> ClipPredictions:
        """Open the predictions of one clip.

        Raises:
            InputNotFound: There is no folder of this clip.
        """
        folder = self._clip_folder(clip)
        if not folder.is_dir():
            raise InputNotFound("input-not-found", f"{folder} is missing; predictions need one folder for each clip")
        return ClipPredictions(
            folder, {parse_object_id(path): path for path in sorted(folder.iterdir()) if path.is_dir()}
        )

    @contextmanager
    def write_clip(self, clip: str) -> Iterator[Path]:
        """Yield a temporary folder for the files of a clip, which is renamed to its final name on success.

        Raises:
            ResourceError: There are predictions of this clip already (`output-exists`).
        """
        with atomic_folder(self._clip_folder(clip)) as part:
            yield part

    def _clip_folder(self, clip: str) -> Path:
        """Return the folder of a clip. Raises `FormatError` for a name that is no plain folder name."""
        return self.root / check_name(clip, self.root)


@dataclass(frozen=True, slots=True)
class ClipPredictions:
    """Predictions of one clip: label maps in `folder`, or masks in the folders `objects` by object id."""

    folder: Path
    objects: Mapping[int, Path]

    def read_frame(self, frame: str, size: tuple[int, int]) -> Annotation:
        """Read the masks of one frame.

        Args:
            frame: The name of the frame.
            size: The size (H, W) of the ground truth.

        Raises:
            FormatError: A file is missing or has another size.
        """
        paths = {key: folder / f"{frame}.png" for key, folder in self.objects.items()}
        label_map_path = self.folder / f"{frame}.png"
        for path in paths.values() or [label_map_path]:
            if not path.is_file():
                raise FormatError(
                    "dataset-broken", f"{path} is missing; predictions need one file for each annotated frame"
                )
        annotation = read_object_masks(paths) if paths else _read_label_map(label_map_path)
        if annotation.size != size:
            message = f"{self.folder}: frame {frame} has size {annotation.size}, the ground truth {size} (H, W)"
            raise FormatError("dataset-broken", message)
        return annotation


def write_frame(folder: Path, frame: str, masks: Masks, layout: PredictionLayout) -> None:
    """Write the masks of one frame.

    Args:
        folder: The folder of the clip.
        frame: The name of the frame.
        masks: The masks of all objects.
        layout: `labels` writes a label map, in which overlapping pixels belong to the smallest id; `masks` writes one
            file per object.
    """
    if layout == "labels":
        with atomic_write(folder / f"{frame}.png") as handle:
            write_label_map(handle, make_label_map(masks.binary, masks.object_ids, masks.size))
        return
    for key, mask in zip(masks.object_ids, masks.binary, strict=True):
        object_folder = folder / f"{key:03d}"
        object_folder.mkdir(exist_ok=True)
        with atomic_write(object_folder / f"{frame}.png") as handle:
            write_mask(handle, mask)


def _read_label_map(path: Path) -> Annotation:
    """Read a label map. A black and white image is a mask of object 1."""
    labels = read_labels(path)
    return annotation_from_label_map(labels, binary=is_black_and_white(labels))
