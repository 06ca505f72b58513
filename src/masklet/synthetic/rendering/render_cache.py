"""Views of a pack's meshes, rendered once and kept beside the pack, so that composing has nothing to render."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.synthetic.pack import INDEX, Asset, Pack, encode_picture, open_pack, write_pack
from masklet.synthetic.rendering.meshes import decode_mesh
from masklet.synthetic.rendering.renderer import Model, random_view, render_cropped

RENDERER = 1
"""Counts up when renderings would look different, so that older ones are not taken for new."""
QUALITY = 90


def rendered(
    pack: Pack, views: int = 4, side: int = 192, progress: Callable[[int, int], None] = lambda done, total: None
) -> Pack:
    """A pack of `views` sprites of every mesh of `pack`, `side` pixels at most: kept in a folder beside its index.

    Rendered at the first call (25 ms each), read from there afterwards; `progress(meshes done, meshes)` is called
    meanwhile. Each rendering has its mesh's path, and so belongs to the same split; `parts` follow their `render`.
    """
    folder = pack.root / f"renders-{views}x{side}-{_stamp(pack)}"
    if not (folder / INDEX).is_file():
        write_pack(folder, pack.policy, list(_render_all(pack, views, side, progress)))
    return open_pack(folder)


def load_models(pack: Pack, *, held_out: bool | None = False) -> tuple[Model, ...]:
    """The pack's meshes with their textures, ready to be rendered."""
    skins = {asset.path: pack.picture(asset) for asset in pack.of("skin", held_out=None)}
    return tuple(Model(decode_mesh(pack.read(asset)), skins) for asset in pack.of("mesh", held_out=held_out))


def decode_parts(pack: Pack, asset: Asset) -> NDArray[np.uint8]:
    """The part numbers (H, W) of a rendering."""
    return np.asarray(cv2.imdecode(np.frombuffer(pack.read(asset), np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def _stamp(pack: Pack) -> str:
    """Eight letters that change with the meshes and with the renderer."""
    meshes = [f"{asset.path} {asset.size} {asset.bytes}" for asset in pack.of("mesh", held_out=None)]
    return hashlib.sha256("\n".join([str(RENDERER), *meshes]).encode()).hexdigest()[:8]


def _render_all(
    pack: Pack, views: int, side: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[Asset, bytes]]:
    assets, models = pack.of("mesh", held_out=None), load_models(pack, held_out=None)
    for done, (asset, model) in enumerate(zip(assets, models, strict=True), start=1):
        rng = np.random.default_rng(list(hashlib.sha256(asset.path.encode()).digest()[:8]))
        for _ in range(views):
            sprite = render_cropped(model, random_view(rng), side)
            if sprite is None:
                continue
            rgba, parts = sprite
            size = (rgba.shape[0], rgba.shape[1])
            yield _like(asset, "render", size), encode_picture(rgba, QUALITY)
            if parts is not None:
                ok, encoded = cv2.imencode(".png", parts)
                assert ok
                yield _like(asset, "parts", size), encoded.tobytes()
        progress(done, len(assets))


def _like(asset: Asset, kind: str, size: tuple[int, int]) -> Asset:
    assert kind in ("render", "parts")
    return Asset(
        "render" if kind == "render" else "parts", asset.package, asset.path, asset.licence, asset.author, size
    )
