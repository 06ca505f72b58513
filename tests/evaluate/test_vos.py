"""The VOS and interactive protocols, with a model that segments by color and can be computed by hand."""

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
from masklet.errors import FormatError, ResourceError, SettingsError, StateError
from masklet.evaluate.aggregation import ObjectScores
from masklet.evaluate.benchmarks import BENCHMARKS
from masklet.evaluate.failure_cases import draw_worst_rounds
from masklet.evaluate.interactive import ObjectRounds, compute_area_under_curve, evaluate_clip
from masklet.evaluate.interactive_report import build_interactive_report, interpolate_at
from masklet.evaluate.j_and_f import JAndF
from masklet.evaluate.prediction_run import find_predictions, predict_clips
from masklet.evaluate.predictions import PredictionFolder
from masklet.evaluate.published_results import find_published_scores
from masklet.evaluate.report import render_markdown
from masklet.evaluate.score import has_public_ground_truth, score_clip
from masklet.evaluate.static_masks import StaticMasks
from masklet.evaluate.vos import FirstPrompt, track_clip
from masklet.evaluate.vos_report import build_vos_report
from masklet.files.lock import Lock
from masklet.masks import rle
from masklet.memory.recent_memory import RecentMemory
from masklet.memory.sam2long import Sam2LongMemory
from masklet.memory.samurai import SamuraiMemory
from masklet.segmenter import Segmenter
from masklet.views.zoom_view import ZoomView
from support.color_backend import ColorBackend
from support.gray_world import GrayWorld

SIZE = (16, 24)
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class MovingObject:
    """An object in six columns from `left` on, with its color on every frame, which is 0 if it is absent."""

    left: int
    colors: Sequence[int]


def clips_of(root: Path, *objects: MovingObject, name: str = "clip", masks: Sequence[int] | None = None) -> Clips:
    """A clip with objects in their colors on 0, and label maps for all frames or those in `masks`."""
    for frame in range(len(objects[0].colors)):
        image, labels = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
        for key, item in enumerate(objects, start=1):
            if item.colors[frame]:
                image[3:13, item.left : item.left + 6] = item.colors[frame]
                labels[3:13, item.left : item.left + 6] = key
        _save(root / name / "JPEGImages" / f"{frame:05d}.png", image)
        if masks is None or frame in masks:
            _save(root / name / "Annotations" / f"{frame:05d}.png", labels)
    return open_clip_folders(root)


def _save(path: Path, values: Labels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def model() -> Segmenter:
    return Segmenter(ColorBackend())


def one(clips: Clips) -> AnnotatedClip:
    return clips[clips.names[0]]


MASK = FirstPrompt.parse("mask")


def test_first_prompts_are_parsed() -> None:
    assert FirstPrompt.parse("3-click") == FirstPrompt("3-click", 3)
    assert FirstPrompt.parse("1-clicks").name == "1-click"
    for text in ("0-click", "boxes", ""):
        with pytest.raises(SettingsError, match="the prompt must be mask, box, 1-click"):
            FirstPrompt.parse(text)


def test_an_object_is_prompted_on_the_first_frame_that_has_it(tmp_path: Path) -> None:
    clips = clips_of(tmp_path, MovingObject(0, [50, 50, 50]), MovingObject(10, [0, 80, 80]))
    starts = one(clips).first_masks()
    assert {frame: list(masks) for frame, masks in starts.items()} == {0: [1], 1: [2]}


@pytest.mark.parametrize("prompt", ["mask", "box", "1-click", "3-click"])
def test_objects_are_tracked_from_their_first_frame(tmp_path: Path, prompt: str) -> None:
    clip = one(clips_of(tmp_path, MovingObject(0, [50, 50, 0, 50]), MovingObject(10, [0, 80, 80, 80])))
    for frame, masks in track_clip(model(), clip, FirstPrompt.parse(prompt)):
        ground_truth = clip.annotation(frame)
        assert masks.object_ids in ((1, 2), (2, 1))
        for key in (1, 2):
            assert (masks.of(key).binary[0] == ground_truth.mask(key)).all(), (frame, key)


def test_masks_are_empty_on_frames_before_the_first_object(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, MovingObject(0, [0, 0, 50])))
    areas = [masks.areas.tolist() for _, masks in track_clip(model(), clip, MASK)]
    assert areas == [[0], [0], [60]]


