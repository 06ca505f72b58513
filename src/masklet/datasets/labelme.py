"""LabelMe dataset: a JSON file per image with polygons, rectangles, circles and masks."""

from __future__ import annotations

from pathlib import Path

from masklet.datasets.annotation import Annotation
from masklet.files.json_fields import read_fields
from masklet.formats.labelme import number_objects, parse


def read_labelme(path: Path) -> Annotation:
    """Read the objects of a LabelMe file, by the rules of `masklet.formats.labelme`.

    Raises `InputNotFound`, and `FormatError` with the file and the field.
    """
    size, parsed = parse(read_fields(path))
    objects = number_objects(parsed, {})
    labels = {number: labelme_object.label for number, labelme_object in objects.items() if labelme_object.label}
    return Annotation(
        size, {number: labelme_object.mask for number, labelme_object in objects.items()}, categories=labels
    )
