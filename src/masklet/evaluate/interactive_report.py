"""The report on simulated users: J&F against prompted frames, the area under that curve, and the user's time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from masklet.evaluate.error_images import LEGEND
from masklet.evaluate.interactive import CLICKS, Mode, ObjectRounds, area_under_curve
from masklet.evaluate.plots import Points, bar_plot, line_plot
from masklet.evaluate.report import Picture, Plot, Report, Table, counted

AT_SECONDS = 60.0  # J&F is also given for this much of a user's time per object (DAVIS interactive)
SHOWN_CLIPS = 60


def interactive_report(
    title: str,
    facts: Mapping[str, str],
    results: Sequence[ObjectRounds],
    mode: Mode,
    pictures: Sequence[Picture] = (),
) -> Report:
    """The report on at least one object."""
    curve = _curve(results)
    seconds = np.mean([result.seconds(mode) for result in results], axis=0)
    areas = {name: area_under_curve(_curve(found)["J&F"]) for name, found in _by_clip(results).items()}
    series: dict[str, Points] = {
        name: [(count, 100 * value) for count, value in enumerate(values, start=1)] for name, values in curve.items()
    }
    worst = dict(sorted(((name, 100 * area) for name, area in areas.items()), key=lambda item: item[1])[:SHOWN_CLIPS])
    return Report(
        title=title,
        facts={**facts, "mode": mode, "clips": str(len(areas)), "objects": str(len(results))},
        tables=[_curve_table(curve, seconds.tolist(), mode), _clip_table(results)],
        numbers={
            "auc": {name: area_under_curve(values) for name, values in curve.items()},
            f"j_and_f_at_{AT_SECONDS:.0f}_s": at_time(curve["J&F"], seconds.tolist()),
            "curve": curve,
            "seconds": seconds.tolist(),
            "objects": [_object(result) for result in results],
        },
        plots=[
            Plot("J and F against prompted frames", line_plot(series, "prompted frames", "percent")),
            Plot("Area under the curve per clip, the worst first", bar_plot(worst, "area under the curve, percent")),
        ],
        pictures=pictures,
        legend=f"After {counted(len(seconds), 'prompted frame')}. {LEGEND}",
        about=f"{counted(len(areas), 'clip')}, {counted(len(results), 'object')}, {mode}",
    )


def at_time(values: Sequence[float], seconds: Sequence[float], limit: float = AT_SECONDS) -> float:
    """The value reached within so many seconds, on the line between rounds; the first before it, the last after."""
    return float(np.interp(limit, seconds, values))


def _curve(results: Sequence[ObjectRounds]) -> dict[str, list[float]]:
    """J&F, J and F after each round: means over objects."""
    means = np.mean([result.rounds for result in results], axis=0)  # (rounds, 2)
    j, f = means.T
    return {"J&F": ((j + f) / 2).tolist(), "J": j.tolist(), "F": f.tolist()}


def _curve_table(curve: Mapping[str, Sequence[float]], seconds: Sequence[float], mode: Mode) -> Table:
    header = ["", *(str(count) for count in range(1, len(seconds) + 1)), "AUC", f"at {AT_SECONDS:.0f} s"]
    rows = [
        [name, *map(_percent, values), _percent(area_under_curve(values)), _percent(at_time(values, seconds))]
        for name, values in curve.items()
    ]
    rows.append(["seconds", *(f"{value:.0f}" for value in seconds), "", ""])
    how = (
        "the worst frame of the whole clip"
        if mode == "offline"
        else "the first frame below an IoU of 75 %, in one pass"
    )
    note = f"After so many prompted frames with {CLICKS} clicks each, in percent; each next one is {how}."
    return Table("J&F by prompted frames", header, rows, f"{note} Seconds are a user's, per object.")


def _clip_table(results: Sequence[ObjectRounds]) -> Table:
    rows = []
    for name, found in _by_clip(results).items():
        values = _curve(found)["J&F"]
        rows.append(
            [name, str(len(found)), _percent(values[0]), _percent(values[-1]), _percent(area_under_curve(values))]
        )
    return Table("Clip by clip", ["clip", "objects", "first", "last", "AUC"], rows, "J&F, in percent.")


def _by_clip(results: Sequence[ObjectRounds]) -> dict[str, list[ObjectRounds]]:
    clips: dict[str, list[ObjectRounds]] = {}
    for result in results:
        clips.setdefault(result.clip, []).append(result)
    return clips


def _object(result: ObjectRounds) -> dict[str, Any]:
    told = {**asdict(result), "rounds": [{"j": value.j, "f": value.f} for value in result.rounds]}
    return {**told, "worst": result.worst[0] if result.worst else None}


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
