"""A pack's assets decoded once and kept in memory as 8-bit pixels, ready to be composed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError
from masklet.synthetic.engine.sprites import Sprite, make_sprite
from masklet.synthetic.pack import Asset, Kind, Pack
from masklet.synthetic.rendering.render_cache import decode_parts, rendered

Pixels = NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Sprites by kind, photographs and textures; what the composers draw from."""

    sprites: dict[str, tuple[Sprite, ...]]
    photographs: tuple[Pixels, ...]
    textures: tuple[Pixels, ...]


def load_bank(
    pack: Pack,
    *,
    held_out: bool = False,
    views: int = 4,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Bank:
    """Decode the pack's training assets, or those held out for validation, with `views` renderings of each mesh.

    The renderings are made at the first call and kept beside the pack: `progress(meshes done, meshes)` tells how far.

    Raises `FormatError` when the pack has no objects or no backgrounds of that split.
    """
    kinds: tuple[Kind, ...] = ("cutout", "shaded", "drawing")
    sprites: dict[str, tuple[Sprite, ...]] = {kind: _decoded(pack, kind, held_out, make_sprite) for kind in kinds}
    if pack.of("render", held_out=held_out):  # a pack made lean has them instead of meshes
        sprites["render"] = _renderings(pack, held_out)
    elif views and pack.of("mesh", held_out=held_out):
        sprites["render"] = _renderings(rendered(pack, views, progress=progress), held_out)
    sprites = {kind: entries for kind, entries in sprites.items() if entries}
    photographs = _decoded(pack, "photograph", held_out, _as_it_is)
    textures = _decoded(pack, "texture", held_out, _as_it_is)
    if not sprites or not (photographs or textures):
        split = "held-out" if held_out else "training"
        message = f"{pack.root}: the pack has no {split} objects or backgrounds; build it from more packages"
        raise FormatError("pack-broken", message)
    return Bank(sprites, photographs or textures, textures or photographs)


def _decoded(pack: Pack, kind: Kind, held_out: bool, finish: Callable[[Pixels], T]) -> tuple[T, ...]:
    with ThreadPoolExecutor(2) as pool:
        return tuple(pool.map(lambda asset: finish(pack.picture(asset)), pack.of(kind, held_out=held_out)))


def _as_it_is(picture: Pixels) -> Pixels:
    return picture


def _renderings(renders: Pack, held_out: bool) -> tuple[Sprite, ...]:
    """A `parts` asset belongs to the `render` before it."""
    assets = renders.of("render", "parts", held_out=held_out)
    pairs = [(a, b if b is not None and b.kind == "parts" else None) for a, b in zip_longest(assets, assets[1:])]

    def decode(pair: tuple[Asset, Asset | None]) -> Sprite:
        picture, parts = pair
        return make_sprite(renders.picture(picture), parts=None if parts is None else decode_parts(renders, parts))

    with ThreadPoolExecutor(2) as pool:
        return tuple(pool.map(decode, [pair for pair in pairs if pair[0].kind == "render"]))
