"""Report of an evaluation on images: mean IoU by prompt and object size, number of clicks, failure cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from masklet.evaluate.error_images import CLICKS_LEGEND, LEGEND
from masklet.evaluate.image_protocol import IOU_TARGETS, MAX_CLICKS, ObjectIous, PromptPlan
from masklet.evaluate.object_sizes import SIZE_GROUPS, SIZE_NOTE, select_group
from masklet.evaluate.plots import Points, draw_line_plot
from masklet.evaluate.report import CaptionedImage, Plot, Report, Table, format_count, format_percent

PER_IMAGE = " ".join(("per", "picture"))  # key in report.json, as version 0.1 wrote it


def build_image_report(
    title: str,
    facts: Mapping[str, str],
    results: Sequence[ObjectIous],
    plan: PromptPlan,
    images: Sequence[CaptionedImage] = (),
) -> Report:
    """Build the report on the results of at least one object."""
    names = list(results[0].ious)
    plots = [Plot("IoU against clicks", _draw_click_plot(results, plan))] if plan.clicks else []
    num_images = len({result.image for result in results})
    return Report(
        title=title,
        facts={**facts, "images": str(num_images), "masks": str(len(results))},
        tables=[_build_iou_table(results, names), *([_build_click_table(results)] if plan.clicks else [])],
        numbers={
            "summary": summarize(results),
            "objects": [{**asdict(result), "size": result.size_group} for result in results],
        },
        plots=plots,
        images=images,
        legend=f"{LEGEND} {CLICKS_LEGEND}",
        subtitle=f"{format_count(num_images, 'image')}, {format_count(len(results), 'mask')}",
    )


def summarize(results: Sequence[ObjectIous]) -> dict[str, Any]:
    """Average IoU per prompt over all masks, over images (`PER_IMAGE`) and over the masks of each size.

    Returns:
        Mean IoUs from 0 to 1 by prompt and group; `noc` holds the mean number of clicks to each IoU target.
    """
    table: dict[str, Any] = {}
    for name in results[0].ious:
        table[name] = {group: _average_iou(select_group(results, group), name) for group in SIZE_GROUPS}
        table[name][PER_IMAGE] = _average_per_image(results, name)
    if results[0].clicks:
        table["noc"] = {
            f"{target:.0%}": float(np.mean([result.count_clicks_to(target) for result in results]))
            for target in IOU_TARGETS
        }
    return table


def _build_iou_table(results: Sequence[ObjectIous], names: Iterable[str]) -> Table:
    means = summarize(results)
    counts = {group: len(select_group(results, group)) for group in SIZE_GROUPS}
    header = ["prompt", "mIoU", "mean of images", *(f"{group} ({counts[group]})" for group in SIZE_GROUPS[1:])]
    rows = [
        [name, format_percent(means[name]["all"]), format_percent(means[name][PER_IMAGE])]
        + [format_percent(means[name][group]) for group in SIZE_GROUPS[1:]]
        for name in names
    ]
    return Table(
        "Mean IoU, in percent",
        header,
        rows,
        f"mIoU is the mean over all {len(results)} masks. {SIZE_NOTE}",
    )


def _build_click_table(results: Sequence[ObjectIous]) -> Table:
    rows = []
    for group in SIZE_GROUPS:
        chosen = select_group(results, group)
        if chosen:
            counts = [np.mean([result.count_clicks_to(target) for result in chosen]) for target in IOU_TARGETS]
            failed = [
                np.mean([max(result.clicks[:MAX_CLICKS]) < target for result in chosen]) for target in IOU_TARGETS
            ]
            rows.append(
                [group, *(f"{count:.2f}" for count in counts), *(format_percent(float(share)) for share in failed)]
            )
    targets = [f"{target * 100:.0f}" for target in IOU_TARGETS]
    header = ["size", *(f"NoC@{target}" for target in targets), *(f"never {target} %" for target in targets)]
    note = (
        f"NoC is the mean number of clicks to an IoU, counted as {MAX_CLICKS} if it is not reached. "
        "never is the percentage of objects that do not reach it."
    )
    return Table("Number of clicks", header, rows, note)


def _draw_click_plot(results: Sequence[ObjectIous], plan: PromptPlan) -> str:
    counts = range(1, plan.clicks[-1] + 1)
    series: dict[str, Points] = {
        group: [
            (count, 100 * float(np.mean([_iou_after(result, count) for result in select_group(results, group)])))
            for count in counts
        ]
        for group in SIZE_GROUPS
        if select_group(results, group)
    }
    return draw_line_plot(series, "clicks", "mean IoU, percent")


def _iou_after(result: ObjectIous, count: int) -> float:
    return result.clicks[min(count, len(result.clicks)) - 1]


def _average_iou(results: Sequence[ObjectIous], name: str) -> float | None:
    return float(np.mean([result.ious[name] for result in results])) if results else None


def _average_per_image(results: Sequence[ObjectIous], name: str) -> float:
    images: dict[str, list[float]] = {}
    for result in results:
        images.setdefault(result.image, []).append(result.ious[name])
    return float(np.mean([np.mean(ious) for ious in images.values()]))
