"""`masklet everything`: all there is in pictures or in a video, without a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.cli import console, mask_generator_options, options
from masklet.config import EMBEDDED
from masklet.errors import SettingsError

if TYPE_CHECKING:
    from masklet.predict.mask_generator import Search

_VIDEO = "Video only"

Look = Annotated[
    int | None,
    typer.Option(help="Look for new things every so many frames.", show_default="15", min=1, rich_help_panel=_VIDEO),
]
Uncovered = Annotated[
    float | None,
    typer.Option(
        help="A thing is new if that share of it is covered by nothing that is followed.",
        show_default="0.5",
        rich_help_panel=_VIDEO,
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(help="An object hidden for so many frames ends.", show_default="30", min=1, rich_help_panel=_VIDEO),
]
Most = Annotated[
    int | None,
    typer.Option(help="Follow at most so many objects at once.", show_default="64", min=1, rich_help_panel=_VIDEO),
]
Start = Annotated[int | None, typer.Option(help="The first frame.", show_default="0", min=0, rich_help_panel=_VIDEO)]
Stop = Annotated[int | None, typer.Option(help="The frame to stop before; by default the end.", rich_help_panel=_VIDEO)]
Every = Annotated[int | None, typer.Option(help="Visit only every so many frames.", min=1, rich_help_panel=_VIDEO)]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with a job that was stopped, if there is one.", rich_help_panel=_VIDEO)
]


def everything(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="PICTURE… | VIDEO", help="Pictures, or one video or folder of frames.", show_default=False
        ),
    ],
    points_per_side: mask_generator_options.PointsPerSide = None,
    point_grids: mask_generator_options.PointGrids = None,
    points_per_batch: mask_generator_options.PointsPerBatch = 64,
    pred_iou_thresh: mask_generator_options.PredIou = None,
    stability_score_thresh: mask_generator_options.Stability = None,
    stability_score_offset: mask_generator_options.StabilityOffset = 1.0,
    mask_threshold: mask_generator_options.MaskThreshold = 0.0,
    box_nms_thresh: mask_generator_options.BoxNms = 0.7,
    min_mask_region_area: mask_generator_options.MinArea = 0,
    use_m2m: mask_generator_options.UseM2m = False,
    multimask_output: mask_generator_options.Multimask = True,
    crop_n_layers: mask_generator_options.CropLayers = 0,
    crop_nms_thresh: mask_generator_options.CropNms = 0.7,
    crop_overlap_ratio: mask_generator_options.CropOverlap = 512 / 1500,
    crop_n_points_downscale_factor: mask_generator_options.CropDownscale = 1,
    look_every: Look = None,
    uncovered: Uncovered = None,
    patience: Patience = None,
    most: Most = None,
    start: Start = None,
    stop: Stop = None,
    every: Every = None,
    resume: Resume = False,
    model: options.Model = EMBEDDED,
    size: options.Size = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; by default everything, of a video VIDEO_everything.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Joined by commas: of pictures sa1b, rle, coco, png, overlay; of a video what `masklet track` writes.",
            show_default="sa1b,overlay of pictures; png,overlay of a video",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> int:
    """Find everything in pictures, or find and follow everything in a video, without a prompt.

    In a video, what is on the first frame is followed; every so many frames what is not covered yet is looked at again
    and gets new ids; what is gone for long ends. Names and defaults are those of the reference's generator.

    Examples:

      masklet everything street.jpg

      masklet everything *.jpg --points-per-side 64 --crop-n-layers 1 --format coco,png

      masklet everything clip.mp4 --points-per-side 16 --look-every 30 --most 20 --resume
    """
    from masklet.predict.mask_generator import Search

    search = Search(
        points_per_side=points_per_side or (None if point_grids else 32),
        points_per_batch=points_per_batch,
        pred_iou_thresh=pred_iou_thresh,
        stability_score_thresh=stability_score_thresh,
        stability_score_offset=stability_score_offset,
        mask_threshold=mask_threshold,
        box_nms_thresh=box_nms_thresh,
        crop_n_layers=crop_n_layers,
        crop_nms_thresh=crop_nms_thresh,
        crop_overlap_ratio=crop_overlap_ratio,
        crop_n_points_downscale_factor=crop_n_points_downscale_factor,
        point_grids=mask_generator_options.grids_of(point_grids),
        min_mask_region_area=min_mask_region_area,
        use_m2m=use_m2m,
        multimask_output=multimask_output,
    )
    video_only = {
        "--look-every": look_every, "--uncovered": uncovered, "--patience": patience, "--most": most,
        "--start": start, "--stop": stop, "--every": every, "--resume": resume or None,
    }  # fmt: skip
    names = None if format is None else [name.strip() for name in format.split(",")]
    asked = _Asked(sources, search, (model, size, device, dtype), names, out, overwrite, json)
    there = [source for source in sources if source.exists()] or sources[:1]  # what is missing is told in its turn
    if all(_is_picture(source) for source in there):
        given = [name for name, value in video_only.items() if value is not None]
        if given:
            raise SettingsError("bad-usage", f"{given[0]} is for a video, and {str(sources[0])!r} is a picture")
        return _pictures(asked)
    if len(sources) > 1:
        raise SettingsError("bad-usage", f"give pictures, or one video; of these {len(sources)} not all are pictures")
    watched = {"every": look_every, "uncovered": uncovered, "patience": patience, "most": most}
    return _video(asked, watched, (start or 0, stop, every or 1), resume=resume)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of pictures and of a video alike; `runtime` is model, size, device and dtype."""

    sources: list[Path]
    search: Search
    runtime: tuple[str, int | None, str | None, str | None]
    formats: list[str] | None
    out: Path | None
    overwrite: bool
    json: bool


