"""Prompt options: clicks as `X,Y@FRAME#ID`, boxes, mask files, labels and files of prompts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from masklet.errors import PromptError, SettingsError

if TYPE_CHECKING:
    from masklet.prompts import Prompt

_SUFFIXED = re.compile(r"(?P<value>.+?)(?:@(?P<frame>\d{1,18}))?(?:#(?P<object>\d{1,18}))?", re.DOTALL)
_LABELED = re.compile(r"(?P<label>.+?)(?:#(?P<object>\d{1,18}))?", re.DOTALL)
_POINT = "A click on the object, in pixels of the image. Repeat the option for more clicks."
_NEGATIVE = "A click on what does not belong to the object."
_BOX = "A box around the object: left, top, right, bottom."
_MASK = "A mask of the object: an image or an annotation file. Every object in the file is used; #ID selects one."

Place = TypeVar("Place", int, Path)  # a frame or an image


def _option(metavar: str, text: str, *names: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=text, rich_help_panel="Prompts")


@dataclass(eq=False, repr=False)
class PromptOptions:
    """The prompts for images. An option without #ID is for object 1."""

    point: Annotated[list[str] | None, _option("X,Y[#ID]", _POINT)] = None
    negative: Annotated[list[str] | None, _option("X,Y[#ID]", _NEGATIVE)] = None
    box: Annotated[list[str] | None, _option("X0,Y0,X1,Y1[#ID]", _BOX)] = None
    mask: Annotated[list[str] | None, _option("FILE[#ID]", _MASK)] = None
    label: Annotated[list[str] | None, _option("NAME[#ID]", "The name of an object's class, for example dog#1.")] = None
    prompt_file: Annotated[
        Path | None,
        _option(
            "FILE", "The prompts of each image: JSON, CSV, or a COCO file with boxes; see docs/images.md.", "--prompts"
        ),
    ] = None

    def parse_by_image(self, images: Sequence[Path]) -> dict[Path, dict[int, Prompt]]:
        """Return the prompts by image and object id, in the order of `images`. Images without a prompt are left out.

        The options apply to every image. The prompts in a file apply to the image that they name.

        Raises:
            InputNotFound: A file is missing or cannot be read.
            FormatError: A file of prompts or masks is invalid, or names an image that is not one of `images`.
            SettingsError: `bad-usage` for text that is not a prompt, or that names a frame.
            PromptError: A prompt is invalid, or its parts cannot be joined.
        """
        from masklet.image_sets.image_prompts import join_prompts, read_image_prompts

        options = [*self._parts(None)]
        if frames := {part.frame for part in options} - {0}:
            raise SettingsError("bad-usage", f"an image has no frames, got @{max(frames)}; remove it")
        everywhere = [(image, part.object_id, part.prompt) for image in images for part in options]
        listed = read_image_prompts(self.prompt_file, images) if self.prompt_file else []
        by_image = join_prompts([*listed, *everywhere], "of")
        by_image = {image: by_image[image] for image in images if image in by_image}
        for prompts in by_image.values():
            _check_marked([prompts])
        return self._add_labels(by_image)

    def parse_references(self, file: Path, images: Sequence[Path]) -> dict[Path, dict[int, Prompt]]:
        """Return the prompts of reference images by image and object id.

        Args:
            file: A file of prompts. It names images of the input, or others relative to its own folder.
            images: The images of the input.

        Raises:
            InputNotFound: A file is missing or cannot be read.
            FormatError: A file of prompts or masks is invalid, or names an image that does not exist.
            SettingsError: `bad-usage` for prompts in options, or for a label of an object that has no prompt.
            PromptError: A prompt is invalid, or its parts cannot be joined.
        """
        from masklet.image_sets.image_prompts import check_labels, join_prompts, read_image_prompts

        options = {"point": self.point, "negative": self.negative, "box": self.box, "mask": self.mask}
        if given := [name for name, value in {**options, "prompts": self.prompt_file}.items() if value]:
            message = f"--{given[0]} cannot be combined with --references; add its prompts to {file}"
            raise SettingsError("bad-usage", message)
        labeled = self._add_labels(join_prompts(read_image_prompts(file, images, or_beside=True), "of"))
        check_labels(labeled)
        return labeled

    def _add_labels(self, prompts: dict[Place, dict[int, Prompt]]) -> dict[Place, dict[int, Prompt]]:
        """Return the prompts with the labels of `--label`, which replace those of files, on all prompts of an object.

        Raises:
            SettingsError: An object has two labels in the options, or a label but no prompt.
            PromptError: A label is invalid.
        """
        labels: dict[int, str] = {}
        for text in self.label or ():
            label, object_id = _parse_label(text)
            if labels.setdefault(object_id, label) != label:
                message = f"--label {text!r}: object {object_id} has the label {labels[object_id]!r}; give one of them"
                raise SettingsError("bad-usage", message)
            if not any(object_id in by_object for by_object in prompts.values()):
                message = (
                    f"--label {text!r}: object {object_id} has no prompt; write #ID after the label and its prompts"
                )
                raise SettingsError("bad-usage", message)
        return {
            place: {key: replace(prompt, label=labels.get(key, prompt.label)) for key, prompt in by_object.items()}
            for place, by_object in prompts.items()
        }

    def _parts(self, first: int | None) -> Iterator[_Part]:
        """Yield the prompts of the options. `first` is the frame of those that name none; None for images."""
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
    prompt_file: Annotated[Path | None, _option("FILE.json", "A file of prompts; see docs/video.md.", "--prompts")] = (
        None
    )

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
        from masklet.image_sets.image_prompts import check_labels, join_prompts
        from masklet.image_sets.prompt_file import read_frame_prompts

        listed = read_frame_prompts(self.prompt_file) if self.prompt_file else []
        given = [(part.frame, part.object_id, part.prompt) for part in self._parts(first)]
        schedule = join_prompts([*listed, *given], "on frame")
        _check_marked(schedule.values())
        labeled = self._add_labels({frame: schedule[frame] for frame in sorted(schedule)})
        check_labels(labeled)
        return labeled


