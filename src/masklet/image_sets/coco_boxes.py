"""Boxes of COCO files as prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from masklet.files.json_fields import Fields, name_errors
from masklet.files.names import clean_file_name
from masklet.formats.coco_reader import name_category, read_categories
from masklet.formats.skipped import SkippedAnnotations
from masklet.masks.labels import read_label
from masklet.prompts import Prompt, box

Image = TypeVar("Image")


class _Listed(NamedTuple):
    """Name of an image in the file, and its (W, H), or None."""

    name: str
    size: tuple[int, int] | None


def read_coco_boxes(file: Fields, find: Callable[[str], Image | None]) -> Iterator[tuple[Image, int, Prompt]]:
    """Read the boxes of a COCO file as prompts with the names of their categories as labels.

    The object id is the `track_id`, if the annotations of the image have one, and else the number of the annotation
    within its image, from 1. Boxes are cut off at the edges of their image. Crowds and annotations without a box are
    skipped, and so are images that `find` does not know, with one warning.

    Args:
        file: The file.
        find: Returns the image of a name, or None.

    Yields:
        Image, object id and prompt of each annotation.

    Raises:
        FormatError: The file has no lists of images and annotations, or no annotation can be read.
    """
    skipped = SkippedAnnotations(file.source)
    images, categories = _list_images(file), read_categories(file)
    counts: dict[int | str, int] = {}
    for row in file.objects("annotations"):
        with skipped.catch():
            image_id = row.identifier("image_id")
            if image_id not in images:
                raise row.error(f"no image has the id {image_id}")
            counts[image_id] = counts.get(image_id, 0) + 1
            image = find(images[image_id].name)
            if image is None:
                skipped.add("of images that are not part of the input", images[image_id].name)
            elif row.get("iscrowd") in (1, True):
                skipped.add("of crowds", row.place)
            elif not row.get("bbox"):
                skipped.add("without a box", row.place)
            else:
                track = row.get("track_id")
                is_track = isinstance(track, int) and not isinstance(track, bool) and track > 0
                prompt = _read_box(row, images[image_id].size, name_category(row, categories))
                yield image, track if is_track else counts[image_id], prompt
    skipped.require_readable()
    skipped.warn()


def _list_images(file: Fields) -> dict[int | str, _Listed]:
    images: dict[int | str, _Listed] = {}
    for row in file.objects("images"):
        name = clean_file_name(row.get("file_name"))
        if not isinstance(name, str) or not name:
            raise row.error("an image needs its 'file_name'")
        has_size = bool(row.get("width")) and bool(row.get("height"))
        images[row.identifier("id")] = _Listed(
            name, (row.integer("width"), row.integer("height")) if has_size else None
        )
    return images


def _read_box(row: Fields, size: tuple[int, int] | None, category: str) -> Prompt:
    corners = row.array("bbox")
    if len(corners) != 4 or not all(isinstance(value, int | float) and abs(value) < 2**1023 for value in corners):
        raise row.error(f"a bbox must be [x, y, width, height], got {corners!r:.60}")
    left, top, width, height = map(float, corners)
    right, bottom = left + width, top + height
    if size is not None:
        left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, size[0]), min(bottom, size[1])
    if not (left < right and top < bottom):
        raise row.error(f"the bbox {corners!r:.60} has no area in its image")
    with name_errors(row.place):
        return box(left, top, right, bottom, label=read_label(category))
