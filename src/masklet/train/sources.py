"""Where training pictures and clips come from: the engine's packs and labelled data, mixed by weight."""

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
from masklet.synthetic.engine.asset_bank import Bank, load_bank
from masklet.synthetic.engine.clips import ClipComposer
from masklet.synthetic.engine.compose import Composer, PictureSettings
from masklet.synthetic.engine.real_objects import enriched
from masklet.synthetic.engine.real_samples import has_clips, read_labelled, real_clips, real_pictures
from masklet.synthetic.engine.samples import Clip, Sample
from masklet.synthetic.engine.views import CLOSE
from masklet.synthetic.pack import BLOB, INDEX, open_pack
from masklet.synthetic.rendering.render_cache import load_models
from masklet.synthetic.rendering.renderer import Model
from masklet.train.dataset_samples import DatasetClipSampler, DatasetImageSampler, check_dataset
from masklet.train.leakage_guard import ProtectedFile, check_leakage

EASY_COMPOSITION = PictureSettings(objects=(1, 3), area=(0.05, 0.6))
MIN_TARGET_AREA_PX = 24.0  # pixels of a target at the size it is trained at: of what is smaller little is seen


def composition_settings(size: int) -> PictureSettings:
    """What pictures of a size hold when nothing is made easy: targets of every area that can be learned at it."""
    return PictureSettings(area=(max(0.001, MIN_TARGET_AREA_PX / size**2), 0.6))


def large_object_fraction(easy: float) -> float:
    """The share of composed pictures with few and large objects: so many are made easy, and of the others as many as
    there are close views of real ones."""
    return 1 - (1 - easy) * (1 - CLOSE)


class ImageSampler(Protocol):
    """An endless set: `sample(index)` is picture number `index`, the same for ever."""

    def sample(self, index: int) -> Sample: ...


class ClipSampler(Protocol):
    """An endless set of clips."""

    def sample(self, index: int) -> Clip: ...


class Source(Protocol):
    """Data that can be had at any size."""

    @property
    def is_composed(self) -> bool:
        """Whether the engine makes it, and can make it easy."""

    @property
    def has_only_images(self) -> bool:
        """Whether there are no clips in it, so that a wandering camera has to make them of pictures."""

    def make_image_sampler(self, size: int, *, easy: bool) -> ImageSampler: ...

    def make_clip_sampler(self, size: int, frames: int) -> ClipSampler: ...


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticSource:
    """What is composed from a pack."""

    bank: Bank
    models: Callable[[], tuple[Model, ...]]
    seed: int
    is_composed: bool = True
    has_only_images: bool = False

    def make_image_sampler(self, size: int, *, easy: bool) -> ImageSampler:
        return Composer(self.bank, size, self.seed, EASY_COMPOSITION if easy else composition_settings(size))

    def make_clip_sampler(self, size: int, frames: int) -> ClipSampler:
        return ClipComposer(self.bank, self.models(), size, frames, self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class IndexedSource:
    """Real pictures and clips with label maps, named by an index file."""

    index: Path
    seed: int
    has_only_images: bool = False
    is_composed: bool = False

    def make_image_sampler(self, size: int, *, easy: bool) -> ImageSampler:
        return real_pictures(self.index, size, self.seed)

    def make_clip_sampler(self, size: int, frames: int) -> ClipSampler:
        return real_clips(self.index, size, frames, self.seed)


@dataclass(frozen=True, slots=True, eq=False)
class DatasetSource:
    """A data set in any layout that `masklet evaluate` reads."""

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
    """Several sources, each with a weight."""

    sources: tuple[Source, ...]
    weights: tuple[float, ...]

    @property
    def without_composed(self) -> Mixture:
        """The sources that are read, not composed, as a mixture of their own."""
        kept = [place for place, source in enumerate(self.sources) if not source.is_composed]
        return Mixture(tuple(self.sources[k] for k in kept), tuple(self.weights[k] for k in kept))

    def draw_source(self, rng: Generator, *, easy: bool = False) -> int:
        """Which source the next sample is from; easy ones come from the engine, if there is one."""
        composed = [source.is_composed for source in self.sources]
        shares = np.array(self.weights) * (composed if easy and any(composed) else 1)
        return int(rng.choice(len(shares), p=shares / shares.sum()))


def open_mixture(texts: Sequence[str], seed: int, protected: Sequence[ProtectedFile] = ()) -> Mixture:
    """Data named as `path` or `path=weight`: see `open_source`. Raises `SettingsError` where there is none, or where a
    `frozen` file is among it."""
    if not texts:
        raise SettingsError("bad-settings", "no data to train on; name some with --data PATH")
    cv2.setNumThreads(0)  # OpenCV's pool of threads does not survive the fork into processes that compose batches
    named = [_parse_weight(text) for text in texts]
    if protected:
        check_leakage([path for path, _ in named], protected)
    sources = [open_source(path, seed) for path, _ in named]
    labelled = [source for source in sources if isinstance(source, IndexedSource)]
    return Mixture(tuple(_add_real_objects(source, labelled) for source in sources), tuple(share for _, share in named))


def open_source(path: Path, seed: int, *, held_out: bool = False) -> Source:
    """The data at `path`, checked: a pack's folder, the index file of labelled pictures, or any annotated data set.

    Of a pack with `held_out` the assets that training never sees. Raises `InputNotFound`, or `FormatError` and
    `ImageError` naming the file that is broken.
    """
    if not path.exists():
        raise InputNotFound("input-not-found", f"{path}: no such training data", path=str(path))
    if (path / INDEX).is_file() and (path / BLOB).is_file():
        pack = open_pack(path)
        models = cache(lambda: load_models(pack, held_out=held_out))  # half a minute, which pictures do without
        return SyntheticSource(load_bank(pack, held_out=held_out), models, seed)
    if path.name == INDEX:
        for entry in real_pictures(path, 256, seed).entries:
            read_labelled(entry.image, entry.mask)
        return IndexedSource(path, seed, has_only_images=not has_clips(path))
    check_dataset(open_images(path))
    return DatasetSource(path, seed, has_only_images=not _has_clips(path))


def _add_real_objects(source: Source, labelled: Sequence[IndexedSource]) -> Source:
    """A pack that composes the objects and photographs of labelled pictures too; another source as it is."""
    if not isinstance(source, SyntheticSource):
        return source
    for pictures in labelled:
        source = replace(source, bank=enriched(source.bank, real_pictures(pictures.index, 256, pictures.seed)))
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
