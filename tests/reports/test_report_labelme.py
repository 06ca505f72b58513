"""Reports C: files of LabelMe and X-AnyLabeling, as a mask file and as a dataset."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.errors import FormatError, MaskletWarning
from masklet.formats import read_masks
from support.annotation_samples import (
    APPLE_DOUBLE,
    HEIGHT,
    WIDTH,
    encode_png,
    make_labelme,
    make_shape,
    read_areas,
    read_dataset,
    read_objects,
    write_json,
    write_photo,
    write_text,
)

TRIANGLE = [[10, 10], [30, 10], [20, 30]]  # 200 pixels
OTHER_TRIANGLE = [[50, 10], [70, 10], [60, 40]]
CORNERS = [[10, 10], [30, 10], [30, 30], [10, 30]]  # 400 pixels


def write_labelme(folder: Path, *shapes: dict[str, Any], **fields: Any) -> Path:
    """A LabelMe file beside its image."""
    write_photo(folder / "a.jpg")
    return write_json(folder / "a.json", make_labelme(shapes, **fields))


def read_both(path: Path) -> list[list[int]]:
    """The areas of the objects as a mask file has them, and as a dataset has them."""
    return [read_areas(path)[0], [*read_dataset(path.parent)["a"][0].values()]]


def test_c1_a_mask_is_read(tmp_path: Path) -> None:
    stamp = np.zeros((21, 31), bool)
    stamp[3:18, 4:28] = True
    path = write_labelme(tmp_path, make_shape("dog", [[20, 10], [50, 30]], "mask", mask=encode_png(stamp)))
    assert [*read_objects(path).values()] == [(360, (24, 13, 48, 28))]
    assert read_dataset(tmp_path) == {"a": ({1: 360}, 0)}


@pytest.mark.parametrize("place", [(-10, -10), (70, 50), (-100, 3), (500, 500)])
def test_c1_a_mask_is_cut_off_at_the_border(place: tuple[int, int], tmp_path: Path) -> None:
    left, top = place
    path = write_labelme(
        tmp_path,
        make_shape("dog", [[left, top], [left + 19, top + 19]], "mask", mask=encode_png(np.ones((20, 20), bool))),
    )
    rows = range(max(0, top), min(HEIGHT, top + 20))
    columns = range(max(0, left), min(WIDTH, left + 20))
    assert read_both(path) == [[len(rows) * len(columns)]] * 2


@pytest.mark.parametrize(
    "points", [CORNERS, [CORNERS[2], CORNERS[0]], CORNERS[::-1], [CORNERS[0], CORNERS[2], CORNERS[1], CORNERS[3]]]
)
def test_c2_a_rectangle_has_two_or_four_corners(points: list[list[int]], tmp_path: Path) -> None:
    path = write_labelme(tmp_path, make_shape("car", points, "rectangle", difficult=False, attributes={}))
    assert read_both(path) == [[400]] * 2


@pytest.mark.parametrize("kind", ["rotation", "oriented_rectangle", "quadrilateral"])
def test_c2_rotated_rectangles_have_four_corners(kind: str, tmp_path: Path) -> None:
    diamond = [[40, 10], [60, 30], [40, 50], [20, 30]]
    path = write_labelme(tmp_path, make_shape("car", diamond, kind, direction=0.785))
    assert read_both(path) == [[pytest.approx(800, abs=30)]] * 2
    assert next(iter(read_objects(path).values()))[1] == pytest.approx((20, 10, 60, 50), abs=1)


def test_c2_a_circle_has_a_center_and_a_point_on_it(tmp_path: Path) -> None:
    path = write_labelme(tmp_path, make_shape("sun", [[40, 30], [52, 39]], "circle"))
    assert read_both(path) == [[pytest.approx(np.pi * 225, rel=0.01)]] * 2


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (make_shape("nose", [[5, 5]], "point"), "1 of type point"),
        (make_shape("tail", [[5, 5], [9, 9]], "line"), "1 of type line"),
        (make_shape("leash", [[5, 5], [9, 9], [12, 5]], "linestrip"), "1 of type linestrip"),
        (make_shape("eyes", [[5, 5], [9, 9]], "points"), "1 of type points"),
        (make_shape("box", [[5, 5]] * 8, "cuboid"), "1 broken .*of type 'cuboid' is not supported"),
        (make_shape("dog", [[5, 5], [9, 9]]), "1 broken .*at least 3 points"),
        (make_shape("dog", []), "1 broken"),
        (make_shape("dog", None), "1 broken .*'points' must be a list"),
        (make_shape("dog", [[1, 2], [3, 4], [5, None]]), "1 broken"),
        (make_shape("dog", [[1, 2], [3, 4], [5, float("inf")]]), "1 broken .*finite"),
        (make_shape("dog", [[1, 2]], "rectangle"), "1 broken .*2 or 4 points"),
        (make_shape("dog", [[1, 2], [3, 4], [5, 6]], "rectangle"), "1 broken .*2 or 4 points"),
        (make_shape("dog", [[1, 2]], "circle"), "1 broken .*must have 2 points"),
        (make_shape("dog", [[1, 2], [3, 4]], "rotation"), "1 broken .*must have 4 points"),
        (make_shape("dog", [[1, 2], [3, 4]], "mask"), "1 broken .*no field 'mask'"),
        (make_shape("dog", [[1, 2], [3, 4]], "mask", mask="~"), "1 broken .*base64"),
        (make_shape("dog", [[1, 2], [3, 4]], "mask", mask=""), "1 broken .*base64"),
        (make_shape("x" * 5000, TRIANGLE), "1 broken"),
        (make_shape(["dog"], TRIANGLE), "1 broken"),
        (make_shape("dog", TRIANGLE, group=[1]), "1 broken"),
        (make_shape("dog", TRIANGLE, kind=3), "1 broken"),  # type: ignore[arg-type]
        (7, "1 broken .*expected an object"),
    ],
)
def test_c3_what_has_no_area_is_skipped_with_a_warning(shape: Any, reason: str, tmp_path: Path) -> None:
    path = write_labelme(tmp_path, shape, make_shape("dog", TRIANGLE))
    for read in (lambda: read_areas(path), lambda: [[*read_dataset(tmp_path)["a"][0].values()]]):
        with pytest.warns(MaskletWarning, match=rf"skipped 1 shape: {reason}") as caught:
            assert read() == [[200]]
        assert len(caught) == 1


def test_c3_one_warning_counts_what_is_skipped_in_a_folder(tmp_path: Path) -> None:
    for name in ("0", "1"):
        shapes = [make_shape("nose", [[5, 5]], "point")] * 2 + [make_shape("dog", TRIANGLE)]
        write_json(tmp_path / f"{name}.json", make_labelme([*shapes, make_shape("x", [[1, 2]], "line")]))
    with pytest.warns(MaskletWarning, match="skipped 6 shapes: 4 of type point; 2 of type line") as caught:
        assert read_areas(tmp_path) == [[200], [200]]
    assert len(caught) == 1


def test_c3_a_file_of_broken_shapes_is_an_error(tmp_path: Path) -> None:
    path = write_labelme(tmp_path, make_shape("dog", [[1, 2]]))
    with pytest.raises(FormatError, match=r"a\.json, shapes 0: a polygon needs at least 3 points"):
        read_areas(path)


def test_c4_shapes_of_one_label_without_group_are_two_objects(tmp_path: Path) -> None:
    path = write_labelme(tmp_path, make_shape("cat", TRIANGLE), make_shape("cat", OTHER_TRIANGLE))
    assert len(read_objects(path)) == 2
    assert len(read_dataset(tmp_path)["a"][0]) == 2


@pytest.mark.parametrize("group", [1, "1", 1.0, 0, -1, "left"])
def test_c5_a_group_does_not_take_the_number_of_another_object(group: Any, tmp_path: Path) -> None:
    path = write_labelme(tmp_path, make_shape("cat", TRIANGLE), make_shape("dog", OTHER_TRIANGLE, group=group))
    assert len(read_objects(path)) == 2 and min(read_objects(path)) >= 1
    assert len(read_dataset(tmp_path)["a"][0]) == 2


@pytest.mark.parametrize("group", [3, "3", "left", 0])
def test_c5_shapes_of_one_group_are_one_object(group: Any, tmp_path: Path) -> None:
    shapes = [make_shape("cat", TRIANGLE, group=group), make_shape("cat", OTHER_TRIANGLE, group=group)]
    path = write_labelme(tmp_path, *shapes)
    assert [len(areas) for areas in read_both(path)] == [1, 1]


@pytest.mark.parametrize(("image", "annotation"), [
    ("IMG_0001.JPG", "IMG_0001.json"), ("IMG_0001.jpeg", "IMG_0001.JSON"), ("IMG_0001.PNG", "IMG_0001.Json"),
])  # fmt: skip
def test_c6_suffixes_may_be_in_upper_case(image: str, annotation: str, tmp_path: Path) -> None:
    write_photo(tmp_path / image)
    write_json(tmp_path / annotation, make_labelme([make_shape("dog", TRIANGLE)], image))
    assert read_dataset(tmp_path) == {"IMG_0001": ({1: 200}, 0)}
    assert read_areas(tmp_path) == [[200]]  # a folder of frames, not of label maps


@pytest.mark.parametrize("junk", ["._a.json", "Thumbs.db", "desktop.ini", ".DS_Store", "~$a.json"])
def test_c_junk_beside_the_files_is_ignored(junk: str, tmp_path: Path) -> None:
    write_labelme(tmp_path, make_shape("dog", TRIANGLE))
    write_text(tmp_path / junk, APPLE_DOUBLE)
    write_text(tmp_path / "@eaDir/a.jpg/thumb.json", APPLE_DOUBLE)
    assert read_dataset(tmp_path) == {"a": ({1: 200}, 0)}
    assert read_areas(tmp_path) == [[200]]


@pytest.mark.parametrize(("height", "width"), [(None, None), (0, 0), (None, WIDTH)])
def test_c_sizes_that_a_file_does_not_have_are_those_of_the_image(height: Any, width: Any, tmp_path: Path) -> None:
    path = write_labelme(tmp_path, make_shape("dog", TRIANGLE), imageHeight=height, imageWidth=width)
    assert read_both(path) == [[200]] * 2


def test_c_sizes_may_be_those_of_the_image_in_the_file(tmp_path: Path) -> None:
    data = base64.b64encode(write_photo(tmp_path / "a.jpg").read_bytes()).decode()
    (tmp_path / "a.jpg").unlink()
    content = make_labelme([make_shape("dog", TRIANGLE)], imageData=data, imageHeight=None, imageWidth=None)
    assert read_areas(write_json(tmp_path / "a.json", content)) == [[200]]


def test_c_a_file_without_any_size_is_an_error(tmp_path: Path) -> None:
    content = make_labelme([make_shape("dog", TRIANGLE)], "../elsewhere/a.jpg", imageHeight=None)
    write_photo(tmp_path / "elsewhere/a.jpg")
    with pytest.raises(FormatError, match="'imageHeight' must be a whole number"):
        read_areas(write_json(tmp_path / "set/a.json", content))


@pytest.mark.parametrize("label", [None, "", 5, 2.5])
def test_c_labels_may_be_missing_or_numbers(label: Any, tmp_path: Path) -> None:
    path = write_labelme(tmp_path, make_shape(label, TRIANGLE), make_shape("dog", OTHER_TRIANGLE))
    assert next(iter(read_masks(path))).masks.labels == (str(label) if label else None, "dog")


def test_c_fields_may_be_missing(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    path = write_json(
        tmp_path / "a.json", {"shapes": [{"points": TRIANGLE}], "imageHeight": HEIGHT, "imageWidth": WIDTH}
    )
    assert read_both(path) == [[200]] * 2
    write_json(path, {**make_labelme([]), "shapes": None})
    assert read_areas(path) == [[]]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_c_files_may_be_in_any_encoding_of_json(encoding: str, tmp_path: Path) -> None:
    path = write_labelme(tmp_path)
    content = make_labelme([make_shape("犬", TRIANGLE)])
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1).replace("\n", "\r\n").encode(encoding))
    assert read_both(path) == [[200]] * 2
    assert next(iter(read_masks(path))).masks.labels == ("犬",)
