"""Who made an asset, and what does its licence allow?

Debian packages carry a machine-readable `copyright` file: paragraphs of path patterns, the last one that matches rules.
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
_PICTURE = re.compile(r"\.(png|jpe?g|webp|svgz?)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Terms:
    """Licence and author of one asset, as its package states them."""

    licence: str
    author: str


def allows(policy: Policy, licence: str) -> bool:
    """Whether an asset under `licence` may enter a pack.

    `strict` admits what asks for attribution at most: public domain, CC0, MIT, BSD, Apache, zlib, CC-BY.
    `all` adds share-alike terms: GPL, LGPL, GFDL, CC-BY-SA, Free Art, CC Sampling Plus. Anything else stays out.
    """
    share_alike = bool(_SHARE_ALIKE.search(licence))
    if share_alike:
        return policy == "all"
    return bool(_PERMISSIVE.search(licence))


@dataclass(frozen=True, slots=True)
class Copyright:
    """A parsed Debian `copyright` file."""

    paragraphs: tuple[tuple[re.Pattern[str], Terms], ...]
    by_name: Mapping[str, Terms]

    def terms(self, path: str) -> Terms | None:
        """The terms of the file at `path`: installed paths differ from source paths in their leading folders.

        So each tail of the path is tried, and a picture also matches under another picture suffix, because packages
        convert formats at build time. Where nothing matches, a file that is named in full somewhere counts by its name.
        """
        parts = PurePosixPath(path).parts
        tails = ["/".join(parts[index:]) for index in range(len(parts))]
        stems = {f"{_PICTURE.sub('', tail)}{suffix}" for tail in tails for suffix in (".png", ".jpg", ".svg", ".jpeg")}
        candidates = [*tails, *sorted(stems)] if _PICTURE.search(path) else tails
        for pattern, terms in reversed(self.paragraphs):
            if any(pattern.match(candidate) for candidate in candidates):
                return terms
        return self.by_name.get(parts[-1])


def parse_copyright(text: str) -> Copyright:
    """Read the machine-readable format 1.0 (DEP-5); paragraphs without `Files` are licence texts and are skipped."""
    paragraphs = list(_paragraphs(text))
    names = {PurePosixPath(name).name: terms for names, terms in paragraphs for name in names if "*" not in name}
    compiled = [(re.compile("|".join(map(translate, names))), terms) for names, terms in paragraphs]
    return Copyright(tuple(compiled), names)


def _paragraphs(text: str) -> Iterator[tuple[list[str], Terms]]:
    for block in re.split(r"\n\s*\n", text):
        fields = _fields(block)
        names = fields.get("files", "").split()
        licence = fields.get("license", "").split("\n")[0].strip()
        if names and licence:
            yield names, Terms(licence, " ".join(fields.get("copyright", "").split()))


def _fields(block: str) -> dict[str, str]:
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
