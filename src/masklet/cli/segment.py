"""`masklet segment`: segment images with prompts, or with reference images."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from masklet.cli import console
from masklet.cli.background_option import BackgroundOption, parse_background
from masklet.cli.image_input import find_images
from masklet.cli.option_groups import expand_groups
from masklet.cli.options import Json, Overwrite, ZoomModelOptions, parse_formats
from masklet.cli.postprocessing_options import HoleOptions
from masklet.cli.prompt_options import PromptOptions
from masklet.cli.segment_run import SUFFIXES, SegmentRequest, check_inputs_remain, run
from masklet.errors import SettingsError


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
    references: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="A file of prompts for a few images. Their objects are found in the others, without prompts.",
        ),
    ] = None,
    model: ZoomModelOptions,
    out: Annotated[Path, typer.Option(help="Output folder, created if missing.")] = Path("masks"),
    format: Annotated[
        str, typer.Option(help=f"Output formats, separated by commas: {', '.join(SUFFIXES)}.")
    ] = "png,overlay",
    background: BackgroundOption = "white",
    multimask: Annotated[
        bool, typer.Option("--multimask", help="Write all three candidate masks of each prompt.")
    ] = False,
    holes: HoleOptions,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> int:
    """Segment images with clicks, boxes or masks.

    Prompts apply to every image, except those in a file, which name theirs. Images without a prompt are skipped, unless
    --references finds the objects of the prompted images in them.

    Examples:

      masklet segment cat.jpg --point 230,150

      masklet segment cat.jpg --box 40,20,420,290 --negative 400,40 --format cutout

      masklet segment street.jpg --point 100,200#1 --label dog#1 --box 300,120,420,260#2 --json

      masklet segment photographs --prompts prompts.json --out masks

      masklet segment photographs --references prompts.json --out masks
    """
    formats = parse_formats(format, SUFFIXES)
    images = find_images(sources)
    check_stems(images)
    if references and multimask:
        raise SettingsError("bad-usage", "--multimask gives candidates of a prompt; leave it out with --references")
    by_image = prompts.parse_references(references, images) if references else prompts.parse_by_image(images)
    if not by_image:
        message = "there is no prompt; give --point X,Y, --box X0,Y0,X1,Y1, --mask FILE or --prompts FILE"
        raise SettingsError("bad-usage", f"{references} has no prompts" if references else message)
    request = SegmentRequest(
        images=images if references else [*by_image],
        prompts=by_image,
        references=references is not None,
        multimask=multimask,
        holes=holes.holes,
        islands=holes.islands,
        folder=out,
        formats=formats,
        background=parse_background(background),
        overwrite=overwrite,
    )
    check_inputs_remain(request)
    started = time.perf_counter()
    segmenter = model.load()
    load_seconds = time.perf_counter() - started
    records = run(segmenter, request)
    skipped = len(images) - len(request.images)
    if as_json:
        summary = {"model": segmenter.config.name, "load_seconds": round(load_seconds, 3)}
        console.print_json({**summary, "skipped": skipped, "pictures": records})
    else:
        _print_records(records, skipped=skipped, count_found=request.references)
    return console.PARTLY_DONE if any("error" in record for record in records) else 0


def check_stems(images: Sequence[Path]) -> None:
    """Raise `SettingsError` if two images have the same stem: output files are named after it."""
    stems: dict[str, Path] = {}
    for image in images:
        if image.stem in stems:
            message = f"{str(stems[image.stem])!r} and {str(image)!r} would be written to the same files; rename one"
            raise SettingsError("bad-usage", message)
        stems[image.stem] = image


def _print_records(records: Sequence[dict[str, Any]], *, skipped: int, count_found: bool) -> None:
    """Print the records and, on standard error, the number of skipped images or those in which an object is found."""
    finished = [record for record in records if "error" not in record]
    for record in finished:
        _print_record(record)
    if skipped:
        console.say(f"skipped {skipped} of {len(records) + skipped} images, which have no prompt")
    if count_found:
        objects = [item for record in finished for item in record["objects"]]
        found = Counter(_name(item) for item in objects if item["area"])
        for name in dict.fromkeys(map(_name, objects)):
            console.say(f"{name} found in {found[name]} of {len(finished)} images")


def _print_record(record: dict[str, Any]) -> None:
    """Print one line per object and one with the files."""
    height, width = record["size"]
    for item in record["objects"]:
        cells = [
            record["picture"],
            _name(item),
            f"score {item['score']:.2f}",
            f"{100 * item['area'] / (height * width):.1f} % of the image" if item["area"] else "empty",
            f"box {', '.join(f'{side:g}' for side in item['box'])}",
        ]
        console.print_line("  ".join(cells))
    encode, decode = record["encode_seconds"], record["decode_seconds"]
    seconds = f"encode {encode:.2f} s, decode {decode:.2f} s" if encode else f"{decode:.2f} s"
    console.print_line(f"  → {', '.join(record['files'].values())}  ({seconds})")


def _name(item: dict[str, Any]) -> str:
    """Return the object id and the label of an object's record."""
    return f"object {item['id']}" + (f" ({item['label']})" if "label" in item else "")
