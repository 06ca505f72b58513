"""How to look for everything, on the command line: the options of the reference's generator, by its names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.config import SURE, SURE_OF
from masklet.errors import SettingsError

if TYPE_CHECKING:
    from masklet.predict.mask_generator import Points

_SEARCH, _CROPS = "Where to look, and what is good enough", "Looking again at parts of the picture"


def _option(text: str, panel: str = _SEARCH, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, **more)


def _usual(place: int) -> str:
    """What holds where nothing else is said, of the two in `SURE`."""
    return ", ".join([f"{SURE[place]:g}", *(f"{of[place]:g} with {name}" for name, of in SURE_OF.items())])


PointsPerSide = Annotated[int | None, _option("Clicks along each side of the picture.", min=1, show_default="32")]
PointGrids = Annotated[
    Path | None,
    _option("Clicks of your own instead: JSON, for each layer a list of x, y in 0 … 1.", metavar="FILE.json"),
]
PointsPerBatch = Annotated[int, _option("Clicks that are decoded at once.", min=1)]
PredIou = Annotated[
    float | None, _option("Masks with a predicted IoU up to that are left out; 0 keeps all.", show_default=_usual(0))
]
Stability = Annotated[
    float | None,
    _option("Masks that depend on the threshold more than that are left out; 0 keeps all.", show_default=_usual(1)),
]
StabilityOffset = Annotated[float, _option("How far the threshold is moved to see that.", min=0)]
MaskThreshold = Annotated[float, _option("The logit above which a pixel belongs to a mask.")]
BoxNms = Annotated[float, _option("Box IoU above which two masks are the same thing.")]
MinArea = Annotated[int, _option("Fill holes and drop pieces with fewer pixels than that.", min=0)]
UseM2m = Annotated[bool, typer.Option("--use-m2m", help="Refine each mask by itself, once.", rich_help_panel=_SEARCH)]
Multimask = Annotated[bool, _option("Three masks of each click, or one.", show_default="three")]
CropLayers = Annotated[int, _option("Layer i looks again at 2^i × 2^i crops.", _CROPS, min=0)]
CropNms = Annotated[float, _option("Box IoU above which masks of two crops are the same thing.", _CROPS)]
CropOverlap = Annotated[
    float, _option("By how much of the shorter side crops overlap.", _CROPS, show_default="512/1500")
]
CropDownscale = Annotated[int, _option("So many times fewer clicks a side in each layer of crops.", _CROPS, min=1)]


def grids_of(file: Path | None) -> tuple[Points, ...] | None:
    """The clicks in a file, one array (P, 2) per layer of crops. Raises `InputNotFound`, `SettingsError`."""
    import json

    import numpy as np

    from masklet.files.open_input import open_input

    if file is None:
        return None
    try:
        with open_input(file) as handle:
            grids = tuple(np.array(grid, np.float64) for grid in json.load(handle))
    except (ValueError, TypeError, OverflowError, RecursionError) as cause:
        raise _unread(file) from cause
    if not grids:
        raise _unread(file)
    return grids


def _unread(file: Path) -> SettingsError:
    return SettingsError("bad-usage", f"{file}: point grids are a JSON list of lists of [x, y], one per layer of crops")
