"""A file gives the same pixels however it is read: by `formats.read`, as `--mask`, in a prompt file, as a dataset.

The pixels of polygons are those of pycocotools.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco
from pycocotools.coco import COCO

from masklet.cli.prompt_options import PromptOptions, VideoPromptOptions
from masklet.datasets.coco import open_coco
from masklet.datasets.labelme import read_labelme
from masklet.datasets.layouts import open_images
from masklet.datasets.sa1b import open_sa1b
from masklet.errors import FormatError, MaskletWarning
from masklet.formats import masks_at, read_masks
from masklet.masks import rle
from support import dataset_layouts
from support.dataset_layouts import SIZE, make_labels

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools

Mask = NDArray[np.bool_]

STAR = [8.2, 1.0, 9.7, 5.4, 14.0, 5.6, 10.5, 7.9, 11.8, 11.5, 8.1, 9.3, 4.4, 11.6, 5.7, 7.8, 2.0, 5.5, 6.6, 5.2]


def by_pycocotools(*polygons: list[float]) -> Mask:
    return np.asarray(coco.decode(coco.merge(coco.frPyObjects([*polygons], *SIZE))).astype(bool))


def assert_equal(found: dict[int, Mask], expected: dict[int, Mask]) -> None:
    assert found.keys() == expected.keys()
    for object_id, mask in expected.items():
        assert (found[object_id] == mask).all(), object_id


def read_by_all(path: Path) -> list[dict[int, Mask]]:
    """The masks by object as `formats.read`, `--mask` and a prompt file give them."""
    frame = next(iter(read_masks(path)))
    listing = dataset_layouts.write_json(
        path.with_name("prompts.list"),
        {"prompts": [{"object": number, "mask": path.name} for number in frame.masks.object_ids]},
    )
    prompts = PromptOptions(mask=[str(path)]).parse_by_image([path])[path]
    filed = VideoPromptOptions(prompt_file=listing).parse_schedule()[0]
    return [
        dict(zip(frame.masks.object_ids, frame.masks.binary, strict=True)),
        {number: prompt.mask for number, prompt in prompts.items() if prompt.mask is not None},
        {number: prompt.mask for number, prompt in filed.items() if prompt.mask is not None},
    ]


def write_coco(root: Path, **changes: Any) -> Path:
    """An image with two polygons, a code, and two parts of one track."""
    dataset_layouts.write_image(root / "images/a.jpg")
    code = {"size": list(SIZE), "counts": [0, 36, 156]}
    square = [0, 0, 10, 0, 10, 10, 0, 10]
    segmentations: dict[int, dict[str, Any]] = {
        3: {"segmentation": [square]},
        4: {"segmentation": [STAR, [1, 10, 3.5, 10, 3, 12]]},
        5: {"segmentation": code},
        6: {"segmentation": [square], "track_id": 9},
        7: {"segmentation": [STAR], "track_id": 9},
    }
    rows = [{"id": key, "image_id": 1, "category_id": 2, **row} for key, row in segmentations.items()]
    image = {"id": 1, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}
    content = {"images": [image], "annotations": rows, "categories": [{"id": 2, "name": "cat"}], **changes}
    return dataset_layouts.write_json(root / "instances.json", content)


def test_a_coco_file_gives_the_same_pixels_however_it_is_read(tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    square = by_pycocotools([0, 0, 10, 0, 10, 10, 0, 10])
    assert square.sum() == 100
    code = np.zeros(SIZE, bool)
    code[:, :3] = True
    expected = {
        3: square,
        4: by_pycocotools(STAR, [1, 10, 3.5, 10, 3, 12]),
        5: code,
        9: square | by_pycocotools(STAR),
    }
    own = COCO(str(path))
    for key in (3, 4, 5):
        assert (own.annToMask(own.loadAnns([key])[0]) == expected[key]).all()
    for found in read_by_all(path):
        assert_equal(found, expected)
    annotation = open_coco(path)["a.jpg"].annotation()
    assert_equal({key: annotation.mask(key) for key in annotation.object_ids}, expected)
    assert set(annotation.categories.values()) == {"cat"}


def test_a_labelme_file_gives_the_same_pixels_however_it_is_read(tmp_path: Path) -> None:
    points = np.reshape(STAR, (-1, 2)).tolist()
    stamp = np.array([[True, False], [True, True]])
    path = dataset_layouts.write_labelme(
        tmp_path / "a.json",
        {"label": "cat", "group_id": 2, "shape_type": "polygon", "points": points},
        {"label": "cat", "group_id": 2, "shape_type": "rectangle", "points": [[15, 12], [12, 9]]},
        {"label": "cat", "shape_type": "rectangle", "points": [[0, 0], [10, 10]]},
        {"label": "eye", "group_id": None, "shape_type": "circle", "points": [[8, 6], [8, 9]]},
        {"label": "tag", "group_id": 2, "shape_type": "mask", "points": [[10, 3], [11, 4]],
         "mask": dataset_layouts.encode_png(stamp)},
    )  # fmt: skip
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    tag = np.zeros(SIZE, bool)
    tag[3:5, 10:12] = stamp
    expected = {
        2: by_pycocotools(STAR, [15, 12, 12, 12, 12, 9, 15, 9]),
        1: by_pycocotools([0, 0, 10, 0, 10, 10, 0, 10]),
        3: by_pycocotools((np.array([8, 6]) + 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)).ravel().tolist()),
        4: tag,
    }
    for found in read_by_all(path):
        assert_equal(found, expected)
    annotation = read_labelme(path)
    assert_equal({key: annotation.mask(key) for key in annotation.object_ids}, expected)
    assert dict(annotation.categories) == {2: "cat", 1: "cat", 3: "eye", 4: "tag"}
    dataset_layouts.write_image(tmp_path / "a.jpg")
    assert open_images(tmp_path)["a"].read()[1].object_ids == (1, 2, 3, 4)


def test_an_sa1b_file_gives_the_same_pixels_however_it_is_read(tmp_path: Path) -> None:
    data = open_sa1b(dataset_layouts.write_sa1b(tmp_path))
    annotation = data["sa_000000/sa_2"].annotation()
    expected = {1: make_labels(0) == 1, 2: make_labels(5) == 1}
    assert_equal({key: annotation.mask(key) for key in annotation.object_ids}, expected)
    for found in read_by_all(tmp_path / "sa_000000/sa_2.json"):
        assert_equal(found, expected)


def test_objects_of_labelme_without_group_are_found_again_on_other_frames(tmp_path: Path) -> None:
    def square(label: str, left: int, group: int | None = None) -> dict[str, Any]:
        return {"label": label, "group_id": group, "points": [[left, 0], [left + 2, 0], [left + 2, 2], [left, 2]]}

    dataset_layouts.write_labelme(tmp_path / "0.json", square("cat", 0), square("cat", 4), square("dog", 8))
    dataset_layouts.write_labelme(
        tmp_path / "1.json", square("dog", 1), square("yak", 5), square("cat", 9, 3), square("cat", 12)
    )
    first, second = read_masks(tmp_path)
    assert first.masks.object_ids == (1, 2, 3)  # cat, cat, dog
    assert {number: int(mask.any(axis=0).argmax()) for number, mask in zip(
        second.masks.object_ids, second.masks.binary, strict=True
    )} == {3: 1, 4: 5, 5: 9, 1: 12}  # fmt: skip


@pytest.mark.parametrize("shape", ["blob", "", 3, None, []])
def test_a_shape_of_another_type_is_refused(shape: object, tmp_path: Path) -> None:
    path = dataset_layouts.write_labelme(
        tmp_path / "a.json", {"label": "x", "shape_type": shape, "points": [[0, 0], [2, 0], [2, 2]]}
    )
    if shape is None:  # files of LabelMe before version 3 do not tell the type
        assert masks_at(path).areas.tolist() == [int(read_labelme(path).mask(1).sum())]
        return
    with pytest.raises(FormatError, match=r"a\.json, shapes 0: "):
        masks_at(path)
    with pytest.warns(MaskletWarning, match=r"a\.json: skipped 1 shape: 1 broken \(shapes 0: "):
        assert not read_labelme(path).object_ids


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": [{"id": 1, "image_id": 5, "segmentation": []}]}, "annotations 0: there is no image 5"),
        ({"annotations": [{"id": 1, "image_id": True}]}, "'image_id' must be a whole number, got True"),
        ({"annotations": [{"id": 1}]}, "no field 'image_id'; it must be a whole number"),
        ({"annotations": 7}, "'annotations' must be a list, got 7"),
        ({"images": [{"id": 1, "file_name": "a.jpg", "height": float("inf"), "width": 5}]}, "'height' must be a whole"),
        (
            {"images": [{"id": 1, "file_name": name, "height": 2, "width": 5} for name in ("a.jpg", "b.jpg")]},
            "another image has the id 1",
        ),
        (
            {"images": [{"id": 1, "file_name": "a.jpg", "height": -2, "width": 5}]},
            "images 0: an image of -2 × 5 pixels",
        ),
        ({"images": [{"id": 1, "file_name": "a.jpg", "height": 1e6, "width": 1e6}]}, "cannot have masks"),
        ({"images": [3]}, "images 0: expected an object with fields, got 3"),
    ],
)
def test_a_coco_file_that_does_not_hold_together_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_coco(tmp_path, **change)
    for reader in (open_coco, lambda path: list(read_masks(path))):
        with pytest.raises(FormatError, match=message) as caught:
            reader(path)
        assert caught.value.code == "annotation-broken"
        assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4]], "with polygons of fewer than 3 points"),
        ({"size": [*SIZE], "counts": [0, 36]}, "run lengths add up to 36"),
        ("x", "must be RLE or a list of polygons"),
        (None, "without a segmentation"),
    ],
)
def test_a_mask_that_is_broken_is_named_by_file_and_annotation(
    segmentation: object, message: str, tmp_path: Path
) -> None:
    path = write_coco(tmp_path, annotations=[{"id": 31, "image_id": 1, "segmentation": segmentation}])
    wanted = r"instances\.json.*annotation 31.*" + message
    with pytest.raises(FormatError, match=wanted):
        list(read_masks(path))
    if segmentation in (None, [[1, 2, 3, 4]]):  # known without decoding a mask
        with pytest.raises(FormatError, match=wanted):
            open_coco(path)
        return
    record = open_coco(path)["a.jpg"]
    with pytest.warns(MaskletWarning, match=wanted):
        assert not record.annotation().object_ids


def test_whole_numbers_may_be_written_as_fractions(tmp_path: Path) -> None:
    path = write_coco(tmp_path)
    path.write_text(path.read_text().replace('"height": 12', '"height": 12.0').replace('"id": 3,', '"id": 3.0,'))
    assert (masks_at(path).of(3).binary[0] == open_coco(path)["a.jpg"].annotation().mask(3)).all()


def test_a_hostile_polygon_costs_little_however_it_is_read(tmp_path: Path) -> None:
    far = [[0, 0, 1_048_575, 1_048_575] * 500]
    path = write_coco(tmp_path, annotations=[{"id": 31, "image_id": 1, "segmentation": far}])
    expected = open_coco(path)["a.jpg"].annotation().mask(31)
    assert (masks_at(path).binary[0] == expected).all()
    shape = {"label": "x", "points": np.reshape(far[0], (-1, 2)).tolist()}
    path = dataset_layouts.write_labelme(tmp_path / "b.json", shape)
    assert (masks_at(path).binary[0] == read_labelme(path).mask(1)).all()


def test_codes_of_one_data_set_are_named_when_they_are_broken(tmp_path: Path) -> None:
    content = dataset_layouts.make_sa1b_json(2)
    content["annotations"][1]["segmentation"] = {**rle.encode(make_labels(5) == 1), "counts": "~"}
    dataset_layouts.write_image(tmp_path / "sa_2.jpg")
    (tmp_path / "sa_2.json").write_text(json.dumps(content))
    with pytest.warns(MaskletWarning, match=r"sa_2\.json: skipped 1 annotation: .*counts hold a character"):
        assert open_sa1b(tmp_path)["sa_2"].annotation().object_ids == (1,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame_indices": [None]}, "frame_indices: '0' must be a whole number, got None"),
        ({"frame_indices": [float("nan")]}, "frame_indices: '0' must be a whole number, got nan"),
        ({"frame_indices": [0, 1]}, "'frame_indices' must be a list of 1 numbers, got 2"),
        ({"times": [float("inf")]}, "'times' must be a list of 1 numbers"),
        ({"length": 10**15}, "'length' must be 0 to 1000000 frames"),
        ({"height": 0}, "an image of 0 × 16 pixels cannot have masks"),
    ],
)
def test_a_ytvis_file_that_does_not_hold_together_is_named(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    video = {"id": 1, "height": SIZE[0], "width": SIZE[1], "length": 1, **change}
    path = dataset_layouts.write_json(tmp_path / "a.json", {"videos": [video], "annotations": []})
    with pytest.raises(FormatError, match=message) as caught:
        list(read_masks(path))
    assert str(path) in caught.value.message


def test_cvat_does_not_list_frames_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(
        "<annotations><meta><task><start_frame>0</start_frame><stop_frame>999999999999</stop_frame><original_size>"
        "<width>5</width><height>5</height></original_size></task></meta></annotations>"
    )
    with pytest.raises(FormatError, match="are more than 1000000"):
        list(read_masks(path))
