"""Cells: compared with a dictionary, as bytes of lanes, and their size in memory."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masklet.errors import FormatError
from masklet.project.cells import Cell, CellTable, cell_from_json, encode_cells

FRAMES = 40
KEYS = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(0, FRAMES - 1))
CELLS = st.builds(
    Cell,
    st.none() | st.integers(0, 100_000),
    st.floats(0, 1),
    st.sampled_from(["track", "prompt", "edit", "absent", "import", "propose"]),
    st.booleans(),
)


@settings(max_examples=40)
@given(st.lists(st.tuples(KEYS, st.none() | CELLS), max_size=60))
def test_a_table_is_a_dictionary(changes: list[tuple[Any, Cell | None]]) -> None:
    table, expected = CellTable(), dict[Any, Cell]()
    for key, cell in changes:
        table.set(key, cell)
        if cell is None:
            expected.pop(key, None)
        else:
            expected[key] = cell
    restored = CellTable.from_json(json.loads(json.dumps(table.to_json())))
    for medium, object_id in {key[:2] for key, _ in changes}:
        of_object = {key[2]: cell for key, cell in sorted(expected.items()) if key[:2] == (medium, object_id)}
        for one in (table, restored, table.copy(medium)):
            assert dict(one.cells_of(medium, object_id)) == of_object
        assert table.frames_of(medium, object_id).tolist() == [*of_object]
        lane = table.bytes_of(medium, object_id, FRAMES)
        assert [*lane] == [of_object[t].to_byte() if t in of_object else 0 for t in range(FRAMES)]
        annotated = [t for t, cell in of_object.items() if cell.annotated]
        assert table.annotated(medium, object_id, FRAMES).nonzero()[0].tolist() == annotated
        accepted = [t for t, cell in of_object.items() if cell.accepted]
        assert table.accepted(medium, object_id, FRAMES).nonzero()[0].tolist() == accepted


@settings(max_examples=40)
@given(st.dictionaries(KEYS, st.none() | CELLS, max_size=20))
def test_rows_of_the_log_are_read_as_they_were_written(cells: dict[Any, Cell | None]) -> None:
    assert dict(map(cell_from_json, json.loads(json.dumps(encode_cells(cells))))) == cells


@pytest.mark.parametrize(
    ("cell", "byte"),
    [
        (Cell(5, 1.0, "track"), 0xF1),
        (Cell(5, 0.0, "prompt"), 0x02),
        (Cell(5, 0.5, "edit", accepted=True), 0x8B),
        (Cell(None, 0.0, "absent"), 0x04),
        (Cell(5, 1.0, "import"), 0xF5),
        (Cell(5, 0.2, "propose"), 0x36),
        (Cell(0, 0.0, "track"), 0x07),
    ],
)
def test_a_cell_is_a_byte_of_the_protocol(cell: Cell, byte: int) -> None:
    assert cell.to_byte() == byte


@pytest.mark.parametrize(
    "row",
    [
        7, None, [1, 1], [0, 1, 0], [1, 1, -1], [1, 1, 1.5], [1, 1, 0, 5],
        [1, 1, 0, 5, 2.0, "track", False], [1, 1, 0, 5, 1.0, "magic", False], [1, 1, 0, "5", 1.0, "track", False],
        [1, 1, 0, 5, 1.0, "track", 0], [1, 1, 0, 5, "1", "track", True], [1, 1, 0, 2**31, 1.0, "track", True],
    ],
)  # fmt: skip
def test_a_broken_row_is_refused(row: Any) -> None:
    with pytest.raises(FormatError) as error:
        cell_from_json(row)
    assert error.value.code == "project-broken"


@pytest.mark.parametrize(
    "row",
    [
        7,
        [1, 1, 0, "track", False, [1]],
        [1, 1, 0, "magic", False, [1], [5]],
        [1, 1, 0, "track", False, [1, 2], [5]],
        [1, 1, -4, "track", False, [1], [5]],
        [1, 1, 10**9, "track", False, [1], [5]],
        [1, 1, 0, "track", False, [2**40], [5]],
        [1, 1, 0, "track", False, ["a"], [5]],
    ],
)
def test_broken_rows_of_a_snapshot_are_refused(row: Any) -> None:
    with pytest.raises(FormatError) as error:
        CellTable.from_json([row])
    assert error.value.code == "project-broken"


def test_five_objects_of_a_two_hour_video_take_eight_megabytes() -> None:
    frames, numbers = 216_000, [*range(216_000)]
    rows = [[1, key, 0, "track", False, numbers, [9000] * frames] for key in range(1, 6)]
    tracemalloc.start()
    table = CellTable.from_json(rows)
    held, _ = tracemalloc.get_traced_memory()
    lanes = [table.bytes_of(1, key, frames) for key in range(1, 6)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 8e6 and peak < 16e6
    assert {len(lane) for lane in lanes} == {frames} and set(lanes[0]) == {0xE1, 0xE7}
