"""`masklet segment`: segment images with prompts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.cli import console
from masklet.cli.image_input import find_images
from masklet.cli.option_groups import expand_groups
from masklet.cli.options import Json, Overwrite, ZoomModelOptions, check_free, parse_formats
from masklet.cli.postprocessing_options import HoleOptions
from masklet.cli.prompt_options import PromptOptions
from masklet.errors import MaskletError, SettingsError

if TYPE_CHECKING:
    from masklet.masks.masks import Masks
    from masklet.prompts import Prompt
    from masklet.segmenter import Segmenter

SUFFIXES = {
    "png": ".png",
    "overlay": ".overlay.jpg",
    "cutout": ".cutout.png",
    "rle": ".json",
    "npz": ".npz",
}


@dataclass(eq=False, repr=False)
class SegmentRequest:
    """Prompts by image and object id, post-processing and output files of the command."""

    prompts: dict[Path, dict[int, Prompt]]
    multimask: bool | None
    holes: int
    islands: int
    folder: Path
    formats: list[str]
    overwrite: bool

    def files(self, image: Path) -> dict[str, Path]:
        """Return the files of an image by format."""
        return {name: self.folder / f"{image.stem}{SUFFIXES[name]}" for name in self.formats}


@expand_groups
def segment(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE… | FOLDER…",
            help="Image files, and folders of images: JPEG, PNG, WebP, TIFF or BMP.",
            show_default=False,
        ),
    ],
    *,
    prompts: PromptOptions,
    model: ZoomModelOptions,
    out: Annotated[Path, typer.Option(help="Output folder, created if missing.")] = Path("masks"),
    format: Annotated[
        str, typer.Option(help=f"Output formats, separated by commas: {', '.join(SUFFIXES)}.")
    ] = "png,overlay",
    multimask: Annotated[
        bool, typer.Option("--multimask", help="Write all three candidate masks of each prompt.")
    ] = False,
    holes: HoleOptions,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> int:
    """Segment images with clicks, boxes or masks.

    Prompts apply to every image, except those in a file, which name theirs. Images without a prompt are skipped.

    Examples:

      masklet segment cat.jpg --point 230,150

      masklet segment cat.jpg --box 40,20,420,290 --negative 400,40 --format cutout

      masklet segment street.jpg --point 100,200#1 --label dog#1 --box 300,120,420,260#2 --json

      masklet segment photographs --prompts prompts.json --out masks
    """
    formats = parse_formats(format, SUFFIXES)
    images = find_images(sources)
    check_stems(images)
    by_image = prompts.parse_by_image(images)
    if not by_image:
        message = "there is no prompt; give --point X,Y, --box X0,Y0,X1,Y1, --mask FILE or --prompts FILE"
        raise SettingsError("bad-usage", message)
    request = SegmentRequest(by_image, multimask or None, holes.holes, holes.islands, out, formats, overwrite)
    _check_inputs_remain(images, request)
    with _timer() as loading:
        segmenter = model.load()
    records = _segment_all(segmenter, request)
    skipped = len(images) - len(by_image)
    if as_json:
        summary = {"model": segmenter.config.name, "load_seconds": round(loading[0], 3)}
        console.print_json({**summary, "skipped": skipped, "pictures": records})
    else:
        for record in records:
            _print_record(record)
        if skipped:
            console.say(f"skipped {skipped} of {len(images)} images, which have no prompt")
    return console.PARTLY_DONE if any("error" in record for record in records) else 0


def check_stems(images: Sequence[Path]) -> None:
    """Raise `SettingsError` if two images have the same stem: output files are named after it."""
    stems: dict[str, Path] = {}
    for image in images:
        if image.stem in stems:
            message = f"{str(stems[image.stem])!r} and {str(image)!r} would be written to the same files; rename one"
            raise SettingsError("bad-usage", message)
        stems[image.stem] = image


def _check_inputs_remain(images: Sequence[Path], request: SegmentRequest) -> None:
    """Raise `SettingsError` if the masks of an image would replace one of the images."""
    inputs = {_resolve_folder(image) for image in images}
    for image in request.prompts:
        for file in request.files(image).values():
            if _resolve_folder(file) in inputs:
                message = f"the masks of {str(image)!r} would replace the image {str(file)!r}"
                raise SettingsError("bad-usage", f"{message}; write to another folder with --out")


def _resolve_folder(file: Path) -> Path:
    return file.parent.resolve() / file.name


def _segment_all(segmenter: Segmenter, request: SegmentRequest) -> list[dict[str, Any]]:
    """Return the record of each image with prompts. An error of one of several images becomes its record."""
    records, count = [], len(request.prompts)
    with console.progress("segmenting", unit="images") as progress:
        for done, path in enumerate(request.prompts, start=1):
            try:
                records.append(_segment_image(segmenter, path, request))
            except MaskletError as error:
                records.append(console.record_failed_image(str(path), error, only=count == 1))
            progress(done, count)
    return records


def _segment_image(segmenter: Segmenter, path: Path, request: SegmentRequest) -> dict[str, Any]:
    from masklet.files.atomic import make_folder
    from masklet.images import read_image

    files, prompts = request.files(path), request.prompts[path]
    check_free(files.values(), overwrite=request.overwrite)
    make_folder(request.folder)
    image = read_image(path)
    with _timer() as encoding:
        embedded = segmenter.embed(image, lazy=True)
    with _timer() as decoding:
        masks = embedded.predict(prompts, multimask=request.multimask)
    if request.holes or request.islands:
        masks = masks.postprocess(fill_holes=request.holes, remove_islands=request.islands)
    for name, file in files.items():
        _write(name, file, masks, image)
    return {
        "picture": str(path),
        "size": list(masks.size),
        "encode_seconds": 0.0 if segmenter.zoom else round(encoding[0], 4),  # with zoom, `predict` encodes
        "decode_seconds": round(decoding[0], 4),
        "objects": [
            _describe(object_mask, prompts[object_mask.object_ids[0]].label) for object_mask in masks
        ],
        "files": {name: str(file) for name, file in files.items()},
    }


def _describe(object_mask: Masks, label: str | None) -> dict[str, Any]:
    """Return the record of one mask."""
    return {
        "id": object_mask.object_ids[0],
        **({} if label is None else {"label": label}),
        "score": round(float(object_mask.scores[0]), 4),
        "visible": bool(object_mask.visible[0]),
        "area": int(object_mask.areas[0]),
        "box": object_mask.boxes[0].tolist(),
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


def _print_record(record: dict[str, Any]) -> None:
    """Print one line per object and one with the files."""
    if "error" in record:
        return
    height, width = record["size"]
    for item in record["objects"]:
        cells = [
            record["picture"],
            f"object {item['id']}" + (f" ({item['label']})" if "label" in item else ""),
            f"score {item['score']:.2f}",
            f"{100 * item['area'] / (height * width):.1f} % of the image" if item["area"] else "empty",
            f"box {', '.join(f'{side:g}' for side in item['box'])}",
        ]
        console.print_line("  ".join(cells))
    encode, decode = record["encode_seconds"], record["decode_seconds"]
    seconds = f"encode {encode:.2f} s, decode {decode:.2f} s" if encode else f"{decode:.2f} s"
    console.print_line(f"  → {', '.join(record['files'].values())}  ({seconds})")


@contextmanager
def _timer() -> Iterator[list[float]]:
    """Yield a list that gets the seconds of the block when it ends."""
    seconds: list[float] = []
    start = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - start)
