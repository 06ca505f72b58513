"""The pack: one folder of raw material for pictures that we compose ourselves, and what is known of each asset.

pack/index.json       every asset: kind, package, path, licence, author, where its bytes are
pack/assets.bin       WebP pictures and compressed meshes, one after the other
pack/ATTRIBUTION.md   the index for people
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.errors import FormatError, InputNotFound

Kind = Literal["cutout", "shaded", "drawing", "photograph", "texture", "mesh", "skin", "render", "parts"]

VERSION = 1
INDEX, BLOB = "index.json", "assets.bin"
HELD_OUT_SHARE = 0.06
"""This share of the assets is never composed for training, so that validation shows objects nobody has seen."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One entry of the index. `size` is (H, W) of a picture, or (vertices, triangles) of a mesh."""

    kind: Kind
    package: str
    path: str
    licence: str
    author: str
    size: tuple[int, int]
    offset: int = 0
    bytes: int = 0

    @property
    def name(self) -> str:
        """Its package and its path there: no other asset has the same."""
        return f"{self.package}/{self.path}"

    @property
    def held_out(self) -> bool:
        """Whether the asset is kept for validation: decided by the hash of its name, for ever."""
        digest = hashlib.sha256(self.name.encode()).digest()
        return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


@dataclass(frozen=True, slots=True)
class Pack:
    """An opened pack; `read` gives an asset's bytes, `picture` its decoded pixels."""

    root: Path
    policy: str
    assets: tuple[Asset, ...]

    def of(self, *kinds: Kind, held_out: bool | None = False) -> tuple[Asset, ...]:
        """The assets of these kinds: those to train on, those held out for validation, or (None) both."""
        return tuple(a for a in self.assets if a.kind in kinds and (held_out is None or a.held_out == held_out))

    def read(self, asset: Asset) -> bytes:
        with (self.root / BLOB).open("rb") as blob:
            blob.seek(asset.offset)
            return blob.read(asset.bytes)

    def picture(self, asset: Asset) -> NDArray[np.uint8]:
        """Decoded pixels: RGBA H W 4 of cut-outs, shaded objects and drawings; RGB H W 3 of the others."""
        encoded = np.frombuffer(self.read(asset), np.uint8)
        decoded = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
        if decoded is None:
            message = f"{self.root}: asset {asset.path} cannot be decoded; build the pack again"
            raise FormatError("image-broken", message, path=asset.path)
        conversion = cv2.COLOR_BGRA2RGBA if decoded.shape[2] == 4 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(decoded, conversion), np.uint8)


def open_pack(root: Path) -> Pack:
    """Read a pack's index.

    Raises `InputNotFound` without an index there, `FormatError` for one that is not a pack of this version or whose
    blob is shorter than the index says.
    """
    path = root / INDEX
    if not path.is_file():
        raise InputNotFound(
            "input-not-found",
            f"{root}: no pack there; build one with python -m tools.pack build in the masklet repository",
            path=str(root),
        )
    try:
        index = json.loads(path.read_text("utf-8"))
        known = {entry.name for entry in fields(Asset)}
        assets = tuple(
            Asset(**{**{k: v for k, v in row.items() if k in known}, "size": tuple(row["size"])})
            for row in index["assets"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError("pack-broken", f"{path}: not a pack's index ({error}); build it again") from error
    if index.get("version") != VERSION:
        message = f"{path}: pack version {index.get('version')}, this masklet reads {VERSION}; build it again"
        raise FormatError("pack-broken", message)
    needed = max((asset.offset + asset.bytes for asset in assets), default=0)
    if (root / BLOB).stat().st_size < needed:
        raise FormatError("pack-broken", f"{root / BLOB}: shorter than the {needed} bytes of the index; build it again")
    return Pack(root, index["licences"], assets)


def write_pack(root: Path, policy: str, entries: Sequence[tuple[Asset, bytes]]) -> Pack:
    """Write assets with their bytes as a pack; the index comes last, so that a broken-off build is no pack."""
    root.mkdir(parents=True, exist_ok=True)
    (root / INDEX).unlink(missing_ok=True)
    placed: list[Asset] = []
    with (root / BLOB).open("wb") as blob:
        for asset, payload in entries:
            placed.append(replace(asset, offset=blob.tell(), bytes=len(payload)))
            blob.write(payload)
    index = {"format": "masklet-pack", "version": VERSION, "licences": policy, "assets": [asdict(a) for a in placed]}
    (root / INDEX).write_text(json.dumps(index, indent=0, ensure_ascii=False), "utf-8")
    return Pack(root, policy, tuple(placed))


def encode_picture(picture: NDArray[np.uint8], quality: int) -> bytes:
    """RGB or RGBA pixels as WebP; alpha is kept without loss."""
    conversion = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, encoded = cv2.imencode(".webp", cv2.cvtColor(picture, conversion), [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert done
    return encoded.tobytes()