def test_a_clip_without_objects_is_refused(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, MovingObject(0, [0, 0, 0])))
    with pytest.raises(FormatError, match="clip: all of its masks are empty"):
        list(track_clip(model(), clip, MASK))


def test_predictions_are_written_for_every_frame_and_scored(tmp_path: Path) -> None:
    # The object changes its color on frame 3: tracked on frames 0, 1, 2, lost on 3 and 4.
    clips = clips_of(tmp_path / "data", MovingObject(0, [50, 50, 50, 60, 60]))
    assert list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels")) == [1, 2, 3, 4, 5]
    (score,) = score_clip(PredictionFolder(tmp_path / "out/predictions"), one(clips), BENCHMARKS["clips"])
    assert score.j.tolist() == [1, 1, 0]  # frames 1, 2, 3


def test_predictions_per_object_have_a_folder_each(tmp_path: Path) -> None:
    clips = clips_of(
        tmp_path / "data", MovingObject(0, [50, 50, 50]), MovingObject(10, [50, 50, 50])
    )  # of one color: they overlap
    list(predict_clips(model(), clips, MASK, tmp_path / "out", "masks"))
    found = PredictionFolder(tmp_path / "out/predictions").open_clip("clip").read_frame("00001", SIZE)
    assert [int(found.mask(key).sum()) for key in (1, 2)] == [120, 120]
    list(predict_clips(model(), clips, MASK, tmp_path / "maps", "labels"))
    found = PredictionFolder(tmp_path / "maps/predictions").open_clip("clip").read_frame("00001", SIZE)
    assert [int(found.mask(key).sum()) for key in (1, 2)] == [120, 0]


def test_an_interrupted_run_resumes_at_the_first_unfinished_clip(tmp_path: Path) -> None:
    clips_of(tmp_path / "data", MovingObject(0, [50] * 4), name="a")
    clips = clips_of(tmp_path / "data", MovingObject(0, [50] * 4), name="b")
    frames = predict_clips(model(), clips, MASK, tmp_path / "out", "labels")
    for _ in range(6):  # half of the second clip
        next(frames)
    frames.close()
    assert PredictionFolder(tmp_path / "out/predictions").has_clip("a")
    assert not PredictionFolder(tmp_path / "out/predictions").has_clip("b")
    backend = ColorBackend()
    assert list(predict_clips(Segmenter(backend), clips, MASK, tmp_path / "out", "labels")) == [1, 2, 3, 4]
    assert backend.encoded == 4
    assert sorted(path.name for path in (tmp_path / "out/predictions").iterdir()) == ["a", "b"]


def test_a_run_does_not_mix_predictions_for_different_prompts(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "data", MovingObject(0, [50] * 3))
    list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels"))
    with pytest.raises(StateError, match="holds predictions for prompt 'mask', not 'box'") as caught:
        list(predict_clips(model(), clips, FirstPrompt.parse("box"), tmp_path / "out", "labels"))
    assert caught.value.code == "resume-mismatch"


def test_a_record_without_a_zoom_is_of_a_run_without_zoom(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "data", MovingObject(0, [50] * 3))
    list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels"))
    run = tmp_path / "out" / "run.json"
    recorded = json.loads(run.read_text())
    assert recorded.pop("zoom") == "0"
    run.write_text(json.dumps(recorded))
    assert list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels")) == []
    with pytest.raises(StateError, match="holds predictions for zoom '0', not '2'"):
        list(predict_clips(Segmenter(ColorBackend(), ZoomView(2)), clips, MASK, tmp_path / "out", "labels"))


def test_a_run_does_not_mix_predictions_with_different_memories(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "data", MovingObject(0, [50] * 3))
    list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels"))
    other = Segmenter(ColorBackend(), memory=SamuraiMemory())
    with pytest.raises(StateError, match="memory"):
        list(predict_clips(other, clips, MASK, tmp_path / "out", "labels"))


def test_several_hypotheses_end_with_the_best_one(tmp_path: Path) -> None:
    clip = clips_of(tmp_path / "data", MovingObject(0, [50] * 4))["clip"]
    plain, settled = (
        [masks.binary for _, masks in track_clip(Segmenter(GrayWorld(), memory=policy), clip, MASK)]
        for policy in (RecentMemory(), Sam2LongMemory())
    )
    assert len(plain) == 4
    assert all(np.array_equal(a, b) for a, b in zip(plain, settled, strict=True))  # the three candidates are equal


