"""Warnings of masks that may be wrong, at the moment of use: P1-4 and P2-12 of the report of a new user."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import masklet
from masklet.backend import Predictions
from masklet.cli.main import main
from masklet.errors import MaskWarning
from masklet.jobs.frame_log import FrameLog
from masklet.masks.crop import Crop
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import RleFrame
from masklet.predict.mask_checks import MaskFacts, check_mask, check_masks
from masklet.prompts import absent, box, click, mask
from masklet.segmenter import Segmenter
from masklet.tracking.monitor import TrackingMonitor
from support.gray_world import SIZE, GrayWorld, draw_boxes

EXAMPLES = Path(__file__).parents[2] / "examples"
LARGE = (1000, 1000)


class Uncertain(GrayWorld):
    """Gray world whose masks all have a low score."""

    def fetch(self, decoded: Sequence[object]) -> Predictions:
        return super().fetch(decoded)._replace(iou=np.full(len(decoded), 0.02, np.float32))  # type: ignore[arg-type]


def codes(found: Sequence[MaskWarning]) -> list[tuple[int, str]]:
    return [(one.object_id, one.code) for one in found]


def grow(*sides: int) -> list[NDArray[np.uint8]]:
    """Frames with a square of the gray value 50 whose sides are these, 0 for none."""
    return [draw_boxes({50: (0, 0, side, side)} if side else {}) for side in sides]


def test_p1_4_a_low_score_of_the_embedded_model_is_reported() -> None:
    image = masklet.load().embed(EXAMPLES / "cat.jpg")
    prompt = click(10, 10, positive=False)
    with pytest.warns(MaskWarning, match=r"object 1 has a score of 0\.\d\d, .* add clicks, or give a box") as caught:
        masks = image.predict(prompt)
    assert codes(masks.warnings) == [(1, "low-score")]
    assert [one.message for one in caught] == [masks.warnings[0]]
    assert caught[0].filename == __file__


def test_each_reason_is_issued_once_for_an_object_of_an_image() -> None:
    image = Segmenter(Uncertain()).embed(draw_boxes({50: (0, 0, 20, 20), 90: (30, 0, 50, 20)}))
    with pytest.warns(MaskWarning) as caught:
        for x in (5, 6, 7):
            assert codes(image.predict({1: click(x, 5), 2: click(35, x)}).warnings) == [
                (1, "low-score"),
                (2, "low-score"),
            ]
    assert [one.message.object_id for one in caught] == [1, 2]  # type: ignore[union-attr]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Segmenter(Uncertain()).embed(draw_boxes({}), warn=False).predict(click(5, 5)).warnings


def test_good_masks_have_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Segmenter(GrayWorld()).segment(draw_boxes({50: (0, 0, 20, 20)}), click(5, 5)).warnings == ()


@pytest.mark.parametrize(
    ("score", "area", "prompt", "expected"),
    [
        (0.51, 5000, click(1, 1), []),
        (0.49, 5000, click(1, 1), ["low-score"]),
        (0.02, 346_000, click(1, 1, positive=False), ["low-score"]),
        (0.9, 0, click(1, 1), ["tiny-mask"]),
        (0.1, 99, click(1, 1), ["tiny-mask"]),  # one line, not two
        (0.9, 101, click(1, 1), []),
        (0.9, 101, box(0, 0, 100, 100), ["tiny-mask"]),  # 1 % of the box
        (0.9, 600, box(0, 0, 100, 100), []),
        (0.9, 510_000, click(1, 1), ["mask-covers-image"]),
        (0.9, 490_000, click(1, 1), []),
        (0.9, 950_000, box(0, 0, 1000, 990), []),
        (0.2, 950_000, click(1, 1), ["low-score", "mask-covers-image"]),
        (0.2, 950_000, None, ["low-score", "mask-covers-image"]),
        (0.2, 0, None, []),
        (0.2, 0, absent(), []),
        (0.2, 5000, mask(np.eye(9)), ["low-score"]),
    ],
)
def test_a_mask_is_reported_beyond_the_thresholds(
    score: float, area: int, prompt: masklet.Prompt | None, expected: list[str]
) -> None:
    assert [one.code for one in check_mask(MaskFacts(3, score, area), LARGE, prompt)] == expected


@pytest.mark.parametrize(("size", "least"), [((40, 60), 10), (LARGE, 100), ((9000, 12_000), 100)])
def test_the_smallest_area_of_a_click_has_bounds(size: tuple[int, int], least: int) -> None:
    found = [bool([*check_mask(MaskFacts(1, 0.9, area), size, click(1, 1))]) for area in (least - 1, least)]
    assert found == [True, False]


def test_of_several_candidates_the_best_is_checked() -> None:
    masks = Masks.from_logits(np.ones((3, 4, 4)), (40, 40), object_ids=[7, 7, 7], scores=[0.2, 0.6, 0.4])
    assert codes(check_masks(masks, {7: box(0, 0, 40, 40)})) == []
    assert codes(check_masks(masks[[0, 2]], {7: box(0, 0, 40, 40)})) == [(7, "low-score")]


def test_areas_are_estimated_from_the_logits_of_crops() -> None:
    logits = np.full((2, 10, 10), -1.0, np.float32)
    logits[:, :5] = 1
    masks = Masks(
        logits, (100, 200), np.ones(2, np.float32), (1, 2), np.ones(2, np.float32), (None, Crop(20, 20, 60, 40))
    )
    assert masks.estimate_areas().tolist() == [10_000, 400]
    assert masks.areas.tolist() == pytest.approx([10_000, 400], rel=0.1)


def test_warnings_stay_with_their_masks() -> None:
    with pytest.warns(MaskWarning):
        masks = Segmenter(Uncertain()).segment(draw_boxes({50: (0, 0, 20, 20)}), {1: click(5, 5), 4: click(6, 6)})
    assert codes(masks.of(4).warnings) == [(4, "low-score")]
    assert codes(Masks.join([masks[0], masks[1]]).warnings) == codes(masks.warnings)
    copy = pickle.loads(pickle.dumps(masks.warnings[1]))
    assert (copy.code, copy.message, copy.object_id, copy.frame) == ("low-score", masks.warnings[1].message, 4, None)
    assert copy.to_record() == {"code": "low-score", "object": 4, "message": copy.message}


def test_p2_12_an_area_that_jumps_sevenfold_is_reported_once() -> None:
    frames = grow(5, 5, 5, 14, 14, 5, 5)  # 25 and 196 pixels: 7.8 times
    with pytest.warns(
        MaskWarning, match="object 1 on frame 3 is 7.8 times as large as before, 25 → 196 pixels"
    ) as caught:
        tracked = [*Segmenter(GrayWorld()).track(frames, click(2, 2))]
    assert len(caught) == 1
    assert {frame.index: codes(frame.warnings) for frame in tracked if frame.warnings} == {3: [(1, "area-jump")]}


def test_an_area_that_grows_to_seven_times_over_some_frames_is_reported() -> None:
    """The report's clip: 4,472 pixels on frame 12, 31,699 on frame 24."""
    monitor = TrackingMonitor()
    areas = [4472] * 13 + [4500, 4600, 9000, 15_000, 22_000, 28_000, 31_000, 31_500, 31_699, 32_000]
    found = [monitor.check(t, LARGE, [MaskFacts(1, 0.8, area)], {}) for t, area in enumerate(areas)]
    assert [codes(one) for one in found if one] == [[(1, "area-jump")]]


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ([9000, 1280], ["area-jump"]),  # to a seventh
        ([9000, 1300], []),
        ([100, 900], []),  # too small to matter
        ([100, 1000], ["area-jump"]),
        ([3000 * 1.2**t for t in range(12)], []),  # an object that comes closer
    ],
)
def test_areas_are_compared_with_those_before(areas: list[float], expected: list[str]) -> None:
    monitor = TrackingMonitor()
    found = [monitor.check(t, LARGE, [MaskFacts(1, 0.8, int(area))], {}) for t, area in enumerate(areas)]
    assert [one.code for of_frame in found for one in of_frame] == expected


