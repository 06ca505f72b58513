"""Files of one image of a set: its masks as a label map, an overlay, an effect or arrays."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masklet.formats.drawn_image import DRAWN, write_drawn_image
from masklet.formats.image_dataset import DATASET_FORMATS
from masklet.masks.effects import EFFECTS, Background
from masklet.masks.masks import Masks

SUFFIXES = {
    "png": ".png",
    "overlay": ".overlay.jpg",
    "cutout": ".cutout.png",
    "blur": ".blur.jpg",
    "blur_objects": ".blur_objects.jpg",
    "spotlight": ".spotlight.jpg",
    "background": ".background.jpg",
    "rle": ".json",
    "npz": ".npz",
}
"""Suffixes of the files of an image, by format."""

SHARED_FORMATS = {name: form for name, form in DATASET_FORMATS.items() if name not in SUFFIXES}
"""Formats that hold all images of a set, by name."""

FORMATS = (*SUFFIXES, *SHARED_FORMATS)
_WITH_LOGITS = frozenset({"npz", *EFFECTS})


def list_files(image: Path, folder: Path, formats: Collection[str]) -> dict[str, Path]:
    """Return the files of an image by format, without those that all images share."""
    return {name: folder / f"{image.stem}{SUFFIXES[name]}" for name in formats if name in SUFFIXES}


def needs_logits(formats: Collection[str]) -> bool:
    """Return whether one of the formats holds or shows more than which pixels belong to an object."""
    return not _WITH_LOGITS.isdisjoint(formats)


def needs_image(formats: Collection[str]) -> bool:
    """Return whether one of the formats shows the image."""
    return not DRAWN.isdisjoint(formats)


def write_file(name: str, path: Path, masks: Masks, image: NDArray[np.uint8] | None, background: Background) -> None:
    """Write the masks of an image in one format.

    Args:
        name: A key of `SUFFIXES`.
        path: The file, which is replaced if it exists.
        masks: The masks.
        image: The image (H, W, 3), if the format shows it.
        background: What replaces the background in the format `background`.

    Raises:
        FormatError: An object id does not fit into the format.
        ResourceError: The file cannot be written.
    """
    if needs_image([name]):
        assert image is not None, "the format shows the image"
        write_drawn_image(path, name, masks, image, background)
    else:
        masks.save(path)
