"""Image dataset readers return what was written, read lazily, and name the broken file."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from masklet.datasets.coco import open_coco
from masklet.datasets.folders import open_image_folders
from masklet.datasets.labelme import read_labelme
from masklet.datasets.layouts import open_images
from masklet.datasets.sa1b import open_sa1b
from masklet.errors import FormatError, InputNotFound, MaskletWarning, SettingsError
from support import dataset_layouts
from support.dataset_layouts import SIZE, make_labels


def test_coco_has_polygons_and_codes(tmp_path: Path) -> None:
    data = open_coco(dataset_layouts.write_coco(tmp_path))
    assert data.names == ("a.jpg",)  # b.jpg has no objects
    image, annotation = data["a.jpg"].read()
    assert image.shape == (*SIZE, 3)
    assert annotation.object_ids == (31, 32)
    assert dict(annotation.categories) == {31: "cat", 32: "yak"}
    assert [int(annotation.mask(key).sum()) for key in (31, 32)] == [30, 36]


def test_a_broken_coco_mask_is_named_by_file_and_annotation(tmp_path: Path) -> None:
    path = dataset_layouts.write_coco(tmp_path)
    path.write_text(path.read_text().replace("[0, 36, 156]", "[0, 36]"))
    with pytest.warns(MaskletWarning, match=r"instances\.json: skipped .*annotation 32: run lengths add up to 36"):
        assert open_coco(path)["a.jpg"].annotation().object_ids == (31,)


def test_lvis_images_are_named_by_their_address(tmp_path: Path) -> None:
    path = dataset_layouts.write_coco(tmp_path)
    path.write_text(path.read_text().replace('"file_name": "', '"coco_url": "http://images.example/images/'))
    assert open_coco(path).names == ("images/a.jpg",)
    assert open_coco(path)["images/a.jpg"].image().shape == (*SIZE, 3)


def test_coco_without_its_images_names_the_folder(tmp_path: Path) -> None:
    path = dataset_layouts.write_coco(tmp_path)
    (tmp_path / "images/a.jpg").unlink()
    with pytest.raises(InputNotFound, match=r"images/a\.jpg: no such image"):
        open_coco(path)


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "instances.json").write_text("{")
    with pytest.raises(FormatError, match=r"instances\.json: not JSON"):
        open_coco(tmp_path / "instances.json")


def test_several_coco_files_want_a_split(tmp_path: Path) -> None:
    path = dataset_layouts.write_coco(tmp_path)
    path.rename(tmp_path / "instances_val.json")
    dataset_layouts.write_json(tmp_path / "instances_train.json", {})
    with pytest.raises(SettingsError, match="several annotation files, instances_train, instances_val; choose one"):
        open_images(tmp_path)
    assert open_images(tmp_path, "val").names == ("a.jpg",)


def test_sa1b_is_read_from_folders_and_tars(tmp_path: Path) -> None:
    data = open_sa1b(dataset_layouts.write_sa1b(tmp_path))
    assert data.names == ("sa_000000/sa_2", "sa_000000/sa_10", "sa_000001.tar/sa_7")
    for record in data:
        image, annotation = record.read()
        assert annotation.object_ids == (1, 2)
        assert (annotation.mask(2) == (make_labels(5) == 1)).all()
    assert abs(int(image.mean()) - 200) <= 2  # of the image in the tar


def test_one_tar_of_sa1b_is_a_data_set(tmp_path: Path) -> None:
    assert open_images(dataset_layouts.write_sa1b(tmp_path) / "sa_000001.tar").names == ("sa_000001.tar/sa_7",)


def test_a_broken_tar_is_named(tmp_path: Path) -> None:
    (tmp_path / "sa_000009.tar").write_bytes(b"not a tar" * 100)
    with pytest.raises(FormatError, match=r"sa_000009\.tar: cannot read the tar"):
        open_sa1b(tmp_path)


def test_a_tar_that_ends_early_is_named(tmp_path: Path) -> None:
    tar = dataset_layouts.write_sa1b(tmp_path) / "sa_000001.tar"
    with tarfile.open(tar) as archive:
        end = archive.getmember("./sa_7.json").offset_data + 10
    tar.write_bytes(tar.read_bytes()[:end])
    with pytest.raises(FormatError, match=r"sa_000001\.tar"):
        open_sa1b(tmp_path)


def test_a_mask_of_another_size_than_its_image_is_refused(tmp_path: Path) -> None:
    dataset_layouts.write_sa1b(tmp_path)
    content = dataset_layouts.make_sa1b_json(2)
    content["image"]["height"] += 1
    dataset_layouts.write_json(tmp_path / "sa_000000/sa_2.json", content)
    record = open_sa1b(tmp_path)["sa_000000/sa_2"]
    skipped = pytest.warns(
        MaskletWarning, match=r"2 broken \(the first: .* size \(12, 16\) \(H, W\), its image \(13, 16\)"
    )
    with skipped, pytest.raises(FormatError, match=r"the image is \(12, 16\) \(H, W\), its masks are \(13, 16\)"):
        record.read()


def test_label_maps_folders_and_numbered_files_are_masks_of_images(tmp_path: Path) -> None:
    for name in ("map", "grey", "many", "numbered", "alone"):
        dataset_layouts.write_image(tmp_path / f"images/{name}.webp")
    dataset_layouts.write_label_map(tmp_path / "masks/map.png", make_labels(0, 6))
    dataset_layouts.write_label_map(tmp_path / "masks/grey.png", make_labels(3, value=255), palette=False)
    for column in (0, 8):
        dataset_layouts.write_label_map(
            tmp_path / f"masks/many/{column}.png", make_labels(column, value=255), palette=False
        )
        dataset_layouts.write_label_map(tmp_path / f"masks/numbered_{column}.png", make_labels(column), palette=False)
    data = open_image_folders(tmp_path / "images", tmp_path / "masks")
    assert data.names == ("grey", "many", "map", "numbered")
    found = {record.name: record.annotation().object_ids for record in data}
    assert found == {"map": (1, 2), "grey": (1,), "many": (1, 2), "numbered": (0, 8)}


def test_grey_label_maps_keep_their_values_and_their_void(tmp_path: Path) -> None:
    labels = make_labels(0, 6)
    labels[labels == 2] = 200
    labels[-1] = 255
    dataset_layouts.write_image(tmp_path / "images/a.jpg")
    dataset_layouts.write_label_map(tmp_path / "masks/a.png", labels, palette=False)
    annotation = open_images(tmp_path)["a"].annotation()
    assert annotation.object_ids == (1, 200)
    assert annotation.void is not None


def test_labelme_shapes_of_one_group_are_one_object(tmp_path: Path) -> None:
    square = {"label": "cat", "shape_type": "polygon", "points": [[0, 0], [4, 0], [4, 4], [0, 4]], "group_id": 1}
    other = {**square, "points": [[6, 0], [8, 0], [8, 4], [6, 4]]}
    lone = {**square, "group_id": None}
    path = dataset_layouts.write_labelme(tmp_path / "a.json", square, other, lone)
    annotation = read_labelme(path)
    assert (annotation.size, annotation.object_ids) == (SIZE, (1, 2))
    assert [int(annotation.mask(key).sum()) for key in (1, 2)] == [24, 16]
    assert dict(annotation.categories) == {1: "cat", 2: "cat"}


def test_labelme_rectangles_circles_and_masks_are_areas(tmp_path: Path) -> None:
    stamp = np.array([[True, False], [True, True]])
    path = dataset_layouts.write_labelme(
        tmp_path / "a.json",
        {"label": "r", "shape_type": "rectangle", "points": [[1, 2], [5, 4]]},
        {"label": "c", "shape_type": "circle", "points": [[8, 6], [8, 9]]},
        {"label": "m", "shape_type": "mask", "points": [[10, 3], [11, 4]], "mask": dataset_layouts.encode_png(stamp)},
    )
    annotation = read_labelme(path)
    assert annotation.mask(1).sum() == 8
    assert annotation.mask(2).sum() == pytest.approx(np.pi * 9, abs=4)  # pixels of a disc of radius 3
    assert (annotation.mask(3)[3:5, 10:12] == stamp).all()
    assert annotation.mask(3).sum() == 3


def test_labelme_lies_beside_its_images(tmp_path: Path) -> None:
    dataset_layouts.write_image(tmp_path / "a.jpg")
    dataset_layouts.write_labelme(
        tmp_path / "a.json", {"label": "r", "shape_type": "rectangle", "points": [[1, 2], [5, 4]]}
    )
    data = open_images(tmp_path)
    assert [record.read()[1].object_ids for record in data] == [(1,)]


def test_a_labelme_mask_is_cut_off_at_the_border(tmp_path: Path) -> None:
    shape = {
        "label": "m",
        "shape_type": "mask",
        "points": [[15, 3], [16, 4]],
        "mask": dataset_layouts.encode_png(np.ones((2, 2), bool)),
    }
    annotation = read_labelme(dataset_layouts.write_labelme(tmp_path / "a.json", shape))
    assert np.argwhere(annotation.mask(1)).tolist() == [[3, 15], [4, 15]]


def test_frames_of_a_clip_are_images(tmp_path: Path) -> None:
    data = open_images(dataset_layouts.write_davis(tmp_path))
    assert data.names[:2] == ("bear/00000", "bear/00001")
    image, annotation = data["bear/00001"].read()
    assert abs(int(image.mean()) - 50) <= 2
    assert annotation.object_ids == (1, 2)


def test_a_few_can_be_picked_by_name(tmp_path: Path) -> None:
    data = open_sa1b(dataset_layouts.write_sa1b(tmp_path))
    assert len(data.select(["sa_000000/sa_10"])) == 1
    with pytest.raises(FormatError, match="no sa_3 in sa-1b train"):
        data.select(["sa_3"])


def test_the_held_out_images_have_as_many_masks_as_they_should(shared: Path) -> None:
    data = open_images(shared / "val")
    assert (len(data), sum(len(record.annotation().object_ids) for record in data)) == (31, 182)
    for record in data:
        image, annotation = record.read()
        assert all(annotation.mask(key).any() for key in annotation.object_ids), record.name
        assert image.shape[:2] == annotation.size


def test_the_repr_of_datasets_is_one_short_line(tmp_path: Path) -> None:
    dataset = open_images(dataset_layouts.write_coco(tmp_path))
    assert repr(dataset) == f"Dataset(coco, instances, {len(dataset)} records)"
    record = next(iter(dataset))
    assert repr(record) == f"AnnotatedImage({record.name!r})"
    annotation = record.annotation()
    assert repr(annotation) == f"Annotation(size={annotation.size}, object_ids={list(annotation.object_ids)})"
