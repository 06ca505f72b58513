"""The models for FiftyOne, applied to datasets in a database of their own."""

# ruff: noqa: E402  (FiftyOne reads its settings when it is imported)
from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

_DATABASE = tempfile.TemporaryDirectory(prefix="masklet-fiftyone-")
os.environ["FIFTYONE_DATABASE_DIR"] = _DATABASE.name
os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
os.environ["FIFTYONE_DATABASE_VALIDATION"] = "false"  # warns of MongoDB 6
pytest.importorskip("fiftyone")

import fiftyone as fo

import masklet
from masklet.errors import PromptError, SettingsError
from masklet.integrations.fiftyone import ImageModel, VideoModel, read_prompts, to_detections, to_segmentation
from masklet.segmenter import Segmenter
from support.clips import write_clip
from support.gray_world import GrayWorld, draw_boxes

A, B = (5, 5, 15, 25), (25, 10, 55, 35)  # left, top, right, bottom in an image of 60 × 40 pixels
SIZE = (40, 60)
MakeImages = Callable[..., Any]


def relative(box: tuple[int, int, int, int]) -> list[float]:
    x0, y0, x1, y1 = box
    return [x0 / 60, y0 / 40, (x1 - x0) / 60, (y1 - y0) / 40]


def detection(box: tuple[int, int, int, int], label: str = "cell", **fields: Any) -> Any:
    return fo.Detection(label=label, bounding_box=relative(box), **fields)


