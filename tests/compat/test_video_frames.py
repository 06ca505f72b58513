"""Frames of folders, files and arrays as the video predictors take them, and helpers for masks and points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from masklet.backend import IMAGE_MEAN, IMAGE_STD
from masklet.compat.sam2.build_sam import build_sam2_video_predictor
from masklet.compat.sam2.utils import misc
from masklet.compat.sam2.video_frames import VideoFrames
from masklet.errors import ImageError, InputNotFound, VideoError
from masklet.images.resize import resize_antialiased
from parity.inputs import frames
from support.clips import make_numbered_image, read_number, write_clip

CLIP = frames(3, 60, 100, 5)
SIDE = 64


def load(source: object) -> tuple[VideoFrames, int, int]:
    return misc.load_video_frames(source, SIDE, offload_video_to_cpu=True)


def restore(planes: object) -> np.ndarray:
    """Undo the normalization of a frame: (S, S, 3) in [0, 255]."""
    return (np.asarray(planes).transpose(1, 2, 0) * IMAGE_STD + IMAGE_MEAN) * 255


def write_folder(folder: Path, names: list[str]) -> Path:
    for name, image in zip(names, CLIP, strict=False):
        with (folder / name).open("wb") as file:
            Image.fromarray(image).save(file, "png")
    return folder


def test_a_folder_is_read_by_number_and_resized_by_pillow(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ["10.jpg", "2.JPEG", "7.jpeg"])
    (folder / "notes.txt").write_text("no frame")
    images, height, width = load(str(folder))
    assert (len(images), height, width) == (3, 60, 100) and images.shape == (3, 3, SIDE, SIDE)
    for index, number in enumerate((1, 2, 0)):
        square = np.asarray(Image.fromarray(CLIP[number]).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        assert np.abs(restore(images[index]) - square).max() < 1e-3
    assert np.array_equal(np.asarray(images[-1]), np.asarray(images[2])) and np.asarray(images[1:]).shape[0] == 2
    assert str(images[0].dtype).endswith("float32")


def test_an_array_is_resized_like_an_image() -> None:
    images, height, width = load(CLIP)
    planes = resize_antialiased(CLIP[1].transpose(2, 0, 1).astype(np.float32), (SIDE, SIDE))
    assert (height, width) == (60, 100)
    assert np.abs(restore(images[1]) - planes.transpose(1, 2, 0)).max() < 1e-3


@pytest.mark.slow
def test_a_file_is_resized_by_its_decoder_and_read_in_any_order(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 20)
    for source in (str(path), path.read_bytes()):
        images, height, width = load(source)
        assert (len(images), height, width) == (20, 48, 128)
        for index in (0, 1, 2, 19, 18, 17, 5):
            assert read_number(restore(images[index])) == index
    expected = np.asarray(Image.fromarray(make_numbered_image(3)).resize((SIDE, SIDE)))
    assert np.median(np.abs(restore(images[3]) - expected)) < 4


@pytest.mark.parametrize("source", ["clip.mov", Path("frames"), 5, ["a.jpg"], ("a.jpg", 3)])
def test_another_source_is_refused(source: object) -> None:
    with pytest.raises(NotImplementedError, match="Only MP4 video and JPEG folder are supported at this moment"):
        load(source)


def test_damaged_sources_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"no images found in {tmp_path}"):
        load(str(tmp_path))
    with pytest.raises(InputNotFound):
        load(str(tmp_path / "missing.mp4"))
    write_folder(tmp_path, ["0.jpg", "frame.jpg"])
    with pytest.raises(ValueError, match=r"frame\.jpg: the names of frames must be numbers") as caught:
        load(str(tmp_path))
    assert isinstance(caught.value, VideoError)
    (tmp_path / "frame.jpg").rename(tmp_path / "1.jpg")
    (tmp_path / "0.jpg").write_bytes(b"broken")
    images = load(str(tmp_path))[0]
    with pytest.raises(ImageError, match="cannot be read as an image"):
        images[0]
    with pytest.raises(IndexError, match="frame 2 does not exist; the video has 2 frames"):
        images[2]


def test_a_refused_prompt_leaves_no_object_behind() -> None:
    predictor = build_sam2_video_predictor("nano", device="cpu", hydra_overrides_extra=["++model.image_size=64"])
    state = predictor.init_state(CLIP)
    for frame in (-1, 3):
        with pytest.raises(IndexError, match=f"frame {frame} does not exist; the video has 3 frames"):
            predictor.add_new_points_or_box(state, frame, 1, points=[[3, 3]], labels=[1])
    with pytest.raises(ValueError, match="points and labels must be provided together"):
        predictor.add_new_points_or_box(state, 0, 1, points=[[3, 3]])
    with pytest.raises(AssertionError, match=r"two axes \(H, W\), got shape \(1, 60, 100\)"):
        predictor.add_new_mask(state, 0, 1, np.ones((1, 60, 100), bool))
    assert state["obj_ids"] == [] and state["point_inputs_per_obj"] == {}


@pytest.mark.slow
def test_memories_around_a_prompt_are_deleted_on_request() -> None:
    overrides = ["++model.image_size=64", "++model.clear_non_cond_mem_around_input=true", "++model.num_maskmem=2"]
    predictor = build_sam2_video_predictor("nano", device="cpu", hydra_overrides_extra=overrides)
    state = predictor.init_state(frames(7, 60, 100, 5))
    predictor.add_new_points_or_box(state, 0, 1, points=[[30, 20]], labels=[1])
    assert len([*predictor.propagate_in_video(state)]) == 7
    predictor.add_new_points_or_box(state, 4, 1, points=[[30, 20]], labels=[1])
    predictor.propagate_in_video_preflight(state)
    assert sorted(state["output_dict_per_obj"][0]["non_cond_frame_outputs"]) == [1]


def test_holes_are_filled_on_every_device() -> None:
    logits = np.full((1, 1, 8, 8), 2.0, np.float32)
    logits[0, 0, 2, 2], logits[0, 0, 5:8, 5:8] = -3, -3
    filled = np.asarray(misc.fill_holes_in_mask_scores(logits, 4))
    assert filled[0, 0, 2, 2] == np.float32(0.1) and (filled[0, 0, 5:8, 5:8] == -3).all()
    labels, areas = (np.asarray(part) for part in misc.get_connected_components(logits <= 0))
    assert labels.dtype == areas.dtype == np.int32 and areas[0, 0, 2, 2] == 1 and areas[0, 0, 6, 6] == 9
    boxes = np.asarray(misc.mask_to_box(logits <= 0))
    assert boxes.tolist() == [[[2, 2, 7, 7]]]
