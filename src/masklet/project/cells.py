"""Cells of a project: the state of each object on each frame, in arrays of 7 bytes per frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError

Source = Literal["track", "prompt", "edit", "absent", "import", "propose"]
"""Where a cell comes from. The position is its number in the byte of a lane, from 1."""

CellKey = tuple[int, int, int]
"""Medium, object and frame."""

EMPTY_MASK = 0
"""Number of the empty mask of every image and video."""

MAX_FRAMES = 10**7  # of a video; a file with more is broken

_SOURCES: tuple[Source, ...] = get_args(Source)
_NUMBERS = {source: number for number, source in enumerate(_SOURCES, start=1)}
_TRACKED = _NUMBERS["track"]
_HIDDEN = 7  # in a lane: tracked, and hidden in its frame
_ACCEPTED = 8  # bit
_SCALE = 10_000  # scores are stored with four decimals
_NO_MASK = -1
_ROW = np.dtype([("mask", "<i4"), ("score", "<u2"), ("state", "u1")])

Column = NDArray[np.void]  # (frames,) of _ROW


@dataclass(frozen=True, slots=True)
class Cell:
    """State of one object on one frame.

    Attributes:
        mask: Number of the mask in the mask store of the medium; None where the object is absent.
        score: 1 − uncertainty, from 0 to 1, rounded to four decimals.
        source: Where the mask comes from.
        accepted: Whether the user accepted it.

    Raises:
        FormatError: `project-broken`. A value is invalid.
    """

    mask: int | None
    score: float
    source: Source
    accepted: bool = False

    def __post_init__(self) -> None:
        valid = self.mask is None or 0 <= self.mask < 2**31
        if not valid or not 0 <= self.score <= 1 or self.source not in _NUMBERS:
            raise FormatError("project-broken", f"a cell must have a mask, a score and a source, got {self}")
        object.__setattr__(self, "score", round(self.score * _SCALE) / _SCALE)

    @property
    def annotated(self) -> bool:
        """Whether it was given by the user, so that tracking starts from it and does not overwrite it."""
        return self.source != "track"

    @property
    def protected(self) -> bool:
        """Whether tracking does not overwrite it: it is annotated or accepted."""
        return self.annotated or self.accepted

    @property
    def visible(self) -> bool:
        """Whether it has a mask that is not empty."""
        return self.mask is not None and self.mask != EMPTY_MASK

    def to_json(self, key: CellKey) -> list[Any]:
        """Return it as a row of the log."""
        return [*key, self.mask, self.score, self.source, self.accepted]

    def to_byte(self) -> int:
        """Return it as the byte of a lane."""
        number = _HIDDEN if self.source == "track" and not self.visible else _NUMBERS[self.source]
        return number | (_ACCEPTED if self.accepted else 0) | round(self.score * 15) << 4


def cell_from_json(row: Any) -> tuple[CellKey, Cell | None]:
    """Read a row of the log, a cell or the removal of one. Raises `FormatError` (`project-broken`)."""
    try:
        medium, object_id, frame, *values = row
        if not all(type(number) is int for number in (medium, object_id, frame)):
            raise TypeError("a cell is of a medium, an object and a frame")
        if medium < 1 or object_id < 1 or not 0 <= frame < MAX_FRAMES:
            raise ValueError("a number is outside its range")
        if not values:
            return (medium, object_id, frame), None
        mask, score, source, accepted = values
        if type(mask) not in (int, type(None)) or type(accepted) is not bool:
            raise TypeError("a mask is a number or null")
        return (medium, object_id, frame), Cell(mask, score, source, accepted)
    except (TypeError, ValueError) as cause:
        raise FormatError("project-broken", f"{row!r:.80} is not a cell: {cause}") from cause


class CellTable:
    """Cells by medium, object and frame."""

    def __init__(self) -> None:
        self._columns: dict[tuple[int, int], Column] = {}

    def get(self, medium: int, object_id: int, frame: int) -> Cell | None:
        """Return a cell, or None where there is none."""
        column = self._columns.get((medium, object_id))
        if column is None or not 0 <= frame < len(column):
            return None
        return _unpack(*column[frame].item())

    def set(self, key: CellKey, cell: Cell | None) -> None:
        """Set a cell, or remove it with None."""
        medium, object_id, frame = key
        column = self._columns.get((medium, object_id))
        if cell is None:
            if column is not None and frame < len(column):
                column[frame] = (0, 0, 0)
            return
        if column is None or frame >= len(column):
            column = self._columns[medium, object_id] = _grow(column, frame + 1)
        mask = _NO_MASK if cell.mask is None else cell.mask
        column[frame] = (mask, round(cell.score * _SCALE), _state(cell.source, accepted=cell.accepted))

    def cells_of(self, medium: int, object_id: int) -> Iterator[tuple[int, Cell]]:
        """Iterate over the frames and cells of an object, in order."""
        column = self._column(medium, object_id)
        for frame in np.flatnonzero(column["state"]).tolist():
            cell = _unpack(*column[frame].item())
            assert cell is not None, "its state is not 0"
            yield frame, cell

    def frames_of(self, medium: int, object_id: int) -> NDArray[np.int64]:
        """Return the frames with a cell, ascending."""
        return np.flatnonzero(self._column(medium, object_id)["state"])

    def tracked(self, medium: int, object_id: int, frames: int) -> NDArray[np.bool_]:
        """Return for each of `frames` frames whether its cell is tracked, accepted or not."""
        return _fit(self._column(medium, object_id)["state"] & 7 == _TRACKED, frames)

    def annotated(self, medium: int, object_id: int, frames: int) -> NDArray[np.bool_]:
        """Return for each of `frames` frames whether its cell is annotated."""
        return _fit((self._column(medium, object_id)["state"] & 7) > _TRACKED, frames)

    def accepted(self, medium: int, object_id: int, frames: int) -> NDArray[np.bool_]:
        """Return for each of `frames` frames whether its cell is accepted."""
        return _fit(self._column(medium, object_id)["state"] & _ACCEPTED > 0, frames)

    def masks(self, medium: int, object_id: int, frames: int) -> NDArray[np.int32]:
        """Return the number of each frame's mask; −1 where there is none."""
        column = self._column(medium, object_id)
        return _fit(np.where(column["state"] > 0, column["mask"], np.int32(_NO_MASK)), frames, _NO_MASK)

    def scores(self, medium: int, object_id: int, frames: int) -> NDArray[np.float32]:
        """Return the score of each frame's cell; 0 where there is none."""
        return _fit((self._column(medium, object_id)["score"] / np.float32(_SCALE)).astype(np.float32), frames)

    def bytes_of(self, medium: int, object_id: int, frames: int) -> bytes:
        """Return the lane of an object: one byte for each of `frames` frames."""
        column = self._column(medium, object_id)
        source = column["state"] & 7
        hidden = (source == _TRACKED) & (column["mask"] <= EMPTY_MASK)
        score = np.rint(column["score"] * (15 / _SCALE)).astype(np.uint8)
        lane = np.where(hidden, np.uint8(_HIDDEN), source) | (column["state"] & _ACCEPTED) | (score << 4)
        return _fit(np.where(column["state"] > 0, lane, 0).astype(np.uint8), frames).tobytes()

    def to_json(self) -> list[list[Any]]:
        """Return all cells as rows `[medium, object, frame, source, accepted, masks, scores]`.

        A row has the masks and scores of consecutive frames from `frame`. Scores are in ten-thousandths.
        """
        return [
            [medium, object_id, start, _SOURCES[(state & 7) - 1], bool(state & _ACCEPTED), masks, scores]
            for (medium, object_id), column in sorted(self._columns.items())
            for start, state, masks, scores in _list_runs(column)
        ]

    @classmethod
    def from_json(cls, rows: Iterable[Any]) -> CellTable:
        """Read the rows of `to_json`. Raises `FormatError` (`project-broken`)."""
        table = cls()
        for row in rows:
            try:
                medium, object_id, start, source, accepted, masks, scores = row
                stop = start + len(masks)
                if medium < 1 or object_id < 1 or not 0 <= start < stop <= MAX_FRAMES:
                    raise ValueError("a number is outside its range")
                column = table._columns.get((medium, object_id))
                if column is None or stop > len(column):
                    column = table._columns[medium, object_id] = _grow(column, stop)
                part = column[start:stop]
                part["mask"] = _to_array([_NO_MASK if mask is None else mask for mask in masks], len(part), 2**31 - 1)
                part["score"] = _to_array(scores, len(part), _SCALE)
                part["state"] = _state(source, accepted=accepted is True)
            except (TypeError, ValueError, KeyError, OverflowError) as cause:
                raise FormatError("project-broken", f"{row!r:.80} are not cells: {cause}") from cause
        return table

    def copy(self, medium: int) -> CellTable:
        """Return a copy of the cells of a medium."""
        table = CellTable()
        table._columns = {key: column.copy() for key, column in self._columns.items() if key[0] == medium}
        return table

    def _column(self, medium: int, object_id: int) -> Column:
        return self._columns.get((medium, object_id), _EMPTY_COLUMN)


