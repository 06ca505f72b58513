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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.datasets.frame_folders import list_entries
from masklet.errors import FormatError, SettingsError
from masklet.files.atomic import atomic_write
from masklet.files.error_translation import translate_errors, translate_write_errors
from masklet.files.image_files import IMAGE_SUFFIXES, select_images
from masklet.files.json_fields import read_fields
from masklet.files.names import check_relative
from masklet.files.open_input import open_input, require_input
from masklet.formats import sa1b
from masklet.images import read_image
from masklet.masks import rle
from masklet.masks.connected_components import fill_holes_and_remove_islands
from masklet.masks.iou import mask_iou, masks_to_boxes
from masklet.masks.nms import suppress_overlaps
from masklet.predict.embedded_image import EmbeddedImage
from masklet.predict.generated_masks import GeneratedMask, GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.prompts import box
from masklet.segmenter import Segmenter
from masklet.synthetic.coco_writer import IMAGES, LabeledImage, write_annotations
from masklet.synthetic.pack import INDEX, open_pack

PROPOSALS, SHEETS, KEEP_LIST = "found", "sheets", "keep.txt"
GENERATOR_OPTIONS = MaskGeneratorOptions(points_per_side=16)
DUPLICATE_IOU = 0.8  # IoU: two proposals that overlap more are one
MIN_TILE_COVERAGE = 0.1  # of a pixel of a sheet: a mask that covers more is seen there
SPECK_SHARE = 0.01  # of a mask: smaller holes are filled and smaller pieces dropped
TILE_SIDE, MIN_TILE_SIDE, SHEET_COLUMNS = (
    320,
    32,
    4,
)  # pixels of a tile's longer side, and of either at least; tiles in a row of a sheet

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class UnlabeledImage:
    """A picture without masks: its name, from which its files get theirs, how the bytes of its file are read, and its
    licence if known."""

    name: str
    read: Callable[[], bytes]
    license: str = ""


def find_images(sources: Iterable[Path], outlined: Collection[str] = ()) -> list[UnlabeledImage]:
    """The pictures that are named, those in folders that are named, and of packs the photographs to train on that
    are not `outlined`. Raises `InputNotFound`, `FormatError`, `SettingsError` for two pictures of one name."""
    found = [picture for source in sources for picture in _unmarked_in(require_input(source), outlined)]
    names: set[str] = set()
    for picture in found:
        if picture.name in names:
            raise SettingsError("bad-usage", f"two pictures are called {picture.name!r}; rename one")
        if not picture.name.isprintable() or picture.name != picture.name.strip() or picture.name.startswith("#"):
            raise SettingsError("bad-usage", f"{picture.name!r} cannot be written into a list; rename the picture")
        names.add(picture.name)
    return found


def propose_masks(segmenter: Segmenter, picture: Picture, most: int = 16) -> GeneratedMasks:
    """At most so many objects that there may be in a picture (H, W, 3) uint8 RGB, the likeliest first.

    Everything that is found, and beside it what the model answers to its box, which one that zooms looks at closely.
    """
    found = segmenter.generate_masks(picture, GENERATOR_OPTIONS)
    embedded = segmenter.embed(picture, lazy=True)
    both = [_with_mask(one, mask) for one in found for mask in (_again(embedded, one), rle.decode(one.rle))]
    there = [one for one in both if one.area]
    kept = suppress_overlaps(
        -np.arange(len(there)), DUPLICATE_IOU, lambda index, rest: _overlaps(there[index], [there[k] for k in rest])
    )
    return GeneratedMasks(found.size, tuple(there[place] for place in kept[:most]))


def write_proposals(folder: Path, picture: UnlabeledImage, segmenter: Segmenter, most: int = 16) -> int:
    """Propose for one picture and write what there is to look at: how many proposals. A picture that is there already
    is left as it is.

    Raises `ImageError`, `InputNotFound`, `ResourceError`, or `SettingsError` where another picture of that name is
    there; what was written before stays.
    """
    target, content = _place(folder, PROPOSALS, picture.name, ".json"), picture.read()
    with translate_write_errors(target):
        known = target.exists()
    if known:
        if _bytes(_place(folder, IMAGES, picture.name)) != content:
            raise SettingsError("bad-usage", f"{folder} has another picture called {picture.name!r}; rename one")
        return len(_read_found(target)["annotations"])
    pixels = read_image(content)
    found = propose_masks(segmenter, pixels, most)
    _write(_place(folder, IMAGES, picture.name), content)
    _write(_place(folder, SHEETS, picture.name, ".png"), _png(draw_sheet(pixels, found)))
    annotation = found.to_annotation(picture.name)
    annotation["image"]["license"] = picture.license
    _write(target, json.dumps(annotation).encode())  # last: now the picture is done
    return len(found)


