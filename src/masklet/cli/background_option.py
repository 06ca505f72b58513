"""The option `--background`: what the format `background` shows behind the objects."""

from __future__ import annotations

import os
from pathlib import Path
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
        InputNotFound: It is the path of a file that is missing or cannot be read.
        ImageError: The file is not an image.
    """
    from masklet.files.image_files import has_image_suffix
    from masklet.formats import read_background
    from masklet.images import read_image

    is_path = os.path.lexists(text) or os.path.dirname(text) or has_image_suffix(Path(text))  # noqa: PTH120 - of text
    return read_image(text) if is_path else read_background(text)
