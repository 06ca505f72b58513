"""Which packages of Debian and npm hold raw material, and which of their files become assets?

A pack is reproducible from this table: packages by name, files by pattern, and where a package states one licence for
everything, that licence. A package without stated terms has a machine-readable copyright file that is asked per file.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from masklet.errors import ResourceError
from masklet.synthetic.packs.licenses import Terms

Role = Literal["sprite", "shaded", "drawing", "photograph", "texture", "mesh"]


@dataclass(frozen=True, slots=True)
class Pick:
    """Files of a package that become assets of one role, at most `side` pixels long, WebP at `quality`.

    `sprite` is judged picture by picture and becomes a `cutout` (photographic) or a `drawing` (flat).
    `limit` keeps that many, chosen by the hash of their path.
    """

    role: Role
    pattern: str
    side: int
    quality: int = 80
    limit: int | None = None
    shortest: int = 48

    def matches(self, path: str) -> bool:
        return re.search(self.pattern, path) is not None


@dataclass(frozen=True, slots=True)
class Source:
    """One package: where it comes from, what is taken, and its terms when it states the same for all files."""

    package: str
    manager: Literal["debian", "npm"]
    picks: tuple[Pick, ...]
    terms: Terms | None = None

    @property
    def file_prefix(self) -> str:
        """How the downloaded file's name begins."""
        return f"{self.package}_" if self.manager == "debian" else self.package.strip("@").replace("/", "-") + "-"


_PICTURES = r"\.(png|jpe?g|webp)$"

SOURCES = (
    Source(
        "tuxpaint-stamps-default",
        "debian",
        (
            Pick(
                "sprite",
                r"stamps/(?!symbols/(alphabets|math|music)|town/(flags|roadsigns)|people/letters).*\.png$",
                side=256,
                quality=85,
            ),
        ),
    ),
    Source(
        "@lobehub/fluent-emoji-3d",
        "npm",
        # Not: skin tones, flags, letter and arrow tiles, clock faces.
        (
            Pick(
                "shaded",
                r"assets/(?!.*1f3f[b-f]|.*1f1[ef]|1f19|1f2|1f5[0-6]|.*20e3|2b0|21|23e|23f|1f52[0-4])",
                side=224,
            ),
        ),
        Terms("MIT", "Microsoft (Fluent Emoji), packaged by LobeHub"),
    ),
    Source(
        "sweethome3d-furniture",
        "debian",
        (
            Pick("mesh", r"\.sh3f/(.*\.(obj|mtl|jpe?g|png)|PluginFurnitureCatalog\.properties)$", side=0),
            Pick("texture", r"\.sh3f/.*\.jpe?g$", side=256, quality=75, limit=250, shortest=128),
        ),
    ),
    Source(
        "gcompris-qt-data",
        "debian",
        (
            Pick(
                "sprite",
                r"src/activities/(?!paintings|details|.*(babyshapes|chronos)).*\.(webp|png)$",
                side=256,
                quality=85,
                shortest=64,
            ),
            Pick(
                "photograph",
                r"src/activities/(categorization|explore_|lang|louis|erase)\S*\.webp$",
                side=640,
                quality=82,
            ),
        ),
    ),
    Source(
        "openclipart-png",
        "debian",
        (
            Pick(
                "drawing",
                r"openclipart/png/(?!signs_and_symbols|logos|buttons|geography|decorations)(?!.*(flag|text|sign)).*\.png$",
                side=192,
                quality=75,
                limit=900,
                shortest=128,
            ),
        ),
        Terms("public-domain", "named in the file's name (openclipart.org)"),
    ),
    Source(
        "mate-backgrounds",
        "debian",
        (Pick("photograph", r"backgrounds/mate/nature/.*" + _PICTURES, side=1024, quality=82),),
    ),
    Source("lomiri-wallpapers-16.04", "debian", (Pick("photograph", _PICTURES, side=1024, quality=82),)),
    Source("lomiri-wallpapers-20.04", "debian", (Pick("photograph", _PICTURES, side=1024, quality=82),)),
    Source(
        "plasma-workspace-wallpapers",
        "debian",
        (Pick("photograph", r"wallpapers/[^/]+/contents/images/.*" + _PICTURES, side=1024, quality=82),),
        Terms("CC-BY-SA-4.0", "KDE Visual Design Group and the authors named in each metadata.json"),
    ),
    Source("palapeli-data", "debian", (Pick("photograph", r"palapeli/collection/.*\.jpg$", side=1024, quality=82),)),
    Source("tuxpaint-data", "debian", (Pick("photograph", r"tuxpaint/templates/.*\.jpg$", side=1024, quality=82),)),
    Source(
        "enlightenment-data",
        "debian",
        (Pick("photograph", r"backgrounds/.*\.edj/\d+\.jpg$", side=1024, quality=82, shortest=400),),
    ),
    Source(
        "supertuxkart-data",
        "debian",
        (
            Pick(
                "texture",
                r"data/(textures|tracks|library)/(?!.*([Nn]ormal|_nm|_Nor|NRM|bump|_gloss|skybox|lightmap)).*"
                + _PICTURES,
                side=256,
                quality=72,
                limit=450,
                shortest=128,
            ),
        ),
    ),
)
"""Everything a pack may be built from, the most valuable first."""


def fetch(source: Source, folder: Path) -> Path:
    """The package file of `source` in `folder`, downloaded there with the package's own client when it is not yet.

    Raises `ResourceError` when the client is missing or fails, with its last line.
    """
    found = sorted(folder.glob(source.file_prefix + "*"))
    if found:
        return found[-1]
    client = ["apt-get", "download"] if source.manager == "debian" else ["npm", "pack", "--silent"]
    if shutil.which(client[0]) is None:
        raise ResourceError(
            "download-failed",
            f"{source.package}: {client[0]} is not installed; put the package file into {folder} yourself",
            package=source.package,
        )
    done = subprocess.run([*client, source.package], cwd=folder, capture_output=True, text=True, check=False)
    found = sorted(folder.glob(source.file_prefix + "*"))
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["no file arrived"])[-1]
        message = f"{source.package}: {' '.join(client)} failed: {reason}"
        raise ResourceError("download-failed", message, package=source.package)
    return found[-1]