def test_a_restart_removes_nothing_while_another_run_holds_the_lock(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "data", MovingObject(0, [50] * 3))
    list(predict_clips(model(), clips, MASK, tmp_path / "out", "labels"))
    box = FirstPrompt.parse("box")
    lock = Lock(tmp_path / "out" / "lock")
    with pytest.raises(StateError) as caught:
        list(predict_clips(model(), clips, box, tmp_path / "out", "labels", restart=True))
    assert caught.value.code == "job-locked"
    assert PredictionFolder(tmp_path / "out/predictions").has_clip("clip")
    lock.release()
    assert len(list(predict_clips(model(), clips, box, tmp_path / "out", "labels", restart=True))) == 3


def test_a_run_of_the_first_version_is_resumed_in_its_folder(tmp_path: Path) -> None:
    clips_of(tmp_path / "data", MovingObject(0, [50] * 3), name="a")
    clips = clips_of(tmp_path / "data", MovingObject(0, [50] * 3), name="b")
    out = tmp_path / "out"
    list(predict_clips(model(), clips.select(["a"]), MASK, out, "labels"))
    (out / "predictions").rename(out / "answers")
    assert find_predictions(out).has_clip("a")
    assert len(list(predict_clips(model(), clips, MASK, out, "labels"))) == 3
    assert sorted(path.name for path in (out / "answers").iterdir()) == ["a", "b"]
    assert not (out / "predictions").exists()


def test_a_restart_of_a_run_of_the_first_version_renames_its_folder(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "data", MovingObject(0, [50] * 3))
    out = tmp_path / "out"
    list(predict_clips(model(), clips, MASK, out, "labels"))
    (out / "predictions").rename(out / "answers")
    assert len(list(predict_clips(model(), clips, MASK, out, "labels", restart=True))) == 3
    assert not (out / "answers").exists()
    assert find_predictions(out).root == out / "predictions"


def test_predictions_that_no_run_has_written_are_refused(tmp_path: Path) -> None:
    clips = clips_of(tmp_path / "data", MovingObject(0, [50] * 3))
    for name in ("predictions", "answers"):
        out = tmp_path / name
        (out / name / "clip").mkdir(parents=True)
        with pytest.raises(ResourceError, match="has no record of a run") as caught:
            list(predict_clips(model(), clips, MASK, out, "labels", restart=True))
        assert caught.value.code == "output-exists"
        assert (out / name / "clip").is_dir()


def test_static_masks_score_one_until_the_object_changes(tmp_path: Path) -> None:
    clips = clips_of(tmp_path, MovingObject(2, [50, 50, 50, 50]), MovingObject(12, [0, 90, 90, 0]))
    moved = clips_of(tmp_path / "moved", MovingObject(2, [50, 50, 0, 50]), MovingObject(12, [0, 90, 90, 90]))
    rules = BENCHMARKS["davis-2017"]
    static = score_clip(StaticMasks(clips), one(clips), rules)
    assert [score.j.tolist() for score in static] == [[1.0, 1.0], [1.0, 1.0]]
    changed = score_clip(StaticMasks(moved), one(moved), rules)
    assert [score.j.tolist() for score in changed] == [[1.0, 0.0], [1.0, 1.0]]


def test_baselines_are_rows_below_the_run() -> None:
    baselines = {"the first mask, unmoved": scores()[:1]}
    table = build_vos_report("DAVIS", {}, scores(), BENCHMARKS["davis-2017"], baselines=baselines).tables[0]
    assert table.rows[1] == ["the first mask, unmoved", "60.0", "80.0", "40.0"]
    grouped = build_vos_report(
        "YT", {}, scores(), BENCHMARKS["youtube-vos-2019"], frozenset({"yak"}), baselines={"x": scores()}
    )
    assert grouped.tables[0].rows[1][1:] == grouped.tables[0].rows[0][1:]


