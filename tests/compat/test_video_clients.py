"""Programs written for the package `sam2`: their sequences of calls on videos, with a small network."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from compat import image_program
from masklet.checkpoints import key_names
from masklet.compat.sam2 import build_sam
from masklet.compat.sam2.array import Array
from masklet.compat.sam2.build_sam import build_sam2_video_predictor, build_sam2_video_predictor_npz
from masklet.compat.sam2.sam2_video_predictor import SAM2VideoPredictor, SAM2VideoPredictorVOS
from masklet.compat.sam2.utils.misc import fill_holes_in_mask_scores
from parity.inputs import frames
from support.clips import write_clip
from support.networks import make_model
from support.recorded import load_shapes

SIZE, COUNT = (60, 100), 6
CLIP = frames(COUNT, *SIZE, 5)
CONFIG, SMALL = image_program.CONFIG, ["++model.image_size=64"]
IMAGE_MEAN, IMAGE_STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
RUNTIMES = ["torch", "onnx"]
SLOW_RUNTIMES = ["torch", pytest.param("onnx", marks=pytest.mark.slow)]


@cache
def build(runtime: str, *overrides: str, npz: bool = False, apply_postprocessing: bool = True) -> Any:
    if runtime == "torch":
        pytest.importorskip("torch")
    predictor = (build_sam2_video_predictor_npz if npz else build_sam2_video_predictor)(
        CONFIG,
        device="cpu",
        hydra_overrides_extra=[*SMALL, *overrides],
        apply_postprocessing=apply_postprocessing,
        runtime=runtime,
    )
    predictor.load_state_dict(make_weights())
    return predictor


@cache
def make_weights() -> dict[str, NDArray[Any]]:
    return image_program.make_weights(load_shapes()[CONFIG])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of JPEG files with the names that programs give them."""
    path = tmp_path_factory.mktemp("frames")
    for index, image in enumerate(CLIP):
        Image.fromarray(image).save(path / f"{index:05d}.jpg")
    return path


