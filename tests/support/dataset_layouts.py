"""Small datasets in every supported layout, written for the tests of the readers."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.masks import rle
from masklet.masks.label_map import make_davis_palette

SIZE = (12, 16)  # H, W of all images


def make_labels(*columns: int, value: int | None = None) -> NDArray[np.uint8]:
    """Make a label map of `SIZE` with object k + 1, or `value`, in the three columns from columns[k]."""
    labels = np.zeros(SIZE, np.uint8)
    for key, column in enumerate(columns, start=1):
        labels[2:9, column : column + 3] = value or key
    return labels


def write_image(path: Path, shade: int = 90) -> Path:
    """Write an image of one gray value. Returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), shade, np.uint8)).save(path)
    return path


def write_label_map(path: Path, labels: NDArray[np.uint8], *, palette: bool = True) -> Path:
    """Write a label map as a PNG, with the palette of DAVIS or in grayscale. Returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    if palette:
        image.putpalette(make_davis_palette().tobytes())
    image.save(path)
    return path


def write_frames(folder: Path, names: Iterable[str], suffix: str = ".jpg") -> None:
    """Write an image of another gray value for each name."""
    for number, name in enumerate(names):
        write_image(folder / f"{name}{suffix}", 40 + 10 * number)


def write_label_maps(folder: Path, labels: Mapping[str, NDArray[np.uint8]]) -> None:
    """Write label maps by name."""
    for name, values in labels.items():
        write_label_map(folder / f"{name}.png", values)


def write_lines(path: Path, *names: str) -> None:
    """Write a text file of these lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(names) + "\n")


def write_json(path: Path, content: Any) -> Path:
    """Write a JSON file. Returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_davis(root: Path) -> Path:
    """Write DAVIS: two clips of four frames, `bear` in val and `fish` in train; the list of 2016 has only `bear`."""
    for name in ("bear", "fish"):
        names = [f"{frame:05d}" for frame in range(4)]
        write_frames(root / "JPEGImages/480p" / name, names)
        write_label_maps(root / "Annotations/480p" / name, {frame: make_labels(0, 6) for frame in names})
    write_lines(root / "ImageSets/2017/val.txt", "bear")
    write_lines(root / "ImageSets/2017/train.txt", "fish")
    row = "/JPEGImages/480p/bear/{0:05d}.jpg /Annotations/480p/bear/{0:05d}.png"
    write_lines(root / "ImageSets/480p/val.txt", *(row.format(frame) for frame in range(4)))
    return root


def write_mose(root: Path, split: str = "valid") -> Path:
    """Write MOSE: two clips of three frames, of which the first is annotated."""
    for name in ("0a", "1b"):
        write_frames(root / split / "JPEGImages" / name, ["00000", "00001", "00002"])
        write_label_maps(root / split / "Annotations" / name, {"00000": make_labels(0, 6)})
    return root


def write_youtube_vos(root: Path) -> Path:
    """Write YouTube-VOS: a clip in valid, with every fifth frame annotated and object 2 from the second of these, and
    the categories of train."""
    every, fifth = [f"{frame:05d}" for frame in range(11)], ["00000", "00005", "00010"]
    write_frames(root / "valid/JPEGImages/clip", fifth)
    write_frames(root / "valid_all_frames/JPEGImages/clip", every)
    write_label_maps(root / "valid/Annotations/clip", {"00000": make_labels(0), "00005": make_labels(0, 6)})
    objects = {
        "1": {"category": "cat", "frames": fifth},
        "2": {"category": "yak", "frames": fifth[1:]},
    }
    write_json(root / "valid/meta.json", {"videos": {"clip": {"objects": objects}}})
    seen = {"old": {"objects": {"1": {"category": "cat", "frames": []}}}}
    write_json(root / "train/meta.json", {"videos": seen})
    return root


def write_lvos(root: Path) -> Path:
    """Write LVOS: a clip of 16 frames in val, with every fifth frame annotated."""
    every = [f"{frame:08d}" for frame in range(1, 17)]
    write_frames(root / "val/JPEGImages/long", every)
    write_label_maps(root / "val/Annotations/long", {name: make_labels(0, 6) for name in every[::5]})
    ranges = {
        "1": {"frame_range": {"start": "00000001", "end": "00000016", "frame_nums": 4}},
        "2": {"frame_range": {"start": 6, "end": 11, "frame_nums": 2}},
    }
    write_json(root / "val/val_meta.json", {"videos": {"long": {"objects": ranges}}})
    return root


def write_sav_val(root: Path) -> Path:
    """Write SA-V val: a clip of nine frames, with every fourth annotated and overlapping objects 0 and 1."""
    write_frames(root / "JPEGImages_24fps/sav_1", [f"{frame:05d}" for frame in range(9)])
    for key, column in (("000", 0), ("001", 2)):
        for name in ("00000", "00004", "00008"):
            write_label_map(root / "Annotations_6fps/sav_1" / key / f"{name}.png", make_labels(column, value=1))
    write_lines(root / "sav_val.txt", "sav_1")
    return root


def write_sav_train(root: Path, *, rows: int = 3, **changes: Any) -> Path:
    """Write SA-V train: a video as a folder of frames. Object 5 is visible, hidden and visible again; object 7 is
    hidden, not annotated and visible."""
    visible, hidden = (rle.encode(mask) for mask in (make_labels(0) == 1, np.zeros(SIZE, bool)))
    masklet = [[visible, hidden], [hidden, None], [visible, visible]][:rows]
    content = {
        "video_id": "sav_000007",
        "video_height": float(SIZE[0]),
        "video_width": float(SIZE[1]),
        "video_frame_count": 9.0,
        "masklet_id": [5, 7],
        "masklet": masklet,
        **changes,
    }
    write_frames(root / "sav_000007", [f"{frame:05d}" for frame in range(0, 9, 4)])
    return write_json(root / "sav_000007_manual.json", content)


def write_coco(root: Path) -> Path:
    """Write COCO: an image with a polygon and an uncompressed RLE, and an image without objects."""
    write_image(root / "images/a.jpg")
    write_image(root / "images/b.jpg")
    counts = [0, 12 * 3, 12 * 13]  # the three columns on the left
    entries = [
        {"id": 31, "image_id": 1, "category_id": 3, "segmentation": [[4.0, 2.0, 9.0, 2.0, 9.0, 8.0, 4.0, 8.0]]},
        {"id": 32, "image_id": 1, "category_id": 4, "segmentation": {"size": list(SIZE), "counts": counts}},
    ]
    images = [
        {"id": k, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]} for k, name in ((1, "a"), (2, "b"))
    ]
    categories = [{"id": 3, "name": "cat"}, {"id": 4, "name": "yak"}]
    return write_json(root / "instances.json", {"images": images, "annotations": entries, "categories": categories})


def write_large_object(root: Path) -> Path:
    """Write a folder of one image with a mask of one object, 1200 pixels of it: larger than COCO's limit of small."""
    labels = np.zeros((50, 60), np.uint8)
    labels[5:45, 10:40] = 1
    (root / "images").mkdir(parents=True)
    Image.fromarray(labels[..., None].repeat(3, -1) * 200).save(root / "images/a.png")
    write_label_map(root / "masks/a.png", labels)
    return root


