"""Stored frames: the masks of a project as RLE frames, for writers of formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from masklet.config import CERTAIN_LOGIT
from masklet.masks.rle_frame import RleFrame
from masklet.project.cells import CellTable
from masklet.project.mask_store import MaskStore
from masklet.project.project import Project


@dataclass(frozen=True, slots=True)
class StoredFrames:
    """Frames of a video, or an image, with the masks that its cells have. It may be iterated several times.

    Attributes:
        medium: The video or image.
        size: Its (H, W).
        indices: The frames.
        times: Time of every frame of the video in seconds, or None.
        object_ids: The objects.
        labels: Label of each object that has one.
        cells: The cells, which do not change.
        store: The masks.
    """

    medium: int
    size: tuple[int, int]
    indices: Sequence[int]
    times: Sequence[float | None]
    object_ids: tuple[int, ...]
    labels: Mapping[int, str]
    cells: CellTable
    store: MaskStore

    @classmethod
    def of(cls, project: Project, medium: int, times: Sequence[float | None] | None = None) -> StoredFrames:
        """Return the frames with cells. Without `times` they are computed from the entry of the medium."""
        with project.lock:
            document = project.document
            entry, cells = document.medium(medium), document.cells.copy(medium)
            object_ids = (*document.objects_of(medium),)
            labels = {key: document.label_of(medium, key) for key in object_ids}
            frames = {frame for key in object_ids for frame in cells.frames_of(medium, key).tolist()}
            return cls(
                medium,
                entry.size,
                sorted(frames),
                _compute_times(entry.times, entry.frames) if times is None else times,
                object_ids,
                {key: label for key, label in labels.items() if label},
                cells,
                project.masks(medium),
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[RleFrame]:
        return map(self.read, self.indices)

    def read(self, index: int) -> RleFrame:
        """Read the masks of a frame. Hidden and absent objects have an empty mask."""
        found = [(key, self.cells.get(self.medium, key, index)) for key in self.object_ids]
        cells = [(key, cell) for key, cell in found if cell is not None]
        numbers = [cell.mask if cell.mask is not None and cell.visible else None for _, cell in cells]
        return RleFrame(
            index,
            self.times[index],
            self.size,
            tuple(key for key, _ in cells),
            tuple(cell.score for _, cell in cells),
            tuple(CERTAIN_LOGIT if number else -CERTAIN_LOGIT for number in numbers),
            tuple(self.store.read_counts(number or 0) for number in numbers),
            labels=tuple(self.labels.get(key) for key, _ in cells),
        )


def _compute_times(times: tuple[float, float] | None, frames: int) -> Sequence[float | None]:
    if times is None:
        return (None,) * frames
    start, rate = times
    return [start + frame / rate for frame in range(frames)]
