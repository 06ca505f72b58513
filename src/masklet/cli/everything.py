"""`masklet everything`: automatic mask generation in images and automatic tracking in a video."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.cli import console
from masklet.cli.found_objects import print_found_object
from masklet.cli.frame_option import EXPLANATION, Frames, parse_frames
from masklet.cli.mask_generator_options import MaskGeneratorArguments
from masklet.cli.option_groups import expand_groups
from masklet.cli.options import Json, ModelOptions, Overwrite, parse_formats
from masklet.cli.spacing_option import SpacingOption, parse_spacing
from masklet.errors import SettingsError, VideoError

if TYPE_CHECKING:
    from masklet.images.spacing import Spacing
    from masklet.predict.mask_generator import MaskGeneratorOptions
    from masklet.tracking.auto_tracker import AutoTrackOptions

_VIDEO = "Video only"


def _video_option(text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=_VIDEO, **more)


@dataclass(eq=False, repr=False)
class VideoArguments:
    """The options that apply to a video only. None stands for the default."""

    look_every: Annotated[
        int | None, _video_option("Run the mask generator every so many frames.", show_default="15", min=1)
    ] = None
    uncovered: Annotated[
        float | None,
        _video_option("Smallest fraction of a new mask that no tracked object covers.", show_default="0.5"),
    ] = None
    patience: Annotated[
        int | None, _video_option("Drop an object after so many frames without a mask.", show_default="30", min=1)
    ] = None
    most: Annotated[
        int | None, _video_option("Largest number of objects tracked at the same time.", show_default="64", min=1)
    ] = None
    start: Annotated[int | None, _video_option("First frame.", show_default="0", min=0)] = None
    stop: Annotated[int | None, _video_option("Frame to stop before. Default: the end of the video.")] = None
    every: Annotated[int | None, _video_option("Process every N-th frame only.", metavar="N", min=1)] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Resume at the first unfinished frame of an earlier run.", rich_help_panel=_VIDEO
        ),
    ] = False

    def find_given(self) -> str | None:
        """Return the first option that was given, such as `--every`; None if there is none."""
        names = ("look_every", "uncovered", "patience", "most", "start", "stop", "every", "resume")
        given = [name for name in names if getattr(self, name) not in (None, False)]
        return f"--{given[0].replace('_', '-')}" if given else None

    def build(self, generator: MaskGeneratorOptions) -> AutoTrackOptions:
        """Return the options of automatic tracking. Raises `SettingsError` for a value out of range."""
        from masklet.tracking.auto_tracker import AutoTrackOptions

        if self.uncovered is not None and not 0 < self.uncovered <= 1:
            raise SettingsError("bad-usage", f"--uncovered must be above 0 and at most 1, got {self.uncovered:g}")
        values: dict[str, Any] = {
            "every": self.look_every,
            "min_uncovered": self.uncovered,
            "patience": self.patience,
            "max_objects": self.most,
        }
        return AutoTrackOptions(generator, **{name: value for name, value in values.items() if value is not None})


@expand_groups
def everything(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE… | VIDEO", help="Image files, or one video file or folder of frames.", show_default=False
        ),
    ],
    *,
    generator: MaskGeneratorArguments,
    video: VideoArguments,
    model: ModelOptions,
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder. Default: `everything` for images, VIDEO_everything for a video."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Output formats, separated by commas. Images: sa1b, rle, coco, csv, png, overlay. "
            "Video: those of `masklet track`.",
            show_default="images: sa1b,overlay; video: png,overlay",
        ),
    ] = None,
    frames: Annotated[
        Frames | None, typer.Option(help=f"{EXPLANATION} Default: copy for labelme and yolo, none for the others.")
    ] = None,
    spacing: SpacingOption = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Segment everything in images, or segment and track everything in a video, without a prompt.

    In a video, the mask generator runs on the first frame and every --look-every frames. New objects get new ids;
    objects without a mask for --patience frames are dropped. The generator's options have SAM 2's names and defaults.

    Examples:

      masklet everything street.jpg

      masklet everything *.jpg --points-per-side 64 --crop-n-layers 1 --format coco,png

      masklet everything clip.mp4 --points-per-side 16 --look-every 30 --most 20 --resume
    """
    request = _Request(sources, generator.parse(), model, out, format, frames, parse_spacing(spacing), overwrite, json)
    present = [source for source in sources if source.exists()] or sources[:1]  # missing files raise errors later
    if all(_is_image(source) for source in present):
        if given := video.find_given():
            raise SettingsError("bad-usage", f"{given} applies to a video, but {str(sources[0])!r} is an image")
        return _generate_from_images(request)
    if len(sources) > 1:
        raise SettingsError(
            "bad-usage", f"expected images or one video; not all of the {len(sources)} inputs are images"
        )
    try:
        return _track_video(request, video)
    except VideoError as error:
        if error.code == "unsupported-format":
            error.hint = error.hint or "images are JPEG, PNG, WebP, TIFF or BMP files"
        raise


