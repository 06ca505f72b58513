"""`masklet segment`: segment images with prompts, or with reference images."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from masklet.cli.background_option import BackgroundOption, parse_background
from masklet.cli.detection_options import DetectionOptions
from masklet.cli.frame_option import EXPLANATION, Frames, parse_frames
from masklet.cli.image_input import find_images
from masklet.cli.option_groups import expand_groups
from masklet.cli.options import Json, Overwrite, ZoomModelOptions, parse_formats
from masklet.cli.postprocessing_options import HoleOptions
from masklet.cli.prompt_options import PromptOptions
from masklet.cli.spacing_option import SpacingOption, parse_spacing
from masklet.errors import SettingsError

FORMATS = "png, overlay, cutout, blur, blur_objects, spotlight, background, rle, npz, coco, yolo, labelme, cvat, csv"


@expand_groups
def segment(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE… | FOLDER… | PATTERN…",
            help="Image files, folders of images, and patterns such as 'photos/*.jpg': JPEG, PNG, WebP, TIFF or BMP.",
            show_default=False,
        ),
    ],
    *,
    prompts: PromptOptions,
    references: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file of prompts for a few images. Their objects are found in the others, without prompts.",
        ),
    ] = None,
    detection: DetectionOptions,
    model: ZoomModelOptions,
    out: Annotated[Path, typer.Option(help="Output folder, created if missing.")] = Path("masks"),
    format: Annotated[str, typer.Option(help=f"Output formats, separated by commas: {FORMATS}.")] = "png,overlay",
    background: BackgroundOption = "white",
    frames: Annotated[
        Frames | None, typer.Option(help=f"{EXPLANATION} Default: copy for labelme and yolo, none for the others.")
    ] = None,
    spacing: SpacingOption = None,
    multimask: Annotated[
        bool, typer.Option("--multimask", help="Write all three candidate masks of each prompt.")
    ] = False,
    holes: HoleOptions,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an earlier run. Finished images are not segmented again.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> int:
    """Segment images with clicks, boxes or masks, or what a detector finds.

    Prompts apply to every image, except those in a file, which name theirs. Images without a prompt are skipped, unless
    --references finds the objects of the prompted images in them, or --detect finds objects by the names of classes. An
    image that fails is reported, and the others are finished.

    Examples:

      masklet segment cat.jpg --point 230,150

      masklet segment cat.jpg --box 40,20,420,290 --negative 400,40 --format cutout

      masklet segment street.jpg --point 100,200#1 --label dog#1 --box 300,120,420,260#2 --json

      masklet segment photographs --prompts boxes.csv --format coco,yolo --out labels --resume

      masklet segment photographs --references prompts.json --out masks

      masklet segment photographs --detect "cat, dog" --detector models/owlv2 --format coco
    """
    from masklet.cli import segment_run
    from masklet.image_sets.image_files import FORMATS as BY_NAME
    from masklet.image_sets.image_files import SHARED_FORMATS
    from masklet.image_sets.request import ImageSetRequest

    formats = parse_formats(format, BY_NAME)
    images = find_images(sources)
    if references and multimask:
        raise SettingsError("bad-usage", "--multimask gives candidates of a prompt; leave it out with --references")
    detects = detection.check()
    if detects and (multimask or references):
        option = "--multimask" if multimask else "--references"
        raise SettingsError("bad-usage", f"{option} needs prompts; leave it out with --detect")
    with segment_run.print_warnings():
        by_image = prompts.parse_references(references, images) if references else prompts.parse_by_image(images)
    if detects and by_image:
        raise SettingsError("bad-usage", "--detect finds the objects of every image; leave out the prompts")
    if not by_image and not detects:
        message = (
            "there is no prompt; give --point X,Y, --box X0,Y0,X1,Y1, --mask FILE, --prompts FILE or --detect TEXT"
        )
        raise SettingsError("bad-usage", f"{references} has no prompts" if references else message)
    request = ImageSetRequest(
        images=images if references or detects else [*by_image],
        prompts=by_image,
        folder=out,
        formats=formats,
        references=references is not None,
        multimask=multimask,
        fill_holes=holes.holes,
        remove_islands=holes.islands,
        background=parse_background(background),
        frames=parse_frames(frames, (SHARED_FORMATS[name] for name in formats if name in SHARED_FORMATS)),
        spacing=parse_spacing(spacing),
        resume=resume,
        overwrite=overwrite,
    )
    segment_run.check(request)
    started = time.perf_counter()
    if detects:
        request = replace(request, detector=detection.load(model.device), min_score=detection.detect_score)
    segmenter = model.load()
    load_seconds = time.perf_counter() - started
    return segment_run.run(
        segmenter, request, skipped=len(images) - len(request.images), load_seconds=load_seconds, as_json=as_json
    )
