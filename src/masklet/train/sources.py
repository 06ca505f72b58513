"""Sources of training images and clips: packs, indexed label maps and annotated datasets, mixed by weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.random import Generator

from masklet.datasets.layouts import open_clips, open_images
from masklet.errors import InputNotFound, MaskletError, SettingsError
from masklet.synthetic.engine.asset_bank import AssetBank, load_bank
from masklet.synthetic.engine.clips import ClipComposer
from masklet.synthetic.engine.compose import ImageComposer, ImageSettings
from masklet.synthetic.engine.real_objects import add_real_objects
from masklet.synthetic.engine.real_samples import has_clips, open_real_clips, open_real_images, read_labeled_image
from masklet.synthetic.engine.samples import Clip, Sample
from masklet.synthetic.engine.views import CLOSE_UP_SHARE
from masklet.synthetic.pack import BLOB, INDEX, open_pack
from masklet.synthetic.rendering.render_cache import load_meshes
from masklet.synthetic.rendering.renderer import TexturedMesh
from masklet.train.dataset_samples import DatasetClipSampler, DatasetImageSampler, check_dataset
from masklet.train.leakage_guard import ProtectedFile, check_leakage

EASY_COMPOSITION = ImageSettings(objects=(1, 3), area=(0.05, 0.6))
"""Images of few, large objects."""
MIN_TARGET_AREA_PX = 24.0  # at the size of training; smaller targets show little


def composition_settings(size: int) -> ImageSettings:
    """Return the settings of usual synthetic images: targets of every area that can be learned at `size` pixels."""
    return ImageSettings(area=(max(0.001, MIN_TARGET_AREA_PX / size**2), 0.6))


def large_object_fraction(easy: float) -> float:
    """Return the fraction of synthetic images with few, large objects.

    It is the fraction `easy`, and of the other images as many as there are close-ups among views of real images.
    """
    return 1 - (1 - easy) * (1 - CLOSE_UP_SHARE)


class ImageSampler(Protocol):
    """An infinite sequence of annotated images: an index always gives the same sample."""

    def sample(self, index: int) -> Sample: ...


class ClipSampler(Protocol):
    """An infinite sequence of annotated clips: an index always gives the same clip."""

    def sample(self, index: int) -> Clip: ...


class Source(Protocol):
    """Training data that can be sampled at any size."""

    @property
    def is_composed(self) -> bool:
        """Whether the data is synthetic, so that there are easy images."""

    @property
    def has_only_images(self) -> bool:
        """Whether clips have to be made of images, by a moving camera."""

    def make_image_sampler(self, size: int, *, easy: bool) -> ImageSampler: ...

    def make_clip_sampler(self, size: int, frames: int) -> ClipSampler: ...


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticSource:
    """Images and clips composed from the assets of a pack."""

    bank: AssetBank
    models: Callable[[], tuple[TexturedMesh, ...]]
    seed: int
    is_composed: bool = True
    has_only_images: bool = False

    def make_image_sampler(self, size: int, *, easy: bool) -> ImageSampler:
        return ImageComposer(self.bank, size, self.seed, EASY_COMPOSITION if easy else composition_settings(size))

    def make_clip_sampler(self, size: int, frames: int) -> ClipSampler:
        return ClipComposer(self.bank, self.models(), size, frames, self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class IndexedSource:
    """Real images and clips with label maps, listed in an index file."""

    index: Path
    seed: int
    has_only_images: bool = False
    is_composed: bool = False

    def make_image_sampler(self, size: int, *, easy: bool) -> ImageSampler:
        return open_real_images(self.index, size, self.seed)

    def make_clip_sampler(self, size: int, frames: int) -> ClipSampler:
        return open_real_clips(self.index, size, frames, self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetSource:
    """A dataset in any layout that `masklet evaluate` reads."""

    path: Path
    seed: int
    has_only_images: bool = False
    is_composed: bool = False

    def make_image_sampler(self, size: int, *, easy: bool) -> ImageSampler:
        return DatasetImageSampler(open_images(self.path), size, self.seed)

    def make_clip_sampler(self, size: int, frames: int) -> ClipSampler:
        return DatasetClipSampler(open_clips(self.path), size, frames, self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Several sources with sampling weights."""

    sources: tuple[Source, ...]
    weights: tuple[float, ...]

    @property
    def without_composed(self) -> Mixture:
        """The mixture without synthetic sources."""
        indices = [index for index, source in enumerate(self.sources) if not source.is_composed]
        return Mixture(tuple(self.sources[k] for k in indices), tuple(self.weights[k] for k in indices))

    def draw_source(self, rng: Generator, *, easy: bool = False) -> int:
        """Draw the index of the next sample's source. Easy samples come from synthetic sources, if there are any."""
        composed = [source.is_composed for source in self.sources]
        shares = np.array(self.weights) * (composed if easy and any(composed) else 1)
        return int(rng.choice(len(shares), p=shares / shares.sum()))


