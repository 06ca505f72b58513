"""Samples of labeled images and clips: random crops, resized to the size of composed samples.

    index.json   {"images": [{"image", "mask", "objects": [[id, name], …], "exhaustive", "source"}, …],
                  "clips": [{"clip"}, …]}

Paths are relative to the index. A label map is a PNG file: 0 background, 1 to 254 objects, 255 ignored. A clip is a
folder with `frames/` and `masks/` whose files have the same names. Frames without a mask file are not used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from masklet.errors import FormatError, InputNotFound
from masklet.files.names import check_relative
from masklet.masks.crop import Crop
from masklet.synthetic.engine.samples import Clip, Sample, TargetKind
from masklet.synthetic.engine.views import sample_crop
from masklet.synthetic.image_filters import resize, resize_labels

Labels = NDArray[np.uint8]

IGNORE = 255
MIN_PIXELS = 24
"""Objects with fewer pixels in the resized crop are no targets."""
STUFF = frozenset({"street", "facade", "vegetation", "non-building-infrastructure"})
"""Names whose masks are regions of the background instead of objects."""


@dataclass(frozen=True, slots=True)
class RealImage:
    """A labeled image of an index file.

    Attributes:
        image: The image file.
        mask: The label map.
        names: Label and name of each object.
        exhaustive: Every object in the image is labeled.
        source: Name of the source that the image is from.
    """

    image: Path
    mask: Path
    names: tuple[tuple[int, str], ...]
    exhaustive: bool
    source: str


@dataclass(frozen=True, slots=True)
class RealImages:
    """Samples random crops of labeled images, resized to `size` × `size` pixels.

    Images with rare names are sampled more often. A crop is the full image or contains one random object.
    """

    entries: tuple[RealImage, ...]
    size: int
    seed: int

    def sample(self, index: int) -> Sample:
        """Return crop number `index` with at least one target. The same seed and number give the same crop."""
        shares = _compute_shares(self.entries)
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, attempt))
            entry = self.entries[int(rng.choice(len(self.entries), p=shares))]
            image, labels = read_labeled_image(entry.image, entry.mask)
            crop = _sample_crop(rng, labels)
            if crop is None:
                continue
            [(image, labels)] = _crop_frames([(image, labels)], crop, self.size)
            numbers = [number for number, pixels in _measure_areas(labels) if pixels >= MIN_PIXELS]
            if numbers:
                names = dict(entry.names)
                kinds: tuple[TargetKind, ...] = tuple(
                    "region" if names.get(n) in STUFF else "instance" for n in numbers
                )
                return Sample(image, np.stack([labels == n for n in numbers]), kinds, entry.exhaustive)
        raise AssertionError(f"no object in 100 crops (seed {self.seed}, index {index})")


@dataclass(frozen=True, slots=True)
class RealClips:
    """Samples `frames` labeled frames of random clips, with one random crop per sample, resized to `size` pixels."""

    folders: tuple[Path, ...]
    size: int
    frames: int
    seed: int

    def sample(self, index: int) -> Clip:
        """Return sample number `index`: consecutive labeled frames or every second or third, forward or backward."""
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, attempt))
            folder = self.folders[int(rng.integers(len(self.folders)))]
            chosen = [read_labeled_image(*pair) for pair in _sample_frames(rng, folder, self.frames)]
            crop = _sample_crop(rng, chosen[0][1])
            if crop is None:
                continue
            cropped = _crop_frames(chosen, crop, self.size)
            numbers = [number for number, pixels in _measure_areas(cropped[0][1]) if pixels >= MIN_PIXELS]
            if numbers:
                masks = np.stack([np.stack([labels == n for n in numbers]) for _, labels in cropped])
                kinds: tuple[TargetKind, ...] = tuple("instance" for _ in numbers)
                return Clip(np.stack([image for image, _ in cropped]), masks, kinds)
        raise AssertionError(f"no object in 100 clips (seed {self.seed}, index {index})")


def open_real_images(index: Path, size: int, seed: int) -> RealImages:
    """Open the images of an index file.

    Args:
        index: The index file.
        size: Height and width of the samples in pixels.
        seed: Random seed of the crops.

    Raises:
        InputNotFound: The index or a file that it names is missing.
        FormatError: The index or one of its entries is broken, or there are no images.
    """
    entries = [_parse_entry(index, number, row) for number, row in enumerate(_read_index(index).get("images", []))]
    missing = next((path for entry in entries for path in (entry.image, entry.mask) if not path.is_file()), None)
    if missing is not None:
        raise InputNotFound(
            "input-not-found",
            f"{missing}: listed in {index} but missing; add the file or remove the entry",
            path=str(missing),
        )
    if not entries:
        raise FormatError("dataset-broken", f"{index}: lists no images; add some")
    return RealImages(tuple(entries), size, seed)


def has_clips(index: Path) -> bool:
    """Return whether an index file lists clips. Raises the errors of `open_real_images`."""
    return bool(_read_index(index).get("clips"))


def open_real_clips(index: Path, size: int, frames: int, seed: int) -> RealClips:
    """Open the clips of an index file with at least `frames` labeled frames. Raises like `open_real_images`."""
    folders = [index.parent / check_relative(row["clip"], index) for row in _read_index(index).get("clips", [])]
    folders = [folder for folder in folders if len(_find_labeled_frames(folder)) >= frames]
    if not folders:
        raise FormatError("dataset-broken", f"{index}: no clip has {frames} labeled frames; train on fewer frames")
    return RealClips(tuple(folders), size, frames, seed)


def read_labeled_image(image: Path, mask: Path) -> tuple[NDArray[np.uint8], Labels]:
    """Read an RGB image (H, W, 3) and its label map (H, W). The labels of a palette file are its indices.

    Raises:
        FormatError: The image cannot be decoded, or the sizes differ.
    """
    from PIL import Image  # OpenCV would expand palettes to colors

    pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)
    if pixels is None:
        raise FormatError("image-broken", f"{image}: cannot be decoded; replace the file", path=str(image))
    with Image.open(mask) as label_map:
        labels = np.asarray(label_map if label_map.mode == "P" else label_map.convert("L"), np.uint8)
    if labels.shape != pixels.shape[:2]:
        message = f"{mask}: the label map is {labels.shape}, its image {pixels.shape[:2]}; the sizes must be equal"
        raise FormatError("dataset-broken", message, path=str(mask))
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8), labels


def _read_index(index: Path) -> dict[str, Any]:
    if not index.is_file():
        raise InputNotFound("input-not-found", f"{index}: no such index of labeled images", path=str(index))
    try:
        content = json.loads(index.read_text("utf-8"))
    except ValueError as error:
        raise FormatError(
            "dataset-broken", f"{index}: not JSON ({error}); write the index again", path=str(index)
        ) from error
    if not isinstance(content, dict):
        raise FormatError("dataset-broken", f"{index}: expected a JSON object with images and clips", path=str(index))
    return content


def _parse_entry(index: Path, number: int, row: dict[str, Any]) -> RealImage:
    try:
        names = tuple((int(key), str(name)) for key, name in row["objects"])
        image, mask = (index.parent / check_relative(row[key], index) for key in ("image", "mask"))
        return RealImage(image, mask, names, bool(row["exhaustive"]), str(row["source"]))
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            "dataset-broken", f"{index}: images[{number}] is invalid ({error!r}); see the format of the index"
        ) from error


@lru_cache(maxsize=8)
def _compute_shares(entries: tuple[RealImage]) -> NDArray[np.float64]:
    """Return the probability of each image.

    Within a source it is proportional to the inverse square root of the frequency of the image's rarest name. The
    probability of a source is proportional to its number of images.
    """
    counts: dict[str, int] = {}
    for entry in entries:
        for _, name in entry.names:
            counts[name] = counts.get(name, 0) + 1
    rarity = np.array([max((counts[name] ** -0.5 for _, name in entry.names), default=0.1) for entry in entries])
    for source in {entry.source for entry in entries}:
        member = np.array([entry.source == source for entry in entries])
        rarity[member] *= member.sum() / rarity[member].sum()
    return np.asarray(rarity / rarity.sum())


def _measure_areas(labels: Labels) -> list[tuple[int, int]]:
    """Return the label and the number of pixels of each object."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return [(number, int(counts[number])) for number in range(1, IGNORE) if counts[number]]


