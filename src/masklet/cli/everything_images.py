"""Mask generation in a list of images, written image by image in each requested format."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.cli import console
from masklet.cli.options import check_free
from masklet.errors import MaskletError, SettingsError
from masklet.files.atomic import atomic_write, make_folder
from masklet.formats import Clip, Output
from masklet.formats.coco import COCO
from masklet.formats.csv_measurements import CSV_IMAGES
from masklet.formats.image_dataset import DATASET_FORMATS
from masklet.formats.image_layout import FrameMode
from masklet.formats.job_folder import list_image_folders
from masklet.image_sets.request_checks import check_stems
from masklet.images import read_image
from masklet.images.spacing import Spacing, read_spacing
from masklet.masks.label_map import write_label_map
from masklet.masks.rle_frame import RleFrame
from masklet.predict.generated_masks import GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.segmenter import Segmenter

Image8 = NDArray[np.uint8]  # (H, W, 3) RGB


@dataclass(frozen=True, slots=True)
class EverythingRequest:
    """The images, the options of the mask generator and the files to write."""

    images: list[Path]
    options: MaskGeneratorOptions
    formats: list[str]
    out: Path
    overwrite: bool
    spacing: Spacing | None = None
    frames: FrameMode | None = None

    def files(self, image: Path) -> dict[str, Path]:
        """Return the files of one image by format, without those that all images share."""
        return {name: self.out / f"{image.stem}{_WRITERS[name][0]}" for name in self.formats if name in _WRITERS}

    @property
    def shared(self) -> dict[str, Path]:
        """The files of all images by format."""
        return {name: form.path_in(self.out) for name, form in SHARED.items() if name in self.formats}

    @property
    def image_folders(self) -> list[Path]:
        """The folders of images beside the files of all images."""
        if self.frames in (None, "none"):
            return []
        return [self.out / name for name in list_image_folders(SHARED[name] for name in self.shared)]


@dataclass(slots=True)
class _Results:
    """The records of all images, and masks, image files and spacings for the files that all share."""

    records: list[dict[str, Any]] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    frames: list[RleFrame] = field(default_factory=list)
    spacings: list[Spacing | None] = field(default_factory=list)


def check(request: EverythingRequest) -> None:
    """Check the output before the model is loaded, and create its folder.

    Raises:
        SettingsError: Two images would be written to the same files, or an image would be replaced.
        ResourceError: A file or folder exists and `overwrite` is not set, or the folder cannot be created.
    """
    check_stems(request.images)
    files = [path for image in request.images for path in request.files(image).values()]
    check_free([*files, *request.shared.values(), *request.image_folders], overwrite=request.overwrite)
    _check_inputs_remain(request)
    make_folder(request.out)


def run(segmenter: Segmenter, request: EverythingRequest) -> list[dict[str, Any]]:
    """Generate and write the masks of each image and return its record.

    An error of one image becomes its record, unless it is the only image.
    """
    results = _Results()
    for path in request.images:
        try:
            _generate(segmenter, path, request, results)
        except MaskletError as error:
            results.records.append(console.record_failed_image(str(path), error, only=len(request.images) == 1))
    if results.frames:
        first, find_spacing = results.frames[0], results.spacings.__getitem__
        names, files = [path.name for path in results.images], results.images
        clip = Clip(request.out.name, first.size, (), names=names, files=files, spacing_of=find_spacing)
        output = Output(request.out, clip, request.frames)
        for name in request.shared:
            output.write_images(SHARED[name], results.frames)
            output.write(SHARED[name], results.frames)
    return results.records


def _check_inputs_remain(request: EverythingRequest) -> None:
    """Raise `SettingsError` if images would be written into the folder of an input."""
    folders = {Path(os.path.realpath(folder)) for folder in request.image_folders}
    for image in request.images:
        if Path(os.path.realpath(image)).parent in folders:
            message = f"{image} is in the folder to which --frames {request.frames} writes images"
            raise SettingsError("bad-usage", f"{message}; write to another folder with --out")


def _generate(segmenter: Segmenter, path: Path, request: EverythingRequest, results: _Results) -> None:
    image = read_image(path)
    started = time.perf_counter()
    with console.progress(f"generating masks of {path.name}", unit="clicks") as progress:
        masks = segmenter.generate_masks(image, request.options, progress=progress)
    seconds = time.perf_counter() - started
    files = request.files(path)
    for name, file in files.items():
        with atomic_write(file) as handle:
            handle.write(_WRITERS[name][1](masks, image, path))
    if request.shared:
        results.frames.append(masks.encode_frame(len(results.frames)))
        results.images.append(path)
        needs_spacing = request.spacing is None and CSV_IMAGES.name in request.formats
        results.spacings.append(read_spacing(path) if needs_spacing else request.spacing)
        files |= request.shared
    results.records.append(_record(path, masks, seconds, files))


def _record(path: Path, masks: GeneratedMasks, seconds: float, files: dict[str, Path]) -> dict[str, Any]:
    return {
        "picture": str(path),
        "size": list(masks.size),
        "seconds": round(seconds, 3),
        "covered": round(float(np.count_nonzero(masks.to_label_map())) / (masks.size[0] * masks.size[1]), 4),
        "found": [
            {
                "id": number,
                "area": mask.area,
                "box": list(mask.box),
                "score": round(mask.score, 4),
                "stability": round(mask.stability, 4),
                "point": list(mask.point),
            }
            for number, mask in enumerate(masks, start=1)
        ],
        "files": {name: str(file) for name, file in files.items()},
    }


def _encode_sa1b(masks: GeneratedMasks, image: Image8, path: Path) -> bytes:
    return json.dumps(masks.to_annotation(path.name)).encode()


def _encode_rle(masks: GeneratedMasks, image: Image8, path: Path) -> bytes:
    return json.dumps(masks.to_annotation(path.name, "uncompressed_rle")).encode()


def _encode_png(masks: GeneratedMasks, image: Image8, path: Path) -> bytes:
    buffer = io.BytesIO()
    write_label_map(buffer, masks.to_label_map())
    return buffer.getvalue()


def _encode_overlay(masks: GeneratedMasks, image: Image8, path: Path) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(masks.overlay(image)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


_WRITERS: dict[str, tuple[str, Callable[[GeneratedMasks, Image8, Path], bytes]]] = {
    "sa1b": (".json", _encode_sa1b),
    "rle": (".rle.json", _encode_rle),
    "png": (".png", _encode_png),
    "overlay": (".overlay.jpg", _encode_overlay),
}
SHARED = {name: DATASET_FORMATS[name] for name in (COCO.name, CSV_IMAGES.name)}
"""Formats with one file for all images, by name."""

FORMATS = (*_WRITERS, *SHARED)
