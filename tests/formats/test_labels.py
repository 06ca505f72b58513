"""Labels of objects are written in every format, and come back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import FormatError, InputNotFound, MaskletWarning
from masklet.formats import FORMATS, masks_at, read_masks, save_masks
from masklet.formats.yolo_classes import read_classes
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import collect_labels, encode_frame
from masklet.masks.tracked_frame import TrackedFrame

SIZE = (24, 40)
NAMES = [name for name, form in FORMATS.items() if form.read and name not in ("tiff", "nifti")]  # hold ids only
ODD = """a: "b" & 'c', [d] <e> #1 犬 👩‍🚀"""
LABELS = {2: "dog", 7: None, 9: ODD, 11: "dog"}
CLASSES_OF_MOTS = {2: "car", 7: "pedestrian", 9: "car", 11: "pedestrian"}


def clip(labels: dict[int, str | None]) -> list[TrackedFrame]:
    """Three frames of squares in a row; object 9 is hidden on frame 1."""
    frames = []
    for index in range(3):
        binary = np.zeros((len(labels), *SIZE), bool)
        for position, key in enumerate(labels):
            if (key, index) != (9, 1):
                binary[position, 4 + index : 12 + index, 10 * position : 10 * position + 8] = True
        masks = Masks.from_binary(binary, object_ids=[*labels], labels=[*labels.values()])
        frames.append(TrackedFrame(index, index / 25, masks))
    return frames