def _sample_crop(rng: Generator, labels: Labels) -> Crop | None:
    """Sample a crop with an object, larger objects more often; None if the image has no labels."""
    areas = _measure_areas(labels)
    if not areas:
        return None
    weights = np.log1p([pixels for _, pixels in areas])
    number = areas[int(rng.choice(len(areas), p=weights / weights.sum()))][0]
    return sample_crop(labels == number, rng)


def _crop_frames(
    frames: Sequence[tuple[NDArray[np.uint8], Labels]], crop: Crop, size: int
) -> list[tuple[NDArray[np.uint8], Labels]]:
    """Crop every frame and its label map, and resize both to (size, size)."""
    return [
        (resize(crop.cut(image), (size, size)), resize_labels(crop.cut(labels), (size, size)))
        for image, labels in frames
    ]


def _find_labeled_frames(folder: Path) -> list[tuple[Path, Path]]:
    """Return the frame and mask files of a clip that has both, in the order of their names."""
    frames = {path.stem: path for path in sorted((folder / "frames").glob("*.*"))}
    return [(frames[mask.stem], mask) for mask in sorted((folder / "masks").glob("*.png")) if mask.stem in frames]


def _sample_frames(rng: Generator, folder: Path, count: int) -> list[tuple[Path, Path]]:
    available = _find_labeled_frames(folder)
    stride = int(rng.integers(1, min(3, (len(available) - 1) // max(1, count - 1)) + 1))
    start = int(rng.integers(0, len(available) - stride * (count - 1)))
    chosen = available[start : start + stride * (count - 1) + 1 : stride]
    return chosen[::-1] if rng.random() < 0.3 else chosen