def test_the_first_masks_alone_are_no_public_ground_truth(tmp_path: Path) -> None:
    assert has_public_ground_truth(clips_of(tmp_path / "all", MovingObject(0, [50] * 4)))
    assert not has_public_ground_truth(clips_of(tmp_path / "first", MovingObject(0, [50] * 4), masks=[0]))
    later = [
        MovingObject(6 * k, [0] * k + [50] * (4 - k)) for k in range(3)
    ]  # three objects, each appears on a frame of its own
    assert not has_public_ground_truth(clips_of(tmp_path / "later", *later, masks=[0, 1, 2]))
    assert has_public_ground_truth(clips_of(tmp_path / "sparse", MovingObject(0, [50] * 9), masks=[0, 4, 8]))


def test_offline_the_worst_frame_is_corrected_and_the_clip_tracked_again(tmp_path: Path) -> None:
    # Three colors: the first frame has the first, and each correction on a lost frame adds one.
    clip = one(clips_of(tmp_path, MovingObject(4, [50, 50, 60, 60, 70, 70])))
    (found,) = evaluate_clip(model(), clip, "offline", rounds=4)
    assert found.prompted == (0, 2, 4, 0)  # the first of equally bad frames; frame 0 again when there is no error
    assert [value.j for value in found.rounds] == pytest.approx([2 / 6, 4 / 6, 1, 1])


def test_offline_a_correction_improves_earlier_frames_too(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, MovingObject(4, [50, 60, 50, 60])))
    (found,) = evaluate_clip(model(), clip, "offline", rounds=2)
    assert [value.j for value in found.rounds] == pytest.approx([0.5, 1])


def test_online_the_first_bad_frame_is_corrected_and_earlier_frames_stay(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, MovingObject(4, [50, 60, 60, 70, 50])))
    (found,) = evaluate_clip(model(), clip, "online", rounds=3)
    assert found.prompted == (0, 1, 3)
    assert [value.j for value in found.rounds] == pytest.approx([2 / 5, 4 / 5, 1])


def test_interaction_starts_where_an_object_appears(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, MovingObject(0, [50] * 4), MovingObject(10, [0, 0, 80, 80])))
    first, second = evaluate_clip(model(), clip, "offline", rounds=1)
    assert (first.frames, first.prompted) == (4, (0,))
    assert (second.frames, second.prompted, second.rounds[0]) == (2, (2,), (1, 1))


def test_on_frame_is_called_for_every_frame_of_every_round(tmp_path: Path) -> None:
    clip = one(clips_of(tmp_path, MovingObject(0, [50] * 5)))
    ticks: list[int] = []
    evaluate_clip(model(), clip, "offline", rounds=2, on_frame=lambda: ticks.append(1))
    assert len(ticks) == 10


def test_the_worst_frame_of_the_last_round_is_drawn_with_its_mask(tmp_path: Path) -> None:
    clips = clips_of(tmp_path, MovingObject(4, [50, 60, 60, 70, 50]))
    results = evaluate_clip(model(), one(clips), "online", rounds=2)
    frame, code = results[0].worst or (0, {})
    assert (frame, rle.compute_area(code)) == (3, 0)  # the third color was never clicked
    (image,) = draw_worst_rounds(results, clips)
    assert image.caption == "clip, object 1, frame 00003: J 0.0"
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


def test_the_report_compares_the_main_score_with_the_published_one() -> None:
    row = find_published_scores("davis-2017", "val", "sam2-tiny", "mask")
    report = build_vos_report("DAVIS", {}, scores(), BENCHMARKS["davis-2017"], published=row)
    text = render_markdown(report)
    assert "| this run | 45.0 | 60.0 | 30.0 |" in text
    assert "| published | 89.2 | 85.7 | 92.7 |" in text
    assert "Not comparable: published for 30 clips, this run has 2." in text
    assert report.numbers["clips"]["a"]["j"] == pytest.approx(0.7)
    assert report.numbers["headline"] == pytest.approx(0.45)


def test_youtube_vos_is_ranked_by_g() -> None:
    report = build_vos_report("YT", {}, scores(), BENCHMARKS["youtube-vos-2019"], frozenset({"yak"}))
    assert report.tables[0].header == ["", "G", "J seen", "F seen", "J unseen", "F unseen"]
    assert report.tables[0].rows == [["this run", "48.8", "80.0", "40.0", "50.0", "25.0"]]


def test_lvos_distinguishes_seen_and_unseen_by_clip() -> None:
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
