"""The option `--background`: what the format `background` shows behind the objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from masklet.masks.effects import Background

BackgroundOption = Annotated[
    str, typer.Option(metavar="COLOR|FILE", help="Color or image that replaces the background in format background.")
]


def parse_background(text: str) -> Background:
    """Return the image of a file, or the color of a name such as `white` or `#00b140`.

    Raises:
        SettingsError: It is neither.
        ImageError: The file is not an image.
    """
    from masklet.formats import read_background

    return read_background(text)
