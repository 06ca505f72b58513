"""`masklet export project`: write the masks of a studio project in annotation formats and as effects."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from masklet.cli import console
from masklet.cli.background_option import BackgroundOption, parse_background
from masklet.cli.frame_option import EXPLANATION, Frames, parse_frames
from masklet.cli.options import Json, parse_formats
from masklet.cli.track import FORMATS
from masklet.errors import SettingsError, StateError

if TYPE_CHECKING:
    from masklet.project.entries import Medium

_SHOWN = 5  # images and videos that a message names


def project(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project.")],
    format: Annotated[str, typer.Option(help=f"Output formats, separated by commas: {FORMATS}.")] = "coco",
    media: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|NUMBER",
            help="Image or video, by the end of its path or its number in the project. Repeatable. Default: all.",
        ),
    ] = None,
    background: BackgroundOption = "white",
    frames: Annotated[
        Frames | None,
        typer.Option(help=f"{EXPLANATION} Default: copy, or none for images and videos whose files are missing."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New output folder. Default: a folder named by the time in DIR/exports.")
    ] = None,
    json: Json = False,
) -> None:
    """Write the masks of a project of `masklet studio`: the images as one dataset, and a folder for each video.

    Examples:

      masklet export project street-project --format coco,yolo

      masklet export project street-project --format labelme --frames link

      masklet export project street-project --format blur_objects --media crossing.mp4 --out blurred
    """
    from masklet.formats import FORMATS as BY_NAME
    from masklet.project.project import Project
    from masklet.project.transfer import export_project

    formats, behind = parse_formats(format, BY_NAME), parse_background(background)
    mode = parse_frames(frames, (BY_NAME[name] for name in formats))
    target = out or folder / "exports" / time.strftime("%Y-%m-%d-%H%M%S")
    try:
        opened = Project.open(folder, create=False)
    except StateError as error:
        error.hint = "export it from the menu of the studio, or close the studio first"
        raise
    with opened, console.progress(f"exporting {folder}") as progress:
        selected = _select(opened.document.media(), media) if media else None
        paths = export_project(
            opened, target, formats, media=selected, background=behind, frames=mode, progress=progress
        )
    if json:
        console.print_json({"project": str(folder), "files": [str(path) for path in paths]})
    else:
        for path in paths:
            console.print_line(str(path))


def _select(media: Mapping[int, Medium], names: Sequence[str]) -> list[int]:
    """Return the numbers of the images and videos with these names: ends of paths, or numbers.

    Raises:
        SettingsError: `bad-usage` if the project has no such image or video.
    """
    selected: dict[int, None] = {}
    for name in names:
        end = PurePosixPath(Path(name).as_posix()).parts
        found = [number for number, one in media.items() if PurePosixPath(one.path).parts[-len(end) :] == end]
        if not found and name.isdecimal() and int(name) in media:
            found = [int(name)]
        if not found:
            paths = [one.path for one in media.values()]
            shown = ", ".join([*paths[:_SHOWN], *([f"… {len(paths)} in all"] if len(paths) > _SHOWN else [])])
            raise SettingsError("bad-usage", f"the project has no {name!r}; it has {shown or 'no images and videos'}")
        selected.update(dict.fromkeys(found))
    return [*selected]
