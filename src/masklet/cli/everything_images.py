"""Everything in pictures, as the command line runs it: picture by picture, written in every format that is wished."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masklet.cli import console
from masklet.errors import MaskletError, ResourceError, SettingsError
from masklet.files.atomic import atomic_write, make_folder
from masklet.files.outputs import output_exists
from masklet.formats import Clip
from masklet.formats.coco import COCO
from masklet.images import read_image
from masklet.masks.label_map import write_label_map
from masklet.masks.rle_frame import CodedFrame
from masklet.predict.generated_masks import Findings
from masklet.predict.mask_generator import Search
from masklet.segmenter import Segmenter

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to look for in which pictures, and what to write of it."""

    pictures: list[Path]
    search: Search
    formats: list[str]
    out: Path
    overwrite: bool

    def files(self, picture: Path) -> dict[str, Path]:
        """The files of one picture, by format."""
        return {name: self.out / f"{picture.stem}{_WRITERS[name][0]}" for name in self.formats if name in _WRITERS}

    @property
    def coco(self) -> Path | None:
        """The one file for all pictures, if it is wished."""
        return self.out / COCO.file if COCO.name in self.formats else None


@dataclass(slots=True)
class _Gathered:
    """Of all pictures: what is told of each, and the findings for the file that has them together."""

    records: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    frames: list[CodedFrame] = field(default_factory=list)


def check(wishes: Wishes) -> None:
    """Raises `SettingsError` where two pictures would share files, `ResourceError` where files would be replaced."""
    stems: dict[str, Path] = {}
    for picture in wishes.pictures:
        other = stems.setdefault(picture.stem, picture)
        if other is not picture:
            message = f"{str(other)!r} and {str(picture)!r} would be written to the same files; rename one"
            raise SettingsError("bad-usage", message)
    places = [path for picture in wishes.pictures for path in wishes.files(picture).values()]
    taken = [path for path in [*places, *filter(None, [wishes.coco])] if output_exists(path)]
    if taken and not wishes.overwrite:
        hint = "--overwrite writes over it, --out elsewhere"
        raise ResourceError("output-exists", f"{str(taken[0])!r} exists", hint=hint)
    make_folder(wishes.out)


def run(segmenter: Segmenter, wishes: Wishes) -> list[dict[str, Any]]:
    """What was found in each picture. A picture that fails is told of and left out, unless it is the only one."""
    gathered = _Gathered()
    for picture in wishes.pictures:
        try:
            _one(segmenter, picture, wishes, gathered)
        except MaskletError as error:
            gathered.records.append(console.picture_failed(str(picture), error, only=len(wishes.pictures) == 1))
    if wishes.coco and gathered.frames:
        clip = Clip(wishes.out.name, gathered.frames[0].size, (), names=gathered.names)
        with atomic_write(wishes.coco) as handle:
            COCO.write(handle, gathered.frames, clip)
    return gathered.records


def _one(segmenter: Segmenter, picture: Path, wishes: Wishes, gathered: _Gathered) -> None:
    image = read_image(picture)
    started = time.perf_counter()
    with console.progress(f"everything in {picture.name}", unit="clicks") as progress:
        found = segmenter.everything(image, wishes.search, progress=progress)
    seconds = time.perf_counter() - started
    files = wishes.files(picture)
    for name, path in files.items():
        with atomic_write(path) as handle:
            handle.write(_WRITERS[name][1](found, image, picture))
    if wishes.coco:
        gathered.frames.append(found.coded(len(gathered.frames)))
        gathered.names.append(picture.name)
        files[COCO.name] = wishes.coco
    gathered.records.append(_record(picture, found, seconds, files))


def _record(picture: Path, found: Findings, seconds: float, files: dict[str, Path]) -> dict[str, Any]:
    return {
        "picture": str(picture),
        "size": list(found.size),
        "seconds": round(seconds, 3),
        "covered": round(float(np.count_nonzero(found.label_map())) / (found.size[0] * found.size[1]), 4),
        "found": [
            {
                "id": number,
                "area": one.area,
                "box": list(one.box),
                "score": round(one.score, 4),
                "stability": round(one.stability, 4),
                "point": list(one.point),
            }
            for number, one in enumerate(found, start=1)
        ],
        "files": {name: str(path) for name, path in files.items()},
    }


def _json(found: Findings, image: Picture, picture: Path) -> bytes:
    return json.dumps(found.annotation(picture.name)).encode()


def _rle(found: Findings, image: Picture, picture: Path) -> bytes:
    return json.dumps(found.annotation(picture.name, "uncompressed_rle")).encode()


def _png(found: Findings, image: Picture, picture: Path) -> bytes:
    buffer = io.BytesIO()
    write_label_map(buffer, found.label_map())
    return buffer.getvalue()


def _overlay(found: Findings, image: Picture, picture: Path) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(found.overlay(image)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


_WRITERS: dict[str, tuple[str, Callable[[Findings, Picture, Path], bytes]]] = {
    "sa1b": (".json", _json),
    "rle": (".rle.json", _rle),
    "png": (".png", _png),
    "overlay": (".overlay.jpg", _overlay),
}
FORMATS = (*_WRITERS, COCO.name)


def named(names: list[str]) -> list[str]:
    """The formats of those names, each once. Raises `SettingsError`."""
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise SettingsError("bad-usage", f"unknown format {unknown[0]!r}; of pictures there are {', '.join(FORMATS)}")
    return list(dict.fromkeys(names))
