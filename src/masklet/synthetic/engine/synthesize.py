"""Fill a folder with composed clips or pictures in the layout of a known data set; go on where an earlier run ended."""

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
from masklet.synthetic.engine.asset_bank import Bank, load_bank
from masklet.synthetic.engine.clips import ClipComposer
from masklet.synthetic.engine.compose import Composer
from masklet.synthetic.engine.dataset_writers import write_davis, write_davis_split, write_sa1b, write_sav
from masklet.synthetic.engine.samples import Clip, Sample
from masklet.synthetic.pack import Pack
from masklet.synthetic.rendering.render_cache import load_models

if TYPE_CHECKING:
    from masklet.synthetic.engine.single_sample import OneByOne

Layout = Literal["davis", "sav", "sa1b"]
Progress = Callable[[int, int], None]

RECIPE = "recipe.json"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a set is made of: with the same pack, the same recipe gives the same set, however many are written."""

    layout: Layout = "davis"
    size: int = 384
    frames: int = 24
    seed: int = 0
    held_out: bool = False
    device: str = ""  # where PyTorch composes; empty: NumPy does, which knows more tricks


def synthesize(
    pack: Pack,
    folder: Path,
    recipe: Recipe,
    count: int,
    progress: Progress = lambda done, total: None,
    loading: Progress = lambda done, total: None,
) -> None:
    """Write clips or pictures 0 to `count` - 1 of `recipe` into `folder`; those that are there are left alone.

    `loading` hears of the meshes that are rendered when the pack is used for the first time, `progress` of the set.

    Raises `ResourceError` when the folder holds another recipe's set or cannot be written.
    """
    _claim(folder, recipe)
    write = (
        _picture_writer(pack, folder, recipe, loading)
        if recipe.layout == "sa1b"
        else _clip_writer(pack, folder, recipe, loading)
    )
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # one picture per thread is faster than several threads per picture
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, written in enumerate(as_completed([pool.submit(write, number) for number in range(count)]), 1):
                written.result()
                progress(done, count)
    finally:
        cv2.setNumThreads(threads)
    if recipe.layout == "davis":
        split = "val" if recipe.held_out else "train"
        write_davis_split(folder, split, [_clip_name(number) for number in range(count)])


def _claim(folder: Path, recipe: Recipe) -> None:
    """Note the recipe in the folder, or check that it is the one noted there."""
    path = folder / RECIPE
    content = json.dumps(asdict(recipe), indent=1)
    if output_exists(path):
        if path.read_text("utf-8") != content:
            message = f"{folder} holds a set of another recipe ({RECIPE}); choose another folder, or the same options"
            raise ResourceError("output-exists", message, path=str(folder))
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise ResourceError("output-exists", f"{folder} is not empty and holds no set of ours; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as handle:
        handle.write(content.encode())


def _clip_writer(pack: Pack, folder: Path, recipe: Recipe, loading: Progress) -> Callable[[int], None]:
    sample = _clips(pack, recipe, loading)

    def write(number: int) -> None:
        name = _clip_name(number)
        last = folder / "Annotations" / "480p" / name / f"{recipe.frames - 1:05d}.png"
        if (last if recipe.layout == "davis" else folder / f"{name}_manual.json").exists():
            return
        (write_davis if recipe.layout == "davis" else write_sav)(folder, name, sample(number))

    return write


def _picture_writer(pack: Pack, folder: Path, recipe: Recipe, loading: Progress) -> Callable[[int], None]:
    sample = _pictures(pack, recipe, loading)

    def write(number: int) -> None:
        if not (folder / f"sa_{number}.json").exists():
            write_sa1b(folder, number, sample(number))

    return write


def _clips(pack: Pack, recipe: Recipe, loading: Progress) -> Callable[[int], Clip]:
    """What gives clip number so and so."""
    bank = load_bank(pack, held_out=recipe.held_out, progress=loading)
    if recipe.device:
        return partial(_on_device(bank, recipe).clip, frames=recipe.frames)
    models = load_models(pack, held_out=recipe.held_out)
    return ClipComposer(bank, models, recipe.size, recipe.frames, recipe.seed).sample


def _pictures(pack: Pack, recipe: Recipe, loading: Progress) -> Callable[[int], Sample]:
    """What gives picture number so and so."""
    bank = load_bank(pack, held_out=recipe.held_out, progress=loading)
    if recipe.device:
        return _on_device(bank, recipe).picture
    return Composer(bank, recipe.size, recipe.seed).sample


def _on_device(bank: Bank, recipe: Recipe) -> OneByOne:
    from masklet.synthetic.engine.single_sample import OneByOne  # PyTorch is needed for this alone

    return OneByOne(recipe.device, bank, recipe.size, recipe.seed)


def _clip_name(number: int) -> str:
    return f"synthetic_{number:06d}"
