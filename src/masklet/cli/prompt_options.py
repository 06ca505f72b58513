"""Prompt options: clicks as `X,Y@FRAME#ID`, boxes, mask files and files of prompts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from masklet.errors import PromptError, SettingsError

if TYPE_CHECKING:
    from masklet.prompts import Prompt

LARGEST_ID = 2**31 - 1  # the largest id that formats with 32-bit numbers can hold
_SUFFIXED = re.compile(r"(?P<value>.+?)(?:@(?P<frame>\d+))?(?:#(?P<object>\d+))?", re.DOTALL)
_POINT = "A click on the object, in pixels of the image. Repeat the option for more clicks."
_NEGATIVE = "A click on what does not belong to the object."
_BOX = "A box around the object: left, top, right, bottom."
_MASK = "A mask of the object: an image or an annotation file. Every object in the file is used; #ID selects one."


def _option(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=text)


@dataclass(eq=False, repr=False)
class PromptOptions:
    """The prompts for an image. An option without #ID is for object 1."""

    point: Annotated[list[str] | None, _option("X,Y[#ID]", _POINT)] = None
    negative: Annotated[list[str] | None, _option("X,Y[#ID]", _NEGATIVE)] = None
    box: Annotated[list[str] | None, _option("X0,Y0,X1,Y1[#ID]", _BOX)] = None
    mask: Annotated[list[str] | None, _option("FILE[#ID]", _MASK)] = None

    def parse_prompts(self) -> dict[int, Prompt]:
        """Return the prompt of each object id.

        Raises:
            SettingsError: `bad-usage` for text that is not a prompt, or that names a frame.
            PromptError: A prompt is invalid, or its parts cannot be joined.
        """
        schedule = _join([*self._parts(0)])
        if set(schedule) - {0}:
            raise SettingsError("bad-usage", f"an image has no frames, got @{max(schedule)}; remove it")
        return schedule.get(0, {})

    def _parts(self, first: int) -> Iterator[_Part]:
        from masklet.prompts import box, click

        yield from (_parse_numbers("--box", text, box, first) for text in self.box or ())
        yield from (_parse_numbers("--point", text, click, first) for text in self.point or ())
        yield from (_parse_numbers("--negative", text, _negative_click, first) for text in self.negative or ())
        yield from (part for text in self.mask or () for part in _read_masks(text, first))


@dataclass(eq=False, repr=False)
class VideoPromptOptions(PromptOptions):
    """The prompts for a video. An option without @FRAME is for the first frame."""

    point: Annotated[list[str] | None, _option("X,Y[@FRAME][#ID]", _POINT)] = None
    negative: Annotated[list[str] | None, _option("X,Y[@FRAME][#ID]", _NEGATIVE)] = None
    box: Annotated[list[str] | None, _option("X0,Y0,X1,Y1[@FRAME][#ID]", _BOX)] = None
    mask: Annotated[list[str] | None, _option("FILE[@FRAME][#ID]", _MASK)] = None
    prompt_file: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE.json", help="A file of prompts; see docs/video.md.")
    ] = None

    def parse_schedule(self, first: int = 0) -> dict[int, dict[int, Prompt]]:
        """Return the prompts by frame and object id, in the order of the frames.

        Args:
            first: The frame of options that name none.

        Raises:
            InputNotFound: A file is missing or cannot be read.
            FormatError: A file of prompts or masks is invalid.
            SettingsError: `bad-usage` for text that is not a prompt.
            PromptError: A prompt is invalid, or its parts cannot be joined.
        """
        return _join([*_read_file(self.prompt_file), *self._parts(first)])


class _Part(NamedTuple):
    """One part of the prompt of an object on a frame."""

    prompt: Prompt
    frame: int
    object_id: int


def _read_file(file: Path | None) -> list[_Part]:
    from masklet.cli.prompt_file import read_prompts

    if file is None:
        return []
    return [_Part(prompt, frame, object_id) for frame, object_id, prompt in read_prompts(file)]


def _join(parts: Sequence[_Part]) -> dict[int, dict[int, Prompt]]:
    schedule: dict[int, dict[int, Prompt]] = {}
    for part in parts:
        if part.object_id > LARGEST_ID:
            raise PromptError("bad-prompt", f"objects are numbered from 1 to {LARGEST_ID}, got {part.object_id}")
        by_object = schedule.setdefault(part.frame, {})
        try:
            by_object[part.object_id] = (
                by_object[part.object_id] + part.prompt if part.object_id in by_object else part.prompt
            )
        except PromptError as error:
            where = f"object {part.object_id} on frame {part.frame}"
            error.hint = f"all of these prompts are for {where}; write #2 after those of a second object"
            raise
    return {frame: schedule[frame] for frame in sorted(schedule)}


def _negative_click(x: float, y: float) -> Prompt:
    from masklet.prompts import click

    return click(x, y, positive=False)


def _parse_numbers(option: str, text: str, make: Callable[..., Prompt], first: int) -> _Part:
    value, frame, object_id = _split(option, text, first)
    example = "40,20,420,290" if option == "--box" else "230,150"
    count = len(example.split(","))
    try:
        numbers = [float(number) for number in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise SettingsError(
            "bad-usage", f"{option} takes {count} numbers separated by commas, such as {example}, got {text!r}"
        )
    return _Part(make(*numbers), frame, 1 if object_id is None else object_id)


def _read_masks(text: str, first: int) -> Iterator[_Part]:
    from masklet.formats import masks_at
    from masklet.prompts import mask

    path, frame, object_id = (text, first, None) if Path(text).exists() else _split("--mask", text, first)
    masks = masks_at(Path(path), frame)
    if not len(masks):
        raise PromptError("bad-prompt", f"{path} has no object on frame {frame}; choose another frame or file")
    if object_id is None:
        yield from (_Part(mask(object_mask.binary[0]), frame, object_mask.object_ids[0]) for object_mask in masks)
    elif len(masks) == 1:
        yield _Part(mask(masks.binary[0]), frame, object_id)
    elif object_id in masks.object_ids:
        yield _Part(mask(masks.of(object_id).binary[0]), frame, object_id)
    else:
        raise PromptError("unknown-object", f"{path} has the objects {list(masks.object_ids)}, not {object_id}")


def _split(option: str, text: str, first: int) -> tuple[str, int, int | None]:
    """Split off `@FRAME` and `#ID`."""
    match = _SUFFIXED.fullmatch(text)
    if match is None:
        raise SettingsError("bad-usage", f"{option} is empty; give it a value")
    object_id = None if match["object"] is None else int(match["object"])
    if object_id == 0:
        raise SettingsError("bad-usage", f"{option} {text!r}: objects are numbered from 1, 0 is the background")
    return match["value"], first if match["frame"] is None else int(match["frame"]), object_id
