"""Readers of clips give back what was written, lazily, and name the file that is wrong."""

from __future__ import annotations

import json
import pickle
import shutil
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from masklet.datasets.annotation import annotation_from_label_map
from masklet.datasets.davis import open_davis
from masklet.datasets.folders import open_clip_folders, open_label_tree
from masklet.datasets.layouts import open_clips, open_ground_truth, open_images
from masklet.datasets.lvos import open_lvos
from masklet.datasets.mose import open_mose
from masklet.datasets.sav import Masklets, open_sav, open_sav_train, read_masklets
from masklet.datasets.youtube_vos import open_youtube_vos
from masklet.errors import FormatError, InputNotFound, PromptError, SettingsError
from masklet.masks import rle
from masklet.synthetic.engine.dataset_writers import write_davis, write_davis_split, write_sav
from masklet.synthetic.engine.samples import Clip
from support import dataset_layouts
from support.dataset_layouts import SIZE, make_labels


def test_davis_2017_has_every_frame_and_several_objects(tmp_path: Path) -> None:
    data = open_davis(dataset_layouts.write_davis(tmp_path))
    assert (data.kind, data.split, data.names) == ("davis-2017", "val", ("bear",))
    clip = data["bear"]
    assert clip.frame_names == ("00000", "00001", "00002", "00003")
    assert clip.annotated_frames == (0, 1, 2, 3)
    annotation = clip.annotation(2)
    assert (annotation.size, annotation.object_ids) == (SIZE, (1, 2))
    assert (annotation.mask(2) == (make_labels(0, 6) == 2)).all()
    assert not annotation.mask(3).any()


def test_davis_2016_joins_all_objects_and_reads_its_own_lists(tmp_path: Path) -> None:
    clip = open_davis(dataset_layouts.write_davis(tmp_path), year=2016)["bear"]
    annotation = clip.annotation(0)
    assert annotation.object_ids == (1,)
    assert (annotation.mask(1) == (make_labels(0, 6) > 0)).all()


def test_a_listed_clip_that_is_missing_is_named(tmp_path: Path) -> None:
    root = dataset_layouts.write_davis(tmp_path)
    shutil.rmtree(root / "Annotations/480p/bear")
    with pytest.raises(FormatError, match="Annotations/480p/bear is missing"):
        open_davis(root)


def test_a_mask_without_its_frame_is_named(tmp_path: Path) -> None:
    root = dataset_layouts.write_davis(tmp_path)
    (root / "JPEGImages/480p/bear/00002.jpg").unlink()
    with pytest.raises(FormatError, match=r"JPEGImages/480p/bear: frame 00002 is missing"):
        open_davis(root)["bear"]


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    dataset_layouts.write_frames(tmp_path / "clip/frames", ["f10", "f9", "f100"], ".png")
    dataset_layouts.write_label_maps(tmp_path / "clip/masks", {"f9": make_labels(0)})
    clip = open_clip_folders(tmp_path)["clip"]
    assert clip.frame_names == ("f9", "f10", "f100")
    assert clip.annotated_frames == (0,)


@pytest.mark.parametrize("suffix", [".jpg", ".jfif"])
def test_frames_are_scored_in_the_order_in_which_they_are_played(tmp_path: Path, suffix: str) -> None:
    root = dataset_layouts.write_davis(tmp_path)
    shutil.rmtree(root / "JPEGImages/480p/bear")
    shutil.rmtree(root / "Annotations/480p/bear")
    shades = {"B1": 40, "a2": 50, "a10": 60, "C": 70}  # as layouts.frames paints them
    dataset_layouts.write_frames(root / "JPEGImages/480p/bear", shades, suffix)
    dataset_layouts.write_label_maps(root / "Annotations/480p/bear", {"a2": make_labels(0), "B1": make_labels(6)})
    clip = open_davis(root)["bear"]
    assert clip.frame_names == ("a2", "a10", "B1", "C")
    with closing(clip.video()) as video:
        played = [int(video[frame].mean().round()) for frame in range(len(video))]
    assert played == [shades[name] for name in clip.frame_names]
    assert (clip.annotation(0).mask(1) == (make_labels(0) == 1)).all()
    assert (clip.annotation(2).mask(1) == (make_labels(6) == 1)).all()


