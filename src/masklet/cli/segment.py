"""`masklet segment`: pictures in, masks out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.cli import console, options
from masklet.cli.prompt_options import Box, MaskFile, Negative, Point, prompts_of
from masklet.config import EMBEDDED
from masklet.errors import MaskletError, ResourceError, SettingsError

if TYPE_CHECKING:
    from masklet.masks.masks import Masks
    from masklet.segmenter import Segmenter

SUFFIXES = {
    "png": ".png",
    "overlay": ".overlay.jpg",
    "cutout": ".cutout.png",
    "rle": ".json",
    "npz": ".npz",
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to write of each picture, and how to clean it first."""

    folder: Path
    formats: list[str]
    overwrite: bool
    multimask: bool | None
    holes: int
    islands: int


def segment(
    pictures: Annotated[
        list[Path], typer.Argument(help="Picture files: JPEG, PNG, WebP, TIFF or BMP.", show_default=False)
    ],
    point: Point = None,
    negative: Negative = None,
    box: Box = None,
    mask: MaskFile = None,
    model: options.Model = EMBEDDED,
    size: options.Size = None,
    zoom: options.Zoom = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    out: Annotated[Path, typer.Option(help="Folder to write to; made if missing.")] = Path("masks"),
    format: Annotated[
        str, typer.Option(help=f"What to write, of {', '.join(SUFFIXES)}, joined by commas.")
    ] = "png,overlay",
    multimask: Annotated[bool, typer.Option("--multimask", help="All three candidates of each prompt.")] = False,
    holes: Annotated[int, typer.Option(help="Fill holes of up to so many low-res pixels.", min=0)] = 0,
    islands: Annotated[int, typer.Option(help="Drop pieces of up to so many low-res pixels.", min=0)] = 0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> int:
    """Segment pictures with clicks, a box or a mask. The same prompts are used on every picture.

    Examples:

      masklet segment cat.jpg --point 230,150

      masklet segment cat.jpg --box 40,20,420,290 --negative 400,40 --format cutout

      masklet segment street.jpg --point 100,200#1 --box 300,120,420,260#2 --json
    """
    wishes = Wishes(out, _formats(format), overwrite, multimask or None, holes, islands)
    _check_names(pictures)
    prompts = prompts_of(point, negative, box, mask)
    if not prompts:
        raise SettingsError("bad-usage", "nothing to segment; give --point X,Y, --box X0,Y0,X1,Y1 or --mask FILE")
    with _timed() as loading:
        segmenter = options.loaded(model, size=size, device=device, dtype=dtype, zoom=zoom)
    records = []
    with console.progress("segmenting", unit="images") as progress:
        for done, picture in enumerate(pictures):
            records.append(_one(segmenter, picture, prompts, wishes, only=len(pictures) == 1))
            progress(done + 1, len(pictures))
    if as_json:
        console.print_json({"model": segmenter.config.name, "load_seconds": round(loading[0], 3), "pictures": records})
    else:
        for record in records:
            _tell(record)
    return console.PARTLY_DONE if any("error" in record for record in records) else 0


def _one(segmenter: Segmenter, picture: Path, prompts: Any, wishes: Wishes, *, only: bool) -> dict[str, Any]:
    """Segment and write one picture; what goes wrong is recorded, and ends the command only if there is no other."""
    try:
        return _segmented(segmenter, picture, prompts, wishes)
    except MaskletError as error:
        return console.picture_failed(str(picture), error, only=only)


def _segmented(segmenter: Segmenter, picture: Path, prompts: Any, wishes: Wishes) -> dict[str, Any]:
    from masklet.images import read_image

    files = {name: wishes.folder / f"{picture.stem}{SUFFIXES[name]}" for name in wishes.formats}
    _check_free(list(files.values()), overwrite=wishes.overwrite)
    image = read_image(picture)
    with _timed() as encoding:
        embedded = segmenter.embed(image, lazy=True)
    with _timed() as decoding:
        masks = embedded.predict(prompts, multimask=wishes.multimask)
    if wishes.holes or wishes.islands:
        masks = masks.clean(holes=wishes.holes, islands=wishes.islands)
    for name, path in files.items():
        _write(name, path, masks, image)
    return {
        "picture": str(picture),
        "size": list(masks.size),
        "encode_seconds": 0.0 if segmenter.zoom else round(encoding[0], 4),  # who zooms encodes when asked
        "decode_seconds": round(decoding[0], 4),
        "objects": [
            {
                "id": one.object_ids[0],
                "score": round(float(one.scores[0]), 4),
                "visible": bool(one.visible[0]),
                "area": int(one.areas[0]),
                "box": one.boxes[0].tolist(),
            }
            for one in masks
        ],
        "files": {name: str(path) for name, path in files.items()},
    }


def _write(name: str, path: Path, masks: Masks, image: Any) -> None:
    from PIL import Image

    from masklet.files.atomic import atomic_write

    if name == "overlay":
        with atomic_write(path) as file:
            Image.fromarray(masks.overlay(image)).save(file, "JPEG", quality=92)
    elif name == "cutout":
        with atomic_write(path) as file:
            Image.fromarray(masks.cutout(image)).save(file, "PNG")
    else:
        masks.save(path)


def _tell(record: dict[str, Any]) -> None:
    """A readable line per object, and one that says where the files are."""
    if "error" in record:
        return
    height, width = record["size"]
    for one in record["objects"]:
        told = [
            record["picture"],
            f"object {one['id']}",
            f"score {one['score']:.2f}",
            f"{100 * one['area'] / (height * width):.1f} % of the picture" if one["area"] else "empty",
            f"box {', '.join(f'{side:g}' for side in one['box'])}",
        ]
        console.print_line("  ".join(told))
    encode, decode = record["encode_seconds"], record["decode_seconds"]
    seconds = f"encode {encode:.2f} s, decode {decode:.2f} s" if encode else f"{decode:.2f} s"
    console.print_line(f"  → {', '.join(record['files'].values())}  ({seconds})")


def _formats(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in SUFFIXES]
    if unknown or not names:
        raise SettingsError(
            "bad-usage", f"unknown format {(unknown or [text])[0]!r}; formats are {', '.join(SUFFIXES)}"
        )
    return names


def _check_names(pictures: list[Path]) -> None:
    """Results are named after the pictures, so names must differ."""
    twice = [stem for stem, count in Counter(picture.stem for picture in pictures).items() if count > 1]
    if twice:
        same = [str(picture) for picture in pictures if picture.stem == twice[0]]
        raise SettingsError("bad-usage", f"{same[0]!r} and {same[1]!r} would be written to the same files; rename one")


def _check_free(paths: list[Path], *, overwrite: bool) -> None:
    from masklet.files.atomic import make_folder
    from masklet.files.outputs import output_exists

    taken = [path for path in paths if output_exists(path)]
    if taken and not overwrite:
        raise ResourceError(
            "output-exists", f"{str(taken[0])!r} exists", hint="--overwrite writes over it, --out elsewhere"
        )
    for folder in {path.parent for path in paths}:
        make_folder(folder)


@contextmanager
def _timed() -> Iterator[list[float]]:
    """A list that holds the seconds that the block took."""
    took: list[float] = []
    start = time.perf_counter()
    yield took
    took.append(time.perf_counter() - start)
