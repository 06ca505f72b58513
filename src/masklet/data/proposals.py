"""Masks that a model proposes for pictures which nobody outlined; a person looks at them and keeps the right ones.

    images/NAME        the pictures
    found/NAME.json    what the model proposes for each, numbered from 1, as SA-1B has it
    sheets/NAME.png    the same to look at: the picture, then each proposal with its number
    keep.txt           a line for each picture, to be filled in: `NAME: 1 church, 4 tree, 7`
    annotations.json   what was kept, with the pictures a COCO data set to train on

That is how a model's own answers train the next one: what it says of itself does not tell right from wrong well enough
(`docs/log.md`), an eye does at a glance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet import rle
from masklet.atomic import atomic_write, explained
from masklet.automatic import Search
from masklet.components import clean_logits
from masklet.data.labelled import IMAGES, Labelled, write_annotations
from masklet.data.packs.marks import marks
from masklet.data.packs.pack import INDEX, Asset, Pack, open_pack
from masklet.data.readers.frame_folders import picture_files
from masklet.data.readers.json_files import read_json, reading
from masklet.embedded import EmbeddedImage
from masklet.errors import FormatError, SettingsError
from masklet.findings import Finding, Findings
from masklet.images import read_image
from masklet.inputs import open_input, require_input
from masklet.overlap import extents, mask_iou, suppress
from masklet.prompts import box
from masklet.segmenter import Segmenter

FOUND, SHEETS, KEEP = "found", "sheets", "keep.txt"
SEARCH = Search(points_per_side=16)
ALIKE = 0.8  # IoU: two proposals that overlap more are one
SPECK = 0.01  # of a mask: smaller holes are filled and smaller pieces dropped
TILE, COLUMNS = 320, 4  # pixels of a picture's longer side on a sheet; tiles in a row

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Unmarked:
    """A picture without masks: its name, from which its files get theirs, its bytes, and its licence if known."""

    name: str
    file: Path | tuple[Pack, Asset]
    licence: str = ""

    def read(self) -> bytes:
        """The bytes of its file. Raises `InputNotFound`."""
        if isinstance(self.file, tuple):
            return self.file[0].read(self.file[1])
        with open_input(self.file) as handle:
            return handle.read()


def unmarked(sources: Iterable[Path]) -> list[Unmarked]:
    """The pictures that are named, those in folders that are named, and of packs the photographs to train on that
    nobody outlined. Raises `InputNotFound`, `FormatError`, `SettingsError` for two pictures of one name."""
    found = [picture for source in sources for picture in _unmarked_in(require_input(source))]
    names: set[str] = set()
    for picture in found:
        if picture.name in names:
            raise SettingsError("bad-usage", f"two pictures are called {picture.name!r}; rename one")
        names.add(picture.name)
    return found


def propose(segmenter: Segmenter, picture: Picture, most: int = 16) -> Findings:
    """At most so many objects that there may be in a picture (H, W, 3) uint8 RGB, the likeliest first.

    Everything that is found, and beside it what the model answers to its box, which one that zooms looks at closely.
    """
    found = segmenter.everything(picture, SEARCH)
    embedded = segmenter.embed(picture)
    both = [_with_mask(one, mask) for one in found for mask in (_again(embedded, one), rle.decode(one.code))]
    there = [one for one in both if one.area]
    masks = rle.decode_all([one.code for one in there]) if there else np.zeros((0, *found.size), bool)
    kept = suppress(
        -np.arange(len(there)), ALIKE, lambda index, rest: mask_iou(masks[index : index + 1], masks[rest])[0]
    )
    return Findings(found.size, tuple(there[place] for place in kept[:most]))


def write_proposals(folder: Path, picture: Unmarked, segmenter: Segmenter, most: int = 16) -> int:
    """Propose for one picture and write what there is to look at: how many proposals. A picture that is there already
    is left as it is.

    Raises `ImageError`, `InputNotFound` or `ResourceError`; what was written before stays.
    """
    target = _place(folder, FOUND, picture.name, ".json")
    if target.exists():
        return len(_read_found(target)["annotations"])
    content = picture.read()
    pixels = read_image(content)
    found = propose(segmenter, pixels, most)
    _write(_place(folder, IMAGES, picture.name), content)
    _write(_place(folder, SHEETS, picture.name, ".png"), _png(sheet(pixels, found)))
    annotation = found.annotation(picture.name)
    annotation["image"]["license"] = picture.licence
    _write(target, json.dumps(annotation).encode())  # last: now the picture is done
    return len(found)


def ask_to_keep(folder: Path, names: Iterable[str]) -> Path:
    """The list that a person fills in, with a line for each of these pictures; lines that are there stay."""
    path = folder / KEEP
    text = path.read_text("utf-8") if path.exists() else _HEAD
    known = {name for _, name, _ in _lines(path, text)}
    new = [f"{name}:\n" for name in names if name not in known]
    _write(path, (text + "".join(new)).encode())
    return path


def keep(folder: Path) -> tuple[int, int]:
    """Write the proposals that the list names as a data set: how many pictures, how many objects.

    Raises `InputNotFound` where nothing was proposed, `FormatError` for a list that names nothing or what is not there.
    """
    path = folder / KEEP
    with open_input(path) as handle:
        text = handle.read().decode("utf-8", "replace")
    kept = [_kept(folder, path, line, name, wanted) for line, name, wanted in _lines(path, text) if wanted]
    if not kept:
        raise FormatError("annotation-broken", f"{path}: nothing is kept; write numbers behind the pictures' names")
    return write_annotations(folder, kept)


def sheet(picture: Picture, found: Findings) -> Picture:
    """The picture (H, W, 3) and each finding in it, numbered from 1 and bright on dark, side by side."""
    height, width = found.size
    scale = TILE / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    small: Picture = np.asarray(cv2.resize(picture, shape, interpolation=cv2.INTER_AREA), np.uint8)
    tiles = [small, *(_tile(small, rle.decode(one.code), number) for number, one in enumerate(found, start=1))]
    tiles += [np.zeros_like(small)] * (-len(tiles) % COLUMNS)
    rows = [np.concatenate(tiles[start : start + COLUMNS], axis=1) for start in range(0, len(tiles), COLUMNS)]
    return np.concatenate(rows)


_HEAD = """\
# Look at the sheets and write the numbers of the proposals that are right behind each picture's name, and what they
# are if you like: castle.jpg: 1 tower, 4 tree, 7
"""


def _unmarked_in(source: Path) -> list[Unmarked]:
    if (source / INDEX).is_file():
        pack, known = open_pack(source), marks()
        photographs = [asset for asset in pack.of("photograph") if asset.name not in known]
        return [Unmarked(asset.name, (pack, asset), asset.licence) for asset in photographs]
    files = picture_files(source).values() if source.is_dir() else [source]
    return [Unmarked(file.name, file) for file in files]


def _again(embedded: EmbeddedImage, one: Finding) -> NDArray[np.bool_]:
    """What is answered to a finding's box."""
    return np.asarray(embedded.predict(box(*one.box)).best.binary[0])