class _Part(NamedTuple):
    """One part of the prompt of an object on a frame."""

    prompt: Prompt
    frame: int
    object_id: int


def _check_marked(by_place: Iterable[Mapping[int, Prompt]]) -> None:
    """Raise `PromptError` for an object that has only negative clicks in all of the places."""
    places = [*by_place]
    marked = {key for prompts in places for key, prompt in prompts.items() if prompt.marks_object}
    for object_id in (key for prompts in places for key in prompts if key not in marked):
        message = f"object {object_id} has only negative clicks; mark it by a positive click, a box or a mask"
        raise PromptError("bad-prompt", message)


def _parse_label(text: str) -> tuple[str, int]:
    """Return the label and the object id in the value of `--label`."""
    from masklet.prompts import check_label

    match = _LABELED.fullmatch(text)
    if match is None:
        raise SettingsError("bad-usage", "--label is empty; give it a name, such as dog#1")
    return check_label(match["label"]), _check_object_id("--label", text, match["object"]) or 1


def _negative_click(x: float, y: float) -> Prompt:
    from masklet.prompts import click

    return click(x, y, positive=False)


def _parse_numbers(option: str, text: str, make: Callable[..., Prompt], first: int | None) -> _Part:
    value, frame, object_id = _split(option, text, first or 0)
    if suffix := re.search("[@#].*", value, re.DOTALL):
        advice = "# and a number from 1" if first is None else "@ and a frame from 0, then # and a number from 1"
        message = f"{option} {text!r}: {suffix[0]!r} is not understood; after the coordinates write {advice}"
        raise SettingsError("bad-usage", message)
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


def _read_masks(text: str, first: int | None) -> Iterator[_Part]:
    from masklet.formats import masks_at
    from masklet.prompts import mask

    start = first or 0
    path, frame, object_id = (text, start, None) if Path(text).exists() else _split("--mask", text, start)
    masks = masks_at(Path(path), frame)
    if not len(masks):
        on_frame, advice = (
            ("", "mark it in the file") if first is None else (f" on frame {frame}", "choose another frame")
        )
        raise PromptError("bad-prompt", f"{path} has no object{on_frame}; {advice} or use another file")
    if object_id is None:
        yield from (_Part(mask(one.binary[0], label=one.labels[0]), frame, one.object_ids[0]) for one in masks)
    elif len(masks) == 1 or object_id in masks.object_ids:
        one = masks if len(masks) == 1 else masks.of(object_id)
        yield _Part(mask(one.binary[0], label=one.labels[0]), frame, object_id)
    else:
        raise PromptError("unknown-object", f"{path} has the objects {list(masks.object_ids)}, not {object_id}")


def _split(option: str, text: str, first: int) -> tuple[str, int, int | None]:
    """Split off `@FRAME` and `#ID`."""
    match = _SUFFIXED.fullmatch(text)
    if match is None:
        raise SettingsError("bad-usage", f"{option} is empty; give it a value")
    object_id = _check_object_id(option, text, match["object"])
    return match["value"], first if match["frame"] is None else int(match["frame"]), object_id


def _check_object_id(option: str, text: str, digits: str | None) -> int | None:
    """Return the number after `#` in the value of an option; None if there is none."""
    object_id = None if digits is None else int(digits)
    if object_id == 0:
        raise SettingsError("bad-usage", f"{option} {text!r}: objects are numbered from 1, 0 is the background")
    return object_id
