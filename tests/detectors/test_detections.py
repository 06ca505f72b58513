"""Detections: what detectors return is checked, cut off at the edges of the image, and freed of duplicates."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from masklet.detectors.detections import Detections, identify, min_score_of, run_detector
from masklet.errors import BackendError, PromptError
from support.gray_detector import GrayDetector
from support.gray_world import SIZE, draw_boxes

IMAGE = draw_boxes({})
HEIGHT, WIDTH = SIZE
BOX = (2, 3, 20, 30)
NAN, INFINITE = float("nan"), float("inf")


def run(*returned: Any) -> Detections:
    """Run a detector that returns a value."""
    return run_detector(lambda image: returned if len(returned) > 1 else returned[0], IMAGE)


def test_arrays_lists_and_detections_are_accepted() -> None:
    for returned in ((np.array([BOX]), ["cat"], [0.5]), ([[*BOX]], ("cat",), np.float64([0.5])),
                     Detections([BOX], ["cat"], [0.5])):  # fmt: skip
        found = run_detector(lambda image, one=returned: one, IMAGE)
        assert found.boxes.tolist() == [[*BOX]] and found.labels == ("cat",) and found.scores.tolist() == [0.5]
        assert found.boxes.dtype == found.scores.dtype == np.float32
    assert run([BOX], [" cat "], None).labels == ("cat",)
    assert len(run([], [], [])) == len(run(Detections(np.zeros((0, 4)), []))) == 0


def test_boxes_are_cut_off_at_the_edges_of_the_image() -> None:
    found = run([(-5, -1, 10, 10), (50, 30, WIDTH + 0.5, HEIGHT + 9)], ["a", "b"], [0.9, 0.8])
    assert found.boxes.tolist() == [[0, 0, 10, 10], [50, 30, WIDTH, HEIGHT]]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (([BOX], ["cat", "dog"], [0.5]), "1 boxes, 2 labels"),
        (([BOX], ["cat"], [0.5, 0.6]), "shape (2,)"),
        (([BOX], ["cat"], [[0.5]]), "shape (1, 1)"),
        (([BOX], "cat", [0.5]), "a list with a name for each box"),
        (([BOX, BOX], ["cat"], [0.5]), "2 boxes, 1 labels"),
        (([BOX], [7], [0.5]), "a label must be"),
        (([BOX], [" "], [0.5]), "a label must be"),
        (([(2, 3, NAN, 5)], ["cat"], [0.5]), "(2, 3, nan, 5) is not of finite numbers"),
        (([(2, 3, INFINITE, 5)], ["cat"], [0.5]), "not of finite numbers"),
        (([BOX], ["cat"], [NAN]), "a score must be from 0 to 1, got nan"),
        (([BOX], ["cat"], [7.5]), "got 7.5"),
        (([(20, 3, 8, 9)], ["cat"], [0.5]), "x, y, width, height"),
        (([(70, 3, 80, 9)], ["cat"], [0.5]), f"(70, 3, 80, 9) lies outside the image of {WIDTH} × {HEIGHT}"),
        (([(0.1, 0.2, 0.5, 0.9)], ["cat"], [0.5]), "not fractions"),
        (([(1, 2, 3)], ["cat"], [0.5]), "(N, 4)"),
        ((["x"], ["cat"], [0.5]), "boxes must be an array of numbers"),
        ((object(), ["cat"], [0.5]), "boxes must be an array of numbers"),
        (([BOX], ["cat"]), "boxes, labels and scores, got tuple"),
        (({"boxes": []},), "got dict"),
        ((None,), "got NoneType"),
    ],
)  # fmt: skip
def test_invalid_results_are_refused(returned: tuple[Any, ...], message: str) -> None:
    with pytest.raises(BackendError) as raised:
        run(*returned)
    assert raised.value.code == "bad-detections" and message in raised.value.message


def test_an_error_of_a_detector_is_named() -> None:
    with pytest.raises(BackendError, match="the detector failed: ZeroDivisionError") as raised:
        run_detector(lambda image: 1 // 0, IMAGE)
    assert raised.value.code == "detector-failed"

    def refuse(image: Any) -> Detections:
        raise PromptError("bad-prompt", "no")

    with pytest.raises(PromptError):
        run_detector(refuse, IMAGE)


def test_duplicates_are_removed_and_the_best_comes_first() -> None:
    boxes = [(0, 0, 10, 10), (0, 0, 10, 11), (0, 0, 10, 12), (0, 0, 10, 8), (30, 0, 40, 10)]
    found = run(boxes, ["cat", "cat", "dog", "dog", "cat"], [0.6, 0.8, 0.7, 0.5, 0.9])
    # 0 is a duplicate of 1, 2 has another label and the IoU 11/12, 3 is no duplicate of 1 (8/11), but 2 removes nothing
    assert found.boxes.tolist() == [[30, 0, 40, 10], [0, 0, 10, 11], [0, 0, 10, 8]]
    assert found.labels == ("cat", "cat", "dog")


def test_a_detector_cannot_change_the_image() -> None:
    def draw(image: Any) -> Detections:
        image[:] = 9
        return Detections([], [])

    run_detector(draw, IMAGE)
    assert not IMAGE.any()


def test_detections_are_selected_and_described() -> None:
    found = Detections([BOX] * 6, [*"abcdef"], [0.5] * 6)
    assert found[[1, 0]].labels == ("b", "a") and len(found[[]]) == 0 and found[found.scores > 0.6].labels == ()
    assert repr(found) == "Detections(a 0.50, b 0.50, c 0.50, d 0.50, … 2 more)"
    assert repr(found[:0]) == "Detections(none)"
    assert pickle.loads(pickle.dumps(found)).labels == found.labels


def test_detectors_state_their_score_and_identity() -> None:
    class Stated(GrayDetector):
        min_score, identity = 0.3, "a model"

    def function(image: Any) -> Detections:
        return Detections([], [])

    assert (min_score_of(Stated({})), identify(Stated({}))) == (0.3, "a model")
    assert min_score_of(function) == 0 and identify(function).endswith("function")
    assert identify(GrayDetector({})).endswith("GrayDetector")