def _is_image(source: Path) -> bool:
    """Return whether a path is an image file, by its first bytes. Raises `InputNotFound`."""
    from masklet.files.image_files import is_image
    from masklet.files.open_input import require_input

    return not require_input(source).is_dir() and is_image(source)


@dataclass(eq=False, repr=False)
class _Request:
    """The arguments that images and a video share."""

    sources: list[Path]
    generator: MaskGeneratorOptions
    model: ModelOptions
    out: Path | None
    formats: str | None
    frames: Frames | None
    spacing: Spacing | None
    overwrite: bool
    json: bool


def _generate_from_images(arguments: _Request) -> int:
    from masklet.cli import everything_images
    from masklet.cli.console import print_warnings

    formats = parse_formats(arguments.formats or "sa1b,overlay", everything_images.FORMATS)
    shared = [form for name, form in everything_images.SHARED.items() if name in formats]
    request = everything_images.EverythingRequest(
        images=arguments.sources,
        options=arguments.generator,
        formats=formats,
        out=arguments.out or Path("everything"),
        overwrite=arguments.overwrite,
        spacing=arguments.spacing,
        frames=parse_frames(arguments.frames, shared),
    )
    everything_images.check(request)
    segmenter = arguments.model.load()
    with print_warnings():
        records = everything_images.run(segmenter, request)
    if arguments.json:
        console.print_json({"pictures": records})
    else:
        for record in records:
            _print_image(record, arguments.generator.for_model(segmenter.config.name))
    return console.PARTLY_DONE if any("error" in record for record in records) else 0


def _print_image(record: dict[str, Any], options: MaskGeneratorOptions) -> None:
    if "error" in record:
        return
    count, covered = len(record["found"]), 100 * record["covered"]
    masks = f"{count} mask" + "s" * (count != 1)
    console.print_line(f"{record['picture']}  {masks}  {covered:.0f} % of the image  {record['seconds']:.1f} s")
    console.print_line(f"  → {', '.join(record['files'].values())}")
    if not count:
        thresholds = f"--pred-iou-thresh {options.pred_iou_thresh:g} and --stability-score-thresh"
        console.say(f"no mask passed {thresholds} {options.stability_score_thresh:g}; lower them to get more masks")


def _track_video(arguments: _Request, video: VideoArguments) -> int:
    from masklet.cli.track_request import FrameRange, TrackRequest, VideoPolicy
    from masklet.cli.track_run import run
    from masklet.formats import FORMATS
    from masklet.masks.postprocessing import NO_POSTPROCESSING

    (source,) = arguments.sources
    formats = [FORMATS[name] for name in parse_formats(arguments.formats or "png,overlay", FORMATS)]
    record = run(
        TrackRequest(
            source=source,
            schedule={},
            range=FrameRange("forward", video.start or 0, video.stop, video.every or 1),
            model=arguments.model,
            postprocessing=NO_POSTPROCESSING,
            policy=VideoPolicy(),
            out=arguments.out or Path(f"{Path(os.path.realpath(source)).stem}_everything"),
            formats=formats,
            resume=video.resume,
            overwrite=arguments.overwrite,
            auto_track=video.build(arguments.generator),
            spacing=arguments.spacing,
            frames=parse_frames(arguments.frames, formats),
        )
    )
    if arguments.json:
        console.print_json(record)
    else:
        for summary in record["objects"]:
            print_found_object(summary)
        for path in record["files"].values():
            console.print_line(path)
    return console.PARTLY_DONE if record["truncated"] or record["corrupt_frames"] or record["error"] else 0