_EMPTY_COLUMN: Column = np.zeros(0, _ROW)


def encode_cells(cells: Mapping[CellKey, Cell | None]) -> list[list[Any]]:
    """Return cells and removals as rows of the log."""
    return [[*key] if cell is None else cell.to_json(key) for key, cell in cells.items()]


def _state(source: Source, *, accepted: bool) -> int:
    return _NUMBERS[source] | (_ACCEPTED if accepted else 0)


def _unpack(mask: int, score: int, state: int) -> Cell | None:
    if not state:
        return None
    return Cell(None if mask == _NO_MASK else mask, score / _SCALE, _SOURCES[(state & 7) - 1], bool(state & _ACCEPTED))


def _grow(column: Column | None, length: int) -> Column:
    """Return a longer column with the same cells, with room for more."""
    grown: Column = np.zeros(length if column is None else max(length, len(column) * 3 // 2), _ROW)
    if column is not None:
        grown[: len(column)] = column
    return grown


def _fit(values: NDArray[Any], length: int, fill: int = 0) -> NDArray[Any]:
    """Return the first `length` values, padded."""
    if len(values) >= length:
        return values[:length]
    return np.concatenate([values, np.full(length - len(values), fill, values.dtype)])


def _to_array(values: Sequence[int], length: int, highest: int) -> NDArray[np.int64]:
    """Return whole numbers from −1 to `highest` as an array. Raises `ValueError` for others."""
    array = np.array(values)
    if array.shape != (length,) or array.dtype != np.int64 or array.min() < _NO_MASK or array.max() > highest:
        raise ValueError(f"expected {length} numbers up to {highest}")
    return array


def _list_runs(column: Column) -> Iterator[tuple[int, int, list[int | None], list[int]]]:
    """Yield first frame, state, masks and scores of each run of frames with the same state."""
    states = column["state"]
    edges = np.flatnonzero(states[1:] != states[:-1]) + 1
    for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(column)], strict=True):
        state = int(states[start]) if len(states) else 0
        if state:
            masks = column["mask"][start:stop].tolist()
            yield start, state, [None if mask == _NO_MASK else mask for mask in masks], (
                column["score"][start:stop].tolist()
            )  # fmt: skip
