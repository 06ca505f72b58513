"""Report of the interactive protocol: J&F against prompted frames, the area under that curve, the user's time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from masklet.evaluate.aggregation import group_by_clip
from masklet.evaluate.error_images import LEGEND
from masklet.evaluate.interactive import CLICKS_PER_FRAME, Mode, ObjectRounds, compute_area_under_curve
from masklet.evaluate.plots import Points, draw_bar_plot, draw_line_plot
from masklet.evaluate.report import CaptionedImage, Plot, Report, Table, format_count, format_percent

TIME_LIMIT_S = 60.0  # J&F is also reported after this time of a user per object (DAVIS interactive)
MAX_PLOTTED_CLIPS = 60


def build_interactive_report(
    title: str,
    facts: Mapping[str, str],
    results: Sequence[ObjectRounds],
    mode: Mode,
    images: Sequence[CaptionedImage] = (),
) -> Report:
    """Build the report on the results of at least one object."""
    curve = _average_curve(results)
    seconds = np.mean([result.estimate_user_seconds(mode) for result in results], axis=0)
    areas = {
        name: compute_area_under_curve(_average_curve(objects)["J&F"])
        for name, objects in group_by_clip(results).items()
    }
    series: dict[str, Points] = {
        name: [(count, 100 * value) for count, value in enumerate(values, start=1)] for name, values in curve.items()
    }
    worst = dict(
        sorted(((name, 100 * area) for name, area in areas.items()), key=lambda item: item[1])[:MAX_PLOTTED_CLIPS]
    )
    return Report(
        title=title,
        facts={**facts, "mode": mode, "clips": str(len(areas)), "objects": str(len(results))},
        tables=[_build_curve_table(curve, seconds.tolist(), mode), _build_clip_table(results)],
        numbers={
            "auc": {name: compute_area_under_curve(values) for name, values in curve.items()},
            f"j_and_f_at_{TIME_LIMIT_S:.0f}_s": interpolate_at(curve["J&F"], seconds.tolist()),
            "curve": curve,
            "seconds": seconds.tolist(),
            "objects": [_object_to_json(result) for result in results],
        },
        plots=[
            Plot("J and F against prompted frames", draw_line_plot(series, "prompted frames", "percent")),
            Plot(
                "Area under the curve per clip, the worst first", draw_bar_plot(worst, "area under the curve, percent")
            ),
        ],
        images=images,
        legend=f"After {format_count(len(seconds), 'prompted frame')}. {LEGEND}",
        subtitle=f"{format_count(len(areas), 'clip')}, {format_count(len(results), 'object')}, {mode}",
    )


def interpolate_at(values: Sequence[float], seconds: Sequence[float], limit: float = TIME_LIMIT_S) -> float:
    """Interpolate the values of the rounds linearly at a time of `limit` seconds, clamped to the first and the last."""
    return float(np.interp(limit, seconds, values))


def _average_curve(results: Sequence[ObjectRounds]) -> dict[str, list[float]]:
    """Average J&F, J and F after each round over objects."""
    means = np.mean([result.rounds for result in results], axis=0)  # (rounds, 2)
    j, f = means.T
    return {"J&F": ((j + f) / 2).tolist(), "J": j.tolist(), "F": f.tolist()}


def _build_curve_table(curve: Mapping[str, Sequence[float]], seconds: Sequence[float], mode: Mode) -> Table:
    header = ["", *(str(count) for count in range(1, len(seconds) + 1)), "AUC", f"at {TIME_LIMIT_S:.0f} s"]
    rows = [
        [
            name,
            *map(format_percent, values),
            format_percent(compute_area_under_curve(values)),
            format_percent(interpolate_at(values, seconds)),
        ]
        for name, values in curve.items()
    ]
    rows.append(["seconds", *(f"{value:.0f}" for value in seconds), "", ""])
    frame = (
        "the worst frame of the whole clip"
        if mode == "offline"
        else "the first frame below an IoU of 75 %, in one pass"
    )
    note = (
        f"Percent, after 1, 2, … prompted frames with {CLICKS_PER_FRAME} clicks each. "
        f"The next prompted frame is {frame}. Seconds are the estimated time of a user per object."
    )
    return Table("J&F by prompted frames", header, rows, note)


def _build_clip_table(results: Sequence[ObjectRounds]) -> Table:
    rows = []
    for name, objects in group_by_clip(results).items():
        values = _average_curve(objects)["J&F"]
        rows.append(
            [
                name,
                str(len(objects)),
                format_percent(values[0]),
                format_percent(values[-1]),
                format_percent(compute_area_under_curve(values)),
            ]
        )
    return Table("Clip by clip", ["clip", "objects", "first", "last", "AUC"], rows, "J&F, in percent.")


def _object_to_json(result: ObjectRounds) -> dict[str, Any]:
    rounds = [{"j": value.j, "f": value.f} for value in result.rounds]
    return {**asdict(result), "rounds": rounds, "worst": result.worst[0] if result.worst else None}
