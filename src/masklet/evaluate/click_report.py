"""Report of lone clicks: share of right clicks and IoU by object size, objects with the lowest medians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from masklet.evaluate.click_protocol import CLICK_TARGETS, ObjectClicks
from masklet.evaluate.error_images import CLICKS_LEGEND, LEGEND
from masklet.evaluate.object_sizes import SIZE_GROUPS, SIZE_NOTE, select_group
from masklet.evaluate.report import CaptionedImage, Report, Table, format_count, format_percent

MAX_ROWS = 20  # objects in the table of the lowest medians


def build_click_report(
    title: str, facts: Mapping[str, str], results: Sequence[ObjectClicks], images: Sequence[CaptionedImage] = ()
) -> Report:
    """Build the report on the results of at least one object."""
    num_images = len({result.image for result in results})
    num_clicks = sum(len(result.ious) for result in results)
    counts = {"images": num_images, "objects": len(results), "clicks": num_clicks}
    return Report(
        title=title,
        facts={**facts, **{name: str(count) for name, count in counts.items()}},
        tables=[_build_summary_table(results), _build_object_table(results)],
        numbers={
            "summary": summarize(results),
            "objects": [{**asdict(result), "size": result.size_group, "median": result.median} for result in results],
        },
        images=images,
        legend=f"{LEGEND} {CLICKS_LEGEND}",
        subtitle=", ".join(format_count(count, name.removesuffix("s")) for name, count in counts.items()),
    )


def summarize(results: Sequence[ObjectClicks]) -> dict[str, dict[str, Any]]:
    """Summarize the clicks on the objects of each size that occurs, and on all.

    Returns:
        By group: the numbers of `objects` and `clicks`, the numbers of clicks that reach each of `CLICK_TARGETS` as
        `right`, the median of the objects' medians as `median`, and the mean IoU of all clicks as `mean`.
    """
    groups = {group: select_group(results, group) for group in SIZE_GROUPS}
    return {group: _summarize_group(selected) for group, selected in groups.items() if selected}


def _summarize_group(results: Sequence[ObjectClicks]) -> dict[str, Any]:
    ious = [iou for result in results for iou in result.ious]
    return {
        "objects": len(results),
        "clicks": len(ious),
        "right": {f"{target:g}": sum(result.count_right(target) for result in results) for target in CLICK_TARGETS},
        "median": float(np.median([result.median for result in results])),
        "mean": float(np.mean(ious)),
    }


def _build_summary_table(results: Sequence[ObjectClicks]) -> Table:
    rows = []
    for group, found in summarize(results).items():
        shares = []
        for count in found["right"].values():
            shares += [f"{count} of {found['clicks']}", format_percent(count / found["clicks"])]
        rows.append(
            [group, str(found["objects"]), *shares, format_percent(found["median"]), format_percent(found["mean"])]
        )
    header = ["size", "objects"]
    for target in CLICK_TARGETS:
        header += [f"IoU ≥ {100 * target:.0f}", "percent"]
    note = f"Each click is predicted alone. median is the median of the objects' medians. {SIZE_NOTE}"
    return Table("Clicks that reach an IoU", [*header, "median IoU", "mean IoU"], rows, note)


def _build_object_table(results: Sequence[ObjectClicks]) -> Table:
    rows = [
        [
            f"{result.image}, object {result.object_id} {result.category}".strip(),
            result.size_group,
            *(f"{result.count_right(target)} of {len(result.ious)}" for target in CLICK_TARGETS),
            format_percent(result.median),
            format_percent(min(result.ious)),
        ]
        for result in sorted(results, key=lambda result: result.median)[:MAX_ROWS]
    ]
    header = ["object", "size", *(f"IoU ≥ {100 * target:.0f}" for target in CLICK_TARGETS), "median IoU", "worst IoU"]
    return Table("Objects with the lowest medians", header, rows, f"At most {MAX_ROWS} objects, in percent.")
