"""Real pictures and clips with label maps, cut and resized into the same samples as the composed ones.

    index.json   {"images": [{"image", "mask", "objects": [[id, name], …], "exhaustive", "source"}, …],
                  "clips": [{"clip"}, …]}

Paths are relative to the index. A label map is a PNG: 0 background, 1..n objects, 255 ignore. A clip is a folder with
`frames/` and `masks/` whose files share their names; frames without a mask file are not used.
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
from masklet.predict.crop import Crop
from masklet.synthetic.engine.samples import Clip, Sample, TargetKind
from masklet.synthetic.engine.views import random_view
from masklet.synthetic.image_filters import relabelled, resized

Labels = NDArray[np.uint8]

IGNORE = 255
LEAST_PIXELS = 24
"""Objects smaller than this in the resized crop are no targets."""
STUFF = frozenset({"street", "facade", "vegetation", "non-building-infrastructure"})
"""Names whose masks are stretches of scenery rather than objects."""


@dataclass(frozen=True, slots=True)
class RealEntry:
    """One labelled picture: its files, the names of its objects, and whether everything in it is labelled."""

    image: Path
    mask: Path
    names: tuple[tuple[int, str], ...]
    exhaustive: bool
    source: str


@dataclass(frozen=True, slots=True)
class RealPictures:
    """`sample(index)` gives a random square view, `size` pixels, of a random labelled picture.

    Pictures with rare names are drawn more often, so that people do not crowd out the others; a view is the whole
    picture or a window around one object. Where an entry is not `exhaustive`, neither is the sample.
    """

    entries: tuple[RealEntry, ...]
    size: int
    seed: int

    def sample(self, index: int) -> Sample:
        """View number `index`, the same for ever for this seed; at least one target."""
        shares = _shares(self.entries)
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, attempt))
            entry = self.entries[int(rng.choice(len(self.entries), p=shares))]
            image, labels = read_labelled(entry.image, entry.mask)
            view = _random_view(rng, labels)
            if view is None:
                continue
            [(image, labels)] = _seen([(image, labels)], view, self.size)
            numbers = [number for number, pixels in _areas(labels) if pixels >= LEAST_PIXELS]
            if numbers:
                names = dict(entry.names)
                kinds: tuple[TargetKind, ...] = tuple(
                    "region" if names.get(n) in STUFF else "instance" for n in numbers
                )
                return Sample(image, np.stack([labels == n for n in numbers]), kinds, entry.exhaustive)
        raise AssertionError(f"no object in 100 views (seed {self.seed}, index {index})")


@dataclass(frozen=True, slots=True)
class RealClips:
    """`sample(index)` gives `frames` labelled frames of a random clip, all seen through one random square view."""

    folders: tuple[Path, ...]
    size: int
    frames: int
    seed: int

    def sample(self, index: int) -> Clip:
        """Clip number `index`: consecutive labelled frames or every second or third, forwards or backwards."""
        for attempt in range(100):
            rng = np.random.default_rng((self.seed, index, attempt))
            folder = self.folders[int(rng.integers(len(self.folders)))]
            chosen = [read_labelled(*pair) for pair in _chosen_frames(rng, folder, self.frames)]
            view = _random_view(rng, chosen[0][1])
            if view is None:
                continue
            seen = _seen(chosen, view, self.size)
            numbers = [number for number, pixels in _areas(seen[0][1]) if pixels >= LEAST_PIXELS]
            if numbers:
                masks = np.stack([np.stack([labels == n for n in numbers]) for _, labels in seen])
                kinds: tuple[TargetKind, ...] = tuple("instance" for _ in numbers)
                return Clip(np.stack([image for image, _ in seen]), masks, kinds)
        raise AssertionError(f"no object in 100 clips (seed {self.seed}, index {index})")


def real_pictures(index: Path, size: int, seed: int) -> RealPictures:
    """The pictures of an index file. Raises `InputNotFound`, or `FormatError` naming the entry that is wrong."""
    entries = [_entry(index, number, row) for number, row in enumerate(_read_index(index).get("images", []))]
    missing = next((path for entry in entries for path in (entry.image, entry.mask) if not path.is_file()), None)
    if missing is not None:
        raise InputNotFound("input-not-found", f"{missing}: named by {index} but not there", path=str(missing))
    if not entries:
        raise FormatError("dataset-broken", f"{index}: no images in it")
    return RealPictures(tuple(entries), size, seed)


def has_clips(index: Path) -> bool:
    """Whether an index file names clips. Raises like `real_pictures`."""
    return bool(_read_index(index).get("clips"))


def real_clips(index: Path, size: int, frames: int, seed: int) -> RealClips:
    """The clips of an index file that have enough labelled frames. Raises like `real_pictures`."""
    folders = [index.parent / check_relative(row["clip"], index) for row in _read_index(index).get("clips", [])]
    folders = [folder for folder in folders if len(_labelled_frames(folder)) >= frames]
    if not folders:
        raise FormatError("dataset-broken", f"{index}: no clip in it has {frames} labelled frames")
    return RealClips(tuple(folders), size, frames, seed)


def read_labelled(image: Path, mask: Path) -> tuple[NDArray[np.uint8], Labels]:
    """A picture (H, W, 3) RGB and its label map (H, W); palette files give their indices."""
    from PIL import Image  # only here: palette PNGs must not be expanded to colours

    pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)
    if pixels is None:
        raise FormatError("image-broken", f"{image}: cannot be decoded", path=str(image))
    with Image.open(mask) as picture:
        labels = np.asarray(picture if picture.mode == "P" else picture.convert("L"), np.uint8)
    if labels.shape != pixels.shape[:2]:
        message = f"{mask}: label map is {labels.shape}, its picture {pixels.shape[:2]}; they must be equal"
        raise FormatError("dataset-broken", message, path=str(mask))
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8), labels


def _read_index(index: Path) -> dict[str, Any]:
    if not index.is_file():
        raise InputNotFound("input-not-found", f"{index}: no such index of real pictures", path=str(index))
    try:
        content = json.loads(index.read_text("utf-8"))
    except ValueError as error:
        raise FormatError("dataset-broken", f"{index}: not JSON ({error})", path=str(index)) from error
    if not isinstance(content, dict):
        raise FormatError("dataset-broken", f"{index}: expected an object with images and clips", path=str(index))
    return content


def _entry(index: Path, number: int, row: dict[str, Any]) -> RealEntry:
    try:
        names = tuple((int(key), str(name)) for key, name in row["objects"])
        image, mask = (index.parent / check_relative(row[key], index) for key in ("image", "mask"))
        return RealEntry(image, mask, names, bool(row["exhaustive"]), str(row["source"]))
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError("dataset-broken", f"{index}: images[{number}] is wrong ({error!r})") from error


@lru_cache(maxsize=8)
def _shares(entries: tuple[RealEntry]) -> NDArray[np.float64]:
    """How often each picture is drawn: the root of how rare its rarest name is, sources by their number of pictures."""
    counts: dict[str, int] = {}
    for entry in entries:
        for _, name in entry.names:
            counts[name] = counts.get(name, 0) + 1
    rarity = np.array([max((counts[name] ** -0.5 for _, name in entry.names), default=0.1) for entry in entries])
    for source in {entry.source for entry in entries}:
        member = np.array([entry.source == source for entry in entries])
        rarity[member] *= member.sum() / rarity[member].sum()
    return np.asarray(rarity / rarity.sum())


def _areas(labels: Labels) -> list[tuple[int, int]]:
    counts = np.bincount(labels.ravel(), minlength=256)
    return [(number, int(counts[number])) for number in range(1, IGNORE) if counts[number]]


def _random_view(rng: Generator, labels: Labels) -> Crop | None:
    """A view of a picture with labels, rather of a large object than of a small one; None where nothing is labelled."""
    areas = _areas(labels)
    if not areas:
        return None
    weights = np.log1p([pixels for _, pixels in areas])
    number = areas[int(rng.choice(len(areas), p=weights / weights.sum()))][0]
    return random_view(labels == number, rng)


def _seen(
    frames: Sequence[tuple[NDArray[np.uint8], Labels]], view: Crop, size: int
) -> list[tuple[NDArray[np.uint8], Labels]]:
    """The window of every frame, resized to (size, size)."""
    return [
        (resized(view.cut(image), (size, size)), relabelled(view.cut(labels), (size, size))) for image, labels in frames
    ]


def _labelled_frames(folder: Path) -> list[tuple[Path, Path]]:
    frames = {path.stem: path for path in sorted((folder / "frames").glob("*.*"))}
    return [(frames[mask.stem], mask) for mask in sorted((folder / "masks").glob("*.png")) if mask.stem in frames]


def _chosen_frames(rng: Generator, folder: Path, count: int) -> list[tuple[Path, Path]]:
    available = _labelled_frames(folder)
    stride = int(rng.integers(1, min(3, (len(available) - 1) // max(1, count - 1)) + 1))
    start = int(rng.integers(0, len(available) - stride * (count - 1)))
    chosen = available[start : start + stride * (count - 1) + 1 : stride]
    return chosen[::-1] if rng.random() < 0.3 else chosen
