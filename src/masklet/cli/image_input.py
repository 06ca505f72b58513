"""Image input: the image files that a command's arguments name, one by one, as folders or as patterns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from masklet.errors import InputNotFound
from masklet.files.error_translation import translate_read_errors
from masklet.files.image_files import IMAGE_SUFFIXES, is_pattern, match_pattern, select_images


def find_images(sources: Iterable[Path]) -> list[Path]:
    """Return image files in the order of `sources`, in which folders and patterns stand for images in natural order.

    A pattern such as `photos/*.jpg` stands for the images that match it, and for those in folders that match it. `**`
    stands for any folders. Folders inside a folder are not searched. An image that is given several times is returned
    once, by its first path. A file that does not exist is part of the result; reading it fails.

    Raises:
        InputNotFound: A folder cannot be read or has no images, or no image matches a pattern.
    """
    images: dict[Path, Path] = {}
    for source in sources:
        for image in _find_in_source(source):
            images.setdefault(_resolve_folder(image), image)
    return [*images.values()]


def _resolve_folder(file: Path) -> Path:
    """Return the absolute path of a file without symbolic links to folders. A link to a file keeps its own name."""
    return Path(os.path.realpath(file.parent), file.name)


def _find_in_source(source: Path) -> Iterator[Path]:
    if is_pattern(str(source)):
        yield from _find_in_pattern(str(source))
        return
    if not source.is_dir():
        yield source
        return
    with translate_read_errors(source):
        images = select_images(source.iterdir())
    if not images:
        message = f"{source} contains no images; the suffixes of images are {', '.join(sorted(IMAGE_SUFFIXES))}"
        raise InputNotFound("input-empty", message, path=str(source))
    yield from images


def _find_in_pattern(pattern: str) -> list[Path]:
    """Return the images that match a pattern or are in folders that match it. Raises `InputNotFound`."""
    with translate_read_errors(Path(pattern)):
        matches = match_pattern(pattern)
        images = select_images(matches)
        for folder in filter(Path.is_dir, matches):
            images += select_images(folder.iterdir())
    if not images:
        raise InputNotFound("input-not-found", f"no image matches {pattern!r}", path=pattern)
    return images
