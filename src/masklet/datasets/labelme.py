"""LabelMe dataset: a JSON file per image with polygons, rectangles, circles and masks."""

from __future__ import annotations

from pathlib import Path

from masklet.datasets.annotation import Annotation
from masklet.files.json_fields import read_fields
from masklet.formats.labelme_reader import number_objects, parse
from masklet.formats.skipped import SkippedAnnotations


def read_labelme(path: Path, image: Path | None = None) -> Annotation:
    """Read the objects of a LabelMe file, by the rules of `masklet.formats.labelme_reader`.

    Shapes without an area and broken ones are skipped with a warning. The size of the image is read from the file
    `image` if the LabelMe file does not have it. Raises `InputNotFound`, and `FormatError` with the file and the field.
    """
    skipped = SkippedAnnotations(path, "shape")
    size, parsed = parse(read_fields(path), skipped, image)
    skipped.warn()
    objects = number_objects(parsed, {})
    labels = {number: labelme_object.label for number, labelme_object in objects.items() if labelme_object.label}
    return Annotation(
        size, {number: labelme_object.mask for number, labelme_object in objects.items()}, categories=labels
    )
