"""Prompts of a set of images from files: JSON of masklet, CSV, and the boxes of COCO files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from masklet.errors import FormatError, PromptError
from masklet.files.json_fields import Fields, read_json
from masklet.image_sets.coco_boxes import read_coco_boxes
from masklet.image_sets.csv_prompts import read_csv_prompts
from masklet.image_sets.prompt_file import parse_image_prompts
from masklet.prompts import Prompt

LARGEST_ID = 2**31 - 1  # the largest id that formats with 32-bit numbers can hold
_CSV_SUFFIXES = (".csv", ".tsv")

Place = TypeVar("Place", int, Path)  # a frame or an image


def read_prompts(path: str | Path, images: Iterable[str | Path]) -> dict[Path, dict[int, Prompt]]:
    """Read the prompts of a set of images from a file.

    The file is JSON with the prompts of each image, CSV with a box or a click in each row, or a COCO file, whose boxes
    are used. It names images by the end of their path, such as `cat.jpg` or `photographs/cat.jpg`.

    Args:
        path: The file.
        images: The images that it may name.

    Returns:
        Prompts by image and object id, in the order of `images`. Images without a prompt are left out.

    Raises:
        InputNotFound: A file is missing or cannot be read.
        FormatError: The file is invalid, or names an image that is not one of `images`. Of COCO files, such images are
            skipped with a warning.
        PromptError: A prompt is invalid, or its parts cannot be joined.

    Example:
        >>> prompts = masklet.read_prompts("boxes.csv", ["cat.jpg", "dog.jpg"])
    """
    paths = [Path(image) for image in images]
    by_image = join_prompts(read_image_prompts(Path(path), paths), "of")
    return {image: by_image[image] for image in paths if image in by_image}


def read_image_prompts(
    file: Path, images: Sequence[Path], *, or_beside: bool = False
) -> list[tuple[Path, int, Prompt]]:
    """Read image, object id and prompt of each entry of a prompt file. See `read_prompts`.

    Args:
        file: The prompt file.
        images: The images that it may name.
        or_beside: It may also name images in its own folder.
    """
    names = ImageNames(images, file, or_beside=or_beside)
    if file.suffix.lower() in _CSV_SUFFIXES:
        return [(names.require(name), object_id, prompt) for name, object_id, prompt in read_csv_prompts(file)]
    document = read_json(file)
    if isinstance(document, dict) and {"images", "annotations"} <= document.keys():
        entries = [*read_coco_boxes(Fields(document, file), names.find_loosely)]
        if not entries:
            message = f"{file} has no box in any of the {len(images)} images of the input; images are matched by name"
            raise FormatError("annotation-broken", message, path=str(file))
        return entries
    return [(names.require(name), object_id, prompt) for name, object_id, prompt in parse_image_prompts(document, file)]


class ImageNames:
    """Images by the end of their path, as prompt files name them.

    Args:
        images: The images.
        file: The file that names them.
        or_beside: It may also name images in its own folder.
    """

    def __init__(self, images: Iterable[Path], file: Path, *, or_beside: bool = False) -> None:
        self._file, self._or_beside = file, or_beside
        self._by_name: dict[str, list[Path]] = {}
        for image in images:
            self._by_name.setdefault(image.name, []).append(image)

    def find(self, name: str) -> Path | None:
        """Return the image whose path ends with `name`, or else a file of the folder of the prompt file, or None."""
        parts = PurePosixPath(name).parts
        for image in self._by_name.get(parts[-1], ()) if parts else ():
            if image.absolute().parts[-len(parts) :] == parts:
                return image
        beside = self._file.parent / name
        return beside if self._or_beside and beside.is_file() else None

    def find_loosely(self, name: str) -> Path | None:
        """Return what `find` does, or else the only image with this file name, whatever its folder."""
        named = self._by_name.get(PurePosixPath(name).name, [])
        return self.find(name) or (named[0] if len(named) == 1 else None)

    def require(self, name: str) -> Path:
        """Return what `find` does. Raises `FormatError` if there is no such image."""
        found = self.find(name)
        if found is None:
            file = self._file
            places = f"neither the input nor {file.parent} has" if self._or_beside else "the input does not have"
            message = f"{file}: {places} an image {name!r}; name images by the end of their path, such as 'cat.jpg'"
            raise FormatError("annotation-broken", message, path=str(file))
        return found


def join_prompts(entries: Iterable[tuple[Place, int, Prompt]], relation: str) -> dict[Place, dict[int, Prompt]]:
    """Join the parts of each prompt, by frame or image and by object id.

    Args:
        entries: Frame or image, object id, and a part of its prompt.
        relation: The word between object and place in error messages.

    Raises:
        PromptError: An object id is too large, or two parts cannot be joined.
    """
    joined: dict[Place, dict[int, Prompt]] = {}
    for place, object_id, prompt in entries:
        if object_id > LARGEST_ID:
            raise PromptError("bad-prompt", f"objects are numbered from 1 to {LARGEST_ID}, got {object_id}")
        by_object = joined.setdefault(place, {})
        try:
            by_object[object_id] = by_object[object_id] + prompt if object_id in by_object else prompt
        except PromptError as error:
            where = f"object {object_id} {relation} {place}"
            error.hint = f"all of these prompts are for {where}; write #2 after those of a second object"
            raise
    return joined


def check_labels(by_place: Mapping[Place, Mapping[int, Prompt]]) -> None:
    """Check that all prompts of an object have one label. Raises `PromptError`."""
    labels: dict[int, str] = {}
    for prompts in by_place.values():
        for object_id, prompt in prompts.items():
            if prompt.label is not None and labels.setdefault(object_id, prompt.label) != prompt.label:
                message = f"object {object_id} has the labels {labels[object_id]!r} and {prompt.label!r}; give it one"
                raise PromptError("bad-prompt", message)