def collect(frames_of: Iterator[Any]) -> dict[int, dict[Any, NDArray[np.bool_]]]:
    """Collect the masks of a propagation, as the reference's notebook does."""
    return {
        frame: {obj_id: (logits[i] > 0.0).cpu().numpy() for i, obj_id in enumerate(ids)}
        for frame, ids, logits in frames_of
    }


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_example_for_videos(runtime: str, folder: Path) -> None:
    predictor = build(runtime)
    state = predictor.init_state(video_path=str(folder))
    predictor.reset_state(state)
    points, labels = np.array([[30, 20], [50, 30]], np.float32), np.array([1, 1], np.int32)
    _, ids, logits = predictor.add_new_points_or_box(
        inference_state=state, frame_idx=0, obj_id=1, points=points, labels=labels
    )
    assert ids == [1] and (logits[0] > 0.0).cpu().numpy().shape == (1, *SIZE)
    segments = collect(predictor.propagate_in_video(state))
    assert list(segments) == [*range(COUNT)] and segments[3][1].shape == (1, *SIZE)
    predictor.reset_state(state)
    box = np.array([20, 10, 60, 40], np.float32)
    predictor.add_new_points_or_box(inference_state=state, frame_idx=0, obj_id=4, box=box)
    _, ids, logits = predictor.add_new_points_or_box(
        inference_state=state, frame_idx=0, obj_id=4, points=points[:1], labels=labels[:1], box=box
    )
    _, ids, logits = predictor.add_new_points_or_box(
        inference_state=state, frame_idx=0, obj_id=7, points=points[1:], labels=labels[:1]
    )
    prompts = state["point_inputs_per_obj"][0][0]["point_labels"]
    assert ids == [4, 7] and logits.shape == (2, 1, *SIZE) and prompts.numpy().tolist() == [[2, 3, 1]]
    segments = collect(predictor.propagate_in_video(state))
    assert set(segments[5]) == {4, 7}


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("separately", [False, True])
def test_the_tool_for_video_object_segmentation(runtime: str, separately: bool, folder: Path) -> None:
    predictor = build(runtime, "++model.non_overlap_masks=true", apply_postprocessing=False)
    palette = np.zeros(SIZE, np.uint8)
    palette[5:30, 5:40], palette[20:50, 50:90] = 1, 9
    state = predictor.init_state(video_path=str(folder), async_loading_frames=False)
    groups = [[1], [9]] if separately else [[1, 9]]
    logits_by_frame: dict[int, dict[int, Any]] = {}
    for group in groups:
        for obj_id in group:
            predictor.add_new_mask(inference_state=state, frame_idx=0, obj_id=obj_id, mask=palette == obj_id)
        for frame, ids, logits in predictor.propagate_in_video(state, start_frame_idx=0, reverse=False):
            logits_by_frame.setdefault(frame, {}).update({one: logits[i].cpu().numpy() for i, one in enumerate(ids)})
        predictor.reset_state(state)
    assert list(logits_by_frame) == [*range(COUNT)] and set(logits_by_frame[4]) == {1, 9}
    if not separately:
        masks = np.stack([one > 0 for one in logits_by_frame[2].values()])
        assert masks.sum(axis=0).max() <= 1, "each pixel belongs to one object"


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_server_of_the_demo(runtime: str, tmp_path: Path) -> None:
    predictor, lock = build(runtime), threading.Lock()
    state = predictor.init_state(str(write_clip(tmp_path / "clip.mp4", COUNT)), offload_video_to_cpu=True)
    size = state["video_height"], state["video_width"]
    assert size == (48, 128) and state["num_frames"] == COUNT
    results: list[Any] = []

    def click(obj_id: int) -> None:
        with lock:
            frame, ids, logits = predictor.add_new_points_or_box(
                inference_state=state,
                frame_idx=2,
                obj_id=obj_id,
                points=[[0.3, 0.1 * obj_id]],
                labels=[1],
                clear_old_points=True,
                normalize_coords=False,
            )
            results.append((frame, list(ids), (logits > 0).cpu().numpy()[:, 0]))

    threads = [threading.Thread(target=click, args=(obj_id,)) for obj_id in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results[-1][1]) == [1, 2, 3] and results[-1][2].shape == (3, *size)
    cleared = predictor.clear_all_prompts_in_frame(inference_state=state, frame_idx=2, obj_id=3)
    assert (cleared[2].numpy()[state["obj_ids"].index(3)] == -1024).all()
    ids, updated = predictor.remove_object(inference_state=state, obj_id=3)
    assert sorted(ids) == [1, 2] and updated == []
    seen: list[int] = []
    for reverse in (False, True):
        for frame, _, _ in predictor.propagate_in_video(
            inference_state=state, start_frame_idx=2, max_frame_num_to_track=None, reverse=reverse
        ):
            seen.append(frame)
            if len(seen) == 3:  # canceled
                break
    assert seen == [2, 3, 4, 2, 1, 0]
    predictor.reset_state(state)
    assert state["obj_ids"] == [] and len(state["images"]) == COUNT


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_demo_that_detects_again_at_intervals(runtime: str, folder: Path) -> None:
    predictor = build(runtime)
    state = predictor.init_state(video_path=str(folder), offload_video_to_cpu=True, async_loading_frames=True)
    step, found = 2, {}
    for start in range(0, state["num_frames"], step):
        predictor.reset_state(state)
        for obj_id in (1, start + 2):
            mask = np.zeros(SIZE, bool)
            mask[10 : 30 + start, 10 * obj_id : 10 * obj_id + 20] = True
            frame, _, logits = predictor.add_new_mask(state, start, obj_id, mask)
        assert frame == start and logits.shape[0] == 2
        found[start] = collect(predictor.propagate_in_video(state, max_frame_num_to_track=step, start_frame_idx=start))
    assert [list(segments) for segments in found.values()] == [[0, 1, 2], [2, 3, 4], [4, 5]]
    assert set(found[4][5]) == {1, 6}


