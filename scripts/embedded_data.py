"""Training data of the embedded model: index files of labeled images, without those of measurements and validation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
INDEX = "index.json"
MEASURED_IMAGES = ROOT / "benchmarks" / "everything_images.txt"  # names of images that no weights are trained on
VALIDATION_IMAGES = ROOT / "benchmarks" / "validation_images.txt"  # names of images that weights are chosen by
SPECIAL_SOURCES = frozenset({"facades", "books", "coffee_leaf", "pine_stems", "organoids", "bolts"})
"""Sources of a single kind of image each, which are sampled less often than everyday scenes."""
GROUPS = ("everyday", "special", "validation")


def write_indexes(folders: Sequence[Path], out: Path) -> dict[str, Path]:
    """Write an index file for each group of labeled images, with links to the files of the given folders.

    Args:
        folders: Folders with an `index.json` (`masklet.synthetic.engine.real_samples`).
        out: The folder of the groups. An older one is replaced.

    Returns:
        The index file of each group that has images or clips.
    """
    indexes: dict[str, dict[str, list[Any]]] = {group: {"images": [], "clips": []} for group in GROUPS}
    if out.exists():
        shutil.rmtree(out)
    for number, folder in enumerate(folders):
        content = json.loads((folder / INDEX).read_text("utf-8"))
        for row in content.get("images", []):
            group = _choose_group(row)
            if group:
                paths = {key: _link(folder, row[key], out / group, number) for key in ("image", "mask")}
                indexes[group]["images"].append(row | paths)
        for row in content.get("clips", []):
            clip = _link_folder(folder, row["clip"], out / "everyday", number)
            indexes["everyday"]["clips"].append(row | {"clip": clip})
    written = {}
    for group, index in indexes.items():
        if index["images"]:
            written[group] = out / group / INDEX
            written[group].write_text(json.dumps(index, indent=1), "utf-8")
    return written


def read_names(path: Path) -> frozenset[str]:
    """Read a list of names, one per line."""
    return frozenset(path.read_text("utf-8").split())


def _choose_group(row: dict[str, Any]) -> str | None:
    """Return the group of an image, or None for one that is only measured on."""
    name = Path(row["image"]).stem
    if name in read_names(MEASURED_IMAGES):
        return None
    if name in read_names(VALIDATION_IMAGES):
        return "validation"
    return "special" if row["source"] in SPECIAL_SOURCES else "everyday"


def _link(folder: Path, name: str, out: Path, number: int) -> str:
    """Link a file of data folder `number` below `out` and return the link's path there."""
    link = out / str(number) / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to((folder / name).resolve())
    return link.relative_to(out).as_posix()


def _link_folder(folder: Path, name: str, out: Path, number: int) -> str:
    """Link all files of a folder, since a search for protected files does not follow links of folders."""
    files: Iterable[Path] = (path for path in sorted((folder / name).rglob("*")) if path.is_file())
    for path in files:
        _link(folder, path.relative_to(folder).as_posix(), out, number)
    return f"{number}/{name}"
