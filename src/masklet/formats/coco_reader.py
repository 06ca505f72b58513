"""COCO reader: images or frames with their annotations, for frames here and for datasets in `masklet.datasets.coco`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, MaskletError
from masklet.files.json_fields import Fields, name_errors, read_fields
from masklet.files.names import check_relative, clean_file_name
from masklet.formats.frame_masks import MAX_SCORE, ReadMask, build_frame, check_size
from masklet.formats.object_numbers import count_from_one
from masklet.formats.skipped import SkippedAnnotations
from masklet.images.image_file import read_size
from masklet.masks import rle
from masklet.masks.labels import read_label
from masklet.masks.polygons import rasterize, read_vertices
from masklet.masks.tracked_frame import TrackedFrame

MIN_POINTS = 3  # of a polygon


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """A mask of an object. `category` is the name of its class, or empty; `place` is used in messages."""

    object_id: int
    score: float
    category: str
    segmentation: Any
    size: tuple[int, int]
    place: str

    def label(self) -> str | None:
        """Return the label of the object, the name of its category. Raises `FormatError`."""
        with name_errors(self.place):
            return read_label(self.category)

    def check(self) -> None:
        """Raise `FormatError` if the mask cannot be decoded."""
        with name_errors(self.place):
            if isinstance(self.segmentation, list):
                for polygon in self.segmentation:
                    read_vertices(polygon)
            else:
                self._require_size(rle.read_runs(encode_segmentation(self.segmentation, self.size))[0])

    def to_rle(self) -> Mapping[str, Any]:
        """Return the mask as COCO RLE, without decoding it. Raises `FormatError`."""
        with name_errors(self.place):
            code = encode_segmentation(self.segmentation, self.size)
            self._require_size(rle.read_runs(code)[0])
            return code

    def mask(self) -> NDArray[np.bool_]:
        """Decode the mask (H, W). Raises `FormatError`."""
        with name_errors(self.place):
            if isinstance(self.segmentation, list):
                return rasterize(self.segmentation, self.size)
            return rle.decode(encode_segmentation(self.segmentation, self.size))

    def _require_size(self, size: tuple[int, int]) -> None:
        if size != self.size:
            raise FormatError("annotation-broken", f"the mask has size {size} (H, W), its image {self.size}")


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image or a frame of a video, its entry in the file, and its annotations by object."""

    fields: Fields
    size: tuple[int, int]
    objects: dict[int, list[CocoAnnotation]] = field(default_factory=dict)


def parse(file: Fields, skipped: SkippedAnnotations, folders: Sequence[Path] = ()) -> list[CocoImage]:
    """Read the images of a COCO file with their annotations.

    An object is a `track_id`, else an `instance_id`, else an annotation by its `id`. Several annotations of a track in
    an image are parts of its mask. Annotations of one image that share an `id` without being a track are objects of
    their own. Two entries of `images` with the same file name are one image.

    Args:
        file: The file.
        skipped: Counts what is left out: crowds (`iscrowd`), annotations without a segmentation or of images that are
            not listed, and broken entries. The caller issues the warning.
        folders: Folders of the images. Sizes that the file does not have are read from the images.

    Raises:
        FormatError: The file has no such lists, or two images have the same id or the same name and another size.
    """
    images = _parse_images(file, skipped, folders)
    categories = read_categories(file)
    parsed: list[_ParsedAnnotation] = []
    for row in _rows(file, "annotations", skipped):
        try:
            annotation = _parse_annotation(row, images, categories, skipped)
        except FormatError as error:
            skipped.add_broken(error)
        else:
            parsed += [annotation] if annotation else []
    _collect_objects(parsed)
    return [*{id(image): image for image in images.values()}.values()]


def read_categories(file: Fields) -> dict[int | str, str]:
    """Read the names of the categories, by id; none if the file has no categories. Raises `FormatError`."""
    if file.get("categories") is None:
        return {}
    names: dict[int | str, str] = {}
    for row in file.objects("categories"):
        name = row.get("name")
        names[row.identifier("id")] = str(name) if isinstance(name, str | int | float) else ""
    return names


def name_category(row: Fields, categories: Mapping[int | str, str]) -> str:
    """Return the name of the category of an annotation, or "" if it has none."""
    try:
        return categories.get(row.identifier("category_id"), "")
    except FormatError:
        return ""