def read_keep_list(folder: Path) -> dict[str, dict[int, str]]:
    """What the list of a folder keeps: by picture, what each proposal is, by number; nothing where there is no list.

    Raises `InputNotFound` for a list that cannot be read, `FormatError` naming the line that cannot be meant.
    """
    path = folder / KEEP_LIST
    kept: dict[str, dict[int, str]] = {}
    for number, line in enumerate(_text(path).splitlines() if path.exists() else (), start=1):
        if line.strip() and not line.startswith("#"):
            with translate_errors(ValueError, into=partial(_line_error, path, number)):
                name, wanted = _parsed(line)
                if name in kept:
                    raise ValueError(f"{name!r} has a line already; write its numbers into one")
                kept[name] = wanted
    return kept


def extend_keep_list(folder: Path, names: Iterable[str]) -> Path:
    """The list that a person fills in, with a line for each of these pictures; lines that are there stay. Raises like
    `read_keep_list`."""
    path, known = folder / KEEP_LIST, read_keep_list(folder)
    text = _text(path) if path.exists() else _HEAD
    new = [f"{name}:\n" for name in names if name not in known]
    _write(path, (text + "\n" * (not text.endswith("\n")) + "".join(new)).encode())
    return path


def write_kept_proposals(folder: Path) -> tuple[int, int]:
    """Write the proposals that the list names as a data set: how many pictures, how many objects.

    Raises `InputNotFound` where there is no list, `FormatError` for one that names nothing or what is not there.
    """
    path = require_input(folder / KEEP_LIST)
    kept = [_kept(folder, name, wanted) for name, wanted in read_keep_list(folder).items() if wanted]
    if not kept:
        raise FormatError("annotation-broken", f"{path}: nothing is kept; write numbers behind the pictures' names")
    return write_annotations(folder, kept)


def draw_sheet(picture: Picture, found: GeneratedMasks) -> Picture:
    """The picture (H, W, 3) and each finding in it, numbered from 1 and bright on dark, side by side."""
    height, width = found.size
    scale = TILE_SIDE / max(height, width)
    shape = max(MIN_TILE_SIDE, round(width * scale)), max(MIN_TILE_SIDE, round(height * scale))
    small: Picture = np.asarray(cv2.resize(picture, shape, interpolation=cv2.INTER_AREA), np.uint8)
    tiles = [small, *(_tile(small, rle.decode(one.rle), number) for number, one in enumerate(found, start=1))]
    tiles += [np.zeros_like(small)] * (-len(tiles) % SHEET_COLUMNS)
    rows = [
        np.concatenate(tiles[start : start + SHEET_COLUMNS], axis=1) for start in range(0, len(tiles), SHEET_COLUMNS)
    ]
    return np.concatenate(rows)


_HEAD = """\
# Look at the sheets and write the numbers of the proposals that are right behind each picture's name, and what they
# are if you like: castle.jpg: 1 tower, 4 tree, 7
"""


