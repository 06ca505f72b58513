"""Cache of renderings: views of a pack's meshes, rendered once and stored in a folder of the pack."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.synthetic.pack import INDEX, Asset, Pack, encode_webp, open_pack, write_pack
from masklet.synthetic.rendering.meshes import decode_mesh
from masklet.synthetic.rendering.renderer import TexturedMesh, render_cropped, sample_view

RENDERER_VERSION = 1
"""Version of the renderer. A change of it makes cached renderings invalid."""
WEBP_QUALITY = 90


def render_pack(
    pack: Pack, views: int = 4, side: int = 192, progress: Callable[[int, int], None] = lambda done, total: None
) -> Pack:
    """Render the meshes of a pack, or open the renderings of an earlier call.

    Each rendering has the path of its mesh, so both belong to the same split. A `parts` asset follows its `render`.

    Args:
        pack: The pack.
        views: Number of random views of each mesh. A view takes about 25 ms.
        side: Side of the rendered square in pixels.
        progress: Called as `progress(done, total)` after each mesh.

    Returns:
        A pack of the renderings, in a folder beside the index of `pack`.
    """
    folder = pack.root / f"renders-{views}x{side}-{_compute_key(pack)}"
    if not (folder / INDEX).is_file():
        write_pack(folder, pack.policy, list(_render_all(pack, views, side, progress)))
    return open_pack(folder)


def load_meshes(pack: Pack, *, held_out: bool | None = False) -> tuple[TexturedMesh, ...]:
    """Load the meshes of a pack with their textures."""
    textures = {asset.path: pack.read_image(asset) for asset in pack.of("skin", held_out=None)}
    return tuple(TexturedMesh(decode_mesh(pack.read(asset)), textures) for asset in pack.of("mesh", held_out=held_out))


def decode_parts(pack: Pack, asset: Asset) -> NDArray[np.uint8]:
    """Decode a `parts` asset: the part numbers (H, W) uint8 of a rendering."""
    return np.asarray(cv2.imdecode(np.frombuffer(pack.read(asset), np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def _compute_key(pack: Pack) -> str:
    """Return eight hexadecimal digits that change with the meshes and with the renderer."""
    meshes = [f"{asset.path} {asset.size} {asset.bytes}" for asset in pack.of("mesh", held_out=None)]
    return hashlib.sha256("\n".join([str(RENDERER_VERSION), *meshes]).encode()).hexdigest()[:8]


def _render_all(
    pack: Pack, views: int, side: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[Asset, bytes]]:
    assets, meshes = pack.of("mesh", held_out=None), load_meshes(pack, held_out=None)
    for done, (asset, mesh) in enumerate(zip(assets, meshes, strict=True), start=1):
        rng = np.random.default_rng(list(hashlib.sha256(asset.path.encode()).digest()[:8]))
        for _ in range(views):
            sprite = render_cropped(mesh, sample_view(rng), side)
            if sprite is None:
                continue
            rgba, parts = sprite
            size = (rgba.shape[0], rgba.shape[1])
            yield _derive_asset(asset, "render", size), encode_webp(rgba, WEBP_QUALITY)
            if parts is not None:
                ok, encoded = cv2.imencode(".png", parts)
                assert ok
                yield _derive_asset(asset, "parts", size), encoded.tobytes()
        progress(done, len(assets))


def _derive_asset(asset: Asset, kind: str, size: tuple[int, int]) -> Asset:
    assert kind in ("render", "parts")
    return Asset(
        "render" if kind == "render" else "parts", asset.package, asset.path, asset.license, asset.author, size
    )
