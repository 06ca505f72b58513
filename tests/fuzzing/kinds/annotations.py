"""Annotations in every format that `read_masks` reads, RLE, and datasets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from fuzzing.mutation import mutate_bytes, mutate_json, mutate_text
from fuzzing.target import Mutate, Target, require
from masklet.datasets.layouts import open_images
from masklet.errors import FormatError, ImageError, InputNotFound, PromptError
from masklet.formats import read_masks, save_masks
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from support import annotation_samples as samples

SIZE = (24, 40)
_MAX_DECODED = 1 << 24  # pixels of all masks of a frame that the check decodes
_MAX_FRAMES = 1_000  # that are read of a file, which may state a long video
_LABELS = ("dog", None)
ERRORS = (FormatError, InputNotFound, PromptError, ImageError)


def make_clip(labels: tuple[str | None, ...] = _LABELS) -> list[TrackedFrame]:
    """Make three frames of a square and of a rectangle with a hole; the second is hidden on frame 1."""
    frames = []
    for index in range(3):
        binary = np.zeros((2, *SIZE), bool)
        binary[0, 4 + index : 12 + index, 2:10] = True
        if index != 1:
            binary[1, 3:20, 14:36] = True
            binary[1, 8:12, 20:26] = False
        frames.append(TrackedFrame(index, index / 25, Masks.from_binary(binary, object_ids=[2, 7], labels=labels)))
    return frames


def check_masks(source: Path) -> None:
    """Read all frames twice, and compare sizes, areas, and what is read again."""
    areas: list[list[int]] = []
    for frame in islice(read_masks(source), _MAX_FRAMES):
        masks = frame.masks
        height, width = masks.size
        require(height > 0 and width > 0, f"an image of {masks.size}")
        require(len({*masks.object_ids}) == len(masks), f"an object occurs twice: {masks.object_ids}")
        require(bool(np.isfinite(masks.scores).all()), f"scores {masks.scores}")
        if len(masks) * height * width > _MAX_DECODED:
            continue
        require(masks.binary.shape == (len(masks), height, width), f"masks of {masks.binary.shape}")
        found = masks.binary.sum(axis=(1, 2)).tolist()
        require(masks.areas.tolist() == found, f"areas {masks.areas.tolist()}, pixels {found}")
        areas.append(found)


def _check_dataset(source: Path) -> None:
    for record in open_images(source):
        _, annotation = record.read()
        for key in annotation.object_ids:
            require(annotation.mask(key).dtype == bool, "a mask is not boolean")


def _check_rle(path: Path) -> None:
    code = json.loads(path.read_bytes())
    if not isinstance(code, dict):
        return
    area = rle.compute_area(code)
    if code["size"][0] * code["size"][1] > _MAX_DECODED:
        return
    mask = rle.decode(code)
    require(int(mask.sum()) == area, f"area {area}, {int(mask.sum())} pixels")
    again = rle.encode(mask)
    require(np.array_equal(rle.decode(again), mask), "the mask differs after encoding")
    rows, columns = np.nonzero(mask)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else (0, 0, 0, 0)
    require(rle.compute_box(code) == tuple(map(int, box)), f"box {rle.compute_box(code)}, not {box}")


def _mutate_rle(content: bytes, rng: Random) -> bytes:
    """Mutate the JSON of an RLE, which stays JSON, or its counts."""
    code = json.loads(content)
    if isinstance(code.get("counts"), str) and rng.random() < 0.5:
        code["counts"] = mutate_bytes(code["counts"].encode(), rng).decode("latin-1")
        return json.dumps(code).encode()
    while True:
        mutated = mutate_json(content, rng)
        try:
            json.loads(mutated)
        except ValueError:
            continue
        return mutated


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open the targets: each format as masklet and as other tools write it."""
    targets = [*_list_written(folder), *_list_foreign(folder), *_list_datasets(folder)]
    runs = {"size": [6, 4], "counts": [3, 5, 16]}
    codes = [json.dumps(code).encode() for code in (runs, rle.encode(make_clip()[0].masks.binary[1]))]
    path = folder / "rle"
    yield [*targets, Target("rle", path, codes, partial(_check_rle, path), _mutate_rle, (FormatError,))]


def _list_written(folder: Path) -> Iterator[Target]:
    mutations: dict[str, Mutate] = {
        **dict.fromkeys(("coco", "ytvis", "labelme"), mutate_json),
        **dict.fromkeys(("cvat", "mots", "yolo"), mutate_text),
        **dict.fromkeys(("png", "sav", "npz"), mutate_bytes),
    }
    for name, mutate in mutations.items():
        labels = ("car", "pedestrian") if name == "mots" else _LABELS
        (root,) = save_masks(make_clip(labels), folder / name, [name])
        files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
        for place, path in enumerate({file.suffix + file.parent.name: file for file in files}.values()):
            label = name if place == 0 else f"{name}-{path.suffix[1:]}"
            yield Target(label, path, [path.read_bytes()], _restoring(root, path), mutate, ERRORS)
    masks = make_clip()[0].masks
    for suffix, mutate in (("json", mutate_json), ("npz", mutate_bytes)):
        path = folder / f"saved.{suffix}"
        masks.save(path)
        yield Target(f"saved-{suffix}", path, [path.read_bytes()], partial(check_masks, path), mutate, ERRORS)


