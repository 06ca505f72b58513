"""Transfer: exported masks are read back equal, in every format, of videos and of images."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import FormatError, InputNotFound, MaskletWarning, ResourceError, SettingsError
from masklet.formats import FORMATS, read_masks
from masklet.formats.effect_video import EFFECT_VIDEOS
from masklet.formats.image_dataset import group_by_label
from masklet.masks.tracked_frame import TrackedFrame
from masklet.project import annotation_import
from masklet.project.cells import Cell
from masklet.project.entries import ObjectClass, ProjectObject, class_key, media_key, object_key
from masklet.project.image_names import ImageFinder, name_images
from masklet.project.media import add_media
from masklet.project.project import Project
from masklet.project.transfer import export_project, import_annotations
from support.clips import read_number, write_clip
from support.projects import add_video, set_cells

# The video of the fixture `video` has no file.
pytestmark = pytest.mark.filterwarnings("ignore:.*clip.mp4 does not exist:masklet.errors.MaskletWarning")

EXACT = ("coco", "png", "sav", "ytvis", "mots", "npz")
POLYGONS = ("yolo", "labelme", "cvat")
IMAGE_SIZES = {"cat.jpg": (30, 40), "dog.png": (20, 50), "empty.png": (16, 16)}


def set_object(project: Project, medium: int, object_id: int, label: str | None) -> None:
    classes = {value.name: number for number, value in project.document.classes().items()}
    entries: dict[str, Any] = {}
    if label and label not in classes:
        classes[label] = project.document.new_class()
        entries[class_key(classes[label])] = ObjectClass(label, "#123456").to_json()
    value = ProjectObject("", classes[label] if label else None, "#aabbcc")
    project.act("x", {**entries, object_key(medium, object_id): value.to_json()})


def masks_of(project: Project, medium: int) -> dict[tuple[int, int], NDArray[np.bool_]]:
    """The visible masks of a medium by object and frame."""
    return {
        (object_id, frame): project.masks(medium).read(cell.mask)
        for object_id in project.document.objects_of(medium)
        for frame, cell in project.document.cells.cells_of(medium, object_id)
        if cell.visible and cell.mask is not None
    }


def labels_of(project: Project, medium: int) -> dict[int, str | None]:
    return {key: project.document.label_of(medium, key) for key in project.document.objects_of(medium)}


def same(a: dict[Any, NDArray[np.bool_]], b: dict[Any, NDArray[np.bool_]], least_iou: float = 1.0) -> bool:
    return a.keys() == b.keys() and all((a[key] & b[key]).sum() >= least_iou * (a[key] | b[key]).sum() for key in a)


@pytest.fixture
def video(project: Project) -> Project:
    """A project with a video of 8 frames without a file, and two objects; the first has a class."""
    add_video(project, 8, objects=2, path="../clip.mp4")
    set_cells(project, 1, {1: "..pthT", 2: "..xtp."})
    set_object(project, 1, 1, "dog")
    return project


@pytest.fixture
def images(project: Project, tmp_path: Path) -> Project:
    """A project with three images; object 1 of the two that have objects has different labels."""
    for name, (height, width) in IMAGE_SIZES.items():
        Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(tmp_path / name)
    add_media(project, [tmp_path / name for name in IMAGE_SIZES])
    for medium, labels in ((1, ["cat", None]), (2, ["dog", "cat"])):
        for object_id, label in enumerate(labels, start=1):
            height, width = project.document.medium(medium).size
            mask = np.zeros((height, width), bool)
            mask[3 : height // 2, 3 + 18 * (object_id - 1) : 16 * object_id] = True
            mask &= ~np.eye(height, width, dtype=bool) if object_id == 1 else True
            number = project.masks(medium).add(mask)
            project.act("x", cells={(medium, object_id, 0): Cell(number, 0.9, "prompt")})
            set_object(project, medium, object_id, label)
    return project


@pytest.mark.parametrize("name", [*EXACT, *POLYGONS])
def test_a_video_is_read_back_equal(video: Project, tmp_path: Path, name: str) -> None:
    (path,) = export_project(video, tmp_path / "out", [name])
    assert path == FORMATS[name].path_in(tmp_path / "out" / "clip")
    frames = [frame.index for frame in read_masks(path)]
    assert frames == [2, 3, 4, 5]
    with Project.open(tmp_path / "other") as other:
        add_video(other, 8, objects=0)
        objects = import_annotations(other, 1, path).objects[1]
        labels = labels_of(other, 1)
        numbers = {key: 1 if labels[key] == "dog" else 2 for key in objects}
        if name == "mots":  # names no other classes, and writes class × 1000 + object
            numbers = {key: key % 1000 for key in objects}
        found = {(numbers[key], frame): mask for (key, frame), mask in masks_of(other, 1).items()}
        assert same(found, masks_of(video, 1), 1.0 if name in EXACT else 0.9)
        assert name in ("mots", "yolo") or objects == (1, 2)
        cells = [cell for key in objects for _, cell in other.document.cells.cells_of(1, key)]
        assert {cell.source for cell in cells} == {"import"} and other.undo_label == "import_annotations"


@pytest.mark.parametrize("name", ["coco", "cvat", "png", "labelme", "yolo"])
def test_images_are_one_set_and_are_read_back_equal(images: Project, tmp_path: Path, name: str) -> None:
    (path,) = export_project(images, tmp_path / "out", [name])
    assert path == FORMATS[name].path_in(tmp_path / "out" / "images")

    def by_label(project: Project, medium: int) -> dict[Any, NDArray[np.bool_]]:
        labels = labels_of(project, medium)
        return {labels[key]: mask for (key, _), mask in masks_of(project, medium).items()}

    with Project.open(tmp_path / "project2") as other:
        add_media(other, [tmp_path / file for file in reversed(IMAGE_SIZES)])  # other numbers
        assert sorted(import_annotations(other, 1, path).objects) == [2, 3]
        for medium, number in ((1, 3), (2, 2)):
            least_iou = 0.85 if name in ("labelme", "yolo") else 1.0
            assert same(by_label(other, number), by_label(images, medium), least_iou)


def test_names_and_ids_of_exported_images(images: Project, tmp_path: Path) -> None:
    images.act("x", {media_key(3): {**images.document.medium(3).to_json(), "checked": True}})
    coco, yolo, png = export_project(images, tmp_path / "out", ["coco", "yolo", "png"])
    record = json.loads(coco.read_text())
    assert [(row["file_name"], row["height"], row["width"]) for row in record["images"]] == [
        (f"images/{name}", *size) for name, size in IMAGE_SIZES.items()
    ]
    categories = {row["id"]: row["name"] for row in record["categories"]}
    found = [(row["image_id"], row["track_id"], categories[row["category_id"]]) for row in record["annotations"]]
    assert found == [(1, 1, "cat"), (1, 2, "object"), (2, 3, "dog"), (2, 4, "cat")]
    assert {path.name for path in (yolo / "images").iterdir()} == {*IMAGE_SIZES}
    assert {path.name for path in png.iterdir()} == {"cat.png", "dog.png", "empty.png"}


@pytest.mark.parametrize("mode", [None, "link", "png", "none"])
def test_exports_have_the_images_of_a_set(images: Project, tmp_path: Path, mode: Any) -> None:
    coco, cvat, labelme, yolo, ytvis = export_project(
        images, tmp_path / "out", ["coco", "cvat", "labelme", "yolo", "ytvis"], frames=mode
    )[:5]
    names = ["cat.png" if mode == "png" else "cat.jpg", "dog.png"]
    paths = [place / name for place in (coco.parent / "images", labelme, yolo / "images") for name in names]
    paths.append(ytvis.parent / "frames" / names[0])
    assert cvat.parent == coco.parent and all(path.is_file() == (mode != "none") for path in paths)
    if mode != "none":
        assert paths[0].samefile(tmp_path / "cat.jpg") == (mode == "link")
        assert [row["file_name"] for row in json.loads(coco.read_text())["images"]] == [
            f"images/{name}" for name in names
        ]
    assert len([*tmp_path.rglob("out/**/*.[jp][pn]g")]) == (0 if mode == "none" else 2 * 3 + 2)


def test_exports_of_a_video_have_the_frames_with_masks(project: Project, tmp_path: Path) -> None:
    add_media(project, [write_clip(tmp_path / "clip.mp4", 6)])
    set_object(project, 1, 1, None)
    for frame in (1, 4):
        mask = np.zeros((48, 128), bool)
        mask[4:20, 9:40] = True
        project.act("x", cells={(1, 1, frame): Cell(project.masks(1).add(mask), 1.0, "edit")})
    done: list[tuple[int, int]] = []
    formats = ["coco", "cvat", "labelme", "yolo", "ytvis", "png"]
    export_project(project, tmp_path / "out", formats, progress=lambda *pair: done.append(pair))
    names = {path.relative_to(tmp_path / "out/clip").as_posix() for path in tmp_path.rglob("out/clip/**/*.*")}
    images = [f"{place}/0000{frame}.jpg" for place in ("frames", "labelme", "yolo/images") for frame in (1, 4)]
    images += [f"images/frame_00000{frame}.png" for frame in (1, 4)]
    assert {name for name in names if name.endswith((".jpg", ".png")) and "png/" not in name} == {*images}
    for name in images:
        assert read_number(np.asarray(Image.open(tmp_path / "out/clip" / name))) == int(name[-5])
    assert done[-1] == (22, 22) and done == sorted(done)


def test_an_export_without_its_files_has_no_images_and_says_so(video: Project, tmp_path: Path) -> None:
    with pytest.warns(MaskletWarning, match="clip.mp4 does not exist; annotations are exported without images"):
        export_project(video, tmp_path / "out", ["labelme"], media=[1])
    assert {path.suffix for path in (tmp_path / "out/clip/labelme").iterdir()} == {".json"}
    with pytest.raises(InputNotFound, match=r"clip\.mp4 does not exist"):
        export_project(video, tmp_path / "2", ["labelme"], media=[1], frames="jpg")
    export_project(video, tmp_path / "3", ["labelme"], media=[1], frames="none")
    with pytest.raises(SettingsError, match="frames are one of"):
        export_project(video, tmp_path / "4", ["labelme"], frames="gif")  # type: ignore[arg-type]
    assert not (tmp_path / "2").exists()


def test_images_in_formats_for_one_video_have_folders_of_their_own(images: Project, tmp_path: Path) -> None:
    paths = export_project(images, tmp_path / "out", ["npz"])
    assert [path.parent.name for path in paths] == ["cat", "dog"]
    masks = next(read_masks(paths[1])).masks
    assert np.array_equal(masks.binary[0], masks_of(images, 2)[1, 0]) and masks.labels == ("dog", "cat")


def test_formats_that_show_images_draw_each_image(images: Project, tmp_path: Path) -> None:
    names = ["overlay", "cutout", *(form.name for form in EFFECT_VIDEOS)]
    folders = export_project(images, tmp_path / "out", names, media=[1])
    for folder, name in zip(folders, names, strict=True):
        (file,) = folder.iterdir()
        assert file.name == ("cat.png" if name == "cutout" else "cat.jpg")
        with Image.open(file) as image:
            assert image.size == (40, 30)


def test_a_video_with_its_file_is_exported_with_its_times_and_drawn_in_full(project: Project, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 6)
    add_media(project, [clip])
    set_object(project, 1, 1, None)
    mask = np.zeros((48, 128), bool)
    mask[4:20, 9:40] = True
    project.act("x", cells={(1, 1, 3): Cell(project.masks(1).add(mask), 1.0, "edit")})
    done: list[tuple[int, int]] = []
    coco, overlay = export_project(
        project, tmp_path / "out", ["coco", "overlay"], progress=lambda *pair: done.append(pair)
    )
    (frame,) = read_masks(coco)
    assert (frame.index, frame.time) == (3, pytest.approx(0.3))
    with av.open(str(overlay)) as drawn:
        assert sum(1 for _ in drawn.decode(video=0)) == 6
    assert done[-1] == (3, 3) and done == sorted(done)


def test_an_export_that_fails_leaves_nothing(video: Project, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound):
        export_project(video, tmp_path / "out", ["coco", "overlay"])

    def cancel(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        export_project(video, tmp_path / "out", ["coco"], progress=cancel)
    assert not [path for path in tmp_path.iterdir() if path.name != "project"]
    (tmp_path / "out").mkdir()
    with pytest.raises(ResourceError):
        export_project(video, tmp_path / "out", ["coco"])
    with pytest.raises(SettingsError, match="unknown format"):
        export_project(video, tmp_path / "new", ["cocoa"])
    add_video(video, 3)
    with pytest.raises(SettingsError, match="nothing to export"):
        export_project(video, tmp_path / "new", ["coco"], media=[2])


def test_imported_objects_are_new_ones(video: Project, tmp_path: Path) -> None:
    (path,) = export_project(video, tmp_path / "out", ["coco"])
    before = masks_of(video, 1)
    assert import_annotations(video, 1, path).objects == {1: (3, 4)}
    after = masks_of(video, 1)
    assert same({key: after[key] for key in before}, before) and len(after) == 2 * len(before)
    assert len(video.document.classes()) == 1 and video.document.label_of(1, 3) == "dog"
    video.undo()
    assert same(masks_of(video, 1), before)


def test_objects_that_are_added_during_an_import_stay(
    video: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = export_project(video, tmp_path / "out", ["coco"])

    def read(source: Path) -> Iterator[TrackedFrame]:
        yield from read_masks(source)
        set_object(video, 1, 3, "bird")

    monkeypatch.setattr(annotation_import, "read_masks", read)
    assert import_annotations(video, 1, path).objects == {1: (4, 5)}
    assert video.document.label_of(1, 3) == "bird" and not len(video.document.cells.frames_of(1, 3))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda record: record["images"][0].update(frame_index=8), "frames 0 to 7"),
        (lambda record: [row.update(height=30) for row in record["images"]], "size"),
        (lambda record: record.update(annotations=[]), "has no masks"),
    ],
)
def test_annotations_that_do_not_fit_are_refused(
    video: Project, tmp_path: Path, edit: Callable[[Any], object], message: str
) -> None:
    (path,) = export_project(video, tmp_path / "out", ["coco"])
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
    seq = video.seq
    with pytest.raises(FormatError, match=message):
        import_annotations(video, 1, path)
    assert video.seq == seq


def test_a_file_of_one_image_is_read_into_the_chosen_one(images: Project, tmp_path: Path) -> None:
    label_map = np.zeros(IMAGE_SIZES["dog.png"], np.uint8)
    label_map[3:9, 3:9] = 5
    Image.fromarray(label_map).save(tmp_path / "cat_mask.png")
    assert import_annotations(images, 2, tmp_path / "cat_mask.png").objects == {2: (5,)}
    with pytest.raises(FormatError, match="size"):
        import_annotations(images, 1, tmp_path / "cat_mask.png")


def test_names_of_images_are_unique(project: Project) -> None:
    paths = ["../a/1.jpg", "../b/1.jpg", "../b/2.jpg", "../b/2.png", "../c/b_1.png"]
    entries = {media_key(k): {"path": path, "kind": "image", "size": [4, 4]} for k, path in enumerate(paths, start=1)}
    project.act("add_media", entries)
    names = name_images(project.document)
    assert [*names.values()] == ["a_1.jpg", "b_1.jpg", "b_2.jpg", "b_2_2.png", "b_1_2.png"]
    finder = ImageFinder(project.document)
    assert [finder.find(name) for name in names.values()] == [1, 2, 3, 4, 5]
    assert [finder.find(name) for name in ("b/1.jpg", "a/1", "1.jpg", "x.jpg")] == [2, 1, None, None]


def test_objects_with_two_labels_get_two_numbers() -> None:
    labels = {(1, 1): "cat", (1, 2): None, (2, 1): "dog", (2, 2): None, (3, 1): "cat", (4, 1): "dog", (4, 2): "cat"}
    assert [*group_by_label(labels).values()] == [1, 2, 3, 2, 1, 3, 4]
