"""The image protocol, with a model whose predictions can be computed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation, annotation_from_label_map, annotation_from_masks
from masklet.datasets.dataset import AnnotatedImage
from masklet.errors import FormatError, SettingsError
from masklet.evaluate.failure_cases import draw_worst_objects
from masklet.evaluate.image_baselines import (
    IMAGE_BASELINES,
    draw_disc_at_click,
    draw_ellipse_in_box,
    fill_box,
    run_grabcut_in_box,
)
from masklet.evaluate.image_protocol import MAX_CLICKS, ObjectIous, PromptPlan, evaluate_image
from masklet.evaluate.image_report import PER_IMAGE, build_image_report, summarize
from masklet.evaluate.report import write_report
from masklet.segmenter import Segmenter
from support.color_backend import ColorBackend

SIZE = (20, 30)


def image() -> NDArray[np.uint8]:
    """An image with an object of two colors, 50 in ten columns and 60 in six, and one of color 90, on 0."""
    canvas = np.zeros((*SIZE, 3), np.uint8)
    canvas[4:14, 2:12] = 50
    canvas[4:14, 12:18] = 60
    canvas[5:10, 22:27] = 90
    return canvas


def ground_truths() -> Annotation:
    gray = image()[..., 0]
    return annotation_from_masks({1: (gray == 50) | (gray == 60), 2: gray == 90, 3: gray == 7})


def record(name: str = "a") -> AnnotatedImage:
    return AnnotatedImage(name, image, ground_truths)


def model() -> Segmenter:
    return Segmenter(ColorBackend())


def test_every_click_is_at_the_deepest_error_of_the_current_mask() -> None:
    first, second = evaluate_image(model(), record(), PromptPlan((1, 3)))
    assert (first.object_id, first.area, first.ious["1-click"]) == (1, 160, 100 / 160)  # the clicked color only
    assert first.clicks == (100 / 160, 1.0)  # the second click adds the other color; then there is no error
    assert first.ious["3-click"] == 1.0
    assert second.clicks == (1.0,)


def test_empty_objects_are_left_out() -> None:
    assert [result.object_id for result in evaluate_image(model(), record(), PromptPlan())] == [1, 2]


def test_void_pixels_are_neither_errors_nor_clicked() -> None:
    gray = image()[..., 0]
    labels = np.where(gray == 50, 1, np.where(gray == 60, 255, 0)).astype(np.uint8)
    partly_void = np.where(gray == 60, 50, gray)[..., None].repeat(3, -1).astype(np.uint8)  # of one color
    (found,) = evaluate_image(
        model(), AnnotatedImage("a", lambda: partly_void, lambda: annotation_from_label_map(labels)), PromptPlan()
    )
    assert found.clicks == (1.0,)
    assert set(found.ious.values()) == {1.0}


def test_a_box_and_a_mask_are_prompts_of_their_own() -> None:
    first, _ = evaluate_image(model(), record(), PromptPlan((), box=True, mask=True))
    assert dict(first.ious) == {"box": 100 / 160, "mask": 1.0}
    assert first.clicks == ()


def test_an_image_is_encoded_once() -> None:
    backend = ColorBackend()
    evaluate_image(Segmenter(backend), record(), PromptPlan())
    assert backend.encoded == 1


def test_clicks_stop_at_twenty_if_the_target_is_never_reached() -> None:
    hopeless = image()[..., 0] == 50
    hopeless[:, :7] = False  # half of the pixels of its color
    results = evaluate_image(
        model(), AnnotatedImage("a", image, lambda: annotation_from_masks({1: hopeless})), PromptPlan((1,))
    )
    assert len(results[0].clicks) == MAX_CLICKS
    assert results[0].count_clicks_to(0.85) == MAX_CLICKS


def test_clicks_to_a_target_are_counted_from_one() -> None:
    result = ObjectIous("a", 1, 5000, {}, (0.2, 0.86, 0.5, 0.91))
    assert (result.count_clicks_to(0.85), result.count_clicks_to(0.9), result.count_clicks_to(0.95)) == (
        2,
        4,
        MAX_CLICKS,
    )


@pytest.mark.parametrize(("area", "size"), [(1023, "small"), (1024, "medium"), (9215, "medium"), (9216, "large")])
def test_sizes_are_those_of_coco(area: int, size: str) -> None:
    assert ObjectIous("a", 1, area, {}, ()).size_group == size


def test_plans_are_parsed() -> None:
    assert PromptPlan.parse("5-click, 1-click,box") == PromptPlan((1, 5), box=True, mask=False)
    assert PromptPlan.parse("mask").names == ("mask",)


@pytest.mark.parametrize("text", ["", "2 clicks", "0-click", "101-click", "boxes", "box,,mask"])
def test_unknown_prompts_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="prompts must be 1-click"):
        PromptPlan.parse(text)


def test_an_image_with_masks_of_another_size_is_refused() -> None:
    wrong = AnnotatedImage("a", image, lambda: annotation_from_masks({1: np.ones((4, 4), bool)}))
    with pytest.raises(FormatError, match=r"a: the image is \(20, 30\)"):
        evaluate_image(model(), wrong, PromptPlan())


def results() -> list[ObjectIous]:
    return [
        ObjectIous("a", 1, 100, {"1-click": 0.2}, (0.2, 0.9)),
        ObjectIous("a", 2, 100, {"1-click": 0.4}, (0.4, 0.9)),
        ObjectIous("b", 1, 20000, {"1-click": 0.9}, (0.9,)),
    ]


def test_means_are_over_masks_and_over_images() -> None:
    found = summarize(results())
    assert found["1-click"]["all"] == pytest.approx(0.5)
    assert found["1-click"][PER_IMAGE] == pytest.approx(0.6)
    assert found["1-click"]["small"] == pytest.approx(0.3)
    assert found["1-click"]["medium"] is None
    assert found["noc"] == {"85%": pytest.approx(5 / 3), "90%": pytest.approx(5 / 3)}


def test_the_report_has_a_page_tables_and_all_numbers(tmp_path: Path) -> None:
    found = evaluate_image(model(), record(), PromptPlan(), IMAGE_BASELINES)
    images = draw_worst_objects(model(), _Data(), found, "1-click")  # type: ignore[arg-type]
    write_report(build_image_report("On <images>", {"command": "x | y"}, found, PromptPlan(), images), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| 1-click | 81.2 | 81.2 | 81.2 | – | – |" in text
    assert "| command | x \\| y |" in text
    page = (tmp_path / "report.html").read_text()
    assert "On &lt;images&gt;" in page
    assert page.count("<svg") == 1
    assert page.count("data:image/jpeg;base64,") == 2
    assert 'src="http' not in page and "href" not in page
    numbers = json.loads((tmp_path / "report.json").read_text())
    assert numbers["summary"]["box"]["all"] == pytest.approx(130 / 160)
    assert numbers["objects"][0]["clicks"] == [100 / 160, 1.0]


class _Data:
    def __getitem__(self, name: str) -> AnnotatedImage:
        return record(name)


def test_baselines_use_only_the_click_or_the_box() -> None:
    ground_truth = np.zeros((40, 60), bool)
    ground_truth[10:20, 10:40] = True
    ground_truth[10, 10] = False
    image = np.zeros((40, 60, 3), np.uint8)
    assert fill_box(image, ground_truth).sum() == 300
    assert draw_ellipse_in_box(image, ground_truth).sum() == pytest.approx(np.pi / 4 * 300, rel=0.05)
    assert draw_disc_at_click(image, ground_truth).sum() == pytest.approx(0.01 * np.pi * ground_truth.size, rel=0.1)


def test_grabcut_segments_by_color() -> None:
    ground_truth = np.zeros((60, 80), bool)
    ground_truth[15:45, 20:60] = True
    ground_truth[15:30, 20:40] = False  # an L shape with background in its box
    image = np.where(ground_truth[..., None], (200, 40, 40), (30, 90, 160)).astype(np.uint8)
    image += np.random.default_rng(0).integers(0, 20, image.shape, np.uint8)
    found = run_grabcut_in_box(image, ground_truth)
    assert (found & ground_truth).sum() / (found | ground_truth).sum() > 0.95
    assert (found == run_grabcut_in_box(image, ground_truth)).all()


def test_grabcut_with_a_box_around_the_whole_image_fills_it() -> None:
    ground_truth = np.ones((20, 20), bool)
    assert run_grabcut_in_box(np.zeros((20, 20, 3), np.uint8), ground_truth).all()
