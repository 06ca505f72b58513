"""Plots of results, which need no style sheet."""

from __future__ import annotations

from collections.abc import Mapping

from masklet.evaluate.plots import draw_bar_plot

_STYLE = "<style>text { font: 13px sans-serif; } .track { fill: #e9ecef; }</style>"


def draw_bars(values: Mapping[str, float], label: str, limit: float = 100.0) -> str:
    """Draw horizontal bars as SVG, like `draw_bar_plot` in reports, whose style they have."""
    return draw_bar_plot(values, label, limit).replace(">", f">{_STYLE}", 1)