def test_a_lost_object_is_reported_once() -> None:
    frames = grow(12, 12, 0, 0, 12, 0)
    with pytest.warns(MaskWarning, match="object 1 is lost from frame 2 on; .* prompt it again") as caught:
        tracked = [*Segmenter(GrayWorld()).track(frames, click(2, 2))]
    assert [(one.message.code, one.message.frame) for one in caught] == [("object-lost", 2)]  # type: ignore[union-attr]
    assert codes(tracked[2].warnings) == [(1, "object-lost")]


def test_a_prompt_explains_a_change() -> None:
    prompts = {0: {1: click(2, 2)}, 3: {1: absent()}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [*Segmenter(GrayWorld()).track(grow(12, 12, 12, 0, 0), prompts)]
    monitor = TrackingMonitor()
    monitor.check(0, LARGE, [MaskFacts(1, 0.9, 900)], {1: click(1, 1)})
    assert not monitor.check(1, LARGE, [MaskFacts(1, 0.9, 90_000)], {1: box(0, 0, 300, 300)})
    assert not monitor.check(2, LARGE, [MaskFacts(1, 0.9, 90_000)], {})


def test_the_frames_of_two_directions_are_not_compared() -> None:
    frames = grow(12, 12, 12, 12, 0)
    with pytest.warns(MaskWarning) as caught:
        [*Segmenter(GrayWorld()).track(frames, {2: click(2, 2)}, direction="both")]
    assert [(one.message.code, one.message.frame) for one in caught] == [("object-lost", 4)]  # type: ignore[union-attr]


def test_a_click_on_a_frame_that_finds_almost_nothing_is_reported() -> None:
    tracker = Segmenter(GrayWorld()).tracker()
    masks = tracker.prompt(0, {1: click(1, 1), 2: click(30, 30)}, draw_boxes({50: (0, 0, 2, 2), 90: (20, 20, 40, 40)}))
    assert codes(masks.warnings) == [(1, "tiny-mask")]
    assert masks.warnings[0].frame == 0
    with pytest.warns(MaskWarning, match="object 1 on frame 0: the prompt finds almost nothing, about 4 of 2,400"):
        [*Segmenter(GrayWorld()).track(grow(2, 2), click(1, 1))]


def test_an_object_that_fills_the_frame_by_its_prompt_is_not_reported() -> None:
    height, width = SIZE
    frames = [draw_boxes({50: (0, 0, width, height)})] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [*Segmenter(GrayWorld()).track(frames, box(0, 0, width, height))]
        [*Segmenter(GrayWorld()).track(frames, mask(frames[0][..., 0] > 0))]
    with pytest.warns(MaskWarning, match="object 1 on frame 0 covers 100 % of the image"):
        [*Segmenter(GrayWorld()).track(frames, click(5, 5))]


def write_frames(folder: Path, frames: Sequence[NDArray[np.uint8]]) -> Path:
    folder.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{index:03d}.png")
    return folder


@pytest.mark.usefixtures("gray_world")
def test_p2_12_track_prints_a_line_and_lists_the_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = write_frames(tmp_path / "frames", grow(5, 5, 5, 14, 14, 0))
    words = ["track", str(frames), "--point", "2,2#3", "--format", "csv", "--out", str(tmp_path / "out"), "--json"]
    append = FrameLog.append

    def stop(log: FrameLog, frame: RleFrame) -> None:
        append(log, frame)
        if frame.index == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FrameLog, "append", stop)
        assert main(words) == 130
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(lines) == 1
    assert lines[0].startswith("masklet: warning: object 3 on frame 3 is 7.8 times as large as before")
    assert lines[0].endswith("[area-jump]")
    assert main([*words, "--resume"]) == 0
    printed = capsys.readouterr()
    assert "area-jump" not in printed.err and "object-lost" in printed.err
    found = [(one["code"], one["object"], one["frame"]) for one in json.loads(printed.out)["warnings"]]
    assert found == [("area-jump", 3, 3), ("object-lost", 3, 5)]


@pytest.mark.usefixtures("gray_world")
def test_automatic_tracking_does_not_report_objects_that_leave(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = write_frames(tmp_path / "frames", grow(12, 12, 12, 0, 0))
    words = ["everything", str(frames), "--points-per-side", "8", "--format", "csv", "--out", str(tmp_path / "out")]
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["warnings"] == []
    assert "warning" not in printed.err


def test_p1_4_segment_warns_of_the_embedded_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["segment", str(EXAMPLES / "cat.jpg"), "--point", "225,5", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("masklet: warning: object 1 has a score of 0.")]
    assert len([line for line in lines if "warning" in line.lower()]) == 1
    assert main([*words, "--overwrite", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["pictures"]
    assert [one["code"] for one in record["warnings"]] == ["low-score"]
