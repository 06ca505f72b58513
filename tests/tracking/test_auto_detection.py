"""Automatic tracking with a detector: stable ids, classes, scores, and no object twice."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from masklet.detectors.detections import Detections
from masklet.errors import BackendError, SettingsError
from masklet.jobs.frame_log import FrameLog
from masklet.jobs.track_job import TrackJob, run_job
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.segmenter import Segmenter
from masklet.tracking.auto_tracker import AutoTrackOptions
from masklet.tracking.traversal import plan_traversal
from masklet.video import open_video
from support.gray_detector import GrayDetector
from support.gray_world import Box, GrayWorld, draw_boxes

CLASSES = {50: "cat", 80: "dog", 90: "cat"}
Clip = Sequence[Mapping[int, Box]]


def draw(clip: Clip) -> Any:
    return np.stack([draw_boxes(things) for things in clip])


def track(clip: Clip, detector: Any, **options: Any) -> list[TrackedFrame]:
    """Track what the detector finds on every fourth frame."""
    options = {"every": 4, "patience": 3, "detector": detector, **options}
    return [*Segmenter(GrayWorld()).auto_track(draw(clip), AutoTrackOptions(**options))]


def ids(frames: Sequence[TrackedFrame]) -> list[tuple[int, ...]]:
    return [frame.masks.object_ids for frame in frames]


def test_detected_objects_keep_their_ids_classes_and_scores() -> None:
    clip = [{50: (2 + t, 2, 12 + t, 12), 80: (40 - t, 20, 55 - t, 35), 7: (0, 38, 60, 40)} for t in range(10)]
    detector = GrayDetector(CLASSES, {80: 0.95})
    frames = track(clip, detector)
    assert ids(frames) == [(1, 2)] * 10 and detector.calls == 3
    assert {frame.masks.labels for frame in frames} == {("dog", "cat")}  # by descending score
    assert all((frame.masks.binary[1] == (draw([clip[t]])[0, ..., 0] == 50)).all() for t, frame in enumerate(frames))
    assert [len(frame.detections) for frame in frames] == [2, 0, 0, 0] * 2 + [2, 0]
    found = {one.object_id: one for one in frames[4].detections}
    assert found[1].score == pytest.approx(0.95) and found[1].label == "dog" and found[1].box == (36, 20, 51, 35)
    assert found[2].box == (6, 2, 16, 12)


def test_a_new_object_gets_a_new_id_and_a_lost_one_is_dropped() -> None:
    clip = [{50: (2, 2, 12, 12), **({90: (30, 5, 42, 17)} if 5 <= t < 10 or t >= 14 else {})} for t in range(18)]
    frames = track(clip, GrayDetector(CLASSES))
    assert ids(frames) == [(1,)] * 8 + [(1, 2)] * 4 + [(1,)] * 4 + [(1, 3)] * 2
    assert frames[-1].masks.labels == ("cat", "cat")


def test_an_object_that_the_detector_overlooks_is_tracked_on() -> None:
    class Forgetful(GrayDetector):
        def __call__(self, image: Any, /) -> Detections:
            found = super().__call__(image)
            return found if self.calls == 1 else found[:0]

    clip = [{50: (2, 2, 12, 12)}] * 12
    assert ids(track(clip, Forgetful(CLASSES))) == [(1,)] * 12
    assert ids(track(clip, Forgetful(CLASSES), max_misses=2)) == [(1,)] * 8 + [()] * 4


def test_a_miss_is_forgotten_when_the_object_is_found() -> None:
    class Blinking(GrayDetector):
        def __call__(self, image: Any, /) -> Detections:
            found = super().__call__(image)
            return found if self.calls % 2 else found[:0]

    assert ids(track([{50: (2, 2, 12, 12)}] * 20, Blinking(CLASSES), max_misses=2)) == [(1,)] * 20


def test_a_class_that_changes_makes_no_second_object() -> None:
    class Undecided(GrayDetector):
        def __call__(self, image: Any, /) -> Detections:
            found = super().__call__(image)
            labels = ["cat" if self.calls % 2 else "dog"] * len(found)
            return Detections(found.boxes - 0.4, labels, found.scores)

    frames = track([{50: (2, 2, 22, 22)}] * 12, Undecided(CLASSES))
    assert ids(frames) == [(1,)] * 12 and {frame.masks.labels for frame in frames} == {("cat",)}
    assert [one.label for frame in frames for one in frame.detections] == ["cat", "dog", "cat"]


def test_two_boxes_of_one_object_make_one_object() -> None:
    def detect(image: Any) -> Any:
        return [(0, 0, 30, 30), (1, 1, 14, 14), (2, 2, 12, 12)], ["cat", "cat", "dog"], [0.9, 0.8, 0.7]

    frames = track([{50: (2, 2, 28, 28)}] * 5, detect)  # the masks in all three boxes are the same
    assert ids(frames) == [(1,)] * 5


def test_a_weak_detection_only_confirms() -> None:
    clip = [{50: (2, 2, 12, 12), 80: (30, 5, 42, 17)}] * 9
    detector = GrayDetector(CLASSES, {50: 0.4, 80: 0.9})
    assert ids(track(clip, detector, min_score=0.5)) == [(1,)] * 9
    assert ids(track(clip, detector, min_score=0.4)) == [(1, 2)] * 9

    class Tiring(GrayDetector):
        min_score = 0.5

        def __call__(self, image: Any, /) -> Detections:
            found = super().__call__(image)
            return Detections(found.boxes, found.labels, found.scores if self.calls == 1 else found.scores * 0.4)

    frames = track(clip, Tiring(CLASSES), max_misses=1)
    assert ids(frames) == [(1, 2)] * 9 and frames[4].detections[0].score == pytest.approx(0.36)


def test_the_best_detections_are_tracked_if_there_are_too_many() -> None:
    clip = [{50: (2, 2, 12, 12), 80: (30, 5, 42, 17), 90: (45, 20, 55, 30)}] * 5
    frames = track(clip, GrayDetector(CLASSES, {50: 0.5, 80: 0.7, 90: 0.6}), max_objects=2)
    assert ids(frames) == [(1, 2)] * 5 and frames[0].masks.labels == ("dog", "cat")
    assert [one.object_id for one in frames[0].detections] == [1, 2]
    assert ids(track(clip, GrayDetector({}))) == [()] * 5


def test_errors_of_the_detector_end_the_track() -> None:
    def fail(image: Any) -> Any:
        return [(0, 0, 9, 9)], [], []

    with pytest.raises(BackendError, match="1 boxes, 0 labels"):
        track([{50: (2, 2, 12, 12)}], fail)


@pytest.mark.parametrize("wrong", [{"detector": 3}, {"min_score": -0.1}, {"min_score": 1.5}, {"max_misses": 0}])
def test_options_of_the_detector_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        AutoTrackOptions(**wrong)


def test_a_job_describes_its_detector_and_old_jobs_are_described_as_before() -> None:
    assert {*AutoTrackOptions().to_json()} == {"search", "every", "uncovered", "patience", "most"}
    described = AutoTrackOptions(detector=GrayDetector(CLASSES), max_misses=2).to_json()
    assert described["detector"].endswith("GrayDetector") and described["max_misses"] == 2


def test_a_resumed_job_finds_the_same_objects(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)

    class Late(GrayDetector):
        """Overlooks objects on images with a mark, so that it keeps no state."""

        def __call__(self, image: Any, /) -> Detections:
            found = super().__call__(image)
            return found[:0] if (image[..., 0] == 7).any() else found

    clip = [{50: (2, 2, 12, 12), **({80: (30, 5, 42, 17)} if t > 5 else {}), **({7: (0, 38, 9, 40)} if t > 9 else {})}
            for t in range(26)]  # fmt: skip
    video: Any = open_video(draw(clip))
    options = AutoTrackOptions(detector=Late(CLASSES), every=4, patience=3, max_misses=2)
    job = TrackJob(GrayWorld(), video, {}, plan_traversal(26, [0]), auto_track=options)

    def run(folder: Any, count: int) -> list[RleFrame]:
        with FrameLog(folder, {}) as log:
            for _, frame in zip(range(count - len(log)), run_job(job, log), strict=False):
                log.append(frame)
            return [*log]

    whole = run(tmp_path / "whole", 26)
    assert [frame.object_ids for frame in whole] == [(1,)] * 8 + [(1, 2)] * 8 + [()] * 10
    assert [one.object_id for one in whole[8].detections] == [1, 2] and not whole[12].detections
    for stop in (13, 15):
        assert run(tmp_path / str(stop), stop) == whole[:stop]
        assert run(tmp_path / str(stop), 26) == whole
