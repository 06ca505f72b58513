"""Pack format: one folder of images and meshes for composition, with the license and author of each.

pack/index.json       every asset: kind, package, path, license, author, size, and the place of its bytes
pack/assets.bin       WebP images and compressed meshes, one after the other
pack/ATTRIBUTION.md   the index for people
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, InputNotFound

Kind = Literal["cutout", "shaded", "drawing", "photograph", "texture", "mesh", "skin", "render", "parts"]

VERSION = 1
INDEX, BLOB = "index.json", "assets.bin"
LICENSE_KEY, POLICY_KEY = "licence", "licences"  # spelling of the keys in an index of version 1
HELD_OUT_SHARE = 0.06
"""Share of the assets that are held out for validation and never composed for training."""


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset of a pack. `size` is (H, W) of an image, or (vertices, triangles) of a mesh."""

    kind: Kind
    package: str
    path: str
    license: str
    author: str
    size: tuple[int, int]
    offset: int = 0
    bytes: int = 0

    @property
    def name(self) -> str:
        """The package and the path in it, unique in a pack."""
        return f"{self.package}/{self.path}"

    @property
    def held_out(self) -> bool:
        """Whether the asset is held out for validation. The hash of its name decides."""
        digest = hashlib.sha256(self.name.encode()).digest()
        return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


@dataclass(frozen=True, slots=True)
class Pack:
    """An opened pack.

    Attributes:
        root: The folder of the pack.
        policy: The license policy that it was built with.
        assets: The assets in the order of the index.
    """

    root: Path
    policy: str
    assets: tuple[Asset, ...]

    def of(self, *kinds: Kind, held_out: bool | None = False) -> tuple[Asset, ...]:
        """Return the assets of these kinds: those for training, with `held_out` those for validation, with None all."""
        return tuple(a for a in self.assets if a.kind in kinds and (held_out is None or a.held_out == held_out))

    def read(self, asset: Asset) -> bytes:
        """Read the bytes of an asset."""
        with (self.root / BLOB).open("rb") as blob:
            blob.seek(asset.offset)
            return blob.read(asset.bytes)

    def read_image(self, asset: Asset) -> NDArray[np.uint8]:
        """Decode an image: RGBA (H, W, 4) of cutouts, shaded objects and drawings, RGB (H, W, 3) of other kinds.

        Raises:
            FormatError: The bytes are no image.
        """
        encoded = np.frombuffer(self.read(asset), np.uint8)
        decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
        if decoded is None:
            message = f"{self.root}: asset {asset.path} cannot be decoded; build the pack again"
            raise FormatError("image-broken", message, path=asset.path)
        conversion = cv2.COLOR_BGRA2RGBA if decoded.shape[2] == 4 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(decoded, conversion), np.uint8)


def open_pack(root: Path) -> Pack:
    """Open a pack.

    Raises:
        InputNotFound: The folder has no index.
        FormatError: The index is broken or of another version, or the blob is shorter than the index says.
    """
    path = root / INDEX
    if not path.is_file():
        message = f"{root}: no pack there; build one with python -m tools.pack build in the masklet repository"
        raise InputNotFound("input-not-found", message, path=str(root))
    try:
        index = json.loads(path.read_text("utf-8"))
        assets = tuple(_parse_asset(row) for row in index["assets"])
        version = index.get("version")
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError("pack-broken", f"{path}: not the index of a pack ({error}); build it again") from error
    if version != VERSION:
        message = f"{path}: pack version {version}, but this masklet reads {VERSION}; build it again"
        raise FormatError("pack-broken", message)
    needed = max((asset.offset + asset.bytes for asset in assets), default=0)
    if (root / BLOB).stat().st_size < needed:
        raise FormatError("pack-broken", f"{root / BLOB}: shorter than the {needed} bytes of the index; build it again")
    return Pack(root, index[POLICY_KEY], assets)


def write_pack(root: Path, policy: str, entries: Sequence[tuple[Asset, bytes]]) -> Pack:
    """Write assets with their bytes as a pack.

    The index is written last, so an interrupted build leaves no pack.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / INDEX).unlink(missing_ok=True)
    placed: list[Asset] = []
    with (root / BLOB).open("wb") as blob:
        for asset, payload in entries:
            placed.append(replace(asset, offset=blob.tell(), bytes=len(payload)))
            blob.write(payload)
    rows = [_format_asset(asset) for asset in placed]
    index = {"format": "masklet-pack", "version": VERSION, POLICY_KEY: policy, "assets": rows}
    (root / INDEX).write_text(json.dumps(index, indent=0, ensure_ascii=False), "utf-8")
    return Pack(root, policy, tuple(placed))


def encode_webp(image: NDArray[np.uint8], quality: int) -> bytes:
    """Encode RGB (H, W, 3) or RGBA (H, W, 4) pixels as WebP with lossless alpha."""
    conversion = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, encoded = cv2.imencode(".webp", cv2.cvtColor(image, conversion), [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert done
    return encoded.tobytes()


def _parse_asset(row: dict[str, Any]) -> Asset:
    known = {field.name for field in fields(Asset)} - {"license", "size"}
    values = {key: value for key, value in row.items() if key in known}
    return Asset(**values, license=row[LICENSE_KEY], size=tuple(row["size"]))


def _format_asset(asset: Asset) -> dict[str, Any]:
    return {LICENSE_KEY if key == "license" else key: value for key, value in asdict(asset).items()}
