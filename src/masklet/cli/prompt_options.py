"""Prompts on the command line: `X,Y@FRAME#ID`, boxes, mask files, and files of prompts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from masklet.errors import PromptError, SettingsError

if TYPE_CHECKING:
    from masklet.prompts import Prompt

Point = Annotated[
    list[str] | None,
    typer.Option(metavar="X,Y[@FRAME][#ID]", help="A click on the object. Repeat it for more clicks."),
]
Negative = Annotated[
    list[str] | None,
    typer.Option(metavar="X,Y[@FRAME][#ID]", help="A click on what is not the object."),
]
Box = Annotated[
    list[str] | None,
    typer.Option(metavar="X0,Y0,X1,Y1[@FRAME][#ID]", help="A box around the object: left, top, right, bottom."),
]
MaskFile = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE[@FRAME][#ID]",
        help="The object's mask: a picture or an annotation file. Each object in it counts; #ID picks one.",
    ),
]
PromptFile = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="FILE.json", help="Prompts in a file: see docs/video.md."),
]


class Part(NamedTuple):
    """One part of a prompt, and whose it is."""

    prompt: Prompt
    frame: int
    object_id: int


LARGEST_ID = 2**31 - 1  # what every format and tool that has numbers at all can hold
_PLACE = re.compile(r"(?P<what>.+?)(?:@(?P<frame>\d+))?(?:#(?P<object>\d+))?", re.DOTALL)


def prompts_of(
    point: Sequence[str] | None,
    negative: Sequence[str] | None,
    box: Sequence[str] | None,
    mask: Sequence[str] | None,
) -> dict[int, Prompt]:
    """The prompt of each object on a picture. Parts that name no object belong to object 1.

    Raises `SettingsError` (`bad-usage`) for what cannot be read, `PromptError` for what cannot be meant.
    """
    schedule = schedule_of(point, negative, box, mask)
    if set(schedule) - {0}:
        raise SettingsError("bad-usage", f"a picture has no frames, got @{max(schedule)}; leave it out")
    return schedule.get(0, {})


def schedule_of(
    point: Sequence[str] | None,
    negative: Sequence[str] | None,
    box: Sequence[str] | None,
    mask: Sequence[str] | None,
    file: Path | None = None,
    first: int = 0,
) -> dict[int, dict[int, Prompt]]:
    """The prompts of each frame and object of a video. Options that name no frame mean frame `first`."""
    from masklet.prompts import box as box_prompt
    from masklet.prompts import click

    parts = [] if file is None else _from_file(file)
    parts += [_part("--box", text, box_prompt, first) for text in box or ()]
    parts += [_part("--point", text, click, first) for text in point or ()]
    parts += [_part("--negative", text, _negative_click, first) for text in negative or ()]
    parts += [part for text in mask or () for part in _masks(text, first)]
    return _joined(parts)


def _from_file(file: Path) -> list[Part]:
    from masklet.cli.prompt_file import read_prompts

    return [Part(prompt, frame, object_id) for frame, object_id, prompt in read_prompts(file)]


def _joined(parts: Sequence[Part]) -> dict[int, dict[int, Prompt]]:
    schedule: dict[int, dict[int, Prompt]] = {}
    for part in parts:
        if part.object_id > LARGEST_ID:
            raise PromptError("bad-prompt", f"objects are numbered from 1 to {LARGEST_ID}, got {part.object_id}")
        own = schedule.setdefault(part.frame, {})
        try:
            own[part.object_id] = own[part.object_id] + part.prompt if part.object_id in own else part.prompt
        except PromptError as error:
            where = f"object {part.object_id} on frame {part.frame}"
            error.hint = f"all of this is meant for {where}; write #2 behind what belongs to a second object"
            raise
    return {frame: schedule[frame] for frame in sorted(schedule)}


def _negative_click(x: float, y: float) -> Prompt:
    from masklet.prompts import click

    return click(x, y, positive=False)


def _part(option: str, text: str, make: Callable[..., Prompt], first: int) -> Part:
    what, frame, object_id = _place(option, text, first)
    example = "40,20,420,290" if option == "--box" else "230,150"
    count = len(example.split(","))
    try:
        numbers = [float(number) for number in what.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise SettingsError(
            "bad-usage", f"{option} takes {count} numbers joined by commas, such as {example}, got {text!r}"
        )
    return Part(make(*numbers), frame, 1 if object_id is None else object_id)


def _masks(text: str, first: int) -> Iterator[Part]:
    from masklet.formats import masks_at
    from masklet.prompts import mask

    what, frame, object_id = (text, first, None) if Path(text).exists() else _place("--mask", text, first)
    masks = masks_at(Path(what), frame)
    if not len(masks):
        raise PromptError("bad-prompt", f"{what} shows no object on frame {frame}; mark it in the file")
    if object_id is None:
        yield from (Part(mask(one.binary[0]), frame, one.object_ids[0]) for one in masks)
    elif len(masks) == 1:
        yield Part(mask(masks.binary[0]), frame, object_id)
    elif object_id in masks.object_ids:
        yield Part(mask(masks.of(object_id).binary[0]), frame, object_id)
    else:
        raise PromptError("unknown-object", f"{what} has the objects {list(masks.object_ids)}, not {object_id}")


def _place(option: str, text: str, first: int) -> tuple[str, int, int | None]:
    """What comes before `@FRAME` and `#ID`, and these."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise SettingsError("bad-usage", f"{option} is empty; say what to follow")
    object_id = None if found["object"] is None else int(found["object"])
    if object_id == 0:
        raise SettingsError("bad-usage", f"{option} {text!r}: objects are numbered from 1, 0 is the background")
    return found["what"], first if found["frame"] is None else int(found["frame"]), object_id
