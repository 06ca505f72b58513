"""Prompt files of videos and of images, and the masks that a model predicts for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from fuzzing.mutation import mutate_json, mutate_text
from fuzzing.target import Mutate, Target, require
from masklet import read_prompts
from masklet.errors import FormatError, ImageError, InputNotFound, PromptError, StateError
from masklet.image_sets.prompt_file import read_frame_prompts
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.segmenter import Segmenter
from support import annotation_samples as samples
from support.fake_backend import FakeBackend
from support.gray_world import SIZE, draw_boxes

ERRORS = (PromptError, FormatError, InputNotFound, ImageError, StateError)
NAMES = ("a.png", "sub/b.png")


def make_rows(place: str, where: tuple[object, object]) -> list[dict[str, object]]:
    """Make an entry of each sort."""
    square = np.zeros(SIZE, bool)
    square[5:15, 5:15] = True
    return [
        {place: where[0], "object": 1, "points": [[10, 10, 1], [30, 20, 0]], "box": [4, 4, 16, 16], "label": "cat"},
        {place: where[0], "object": 2, "box": [25, 5, 36, 16]},
        {place: where[1], "object": 3, "mask": rle.encode(square)},
        {place: where[1], "object": 2, "absent": True},
        {place: where[1], "object": 4, "mask": "mask.png"},
    ]


def _check_frames(path: Path, image: np.ndarray) -> None:
    rows = read_frame_prompts(path)
    tracker = Segmenter(FakeBackend()).tracker()
    for frame, object_id, prompt in rows:
        require(frame >= 0 and object_id >= 1, f"frame {frame}, object {object_id}")
        require(bool(np.isfinite(prompt.points).all()), f"points {prompt.points}")
        masks = tracker.prompt(frame, {object_id: prompt}, image)
        require(masks.size == SIZE, f"masks of {masks.size}")


def _check_images(path: Path, image: np.ndarray) -> None:
    images = [path.parent / name for name in NAMES]
    found = read_prompts(path, images)
    embedded = Segmenter(FakeBackend()).embed(image, warn=False)
    for name, prompts in found.items():
        require(name in images and min(prompts, default=1) >= 1, f"image {name}, objects {[*prompts]}")
        masks = embedded.predict(prompts)
        require(masks.binary.shape == (len(prompts), *SIZE), f"masks of {masks.binary.shape}")


@contextmanager
def open_targets(folder: Path) -> Iterator[list[Target]]:
    """Open the targets."""
    image = draw_boxes({80: (5, 5, 15, 15), 160: (25, 5, 35, 15)})
    Masks.from_binary(image[None, ..., 0] == 80, object_ids=[4]).save(folder / "mask.png")
    frames, images = make_rows("frame", (0, 2)), make_rows("image", NAMES)
    coco = samples.make_coco(
        [samples.make_coco_annotation(1, bbox=[5, 5, 10, 10]), samples.make_coco_annotation(2, bbox=[25, 5, 9, 9])],
        [{"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}],
    )
    boxes = b'image,object,label,x0,y0,x1,y1\na.png,1,cat,5,5,15,15\nsub/b.png,2,"a, dog",25,5,35,15\n'
    points = b"image,object,label,x,y,positive\na.png,1,cat,10,10,1\na.png,1,cat,30,20,0\n"
    check = partial(_check_images, image=image)
    files: dict[str, tuple[list[bytes], Mutate, Callable[[Path], None]]] = {
        "frames.json": ([json.dumps({"prompts": frames}).encode()], mutate_json, partial(_check_frames, image=image)),
        "images.json": ([json.dumps(images).encode()], mutate_json, check),
        "coco.json": ([json.dumps(coco).encode()], mutate_json, check),
        "table.csv": ([boxes, points], mutate_text, check),
    }
    yield [
        Target(Path(name).stem, folder / name, seeds, partial(checks, folder / name), mutate, ERRORS)
        for name, (seeds, mutate, checks) in files.items()
    ]