def list_image_folders(annotations: Path) -> list[Path]:
    """List the folders in which the images of a COCO file may be.

    They are `images`, the folder of the split (`val2017`), and the file's folder, beside the file or one level above.
    """
    split = annotations.stem.split("_")[-1]
    return [base / name for base in (annotations.parent, annotations.parent.parent) for name in ("images", split, "")]


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of a COCO file of masklet or another tool; see `parse`. Raises `FormatError`."""
    return read_frames(read_fields(path))


def read_frames(file: Fields) -> Iterator[TrackedFrame]:
    """Read the frames of a parsed file. The index of a frame is its `frame_index`, else its position in the list.

    The label of an object is the name of its category, except `UNLABELED`. Ids that begin below 1 are raised to begin
    at 1. Annotations that cannot be read are skipped with a warning; if none can be read, the first error is raised.
    """
    skipped = SkippedAnnotations(file.source)
    return skipped.report(_read_frames(file, skipped))


def read_results(rows: list[Any], source: object) -> Iterator[TrackedFrame]:
    """Read the frames of a list of COCO results, whose sizes are those of their RLE."""
    results = [row for row in rows if isinstance(row, dict)]
    image_ids = dict.fromkeys(str(row.get("image_id")) for row in results)
    numbered = [{"id": number, **row, "image_id": str(row.get("image_id"))} for number, row in enumerate(results, 1)]
    return read_frames(Fields({"images": [{"id": key} for key in image_ids], "annotations": numbered}, source))


def _read_frames(file: Fields, skipped: SkippedAnnotations) -> Iterator[TrackedFrame]:
    images = parse(file, skipped, list_image_folders(Path(file.source)))
    numbers = count_from_one(object_id for image in images for object_id in image.objects)
    for position, image in enumerate(images):
        masks: list[ReadMask] = []
        for object_id, parts in image.objects.items():
            for part in parts:
                with skipped.catch():
                    masks.append(ReadMask(numbers[object_id], part.score, part.to_rle(), part.label()))
        with name_errors(image.fields.place):
            frame = build_frame(
                image.fields.integer("frame_index", position), _time_of(image.fields), image.size, masks
            )
        yield frame


def encode_segmentation(segmentation: Any, size: tuple[int, int]) -> Mapping[str, Any]:
    """Return a segmentation, RLE or a list of polygons, as RLE. Raises `FormatError`."""
    if isinstance(segmentation, Mapping):
        return {
            **segmentation,
            **{key: _to_whole(segmentation[key]) for key in ("size", "counts") if key in segmentation},
        }
    if not isinstance(segmentation, list):
        raise FormatError("annotation-broken", "a segmentation must be RLE or a list of polygons")
    return rle.encode(rasterize(segmentation, size))


def _to_whole(values: Any) -> Any:
    """Return a list in which numbers such as 272.0 are whole numbers; anything else as it is."""
    if not isinstance(values, list):
        return values
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]


def _time_of(row: Fields) -> float | None:
    """Return the time of a frame in seconds, or None if the file has none."""
    return None if row.get("time") is None else row.number("time", 0.0)


class _ParsedAnnotation(NamedTuple):
    """An annotation whose object has no number yet. `identity` is the id of its track or, without one, its own."""

    image: CocoImage
    annotation: CocoAnnotation
    identity: int | str | None
    is_track: bool


def _collect_objects(parsed: Sequence[_ParsedAnnotation]) -> None:
    """Number the objects and add them to their images.

    Ids that are whole numbers are kept, those of tracks first. Other objects get numbers that no id is.
    """
    new_numbers = count(max((item.identity for item in parsed if isinstance(item.identity, int)), default=0) + 1)
    texts: dict[str, int] = {}
    for item in sorted(parsed, key=lambda item: not item.is_track):
        identity, objects = item.identity, item.image.objects
        if item.is_track and isinstance(identity, str):
            number = texts[identity] if identity in texts else texts.setdefault(identity, next(new_numbers))
        elif isinstance(identity, int) and (item.is_track or identity not in objects):
            number = identity
        else:
            number = next(new_numbers)
        objects.setdefault(number, []).append(replace(item.annotation, object_id=number))


def _rows(file: Fields, name: str, skipped: SkippedAnnotations) -> Iterator[Fields]:
    """Iterate over the objects of a list. Other values in it are counted as broken."""
    for number in range(len(file.array(name))):
        try:
            row = file.item(name, number)
        except FormatError as error:
            skipped.add_broken(error)
        else:
            yield row


def _parse_images(file: Fields, skipped: SkippedAnnotations, folders: Sequence[Path]) -> dict[int | str, CocoImage]:
    """Parse the images by id. Entries with the same file name share one."""
    images: dict[int | str, CocoImage] = {}
    named: dict[tuple[str, str], CocoImage] = {}
    code_sizes: dict[str, tuple[int, int]] | None = None
    for row in _rows(file, "images", skipped):
        try:
            image_id = row.identifier("id")
            size = _read_size(row, folders)
            if size is None:
                code_sizes = _collect_sizes(file) if code_sizes is None else code_sizes
                size = code_sizes.get(str(image_id))
            if size is None:
                row.integer("height"), row.integer("width")  # which of them is missing
                raise row.error("an image needs its height and its width")
            with name_errors(row.place):
                image = CocoImage(row, check_size(size))
        except FormatError as error:
            skipped.add_broken(error)
            continue
        name = clean_file_name(row.get("file_name"))
        if isinstance(name, str):
            first = named.setdefault((name, str(row.get("frame_index"))), image)
            if first.size != image.size:
                raise row.error(f"{name} is listed twice, with the sizes {first.size} and {image.size}")
            image = first
        if images.setdefault(image_id, image) is not image:
            raise row.error(f"another image has the id {image_id}")
    return images


def _read_size(row: Fields, folders: Sequence[Path]) -> tuple[int, int] | None:
    """Return the size (H, W) of an image, if the file does not have it that of the image file, else None."""
    if row.get("height") and row.get("width"):
        return row.integer("height"), row.integer("width")
    try:
        name = check_relative(clean_file_name(row.get("file_name")), row.source)
    except MaskletError:
        return None
    return next(filter(None, (read_size(folder / name) for folder in folders)), None)


def _collect_sizes(file: Fields) -> dict[str, tuple[int, int]]:
    """Collect the sizes of images from the RLE of their annotations, by image id."""
    sizes: dict[str, tuple[int, int]] = {}
    for row in file.array("annotations"):
        code = row.get("segmentation") if isinstance(row, dict) else None
        size = _to_whole(code.get("size")) if isinstance(code, dict) else None
        if isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size):
            sizes.setdefault(str(row.get("image_id")), (size[0], size[1]))
    return sizes


def _parse_annotation(
    row: Fields,
    images: Mapping[int | str, CocoImage],
    categories: Mapping[int | str, str],
    skipped: SkippedAnnotations,
) -> _ParsedAnnotation | None:
    """Parse an annotation; None for one that has no mask, which is counted. Raises `FormatError`."""
    name = f"annotation {row.get('id')}" if row.get("id") is not None else row.place.removeprefix(f"{row.source}, ")
    if is_crowd(row.get("iscrowd")):
        skipped.add("of crowds")
        return None
    image_id = row.identifier("image_id")
    if image_id not in images:
        raise row.error(f"there is no image {image_id}, of which {name} is")
    segmentation, short = _select_polygons(row.get("segmentation"))
    if segmentation is None or segmentation == []:
        reason = "with polygons of fewer than 3 points" if short else "without a segmentation"
        skipped.add(reason, name, row.error(f"{name} is {reason}"))
        return None
    if short:
        skipped.add("polygons of fewer than 3 points", name)
    key = next((key for key in ("track_id", "instance_id", "id") if row.get(key) is not None), None)
    score = row.get("score")
    score = float(score) if type(score) in (int, float) and abs(score) <= MAX_SCORE else 1.0
    image, place = images[image_id], f"{row.source}, {name}"
    annotation = CocoAnnotation(0, score, name_category(row, categories), segmentation, image.size, place)
    return _ParsedAnnotation(image, annotation, row.identifier(key) if key else None, key not in ("id", None))


def is_crowd(value: Any) -> bool:
    """Return whether the value of `iscrowd` is true, also if it is text."""
    return value not in (None, 0, "", "0", "false", "False")  # False and 0.0 are equal to 0


def _select_polygons(segmentation: Any) -> tuple[Any, int]:
    """Return a segmentation without polygons of fewer than 3 points, and their number."""
    if not isinstance(segmentation, list):
        return segmentation, 0
    if segmentation and all(type(value) in (int, float) for value in segmentation):
        segmentation = [segmentation]  # one polygon that is not in a list
    selected = [part for part in segmentation if not isinstance(part, list) or _count_points(part) >= MIN_POINTS]
    return selected, len(segmentation) - len(selected)


def _count_points(polygon: list[Any]) -> int:
    return len(polygon) if polygon and isinstance(polygon[0], list) else len(polygon) // 2
