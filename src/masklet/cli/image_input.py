"""Image input: the image files that a command's arguments name, one by one or as folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from masklet.errors import InputNotFound
from masklet.files.error_translation import translate_read_errors
from masklet.files.image_files import IMAGE_SUFFIXES, select_images


def find_images(sources: Iterable[Path]) -> list[Path]:
    """Return image files in the order of `sources`, in which folders stand for their images in natural order.

    Folders inside a folder are not searched. An image that is given several times is returned once, by its first path.
    A file that does not exist is part of the result; reading it fails.

    Raises:
        InputNotFound: A folder cannot be read, or has no images.
    """
    images: dict[Path, Path] = {}
    for source in sources:
        for image in _find_in_source(source):
            images.setdefault(resolve_folder(image), image)
    return [*images.values()]


def resolve_folder(file: Path) -> Path:
    """Return the absolute path of a file without symbolic links to folders. A link to a file keeps its own name."""
    return Path(os.path.realpath(file.parent), file.name)


def _find_in_source(source: Path) -> Iterator[Path]:
    if not source.is_dir():
        yield source
        return
    with translate_read_errors(source):
        images = select_images(source.iterdir())
    if not images:
        message = f"{source} contains no images; the suffixes of images are {', '.join(sorted(IMAGE_SUFFIXES))}"
        raise InputNotFound("input-empty", message, path=str(source))
    yield from images
