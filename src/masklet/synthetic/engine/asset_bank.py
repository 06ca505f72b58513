"""Asset bank: the decoded images of a pack in memory."""

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
from masklet.synthetic.rendering.render_cache import decode_parts, render_pack

Pixels = NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class AssetBank:
    """Assets for composition.

    Attributes:
        sprites: Sprites by kind.
        photographs: Photographs (H, W, 3) uint8.
        textures: Textures (H, W, 3) uint8.
    """

    sprites: dict[str, tuple[Sprite, ...]]
    photographs: tuple[Pixels, ...]
    textures: tuple[Pixels, ...]


def load_bank(
    pack: Pack,
    *,
    held_out: bool = False,
    views: int = 4,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> AssetBank:
    """Decode the assets of a pack.

    Args:
        pack: The pack.
        held_out: Decode the assets held out for validation instead of those for training.
        views: Number of renderings of each mesh. They are made by the first call and stored in the pack's folder.
        progress: Called as `progress(done, total)` after each rendered mesh.

    Raises:
        FormatError: The pack has no objects or no backgrounds in that split.
    """
    kinds: tuple[Kind, ...] = ("cutout", "shaded", "drawing")
    sprites: dict[str, tuple[Sprite, ...]] = {kind: _decode_assets(pack, kind, held_out, make_sprite) for kind in kinds}
    if pack.of("render", held_out=held_out):  # a shrunk pack has renderings instead of meshes
        sprites["render"] = _decode_renderings(pack, held_out)
    elif views and pack.of("mesh", held_out=held_out):
        sprites["render"] = _decode_renderings(render_pack(pack, views, progress=progress), held_out)
    sprites = {kind: entries for kind, entries in sprites.items() if entries}
    photographs = _decode_assets(pack, "photograph", held_out, _return_unchanged)
    textures = _decode_assets(pack, "texture", held_out, _return_unchanged)
    if not sprites or not (photographs or textures):
        split = "held-out" if held_out else "training"
        message = f"{pack.root}: the pack has no {split} objects or backgrounds; build it from more packages"
        raise FormatError("pack-broken", message)
    return AssetBank(sprites, photographs or textures, textures or photographs)


def _decode_assets(pack: Pack, kind: Kind, held_out: bool, finish: Callable[[Pixels], T]) -> tuple[T, ...]:
    with ThreadPoolExecutor(2) as pool:
        return tuple(pool.map(lambda asset: finish(pack.read_image(asset)), pack.of(kind, held_out=held_out)))


def _return_unchanged(image: Pixels) -> Pixels:
    return image


def _decode_renderings(renders: Pack, held_out: bool) -> tuple[Sprite, ...]:
    """Decode renderings with their parts. A `parts` asset belongs to the `render` before it."""
    assets = renders.of("render", "parts", held_out=held_out)
    pairs = [(a, b if b is not None and b.kind == "parts" else None) for a, b in zip_longest(assets, assets[1:])]

    def decode(pair: tuple[Asset, Asset | None]) -> Sprite:
        render, parts = pair
        return make_sprite(renders.read_image(render), parts=None if parts is None else decode_parts(renders, parts))

    with ThreadPoolExecutor(2) as pool:
        return tuple(pool.map(decode, [pair for pair in pairs if pair[0].kind == "render"]))
