"""Exports are complete: the readers of other programs open them, with the images of the frames and equal masks."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import ImageError, InputNotFound, SettingsError, VideoError
from masklet.formats import FORMATS, Clip, Output, read_masks, save_masks
from masklet.formats.cvat_images import CVAT_IMAGES
from masklet.formats.frame_images import ImageWriter
from masklet.formats.image_layout import FRAME_MODES, FrameImages, ImageLayout
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.video import VideoOptions, open_video
from support.clips import make_numbered_image, read_number, write_clip

SIZE = (48, 128)
COUNT = 4
WITH_IMAGES = ("labelme", "yolo", "coco", "ytvis", "cvat")
NAMES = ("a9.jpg", "a10.png", "a11.webp", "a12.tif")
LABELS = {2: "ring", 7: "two discs"}


def disc(y: float, x: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def make_frames(indices: Sequence[int] = range(COUNT)) -> list[TrackedFrame]:
    """A ring that moves, and a pair of discs that is hidden on frame 1."""
    frames = []
    for index in indices:
        ring = disc(24, 24 + 5 * index, 20) & ~disc(24, 24 + 5 * index, 9)
        pair = (disc(34, 105, 12) | disc(8, 105, 6)) & (index != 1)
        masks = Masks.from_binary(np.stack([ring, pair]), object_ids=[*LABELS], labels=[*LABELS.values()])
        frames.append(TrackedFrame(index, index / 10, masks))
    return frames


def visible(index: int) -> dict[int, NDArray[np.bool_]]:
    """The masks of a frame that are not empty, by object."""
    (frame,) = make_frames([index])
    return {key: mask for key, mask in zip(LABELS, frame.masks.binary, strict=True) if mask.any()}


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video whose frames show their numbers."""
    return write_clip(tmp_path_factory.mktemp("source") / "clip.mp4", COUNT, size=SIZE)


