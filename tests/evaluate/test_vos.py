"""The protocols on clips, with a model whose answers can be worked out by hand: it knows objects by their colours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from masklet.datasets.dataset import AnnotatedClip, Clips
from masklet.datasets.folders import open_clip_folders
from masklet.errors import FormatError, SettingsError, StateError
from masklet.evaluate.aggregation import ObjectScores
from masklet.evaluate.benchmarks import BENCHMARKS
from masklet.evaluate.failure_cases import draw_worst_rounds
from masklet.evaluate.interactive import ObjectRounds, compute_area_under_curve, evaluate_clip
from masklet.evaluate.interactive_report import build_interactive_report, interpolate_at
from masklet.evaluate.j_and_f import JAndF
from masklet.evaluate.predictions import PredictionFolder
from masklet.evaluate.published_results import find_published_scores
from masklet.evaluate.report import render_markdown
from masklet.evaluate.score import has_public_ground_truth, score_clip
from masklet.evaluate.static_masks import StaticMasks
from masklet.evaluate.vos import FirstPrompt, predict_clips, track_clip
from masklet.evaluate.vos_report import build_vos_report
from masklet.files.lock import Lock
from masklet.masks import rle
from masklet.segmenter import Segmenter
from support.color_backend import ColourBackend

SIZE = (16, 24)
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Thing:
    """An object: where it is (columns from `left`, six wide), and its colour on every frame, 0 where it is absent."""

    left: int
    colours: Sequence[int]


def clips_of(root: Path, *things: Thing, name: str = "clip", masks: Sequence[int] | None = None) -> Clips:
    """A clip in which things are drawn in their colours on 0, with label maps for all frames or those in `masks`."""
    for frame in range(len(things[0].colours)):
        image, labels = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
        for key, thing in enumerate(things, start=1):
            if thing.colours[frame]:
                image[3:13, thing.left : thing.left + 6] = thing.colours[frame]
                labels[3:13, thing.left : thing.left + 6] = key
        _save(root / name / "JPEGImages" / f"{frame:05d}.png", image)
        if masks is None or frame in masks:
            _save(root / name / "Annotations" / f"{frame:05d}.png", labels)
    return open_clip_folders(root)


def _save(path: Path, values: Labels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def model() -> Segmenter:
    return Segmenter(ColourBackend())


def one(clips: Clips) -> AnnotatedClip:
    return clips[clips.names[0]]


MASK = FirstPrompt.parse("mask")


def test_first_prompts_are_read_from_words() -> None:
    assert FirstPrompt.parse("3-click") == FirstPrompt("3-click", 3)
    assert FirstPrompt.parse("1-clicks").name == "1-click"
    for text in ("0-click", "boxes", ""):
        with pytest.raises(SettingsError, match="objects are shown by mask, box, 1-click"):
            FirstPrompt.parse(text)


def test_an_object_is_shown_on_the_first_frame_that_has_it(tmp_path: Path) -> None:
    clips = clips_of(tmp_path, Thing(0, [50, 50, 50]), Thing(10, [0, 80, 80]))
    starts = one(clips).first_masks()
    assert {frame: list(truths) for frame, truths in starts.items()} == {0: [1], 1: [2]}


@pytest.mark.parametrize("prompt", ["mask", "box", "1-click", "3-click"])
def test_objects_are_followed_from_where_they_appear(tmp_path: Path, prompt: str) -> None:
    clip = one(clips_of(tmp_path, Thing(0, [50, 50, 0, 50]), Thing(10, [0, 80, 80, 80])))
    for frame, masks in track_clip(model(), clip, FirstPrompt.parse(prompt)):
        truth = clip.annotation(frame)
        assert masks.object_ids in ((1, 2), (2, 1))
        for key in (1, 2):
            assert (masks.of(key).binary[0] == truth.mask(key)).all(), (frame, key)


def test_frames_before_any_object_are_answered_empty(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, Thing(0, [0, 0, 50])))
    areas = [masks.areas.tolist() for _, masks in track_clip(model(), clip, MASK)]
    assert areas == [[0], [0], [60]]


def test_a_clip_without_objects_is_refused(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, Thing(0, [0, 0, 0])))
    with pytest.raises(FormatError, match="clip: no object in any of its masks"):
        list(track_clip(model(), clip, MASK))


def test_answers_are_written_for_every_frame_and_score_what_they_should(tmp_path: Path) -> None:
    # The object changes its colour on frame 3: found on frames 0, 1, 2, lost on 3 and 4.
    clips = clips_of(tmp_path / "data", Thing(0, [50, 50, 50, 60, 60]))
    assert list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels")) == [1, 2, 3, 4, 5]
    (score,) = score_clip(PredictionFolder(tmp_path / "out/answers"), one(clips), BENCHMARKS["clips"])
    assert score.j.tolist() == [1, 1, 0]  # frames 1, 2, 3


def test_answers_per_object_have_a_folder_each(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "data", Thing(0, [50, 50, 50]), Thing(10, [50, 50, 50]))  # of one colour: they overlap
    list(predict_clips(model(), clips, MASK, tmp_path / "out", "masks"))
    found = PredictionFolder(tmp_path / "out/answers").open_clip("clip").read_frame("00001", SIZE)
    assert [int(found.mask(key).sum()) for key in (1, 2)] == [120, 120]
    list(predict_clips(model(), clips, MASK, tmp_path / "maps", "labels"))
    found = PredictionFolder(tmp_path / "maps/answers").open_clip("clip").read_frame("00001", SIZE)
    assert [int(found.mask(key).sum()) for key in (1, 2)] == [120, 0]


def test_an_interrupted_run_goes_on_with_the_clip_that_was_not_finished(tmp_path: Path) -> None:
    clips_of(tmp_path / "data", Thing(0, [50] * 4), name="a")
    clips = clips_of(tmp_path / "data", Thing(0, [50] * 4), name="b")
    frames = predict_clips(model(), clips, MASK, tmp_path / "out", "labels")
    for _ in range(6):  # the second clip is half done
        next(frames)
    frames.close()
    assert PredictionFolder(tmp_path / "out/answers").has_clip("a")
    assert not PredictionFolder(tmp_path / "out/answers").has_clip("b")
    backend = ColourBackend()
    assert list(predict_clips(Segmenter(backend), clips, MASK, tmp_path / "out", "labels")) == [1, 2, 3, 4]
    assert backend.encoded == 4
    assert sorted(path.name for path in (tmp_path / "out/answers").iterdir()) == ["a", "b"]


def test_a_run_does_not_mix_answers_to_different_prompts(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "data", Thing(0, [50] * 3))
    list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels"))
    with pytest.raises(StateError, match="holds answers for prompt 'mask', not 'box'") as caught:
        list(predict_clips(model(), clips, FirstPrompt.parse("box"), tmp_path / "out", "labels"))
    assert caught.value.code == "resume-mismatch"


def test_answers_of_old_that_say_nothing_of_a_zoom_are_without(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "data", Thing(0, [50] * 3))
    list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels"))
    run = tmp_path / "out" / "run.json"
    told = json.loads(run.read_text())
    assert told.pop("zoom") == "0"
    run.write_text(json.dumps(told))
    assert list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels")) == []
    with pytest.raises(StateError, match="holds answers for zoom '0', not '2'"):
        list(predict_clips(Segmenter(ColourBackend(), 2.0), clips, MASK, tmp_path / "out", "labels"))


def test_beginning_afresh_removes_nothing_while_another_run_works_there(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "data", Thing(0, [50] * 3))
    list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels"))
    box = FirstPrompt.parse("box")
    lock = Lock(tmp_path / "out" / "lock")
    with pytest.raises(StateError) as caught:
        list(predict_clips(model(), clips, box, tmp_path / "out", "labels", restart=True))
    assert caught.value.code == "job-locked"
    assert PredictionFolder(tmp_path / "out/answers").has_clip("clip")
    lock.release()
    assert len(list(predict_clips(model(), clips, box, tmp_path / "out", "labels", restart=True))) == 3


def test_objects_that_stay_where_they_were_shown_are_a_baseline(tmp_path: Path) -> None:
    clips = clips_of(tmp_path, Thing(2, [50, 50, 50, 50]), Thing(12, [0, 90, 90, 0]))
    moved = clips_of(tmp_path / "moved", Thing(2, [50, 50, 0, 50]), Thing(12, [0, 90, 90, 90]))
    rules = BENCHMARKS["davis-2017"]
    still = score_clip(StaticMasks(clips), one(clips), rules)
    assert [score.j.tolist() for score in still] == [[1.0, 1.0], [1.0, 1.0]]
    gone = score_clip(StaticMasks(moved), one(moved), rules)
    assert [score.j.tolist() for score in gone] == [[1.0, 0.0], [1.0, 1.0]]


def test_baselines_are_laid_beneath_in_the_same_columns() -> None:
    beside = {"the first mask, unmoved": scores()[:1]}
    table = build_vos_report("DAVIS", {}, scores(), BENCHMARKS["davis-2017"], baselines=beside).tables[0]
    assert table.rows[1] == ["the first mask, unmoved", "60.0", "80.0", "40.0"]
    halves = build_vos_report(
        "YT", {}, scores(), BENCHMARKS["youtube-vos-2019"], frozenset({"yak"}), baselines={"x": scores()}
    )
    assert halves.tables[0].rows[1][1:] == halves.tables[0].rows[0][1:]


def test_the_first_masks_alone_are_no_truth_to_score_with(tmp_path: Path) -> None:
    assert has_public_ground_truth(clips_of(tmp_path / "all", Thing(0, [50] * 4)))
    assert not has_public_ground_truth(clips_of(tmp_path / "first", Thing(0, [50] * 4), masks=[0]))
    later = [
        Thing(6 * k, [0] * k + [50] * (4 - k)) for k in range(3)
    ]  # three objects, each appears on a frame of its own
    assert not has_public_ground_truth(clips_of(tmp_path / "later", *later, masks=[0, 1, 2]))
    assert has_public_ground_truth(clips_of(tmp_path / "sparse", Thing(0, [50] * 9), masks=[0, 4, 8]))


def test_offline_the_worst_frame_is_corrected_and_the_clip_done_anew(tmp_path: Path) -> None:
    # Three colours: the first frame shows the first, each correction on a lost frame adds one.
    clip = one(clips_of(tmp_path, Thing(4, [50, 50, 60, 60, 70, 70])))
    (found,) = evaluate_clip(model(), clip, "offline", rounds=4)
    assert found.prompted == (0, 2, 4, 0)  # the first of equally wrong frames; at last nothing is wrong
    assert [value.j for value in found.rounds] == pytest.approx([2 / 6, 4 / 6, 1, 1])


def test_offline_a_correction_helps_earlier_frames_too(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, Thing(4, [50, 60, 50, 60])))
    (found,) = evaluate_clip(model(), clip, "offline", rounds=2)
    assert [value.j for value in found.rounds] == pytest.approx([0.5, 1])


def test_online_the_first_bad_frame_is_corrected_and_what_was_seen_stays(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, Thing(4, [50, 60, 60, 70, 50])))
    (found,) = evaluate_clip(model(), clip, "online", rounds=3)
    assert found.prompted == (0, 1, 3)
    assert [value.j for value in found.rounds] == pytest.approx([2 / 5, 4 / 5, 1])


def test_interaction_starts_where_an_object_appears(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, Thing(0, [50] * 4), Thing(10, [0, 0, 80, 80])))
    first, second = evaluate_clip(model(), clip, "offline", rounds=1)
    assert (first.frames, first.prompted) == (4, (0,))
    assert (second.frames, second.prompted, second.rounds[0]) == (2, (2,), (1, 1))


def test_every_frame_of_every_round_is_ticked(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, Thing(0, [50] * 5)))
    ticks: list[int] = []
    evaluate_clip(model(), clip, "offline", rounds=2, on_frame=lambda: ticks.append(1))
    assert len(ticks) == 10


def test_the_frame_that_stayed_worst_is_shown_with_its_mask(tmp_path: Path) -> None:
    clips = clips_of(tmp_path, Thing(4, [50, 60, 60, 70, 50]))
    results = evaluate_clip(model(), one(clips), "online", rounds=2)
    frame, code = results[0].worst or (0, {})
    assert (frame, rle.compute_area(code)) == (3, 0)  # the third colour was never clicked
    (picture,) = draw_worst_rounds(results, clips)
    assert picture.caption == "clip, object 1, frame 00003: J 0.0"
    assert build_interactive_report("I", {}, results, "online").numbers["objects"][0]["worst"] == 3


def test_a_user_watches_every_round_offline_and_once_online() -> None:
    result = ObjectRounds("a", 1, 300, (JAndF(1, 1),) * 2, (0, 4))
    assert result.estimate_user_seconds("offline") == (35.5, 71.0)  # 30 s to watch, 1 s to find, 3 clicks of 1.5 s
    assert result.estimate_user_seconds("online") == (35.5, 41.0)


def test_the_area_under_a_curve_is_its_mean_height() -> None:
    assert compute_area_under_curve([0.4, 0.8]) == pytest.approx(0.6)
    assert compute_area_under_curve([0.0, 0.8, 0.8]) == pytest.approx(0.6)
    assert compute_area_under_curve([0.7]) == 0.7


def test_the_value_at_a_time_lies_on_the_line_between_rounds() -> None:
    assert interpolate_at([0.5, 0.9], [40.0, 80.0]) == pytest.approx(0.7)
    assert interpolate_at([0.5, 0.9], [10.0, 20.0]) == 0.9


def scores() -> list[ObjectScores]:
    def score(clip: str, key: int, value: float, category: str) -> ObjectScores:
        return ObjectScores(clip, key, (1, 2), np.full(2, value), np.full(2, value / 2), category)

    return [score("a", 1, 0.8, "cat"), score("a", 2, 0.6, "yak"), score("b", 1, 0.4, "yak")]


def test_the_report_lays_the_published_row_beside_the_benchmarks_number() -> None:
    row = find_published_scores("davis-2017", "val", "sam2-tiny", "mask")
    report = build_vos_report("DAVIS", {}, scores(), BENCHMARKS["davis-2017"], published=row)
    text = render_markdown(report)
    assert "| this run | 45.0 | 60.0 | 30.0 |" in text
    assert "| published | 89.2 | 85.7 | 92.7 |" in text
    assert "It is of 30 clips, this run of 2: they cannot be compared." in text
    assert report.numbers["clips"]["a"]["j"] == pytest.approx(0.7)
    assert report.numbers["headline"] == pytest.approx(0.45)


def test_youtube_vos_is_ranked_by_g() -> None:
    report = build_vos_report("YT", {}, scores(), BENCHMARKS["youtube-vos-2019"], frozenset({"yak"}))
    assert report.tables[0].header == ["", "G", "J seen", "F seen", "J unseen", "F unseen"]
    assert report.tables[0].rows == [["this run", "48.8", "80.0", "40.0", "50.0", "25.0"]]


def test_lvos_parts_seen_from_unseen_by_clip() -> None:
    report = build_vos_report("LV", {}, scores(), BENCHMARKS["lvos-v2"], frozenset({"b"}))
    assert report.tables[0].rows == [["this run", "41.2", "70.0", "35.0", "40.0", "20.0"]]


def test_rows_are_published_only_for_masks_and_released_models() -> None:
    assert find_published_scores("sa-v", "test", "sam2.1-large", "mask").percentages == {"J&F": 79.5}  # type: ignore[union-attr]
    assert find_published_scores("youtube-vos-2019", "valid_all_frames", "sam2-large", "mask").percentages["G"] == 88.6  # type: ignore[union-attr]
    for odd in (
        ("sa-v", "test", "sam2-large", "box"),
        ("clips", "x", "sam2-large", "mask"),
        ("sa-v", "test", "nano", "mask"),
    ):
        assert find_published_scores(*odd) is None


def test_the_interactive_report_has_a_curve_and_its_area() -> None:
    rounds = [ObjectRounds("a", 1, 300, (JAndF(0.4, 0.2), JAndF(0.8, 0.6)), (0, 3))]
    report = build_interactive_report("I", {}, rounds, "offline")
    assert report.numbers["auc"]["J&F"] == pytest.approx(0.5)
    assert report.tables[0].rows[0] == ["J&F", "30.0", "70.0", "50.0", "57.6"]  # 60 s is 0.69 of the way
    assert report.tables[0].rows[3] == ["seconds", "36", "71", "", ""]