def test_mose_valid_has_the_first_masks(tmp_path: Path) -> None:
    data = open_mose(dataset_layouts.write_mose(tmp_path))
    assert [(clip.name, len(clip), clip.annotated_frames) for clip in data] == [("0a", 3, (0,)), ("1b", 3, (0,))]


def test_mose_takes_a_list_of_clips(tmp_path: Path) -> None:
    dataset_layouts.write_lines(tmp_path / "list.txt", "1b")
    assert open_mose(dataset_layouts.write_mose(tmp_path), listing=tmp_path / "list.txt").names == ("1b",)


def test_youtube_vos_knows_where_objects_are_expected_and_which_are_unseen(tmp_path: Path) -> None:
    data = open_youtube_vos(dataset_layouts.write_youtube_vos(tmp_path))
    assert (data.kind, data.unseen) == ("youtube-vos-2019", frozenset({"yak"}))
    clip = data["clip"]
    assert clip.objects[2].category == "yak"
    assert (clip.objects[1].frames, clip.objects[2].frames) == ({0, 1, 2}, {1, 2})
    assert clip.required_frames == (0, 1, 2)


def test_youtube_vos_with_all_frames_requires_predictions_for_every_fifth(tmp_path: Path) -> None:
    clip = open_youtube_vos(dataset_layouts.write_youtube_vos(tmp_path), "valid_all_frames")["clip"]
    assert (len(clip), clip.annotated_frames, clip.required_frames) == (11, (0, 5), (0, 5, 10))
    assert clip.objects[2].frames == {5, 10}


def test_a_meta_file_without_videos_is_named(tmp_path: Path) -> None:
    root = dataset_layouts.write_youtube_vos(tmp_path)
    dataset_layouts.write_json(root / "valid/meta.json", {"clips": {}})
    with pytest.raises(FormatError, match=r"valid/meta\.json: no field 'videos'; it must be an object"):
        open_youtube_vos(root)


def test_lvos_expects_an_object_from_its_start_to_its_end(tmp_path: Path) -> None:
    root = dataset_layouts.write_lvos(tmp_path)
    dataset_layouts.write_lines(root / "unseen_videos.txt", "long")
    data = open_lvos(root)
    assert (data.kind, data.unseen) == ("lvos-v2", frozenset({"long"}))
    clip = data["long"]
    assert clip.annotated_frames == (0, 5, 10, 15)
    assert clip.objects[2].frames == frozenset(range(5, 11))
    assert clip.objects[1].frames == frozenset(range(16))


def test_lvos_without_its_meta_file_is_refused(tmp_path: Path) -> None:
    root = dataset_layouts.write_lvos(tmp_path)
    (root / "val/val_meta.json").unlink()
    with pytest.raises(InputNotFound, match="it lists the frames of each object"):
        open_lvos(root)


def test_sav_val_has_a_file_per_object_and_objects_overlap(tmp_path: Path) -> None:
    data = open_sav(dataset_layouts.write_sav_val(tmp_path))
    clip = data["sav_1"]
    assert (len(clip), clip.annotated_frames) == (9, (0, 4, 8))
    annotation = clip.annotation(4)
    assert annotation.object_ids == (0, 1)
    assert (annotation.mask(0) & annotation.mask(1)).any()


def test_sav_objects_are_named_by_number(tmp_path: Path) -> None:
    root = dataset_layouts.write_sav_val(tmp_path)
    (root / "Annotations_6fps/sav_1/000").rename(root / "Annotations_6fps/sav_1/dog")
    with pytest.raises(FormatError, match="sav_1/dog: the name of a mask folder must be the object id"):
        open_sav(root)["sav_1"]


def test_sav_train_leaves_out_frames_on_which_objects_are_not_annotated(tmp_path: Path) -> None:
    dataset_layouts.write_sav_train(tmp_path)
    clip = open_sav_train(tmp_path)["sav_000007"]
    assert clip.frame_names == ("00000", "00004", "00008")
    assert clip.annotated_frames == (0, 2)
    assert clip.annotation(2).object_ids == (5, 7)
    assert (clip.annotation(0).mask(5) == (make_labels(0) == 1)).all()
    assert not clip.annotation(0).mask(7).any()


def areas_of(masklets: Masklets, position: int) -> list[int]:
    """Return the area of one object on each frame on which it is annotated, in pixels."""
    codes = (row[position] for row in masklets.rows)
    return [rle.compute_area(code) for code in codes if code is not None]