@pytest.fixture(scope="module")
def decoded(source: Path) -> list[NDArray[np.uint8]]:
    """The images of the video."""
    with open_video(source) as video:
        return [frame.image for frame in video]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the same frames with names of their own."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for index, name in enumerate(NAMES):
        Image.fromarray(make_numbered_image(index, SIZE)).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def exported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`exported("jpg")` is a folder with the video in every format that has images."""
    folders: dict[str, Path] = {}

    def get(images: str) -> Path:
        if images not in folders:
            folders[images] = tmp_path_factory.mktemp(images)
            export(source, folders[images], WITH_IMAGES, images)
        return folders[images]

    return get


def export(source: Path, out: Path, names: Sequence[str], images: Any = None) -> dict[str, Path]:
    with open_video(source) as video:
        paths = save_masks(make_frames(), out, names, video=video, path=source, images=images)
    return dict(zip(names, paths, strict=True))


def list_image_files(name: str, path: Path) -> list[Path]:
    """The image of each frame, as the tool of a format finds it from the annotations."""
    if name == "labelme":
        return [path / json.loads(file.read_text())["imagePath"] for file in sorted(path.glob("*.json"))]
    if name == "yolo":  # a label file belongs to the image of the same name in `images`
        stems = [file.stem for file in sorted((path / "labels").iterdir())]
        return [next(file for file in (path / "images").iterdir() if file.stem == stem) for stem in stems]
    if name == "cvat":
        return [path.parent / "images" / f"frame_{index:06d}.png" for index in range(COUNT)]
    content = json.loads(path.read_text())
    files = content["videos"][0]["file_names"] if name == "ytvis" else [row["file_name"] for row in content["images"]]
    return [path.parent / file for file in files]


@pytest.mark.parametrize("images", ["copy", "jpg", "png"])
@pytest.mark.parametrize("name", WITH_IMAGES)
def test_every_frame_of_a_video_is_beside_the_annotations(
    name: str, images: str, exported: Callable[[str], Path], decoded: list[NDArray[np.uint8]]
) -> None:
    path = FORMATS[name].path_in(exported(images))
    files = list_image_files(name, path)
    assert len(files) == COUNT
    suffix = ".png" if images == "png" or name == "cvat" else ".jpg"
    for index, file in enumerate(files):
        assert file.suffix == suffix
        shown = np.asarray(Image.open(file))
        assert read_number(shown) == index
        assert abs(shown - decoded[index].astype(int)).max() <= (0 if suffix == ".png" else 60)
    assert len({file.parent for file in files}) == 1 and {*files} == {*files[0].parent.glob("*[0-9].*g")}
    found = [*read_masks(path)]
    assert [len(frame.masks.areas.nonzero()[0]) for frame in found] == [2, 1, 2, 2]


@pytest.mark.parametrize("name", [name for name in WITH_IMAGES if name != "cvat"])
def test_image_files_are_copied_or_linked_with_their_names(name: str, folder: Path, tmp_path: Path) -> None:
    for images in ("copy", "link"):
        files = list_image_files(name, export(folder, tmp_path / images, [name], images)[name])
        wanted = sorted(folder.iterdir())
        assert sorted(file.read_bytes() for file in files) == sorted(file.read_bytes() for file in wanted)
        assert {file.suffix for file in files} == {".jpg", ".png", ".webp", ".tif"}
        same = {file.stat().st_ino for file in files} == {file.stat().st_ino for file in wanted}
        assert same == (images == "link")


def test_without_hard_links_files_are_copied(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", fail)
    files = list_image_files("yolo", export(folder, tmp_path / "out", ["yolo"], "link")["yolo"])
    assert sorted(map(Path.read_bytes, files)) == sorted(map(Path.read_bytes, folder.iterdir()))
    assert not [*tmp_path.rglob("*.part")]


def test_images_that_are_exported_again_stay_as_they_are(folder: Path, tmp_path: Path) -> None:
    for images in ("link", "link", "copy"):  # onto links to the same files, which a rename would leave
        export(folder, tmp_path / "out", ["labelme", "coco", "ytvis"], images)
    assert not [*tmp_path.rglob("*.part")]
    assert [file.read_bytes() for file in sorted((tmp_path / "out/frames").iterdir())] == [
        file.read_bytes() for file in sorted(folder.iterdir())
    ]


def test_an_export_over_its_own_source_changes_no_image(folder: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folder, tmp_path / "out/labelme")
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    export(place, tmp_path / "out", ["labelme"], "copy")
    assert {file.name: file.read_bytes() for file in place.iterdir() if file.suffix != ".json"} == before
    assert len([*place.iterdir()]) == 2 * COUNT


@pytest.mark.parametrize("images", ["jpg", "png"])
def test_image_files_are_encoded_on_request(images: str, folder: Path, tmp_path: Path) -> None:
    files = list_image_files("labelme", export(folder, tmp_path / "out", ["labelme"], images)["labelme"])
    assert {file.name for file in files} == {f"a{number}.{images}" for number in range(9, 13)}
    assert {Image.open(file).format for file in files} == {"JPEG" if images == "jpg" else "PNG"}
    is_equal = (tmp_path / "out/labelme/a9.jpg").is_file() and (
        (tmp_path / "out/labelme/a9.jpg").read_bytes() == (folder / "a9.jpg").read_bytes()
    )
    assert is_equal == (images == "jpg"), "a JPEG file is not encoded again"


def test_rotated_photographs_are_turned_when_they_are_encoded(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # the camera was held upright
    stored = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    stored[:20] = 200
    (tmp_path / "in").mkdir()
    Image.fromarray(stored).save(tmp_path / "in/1.jpg", exif=exif, quality=95)
    shown = open_video(tmp_path / "in")[0]
    assert shown.shape[:2] == SIZE
    for images in ("copy", "jpg"):
        with open_video(tmp_path / "in") as video:
            out = tmp_path / images
            save_masks(make_frames([0]), out, ["coco"], video=video, path=tmp_path / "in", images=images)  # type: ignore[arg-type]
        with Image.open(out / "frames/1.jpg") as image:
            orientation, size = image.getexif().get(274, 1), image.size
        assert (orientation, size) == ((6, SIZE) if images == "copy" else (1, SIZE[::-1]))


def test_images_of_another_size_or_broken_ones_are_encoded_as_they_were_tracked(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 24), (9, 9, 9)).save(folder / "a10.png")
    (folder / "a11.webp").write_bytes((folder / "a11.webp").read_bytes()[:60])
    frames = make_frames()
    frames[2] = TrackedFrame(2, None, frames[2].masks, corrupt=True)
    with open_video(folder, VideoOptions(rescale=True)) as video, pytest.warns(match="corrupt"):
        save_masks(frames, tmp_path / "out", ["labelme"], video=video, path=folder, images="link")
    sizes = {
        file.name: Image.open(file).size for file in (tmp_path / "out/labelme").glob("*[!n]") if file.suffix != ".json"
    }
    assert sizes == dict.fromkeys(NAMES, SIZE[::-1])
    assert Image.open(tmp_path / "out/labelme/a11.webp").format == "WEBP"


def test_by_default_labelme_and_yolo_have_images_and_the_others_have_none(source: Path, tmp_path: Path) -> None:
    export(source, tmp_path, WITH_IMAGES)
    images = sorted(file.relative_to(tmp_path).parent.as_posix() for file in tmp_path.rglob("*.jpg"))
    assert images == ["labelme"] * COUNT + ["yolo/images"] * COUNT
    assert json.loads((tmp_path / "coco.json").read_text())["images"][0]["file_name"] == "clip/00000.jpg"


def test_none_writes_annotations_alone(source: Path, folder: Path, tmp_path: Path) -> None:
    for one in (source, folder):
        export(one, tmp_path / "out" / one.name, WITH_IMAGES, "none")
    assert {file.suffix for file in (tmp_path / "out").glob("*/**/*.*")} == {".json", ".txt", ".yaml", ".xml"}
    images = json.loads((tmp_path / "out/shots/coco.json").read_text())["images"]
    assert {image["file_name"] for image in images} == {*NAMES}


def test_masks_alone_have_no_images_unless_they_are_requested(tmp_path: Path) -> None:
    save_masks(make_frames(), tmp_path, ["labelme", "coco"])
    assert not [*tmp_path.rglob("*.jpg")]
    with pytest.raises(SettingsError, match="pass the video"):
        save_masks(make_frames(), tmp_path, ["coco"], images="jpg")
    with pytest.raises(SettingsError, match=f"one of {', '.join(FRAME_MODES)}, got 'gif'"):
        save_masks(make_frames(), tmp_path, ["coco"], images="gif")  # type: ignore[arg-type]


def test_images_are_decoded_once_for_all_formats(source: Path, tmp_path: Path) -> None:
    with open_video(source) as video:
        decoded: list[int] = []

        class Counted:
            def frames(self, indices: range) -> Any:
                for frame in video.frames(indices):
                    decoded.append(frame.index)
                    yield frame

        clip = Clip("clip", SIZE, (2, 7), Counted(), source)  # type: ignore[arg-type]
        output = Output(tmp_path, clip, "jpg")
        frames = [encode_frame(frame) for frame in make_frames()]
        for name in ("labelme", "yolo", "coco", "ytvis"):
            output.write_images(FORMATS[name], frames)
    assert decoded == [*range(COUNT)]
    assert len([*tmp_path.rglob("*.jpg")]) == 3 * COUNT


def test_distant_frames_are_decoded_without_those_between(tmp_path: Path) -> None:
    class Long:
        def frames(self, indices: range) -> Any:
            requested.append(indices)
            return iter([TrackedImage(index) for index in indices])

    class TrackedImage:
        def __init__(self, index: int) -> None:
            self.index, self.image = index, np.zeros((*SIZE, 3), np.uint8)

    requested: list[range] = []
    images = FrameImages(ImageLayout("frames"), "jpg")
    clip = Clip("long", SIZE, (), Long(), images=images)  # type: ignore[arg-type]
    frames = [encode_frame(TrackedFrame(index, None, Masks.empty(SIZE))) for index in (0, 5, 90_000)]
    ImageWriter().write(tmp_path, clip, frames)
    assert requested == [range(6), range(90_000, 90_001)]
    assert sorted(file.name for file in (tmp_path / "frames").iterdir()) == ["00000.jpg", "00005.jpg", "90000.jpg"]


def test_a_frame_that_the_video_no_longer_has_is_an_error(source: Path, tmp_path: Path) -> None:
    with open_video(source) as video, pytest.raises(VideoError, match="frame 9 cannot be decoded"):
        save_masks(make_frames([3, 9]), tmp_path, ["coco"], video=cut(video), path=source, images="jpg")


def cut(video: Any) -> Any:
    """A video that ends before its last frame."""

    class Cut:
        def frames(self, indices: range) -> Any:
            return video.frames(range(indices.start, min(indices.stop, COUNT)))

    return Cut()


def write_set(out: Path, files: Sequence[Path], name: str, images: Any = "copy") -> Path:
    form = CVAT_IMAGES if name == "cvat" else FORMATS[name]
    clip = Clip("set", SIZE, (2, 7), names=[file.name for file in files], labels=LABELS, files=files)
    frames = [encode_frame(frame) for frame in make_frames(range(len(files)))]
    output = Output(out, clip, images)
    output.write_images(form, frames)
    output.write(form, frames)
    return output.path_of(form)


def test_an_image_of_a_set_that_is_missing_broken_or_changed_is_an_error(folder: Path, tmp_path: Path) -> None:
    files = sorted(folder.iterdir())
    with pytest.raises(InputNotFound):
        write_set(tmp_path / "1", [tmp_path / "missing.jpg"], "yolo")
    Image.new("RGB", (64, 24)).save(files[0])
    with pytest.raises(VideoError, match=re.escape("(24, 64)")):
        write_set(tmp_path / "2", files, "yolo")
    files[0].write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    with pytest.raises(ImageError):
        write_set(tmp_path / "3", files, "yolo")


# ---- YOLO: the layout that Ultralytics documents


def test_the_folders_of_data_yaml_exist_beside_it(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(source, tmp_path / "out", ["yolo"])["yolo"]
    monkeypatch.chdir(tmp_path)  # `path: .` would mean this folder
    values = dict(
        line.split(": ") for line in (path / "data.yaml").read_text().splitlines() if re.match(r"\w+: ", line)
    )
    assert {"train", "val"} == values.keys()
    for folder in values.values():
        images = sorted((path / folder).iterdir())
        assert len(images) == COUNT
        labels = [Path(re.sub(r"/images/(?=[^/]*$)", "/labels/", str(image))).with_suffix(".txt") for image in images]
        assert all(label.is_file() for label in labels), "labels are where `images` is replaced by `labels`"


# ---- readers of other programs


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_opens_coco_with_equal_masks(exported: Callable[[str], Path]) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    path = exported("jpg") / "coco.json"
    data = coco.COCO(str(path))
    assert [row["name"] for row in data.loadCats(data.getCatIds())] == [*LABELS.values()]
    for image in data.loadImgs(data.getImgIds()):
        with Image.open(path.parent / image["file_name"]) as file:
            assert file.size == (image["width"], image["height"]) == SIZE[::-1]
        rows = data.loadAnns(data.getAnnIds(imgIds=[image["id"]]))
        found = {row["track_id"]: data.annToMask(row).astype(bool) for row in rows}
        wanted = visible(image["frame_index"])
        assert found.keys() == wanted.keys() and all((found[key] == wanted[key]).all() for key in wanted)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_youtube_vis_is_as_documented_with_equal_masks(exported: Callable[[str], Path]) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    path = exported("jpg") / "ytvis.json"
    data = json.loads(path.read_text())
    (video,) = data["videos"]
    assert (video["height"], video["width"], video["length"]) == (*SIZE, COUNT)
    assert all((path.parent / name).is_file() for name in video["file_names"])
    for row in data["annotations"]:
        assert len(row["segmentations"]) == len(row["bboxes"]) == len(row["areas"]) == COUNT
        for index, (code, area) in enumerate(zip(row["segmentations"], row["areas"], strict=True)):
            wanted = visible(index).get(row["id"])
            assert (code is None) == (wanted is None)
            if wanted is not None:
                assert (coco.decode(code).astype(bool) == wanted).all() and area == wanted.sum()


def test_labelme_opens_every_file_with_its_image(exported: Callable[[str], Path]) -> None:
    label_file = pytest.importorskip("labelme._label_file", exc_type=ImportError)
    utils = pytest.importorskip("labelme.utils")
    path = exported("jpg") / "labelme"
    files = sorted(path.glob("*.json"))
    assert len(files) == COUNT
    for index, name in enumerate(files):
        opened = label_file.LabelFile(str(name))
        shown = np.asarray(utils.img_data_to_pil(opened.image_data))
        assert read_number(shown) == index
        found: dict[int, Any] = {}
        for shape in opened.shapes:
            mask = utils.shape_to_mask(SIZE, shape["points"], shape["shape_type"])
            found[shape["group_id"]] = found.get(shape["group_id"], False) | mask
            assert shape["label"] == LABELS[shape["group_id"]]
        wanted = visible(index)
        # LabelMe draws the outline too, which makes its masks half a pixel larger.
        assert found.keys() == wanted.keys() and all(iou(found[key], wanted[key]) > 0.85 for key in wanted)


def test_supervision_opens_yolo_with_its_images(exported: Callable[[str], Path]) -> None:
    supervision = pytest.importorskip("supervision")
    path = exported("jpg") / "yolo"
    data = supervision.DetectionDataset.from_yolo(str(path / "images"), str(path / "labels"), str(path / "data.yaml"))
    assert data.classes == [*LABELS.values()] and len(data) == COUNT
    for name, image, found in data:
        wanted = visible(int(Path(name).stem))
        assert image.shape == (*SIZE, 3) and [data.classes[k] for k in found.class_id] == [LABELS[k] for k in wanted]
        # OpenCV draws the outline too, and the lines that join holes and pieces.
        assert all(iou(mask, one) > 0.8 for mask, one in zip(found.mask, wanted.values(), strict=True))


def test_supervision_opens_coco_with_its_images(exported: Callable[[str], Path]) -> None:
    supervision = pytest.importorskip("supervision")
    path = exported("jpg") / "coco.json"
    data = supervision.DetectionDataset.from_coco(str(path.parent), str(path), force_masks=True)
    assert data.classes == [*LABELS.values()] and len(data) == COUNT
    for name, image, found in data:
        wanted = visible(int(Path(name).stem))
        assert image.shape == (*SIZE, 3) and (np.stack([*wanted.values()]) == found.mask).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_datumaro_opens_cvat_for_video_with_its_frames(
    exported: Callable[[str], Path], decoded: list[NDArray[np.uint8]]
) -> None:
    datumaro = pytest.importorskip("datumaro")
    path = exported("png") / "cvat.xml"
    data = datumaro.Dataset.import_from(str(path.parent), "cvat")
    names = [label.name for label in data.categories()[datumaro.AnnotationType.label]]
    assert sorted(names) == sorted(LABELS.values()) and len(data) == COUNT
    for item in data:
        index = item.attributes["frame"]
        assert np.array_equal(item.media.data[..., ::-1], decoded[index])
        found = {one.attributes["track_id"]: one for one in item.annotations if not one.attributes["outside"]}
        wanted = visible(index)
        assert {key: names[one.label] for key, one in found.items()} == {key: LABELS[key] for key in wanted}
        masks = {key: rasterize_by_pycocotools(one.points) for key, one in found.items()}
        assert all(iou(masks[key], wanted[key]) > 0.99 for key in wanted)


def rasterize_by_pycocotools(points: Sequence[float]) -> NDArray[np.bool_]:
    coco = pytest.importorskip("pycocotools.mask")
    return np.asarray(coco.decode(coco.merge(coco.frPyObjects([[*map(float, points)]], *SIZE))).astype(bool))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_datumaro_opens_cvat_for_images_with_equal_masks(folder: Path, tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    (folder / "a12.tif").unlink()
    path = write_set(tmp_path / "out", sorted(folder.iterdir()), "cvat")
    data = datumaro.Dataset.import_from(str(path.parent), "cvat")
    assert sorted(item.id for item in data) == ["a10", "a11", "a9"]
    for item in data:
        assert item.media.data.shape[:2] == SIZE
        wanted, found = visible(item.attributes["frame"]), {one.group: one for one in item.annotations}
        assert found.keys() == wanted.keys()
        assert all((found[key].image.astype(bool) == wanted[key]).all() for key in wanted)


@pytest.mark.parametrize("name", ["labelme", "yolo", "coco"])
def test_a_set_of_images_has_them_beside_the_annotations(name: str, folder: Path, tmp_path: Path) -> None:
    files = sorted(folder.iterdir())
    path = write_set(tmp_path / "out", files, name)
    found = list_image_files(name, path)
    assert sorted(file.name for file in found) == [file.name for file in files]
    assert sorted(map(Path.read_bytes, found)) == sorted(map(Path.read_bytes, files))
