"""Datasets of composed clips or images, in the layout of DAVIS, SA-V or SA-1B."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2

from masklet.errors import ResourceError
from masklet.files.atomic import atomic_write
from masklet.files.outputs import output_exists
from masklet.synthetic.engine.asset_bank import AssetBank, load_bank
from masklet.synthetic.engine.clips import ClipComposer
from masklet.synthetic.engine.compose import ImageComposer
from masklet.synthetic.engine.dataset_writers import write_davis, write_davis_split, write_sa1b, write_sav
from masklet.synthetic.engine.samples import Clip, Sample
from masklet.synthetic.pack import Pack
from masklet.synthetic.rendering.render_cache import load_meshes

if TYPE_CHECKING:
    from masklet.synthetic.engine.single_sample import SingleSampleComposer

Layout = Literal["davis", "sav", "sa1b"]
Progress = Callable[[int, int], None]

RECIPE = "recipe.json"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a composed dataset. The same pack and recipe give the same clips or images, for any count.

    Attributes:
        layout: Layout of the dataset.
        size: Height and width in pixels.
        frames: Frames per clip.
        seed: Random seed.
        held_out: Use the assets held out for validation.
        device: PyTorch device to compose on. Empty: compose with NumPy, which has more kinds of blending and bending.
    """

    layout: Layout = "davis"
    size: int = 384
    frames: int = 24
    seed: int = 0
    held_out: bool = False
    device: str = ""


def synthesize(
    pack: Pack,
    folder: Path,
    recipe: Recipe,
    count: int,
    progress: Progress = lambda done, total: None,
    loading: Progress = lambda done, total: None,
) -> None:
    """Write a dataset, or the missing part of it.

    Args:
        pack: The pack to compose from.
        folder: Folder of the dataset.
        recipe: Settings of the dataset.
        count: Number of clips or images.
        progress: Called as `progress(done, total)` after each clip or image.
        loading: Called as `loading(done, total)` after each mesh, if the meshes have not been rendered before.

    Raises:
        ResourceError: The folder has other files or a dataset of another recipe, or cannot be written.
    """
    _claim_folder(folder, recipe)
    write = (
        _make_image_writer(pack, folder, recipe, loading)
        if recipe.layout == "sa1b"
        else _make_clip_writer(pack, folder, recipe, loading)
    )
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # one image per thread takes less time than several threads per image
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, future in enumerate(as_completed([pool.submit(write, number) for number in range(count)]), 1):
                future.result()
                progress(done, count)
    finally:
        cv2.setNumThreads(threads)
    if recipe.layout == "davis":
        split = "val" if recipe.held_out else "train"
        write_davis_split(folder, split, [_format_clip_name(number) for number in range(count)])


def _claim_folder(folder: Path, recipe: Recipe) -> None:
    """Write the recipe to an empty folder, or check that the folder has the same recipe."""
    path = folder / RECIPE
    content = json.dumps(asdict(recipe), indent=1)
    if output_exists(path):
        if path.read_text("utf-8") != content:
            message = f"{folder} has a dataset of another recipe ({RECIPE}); choose another folder, or the same options"
            raise ResourceError("output-exists", message, path=str(folder))
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise ResourceError("output-exists", f"{folder} is not empty and has no {RECIPE}; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as handle:
        handle.write(content.encode())


def _make_clip_writer(pack: Pack, folder: Path, recipe: Recipe, loading: Progress) -> Callable[[int], None]:
    sample = _make_clip_source(pack, recipe, loading)

    def write(number: int) -> None:
        name = _format_clip_name(number)
        last = folder / "Annotations" / "480p" / name / f"{recipe.frames - 1:05d}.png"
        if (last if recipe.layout == "davis" else folder / f"{name}_manual.json").exists():
            return
        (write_davis if recipe.layout == "davis" else write_sav)(folder, name, sample(number))

    return write


def _make_image_writer(pack: Pack, folder: Path, recipe: Recipe, loading: Progress) -> Callable[[int], None]:
    sample = _make_image_source(pack, recipe, loading)

    def write(number: int) -> None:
        if not (folder / f"sa_{number}.json").exists():
            write_sa1b(folder, number, sample(number))

    return write


def _make_clip_source(pack: Pack, recipe: Recipe, loading: Progress) -> Callable[[int], Clip]:
    """Return the function that composes clip `number`."""
    bank = load_bank(pack, held_out=recipe.held_out, progress=loading)
    if recipe.device:
        return partial(_make_device_composer(bank, recipe).sample_clip, frames=recipe.frames)
    meshes = load_meshes(pack, held_out=recipe.held_out)
    return ClipComposer(bank, meshes, recipe.size, recipe.frames, recipe.seed).sample


def _make_image_source(pack: Pack, recipe: Recipe, loading: Progress) -> Callable[[int], Sample]:
    """Return the function that composes image `number`."""
    bank = load_bank(pack, held_out=recipe.held_out, progress=loading)
    if recipe.device:
        return _make_device_composer(bank, recipe).sample_image
    return ImageComposer(bank, recipe.size, recipe.seed).sample


def _make_device_composer(bank: AssetBank, recipe: Recipe) -> SingleSampleComposer:
    from masklet.synthetic.engine.single_sample import SingleSampleComposer  # needs PyTorch

    return SingleSampleComposer(recipe.device, bank, recipe.size, recipe.seed)


def _format_clip_name(number: int) -> str:
    return f"synthetic_{number:06d}"