def _restoring(root: Path, path: Path) -> Callable[[], None]:
    """Return the check of a folder in which only `path` is mutated."""
    sound = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()} if root.is_dir() else {}

    def check() -> None:
        for file, content in sound.items():
            if file != path and file.read_bytes() != content:
                file.write_bytes(content)
        check_masks(root)

    return check


def _list_foreign(folder: Path) -> Iterator[Target]:
    """List files as other tools write them, with all sorts of shapes."""
    coco = samples.make_coco(
        [
            samples.make_coco_annotation(1),
            samples.make_coco_annotation(2, {"size": [60, 80], "counts": [600, 400, 3800]}, iscrowd=1),
            samples.make_coco_annotation(3, [samples.SQUARE, samples.BAR]),
        ]
    )
    results = [
        {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": {"size": [60, 80], "counts": [600, 400, 3800]}}
    ]
    points = np.reshape(samples.SQUARE, (-1, 2)).tolist()
    mask = samples.encode_png(np.ones((5, 6), bool))
    shapes = [
        samples.make_shape("a", points),
        samples.make_shape("b", [[10, 10], [20, 20]], "rectangle"),
        samples.make_shape("c", [[10, 10], [12, 20]], "circle", 3),
        samples.make_shape("d", [[4, 4], [9, 8]], "mask", mask=mask),
        samples.make_shape("e", [[1, 2]], "point"),
    ]
    images = samples.make_cvat_images(
        samples.make_cvat_polygon(samples.SQUARE, group_id=3),
        '<box label="x" xtl="1" ytl="2" xbr="30.5" ybr="40" occluded="0" rotation="20"></box>',
        '<mask label="x" rle="3, 5, 4" left="10" top="10" width="4" height="3"></mask>',
        '<ellipse label="x" cx="20" cy="20" rx="5" ry="7"></ellipse>',
    )
    track = f'<track id="0" label="x">{"".join(samples.make_cvat_polygon(samples.SQUARE, f) for f in (0, 3))}</track>'
    sa1b = {
        "image": {"image_id": 7, "width": 80, "height": 60, "file_name": "sa_7.jpg"},
        "annotations": [
            {"id": 3, "segmentation": rle.encode(make_sa1b_mask()), "bbox": [1, 1, 5, 5], "area": 25,
             "predicted_iou": 0.9, "stability_score": 0.9, "point_coords": [[3, 3]], "crop_box": [0, 0, 80, 60]}
        ],
    }  # fmt: skip
    files: dict[str, tuple[bytes, Mutate]] = {
        "foreign-coco.json": (json.dumps(coco).encode(), mutate_json),
        "results.json": (json.dumps(results).encode(), mutate_json),
        "foreign-labelme.json": (json.dumps(samples.make_labelme(shapes)).encode(), mutate_json),
        "cvat-images.xml": (images.encode(), mutate_text),
        "cvat-video.xml": (samples.make_cvat_video(track).encode(), mutate_text),
        "sa1b.json": (json.dumps(sa1b).encode(), mutate_json),
    }
    for name, (content, mutate) in files.items():
        path = folder / name
        yield Target(path.stem, path, [content], partial(check_masks, path), mutate, ERRORS)
    label_map = np.zeros(SIZE, np.int32)
    label_map[3:9, 4:20] = 300
    np.save(folder / "labels.npy", label_map)
    path = folder / "labels.npy"
    yield Target("npy", path, [path.read_bytes()], partial(check_masks, path), mutate_bytes, ERRORS)


def make_sa1b_mask() -> np.ndarray:
    """Make a mask of 60 × 80 pixels."""
    mask = np.zeros((60, 80), bool)
    mask[1:6, 1:6] = True
    return mask


def _list_datasets(folder: Path) -> Iterator[Target]:
    root = folder / "dataset"
    root.mkdir(exist_ok=True)
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(root / "a.jpg")
    points = np.reshape(samples.SQUARE, (-1, 2)).tolist()
    contents = {
        "dataset-coco": samples.make_coco([samples.make_coco_annotation(1)]),
        "dataset-labelme": samples.make_labelme([samples.make_shape("a", points)]),
    }
    for name, content in contents.items():
        own = folder / name
        own.mkdir(exist_ok=True)
        (own / "a.jpg").write_bytes((root / "a.jpg").read_bytes())
        path = own / ("instances.json" if name == "dataset-coco" else "a.json")
        yield Target(name, path, [json.dumps(content).encode()], partial(_check_dataset, own), mutate_json, ERRORS)