def _unmarked_in(source: Path, outlined: Collection[str]) -> list[UnlabeledImage]:
    if (source / INDEX).is_file():
        pack = open_pack(source)
        photographs = [asset for asset in pack.of("photograph") if asset.name not in outlined]
        return [UnlabeledImage(asset.name, partial(pack.read, asset), asset.license) for asset in photographs]
    if not source.is_dir():
        return [UnlabeledImage(source.name, partial(_bytes, source))]
    files = select_images(list_entries(source))
    if not files:
        raise FormatError("dataset-broken", f"{source}: no pictures in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return [UnlabeledImage(file.name, partial(_bytes, file)) for file in files]


def _overlaps(one: GeneratedMask, others: Sequence[GeneratedMask]) -> NDArray[np.float64]:
    """The IoU of a finding's mask with those of others; 0 where it cannot be above `DUPLICATE_IOU`. Holds two masks at a time,
    of which there may be many, of large pictures."""
    mask = rle.decode(one.rle)[None]
    areas = np.array([other.area for other in others], np.float64)
    near = np.minimum(areas, one.area) > DUPLICATE_IOU * np.maximum(areas, one.area)
    return np.array(
        [mask_iou(mask, rle.decode(other.rle)[None])[0, 0] if k else 0.0 for k, other in zip(near, others, strict=True)]
    )


def _again(embedded: EmbeddedImage, one: GeneratedMask) -> NDArray[np.bool_]:
    """What is answered to a finding's box."""
    return np.asarray(embedded.predict(box(*one.box)).best.binary[0])


def _with_mask(one: GeneratedMask, mask: NDArray[np.bool_]) -> GeneratedMask:
    """The finding with that mask, without its specks."""
    speck = SPECK_SHARE * np.count_nonzero(mask)
    clean = fill_holes_and_remove_islands(np.where(mask, np.float32(1), np.float32(-1)), speck, speck) > 0
    left, top, right, bottom = masks_to_boxes([clean])[0].tolist()
    area = int(np.count_nonzero(clean))
    return replace(one, rle=rle.encode(clean), area=area, box=(left, top, right, bottom))


def _tile(picture: Picture, mask: NDArray[np.bool_], number: int) -> Picture:
    """The picture, dark outside of the mask, with a number in its corner."""
    inside = (
        cv2.resize(mask * np.uint8(255), picture.shape[1::-1], interpolation=cv2.INTER_AREA) > 255 * MIN_TILE_COVERAGE
    )
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
    """A file of a picture. Raises `FormatError` for a name that could lead out of the folder."""
    return folder / kind / f"{check_relative(name, folder)}{suffix}"


def _write(path: Path, content: bytes) -> None:
    with translate_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as handle:
        handle.write(content)


def _bytes(path: Path) -> bytes:
    with open_input(path) as handle:
        return handle.read()


def _text(path: Path) -> str:
    content = _bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise FormatError("annotation-broken", f"{path} is not text in UTF-8: {cause}", path=str(path)) from cause


def _line_error(path: Path, line: int, cause: ValueError) -> FormatError:
    return FormatError("annotation-broken", f"{path}, line {line}: {cause}", path=str(path), line=line)


def _parsed(line: str) -> tuple[str, dict[int, str]]:
    """The picture's name in a line of the list, and by number what each proposal that is kept is."""
    name, _, wanted = line.rpartition(":")
    kept: dict[int, str] = {}
    for entry in filter(str.strip, wanted.split(",")):
        number, *what = entry.split(maxsplit=1)
        if not name or not number.isdecimal() or len(number) > 9:
            raise ValueError(f"expected NAME: 1, 4 tree, 7, with no colon behind the name's, got {line.strip()!r}")
        if int(number) in kept:
            raise ValueError(f"{number} is kept twice")
        kept[int(number)] = (what or ["object"])[0].strip()
    return name.strip(), kept


def _kept(folder: Path, name: str, wanted: Mapping[int, str]) -> LabeledImage:
    content = _proposed(folder, name)
    if content is None or content["image"]["file_name"] != name:
        message = f"{folder / KEEP_LIST}: nothing was proposed for {name!r}; names end at the last colon of a line"
        raise FormatError("annotation-broken", message)
    codes = [entry["segmentation"] for entry in content["annotations"]]
    beyond = next((key for key in wanted if not 1 <= key <= len(codes)), None)
    if beyond is not None:
        raise FormatError(
            "annotation-broken", f"{folder / KEEP_LIST}: {name} has proposals 1 to {len(codes)}, not {beyond}"
        )
    image = content["image"]
    objects = [(what, codes[key - 1]) for key, what in wanted.items()]
    return LabeledImage(name, (image["height"], image["width"]), objects, image["license"])


def _proposed(folder: Path, name: str) -> dict[str, Any] | None:
    """What was proposed for a picture, None where nothing was, as for a name that no picture can have."""
    try:
        target = _place(folder, PROPOSALS, name, ".json")
    except FormatError:
        return None
    return _read_found(target) if target.is_file() else None


def _read_found(path: Path) -> dict[str, Any]:
    file = read_fields(path)
    sa1b.parse(file)
    _ = [file.object("image").text(key) for key in ("file_name", "license")]
    return file.value
