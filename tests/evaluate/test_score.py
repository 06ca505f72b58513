"""Scores of PNG predictions by the rules of each benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.datasets.annotation import annotation_from_label_map
from masklet.datasets.dataset import AnnotatedClip, ClipObject, Clips, Dataset
from masklet.errors import FormatError, InputNotFound, SettingsError
from masklet.evaluate.aggregation import (
    ObjectScores,
    average_scores,
    average_seen_and_unseen,
    compute_decay,
    group_by_clip,
)
from masklet.evaluate.benchmarks import BENCHMARKS, Presence, find_benchmark
from masklet.evaluate.predictions import PredictionFolder, write_frame
from masklet.evaluate.score import score_clip, score_clips
from masklet.masks.masks import Masks

Flags = NDArray[np.bool_]


def flags(text: str) -> Flags:
    return np.array([letter == "1" for letter in text])


@pytest.mark.parametrize(
    ("benchmark", "ground_truth", "prediction", "expected", "scored"),
    [
        ("davis-2017", "111111", "111111", "111111", "011110"),
        ("davis-2017", "100000", "000000", "111111", "011110"),
        ("clips", "001100", "000000", "111111", "011110"),
        ("sa-v", "000110", "000000", "111111", "000110"),
        ("sa-v", "000110", "001000", "111111", "001110"),
        ("sa-v", "100100", "100000", "111111", "000110"),  # the first frame does not count as an appearance
        ("sa-v", "100001", "111111", "111111", "000000"),  # never in the ground truth on inner frames: left out
        ("mose", "000110", "000000", "111111", "000110"),
        ("lvos-v1", "011100", "111111", "011110", "001100"),
        ("lvos-v2", "011100", "111111", "001000", "000000"),
        ("youtube-vos-2019", "001111", "111111", "001111", "000111"),
        ("youtube-vos-2018", "001111", "111111", "001000", "000000"),
    ],
)
def test_scored_frames(benchmark: str, ground_truth: str, prediction: str, expected: str, scored: str) -> None:
    presence = Presence(flags(ground_truth), flags(prediction), flags(expected))
    assert find_benchmark(benchmark).select_frames(presence).tolist() == flags(scored).tolist()


def test_an_unknown_benchmark_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"'davis'; choose one of davis-2016, davis-2017"):
        find_benchmark("davis")


def scores(clip: str, object_id: int, j: Sequence[float], f: Sequence[float], category: str = "") -> ObjectScores:
    return ObjectScores(clip, object_id, tuple(range(len(j))), np.array(j), np.array(f), category)


def test_means_are_over_all_objects_and_not_clip_by_clip() -> None:
    found = average_scores([scores("a", 1, [1.0], [1.0]), scores("a", 2, [1.0], [0.5]), scores("b", 1, [0.4], [0.0])])
    assert (found.j, found.f, found.j_and_f) == pytest.approx((0.8, 0.5, 0.65))


def test_recall_is_the_share_of_frames_above_one_half() -> None:
    found = average_scores([scores("a", 1, [0.5, 0.6, 0.7, 0.1], [1, 1, 1, 1])])
    assert (found.j_recall, found.f_recall) == (0.5, 1.0)


def test_decay_is_the_first_quarter_less_the_last() -> None:
    # 9 frames: quarters meet at frames 0, 2, 4, 6, 8, and share those frames.
    assert compute_decay(np.array([0.9, 0.9, 0.9, 0, 0, 0, 0.3, 0.3, 0.3])) == pytest.approx(0.6)


def test_decay_of_a_long_clip_uses_its_last_quarter() -> None:
    assert compute_decay(np.linspace(1, 0, 1000)) == pytest.approx(0.75, abs=0.01)


def test_g_is_the_mean_of_j_and_f_of_seen_and_unseen() -> None:
    groups = {
        "seen": average_scores([scores("a", 1, [0.9], [0.8])]),
        "unseen": average_scores([scores("b", 1, [0.4], [0.3])]),
    }
    assert average_seen_and_unseen(groups) == pytest.approx(0.6)
    assert average_seen_and_unseen({"seen": groups["seen"]}) == pytest.approx(0.85)


def test_objects_are_grouped_by_clip() -> None:
    found = group_by_clip([scores("a", 1, [1], [1]), scores("b", 1, [1], [1]), scores("a", 2, [1], [1])])
    assert {clip: [one.object_id for one in objects] for clip, objects in found.items()} == {"a": [1, 2], "b": [1]}


def block(*columns: int) -> NDArray[np.uint8]:
    """A label map 8 × 12 with object k + 1 in four columns from columns[k] on."""
    labels = np.zeros((8, 12), np.uint8)
    for key, column in enumerate(columns, start=1):
        labels[:, column : column + 4] = key
    return labels


def clip(
    maps: Sequence[NDArray[np.uint8]], name: str = "clip", objects: Mapping[int, ClipObject] | None = None
) -> AnnotatedClip:
    names = tuple(f"{frame:05d}" for frame in range(len(maps)))
    readers = {frame: _Reader(labels) for frame, labels in enumerate(maps)}
    return AnnotatedClip(name, Path("nowhere"), names, readers, objects or {})


class _Reader:
    """Reader of one label map; a class, so that it can be pickled for another process."""

    def __init__(self, labels: NDArray[np.uint8]) -> None:
        self.labels = labels

    def __call__(self):  # type: ignore[no-untyped-def]
        return annotation_from_label_map(self.labels)


class _Clips:
    def __init__(self, maps: Mapping[str, Sequence[NDArray[np.uint8]]]) -> None:
        self.maps = maps

    def __call__(self, name: str) -> AnnotatedClip:
        return clip(self.maps[name], name)


def dataset(maps: Mapping[str, Sequence[NDArray[np.uint8]]]) -> Clips:
    return Dataset("clips", "test", Path("nowhere"), "", tuple(maps), _Clips(maps))


def write_predictions(
    root: Path, maps: Sequence[NDArray[np.uint8]], name: str = "clip", files: str = "labels"
) -> PredictionFolder:
    predictions = PredictionFolder(root)
    with predictions.write_clip(name) as folder:
        for frame, labels in enumerate(maps):
            keys = [key for key in (1, 2) if (labels == key).any()] or [1]
            masks = Masks.from_binary(np.stack([labels == key for key in keys]), object_ids=keys)
            write_frame(folder, f"{frame:05d}", masks, files)  # type: ignore[arg-type]
    return predictions


RULES = BENCHMARKS["davis-2017"]


def test_a_perfect_prediction_scores_one(tmp_path: Path) -> None:
    maps = [block(0, 6)] * 5
    found = score_clip(write_predictions(tmp_path, maps), clip(maps), RULES)
    assert [(one.object_id, one.frames, one.j.tolist(), one.f.tolist()) for one in found] == [
        (1, (1, 2, 3), [1, 1, 1], [1, 1, 1]),
        (2, (1, 2, 3), [1, 1, 1], [1, 1, 1]),
    ]


def test_a_shifted_object_has_the_j_of_its_overlap(tmp_path: Path) -> None:
    (found,) = score_clip(write_predictions(tmp_path, [block(2)] * 3), clip([block(0)] * 3), RULES)
    assert found.j.tolist() == [pytest.approx(2 / 6)]


def test_an_object_without_prediction_scores_zero(tmp_path: Path) -> None:
    _, second = score_clip(write_predictions(tmp_path, [block(0)] * 3), clip([block(0, 6)] * 3), RULES)
    assert (second.object_id, second.j.tolist(), second.f.tolist()) == (2, [0], [0])


def test_masks_in_folders_per_object_may_overlap(tmp_path: Path) -> None:
    predictions = PredictionFolder(tmp_path)
    with predictions.write_clip("clip") as folder:
        for frame in ("00000", "00001", "00002"):
            both = np.stack([block(0) == 1, block(2) == 1])
            write_frame(folder, frame, Masks.from_binary(both, object_ids=[1, 2]), "masks")
    assert (tmp_path / "clip" / "002" / "00001.png").is_file()
    read = predictions.open_clip("clip").read_frame("00001", (8, 12))
    assert (read.mask(1) == both[0]).all()
    assert (read.mask(2) == both[1]).all()


def test_a_missing_folder_of_an_object_is_named(tmp_path: Path) -> None:
    predictions = PredictionFolder(tmp_path)
    with predictions.write_clip("clip") as folder:
        for frame in ("00000", "00001", "00002"):
            write_frame(folder, frame, Masks.from_binary(block(0) == 1, object_ids=[1]), "masks")
    with pytest.raises(FormatError, match=r"clip has no folder of object 2, only of \[1\]"):
        score_clip(predictions, clip([block(0, 6)] * 3), BENCHMARKS["sa-v"])


def test_objects_only_in_the_prediction_are_refused_by_davis_and_ignored_by_others(tmp_path: Path) -> None:
    predictions, true = write_predictions(tmp_path, [block(0, 6)] * 3), clip([block(0)] * 3)
    with pytest.raises(FormatError, match=r"clip has object 2, but the ground truth only \[1\]"):
        score_clip(predictions, true, RULES)
    assert [one.object_id for one in score_clip(predictions, true, BENCHMARKS["mose"])] == [1]


def test_a_missing_frame_is_named(tmp_path: Path) -> None:
    predictions = write_predictions(tmp_path, [block(0)] * 2)
    with pytest.raises(FormatError, match=r"clip/00002\.png is missing"):
        score_clip(predictions, clip([block(0)] * 3), RULES)


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="/clip is missing"):
        score_clip(PredictionFolder(tmp_path), clip([block(0)] * 3), RULES)


def test_a_prediction_of_another_size_is_refused(tmp_path: Path) -> None:
    predictions = write_predictions(tmp_path, [block(0)[:, :-1]] * 3)
    with pytest.raises(FormatError, match=r"frame 00000 has size \(8, 11\), the ground truth \(8, 12\)"):
        score_clip(predictions, clip([block(0)] * 3), RULES)


def test_a_clip_with_too_few_annotated_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="clip has 1 annotated frames"):
        score_clip(write_predictions(tmp_path, [block(0)]), clip([block(0)]), RULES)


def test_a_black_and_white_prediction_is_object_one(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "clip").mkdir()
    for frame in range(3):
        Image.fromarray(block(0) * np.uint8(255)).save(tmp_path / "clip" / f"{frame:05d}.png")
    (found,) = score_clip(PredictionFolder(tmp_path), clip([block(0)] * 3), RULES)
    assert found.j.tolist() == [1.0]


def test_lvos_scores_an_object_within_its_listed_frames(tmp_path: Path) -> None:
    maps = [block(0)] * 6
    true = clip(maps, objects={1: ClipObject("cat", frozenset({1, 2, 3, 4}))})
    (found,) = score_clip(write_predictions(tmp_path, maps), true, BENCHMARKS["lvos-v2"])
    assert (found.frames, found.category) == ((2, 3), "cat")


def test_several_processes_give_the_same_scores_in_the_same_order(tmp_path: Path) -> None:
    ground_truth = {"b": [block(0)] * 4, "a": [block(0, 6)] * 4}
    write_predictions(tmp_path, [block(1)] * 4, "b")
    predictions = write_predictions(tmp_path, [block(0, 7)] * 4, "a")
    one, two = (list(score_clips(predictions, dataset(ground_truth), RULES, workers=workers)) for workers in (1, 2))
    assert [[(s.clip, s.object_id, s.j.tolist(), s.f.tolist()) for s in clip] for clip in one] == [
        [(s.clip, s.object_id, s.j.tolist(), s.f.tolist()) for s in clip] for clip in two
    ]
    assert [clip[0].clip for clip in one] == ["b", "a"]


def test_an_error_in_another_process_keeps_its_type_and_code(tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="/a is missing") as caught:
        list(score_clips(PredictionFolder(tmp_path), dataset({"a": [block(0)] * 3}), RULES, workers=2))
    assert caught.value.code == "input-not-found"


def test_interrupted_predictions_do_not_count_as_finished(tmp_path: Path) -> None:
    predictions = PredictionFolder(tmp_path)
    with pytest.raises(KeyboardInterrupt), predictions.write_clip("clip") as folder:
        (folder / "00000.png").write_bytes(b"half")
        raise KeyboardInterrupt
    assert not predictions.has_clip("clip")
    with predictions.write_clip("clip") as folder:
        assert not list(folder.iterdir())
    assert predictions.has_clip("clip")