def count_visibility_changes(areas: list[int]) -> int:
    """Count how often an object disappears or reappears after its first appearance."""
    visible = [area > 0 for area in areas]
    seen = visible[visible.index(True) :]
    return sum(before != after for before, after in pairwise(seen))


def test_masklets_have_the_areas_of_objects_that_come_and_go(tmp_path: Path) -> None:
    masklets = read_masklets(dataset_layouts.write_sav_train(tmp_path))
    assert areas_of(masklets, 0) == [21, 0, 21]
    assert count_visibility_changes(areas_of(masklets, 0)) == 2
    assert count_visibility_changes(areas_of(masklets, 1)) == 0  # first seen on the last frame


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masklet_id": [5]}, "row 0 has 2 masks for 1 objects"),
        ({"video_frame_count": 8.0}, "3 rows, every 4 frames, for 8 frames"),
        ({"masklet_id": "x"}, "'masklet_id' must be a list, got 'x'"),
        ({"fps": 0}, "'fps' must be 1 to 24, got 0"),
        ({"fps": float("inf")}, "'fps' must be a whole number, got inf"),
    ],
)
def test_a_broken_masklet_file_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = dataset_layouts.write_sav_train(tmp_path, **changes)
    with pytest.raises(FormatError, match=message) as caught:
        read_masklets(path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("kind", ["manual", "auto"])
def test_the_statistics_of_a_released_sav_file_follow_from_its_codes(shared: Path, kind: str) -> None:
    path = shared / "media" / f"sav_000001_{kind}.json"
    written, masklets = json.loads(path.read_text()), read_masklets(path)
    for position in range(len(masklets.object_ids)):
        areas = areas_of(masklets, position)
        assert count_visibility_changes(areas) == written["masklet_visibility_changes"][position]
        visible = [area for area in areas if area]
        # Written with ten decimals.
        assert sum(visible) / len(visible) == pytest.approx(written["masklet_size_abs"][position], abs=1e-9)
        first = next(row for row, area in enumerate(areas) if area)
        assert first == written["masklet_first_appeared_frame"][position]
    assert (masklets.size, masklets.frame_count, len(masklets.rows)) == ((848, 480), 483, 121)


def test_a_clip_in_black_and_white_is_of_one_object(tmp_path: Path) -> None:
    dataset_layouts.write_frames(tmp_path / "JPEGImages/one", ["0", "1"])
    dataset_layouts.write_label_maps(tmp_path / "Annotations/one", {"0": make_labels(), "1": make_labels(3, value=255)})
    annotation = open_clip_folders(tmp_path)["one"].annotation(1)
    assert (annotation.object_ids, annotation.void) == ((1,), None)


def test_value_255_beside_objects_is_void() -> None:
    labels = make_labels(0, 6)
    labels[-1] = 255
    annotation = annotation_from_label_map(labels)
    assert annotation.object_ids == (1, 2)
    assert annotation.void is not None
    assert (annotation.void == (labels == 255)).all()


def test_value_255_of_a_deeper_map_is_an_object() -> None:
    assert annotation_from_label_map(make_labels(0).astype(np.int32) * 255).object_ids == (255,)


def test_true_maps_alone_are_clips_to_score_with(tmp_path: Path) -> None:
    dataset_layouts.write_label_maps(tmp_path / "a", {"00000": make_labels(0), "00001": make_labels(1)})
    for key in ("001", "004"):
        dataset_layouts.write_label_maps(tmp_path / "b" / key, {"00000": make_labels(0), "00005": make_labels(2)})
    data = open_label_tree(tmp_path)
    assert [clip.annotated_frames for clip in data] == [(0, 1), (0, 1)]
    assert data["b"].frame_names == ("00000", "00005")
    assert data["b"].annotation(1).object_ids == (1, 4)


def test_an_unannotated_frame_is_refused(tmp_path: Path) -> None:
    clip = open_mose(dataset_layouts.write_mose(tmp_path))["0a"]
    with pytest.raises(PromptError, match="0a: frame 1 is not annotated"):
        clip.annotation(1)


def test_clips_travel_between_processes(tmp_path: Path) -> None:
    clip = open_davis(dataset_layouts.write_davis(tmp_path))["bear"]
    assert pickle.loads(pickle.dumps(clip)).annotation(1).object_ids == (1, 2)


@pytest.mark.parametrize(
    ("layout", "kind", "split"),
    [
        (dataset_layouts.write_davis, "davis-2017", "val"),
        (dataset_layouts.write_mose, "mose", "valid"),
        (dataset_layouts.write_youtube_vos, "youtube-vos-2019", "valid_all_frames"),
        (dataset_layouts.write_lvos, "lvos-v2", "val"),
        (dataset_layouts.write_sav_val, "sa-v", "val"),
    ],
)
def test_the_layout_is_detected_from_a_path(tmp_path: Path, layout, kind: str, split: str) -> None:  # type: ignore[no-untyped-def]
    data = open_clips(layout(tmp_path))
    assert (data.kind, data.split) == (kind, split)
    assert open_ground_truth(tmp_path).kind == kind
    assert len(open_images(tmp_path)) == sum(len(clip.annotated_frames) for clip in data)


def test_splits_can_be_chosen_and_are_listed_if_wrong(tmp_path: Path) -> None:
    dataset_layouts.write_mose(tmp_path)
    dataset_layouts.write_mose(tmp_path, "train")
    assert open_clips(tmp_path).split == "valid"
    assert open_clips(tmp_path, "train").split == "train"
    assert open_clips(tmp_path / "train").split == "train"
    with pytest.raises(SettingsError, match="no split 'test'; splits are valid, train"):
        open_clips(tmp_path, "test")


def test_davis_of_2016_is_chosen_by_its_year(tmp_path: Path) -> None:
    dataset_layouts.write_davis(tmp_path)
    assert open_clips(tmp_path, "2016/val").kind == "davis-2016"
    with pytest.raises(SettingsError, match="unknown year of DAVIS '2018'"):
        open_clips(tmp_path, "2018/val")
    with pytest.raises(SettingsError, match="no split 'test-dev'; splits are val, train"):
        open_clips(tmp_path, "test-dev")


def test_masks_of_sav_train_are_found_below_a_folder(tmp_path: Path) -> None:
    dataset_layouts.write_sav_train(tmp_path / "sav_000")
    assert open_clips(tmp_path).names == ("sav_000007",)


def test_an_unknown_layout_lists_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FormatError, match="SA-V, DAVIS, YouTube-VOS, MOSE, LVOS"):
        open_clips(tmp_path)
    with pytest.raises(InputNotFound, match="no such dataset"):
        open_clips(tmp_path / "nowhere")


