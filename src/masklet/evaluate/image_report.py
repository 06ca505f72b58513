"""The report on pictures: mean IoU per prompt and size, clicks needed, the worst answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from masklet.evaluate.error_images import CLICKS_LEGEND, LEGEND
from masklet.evaluate.image_protocol import GOALS, MOST_CLICKS, SIZES, ObjectResult, PromptPlan
from masklet.evaluate.plots import Points, line_plot
from masklet.evaluate.report import Picture, Plot, Report, Table, counted

GROUPS = ("all", *SIZES, "large")


def image_report(
    title: str,
    facts: Mapping[str, str],
    results: Sequence[ObjectResult],
    plan: PromptPlan,
    pictures: Sequence[Picture] = (),
) -> Report:
    """The report on the results of at least one object."""
    names = list(results[0].ious)
    plots = [Plot("IoU against clicks", _click_plot(results, plan))] if plan.clicks else []
    return Report(
        title=title,
        facts={**facts, "pictures": str(len({result.image for result in results})), "masks": str(len(results))},
        tables=[_iou_table(results, names), *([_click_table(results)] if plan.clicks else [])],
        numbers={
            "summary": summary(results),
            "objects": [{**asdict(result), "size": result.size} for result in results],
        },
        plots=plots,
        pictures=pictures,
        legend=f"{LEGEND} {CLICKS_LEGEND}",
        about=f"{counted(len({result.image for result in results}), 'picture')}, {counted(len(results), 'mask')}",
    )


def summary(results: Sequence[ObjectResult]) -> dict[str, Any]:
    """Mean IoUs from 0 to 1 per prompt: over all masks, over pictures, and over the masks of each size."""
    table: dict[str, Any] = {}
    for name in results[0].ious:
        table[name] = {group: _mean(_of(results, group), name) for group in GROUPS}
        table[name]["per picture"] = _per_picture(results, name)
    if results[0].clicks:
        table["noc"] = {f"{goal:.0%}": float(np.mean([one.clicks_to(goal) for one in results])) for goal in GOALS}
    return table


def _iou_table(results: Sequence[ObjectResult], names: Iterable[str]) -> Table:
    means = summary(results)
    counts = {group: len(_of(results, group)) for group in GROUPS}
    header = ["prompt", "mIoU", "mean of pictures", *(f"{group} ({counts[group]})" for group in GROUPS[1:])]
    rows = [
        [name, _percent(means[name]["all"]), _percent(means[name]["per picture"])]
        + [_percent(means[name][group]) for group in GROUPS[1:]]
        for name in names
    ]
    return Table(
        "Mean IoU, in percent",
        header,
        rows,
        f"mIoU is the mean over all {len(results)} masks. small is below 32² pixels, medium below 96².",
    )


def _click_table(results: Sequence[ObjectResult]) -> Table:
    rows = []
    for group in GROUPS:
        chosen = _of(results, group)
        if chosen:
            counts = [np.array([one.clicks_to(goal) for one in chosen]) for goal in GOALS]
            failed = [np.mean([max(one.clicks[:MOST_CLICKS]) < goal for one in chosen]) for goal in GOALS]
            rows.append([group, *(f"{count.mean():.2f}" for count in counts), *(_percent(float(f)) for f in failed)])
    goals = [f"{goal * 100:.0f}" for goal in GOALS]
    header = ["size", *(f"NoC@{goal}" for goal in goals), *(f"never {goal} %" for goal in goals)]
    note = (
        f"NoC is the mean number of clicks to that IoU, {MOST_CLICKS} where it is not reached, as often as never says."
    )
    return Table("Clicks needed", header, rows, note)


def _click_plot(results: Sequence[ObjectResult], plan: PromptPlan) -> str:
    counts = range(1, plan.clicks[-1] + 1)
    series: dict[str, Points] = {
        group: [(count, 100 * float(np.mean([_after(one, count) for one in _of(results, group)]))) for count in counts]
        for group in GROUPS
        if _of(results, group)
    }
    return line_plot(series, "clicks", "mean IoU, percent")


def _after(result: ObjectResult, count: int) -> float:
    return result.clicks[min(count, len(result.clicks)) - 1]


def _of(results: Sequence[ObjectResult], group: str) -> list[ObjectResult]:
    return [result for result in results if group in ("all", result.size)]


def _mean(results: Sequence[ObjectResult], name: str) -> float | None:
    return float(np.mean([result.ious[name] for result in results])) if results else None


def _per_picture(results: Sequence[ObjectResult], name: str) -> float:
    pictures: dict[str, list[float]] = {}
    for result in results:
        pictures.setdefault(result.image, []).append(result.ious[name])
    return float(np.mean([np.mean(ious) for ious in pictures.values()]))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