def labels_of(frame: TrackedFrame) -> dict[int, str | None]:
    """The labels of the objects whose mask is not empty, by the object's position in the row."""
    visible = [(mask.labels[0], mask.boxes[0]) for mask in frame.masks if mask.areas[0]]
    return {int(box[0]) // 10: label for label, box in visible}


def save(labels: dict[int, str | None], folder: Path, *names: str) -> list[Path]:
    return save_masks(clip(labels), folder, names)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The clip with labels in every format that has masks."""
    folder = tmp_path_factory.mktemp("written")
    (mots,) = save(CLASSES_OF_MOTS, folder, "mots")
    names = [name for name in NAMES if name != "mots"]
    return {"mots": mots, **dict(zip(names, save(LABELS, folder, *names), strict=True))}


@pytest.mark.parametrize("name", NAMES)
def test_labels_come_back_with_their_objects(name: str, written: dict[str, Path]) -> None:
    original = clip(CLASSES_OF_MOTS if name == "mots" else LABELS)
    for frame, wanted in zip(read_masks(written[name]), original, strict=True):
        assert labels_of(frame) == labels_of(wanted)
        if name != "yolo":  # has no object ids
            found = [key for key, area in zip(frame.masks.object_ids, frame.masks.areas, strict=True) if area]
            assert sorted(found) == ([2, 7, 11] if frame.index == 1 else [2, 7, 9, 11])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mots"])  # where no label is a pedestrian
def test_objects_without_labels_come_back_without(name: str, tmp_path: Path) -> None:
    (path,) = save(dict.fromkeys(LABELS), tmp_path, name)
    assert all(not any(frame.masks.labels) for frame in read_masks(path))


def test_files_of_masks_without_labels_have_not_changed(tmp_path: Path) -> None:
    """The digests are those of the version before there were labels."""
    names = ["coco", "ytvis", "labelme", "cvat", "mots"]
    digest = hashlib.sha256()
    for path in save(dict.fromkeys(LABELS), tmp_path, *names):
        for file in [path] if path.is_file() else sorted(path.iterdir()):
            digest.update(file.read_bytes())
    assert digest.hexdigest() == "9549a9d9733f5f3fd3e130694188161559c02f3c31a351015dbb1ae7ee61c503"


def test_the_label_of_an_object_is_its_last(tmp_path: Path) -> None:
    frames = [*clip({1: None})[:1], *clip({1: "cat"})[1:2], *clip({1: "dog"})[2:]]
    assert collect_labels(encode_frame(frame) for frame in frames) == {1: "dog"}
    for path in save_masks(frames, tmp_path, ["coco", "png", "labelme", "yolo"]):
        assert [frame.masks.labels for frame in read_masks(path)] == [("dog",)] * 3


def test_encoded_frames_keep_labels() -> None:
    frame = encode_frame(clip(LABELS)[0])
    assert frame.labels == tuple(LABELS.values()) == tuple(mask.label for mask in frame)
    assert frame.decode().masks.labels == tuple(LABELS.values())


@pytest.mark.parametrize("suffix", [".png", ".json", ".npz"])
def test_saved_masks_are_read_with_labels(suffix: str, tmp_path: Path) -> None:
    masks = clip(LABELS)[0].masks
    masks.save(tmp_path / f"all{suffix}")
    masks.of(9).save(tmp_path / f"one{suffix}")
    assert masks_at(tmp_path / f"all{suffix}").labels == tuple(LABELS.values())
    assert masks_at(tmp_path / f"one{suffix}").labels == (ODD,)


def test_coco_has_a_category_per_label(written: dict[str, Path]) -> None:
    coco = pytest.importorskip("pycocotools.coco").COCO(str(written["coco"]))
    assert coco.loadCats(coco.getCatIds()) == [
        {"id": 1, "name": "dog"}, {"id": 2, "name": ODD}, {"id": 3, "name": "object"}
    ]  # fmt: skip
    rows = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [(row["track_id"], row["category_id"]) for row in rows] == [(2, 1), (7, 3), (9, 2), (11, 1)]


def test_ytvis_has_a_category_per_label(written: dict[str, Path]) -> None:
    file = json.loads(written["ytvis"].read_text())
    assert [row["name"] for row in file["categories"]] == ["dog", ODD, "object"]
    assert [row["category_id"] for row in file["annotations"]] == [1, 3, 2, 1]


def test_labelme_has_the_label_and_the_object_id_as_group(written: dict[str, Path]) -> None:
    shapes = json.loads((written["labelme"] / "00000.json").read_text())["shapes"]
    assert [(shape["label"], shape["group_id"]) for shape in shapes] == [
        ("dog", 2), ("object 7", 7), (ODD, 9), ("dog", 11)
    ]  # fmt: skip


def test_cvat_lists_its_labels(written: dict[str, Path]) -> None:
    root = ElementTree.parse(written["cvat"]).getroot()
    assert [name.text for name in root.iter("name")][1:] == ["dog", ODD, "object"]
    assert [track.get("label") for track in root.iter("track")] == ["dog", "object", ODD, "dog"]


def test_classes_of_yolo_are_labels(written: dict[str, Path]) -> None:
    text = (written["yolo"] / "data.yaml").read_text("utf-8")
    assert [line[5:] for line in text.splitlines()[-3:]] == ['"dog"', json.dumps(ODD, ensure_ascii=False), '"object"']
    lines = (written["yolo"] / "labels/00000.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "2", "1", "0"]


def test_mots_numbers_the_classes_of_kitti(tmp_path: Path) -> None:
    (path,) = save({1: "Car", 2: None, 3: "dog", 4: "person", 5: "cat"}, tmp_path, "mots")
    rows = [line.split()[1:3] for line in path.read_text().splitlines() if line.startswith("0 ")]
    assert rows[:4] == [["1001", "1"], ["2002", "2"], ["3003", "3"], ["2004", "2"]]
    frame = next(read_masks(path))
    assert dict(zip(frame.masks.object_ids, frame.masks.labels, strict=True)) == {
        1: "car", 2: "pedestrian", 3: None, 4: "pedestrian"
    }  # fmt: skip


def test_npz_has_the_labels_of_its_objects(written: dict[str, Path], tmp_path: Path) -> None:
    file = np.load(written["npz"], allow_pickle=False)
    assert file["labels"].tolist() == ["dog", "", ODD, "dog"] and file["object_ids"].tolist() == [*LABELS]
    assert "labels" not in np.load(save({1: None}, tmp_path, "npz")[0])


def test_a_png_has_labels_in_its_text(written: dict[str, Path]) -> None:
    with Image.open(written["png"] / "00000.png") as image:
        assert json.loads(image.info["masklet:labels"]) == {"2": "dog", "9": ODD, "11": "dog"}


# Files of other programs.

SQUARE = [[0, 0, 10, 0, 10, 10, 0, 10]]
TOO_LONG = "x" * 201


def write_coco(path: Path, *names: Any) -> Path:
    rows = [{"id": key, "image_id": 1, "category_id": key, "segmentation": SQUARE} for key in range(1, len(names) + 1)]
    categories = [{"id": key, "name": name} for key, name in enumerate(names, start=1)]
    image = {"id": 1, "height": SIZE[0], "width": SIZE[1], "file_name": "a.jpg"}
    path.write_text(json.dumps({"images": [image], "annotations": rows, "categories": categories}))
    return path


def write_ytvis(path: Path, name: str) -> Path:
    video = {"id": 1, "height": SIZE[0], "width": SIZE[1], "length": 1, "file_names": ["a.jpg"]}
    rows = [{"id": 4, "video_id": 1, "category_id": 3, "segmentations": [SQUARE]}]
    path.write_text(json.dumps({"videos": [video], "annotations": rows, "categories": [{"id": 3, "name": name}]}))
    return path


def write_labelme(path: Path, *shapes: tuple[str, int | None]) -> Path:
    points = np.reshape(SQUARE, (-1, 2)).tolist()
    rows = [{"label": label, "group_id": group, "points": points} for label, group in shapes]
    path.write_text(json.dumps({"imageHeight": SIZE[0], "imageWidth": SIZE[1], "shapes": rows}))
    return path


def write_cvat(path: Path, *images: list[tuple[str, int]]) -> Path:
    """Write CVAT for images, with a box per label and group."""
    lines = ["<annotations>"]
    for number, shapes in enumerate(images):
        lines.append(f'<image id="{number}" name="{number}.jpg" width="{SIZE[1]}" height="{SIZE[0]}">')
        lines += [
            f'<box label="{label}" group_id="{group}" xtl="{4 * place}" ytl="0" xbr="{4 * place + 3}" ybr="3"/>'
            for place, (label, group) in enumerate(shapes)
        ]
        lines.append("</image>")
    path.write_text("\n".join([*lines, "</annotations>"]))
    return path


def pairs(masks: Masks) -> list[tuple[int, str | None]]:
    return [*zip(masks.object_ids, masks.labels, strict=True)]


def test_categories_of_coco_are_labels(tmp_path: Path) -> None:
    assert pairs(masks_at(write_coco(tmp_path / "a.json", "cat", " traffic light ", "object", ""))) == [
        (1, "cat"), (2, "traffic light"), (3, None), (4, None)
    ]  # fmt: skip
    assert pairs(masks_at(write_ytvis(tmp_path / "b.json", "cat"))) == [(4, "cat")]


def test_labels_of_labelme_and_groups_identify_objects(tmp_path: Path) -> None:
    path = write_labelme(
        tmp_path / "a.json", ("cat", None), ("cat", 3), ("dog", 3), ("object 5", 5), ("object 5", None)
    )
    assert pairs(masks_at(path)) == [(1, "cat"), (3, "cat"), (2, "dog"), (5, None), (4, "object 5")]


def test_labels_of_cvat_and_groups_identify_objects(tmp_path: Path) -> None:
    path = write_cvat(tmp_path / "a.xml", [("cat", 2), ("cat", 0), ("dog", 0), ("object", 0)], [("dog", 0), ("cat", 0)])
    first, second = read_masks(path)
    assert pairs(first.masks) == [(2, "cat"), (1, "cat"), (3, "dog"), (4, None)]
    assert pairs(second.masks) == [(3, "dog"), (1, "cat")]


@pytest.mark.parametrize(
    ("name", "write", "place"),
    [
        ("a.json", lambda path: write_coco(path, TOO_LONG), "annotation 1"),
        ("b.json", lambda path: write_ytvis(path, TOO_LONG), "annotations 0"),
        ("c.json", lambda path: write_labelme(path, (TOO_LONG, None)), "shapes 0"),
        ("d.xml", lambda path: write_cvat(path, [(TOO_LONG, 0)]), "line 3"),
        ("e.npz", lambda path: write_npz(path), "label must be"),
        ("f.png", lambda path: write_png(path, json.dumps({"1": TOO_LONG})), "label must be"),
        ("g.png", lambda path: write_png(path, "[1]"), "text chunk"),
        ("h.json", lambda path: write_saved(path, 7), "masks 0"),
    ],
)
def test_an_invalid_label_is_an_error_that_names_its_place(name: str, write: Any, place: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    with pytest.raises(FormatError) as caught:
        list(read_masks(tmp_path / name))
    assert name in caught.value.message and place in caught.value.message


@pytest.mark.parametrize(
    ("name", "write", "place"),
    [
        ("a.json", lambda path: write_coco(path, "cat", TOO_LONG), "annotation 2"),
        ("c.json", lambda path: write_labelme(path, ("cat", None), (TOO_LONG, None)), "shapes 1"),
        ("d.xml", lambda path: write_cvat(path, [("cat", 0), (TOO_LONG, 0)]), "line 4"),
    ],
)
def test_an_object_with_an_invalid_label_is_skipped(name: str, write: Any, place: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    with pytest.warns(MaskletWarning, match=place):
        (frame,) = read_masks(tmp_path / name)
    assert frame.masks.labels == ("cat",)


def write_npz(path: Path) -> None:
    Masks.from_binary(np.ones((1, 2, 2), bool)).save(path)
    np.savez(path, **{**np.load(path), "labels": np.array([TOO_LONG])})


def write_png(path: Path, text: str) -> None:
    from PIL.PngImagePlugin import PngInfo

    information = PngInfo()
    information.add_text("masklet:labels", text)
    Image.fromarray(np.ones((2, 2), np.uint8)).save(path, pnginfo=information)


def write_saved(path: Path, label: Any) -> None:
    rle = {"size": [2, 2], "counts": [0, 4]}
    path.write_text(json.dumps({"size": [2, 2], "masks": [{"object_id": 1, "label": label, "rle": rle}]}))


# YOLO datasets.


def write_yolo(root: Path, lines: dict[str, str], classes: str, name: str = "data.yaml") -> Path:
    (root / "labels").mkdir()
    (root / "images").mkdir()
    (root / name).write_text(classes, encoding="utf-8")
    for stem, text in lines.items():
        (root / f"labels/{stem}.txt").write_text(text)
        Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(root / f"images/{stem}.png")
    return root


def rectangle(mask: NDArray[np.bool_]) -> tuple[int, int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1, int(mask.sum())


def test_lines_of_yolo_are_objects_and_classes_are_labels(tmp_path: Path) -> None:
    lines = {
        "a": "1 0.1 0.1 0.2 0.1 0.2 0.5 0.1 0.5\n\n0 0.5 0.5 0.25 0.5\n1 0.5 0.1 0.75 0.1 0.75 0.5 0.5 0.5\n",
        "b": "0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.2 0.1 0.2 0.5 0.1 0.5\n",
    }
    first, second = read_masks(write_yolo(tmp_path, lines, "nc: 2\nnames: [cat, 'traffic light']\n"))
    assert pairs(first.masks) == [(1, "traffic light"), (2, "cat"), (3, "traffic light")]
    assert pairs(second.masks) == [(2, "cat"), (1, "traffic light")]
    assert [rectangle(mask) for mask in first.masks.binary] == [
        (4, 2, 8, 10, 32),
        (15, 5, 25, 15, 100),
        (20, 2, 30, 10, 80),
    ]


@pytest.mark.parametrize(
    ("extra", "ids", "scores"), [(("7", "12"), (7, 12), [1, 1]), (("0.75", "1"), (1, 2), [0.75, 1])]
)
def test_a_number_after_the_outline_is_an_id_or_a_score(
    extra: tuple[str, str], ids: tuple[int, int], scores: list[float], tmp_path: Path
) -> None:
    lines = "".join(f"0 0.1 0.1 0.2 0.1 0.2 0.5 {number}\n" for number in extra)
    masks = masks_at(write_yolo(tmp_path, {"0": lines}, "cat\n\n", "classes.txt"))
    assert masks.object_ids == ids and masks.scores.tolist() == scores and masks.labels == ("cat", "cat")


@pytest.mark.parametrize(
    "names",
    [
        "names:\n  0: cat\n  1: \"a: 'b'\"  # comment\n\n  # comment\n  2: 'it''s'\nnc: 3\n",
        "names:\n- cat # comment\n- \"a: 'b'\"\n- it's\n",
        "names: [cat, \"a: 'b'\", 'it''s']  # comment\n",
        "train: x\nnames: {0: cat, 1: \"a: 'b'\",\n  2: 'it''s'}\nval: y\n",
    ],
)
def test_names_of_classes_are_read_in_every_style_of_yaml(names: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(names)
    assert read_classes(tmp_path).labels == {0: "cat", 1: "a: 'b'", 2: "it's"}


@pytest.mark.parametrize(
    ("lines", "classes", "message"),
    [
        ("3 0.1 0.1 0.2 0.1 0.2 0.5\n", "names: [cat]\n", "0.txt, line 1: class 3 has no name"),
        ("0 0.1 0.1 0.2 0.1 0.2 x\n", "names: [cat]\n", "0.txt, line 1: expected a class and pairs"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.5\n", "nc: 3\n", "data.yaml: it has no names"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.5\n", "names: [cat\n", "data.yaml: its names of classes cannot be read"),
        (
            "0 0.1 0.1 0.2 0.1 0.2 0.5\n",
            f"names: [{1000 * chr(39)}\n",
            "data.yaml: its names of classes cannot be read",
        ),
        ("0 0.1 0.1 0.2 0.1 0.2 0.5\n", f"names: [{TOO_LONG}]\n", "data.yaml: a label must be"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.5\n", 'names: ["\\q"]\n', "data.yaml: the class name"),
    ],
)
def test_broken_files_of_yolo_are_named(lines: str, classes: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        list(read_masks(write_yolo(tmp_path, {"0": lines}, classes)))
    assert message in caught.value.message


def test_yolo_needs_names_and_sizes(tmp_path: Path) -> None:
    root = write_yolo(tmp_path, {"0": "0 0.1 0.1 0.2 0.1 0.2 0.5\n"}, "names: [cat]\n")
    (root / "images/0.png").unlink()
    with pytest.raises(FormatError, match=r"keep the image as images/0\.jpg"):
        list(read_masks(root))
    (root / "data.yaml").unlink()
    with pytest.raises(InputNotFound, match=r"neither data\.yaml nor classes\.txt"):
        list(read_masks(root))
