"""Report of automatic mask generation: objects found by size, masks proposed, correlation of predicted and real IoU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from masklet.evaluate.correlation import compute_pearson, compute_spearman
from masklet.evaluate.error_images import LEGEND
from masklet.evaluate.generator_protocol import FOUND_IOUS, MIN_AREA_PX, ImageProposals, ObjectMatch
from masklet.evaluate.object_sizes import SIZE_GROUPS, select_group
from masklet.evaluate.report import CaptionedImage, Report, Table, format_count, format_percent


def build_generator_report(
    title: str, facts: Mapping[str, str], results: Sequence[ImageProposals], images: Sequence[CaptionedImage] = ()
) -> Report:
    """Build the report on the results of at least one image with an object."""
    num_objects = sum(len(result.objects) for result in results)
    num_proposals = sum(len(result.proposals) for result in results)
    counts = {"images": len(results), "objects": num_objects, "proposed masks": num_proposals}
    return Report(
        title=title,
        facts={**facts, **{name: str(count) for name, count in counts.items()}},
        tables=[_build_recall_table(results), _build_proposal_table(results), _build_image_table(results)],
        numbers={
            "summary": summarize(results),
            "objects": [
                {"image": result.image, "object_id": match.object_id, "category": match.category}
                | {"area": match.area, "size": match.size_group, "iou": match.iou}
                for result in results
                for match in result.objects
            ],
            "images": {
                result.image: [[proposal.predicted_iou, proposal.iou] for proposal in result.proposals]
                for result in results
            },
        },
        images=images,
        legend=LEGEND,
        subtitle=", ".join(format_count(count, name.removesuffix("s")) for name, count in counts.items()),
    )


def summarize(results: Sequence[ImageProposals]) -> dict[str, Any]:
    """Summarize the objects of each size that occurs, their means over images, and the proposed masks.

    Returns:
        `all`, `medium` and `large`: the number of `objects`, the `recall` above each of `FOUND_IOUS` and the mean best
        `iou`. `mean of images`: recall and IoU, averaged over the objects of an image and then over images.
        `proposals`: their number `per_image`, those that are `matched` to an object above the first of `FOUND_IOUS`,
        and over these the correlations of predicted and real IoU, `pearson` and `spearman`.
    """
    objects = [match for result in results for match in result.objects]
    groups = {group: select_group(objects, group) for group in SIZE_GROUPS}
    per_image = [_summarize_objects(result.objects) for result in results if result.objects]
    means = {
        "recall": {
            f"{iou:g}": float(np.mean([found["recall"][f"{iou:g}"] for found in per_image])) for iou in FOUND_IOUS
        },
        "iou": float(np.mean([found["iou"] for found in per_image])),
    }
    return {
        **{group: _summarize_objects(selected) for group, selected in groups.items() if selected},
        "mean of images": means,
        "proposals": _summarize_proposals(results),
    }


def _summarize_objects(objects: Sequence[ObjectMatch]) -> dict[str, Any]:
    return {
        "objects": len(objects),
        "recall": {f"{iou:g}": float(np.mean([match.iou > iou for match in objects])) for iou in FOUND_IOUS},
        "iou": float(np.mean([match.iou for match in objects])),
    }


def _summarize_proposals(results: Sequence[ImageProposals]) -> dict[str, Any]:
    matched = [proposal for result in results for proposal in result.proposals if proposal.iou > FOUND_IOUS[0]]
    predicted, real = [proposal.predicted_iou for proposal in matched], [proposal.iou for proposal in matched]
    return {
        "per_image": float(np.mean([len(result.proposals) for result in results])),
        "matched": len(matched),
        "pearson": compute_pearson(predicted, real),
        "spearman": compute_spearman(predicted, real),
    }


def _build_recall_table(results: Sequence[ImageProposals]) -> Table:
    summary = summarize(results)
    rows = [
        [
            group,
            str(found.get("objects", "")),
            *(format_percent(recall) for recall in found["recall"].values()),
            format_percent(found["iou"]),
        ]
        for group, found in summary.items()
        if "recall" in found
    ]
    header = ["objects", "number", *(f"found, IoU > {100 * iou:.0f}" for iou in FOUND_IOUS), "mean best IoU"]
    note = (
        f"Objects of at least {MIN_AREA_PX} pixels, in percent. medium is below 96² pixels. mean of images averages "
        "over the objects of each image first."
    )
    return Table("Objects that the mask generator finds", header, rows, note)


def _build_proposal_table(results: Sequence[ImageProposals]) -> Table:
    found = summarize(results)["proposals"]
    correlations = ["–" if found[name] is None else f"{found[name]:.2f}" for name in ("pearson", "spearman")]
    header = ["masks", "per image", "matched", "Pearson", "Spearman"]
    note = (
        f"A mask is matched if its IoU with an object of any size is above {FOUND_IOUS[0]:g}. The correlations "
        "are those of predicted and real IoU over the matched masks."
    )
    return Table(
        "Proposed masks", header, [["all", f"{found['per_image']:.1f}", str(found["matched"]), *correlations]], note
    )


def _build_image_table(results: Sequence[ImageProposals]) -> Table:
    rows = [
        [
            result.image,
            str(len(result.objects)),
            *(format_percent(result.compute_recall(iou)) for iou in FOUND_IOUS),
            str(len(result.proposals)),
        ]
        for result in results
    ]
    header = ["image", "objects", *(f"found, IoU > {100 * iou:.0f}" for iou in FOUND_IOUS), "masks proposed"]
    return Table("Images", header, rows)