def composed(frames: int = 9) -> Clip:
    """A square of 12 pixels that moves, and one that stands, on grey."""
    images = np.full((frames, 32, 48, 3), 40, np.uint8)
    masks = np.zeros((frames, 2, 32, 48), bool)
    for frame in range(frames):
        masks[frame, 0, 4:16, frame : frame + 12] = True
        masks[frame, 1, 18:30, 30:42] = True
        images[frame, masks[frame].any(0)] = 200
    return Clip(images, masks, ("instance", "instance"))


def test_what_the_engine_writes_as_davis_is_read_back(tmp_path: Path) -> None:
    write_davis(tmp_path, "one", composed())
    write_davis_split(tmp_path, "train", ["one"])
    data = open_clips(tmp_path)
    assert (data.kind, data.split, data.names) == ("davis-2017", "train", ("one",))  # the only split there is
    assert (data["one"].annotation(3).mask(1) == composed().masks[3, 0]).all()


def test_what_the_engine_writes_as_sav_is_read_back_with_its_video(tmp_path: Path) -> None:
    write_sav(tmp_path, "sav_000001", composed())
    clip = open_clips(tmp_path)["sav_000001"]
    assert (len(clip), clip.annotated_frames) == (9, (0, 4, 8))
    with closing(clip.video()) as video:
        image = video[8]
    annotation = clip.annotation(8)
    moved = annotation.mask(annotation.object_ids[0])
    assert (moved == composed().masks[8, 0]).all()
    assert image[moved].mean() > 150 > image[~composed().masks[8].any(0)].mean()  # compressed, but there


def test_a_video_of_another_length_than_its_annotations_is_refused(tmp_path: Path) -> None:
    write_sav(tmp_path, "sav_000001", composed())
    path = tmp_path / "sav_000001_manual.json"
    path.write_text(path.read_text().replace('"video_frame_count": 9', '"video_frame_count": 10'))
    with pytest.raises(FormatError, match=r"sav_000001\.mp4 has 9 frames, expected 10"):
        open_clips(tmp_path)["sav_000001"].video()
