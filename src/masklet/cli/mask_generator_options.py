"""Mask generator options: the options of automatic mask generation, with the names of SAM 2's generator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masklet.config import MODEL_DEFAULTS, REFERENCE_DEFAULTS
from masklet.errors import SettingsError

if TYPE_CHECKING:
    from masklet.predict.mask_generator import MaskGeneratorOptions, Points

_POINTS, _FILTERS, _CROPS = "Point grid", "Mask filters", "Crops"


def _option(text: str, panel: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=panel, **more)


def _describe_default(field: str) -> str:
    """Return the default of a field of `ModelDefaults`, such as `0.8, 0.45 for nano`."""
    special = (f"{getattr(defaults, field):g} for {name}" for name, defaults in MODEL_DEFAULTS.items())
    return ", ".join([f"{getattr(REFERENCE_DEFAULTS, field):g}", *special])


@dataclass(eq=False, repr=False)
class MaskGeneratorArguments:
    """The mask generator's options as they are given on the command line."""

    points_per_side: Annotated[
        int | None, _option("Points per side of the grid of clicks.", _POINTS, min=1, show_default="32")
    ] = None
    point_grids: Annotated[
        Path | None,
        _option(
            "Point grids to use instead: JSON, for the image and each crop layer a list of x, y pairs from 0 to 1.",
            _POINTS,
            metavar="FILE.json",
        ),
    ] = None
    points_per_batch: Annotated[int, _option("Points decoded in one batch.", _POINTS, min=1)] = 64
    multimask_output: Annotated[
        bool, _option("Predict three masks per point, or one.", _POINTS, show_default="three")
    ] = True
    pred_iou_thresh: Annotated[
        float | None,
        _option(
            "Keep masks with a predicted IoU above this; 0: all.",
            _FILTERS,
            show_default=_describe_default("iou_threshold"),
        ),
    ] = None
    stability_score_thresh: Annotated[
        float | None,
        _option(
            "Keep masks with a stability score from this on; 0: all.",
            _FILTERS,
            show_default=_describe_default("stability_threshold"),
        ),
    ] = None
    stability_score_offset: Annotated[
        float, _option("Shift of the mask threshold, up and down, for the stability score.", _FILTERS, min=0)
    ] = 1.0
    mask_threshold: Annotated[float, _option("Logit above which a pixel belongs to a mask.", _FILTERS)] = 0.0
    box_nms_thresh: Annotated[
        float, _option("Box IoU above which NMS removes the mask with the lower score.", _FILTERS)
    ] = 0.7
    min_mask_region_area: Annotated[
        int, _option("Fill holes and remove pieces smaller than this many pixels.", _FILTERS, min=0)
    ] = 0
    use_m2m: Annotated[
        bool, typer.Option("--use-m2m", help="Refine each mask with a second prediction.", rich_help_panel=_FILTERS)
    ] = False
    crop_n_layers: Annotated[
        int, _option("Crop layers: layer i repeats the generation in 2^i × 2^i crops.", _CROPS, min=0)
    ] = 0
    crop_nms_thresh: Annotated[float, _option("Box IoU threshold of the NMS between crops.", _CROPS)] = 0.7
    crop_overlap_ratio: Annotated[
        float, _option("Overlap of crops, as a fraction of the image's shorter side.", _CROPS, show_default="512/1500")
    ] = 512 / 1500
    crop_n_points_downscale_factor: Annotated[
        int, _option("Divide the points per side by this in each further crop layer.", _CROPS, min=1)
    ] = 1

    def parse(self) -> MaskGeneratorOptions:
        """Return the options of the mask generator.

        Raises:
            InputNotFound: The file of point grids is missing or cannot be read.
            SettingsError: `bad-usage` for a file without point grids or a value out of range.
        """
        from masklet.predict.mask_generator import MaskGeneratorOptions

        values = asdict(self)
        values["points_per_side"] = self.points_per_side or (None if self.point_grids else 32)
        values["point_grids"] = _read_point_grids(self.point_grids)
        return MaskGeneratorOptions(**values)


def _read_point_grids(file: Path | None) -> tuple[Points, ...] | None:
    """Read one array of points (P, 2) per crop layer."""
    import json

    import numpy as np

    from masklet.files.open_input import open_input

    if file is None:
        return None
    try:
        with open_input(file) as handle:
            grids = tuple(np.array(grid, np.float64) for grid in json.load(handle))
    except (ValueError, TypeError, OverflowError, RecursionError) as cause:
        raise _grids_error(file) from cause
    if not grids:
        raise _grids_error(file)
    return grids


def _grids_error(file: Path) -> SettingsError:
    return SettingsError("bad-usage", f"{file} has no point grids; write a JSON list of lists of [x, y], one per layer")