def _is_picture(source: Path) -> bool:
    """Whether a path is a picture file, by its first bytes. Raises `InputNotFound`."""
    from masklet.files.image_files import is_image
    from masklet.files.open_input import require_input

    return not require_input(source).is_dir() and is_image(source)


def _pictures(asked: _Asked) -> int:
    from masklet.cli import everything_images
    from masklet.cli.track_run import Runtime

    wishes = everything_images.Wishes(
        pictures=asked.sources,
        search=asked.search,
        formats=everything_images.named(asked.formats or ["sa1b", "overlay"]),
        out=asked.out or Path("everything"),
        overwrite=asked.overwrite,
    )
    everything_images.check(wishes)
    model = Runtime(*asked.runtime).load()
    records = everything_images.run(model, wishes)
    if asked.json:
        console.print_json({"pictures": records})
    else:
        for record in records:
            _tell(record, asked.search.suited(model.config.name))
    return console.PARTLY_DONE if any("error" in record for record in records) else 0


def _tell(record: dict[str, Any], search: Search) -> None:
    if "error" in record:
        return
    found, covered = len(record["found"]), 100 * record["covered"]
    things = f"{found} thing" + "s" * (found != 1)
    console.print_line(f"{record['picture']}  {things}  {covered:.0f} % of the picture  {record['seconds']:.1f} s")
    console.print_line(f"  → {', '.join(record['files'].values())}")
    if not found:
        limits = f"--pred-iou-thresh {search.pred_iou_thresh:g} and --stability-score-thresh"
        console.say(f"nothing passed {limits} {search.stability_score_thresh:g}; lower ones find more")


def _video(asked: _Asked, watched: dict[str, Any], visited: tuple[int, int | None, int], *, resume: bool) -> int:
    from masklet.cli.track_run import Care, Range, Runtime, Wishes, run
    from masklet.formats import named
    from masklet.masks.postprocessing import AS_FOUND
    from masklet.tracking.auto_tracker import Watch

    video = asked.sources[0]
    record = run(
        Wishes(
            source=video,
            schedule={},
            range=Range("forward", *visited),
            runtime=Runtime(*asked.runtime),
            cleaning=AS_FOUND,
            care=Care(),
            out=asked.out or Path(f"{video.resolve().stem}_everything"),
            formats=named(asked.formats or ["png", "overlay"]),
            resume=resume,
            overwrite=asked.overwrite,
            watch=Watch(asked.search, **{name: value for name, value in watched.items() if value is not None}),
        )
    )
    if asked.json:
        console.print_json(record)
    else:
        for one in record["objects"]:
            frames = f"frames {one['first_frame']} to {one['last_frame']}" if one["visible_frames"] else "never visible"
            console.print_line(f"object {one['id']}  {frames}")
        for path in record["files"].values():
            console.print_line(path)
    return console.PARTLY_DONE if record["truncated"] or record["corrupt_frames"] or record["error"] else 0
