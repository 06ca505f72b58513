"""Reports F: folders as systems, editors and tools leave them, and masks as they save them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from masklet.datasets.label_files import read_labels
from masklet.datasets.layouts import open_clips, open_images
from masklet.errors import FormatError, MaskletWarning
from masklet.formats import read_masks
from masklet.masks.mask_reader import read_mask
from masklet.masks.soft_masks import is_soft_mask
from support import dataset_layouts
from support.annotation_samples import (
    APPLE_DOUBLE,
    HEIGHT,
    WIDTH,
    make_coco,
    make_coco_annotation,
    make_coco_image,
    make_soft_disc,
    read_areas,
    read_clips,
    read_dataset,
    write_array,
    write_json,
    write_labels,
    write_photo,
    write_text,
)

TWO = {"a": ({1: 300, 2: 300}, 0)}
JUNK_FOLDERS = [".ipynb_checkpoints", "__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found", "System Volume Information"]
JUNK_FILES = ["Thumbs.db", "desktop.ini", ".DS_Store", "._a.png", "._a.json", "~$a.png", "THUMBS.DB", "Icon\r"]


def write_pair(folder: Path) -> Path:
    """An image with a label map of two objects."""
    write_photo(folder / "images/a.jpg")
    write_labels(folder / "masks/a.png", 1, 2)
    return folder


@pytest.mark.parametrize("name", JUNK_FOLDERS)
@pytest.mark.parametrize("parent", ["masks", "images", ""])
@pytest.mark.parametrize("is_empty", [True, False])
def test_f1_folders_of_systems_are_ignored(name: str, parent: str, is_empty: bool, tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / parent / name).mkdir()
    if not is_empty:
        write_labels(tmp_path / parent / name / "a-checkpoint.png", 5)
    assert read_dataset(tmp_path) == TWO


@pytest.mark.parametrize("name", JUNK_FILES)
@pytest.mark.parametrize("parent", ["masks", "images", ""])
def test_f1_files_of_systems_are_ignored(name: str, parent: str, tmp_path: Path) -> None:
    write_pair(tmp_path)
    write_text(tmp_path / parent / name, APPLE_DOUBLE)
    assert read_dataset(tmp_path) == TWO


@pytest.mark.parametrize("name", ["old", "a"])
def test_f2_an_empty_folder_among_the_masks_is_ignored(name: str, tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "masks" / name).mkdir()
    assert read_dataset(tmp_path) == TWO


def test_f2_a_folder_of_no_image_is_ignored(tmp_path: Path) -> None:
    write_pair(tmp_path)
    write_labels(tmp_path / "masks/old/b.png", 1)
    write_labels(tmp_path / "masks/old/b.bmp", 1)  # two images of one name
    write_text(tmp_path / "masks/notes/read.txt", "x")
    assert read_dataset(tmp_path) == TWO


@pytest.mark.parametrize("junk", ["._annotations.coco.json", "._instances_a.json"])
def test_f3_apple_double_files_are_no_annotation_files(junk: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    write_json(tmp_path / "_annotations.coco.json", make_coco([make_coco_annotation(1)]))
    write_text(tmp_path / junk, APPLE_DOUBLE)
    assert read_dataset(tmp_path) == {"a.jpg": ({1: 400}, 0)}


@pytest.mark.parametrize(
    "name", ["INSTANCES_VAL.JSON", "Annotations.json", "_annotations.COCO.json", "annotations/Instances.Json"]
)
def test_f3_names_of_annotation_files_may_be_in_upper_case(name: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "a.JPG")
    write_json(tmp_path / name, make_coco([make_coco_annotation(1)], [make_coco_image(1, "a.JPG")]))
    assert read_dataset(tmp_path) == {"a.JPG": ({1: 400}, 0)}


def write_davis(root: Path, listing: bytes, suffix: str = ".jpg") -> Path:
    for number in range(2):
        write_photo(root / f"JPEGImages/480p/bear/{number:05d}{suffix}")
        write_labels(root / f"Annotations/480p/bear/{number:05d}.png", 1)
    return write_text(root / "ImageSets/2017/val.txt", listing)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
def test_f4_lists_may_be_in_any_encoding(encoding: str, end: str, tmp_path: Path) -> None:
    write_davis(tmp_path, f"bear{end}{end}".encode(encoding))
    assert read_clips(tmp_path) == {"bear": {0: {1: 300}, 1: {1: 300}}}


def test_f4_clips_are_found_among_junk(tmp_path: Path) -> None:
    listing = write_davis(tmp_path, b"bear\n", ".JPG")
    write_text(listing.with_name("._val.txt"), APPLE_DOUBLE)
    for folder in ("JPEGImages/480p", "Annotations/480p/bear", "JPEGImages/480p/bear"):
        write_text(tmp_path / folder / "Thumbs.db", APPLE_DOUBLE)
        write_text(tmp_path / folder / ".DS_Store", APPLE_DOUBLE)
        (tmp_path / folder / "@eaDir").mkdir()
    assert read_clips(tmp_path) == {"bear": {0: {1: 300}, 1: {1: 300}}}


@pytest.mark.parametrize("layout", ["JPEGImages/bear", "bear/JPEGImages"])
def test_f4_folders_of_clips_are_found_among_junk(layout: str, tmp_path: Path) -> None:
    write_photo(tmp_path / layout / "0.jpg")
    write_labels(tmp_path / layout.replace("JPEGImages", "Annotations") / "0.png", 1)
    for folder in {tmp_path, *(tmp_path / layout).parents} - {*tmp_path.parents}:
        write_text(folder / ".DS_Store", APPLE_DOUBLE)
        (folder / "__MACOSX").mkdir()
    write_text(tmp_path / "JPEGImages/Thumbs.db", APPLE_DOUBLE) if layout.startswith("JPEG") else None
    assert read_clips(tmp_path) == {"bear": {0: {1: 300}}}


def write_disc(folder: Path, save: Callable[[Path], object]) -> Path:
    write_photo(folder / "images/a.jpg")
    (folder / "masks").mkdir()
    save(folder / "masks/a.png")
    return folder


DISC = make_soft_disc()
AREA = int((DISC >= 128).sum())


def blur(mask: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    soft = mask.astype(float)
    for _ in range(times):
        soft = (soft + np.roll(soft, 1, 0) + np.roll(soft, -1, 0) + np.roll(soft, 1, 1) + np.roll(soft, -1, 1)) / 5
    return soft.round().astype(np.uint8)


def add_noise(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(-5, 6, mask.shape)
    return np.clip(np.where(np.random.default_rng(1).random(mask.shape) < 0.2, mask + noise, mask), 0, 255).astype(
        np.uint8
    )


HARD = np.where(DISC >= 128, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "mode"),
    [
        (DISC, None),
        (DISC, "RGB"),
        (DISC, "RGBA"),
        (DISC, "P"),
        (DISC.astype(np.uint16) * 257, None),
        (blur(HARD, 6), None),
        (blur(HARD, 40), None),
        (add_noise(HARD), None),
        (np.asarray(Image.fromarray(HARD[::2, ::2]).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)), None),
        (np.asarray(Image.fromarray(HARD[::2, ::2]).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)), None),
        (HARD, None),
        (HARD, "1"),
        (HARD, "LA"),
        (HARD // 255, None),
        (HARD.astype(np.uint16) * 257, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_f5_a_mask_with_a_soft_rim_is_one_object(pixels: NDArray[np.uint8], mode: str | None, tmp_path: Path) -> None:
    write_disc(tmp_path, lambda path: write_array(path, pixels, mode))
    objects, void = read_dataset(tmp_path)["a"]
    middle = pixels.max() // 2
    expected = int((pixels > middle).sum())
    assert len(objects) == 1 and void == 0
    assert [*objects.values()] == [pytest.approx(expected, abs=8)]
    if pixels is DISC:
        assert [*objects.values()] == [AREA]
    (mask,) = read_areas(tmp_path / "masks/a.png")
    assert mask == [*objects.values()]


def test_f5_a_palette_of_grays_may_have_any_order(tmp_path: Path) -> None:
    image = Image.fromarray(np.where(HARD > 0, 0, 1).astype(np.uint8))  # index 0 is white
    image.putpalette([255, 255, 255, 0, 0, 0])
    write_disc(tmp_path, image.save)
    assert read_dataset(tmp_path) == {"a": ({1: int((HARD > 0).sum())}, 0)}
    assert read_areas(tmp_path / "masks/a.png") == [[int((HARD > 0).sum())]]


def test_f5_a_palette_of_grays_may_be_a_label_map(tmp_path: Path) -> None:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[10:20, 10:20], labels[30:40, 30:40], labels[50, :] = 1, 2, 3
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0, 90, 90, 90, 180, 180, 180, 255, 255, 255])
    write_disc(tmp_path, image.save)
    assert read_dataset(tmp_path) == {"a": ({1: 100, 2: 100, 3: WIDTH}, 0)}


def test_f5_transparent_pixels_that_hide_everything_are_ignored(tmp_path: Path) -> None:
    pixels = np.dstack([HARD, HARD, HARD, np.zeros_like(HARD)])
    write_disc(tmp_path, lambda path: write_array(path, pixels))
    assert read_dataset(tmp_path) == {"a": ({1: AREA}, 0)}


def make_label_map(*values: int, void: bool = True, side: int = 12) -> NDArray[np.uint8]:
    """Objects of `side` × `side` pixels, with a rim of void pixels as in PASCAL VOC."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, value in enumerate(values):
        y, x = 20 * (number // 4) + 3, 20 * (number % 4) + 3
        if void:
            labels[y - 2 : y + side + 2, x - 2 : x + side + 2] = 255
        labels[y : y + side, x : x + side] = value
    return labels


@pytest.mark.parametrize(
    "labels",
    [
        make_label_map(1, 2, 3),
        make_label_map(50, 100, 150, 200),
        make_label_map(*range(1, 13)),
        make_label_map(1, 2, 3, side=2),
        make_label_map(*range(20, 32), side=2, void=False),
        make_label_map(200, void=False),
        make_label_map(3, void=False),
    ],
)
def test_f5_label_maps_in_gray_remain_label_maps(labels: NDArray[np.uint8], tmp_path: Path) -> None:
    write_disc(tmp_path, lambda path: write_array(path, labels))
    objects, void = read_dataset(tmp_path)["a"]
    values, counts = np.unique(labels[(labels > 0) & (labels < 255)], return_counts=True)
    assert objects == dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert void == (labels == 255).sum()


def test_f5_an_empty_image_is_no_soft_mask() -> None:
    for values in (np.zeros((3, 3), np.uint8), np.full((1, 1), 255, np.uint8), np.full((3, 3), 255, np.uint8)):
        assert not is_soft_mask(values)


def test_f5_soft_masks_are_read_by_all_functions(tmp_path: Path) -> None:
    path = write_array(tmp_path / "a.png", DISC)
    assert (read_labels(path) > 0).sum() == (read_mask(path) > 0).sum() == AREA


def test_f5_soft_masks_of_clips_are_one_object(tmp_path: Path) -> None:
    for number in range(2):
        write_photo(tmp_path / f"bear/frames/{number}.jpg")
        write_array(tmp_path / f"bear/masks/{number}.png", DISC)
    assert read_clips(tmp_path) == {"bear": {0: {1: AREA}, 1: {1: AREA}}}


def test_f6_numbered_masks_of_other_images_are_not_taken(tmp_path: Path) -> None:
    for name in ("frame", "frame_1", "frame_2"):
        write_photo(tmp_path / f"images/{name}.jpg")
    for name in ("frame_1", "frame_2", "frame_3"):
        write_labels(tmp_path / f"masks/{name}.png", 1)
    assert sorted(read_dataset(tmp_path)) == ["frame_1", "frame_2"]


def test_f6_numbered_masks_of_one_image_are_its_objects(tmp_path: Path) -> None:
    for name in ("dog", "dog_2a", "cat_1"):
        write_photo(tmp_path / f"images/{name}.jpg")
    for name in ("dog_1", "dog_01", "dog_2", "cat_1"):
        write_labels(tmp_path / f"masks/{name}.png", 1)
    found = {name: [*objects.values()] for name, (objects, _) in read_dataset(tmp_path).items()}
    assert found == {"dog": [300, 300, 300], "cat_1": [300]}


def test_f_names_of_folders_may_be_in_upper_case(tmp_path: Path) -> None:
    write_photo(tmp_path / "Images/a.JPG")
    write_labels(tmp_path / "Masks/a.PNG", 1, 2)
    assert read_dataset(tmp_path) == TWO


def test_f_sa_1b_is_found_among_junk_and_in_upper_case(tmp_path: Path) -> None:
    root = dataset_layouts.write_sa1b(tmp_path)
    (root / "sa_000000/sa_2.json").rename(root / "sa_000000/sa_2.JSON")
    (root / "sa_000000/sa_2.jpg").rename(root / "sa_000000/sa_2.JPG")
    write_text(root / "sa_000000/._sa_2.jpg", APPLE_DOUBLE)
    write_text(root / "._sa_000001.tar", APPLE_DOUBLE)
    write_text(root / "@eaDir/sa_5.json", APPLE_DOUBLE)
    write_text(root / "@eaDir/sa_5.jpg", APPLE_DOUBLE)
    data = open_images(root)
    assert data.names == ("sa_000000/sa_2", "sa_000000/sa_10", "sa_000001.tar/sa_7")
    assert [len(record.read()[1].object_ids) for record in data] == [2, 2, 2]


def test_f_a_broken_mask_of_sa_1b_is_skipped(tmp_path: Path) -> None:
    content = dataset_layouts.make_sa1b_json(2)
    content["annotations"] += [{"segmentation": None}, 7]
    dataset_layouts.write_image(tmp_path / "sa_2.jpg")
    path = write_json(tmp_path / "sa_2.json", content)
    for read in (lambda: len(open_images(tmp_path)["sa_2"].annotation().object_ids), lambda: len(read_areas(path)[0])):
        with pytest.warns(MaskletWarning, match="skipped 2 annotations: 2 broken"):
            assert read() == 2


def write_yolo(root: Path, lines: str | bytes, image: str = "images/a.jpg", label: str = "labels/a.txt") -> Path:
    write_photo(root / image)
    write_text(root / label, lines)
    write_text(root / "classes.txt", "cat\r\ndog\r\n")
    return root


def test_f_yolo_is_read_among_junk_and_in_upper_case(tmp_path: Path) -> None:
    root = write_yolo(tmp_path, "1 0.5 0.5 0.25 0.5\n", "images/a.JPG", "labels/a.TXT")
    write_text(root / "labels/._a.txt", APPLE_DOUBLE)
    write_text(root / "labels/Thumbs.db", APPLE_DOUBLE)
    write_text(root / "images/._a.jpg", APPLE_DOUBLE)
    write_text(root / "labels/Classes.txt", "cat\n")
    (frame,) = read_masks(root)
    assert frame.masks.areas.tolist() == [600] and frame.masks.labels == ("dog",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_f_yolo_may_be_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    root = write_yolo(tmp_path, "0 0.5 0.5 0.25 0.5\r\n\r\n1.0 0.5 0.5 0.25 0.5\r\n".encode(encoding))
    for name, text in (("classes.txt", "cat\r\ndog\r\n"), ("data.yaml", "nc: 2\r\nnames:\r\n  0: cat\r\n  1: dog\r\n")):
        write_text(root / name, text.encode(encoding))
        (frame,) = read_masks(root)
        assert frame.masks.areas.tolist() == [600, 600] and frame.masks.labels == ("cat", "dog")


@pytest.mark.parametrize(
    "line",
    ["0 0.1 0.2", "x 0.1 0.1 0.2 0.1 0.2 0.5", "0 0.1 0.1 0.2 0.1 0.2 nan", "7 0.5 0.5 0.1 0.1", "0 1e9 0 0 1 1 0"],
)
def test_f_a_broken_line_of_yolo_is_skipped(line: str, tmp_path: Path) -> None:
    root = write_yolo(tmp_path, f"0 0.5 0.5 0.25 0.5\n{line}\n")
    with pytest.warns(MaskletWarning, match=r"skipped 1 line: 1 broken \(.*a\.txt, line 2: "):
        assert read_areas(root) == [[600]]


def test_f_ytvis_skips_what_is_broken(tmp_path: Path) -> None:
    code = {"size": [float(HEIGHT), WIDTH], "counts": [0, HEIGHT, HEIGHT * (WIDTH - 1)]}
    rows = [
        {"id": 0, "video_id": "1", "segmentations": [code, None]},
        {"id": "x", "video_id": 1, "segmentations": [[], [[0, 0, 10, 0, 10, 10, 0, 10]]], "category_id": "5"},
        {"id": 0, "video_id": 1, "segmentations": [None, code]},
        {"id": 3, "video_id": 1, "segmentations": [{"size": [1, 1], "counts": "~"}, code]},
        {"id": 4, "video_id": 1, "segmentations": [code]},
        {"id": 5, "video_id": 2, "segmentations": [code, code]},
        7,
    ]
    content = {"videos": [{"id": 1}, {"id": 2}], "annotations": rows, "categories": [{"id": 5, "name": "cat"}]}
    path = write_json(tmp_path / "a.json", content)
    with pytest.warns(MaskletWarning, match="skipped 4 annotations: 3 broken .*; 1 of other videos") as caught:
        first, second = read_masks(path)
    assert len(caught) == 1
    assert first.masks.areas.tolist() == [HEIGHT]
    assert sorted(second.masks.areas.tolist()) == [HEIGHT, HEIGHT, 100]
    assert min(first.masks.object_ids) >= 1 and not {*first.masks.object_ids} & {*second.masks.object_ids}
    assert "cat" in second.masks.labels


@pytest.mark.parametrize("fps", ["0", "Infinity", "-Infinity", "NaN", "-1", "1e400", '"6"', "1000"])
def test_defect_13_a_rate_that_no_video_has_is_an_error(fps: str, tmp_path: Path) -> None:
    content = {"video_id": "sav_1", "video_height": 4, "video_width": 4, "video_frame_count": 5, "masklet_id": [0]}
    text = json.dumps({**content, "masklet": [], "fps": 1234.5})
    write_text(tmp_path / "sav_1_manual.json", text.replace("1234.5", fps))
    write_text(tmp_path / "._sav_1_manual.json", APPLE_DOUBLE)
    with pytest.raises(FormatError, match="'fps' must be") as caught:
        read_clips(tmp_path)
    assert caught.value.exit_status == 65


@pytest.mark.parametrize("name", ["video_frame_count", "video_height", "masklet_id"])
@pytest.mark.parametrize("value", ["Infinity", "NaN", "null", "[1e999]"])
def test_defect_13_numbers_that_are_not_finite_are_errors(name: str, value: str, tmp_path: Path) -> None:
    content = {
        "video_id": "a",
        "video_height": 4,
        "video_width": 4,
        "video_frame_count": 5,
        "masklet_id": [0],
        "masklet": [],
    }
    write_text(tmp_path / "sav_1_manual.json", json.dumps({**content, name: 1234.5}).replace("1234.5", value))
    with pytest.raises(FormatError) as caught:
        read_clips(tmp_path)
    assert caught.value.exit_status == 65


def test_licenses_are_those_of_the_data(tmp_path: Path) -> None:
    write_davis(tmp_path / "davis", b"bear\n")
    assert open_clips(tmp_path / "davis").license.startswith("CC BY-NC 4.0")
    content = make_coco([make_coco_annotation(1)])
    files = {
        "instances_val2017.json": (content, "annotations CC BY 4.0"),
        "lvis_v1_val.json": (content, "see the dataset's page"),
        "instances_val.json": (content, "your own"),
        "annotations.json": (
            {**content, "licenses": [{"id": 1, "name": "CC0"}, {"name": "CC0"}, 3]},
            "CC0 (by the file)",
        ),
    }
    for number, (name, (text, expected)) in enumerate(files.items()):
        write_photo(tmp_path / f"{number}/images/a.jpg")
        assert open_images(write_json(tmp_path / f"{number}/{name}", text)).license.startswith(expected)
