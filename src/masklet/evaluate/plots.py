"""Line and bar plots as SVG text, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLORS = ("#0b6bcb", "#d9480f", "#2b8a3e", "#9c36b5", "#a6790a", "#0c8599", "#c2255c", "#5c5f66")
_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 150, 16, 48
_BAR_HEIGHT = 22  # pixels per bar
MAX_INTEGER_TICKS = 20  # up to this range, the x axis has a tick at every integer

Points = Sequence[tuple[float, float]]


def draw_line_plot(series: Mapping[str, Points], x_label: str, y_label: str) -> str:
    """Draw a line plot.

    Args:
        series: The (x, y) points of each line by its name, which is written at the end of the line. Empty lines are
            left out.
        x_label: The label of the x axis.
        y_label: The label of the y axis, which starts at a round number below the lowest value.

    Returns:
        The SVG text.
    """
    drawn = {name: points for name, points in series.items() if points}
    assert drawn, "a plot needs points"
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [y for points in drawn.values() for _, y in points]
    axes = _Axes(_compute_integer_ticks(xs) or compute_ticks(min(xs), max(xs)), compute_ticks(min(ys), max(ys)))
    names = _spread_labels([(axes.y(points[-1][1]), name) for name, points in drawn.items()])
    parts = [axes.render(x_label, y_label)]
    for index, (name, points) in enumerate(drawn.items()):
        parts.append(_render_line([(axes.x(x), axes.y(y)) for x, y in points], _pick_color(index)))
        parts.append(_render_text(_WIDTH - _RIGHT + 10, names[name] + 4, name, fill=_pick_color(index)))
    return _render_svg(_HEIGHT, y_label, parts)


def draw_bar_plot(values: Mapping[str, float], label: str, limit: float = 100.0) -> str:
    """Draw horizontal bars.

    Args:
        values: The values by name, in the order of the bars.
        label: The accessible label of the plot.
        limit: The value of a bar of full length.

    Returns:
        The SVG text.
    """
    left = 8 + 7 * min(32, max((len(name) for name in values), default=0))
    scale = (_WIDTH - left - 60) / limit
    parts = []
    for index, (name, value) in enumerate(values.items()):
        top = index * _BAR_HEIGHT
        width = max(0.0, value) * scale
        shown = name if len(name) <= 32 else f"…{name[-31:]}"
        parts.append(_render_text(left - 8, top + 15, shown, anchor="end"))
        parts.append(
            f'<path class="track" d="M{left} {top + 3}h{limit * scale:.1f}v{_BAR_HEIGHT - 6}h-{limit * scale:.1f}z"/>'
        )
        parts.append(
            f'<rect x="{left}" y="{top + 3}" width="{width:.1f}" height="{_BAR_HEIGHT - 6}" fill="{COLORS[0]}"/>'
        )
        parts.append(_render_text(left + width + 6, top + 15, f"{value:.1f}"))
    return _render_svg(_BAR_HEIGHT * len(values) + 4, label, parts)


def compute_ticks(low: float, high: float) -> list[float]:
    """Compute about six round numbers that enclose `low` and `high`."""
    extent = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(extent / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= extent * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def _compute_integer_ticks(xs: Sequence[float]) -> list[float]:
    """Return every integer in the range of the values, or no ticks for fractions and large ranges."""
    has_integer_ticks = all(float(x).is_integer() for x in xs) and 1 <= max(xs) - min(xs) <= MAX_INTEGER_TICKS
    return [float(x) for x in range(int(min(xs)), int(max(xs)) + 1)] if has_integer_ticks else []


class _Axes:
    """Axes of a line plot, with the mapping from values to pixels."""

    def __init__(self, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> None:
        self.x_ticks, self.y_ticks = x_ticks, y_ticks

    def x(self, value: float) -> float:
        fraction = (value - self.x_ticks[0]) / (self.x_ticks[-1] - self.x_ticks[0])
        return _LEFT + fraction * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        fraction = (value - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return _HEIGHT - _BOTTOM - fraction * (_HEIGHT - _TOP - _BOTTOM)

    def render(self, x_label: str, y_label: str) -> str:
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        grid = [f'<path class="grid" d="M{_LEFT} {self.y(value):.1f}H{right}"/>' for value in self.y_ticks]
        rows = [_render_text(_LEFT - 8, self.y(value) + 4, f"{value:g}", anchor="end") for value in self.y_ticks]
        columns = [_render_text(self.x(value), bottom + 18, f"{value:g}", anchor="middle") for value in self.x_ticks]
        labels = [
            _render_text((_LEFT + right) / 2, _HEIGHT - 8, x_label, anchor="middle"),
            f'<g transform="translate(14 {(_TOP + bottom) / 2:.0f}) rotate(-90)">',
            _render_text(0, 0, y_label, anchor="middle") + "</g>",
        ]
        return "".join([*grid, f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>', *rows, *columns, *labels])


def _render_line(points: Points, color: str) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>{dots}'


def _spread_labels(positions: Sequence[tuple[float, str]], gap: float = 16) -> dict[str, float]:
    """Move label positions apart to a distance of at least `gap` pixels."""
    placed: dict[str, float] = {}
    lowest = -math.inf
    for height, name in sorted(positions):
        lowest = placed[name] = max(height, lowest + gap)
    return placed


def _render_text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = "currentColor") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{escape(text)}</text>'


def _pick_color(index: int) -> str:
    return COLORS[index % len(COLORS)]


def _render_svg(height: float, label: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img"'
    return f'{head} aria-label="{escape(label, quote=True)}">{"".join(parts)}</svg>'
