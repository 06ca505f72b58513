"""Licenses and authors of the files of a package, and the license policies of packs.

Debian packages have a machine-readable `copyright` file (DEP-5): paragraphs of path patterns, of which the last that
matches a file applies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from pathlib import PurePosixPath
from typing import Literal

Policy = Literal["strict", "all"]

_PERMISSIVE = re.compile(r"CC0|public[- ]domain|MIT|BSD|CC-BY(?!-SA|-NC|-ND)|Expat|zlib|Apache", re.IGNORECASE)
_SHARE_ALIKE = re.compile(r"GPL|CC-BY-SA|GFDL|sampling|free-art", re.IGNORECASE)
_IMAGE_SUFFIX = re.compile(r"\.(png|jpe?g|webp|svgz?)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Terms:
    """License and author of an asset, as its package states them."""

    license: str
    author: str


def is_allowed(policy: Policy, license: str) -> bool:
    """Return whether an asset under `license` may be in a pack.

    `strict` admits licenses that require attribution at most: public domain, CC0, MIT, BSD, Apache, zlib, CC BY.
    `all` also admits share-alike licenses: GPL, LGPL, GFDL, CC BY-SA, Free Art, CC Sampling Plus. Other licenses are
    never admitted.
    """
    if _SHARE_ALIKE.search(license):
        return policy == "all"
    return bool(_PERMISSIVE.search(license))


@dataclass(frozen=True, slots=True)
class Copyright:
    """A parsed Debian `copyright` file: terms by path pattern, and by the name of files that it names in full."""

    paragraphs: tuple[tuple[re.Pattern[str], Terms], ...]
    by_name: Mapping[str, Terms]

    def find_terms(self, path: str) -> Terms | None:
        """Find the terms of an installed file, None if no paragraph applies.

        Installed paths differ from source paths in their leading folders, so each tail of the path is tried. An image
        also matches under other image suffixes, because packages convert formats when they are built. If no pattern
        matches, the file's name decides.
        """
        parts = PurePosixPath(path).parts
        tails = ["/".join(parts[index:]) for index in range(len(parts))]
        suffixes = (".png", ".jpg", ".svg", ".jpeg")
        converted = {f"{_IMAGE_SUFFIX.sub('', tail)}{suffix}" for tail in tails for suffix in suffixes}
        candidates = [*tails, *sorted(converted)] if _IMAGE_SUFFIX.search(path) else tails
        for pattern, terms in reversed(self.paragraphs):
            if any(pattern.match(candidate) for candidate in candidates):
                return terms
        return self.by_name.get(parts[-1])


def parse_copyright(text: str) -> Copyright:
    """Parse a machine-readable copyright file (format 1.0). Paragraphs without `Files` are license texts."""
    paragraphs = list(_parse_paragraphs(text))
    names = {PurePosixPath(name).name: terms for names, terms in paragraphs for name in names if "*" not in name}
    compiled = [(re.compile("|".join(map(translate, names))), terms) for names, terms in paragraphs]
    return Copyright(tuple(compiled), names)


def _parse_paragraphs(text: str) -> Iterator[tuple[list[str], Terms]]:
    for block in re.split(r"\n\s*\n", text):
        fields = _parse_fields(block)
        names = fields.get("files", "").split()
        license = fields.get("license", "").split("\n")[0].strip()
        if names and license:
            yield names, Terms(license, " ".join(fields.get("copyright", "").split()))


def _parse_fields(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        head = re.match(r"([A-Za-z][\w-]*):\s?(.*)", line)
        if head:
            name = head[1].lower()
            fields[name] = head[2]
        elif name:
            fields[name] += "\n" + line
    return fields
