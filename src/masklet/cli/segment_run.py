"""Segmentation of images by the command line: predict, write every format, and return a record per image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from masklet.cli import console
from masklet.cli.image_input import resolve_folder
from masklet.cli.options import check_free
from masklet.errors import MaskletError, SettingsError

if TYPE_CHECKING:
    from masklet.masks.effects import Background
    from masklet.masks.masks import Masks
    from masklet.prompts import Prompt
    from masklet.segmenter import Segmenter

SUFFIXES = {
    "png": ".png",
    "overlay": ".overlay.jpg",
    "cutout": ".cutout.png",
    "blur": ".blur.jpg",
    "blur_objects": ".blur_objects.jpg",
    "spotlight": ".spotlight.jpg",
    "background": ".background.jpg",
    "rle": ".json",
    "npz": ".npz",
}


@dataclass(eq=False, repr=False)
class SegmentRequest:
    """Images, prompts, post-processing and output files of the command.

    Attributes:
        images: The images to segment.
        prompts: Prompts by image and object id; with `references` those of the reference images.
        references: Find the objects of the prompted images in all images.
        multimask: Write the three candidate masks of each prompt.
        holes: Largest area of holes to fill.
        islands: Largest area of islands to remove.
        folder: Output folder.
        formats: Output formats.
        background: What replaces the background in the format `background`.
        overwrite: Replace existing files.
    """

    images: list[Path]
    prompts: dict[Path, dict[int, Prompt]]
    references: bool
    multimask: bool
    holes: int
    islands: int
    folder: Path
    formats: list[str]
    background: Background
    overwrite: bool

    def files(self, image: Path) -> dict[str, Path]:
        """Return the files of an image by format."""
        return {name: self.folder / f"{image.stem}{SUFFIXES[name]}" for name in self.formats}


def check_inputs_remain(request: SegmentRequest) -> None:
    """Raise `SettingsError` if the masks of an image would replace one of the images."""
    inputs = {resolve_folder(image) for image in (*request.images, *request.prompts)}
    for image in request.images:
        for file in request.files(image).values():
            if resolve_folder(file) in inputs:
                message = f"the masks of {str(image)!r} would replace the image {str(file)!r}"
                raise SettingsError("bad-usage", f"{message}; write to another folder with --out")


def run(segmenter: Segmenter, request: SegmentRequest) -> list[dict[str, Any]]:
    """Return the record of each image. An error of one of several images becomes its record.

    Raises:
        MaskletError: The only image, or a reference image, cannot be read or does not fit its prompts.
    """
    records, count = [], len(request.images)
    with console.progress("segmenting", unit="images") as progress:
        predictor = _Referenced(segmenter, request) if request.references else _Prompted(segmenter, request)
        for done, path in enumerate(request.images, start=1):
            try:
                records.append(_segment(predictor, path, request))
            except MaskletError as error:
                records.append(console.record_failed_image(str(path), error, only=count == 1))
            progress(done, count)
    return records


class _Prediction(NamedTuple):
    """Masks of an image and the seconds that they took.

    Attributes:
        reference: Whether the image is a reference image; None if there are none.
    """

    masks: Masks
    encode_seconds: float
    decode_seconds: float
    reference: bool | None = None


class _Prompted:
    """Prediction from the prompts of each image."""

    def __init__(self, segmenter: Segmenter, request: SegmentRequest) -> None:
        self._segmenter, self._request = segmenter, request

    def predict(self, path: Path, image: Any) -> _Prediction:
        with _timer() as encoding:
            embedded = self._segmenter.embed(image, lazy=True)
        with _timer() as decoding:
            masks = embedded.predict(self._request.prompts[path], multimask=self._request.multimask or None)
        encode_seconds = 0.0 if self._segmenter.view.has_regions else encoding[0]  # with regions, `predict` encodes
        return _Prediction(masks, encode_seconds, decoding[0])


class _Referenced:
    """Prediction from reference images. These keep the masks of their prompts."""

    def __init__(self, segmenter: Segmenter, request: SegmentRequest) -> None:
        self._references = segmenter.references()
        self._marked = {path: self._references.add(path, prompts) for path, prompts in request.prompts.items()}

    def predict(self, path: Path, image: Any) -> _Prediction:
        with _timer() as seconds:
            masks = self._marked[path] if path in self._marked else self._references.segment(image)
        return _Prediction(masks, 0.0, seconds[0], reference=path in self._marked)


def _segment(predictor: _Prompted | _Referenced, path: Path, request: SegmentRequest) -> dict[str, Any]:
    from masklet.files.atomic import make_folder
    from masklet.images import read_image

    files = request.files(path)
    check_free(files.values(), overwrite=request.overwrite)
    make_folder(request.folder)
    image = read_image(path)
    masks, encode_seconds, decode_seconds, reference = predictor.predict(path, image)
    if request.holes or request.islands:
        masks = masks.postprocess(fill_holes=request.holes, remove_islands=request.islands)
    for name, file in files.items():
        _write(name, file, masks, image, request.background)
    return {
        "picture": str(path),
        "size": list(masks.size),
        **({} if reference is None else {"reference": reference}),
        "encode_seconds": round(encode_seconds, 4),
        "decode_seconds": round(decode_seconds, 4),
        "objects": [_describe_object(object_mask) for object_mask in masks],
        "files": {name: str(file) for name, file in files.items()},
    }


def _describe_object(object_mask: Masks) -> dict[str, Any]:
    """Return the record of one mask."""
    label = object_mask.labels[0]
    return {
        "id": object_mask.object_ids[0],
        **({} if label is None else {"label": label}),
        "score": round(float(object_mask.scores[0]), 4),
        "visible": bool(object_mask.visible[0]),
        "area": int(object_mask.areas[0]),
        "box": object_mask.boxes[0].tolist(),
    }


def _write(name: str, path: Path, masks: Masks, image: Any, background: Background) -> None:
    from PIL import Image

    from masklet.files.atomic import atomic_write
    from masklet.masks.effects import EFFECTS

    if name == "overlay":
        with atomic_write(path) as file:
            Image.fromarray(masks.overlay(image)).save(file, "JPEG", quality=92)
    elif name == "cutout":
        with atomic_write(path) as file:
            Image.fromarray(masks.cutout(image)).save(file, "PNG")
    elif name in EFFECTS:
        with atomic_write(path) as file:
            Image.fromarray(masks.apply_effect(image, name, background=background)).save(file, "JPEG", quality=92)
    else:
        masks.save(path)


@contextmanager
def _timer() -> Iterator[list[float]]:
    """Yield a list that gets the seconds of the block when it ends."""
    seconds: list[float] = []
    start = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - start)
