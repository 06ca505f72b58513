"""The report on pictures: mean IoU per prompt and size, clicks needed, the worst answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from masklet.evaluate.error_images import CLICKS_LEGEND, LEGEND
from masklet.evaluate.image_protocol import IOU_TARGETS, MAX_CLICKS, SIZE_LIMITS_PX, ObjectIous, PromptPlan
from masklet.evaluate.plots import Points, draw_line_plot
from masklet.evaluate.report import CaptionedImage, Plot, Report, Table, format_count

SIZE_GROUPS = ("all", *SIZE_LIMITS_PX, "large")


def build_image_report(
    title: str,
    facts: Mapping[str, str],
    results: Sequence[ObjectIous],
    plan: PromptPlan,
    images: Sequence[CaptionedImage] = (),
) -> Report:
    """The report on the results of at least one object."""
    names = list(results[0].ious)
    plots = [Plot("IoU against clicks", _draw_click_plot(results, plan))] if plan.clicks else []
    return Report(
        title=title,
        facts={**facts, "pictures": str(len({result.image for result in results})), "masks": str(len(results))},
        tables=[_build_iou_table(results, names), *([_build_click_table(results)] if plan.clicks else [])],
        numbers={
            "summary": summarize(results),
            "objects": [{**asdict(result), "size": result.size_group} for result in results],
        },
        plots=plots,
        images=images,
        legend=f"{LEGEND} {CLICKS_LEGEND}",
        subtitle=f"{format_count(len({result.image for result in results}), 'picture')}, {format_count(len(results), 'mask')}",
    )


def summarize(results: Sequence[ObjectIous]) -> dict[str, Any]:
    """Mean IoUs from 0 to 1 per prompt: over all masks, over pictures, and over the masks of each size."""
    table: dict[str, Any] = {}
    for name in results[0].ious:
        table[name] = {group: _average_iou(_select_group(results, group), name) for group in SIZE_GROUPS}
        table[name]["per picture"] = _average_per_image(results, name)
    if results[0].clicks:
        table["noc"] = {
            f"{goal:.0%}": float(np.mean([one.count_clicks_to(goal) for one in results])) for goal in IOU_TARGETS
        }
    return table


def _build_iou_table(results: Sequence[ObjectIous], names: Iterable[str]) -> Table:
    means = summarize(results)
    counts = {group: len(_select_group(results, group)) for group in SIZE_GROUPS}
    header = ["prompt", "mIoU", "mean of pictures", *(f"{group} ({counts[group]})" for group in SIZE_GROUPS[1:])]
    rows = [
        [name, _format_percent(means[name]["all"]), _format_percent(means[name]["per picture"])]
        + [_format_percent(means[name][group]) for group in SIZE_GROUPS[1:]]
        for name in names
    ]
    return Table(
        "Mean IoU, in percent",
        header,
        rows,
        f"mIoU is the mean over all {len(results)} masks. small is below 32² pixels, medium below 96².",
    )


def _build_click_table(results: Sequence[ObjectIous]) -> Table:
    rows = []
    for group in SIZE_GROUPS:
        chosen = _select_group(results, group)
        if chosen:
            counts = [np.array([one.count_clicks_to(goal) for one in chosen]) for goal in IOU_TARGETS]
            failed = [np.mean([max(one.clicks[:MAX_CLICKS]) < goal for one in chosen]) for goal in IOU_TARGETS]
            rows.append(
                [group, *(f"{count.mean():.2f}" for count in counts), *(_format_percent(float(f)) for f in failed)]
            )
    goals = [f"{goal * 100:.0f}" for goal in IOU_TARGETS]
    header = ["size", *(f"NoC@{goal}" for goal in goals), *(f"never {goal} %" for goal in goals)]
    note = (
        f"NoC is the mean number of clicks to that IoU, {MAX_CLICKS} where it is not reached, as often as never says."
    )
    return Table("Clicks needed", header, rows, note)


def _draw_click_plot(results: Sequence[ObjectIous], plan: PromptPlan) -> str:
    counts = range(1, plan.clicks[-1] + 1)
    series: dict[str, Points] = {
        group: [
            (count, 100 * float(np.mean([_iou_after(one, count) for one in _select_group(results, group)])))
            for count in counts
        ]
        for group in SIZE_GROUPS
        if _select_group(results, group)
    }
    return draw_line_plot(series, "clicks", "mean IoU, percent")


def _iou_after(result: ObjectIous, count: int) -> float:
    return result.clicks[min(count, len(result.clicks)) - 1]


def _select_group(results: Sequence[ObjectIous], group: str) -> list[ObjectIous]:
    return [result for result in results if group in ("all", result.size_group)]


def _average_iou(results: Sequence[ObjectIous], name: str) -> float | None:
    return float(np.mean([result.ious[name] for result in results])) if results else None


def _average_per_image(results: Sequence[ObjectIous], name: str) -> float:
    pictures: dict[str, list[float]] = {}
    for result in results:
        pictures.setdefault(result.image, []).append(result.ious[name])
    return float(np.mean([np.mean(ious) for ious in pictures.values()]))


def _format_percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