def _with_mask(one: Finding, mask: NDArray[np.bool_]) -> Finding:
    """The finding with that mask, without its specks."""
    speck = SPECK * np.count_nonzero(mask)
    clean = clean_logits(np.where(mask, np.float32(1), np.float32(-1)), speck, speck) > 0
    left, top, right, bottom = extents([clean])[0].tolist()
    area = int(np.count_nonzero(clean))
    return replace(one, code=rle.encode(clean), area=area, box=(left, top, right, bottom))


def _tile(picture: Picture, mask: NDArray[np.bool_], number: int) -> Picture:
    """The picture, dark outside of the mask, with a number in its corner."""
    inside = cv2.resize(mask.view(np.uint8), picture.shape[1::-1], interpolation=cv2.INTER_AREA).astype(bool)
    tile = np.where(inside[..., None], picture, picture // 4 + np.array(_DARK, np.uint8))
    for colour, thickness in (((0, 0, 0), 4), ((255, 255, 0), 1)):
        cv2.putText(tile, str(number), (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, thickness, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)


_DARK = (48, 0, 48)


def _png(picture: Picture) -> bytes:
    done, encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert done
    return encoded.tobytes()


def _place(folder: Path, kind: str, name: str, suffix: str = "") -> Path:
    return folder / kind / f"{name}{suffix}"


def _write(path: Path, content: bytes) -> None:
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as handle:
        handle.write(content)


def _lines(path: Path, text: str) -> Iterator[tuple[int, str, dict[int, str]]]:
    """The lines of a list: their number, the picture's name, and by number what each proposal that is kept is."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            name, colon, wanted = line.rpartition(":")
            entries = [entry.split(maxsplit=1) for entry in wanted.split(",") if entry.strip()]
            if not colon or not all(entry[0].isdecimal() for entry in entries):
                message = f"{path}, line {number}: expected NAME: 1, 4 tree, 7, got {line.strip()!r}"
                raise FormatError("annotation-broken", message, path=str(path), line=number)
            yield number, name.strip(), {int(key): (what or ["object"])[0].strip() for key, *what in entries}


def _kept(folder: Path, path: Path, line: int, name: str, wanted: Mapping[int, str]) -> Labelled:
    target = _place(folder, FOUND, name, ".json")
    if not target.is_file():
        raise FormatError("annotation-broken", f"{path}, line {line}: nothing was proposed for {name!r}")
    content = _read_found(target)
    codes = [entry["segmentation"] for entry in content["annotations"]]
    beyond = next((key for key in wanted if not 1 <= key <= len(codes)), None)
    if beyond is not None:
        message = f"{path}, line {line}: {name} has proposals 1 to {len(codes)}, not {beyond}"
        raise FormatError("annotation-broken", message, path=str(path), line=line)
    image = content["image"]
    objects = [(what, codes[key - 1]) for key, what in wanted.items()]
    return Labelled(name, (image["height"], image["width"]), objects, image["license"])


def _read_found(path: Path) -> dict[str, Any]:
    content = read_json(path)
    with reading(path):
        _ = content["image"]["license"], [entry["segmentation"]["counts"] for entry in content["annotations"]]
    return content