class LazyFrames:
    """Frames as an annotation backend gives them: normalized on request."""

    def __init__(self, side: int, wrap: Any) -> None:
        self.side, self.wrap, self.indices = side, wrap, []

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Any:
        self.indices.append(index)
        square = np.asarray(Image.fromarray(CLIP[index]).resize((self.side, self.side))) / 255
        return self.wrap(((square - IMAGE_MEAN) / IMAGE_STD).transpose(2, 0, 1).astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_annotation_backend_that_replaces_the_images(runtime: str, folder: Path) -> None:
    torch = pytest.importorskip("torch")
    predictor = build(runtime)
    state = predictor.init_state(video_path=str(folder))
    state["images"] = frames_of = LazyFrames(predictor.image_size, torch.from_numpy)
    predictor.reset_state(state)
    _, ids, _ = predictor.add_new_points(
        inference_state=state,
        frame_idx=1,
        obj_id="car",
        points=np.array([[30.0, 20.0]]),
        labels=np.array([1], np.int32),
    )
    segments = collect(predictor.propagate_in_video(inference_state=state, start_frame_idx=1, max_frame_num_to_track=2))
    assert ids == ["car"] and list(segments) == [1, 2, 3] and frames_of.indices == [1, 2, 3]
    outputs = state["output_dict_per_obj"][state["obj_id_to_idx"]["car"]]
    score = outputs["non_cond_frame_outputs"][2]["object_score_logits"]
    assert 0 <= float(score.sigmoid().flatten()[0]) <= 1 and score.shape == (1, 1)
    again = predictor.init_state(video_path=str(folder))
    predictor.add_new_points(again, 1, "car", [[30.0, 20.0]], [1])
    masks = collect(predictor.propagate_in_video(again, start_frame_idx=1, max_frame_num_to_track=2))
    agreement = np.mean(masks[3]["car"] == segments[3]["car"])
    assert agreement > 0.95, "frames in JPEG files differ from those in memory by their compression"


@pytest.mark.parametrize("runtime", SLOW_RUNTIMES)
def test_an_agent_with_memories_of_its_own(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_pretrained`, `forward_image` and `track_step`, with a state that the program keeps."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(build_sam, "_hf_download", lambda model_id: (CONFIG, None))
    predictor = SAM2VideoPredictor.from_pretrained(
        "facebook/sam2.1-hiera-tiny", device="cpu", hydra_overrides_extra=SMALL, runtime=runtime
    )
    predictor.load_state_dict(make_weights())
    lazy = LazyFrames(predictor.image_size, torch.from_numpy)

    def encode(index: int) -> dict[str, Any]:
        backbone = predictor.forward_image(lazy[index].unsqueeze(0))
        maps = backbone["backbone_fpn"][-predictor.num_feature_levels :]
        positions = backbone["vision_pos_enc"][-predictor.num_feature_levels :]
        return {
            "current_vision_feats": [level.flatten(2).permute(2, 0, 1) for level in maps],
            "current_vision_pos_embeds": [level.flatten(2).permute(2, 0, 1) for level in positions],
            "feat_sizes": [(level.shape[-2], level.shape[-1]) for level in positions],
        }

    def step(frame: int, **arguments: Any) -> dict[str, Any]:
        output = predictor.track_step(
            **encode(frame), point_inputs=None, frame_idx=frame, num_frames=frame + 1, **arguments
        )
        filled = fill_holes_in_mask_scores(output["pred_masks"], predictor.fill_hole_area)
        names = ("maskmem_features", "obj_ptr")
        return {
            **{name: output[name] for name in names},
            "maskmem_pos_enc": output["maskmem_pos_enc"][-1:],
            "pred_masks": filled,
        }

    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 10:40, 10:40] = 1
    first = step(0, is_init_cond_frame=True, mask_inputs=mask, output_dict={})
    memory = {"cond_frame_outputs": {0: first}, "non_cond_frame_outputs": OrderedDict()}
    for frame in range(1, COUNT):
        memory["non_cond_frame_outputs"][frame] = step(
            frame, is_init_cond_frame=False, mask_inputs=None, output_dict=memory
        )
        while len(memory["non_cond_frame_outputs"]) > 3:
            memory["non_cond_frame_outputs"].popitem(last=False)
    logits = torch.nn.functional.interpolate(memory["non_cond_frame_outputs"][5]["pred_masks"], SIZE, mode="bilinear")
    assert logits.shape == (1, 1, *SIZE) and torch.isfinite(logits).all()
    state = predictor.init_state(CLIP)
    state["images"] = lazy
    predictor.add_new_mask(state, 0, 1, mask[0, 0].bool())
    expected = [*predictor.propagate_in_video(state, max_frame_num_to_track=1)]
    tracked = step(1, is_init_cond_frame=False, mask_inputs=None, output_dict={**memory, "non_cond_frame_outputs": {}})
    resized = predictor._get_orig_video_res_output(state, tracked["pred_masks"])[1]
    assert float(((resized > 0) == (expected[1][2] > 0)).float().mean()) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_volume_in_both_directions(runtime: str) -> None:
    torch = pytest.importorskip("torch")
    predictor = build(runtime, npz=True)
    lazy = LazyFrames(64, torch.from_numpy)
    images = torch.stack([lazy[index] for index in range(COUNT)])
    volume = np.zeros((COUNT, *SIZE), np.uint8)
    state = predictor.init_state(images, *SIZE)
    for reverse in (False, True):
        predictor.add_new_points_or_box(inference_state=state, frame_idx=2, obj_id=1, box=np.array([20, 10, 60, 40]))
        for frame, _, logits in predictor.propagate_in_video(state, reverse=reverse):
            volume[frame, (logits[0] > 0.0).cpu().numpy()[0]] = 1
        predictor.reset_state(state)
    assert [int(part.any()) for part in volume] == [1] * COUNT


@pytest.mark.slow
def test_without_pytorch_results_are_arrays(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    from masklet.compat.sam2 import array
    from masklet.compat.sam2.modeling import network_methods, sam2_base

    for module in (array, network_methods, sam2_base):
        monkeypatch.setattr(module, "has_torch", lambda: False)
    network_methods._load_table.cache_clear()
    predictor = build.__wrapped__("onnx")
    state = predictor.init_state(str(folder), offload_state_to_cpu=True)
    predictor.add_new_points_or_box(state, 0, 1, points=[[30, 20]], labels=[1])
    predictor.add_new_mask(state, 1, 2, np.ones(SIZE, bool))
    predictor.add_new_points_or_box(state, 0, 1, points=[[50, 30]], labels=[0], clear_old_points=False)
    for _, ids, logits in predictor.propagate_in_video(state):
        assert isinstance(logits, Array) and logits.dtype == np.float32
        assert (logits > 0.0).cpu().numpy().shape == (len(ids), 1, *SIZE)
    output = state["output_dict_per_obj"][0]["non_cond_frame_outputs"][3]
    assert all(isinstance(output[name], Array) for name in ("pred_masks", "obj_ptr", "maskmem_features"))
    network_methods._load_table.cache_clear()


def test_the_optimized_predictor_is_selected() -> None:
    predictor = build_sam2_video_predictor("nano", device="cpu", vos_optimized=True)
    assert type(predictor) is SAM2VideoPredictorVOS


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("name", "side"), [("edgetam-micro", 256), ("efficienttam-micro-1", 64)])
def test_edgetam_and_efficienttam_are_tracked(runtime: str, name: str, side: int) -> None:
    pytest.importorskip("torch")
    overrides = [f"++model.image_size={side}"]
    predictor = build_sam2_video_predictor(name, device="cpu", hydra_overrides_extra=overrides, runtime=runtime)
    predictor.load_state_dict(key_names.to_released(make_model(name, side, calm=True).tensors))
    state = predictor.init_state(CLIP[:3])
    predictor.add_new_points_or_box(state, 0, 1, points=[[30, 20]], labels=[1])
    predictor.add_new_mask(state, 1, 2, np.ones(SIZE, bool))
    assert set(collect(predictor.propagate_in_video(state))[2]) == {1, 2}
    output = state["output_dict_per_obj"][0]["non_cond_frame_outputs"][2]
    assert output["maskmem_pos_enc"][0].shape == output["maskmem_features"].shape


@pytest.mark.slow
def test_programs_may_use_autocast_and_inference_mode() -> None:
    torch = pytest.importorskip("torch")
    predictor = build("torch")
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        state = predictor.init_state(CLIP)
        predictor.add_new_points_or_box(state, 0, 1, points=torch.tensor([[30, 20]]), labels=torch.tensor([1]))
        logits = [one for _, _, one in predictor.propagate_in_video(state)]
    assert len(logits) == COUNT and {one.dtype for one in logits} == {torch.float32}
