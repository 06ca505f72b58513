"""What the user of a tracking command asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from masklet.cleaning import Cleaning
from masklet.cli.options import located
from masklet.formats import Format
from masklet.propagate import Schedule
from masklet.segmenter import Segmenter, load


@dataclass(frozen=True, slots=True)
class Range:
    """Which frames are visited, and in which order."""

    direction: Literal["forward", "backward", "both"]
    start: int
    stop: int | None
    every: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """Which model runs, and how; None is what `load` chooses."""

    model: str
    size: int | None
    device: str | None
    dtype: str | None

    def load(self) -> Segmenter:
        """The model, downloaded if need be."""
        return load(located(self.model), size=self.size, device=self.device, dtype=self.dtype)


@dataclass(frozen=True, slots=True)
class Care:
    """What is done about a video that is not as it should be. `rotate` obeys the rotation that a file asks for,
    `rescale` brings frames of another size to the first one's, `carry` gives frames that cannot be decoded the masks
    before them, `strict` takes neither those nor a video without its end."""

    rotate: bool = True
    rescale: bool = False
    carry: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for."""

    source: Path
    schedule: Schedule
    range: Range
    runtime: Runtime
    cleaning: Cleaning
    care: Care
    out: Path
    formats: list[Format]
    resume: bool
    overwrite: bool
