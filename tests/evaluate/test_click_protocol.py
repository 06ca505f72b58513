"""The click protocol, with a model that segments by color."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.datasets.annotation import Annotation, annotation_from_masks
from masklet.datasets.dataset import AnnotatedImage, Dataset, Images
from masklet.datasets.layouts import open_images
from masklet.errors import FormatError, PromptError
from masklet.evaluate.click_protocol import FixedClicks, ObjectClicks, RandomClicks, evaluate_clicks
from masklet.evaluate.click_report import build_click_report, summarize
from masklet.evaluate.failure_cases import draw_worst_clicks
from masklet.evaluate.report import render_markdown
from masklet.image_sets.prompt_file import read_image_prompts
from masklet.prompts import Prompt, box, click
from masklet.segmenter import Segmenter
from support.color_backend import ColorBackend
from support.gray_world import draw_boxes

EXAMPLES = Path(__file__).parents[2] / "examples"
IMAGE = draw_boxes({50: (0, 0, 30, 40), 60: (30, 0, 40, 40), 90: (45, 0, 55, 10)})
LEFT, RIGHT = (5, 5), (35, 5)  # on the two colors of object 1, of which they are 3/4 and 1/4


def ground_truths() -> Annotation:
    gray = IMAGE[..., 0]
    return annotation_from_masks({1: (gray == 50) | (gray == 60), 2: gray == 90, 3: gray == 7})


def data(*names: str) -> Images:
    return Dataset("folder", "test", Path("test"), "", names, lambda name: AnnotatedImage(name, _image, ground_truths))


def _image() -> NDArray[np.uint8]:
    return IMAGE


def fixed(*prompts: tuple[str, int, Prompt]) -> FixedClicks:
    return FixedClicks.from_prompts(prompts)


def model() -> Segmenter:
    return Segmenter(ColorBackend())


def test_each_click_is_predicted_alone() -> None:
    source = fixed(("a", 1, click(*LEFT)), ("a", 2, click(50, 5)), ("a", 1, click(*RIGHT)))
    first, second = evaluate_clicks(model(), data("a")["a"], source)
    assert (first.object_id, first.area, first.clicks, first.ious) == (1, 1600, (LEFT, RIGHT), (0.75, 0.25))
    assert (second.object_id, second.ious) == (2, (1.0,))


def test_void_pixels_count_as_correct() -> None:
    gray = IMAGE[..., 0]
    annotation = annotation_from_masks({1: gray == 50})
    part = Annotation(
        annotation.size, {1: lambda: (gray == 50) & (np.arange(60) < 20)}, (gray == 50) & (np.arange(60) >= 20)
    )
    record = AnnotatedImage("a", _image, lambda: part)
    assert evaluate_clicks(model(), record, fixed(("a", 1, click(*LEFT))))[0].ious == (1.0,)


def test_random_clicks_are_on_their_object_and_do_not_depend_on_other_images() -> None:
    source = RandomClicks(20, seed=3)
    alone = evaluate_clicks(model(), data("b")["b"], source)
    after_another = [evaluate_clicks(model(), record, source) for record in data("a", "b")]
    assert after_another[1] == alone
    assert after_another[0][0].clicks != alone[0].clicks  # of another image
    assert [len(result.clicks) for result in alone] == [20, 20]  # the empty object is left out
    for result in alone:
        mask = ground_truths().mask(result.object_id)
        assert all(mask[int(y), int(x)] for x, y in result.clicks)
    assert evaluate_clicks(model(), data("b")["b"], RandomClicks(20, seed=4)) != alone


def test_random_clicks_are_uniform_over_the_mask() -> None:
    mask = np.zeros((10, 20), bool)
    mask[0, :4] = mask[9, 19] = True
    clicks = RandomClicks(5000).choose("a", 1, mask)
    pixels = [tuple(prompt.points[0].astype(int).tolist()) for prompt in clicks]
    assert {pixels.count(pixel) > 900 for pixel in [(0, 0), (1, 0), (2, 0), (3, 0), (19, 9)]} == {True}


@pytest.mark.parametrize("prompt", [box(1, 1, 9, 9), click(5, 5) + click(6, 6), click(5, 5, positive=False)])
def test_only_lone_positive_clicks_are_accepted(prompt: Prompt) -> None:
    with pytest.raises(PromptError, match="a, object 1: expected one positive click"):
        fixed(("a", 1, prompt))


def test_clicks_select_the_images_and_are_checked_against_the_ground_truth() -> None:
    assert fixed(("b", 1, click(*LEFT))).select(data("a", "b", "c")).names == ("b",)
    with pytest.raises(FormatError, match="no d in folder test"):
        fixed(("d", 1, click(*LEFT))).select(data("a"))
    with pytest.raises(PromptError, match="a has no object 9; its objects are 1, 2, 3"):
        fixed(("a", 9, click(*LEFT))).select(data("a"))
    with pytest.raises(PromptError, match=r"a, object 2: the click \(5, 5\) is not on the object"):
        fixed(("a", 2, click(*LEFT))).select(data("a"))


def results() -> list[ObjectClicks]:
    places = ((0.0, 0.0),) * 3
    return [
        ObjectClicks("a", 1, "cat", 100, places, (0.1, 0.8, 0.9)),
        ObjectClicks("a", 2, "", 100, places, (0.2, 0.4, 0.6)),
        ObjectClicks("b", 1, "dog", 20000, places[:1], (0.5,)),
    ]


def test_the_report_counts_clicks_and_takes_the_median_of_medians() -> None:
    found = summarize(results())
    assert list(found) == ["all", "small", "large"]  # no object is medium
    assert found["all"]["right"] == {"0.8": 2, "0.5": 4}
    assert found["all"]["median"] == 0.5
    assert found["small"]["median"] == pytest.approx(0.6)
    assert found["all"]["mean"] == pytest.approx(0.5)
    text = render_markdown(build_click_report("Clicks", {}, results()))
    assert "| all | 3 | 2 of 7 | 28.6 | 4 of 7 | 57.1 | 50.0 | 50.0 |" in text
    assert text.index("| a, object 2 | small | 0 of 3") < text.index("| b, object 1 dog | large") < text.index("cat")


def test_the_worst_click_of_an_object_is_drawn() -> None:
    found = evaluate_clicks(model(), data("a")["a"], fixed(("a", 1, click(*LEFT)), ("a", 1, click(*RIGHT))))
    (image,) = draw_worst_clicks(model(), data("a"), found)
    assert image.caption == "a, object 1: median IoU 50.0, worst click 25.0"


def test_the_clicks_of_the_examples_are_on_the_outlined_objects() -> None:
    source = fixed(*read_image_prompts(EXAMPLES / "clicks.json"))
    examples = source.select(open_images(EXAMPLES / "outlines.json"))
    assert examples.names == ("cat.jpg", "coffee.jpg", "rocket.jpg", "fish.jpg")
    assert [len(clicks) for clicks in source.clicks.values()] == [5, 5, 5, 5]
    for record in examples:
        record.read()  # checks the size of the masks
