"""SA-1B: a JSON file per image with masks in RLE, as in the dataset and as written by `GeneratedMasks.save`."""

from __future__ import annotations

from contextlib import nullcontext

from masklet.errors import FormatError
from masklet.files.json_fields import Fields, name_errors
from masklet.formats.frame_masks import ReadMask, check_size
from masklet.formats.skipped import SkippedAnnotations
from masklet.masks import rle


def parse(file: Fields, skipped: SkippedAnnotations | None = None) -> tuple[tuple[int, int], list[ReadMask]]:
    """Read the image's size (H, W) and its masks, which are objects 1, 2, … in the file's order.

    The score is the `predicted_iou`. Masks that cannot be decoded are counted in `skipped`, for which the caller issues
    the warning; without it they are errors. Raises `FormatError`.
    """
    image = file.object("image")
    with name_errors(image.place):
        size = check_size((image.integer("height"), image.integer("width")))
    masks = []
    for position in range(len(file.array("annotations"))):
        with skipped.catch() if skipped else nullcontext():
            masks.append(_parse_mask(file.item("annotations", position), position + 1, size))
    return size, masks


def _parse_mask(row: Fields, number: int, size: tuple[int, int]) -> ReadMask:
    code = row.object("segmentation").value
    with name_errors(row.place):
        found, _ = rle.read_runs(code)
        if found != size:
            raise FormatError("annotation-broken", f"the mask has size {found} (H, W), its image {size}")
    return ReadMask(number, row.number("predicted_iou", 1.0), code)
