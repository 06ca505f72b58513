"""SA-1B: a JSON file per image with masks in RLE, as in the dataset and as written by `GeneratedMasks.save`."""

from __future__ import annotations

from masklet.files.json_fields import Fields, name_errors
from masklet.formats.frame_masks import ReadMask, check_size


def parse(file: Fields) -> tuple[tuple[int, int], list[ReadMask]]:
    """Read the image's size (H, W) and its masks, which are objects 1, 2, … in the file's order.

    The score is the `predicted_iou`. RLE is not decoded. Raises `FormatError`.
    """
    image = file.object("image")
    rows = enumerate(file.objects("annotations"), start=1)
    masks = [
        ReadMask(number, row.number("predicted_iou", 1.0), row.object("segmentation").value) for number, row in rows
    ]
    with name_errors(image.place):
        return check_size((image.integer("height"), image.integer("width"))), masks
