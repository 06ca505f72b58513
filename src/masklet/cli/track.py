"""`masklet track`: track objects through a video."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from masklet.cli import console
from masklet.cli.background_option import BackgroundOption, parse_background
from masklet.cli.detection_options import VideoDetectionOptions
from masklet.cli.found_objects import print_found_object
from masklet.cli.frame_option import EXPLANATION, Frames, parse_frames
from masklet.cli.option_groups import expand_groups
from masklet.cli.options import Json, Overwrite, VideoModelOptions, parse_formats
from masklet.cli.postprocessing_options import PostProcessingOptions
from masklet.cli.prompt_options import VideoPromptOptions
from masklet.cli.spacing_option import SpacingOption, parse_spacing
from masklet.cli.value_range_option import ValueRangeOption, parse_value_range
from masklet.errors import SettingsError, VideoError

FORMATS = (
    "png, sav, coco, ytvis, yolo, labelme, cvat, mots, npz, csv, tiff, nifti, dicom_seg, overlay, cutout, prores, "
    "blur, blur_objects, spotlight, background, matte_prores, matte_mp4, matte_png, matte_exr"
)


DEFAULT_FORMATS = "png,overlay"


class OnCorrupt(str, Enum):
    """The masks of a frame that cannot be decoded."""

    SKIP = "skip"
    CARRY = "carry"


class OnResize(str, Enum):
    """What happens at a frame of another size."""

    STOP = "stop"
    SCALE = "scale"


class Direction(str, Enum):
    """The direction of tracking from the prompted frames."""

    FORWARD = "forward"
    BACKWARD = "backward"
    BOTH = "both"


@expand_groups
def track(
    video: Annotated[
        str | None,
        typer.Argument(
            metavar="VIDEO",
            help="A video file, a folder of images, a pattern such as 'frames/*.png', or a stack: TIFF, NIfTI, DICOM.",
            show_default=False,
        ),
    ] = None,
    *,
    project: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Track the objects of a project of masklet studio, in place of VIDEO, through all frames that are not "
            "tracked yet. Only options of the model and of post-processing apply.",
        ),
    ] = None,
    medium: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Number of a video of --project. Repeat the option for more. Default: all."),
    ] = None,
    prompts: VideoPromptOptions,
    detection: VideoDetectionOptions,
    direction: Annotated[
        Direction, typer.Option(help="Direction of tracking from the prompted frames.")
    ] = Direction.FORWARD,
    start: Annotated[int, typer.Option(help="First frame. Frames are numbered from 0.", min=0)] = 0,
    stop: Annotated[int | None, typer.Option(help="Frame to stop before. Default: the end of the video.")] = None,
    every: Annotated[int, typer.Option(metavar="N", help="Track every N-th frame only.", min=1)] = 1,
    model: VideoModelOptions,
    postprocessing: PostProcessingOptions,
    autorotate: Annotated[
        bool, typer.Option("--autorotate/--no-autorotate", help="Rotate frames as the file declares.")
    ] = True,
    on_resize: Annotated[
        OnResize, typer.Option(help="At a frame of another size: stop, or scale it to the size of the first frame.")
    ] = OnResize.STOP,
    on_corrupt: Annotated[
        OnCorrupt,
        typer.Option(help="At a frame that cannot be decoded: skip it, or carry over the masks of the frame before."),
    ] = OnCorrupt.SKIP,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on a truncated video and on a frame that cannot be decoded.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Output folder. Default: VIDEO_masks.")] = None,
    format: Annotated[str, typer.Option(help=f"Output formats, separated by commas: {FORMATS}.")] = DEFAULT_FORMATS,
    background: BackgroundOption = "white",
    spacing: SpacingOption = None,
    value_range: ValueRangeOption = None,
    frames: Annotated[
        Frames | None, typer.Option(help=f"{EXPLANATION} Default: copy for labelme and yolo, none for the others.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume at the first unfinished frame of an earlier run.")
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Track objects through a video. --resume continues a job that was stopped or killed.

    Examples:

      masklet track dog.mp4 --box 260,100,700,620

      masklet track dog.mp4 --point 480,300@40#1 --point 80,90@40#2 --direction both

      masklet track frames/ --mask first.png --every 5 --format yolo --resume

      masklet track dog.mp4 --box 260,100,700,620 --format coco --frames jpg

      masklet track street.mp4 --detect "car, person" --detector models/owlv2 --format coco

      masklet track ct-series/ --box 120,80,190,160@40 --direction both --format dicom_seg,csv --value-range=-160,240

      masklet track --project labels/
    """
    from masklet.cli.track_request import FrameRange, TrackRequest, VideoPolicy
    from masklet.cli.track_run import run
    from masklet.formats import FORMATS as BY_NAME
    from masklet.video.frame_folder import name_video

    if project is not None:
        given = {
            **{name: value is not None for name, value in (vars(prompts) | vars(detection)).items()},
            "VIDEO": video is not None,
            "direction": direction is not Direction.FORWARD,
            "start": start != 0,
            "stop": stop is not None,
            "every": every != 1,
            "no-autorotate": not autorotate,
            "on-resize": on_resize is not OnResize.STOP,
            "on-corrupt": on_corrupt is not OnCorrupt.SKIP,
            "strict": strict,
            "out": out is not None,
            "format": format != DEFAULT_FORMATS,
            "background": background != "white",
            "spacing": spacing is not None,
            "value-range": value_range is not None,
            "frames": frames is not None,
            "resume": resume,
            "overwrite": overwrite,
        }
        _refuse_with_project([name for name, is_given in given.items() if is_given])
        return _track_project(project, medium or [], model, postprocessing, json=json)
    if video is None or medium:
        needed = "--medium needs --project DIR" if medium else "give a VIDEO, or --project DIR"
        raise SettingsError("bad-usage", needed)
    if "://" in video:
        message = f"{video} is an address, not a file; to track a stream run: masklet webcam {video}"
        raise VideoError("reference-file-refused", message)
    source = Path(video)
    detects = detection.check()
    schedule = prompts.parse_schedule(first=start)
    if detects and (schedule or direction is not Direction.FORWARD):
        option = "prompts" if schedule else f"--direction {direction.value}"
        raise SettingsError("bad-usage", f"--detect finds the objects and tracks them forward; leave out {option}")
    if not schedule and not detects:
        message = "nothing to track; give --point X,Y, --box X0,Y0,X1,Y1, --mask FILE, --prompts FILE or --detect TEXT"
        raise SettingsError("bad-usage", message)
    forms = [BY_NAME[name] for name in parse_formats(format, BY_NAME)]
    request = TrackRequest(
        source=source,
        schedule=schedule,
        range=FrameRange(direction.value, start, stop, every),
        model=model,
        postprocessing=postprocessing.build(),
        policy=VideoPolicy(
            autorotate,
            on_resize is OnResize.SCALE,
            on_corrupt is OnCorrupt.CARRY,
            strict,
            parse_value_range(value_range),
        ),
        out=out or Path(f"{name_video(source)}_masks"),
        formats=forms,
        resume=resume,
        overwrite=overwrite,
        auto_track=detection.build(model.device) if detects else None,
        background=parse_background(background),
        spacing=parse_spacing(spacing),
        frames=parse_frames(frames, forms),
    )
    record = run(request)
    if json:
        console.print_json(record)
    else:
        for summary in record["objects"] if detects else ():
            print_found_object(summary)
        for path in record["files"].values():
            console.print_line(path)
    return console.PARTLY_DONE if record["truncated"] or record["corrupt_frames"] or record["error"] else 0


def _refuse_with_project(given: list[str]) -> None:
    """Raise `SettingsError` for options that a project decides."""
    if not given:
        return
    names = {"VIDEO": "VIDEO", "prompt_file": "--prompts"}
    option = names.get(given[0], f"--{given[0].replace('_', '-')}")
    advice = "prompts are those of the project; masklet export project writes its masks"
    raise SettingsError("bad-usage", f"{option} cannot be combined with --project; leave it out: {advice}")


def _track_project(
    folder: Path, media: list[int], model: VideoModelOptions, postprocessing: PostProcessingOptions, *, json: bool
) -> int:
    from masklet.cli.track_project import track_project

    record = track_project(folder, media, model, postprocessing.build())
    if json:
        console.print_json(record)
    elif not record["videos"]:
        console.say("every frame is tracked already")
    for video in () if json else record["videos"]:
        console.print_line(f"{video['path']}: {video['frames']} frames")
    return 0
