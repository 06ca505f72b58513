"""The protocol of automatic mask generation, with a model that segments by gray value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from masklet.datasets.annotation import Annotation, annotation_from_masks
from masklet.datasets.dataset import AnnotatedImage, Dataset
from masklet.evaluate.correlation import compute_pearson, compute_spearman
from masklet.evaluate.failure_cases import draw_missed_objects
from masklet.evaluate.generator_protocol import ImageProposals, ObjectMatch, Proposal, evaluate_generator
from masklet.evaluate.generator_report import build_generator_report, summarize
from masklet.evaluate.report import render_markdown
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.segmenter import Segmenter
from support.gray_world import GrayWorld, draw_boxes

OPTIONS = MaskGeneratorOptions(points_per_side=8)
IMAGE = draw_boxes({50: (0, 0, 40, 32), 90: (45, 0, 55, 10)})
GRAY = IMAGE[..., 0]


def evaluate(annotation: Annotation) -> ImageProposals:
    return evaluate_generator(Segmenter(GrayWorld()), AnnotatedImage("a", lambda: IMAGE, lambda: annotation), OPTIONS)


def test_objects_are_matched_with_the_best_mask_and_small_ones_are_not_searched_for() -> None:
    found = evaluate(annotation_from_masks({1: (GRAY == 50) & (np.arange(60) < 32), 2: GRAY == 90, 3: GRAY == 7}))
    (match,) = found.objects  # 32² pixels; object 2 is smaller
    assert (match.object_id, match.area, match.iou, match.size_group) == (1, 1024, 32 / 40, "medium")
    assert sorted(proposal.iou for proposal in found.proposals) == [32 / 40, 1.0]
    assert (found.compute_recall(0.5), found.compute_recall(0.8)) == (1.0, 0.0)


def test_void_pixels_belong_to_no_mask() -> None:
    void = (GRAY == 50) & (np.arange(60) >= 32)
    found = evaluate(Annotation((40, 60), {1: lambda: (GRAY == 50) & ~void}, void))
    assert found.objects[0].iou == 1.0


def test_an_object_that_no_mask_overlaps_is_missed() -> None:
    small = draw_boxes({50: (0, 0, 20, 20)})
    annotation = annotation_from_masks({1: small[..., 0] == 0})
    found = evaluate_generator(Segmenter(GrayWorld()), AnnotatedImage("a", lambda: small, lambda: annotation), OPTIONS)
    assert (found.objects[0].iou, found.objects[0].rle) == (0.0, None)


def test_an_image_without_objects_has_proposals_only() -> None:
    found = evaluate(annotation_from_masks({1: GRAY == 7}))
    assert (found.objects, [proposal.iou for proposal in found.proposals]) == ((), [0.0, 0.0])
    assert found.compute_recall(0.5) is None


def results() -> list[ImageProposals]:
    matched = tuple(Proposal(predicted, real) for predicted, real in ((0.9, 0.8), (0.8, 0.9), (0.7, 0.6)))
    return [
        ImageProposals("a", (ObjectMatch(1, "cat", 2000, 0.8), ObjectMatch(2, "", 20000, 0.5)), matched),
        ImageProposals("b", (ObjectMatch(1, "", 2000, 0.6),), (Proposal(0.99, 0.1),)),  # no match
        ImageProposals("c", (), ()),
    ]


def test_the_report_has_shares_of_objects_and_means_of_images() -> None:
    found = summarize(results())
    assert found["all"]["recall"] == {"0.5": pytest.approx(2 / 3), "0.75": pytest.approx(1 / 3)}
    assert found["mean of images"]["recall"] == {"0.5": 0.75, "0.75": 0.25}  # c has no object
    assert found["all"]["iou"] == pytest.approx(1.9 / 3)
    assert found["large"]["recall"]["0.5"] == 0.0  # found means above .5
    assert found["proposals"]["per_image"] == pytest.approx(4 / 3)
    assert (found["proposals"]["matched"], found["proposals"]["spearman"]) == (3, pytest.approx(0.5))
    text = render_markdown(build_generator_report("Masks", {}, results()))
    assert "| all | 3 | 66.7 | 33.3 | 63.3 |" in text
    assert "| c | 0 | – | – | 0 |" in text


def test_missed_objects_are_drawn() -> None:
    annotation = annotation_from_masks({1: (GRAY == 50) & (np.arange(60) < 32)})
    data = Dataset(
        "folder", "", Path(), "", ("a",), lambda name: AnnotatedImage(name, lambda: IMAGE, lambda: annotation)
    )
    (image,) = draw_missed_objects(data, [evaluate(annotation)])
    assert image.caption == "a, object 1: best IoU 80.0"


def test_correlations() -> None:
    assert compute_pearson([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert compute_pearson([1, 2, 4], [3, 2, 0]) == pytest.approx(-1)
    assert compute_spearman([1, 2, 100], [0.1, 0.2, 0.3]) == pytest.approx(1)
    assert compute_spearman([1, 1, 2], [5, 6, 7]) == pytest.approx(np.sqrt(3) / 2)  # ranks 1.5, 1.5, 3
    assert compute_pearson([1, 2], [2, 4]) is None
    assert compute_spearman([1, 1, 1], [1, 2, 3]) is None
