"""Small data sets in every layout, written for the tests of their readers."""

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

SIZE = (12, 16)


def block(*columns: int, value: int | None = None) -> NDArray[np.uint8]:
    """A label map of `SIZE` with object k + 1 (or `value`) in three columns from columns[k] on."""
    labels = np.zeros(SIZE, np.uint8)
    for key, column in enumerate(columns, start=1):
        labels[2:9, column : column + 3] = value or key
    return labels


def write_image(path: Path, shade: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), shade, np.uint8)).save(path)
    return path


def label_map(path: Path, labels: NDArray[np.uint8], *, palette: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    if palette:
        image.putpalette(make_davis_palette().tobytes())
    image.save(path)
    return path


def frames(folder: Path, names: Iterable[str], suffix: str = ".jpg") -> None:
    for number, name in enumerate(names):
        write_image(folder / f"{name}{suffix}", 40 + 10 * number)


def maps(folder: Path, labels: Mapping[str, NDArray[np.uint8]]) -> None:
    for name, values in labels.items():
        label_map(folder / f"{name}.png", values)


def lines(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(names) + "\n")


def dump(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def davis(root: Path) -> Path:
    """Two clips of four frames; `bear` is in val, `fish` in train. In 2016's list, `bear` is in black and white."""
    for name in ("bear", "fish"):
        names = [f"{frame:05d}" for frame in range(4)]
        frames(root / "JPEGImages/480p" / name, names)
        maps(root / "Annotations/480p" / name, {frame: block(0, 6) for frame in names})
    lines(root / "ImageSets/2017/val.txt", "bear")
    lines(root / "ImageSets/2017/train.txt", "fish")
    row = "/JPEGImages/480p/bear/{0:05d}.jpg /Annotations/480p/bear/{0:05d}.png"
    lines(root / "ImageSets/480p/val.txt", *(row.format(frame) for frame in range(4)))
    return root


def mose(root: Path, split: str = "valid") -> Path:
    for name in ("0a", "1b"):
        frames(root / split / "JPEGImages" / name, ["00000", "00001", "00002"])
        maps(root / split / "Annotations" / name, {"00000": block(0, 6)})
    return root


def youtube_vos(root: Path) -> Path:
    """One clip of valid, every fifth frame annotated, with object 2 from the second on; and the names of training."""
    every, fifth = [f"{frame:05d}" for frame in range(11)], ["00000", "00005", "00010"]
    frames(root / "valid/JPEGImages/clip", fifth)
    frames(root / "valid_all_frames/JPEGImages/clip", every)
    maps(root / "valid/Annotations/clip", {"00000": block(0), "00005": block(0, 6)})
    objects = {
        "1": {"category": "cat", "frames": fifth},
        "2": {"category": "yak", "frames": fifth[1:]},
    }
    dump(root / "valid/meta.json", {"videos": {"clip": {"objects": objects}}})
    seen = {"old": {"objects": {"1": {"category": "cat", "frames": []}}}}
    dump(root / "train/meta.json", {"videos": seen})
    return root


def lvos(root: Path) -> Path:
    every = [f"{frame:08d}" for frame in range(1, 17)]
    frames(root / "val/JPEGImages/long", every)
    maps(root / "val/Annotations/long", {name: block(0, 6) for name in every[::5]})
    ranges = {
        "1": {"frame_range": {"start": "00000001", "end": "00000016", "frame_nums": 4}},
        "2": {"frame_range": {"start": 6, "end": 11, "frame_nums": 2}},
    }
    dump(root / "val/val_meta.json", {"videos": {"long": {"objects": ranges}}})
    return root


def sav_val(root: Path) -> Path:
    """Nine frames, every fourth annotated; the objects 0 and 1 overlap."""
    frames(root / "JPEGImages_24fps/sav_1", [f"{frame:05d}" for frame in range(9)])
    for key, column in (("000", 0), ("001", 2)):
        for name in ("00000", "00004", "00008"):
            label_map(root / "Annotations_6fps/sav_1" / key / f"{name}.png", block(column, value=1))
    lines(root / "sav_val.txt", "sav_1")
    return root


def sav_train(root: Path, *, rows: int = 3, **changes: Any) -> Path:
    """One video as a folder of frames, with object 5 seen, gone, seen again, and 7 never looked at in row 1."""
    there, gone = (rle.encode(mask) for mask in (block(0) == 1, np.zeros(SIZE, bool)))
    masklet = [[there, gone], [gone, None], [there, there]][:rows]
    content = {
        "video_id": "sav_000007",
        "video_height": float(SIZE[0]),
        "video_width": float(SIZE[1]),
        "video_frame_count": 9.0,
        "masklet_id": [5, 7],
        "masklet": masklet,
        **changes,
    }
    frames(root / "sav_000007", [f"{frame:05d}" for frame in range(0, 9, 4)])
    return dump(root / "sav_000007_manual.json", content)


def coco(root: Path) -> Path:
    """Two pictures: a polygon and an uncompressed code, a crowd; one picture without objects."""
    write_image(root / "images/a.jpg")
    write_image(root / "images/b.jpg")
    counts = [0, 12 * 3, 12 * 13]  # the three columns on the left
    entries = [
        {"id": 31, "image_id": 1, "category_id": 3, "segmentation": [[4.0, 2.0, 9.0, 2.0, 9.0, 8.0, 4.0, 8.0]]},
        {"id": 32, "image_id": 1, "category_id": 4, "segmentation": {"size": list(SIZE), "counts": counts}},
        {
            "id": 33,
            "image_id": 1,
            "category_id": 3,
            "iscrowd": 1,
            "segmentation": {"size": list(SIZE), "counts": counts},
        },
    ]
    images = [
        {"id": k, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]} for k, name in ((1, "a"), (2, "b"))
    ]
    categories = [{"id": 3, "name": "cat"}, {"id": 4, "name": "yak"}]
    return dump(root / "instances.json", {"images": images, "annotations": entries, "categories": categories})


def sa1b_json(number: int) -> dict[str, Any]:
    codes = [rle.encode(block(column) == 1) for column in (0, 5)]
    return {
        "image": {"image_id": number, "file_name": f"sa_{number}.jpg", "height": SIZE[0], "width": SIZE[1]},
        "annotations": [{"id": 900 + k, "segmentation": code} for k, code in enumerate(codes)],
    }


def sa1b(root: Path) -> Path:
    """Two pairs in a folder, a picture without masks, and one pair in a tar."""
    for number in (2, 10):
        write_image(root / f"sa_000000/sa_{number}.jpg")
        dump(root / f"sa_000000/sa_{number}.json", sa1b_json(number))
    write_image(root / "sa_000000/sa_11.jpg")
    source = write_image(root / "elsewhere/sa_7.jpg", 200)
    with tarfile.open(root / "sa_000001.tar", "w") as archive:
        archive.add(source, "./sa_7.jpg")
        text = json.dumps(sa1b_json(7)).encode()
        entry = tarfile.TarInfo("./sa_7.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return root


def labelme(path: Path, *shapes: Mapping[str, Any]) -> Path:
    return dump(path, {"imageHeight": SIZE[0], "imageWidth": SIZE[1], "imagePath": "x.jpg", "shapes": list(shapes)})


def png_text(mask: NDArray[np.bool_]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask.view(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
