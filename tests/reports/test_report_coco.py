"""Reports E: COCO files as other tools write them. Each test is named after its report in the issue on hardening."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.errors import FormatError, MaskletError, MaskletWarning
from masklet.formats import read_masks
from masklet.masks import rle
from support.annotation_samples import (
    BAR,
    HEIGHT,
    SQUARE,
    WIDTH,
    make_coco,
    make_coco_annotation,
    make_coco_image,
    read_areas,
    read_dataset,
    read_objects,
    write_json,
    write_photo,
    write_text,
)

LITTLE = [50, 50, 53, 50, 53, 53, 50, 53]  # 9 pixels


def write_dataset(folder: Path, *annotations: Any, **lists: Any) -> Path:
    """A dataset of the image `images/a.jpg`. Returns its COCO file."""
    write_photo(folder / "images/a.jpg")
    return write_json(folder / "instances_train.json", make_coco(annotations, **lists))


def areas_in_dataset(path: Path) -> list[int]:
    """The areas of all objects of a dataset, ascending."""
    return sorted(area for objects, _ in read_dataset(path).values() for area in objects.values())


def encode_square() -> dict[str, Any]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:30, 10:30] = True
    return rle.encode(mask)


def test_e1_annotations_of_one_id_are_two_objects(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, make_coco_annotation(7), make_coco_annotation(7, [BAR]))
    assert areas_in_dataset(tmp_path) == [400, 600]
    assert len(read_objects(path)) == 2


@pytest.mark.parametrize("ids", [("x", "x"), (None, None), (7.0, "7"), ("a", 7), (0, 0), (-3, -3), ([1], 2)])
def test_e1_annotations_with_ids_of_any_kind_are_two_objects(ids: tuple[Any, Any], tmp_path: Path) -> None:
    path = write_dataset(tmp_path, make_coco_annotation(ids[0]), make_coco_annotation(ids[1], [BAR]))
    if isinstance(ids[0], list):
        with pytest.warns(MaskletWarning, match=r"skipped 1 annotation: 1 broken \(annotation"):
            assert areas_in_dataset(tmp_path) == [600]
        return
    assert areas_in_dataset(tmp_path) == [400, 600]
    objects = read_objects(path)
    assert len(objects) == 2 and min(objects) >= 1, "ids that a label map can hold"


def test_e1_parts_of_a_track_remain_one_object_and_collide_with_no_annotation(tmp_path: Path) -> None:
    path = write_dataset(
        tmp_path,
        make_coco_annotation(9, [LITTLE]),
        make_coco_annotation(1, track_id=9),
        make_coco_annotation(2, [BAR], track_id="9"),
        make_coco_annotation(3, instance_id="left"),
        make_coco_annotation(4, [BAR], instance_id="left"),
    )
    assert areas_in_dataset(tmp_path) == [9, 1000, 1000]
    assert sorted(area for area, _ in read_objects(path).values()) == [9, 1000, 1000]


def test_e2_entries_of_one_file_are_one_image(tmp_path: Path) -> None:
    images = [make_coco_image(1), make_coco_image(2)]
    path = write_dataset(tmp_path, make_coco_annotation(1), make_coco_annotation(2, [BAR], image=2), images=images)
    assert read_dataset(tmp_path) == {"a.jpg": ({1: 400, 2: 600}, 0)}
    assert read_areas(path) == [[400, 600]]


def test_e2_entries_that_disagree_are_an_error_that_names_them(tmp_path: Path) -> None:
    images = [make_coco_image(1), make_coco_image(2, height=HEIGHT + 1)]
    path = write_dataset(tmp_path, make_coco_annotation(1), images=images)
    for read in (lambda: read_dataset(tmp_path), lambda: read_areas(path)):
        with pytest.raises(FormatError, match=r"a\.jpg is listed twice"):
            read()


def test_e2_the_same_entry_twice_is_one_image(tmp_path: Path) -> None:
    write_dataset(tmp_path, make_coco_annotation(1), images=[make_coco_image(1)] * 2)
    assert read_dataset(tmp_path) == {"a.jpg": ({1: 400}, 0)}


def test_e3_polygons_have_the_pixels_of_pycocotools(tmp_path: Path) -> None:
    write_dataset(tmp_path, make_coco_annotation(1), make_coco_annotation(2, [LITTLE]))
    assert read_areas(tmp_path / "instances_train.json") == [[400, 9]]
    assert areas_in_dataset(tmp_path) == [9, 400]


def without(annotation: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in annotation.items() if key != name}


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (without(make_coco_annotation(2), "segmentation"), [400]),
        ({**make_coco_annotation(2), "segmentation": None}, [400]),
        (make_coco_annotation(2, [BAR, [5, 5, 9, 9]]), [400, 600]),
        (make_coco_annotation(2, [BAR, []]), [400, 600]),
        (make_coco_annotation(2, []), [400]),
        (make_coco_annotation(2, [[]]), [400]),
        (make_coco_annotation(2, {}), [400]),
        (make_coco_annotation(2, "polygon"), [400]),
        (make_coco_annotation(2, 3), [400]),
        (make_coco_annotation(2, [BAR, None]), [400]),
        (make_coco_annotation(2, [[1, 2, 3, 4, 5, "x"]]), [400]),
        (make_coco_annotation(2, [[1, 2, 3, 4, 5, float("nan")]]), [400]),
        (make_coco_annotation(2, [[1, 2, 3, 4, 5, 1e300]]), [400]),
        (make_coco_annotation(2, [[1, 2, 3, 4, 5, 6, 7]]), [400]),
        (make_coco_annotation(2, {"size": [HEIGHT, WIDTH], "counts": "~"}), [400]),
        (make_coco_annotation(2, {"size": [HEIGHT, WIDTH], "counts": [5]}), [400]),
        (make_coco_annotation(2, {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]}), [400]),
        (make_coco_annotation(2, {"size": None, "counts": None}), [400]),
    ],
)
def test_e4_one_broken_annotation_is_skipped_with_a_warning(
    second: dict[str, Any], expected: list[int], tmp_path: Path
) -> None:
    path = write_dataset(tmp_path, make_coco_annotation(1), second)
    with pytest.warns(MaskletWarning, match="annotation 2") as caught:
        assert areas_in_dataset(tmp_path) == expected
    assert len(caught) == 1
    with pytest.warns(MaskletWarning, match="annotation 2") as caught:
        assert read_areas(path) == [expected]
    assert len(caught) == 1


def test_e4_warnings_count_what_is_skipped_by_reason(tmp_path: Path) -> None:
    boxes = [{**make_coco_annotation(number), "segmentation": None} for number in (2, 3, 4)]
    path = write_dataset(tmp_path, make_coco_annotation(1), *boxes, make_coco_annotation(5, iscrowd=1), 7)
    expected = r"skipped 5 annotations: 3 without a segmentation \(the first: annotation 2\); 1 of crowds; 1 broken"
    with pytest.warns(MaskletWarning, match=expected):
        assert read_areas(path) == [[400]]
    with pytest.warns(MaskletWarning, match=expected):
        assert areas_in_dataset(tmp_path) == [400]


@pytest.mark.parametrize("segmentation", [None, [], [[1, 2]], {"size": [1, 1], "counts": "~"}])
def test_e4_a_file_without_any_mask_is_an_error(segmentation: Any, tmp_path: Path) -> None:
    path = write_dataset(tmp_path, {**make_coco_annotation(2), "segmentation": segmentation})
    with pytest.raises(FormatError, match="annotation 2"):
        read_areas(path)


def test_e5_an_annotation_of_an_image_that_is_not_listed_is_left_out(tmp_path: Path) -> None:
    path = write_dataset(tmp_path, make_coco_annotation(1), make_coco_annotation(2, image=99))
    for read in (lambda: read_dataset(tmp_path)["a.jpg"][0], lambda: {1: read_areas(path)[0][0]}):
        with pytest.warns(MaskletWarning, match="no image 99, of which annotation 2 is"):
            assert read() == {1: 400}


@pytest.mark.parametrize("image", [None, True, [], {}, 1.5, "1x"])
def test_e5_an_annotation_of_no_image_is_left_out(image: Any, tmp_path: Path) -> None:
    write_dataset(tmp_path, make_coco_annotation(1), make_coco_annotation(2, image=image))
    with pytest.warns(MaskletWarning, match="skipped 1 annotation"):
        assert areas_in_dataset(tmp_path) == [400]


@pytest.mark.parametrize(
    ("listed", "used"), [("1", "1"), (1, "1"), ("1", 1), (1.0, "1"), ("img-7", "img-7"), ("01", "01")]
)
def test_e6_ids_may_be_text(listed: Any, used: Any, tmp_path: Path) -> None:
    annotation = make_coco_annotation("1", image=used, category_id=used)
    path = write_dataset(
        tmp_path, annotation, images=[make_coco_image(listed)], categories=[{"id": listed, "name": "thing"}]
    )
    assert len(read_objects(path)) == 1
    assert next(iter(read_masks(path))).masks.labels == ("thing",)
    assert areas_in_dataset(tmp_path) == [400]


@pytest.mark.parametrize("name", ["images\\a.jpg", "images/a.jpg", ".\\images\\a.jpg", "./images/a.jpg", "./a.jpg"])
def test_e7_names_of_files_may_have_backslashes(name: str, tmp_path: Path) -> None:
    write_dataset(tmp_path, make_coco_annotation(1), images=[make_coco_image(1, name)])
    assert len(read_dataset(tmp_path)) == 1


@pytest.mark.parametrize(
    "name", ["..\\private\\a.jpg", "..\\..\\a.jpg", "C:\\data\\a.jpg", "\\\\server\\a.jpg", "\\a.jpg"]
)
def test_e7_backslashes_do_not_lead_out_of_the_dataset(name: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "private/a.jpg")
    write_dataset(tmp_path / "set", make_coco_annotation(1), images=[make_coco_image(1, name)])
    with pytest.raises(FormatError, match="the name"):
        read_dataset(tmp_path / "set")


@pytest.mark.parametrize(
    ("height", "width"), [(None, None), (0, 0), (HEIGHT, None), (None, WIDTH), ("missing", "missing")]
)
def test_e_sizes_that_a_file_does_not_have_are_those_of_the_image(height: Any, width: Any, tmp_path: Path) -> None:
    image = {key: value for key, value in make_coco_image(height=height, width=width).items() if value != "missing"}
    path = write_dataset(tmp_path, make_coco_annotation(1), images=[image])
    assert areas_in_dataset(tmp_path) == [400]
    assert read_areas(path) == [[400]]


def test_e_sizes_may_be_those_of_the_masks(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", make_coco([make_coco_annotation(1, encode_square())], images=[{"id": 1}]))
    assert read_areas(path) == [[400]]


def test_e_an_image_without_any_size_is_skipped(tmp_path: Path) -> None:
    images = [make_coco_image(1), {"id": 2, "file_name": "lost.jpg"}, "x"]
    path = write_dataset(tmp_path, make_coco_annotation(1), make_coco_annotation(2, image=2), images=images)
    with pytest.warns(
        MaskletWarning, match=r"skipped 3 annotations: 3 broken \(the first: images 1: no field 'height'"
    ):
        assert read_areas(path) == [[400]]


@pytest.mark.parametrize(
    ("name", "value"), [("height", float("inf")), ("width", float("nan")), ("height", 1e400), ("height", -4)]
)
def test_e_a_size_that_no_image_has_is_an_error(name: str, value: float, tmp_path: Path) -> None:
    path = write_dataset(tmp_path, make_coco_annotation(1), images=[make_coco_image(**{name: value})])
    for read in (lambda: read_dataset(tmp_path), lambda: read_areas(path)):
        with pytest.raises(FormatError) as caught:
            read()
        assert caught.value.exit_status == 65


@pytest.mark.parametrize("category", ["missing", None, 99, "thing", [1], 1.5, True])
def test_e_annotations_need_no_category(category: Any, tmp_path: Path) -> None:
    annotation = {
        key: value for key, value in make_coco_annotation(1, category_id=category).items() if value != "missing"
    }
    path = write_dataset(tmp_path, annotation)
    assert areas_in_dataset(tmp_path) == [400]
    assert next(iter(read_masks(path))).masks.labels == (None,)


@pytest.mark.parametrize(
    "code",
    [
        {"size": [float(HEIGHT), float(WIDTH)], "counts": encode_square()["counts"]},
        {"size": [HEIGHT, WIDTH], "counts": [float(HEIGHT), float(HEIGHT * (WIDTH - 2)), float(HEIGHT)]},
    ],
)
def test_e_numbers_of_rle_may_be_fractions(code: dict[str, Any], tmp_path: Path) -> None:
    path = write_dataset(tmp_path, make_coco_annotation(1, code))
    assert len(areas_in_dataset(tmp_path)) == len(read_areas(path)[0]) == 1


@pytest.mark.parametrize(
    "fields", [{"score": None}, {"track_id": None}, {"score": "high"}, {"score": float("nan")}, {"instance_id": None}]
)
def test_e_fields_may_be_null(fields: dict[str, Any], tmp_path: Path) -> None:
    path = write_dataset(tmp_path, make_coco_annotation(1, **fields))
    assert areas_in_dataset(tmp_path) == [400]
    assert read_areas(path) == [[400]]


@pytest.mark.parametrize("crowd", ["0", 0, 0.0, None, False, "", "false"])
def test_e_crowds_are_distinguished_from_objects(crowd: Any, tmp_path: Path) -> None:
    write_dataset(tmp_path, make_coco_annotation(1, iscrowd=crowd))
    assert areas_in_dataset(tmp_path) == [400]


@pytest.mark.parametrize("crowd", ["1", 1, True, 1.0])
def test_e_crowds_are_skipped_with_a_warning(crowd: Any, tmp_path: Path) -> None:
    write_dataset(tmp_path, make_coco_annotation(1), make_coco_annotation(2, iscrowd=crowd))
    with pytest.warns(MaskletWarning, match="skipped 1 annotation: 1 of crowds"):
        assert areas_in_dataset(tmp_path) == [400]


def test_e_one_polygon_needs_no_list(tmp_path: Path) -> None:
    path = write_dataset(
        tmp_path, make_coco_annotation(1, SQUARE), make_coco_annotation(2, np.reshape(BAR, (1, -1, 2)).tolist())
    )
    assert areas_in_dataset(tmp_path) == [400, 600]
    assert read_areas(path) == [[400, 600]]


def test_e_results_are_read_as_masks_and_refused_as_a_dataset(tmp_path: Path) -> None:
    rows = [{"image_id": 5, "category_id": 1, "segmentation": encode_square(), "score": 0.5} for _ in range(2)]
    path = write_json(tmp_path / "instances_results.json", rows)
    (frame,) = read_masks(path)
    assert frame.masks.areas.tolist() == [400, 400] and frame.masks.scores.tolist() == [0.5, 0.5]
    with pytest.raises(FormatError, match="a list, as of COCO results"):
        read_dataset(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_e_files_may_be_in_any_encoding_of_json(encoding: str, tmp_path: Path) -> None:
    path = write_dataset(tmp_path)
    text = json.dumps(make_coco([make_coco_annotation(1)]), indent=1).replace("\n", "\r\n")
    write_text(path, text.encode(encoding))
    assert areas_in_dataset(tmp_path) == [400]
    assert read_areas(path) == [[400]]


def test_e_images_that_are_missing_do_not_hide_the_folder_of_the_others(tmp_path: Path) -> None:
    images = [make_coco_image(1, "lost.jpg"), make_coco_image(2)]
    write_dataset(tmp_path, make_coco_annotation(1), make_coco_annotation(2, image=2), images=images)
    with pytest.raises(MaskletError, match=r"images/lost\.jpg"):  # not that all images are missing
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    "polygons",
    [
        [[0, 0, 1_048_575, 1_048_575] * 500],
        [[0, 0, 1_048_575, 0, 1_048_575, 1_048_575]],
        [[-1e6, -1e6, 1e6, -1e6, 1e6, 1e6, -1e6, 1e6]],
        np.random.default_rng(0).uniform(0, 60, (20_000, 6)).round(1).tolist(),
        np.random.default_rng(0).uniform(-1e6, 1e6, (20_000, 6)).round(1).tolist(),
    ],
    ids=["zigzag", "triangle", "around", "many", "many far"],
)
def test_defects_3_and_11_polygons_cost_little_memory_and_time(polygons: list[list[float]], tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "a.jpg", "height": 48, "width": 64}
    path = write_json(tmp_path / "a.json", make_coco([make_coco_annotation(1, polygons)], [image]))
    frames = read_masks(path)
    tracemalloc.start()
    start = time.process_time()
    (frame,) = frames
    seconds = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frame.masks.size == (48, 64)
    assert peak < 200e6
    assert seconds < 60  # 1 s on a machine with nothing else to do; the walk along the outlines took 100 s
