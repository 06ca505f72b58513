"""The option `--value-range`: the numbers of a stack that are black and white."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from masklet.errors import SettingsError

ValueRangeOption = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="Numbers of a stack that become black and white, such as --value-range=-160,240 for soft tissue in a CT. "
        "Default: the window of the file, otherwise percentiles 0.5 and 99.5.",
    ),
]


def parse_value_range(text: str | None) -> tuple[float, float] | None:
    """Return the value of `--value-range`. Raises `SettingsError` if it is not two ascending numbers."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        message = (
            f"--value-range must be two numbers LOW,HIGH with LOW < HIGH, such as --value-range=-160,240, got {text}"
        )
        raise SettingsError("bad-usage", message)
    return low, high