def make_sa1b_json(number: int) -> dict[str, Any]:
    """Make the annotations of an SA-1B image with two objects."""
    rles = [rle.encode(make_labels(column) == 1) for column in (0, 5)]
    return {
        "image": {"image_id": number, "file_name": f"sa_{number}.jpg", "height": SIZE[0], "width": SIZE[1]},
        "annotations": [{"id": 900 + k, "segmentation": code} for k, code in enumerate(rles)],
    }


def write_sa1b(root: Path) -> Path:
    """Write SA-1B: a folder with two annotated images and one without annotations, and a tar archive with one more."""
    for number in (2, 10):
        write_image(root / f"sa_000000/sa_{number}.jpg")
        write_json(root / f"sa_000000/sa_{number}.json", make_sa1b_json(number))
    write_image(root / "sa_000000/sa_11.jpg")
    source = write_image(root / "elsewhere/sa_7.jpg", 200)
    with tarfile.open(root / "sa_000001.tar", "w") as archive:
        archive.add(source, "./sa_7.jpg")
        text = json.dumps(make_sa1b_json(7)).encode()
        entry = tarfile.TarInfo("./sa_7.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return root


def write_labelme(path: Path, *shapes: Mapping[str, Any]) -> Path:
    """Write a LabelMe file. Returns `path`."""
    return write_json(
        path, {"imageHeight": SIZE[0], "imageWidth": SIZE[1], "imagePath": "x.jpg", "shapes": list(shapes)}
    )


def encode_png(mask: NDArray[np.bool_]) -> str:
    """Encode a mask as a PNG in base64, as LabelMe does."""
    buffer = io.BytesIO()
    Image.fromarray(mask.view(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
