"""The camera predictor of the real-time fork, and streams of the video predictor."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from compat import image_program
from masklet.compat.sam2.build_sam import build_sam2_camera_predictor, build_sam2_video_predictor
from masklet.compat.sam2.stream_frames import MAX_STREAM_FRAMES
from masklet.errors import ImageError
from parity.inputs import frames
from support.recorded import load_shapes

SIZE, COUNT = (60, 100), 20
CLIP = frames(COUNT, *SIZE, 5)
POINT, ONE = np.array([[30, 20]], np.float32), np.array([1], np.int32)


@cache
def build(runtime: str, video: bool = False) -> Any:
    if runtime == "torch":
        pytest.importorskip("torch")
    make = build_sam2_video_predictor if video else build_sam2_camera_predictor
    config, overrides = image_program.CONFIG, ["++model.image_size=64"]
    predictor = make(config, device="cpu", hydra_overrides_extra=overrides, runtime=runtime)
    predictor.load_state_dict(image_program.make_weights(load_shapes()[config]))
    return predictor


@pytest.mark.parametrize("runtime", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_a_stream_is_tracked_from_prompts_of_its_first_frame(runtime: str, tmp_path: Path) -> None:
    predictor = build(runtime)
    images = [Image.fromarray(image) for image in CLIP]
    predictor.load_first_frame(images[0])
    frame, ids, logits = predictor.add_new_points(frame_idx=0, obj_id=2, points=POINT, labels=ONE)
    assert (frame, ids, tuple(logits.shape)) == (0, [2], (1, 1, *SIZE))
    predictor.add_new_prompt(0, 5, bbox=[[20, 10], [60, 40]])
    ids, logits = predictor.track(images[1])
    masks = (logits[0] > 0.0).permute(1, 2, 0).cpu().numpy()
    assert ids == [2, 5] and masks.shape == (*SIZE, 1) and predictor.frame_idx == 1
    for index in range(2):
        images[index].save((tmp_path / f"{index}.jpg").open("wb"), "png")
    other = build(runtime, video=True)
    state = other.init_state(str(tmp_path))
    other.add_new_points(state, 0, 2, POINT, ONE)
    other.add_new_points_or_box(state, 0, 5, box=[20, 10, 60, 40])
    expected = [*other.propagate_in_video(state)][1][2]
    assert np.abs(expected.numpy() - logits.numpy()).max() < 1e-3


def test_objects_are_added_and_corrected_during_tracking() -> None:
    predictor = build("torch")
    predictor.load_first_frame(CLIP[0])
    predictor.add_new_mask(0, 1, CLIP[0][..., 0] > 128)
    predictor.track(CLIP[1])
    predictor.add_conditioning_frame(CLIP[2])
    frame, ids, logits = predictor.add_new_prompt_during_track(bbox=[20, 10, 60, 40], obj_id=9, if_new_target=True)
    assert (frame, ids) == (2, [1, 9]) and (logits[0] == -1024).all() and not (logits[1] == -1024).all()
    ids, logits = predictor.track(CLIP[3])
    assert ids == [1, 9] and logits.shape == (2, 1, *SIZE)
    frame, ids, _ = predictor.add_new_promot_during_track(point=[[70, 30]], if_new_target=False)
    assert (frame, ids) == (3, [1, 9])
    assert predictor.add_new_promot_during_track(mask=np.ones(SIZE, bool))[1] == [1, 9, 10]
    assert predictor.track(CLIP[4])[1].shape == (3, 1, *SIZE)
    predictor.reset_state()
    with pytest.raises(RuntimeError, match="No input points or masks are provided for any object"):
        predictor.track(CLIP[5])


def test_the_channels_of_opencv_are_put_in_order() -> None:
    predictor = build("torch")
    results = []
    for takes_bgr, image in ((False, CLIP[0]), (True, CLIP[0][..., ::-1])):
        predictor.takes_bgr = takes_bgr
        predictor.load_first_frame(image)
        results.append(predictor.add_new_points(0, 1, POINT, ONE)[2].numpy())
    predictor.takes_bgr = False
    assert np.array_equal(*results)


@pytest.mark.slow
def test_old_frames_and_results_are_dropped() -> None:
    predictor = build("torch")
    predictor.load_first_frame(CLIP[0])
    predictor.add_new_points(0, 1, POINT, ONE)
    for image in CLIP[1:]:
        predictor.track(image)
    state = predictor.condition_state
    results = state["output_dict_per_obj"][0]
    assert list(results["cond_frame_outputs"]) == [0] and len(results["non_cond_frame_outputs"]) == 16
    assert min(results["non_cond_frame_outputs"]) == COUNT - 16 and state["num_frames"] == COUNT
    with pytest.raises(IndexError, match=f"frame 2 was dropped; a stream has its last {MAX_STREAM_FRAMES}"):
        predictor.add_new_points(2, 1, POINT, ONE)
    with pytest.raises(IndexError, match="frame 20 does not exist"):
        predictor.add_new_points(20, 1, POINT, ONE)
    assert predictor.add_new_points(0, 1, POINT, ONE)[0] == 0, "the first frame is kept"


def test_a_wrong_call_says_what_to_do() -> None:
    predictor = build_sam2_camera_predictor("nano", device="cpu", hydra_overrides_extra=["++model.image_size=64"])
    with pytest.raises(RuntimeError, match="call load_first_frame first"):
        predictor.track(CLIP[0])
    with pytest.raises(ImageError, match=r"an array \(H, W, 3\) uint8 .*, got ndarray of uint8 \(60, 100\)"):
        predictor.load_first_frame(CLIP[0][..., 0])
    assert predictor.condition_state == {}


@pytest.mark.parametrize("runtime", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_a_stream_of_the_video_predictor_is_tracked_frame_by_frame(runtime: str) -> None:
    """The calls of the demo of Grounded-SAM-2 with a camera."""
    predictor = build(runtime, video=True)
    state = predictor.init_state()
    for index, image in enumerate(CLIP[:4]):
        frame = predictor.add_new_frame(state, image)
        if index % 2 == 0:
            predictor.reset_state(state)
            for obj_id in (1, 2):
                mask = np.zeros(SIZE, bool)
                mask[10:40, 20 * obj_id : 20 * obj_id + 30] = True
                frame, _, _ = predictor.add_new_mask(state, frame, obj_id, mask)
        found, ids, logits = predictor.infer_single_frame(inference_state=state, frame_idx=frame)
        assert (found, ids, tuple(logits.shape)) == (index, [1, 2], (2, 1, *SIZE))
    assert state["images"].shape == (4, 3, 64, 64)