def pixels_of(box: tuple[int, int, int, int]) -> Any:
    mask = np.zeros(SIZE, bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def full_mask(item: Any) -> Any:
    return item.to_segmentation(frame_size=(60, 40), target=1).mask > 0


def gray_model() -> Segmenter:
    return Segmenter(GrayWorld())


@pytest.fixture
def images(tmp_path: Path) -> Iterator[MakeImages]:
    """`images(labels, …)`: a dataset of equal images, whose field `prompts` has the labels."""
    made = []

    def make(*labels: Any) -> Any:
        dataset = fo.Dataset()
        made.append(dataset)
        for number, label in enumerate(labels):
            Image.fromarray(draw_boxes({80: A, 160: B})).save(tmp_path / f"{number}.png")
            dataset.add_sample(fo.Sample(str(tmp_path / f"{number}.png"), prompts=label))
        return dataset

    yield make
    for dataset in made:
        dataset.delete()


@pytest.fixture
def clip(tmp_path: Path) -> Iterator[Any]:
    """A dataset of one video of six frames. FiftyOne opens videos with ffmpeg."""
    if shutil.which("ffmpeg") is None:
        assert os.environ.get("CI") != "true", "CI has no ffmpeg"
        pytest.skip("no ffmpeg")
    write_clip(tmp_path / "clip.mp4", 6, size=(64, 96))
    dataset = fo.Dataset()
    dataset.add_sample(fo.Sample(str(tmp_path / "clip.mp4")))
    dataset.compute_metadata()
    dataset.ensure_frames()
    yield dataset
    dataset.delete()


@pytest.mark.parametrize("batch_size", [None, 2])
def test_detections_of_a_view_become_instances(images: MakeImages, batch_size: int | None) -> None:
    labels = fo.Detections(detections=[detection(A, "nucleus"), detection(B, "vesicle", index=7)])
    dataset = images(labels, None, labels)
    options = {"batch_size": batch_size, "skip_failures": False, "progress": False}
    dataset.limit(2).apply_model(ImageModel(gray_model()), label_field="masks", prompt_field="prompts", **options)
    first, empty, other = dataset
    assert [item.label for item in first.masks.detections] == ["nucleus", "vesicle"]
    assert [item.index for item in first.masks.detections] == [1, 7]
    assert [item.bounding_box for item in first.masks.detections] == [relative(A), relative(B)]
    assert all(item.confidence == 1 for item in first.masks.detections)
    for item, box in zip(first.masks.detections, (A, B), strict=True):
        assert item.mask.all() and np.array_equal(full_mask(item), pixels_of(box))
    assert empty.masks.detections == [] and other.masks is None


def test_keypoints_with_labels_of_points(images: MakeImages) -> None:
    inside, outside, other = (8 / 60, 10 / 40), (1 / 60, 1 / 40), (30 / 60, 20 / 40)
    several = fo.Keypoint(label="pair", points=[inside, (math.nan, math.nan), other])
    corrected = fo.Keypoint(label="left", points=[inside, other, outside], sam_labels=[1, 0, 0], index=4)
    dataset = images(fo.Keypoints(keypoints=[several, corrected]))
    dataset.apply_model(ImageModel(gray_model()), "masks", prompt_field="prompts", skip_failures=False, progress=False)
    pair, left = dataset.first().masks.detections
    assert (pair.label, left.label, left.index) == ("pair", "left", 4)
    assert np.array_equal(full_mask(pair), pixels_of(A) | pixels_of(B))
    assert np.array_equal(full_mask(left), pixels_of(A))


def test_a_segmentation_is_written_with_the_mask_targets(images: MakeImages, tmp_path: Path) -> None:
    dataset = images(fo.Detections(detections=[detection(A, "nucleus"), detection(B, "vesicle")]))
    dataset.mask_targets = {"classes": {5: "vesicle", 9: "nucleus"}}
    model = ImageModel(gray_model(), output="segmentation", mask_targets=dataset.mask_targets["classes"])
    options = {"prompt_field": "prompts", "skip_failures": False, "progress": False}
    dataset.apply_model(model, "classes", **options)
    expected = pixels_of(A) * 9 + pixels_of(B) * 5
    assert np.array_equal(dataset.first().classes.mask, expected)
    dataset.apply_model(model, "files", output_dir=str(tmp_path / "out"), **options)
    assert np.array_equal(dataset.first().files.get_mask(), expected)
    model = ImageModel(gray_model(), output="segmentation", mask_targets={1: "nucleus"})
    with pytest.raises(PromptError, match="'vesicle'"):
        dataset.apply_model(model, "bad", **options)


def test_everything_is_segmented_without_prompts(images: MakeImages) -> None:
    dataset = images(None)
    options = masklet.MaskGeneratorOptions(points_per_side=4)
    dataset.apply_model(ImageModel(gray_model(), options=options), "all", skip_failures=False, progress=False)
    found = dataset.first()["all"].detections
    boxes = {tuple(np.round(item.bounding_box, 4)) for item in found}
    assert {tuple(np.round(relative(box), 4)) for box in (A, B)} <= boxes
    assert {item.label for item in found} == {"object"}


def test_results_are_prompts_again(images: MakeImages) -> None:
    masks = masklet.Masks.from_binary(np.stack([pixels_of(A), pixels_of(B)]), object_ids=(3, 8), labels=("a", None))
    prompts = read_prompts(to_detections(masks), SIZE)
    assert [*prompts] == [3, 8] and [prompt.label for prompt in prompts.values()] == ["a", "object"]
    assert np.array_equal(prompts[3].mask, masks.binary[0]) and np.array_equal(prompts[8].mask, masks.binary[1])
    prompts = read_prompts(to_segmentation(masks), SIZE)
    assert np.array_equal(prompts[8].mask, masks.binary[1]) and [*prompts] == [3, 8]
    boxes = read_prompts(to_detections(masks), SIZE, use_masks=False)
    assert np.allclose(boxes[8].points, [B[:2], B[2:]]) and boxes[8].mask is None
    coarse = fo.Detection(bounding_box=[0, 0, 0.5, 0.5], mask=np.array([[1, 0], [0, 1]]))  # of another resolution
    (prompt,) = read_prompts(coarse, SIZE).values()
    assert prompt.mask[:9, :14].all() and prompt.mask[11:20, 16:30].all() and abs(prompt.mask.sum() - 300) < 20


def test_labels_that_are_no_prompts_are_refused() -> None:
    for label, message in (
        (fo.Classification(label="cat"), "Classification"),
        (fo.Detections(detections=[fo.Detection(label="a", bounding_box=[0.5, 0.5, 0, 0])]), "x0 < x1"),
        (fo.Keypoint(points=[(0.1, 0.1)], sam_labels=[1, 0]), "sam_labels"),
    ):
        with pytest.raises(PromptError, match=message):
            read_prompts(label, SIZE)
    with pytest.raises(SettingsError, match="polygons"):
        ImageModel(gray_model(), output="polygons")  # type: ignore[arg-type]
    masks = masklet.Masks.from_binary(pixels_of(A)[None], object_ids=(0,))
    with pytest.raises(PromptError, match="from 1 to 65535"):
        to_segmentation(masks)


def test_failures_are_logged_or_raised(images: MakeImages, caplog: pytest.LogCaptureFixture) -> None:
    dataset = images(fo.Classification(label="cat"))
    with pytest.raises(PromptError):
        dataset.apply_model(ImageModel(gray_model()), "m", prompt_field="prompts", skip_failures=False, progress=False)
    dataset.apply_model(ImageModel(gray_model()), "m", prompt_field="prompts", progress=False)
    assert "Classification" in caplog.text and not dataset.first().has_field("m")


def expected_tracks(path: str, prompts: Any, **options: Any) -> dict[int, Any]:
    """Return the masks of `Segmenter.track` by frame number, from 1."""
    return {frame.index + 1: frame.masks for frame in masklet.load().track(path, prompts, **options)}


def check_tracks(sample: Any, field: str, expected: dict[int, Any]) -> None:
    for number, masks in expected.items():
        found = {item.index: item for item in sample.frames[number][field].detections}
        visible = {key: mask for key, mask in zip(masks.object_ids, masks.binary, strict=True) if mask.any()}
        assert found.keys() == visible.keys(), number
        for key, mask in visible.items():
            drawn = found[key].to_segmentation(frame_size=(mask.shape[1], mask.shape[0]), target=1).mask > 0
            assert np.array_equal(drawn, mask), (number, key)


def test_detections_of_some_frames_are_tracked(clip: Any) -> None:
    sample = clip.first()
    corner, middle = [0.1, 0.1, 0.4, 0.5], [0.5, 0.3, 0.4, 0.5]
    sample.frames[1]["prompts"] = fo.Detections(detections=[fo.Detection(label="dog", bounding_box=corner, index=2)])
    sample.frames[3]["prompts"] = fo.Detections(detections=[fo.Detection(label="cat", bounding_box=middle)])
    sample.save()
    options = {"prompt_field": "frames.prompts", "skip_failures": False, "progress": False}
    clip.apply_model(VideoModel(), "tracks", **options)
    sample = clip.first()
    prompts = {
        0: {2: masklet.box(9.6, 6.4, 48, 38.4, label="dog")},
        2: {1: masklet.box(48, 19.2, 86.4, 51.2, label="cat")},
    }
    expected = expected_tracks(sample.filepath, prompts)
    assert [*expected] == [1, 2, 3, 4, 5, 6] and any(masks.areas.all() for masks in expected.values())
    check_tracks(sample, "tracks", expected)
    tracks = [item for number in range(1, 7) for item in sample.frames[number].tracks.detections]
    assert {(item.index, item.label) for item in tracks} == {(1, "cat"), (2, "dog")}
    assert len({(item.index, str(item.instance.id)) for item in tracks}) == 2  # one instance for each object

    view = clip.set_field("frames.tracks", None).match_frames(fo.ViewField("frame_number") == 1)
    assert len(view.first().frames) == 1  # masks of an earlier run are prompts of the next
    clip.apply_model(VideoModel(), "again", prompt_field="frames.tracks", skip_failures=False, progress=False)
    check_tracks(clip.first(), "again", {1: expected[1]})


def test_tracking_backward_and_in_clips(clip: Any) -> None:
    sample = clip.first()
    point = fo.Keypoint(label="dog", points=[(0.3, 0.4)], index=5)
    sample.frames[4]["points"] = fo.Keypoints(keypoints=[point])
    sample.save()
    options = {"prompt_field": "frames.points", "skip_failures": False, "progress": False}
    clip.apply_model(VideoModel(direction="both"), "both", **options)
    prompts = {3: {5: masklet.click(0.3 * 96, 0.4 * 64, label="dog")}}
    check_tracks(clip.first(), "both", expected_tracks(sample.filepath, prompts, direction="both"))
    clips = clip.to_clips([[(4, 5)]])
    clips.apply_model(VideoModel(), "part", **options)
    frames = clip.first().frames
    assert [number for number in range(1, 7) if frames[number]["part"] is not None] == [4, 5]


def test_videos_are_tracked_and_segmented_without_prompts(clip: Any) -> None:
    generator = masklet.MaskGeneratorOptions(points_per_side=4)
    options = {"skip_failures": False, "progress": False}
    clip.apply_model(VideoModel(options=masklet.AutoTrackOptions(generator)), "auto", **options)
    expected = masklet.load().auto_track(clip.first().filepath, masklet.AutoTrackOptions(generator))
    check_tracks(clip.first(), "auto", {frame.index + 1: frame.masks for frame in expected})
    clip.apply_model(ImageModel(options=generator), "frames.each", **options)
    assert all(frame["each"] is not None for frame in clip.first().frames.values())