def open_mixture(texts: Sequence[str], seed: int, protected: Sequence[ProtectedFile] = ()) -> Mixture:
    """Open the sources that are named as `path` or `path=weight`; see `open_source`.

    Args:
        texts: The sources.
        seed: The seed of the samplers.
        protected: Files that must not be among the data.

    Raises:
        SettingsError: There is no source, a weight is not a positive number, or a protected file is among the data.
        InputNotFound, FormatError, ImageError: A source is missing or broken.
    """
    if not texts:
        raise SettingsError("bad-settings", "there is no data to train on; add some with --data PATH")
    cv2.setNumThreads(0)  # OpenCV's thread pool does not survive the fork into worker processes
    weighted = [_parse_weight(text) for text in texts]
    if protected:
        check_leakage([path for path, _ in weighted], protected)
    sources = [open_source(path, seed) for path, _ in weighted]
    indexed = [source for source in sources if isinstance(source, IndexedSource)]
    with_objects = tuple(_add_real_objects(source, indexed) for source in sources)
    return Mixture(with_objects, tuple(weight for _, weight in weighted))


def open_source(path: Path, seed: int, *, held_out: bool = False) -> Source:
    """Open and check the data at `path`: the folder of a pack, an index file, or an annotated dataset.

    Args:
        path: The data.
        seed: The seed of the samplers.
        held_out: Use the assets of a pack that training never uses.

    Raises:
        InputNotFound: There is nothing at `path`.
        FormatError, ImageError: A file is broken; the error names it.
    """
    if not path.exists():
        raise InputNotFound("input-not-found", f"{path}: there is no such training data", path=str(path))
    if (path / INDEX).is_file() and (path / BLOB).is_file():
        pack = open_pack(path)
        models = cache(lambda: load_meshes(pack, held_out=held_out))  # only clips need them; loading takes 30 s
        return SyntheticSource(load_bank(pack, held_out=held_out), models, seed)
    if path.name == INDEX:
        for entry in open_real_images(path, 256, seed).entries:
            read_labeled_image(entry.image, entry.mask)
        return IndexedSource(path, seed, has_only_images=not has_clips(path))
    check_dataset(open_images(path))
    return DatasetSource(path, seed, has_only_images=not _has_clips(path))


def _add_real_objects(source: Source, indexed: Sequence[IndexedSource]) -> Source:
    """Add the objects and photographs of indexed images to a synthetic source; return other sources unchanged."""
    if not isinstance(source, SyntheticSource):
        return source
    for images in indexed:
        source = replace(source, bank=add_real_objects(source.bank, open_real_images(images.index, 256, images.seed)))
    return source


def _has_clips(path: Path) -> bool:
    try:
        return any(len(clip.annotated_frames) > 1 for clip in open_clips(path))
    except MaskletError:
        return False


def _parse_weight(text: str) -> tuple[Path, float]:
    path, equals, weight = text.rpartition("=")
    if not equals:
        return Path(text), 1.0
    try:
        value = float(weight)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise SettingsError("bad-settings", f"the weight after = must be a positive number, got {text!r}")
    return Path(path), value
