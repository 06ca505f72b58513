"""Report G: MOTS files, whose ids are unique only together with their class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from masklet.errors import FormatError, MaskletWarning
from masklet.formats import read_masks
from masklet.masks import rle
from support.annotation_samples import HEIGHT, WIDTH, read_areas, read_objects, write_text


def encode(rows: slice, columns: slice) -> str:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[rows, columns] = True
    return str(rle.encode(mask)["counts"])


SQUARE = encode(slice(10, 30), slice(10, 30))
BAR = encode(slice(10, 40), slice(50, 70))


def make_line(number: object, kind: int, code: str, frame: int = 0) -> str:
    return f"{frame} {number} {kind} {HEIGHT} {WIDTH} {code}\n"


def test_g1_objects_of_two_classes_are_not_united(tmp_path: Path) -> None:
    path = write_text(tmp_path / "kitti.txt", make_line(1001, 1, SQUARE) + make_line(2001, 2, BAR))
    assert sorted(area for area, _ in read_objects(path).values()) == [400, 600]
    assert next(iter(read_masks(path))).masks.labels == ("car", "pedestrian")


@pytest.mark.parametrize(
    ("first", "second"),
    [((1001, 1), (3001, 3)), ((1000, 1), (2000, 2)), ((5, 2), (2005, 2)), ((7, 1), (7, 2)), ((12001, 12), (1001, 1))],
)
def test_g1_objects_of_any_ids_are_distinguished(
    first: tuple[int, int], second: tuple[int, int], tmp_path: Path
) -> None:
    path = write_text(tmp_path / "a.txt", make_line(*first, SQUARE) + make_line(*second, BAR))
    objects = read_objects(path)
    assert sorted(area for area, _ in objects.values()) == [400, 600]
    assert min(objects) >= 1


def test_g1_an_object_keeps_its_number_on_all_frames(tmp_path: Path) -> None:
    lines = (
        make_line(2001, 2, BAR, 1)
        + make_line(1001, 1, SQUARE)
        + make_line(2001, 2, BAR)
        + make_line(1001, 1, SQUARE, 2)
    )
    frames = {frame.index: frame.masks for frame in read_masks(write_text(tmp_path / "a.txt", lines))}
    (car, pedestrian) = frames[0].object_ids
    assert frames[1].object_ids == (pedestrian,) and frames[2].object_ids == (car,)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (make_line(10000, 10, BAR), "of the class of ignored areas"),
        ("0 1002 1 60\n", "broken .line 2: expected frame, id, class"),
        ("0 x 1 60 80 abc\n", "broken .line 2: expected frame, id, class"),
        (make_line(1002, 1, "~"), "broken .line 2: counts hold a character"),
        (make_line("nan", 1, BAR), "broken .line 2"),
        ("0 1002 1 80 60 " + BAR + "\n", "of another size than their frame"),
    ],
)
def test_g_a_line_without_a_mask_is_skipped_with_a_warning(line: str, reason: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", make_line(1001, 1, SQUARE) + line)
    with pytest.warns(MaskletWarning, match=f"skipped 1 annotation: 1 {reason}") as caught:
        assert read_areas(path) == [[400]]
    assert len(caught) == 1


def test_g_a_file_of_broken_lines_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a\.txt, line 1: expected frame, id, class"):
        read_areas(write_text(tmp_path / "a.txt", "hello\nworld\n"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_g_files_may_be_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    text = (make_line(1001.0, 1, SQUARE) + "\n" + make_line(2001, 2, BAR)).replace("\n", "\r\n")
    assert read_areas(write_text(tmp_path / "a.TXT", text.encode(encoding))) == [[400, 600]]
