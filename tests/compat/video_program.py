"""A program that calls every method of the video predictor, as client programs do.

It runs under the reference, where `record_video.py` stores the results of each call, and under masklet. It needs only
NumPy and Pillow.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compat.call_log import CallLog

FRAMES, SIZE, IMAGE_SIZE, SEED = 7, (64, 128), 128, 5
CLICK, CLICKS = np.array([[40.0, 24.0]], np.float32), np.array([[100.0, 40.0], [8.0, 8.0]], np.float32)
ONE, TWO = np.array([1], np.int32), np.array([1, 0], np.int32)
BOX = np.array([32.0, 8.0, 96.0, 48.0], np.float32)


def write_frames(folder: Path) -> Path:
    """Write the frames without loss, under names of JPEG files that only their numbers bring into order."""
    from parity.inputs import frames

    for number, image in enumerate(frames(FRAMES, *SIZE, SEED)):
        with (folder / f"{number * 5 + 8}.jpg").open("wb") as file:
            Image.fromarray(image).save(file, "png")
    return folder


def make_mask() -> NDArray[np.bool_]:
    """Make a mask of another size than the network's square."""
    mask = np.zeros(SIZE, bool)
    mask[20:50, 60:110] = True
    return mask


class Session:
    """One inference state and the log of its calls."""

    def __init__(self, predictor: Any, log: CallLog, state: Any) -> None:
        self.predictor, self.log, self.state = predictor, log, state

    def call(self, name: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the predictor with the state."""
        return self.log.call(name, lambda: getattr(self.predictor, method)(self.state, *args, **kwargs))

    def propagate(self, name: str, **kwargs: Any) -> None:
        """Propagate, and log each frame."""
        self.log.call(name, lambda: [*self.predictor.propagate_in_video(self.state, **kwargs)])

    def log_keys(self, name: str) -> None:
        """Log the frames that the state has of each object."""
        state = self.state
        self.log.value(f"{name}.ids", [str(one) for one in state["obj_ids"]])
        self.log.value(f"{name}.positions", {str(key): value for key, value in state["obj_id_to_idx"].items()})
        for kind in ("output_dict_per_obj", "temp_output_dict_per_obj"):
            for position, outputs in state[kind].items():
                for key, found in outputs.items():
                    self.log.value(f"{name}.{kind}.{position}.{key}", str(sorted(found)))
        for kind in ("point_inputs_per_obj", "mask_inputs_per_obj", "frames_tracked_per_obj"):
            for position, found in state[kind].items():
                self.log.value(f"{name}.{kind}.{position}", str(sorted(found)))


def run(predictor: Any, log: CallLog, folder: Path) -> None:
    """Call every method of one state.

    Args:
        predictor: Result of `build_sam2_video_predictor`.
        log: Log of the results.
        folder: Frames of `write_frames`.
    """
    session = start(predictor, log, folder)
    _track(session)
    _correct(session)
    _change_objects(session)
    _start_again(session)
    thin(log)


def start(predictor: Any, log: CallLog, folder: Path) -> Session:
    """Open the frames, and prompt four objects in every way. See `run`."""
    state = predictor.init_state(str(folder))
    log.value("state.keys", sorted(state))
    log.value("state.size", [state["num_frames"], state["video_height"], state["video_width"], len(state["images"])])
    log.value("state.image", state["images"][2])
    session = Session(predictor, log, state)
    _call_with_errors(session)
    _prompt(session)
    return session


def run_rest(api: SimpleNamespace, predictor: Any, log: CallLog, folder: Path) -> None:
    """Call what does not depend on the options of the predictor: another state, the networks, and the helpers.

    Args:
        api: Namespace with `tensor`, which makes a tensor, and `misc`, the module of helpers.
        predictor: See `run`.
        log: Log of the results.
        folder: Frames of `write_frames`.
    """
    state = predictor.init_state(str(folder))
    offloaded = predictor.init_state(
        str(folder), offload_video_to_cpu=True, offload_state_to_cpu=True, async_loading_frames=True
    )
    other = Session(predictor, log, offloaded)
    other.call("offloaded.mask", "add_new_mask", 0, 9, make_mask())
    other.propagate("offloaded.propagate", max_frame_num_to_track=1)
    _call_network(api, predictor, log, state)
    _call_helpers(api, log)
    thin(log)


def thin(log: CallLog) -> None:
    """Keep every fifth value of each sample."""
    log.samples = {name: values[::5] for name, values in log.samples.items()}


def _call_with_errors(session: Session) -> None:
    """Call with arguments that are refused. They must not leave an object behind, so another state has them."""
    other = Session(session.predictor, session.log, {**session.state})
    for name in [key for key, value in session.state.items() if isinstance(value, dict)]:
        other.state[name] = type(session.state[name])()
    other.state["obj_ids"] = []
    other.propagate("error.nothing")
    other.call("error.preflight", "propagate_in_video_preflight")
    other.call("error.remove", "remove_object", 5)
    other.call("error.remove_strict", "remove_object", 5, strict=True)
    add = "add_new_points_or_box"
    other.call("error.no_labels", add, 0, 1, points=CLICK)
    other.call("error.no_points", add, 0, 1, labels=ONE)
    other.call("error.no_prompt", add, 0, 1)
    other.call("error.box", add, 0, 1, box=BOX, clear_old_points=False)
    other.call("error.mask", "add_new_mask", 0, 1, make_mask()[None])
    for video in ("clip.mov", Path("clip.mp4"), 5):
        session.log.call(
            f"error.video.{type(video).__name__[-4:]}", lambda video=video: session.predictor.init_state(video)
        )


def _prompt(session: Session) -> None:
    add = "add_new_points_or_box"
    session.call("click", add, 1, 1, points=CLICK, labels=ONE)
    session.call("second_click", add, frame_idx=1, obj_id=1, points=CLICKS, labels=TWO, clear_old_points=False)
    session.call("box", add, 1, "b", box=BOX)
    session.call("box_and_click", add, 1, 3, CLICK, ONE, True, True, BOX)
    session.call("fractions", add, 2, 3, points=[[0.5, 0.5]], labels=[1], normalize_coords=False)
    session.call("mask", "add_new_mask", 3, 4, make_mask())
    session.log.value("inputs.points", session.state["point_inputs_per_obj"][0][1])
    session.log.value("inputs.mask", session.state["mask_inputs_per_obj"][3][3])
    session.log_keys("prompted")


def _track(session: Session) -> None:
    session.call("preflight", "propagate_in_video_preflight")
    session.log_keys("ready")
    session.propagate("forward")
    session.log_keys("tracked")
    for position, kind, frame in (
        (0, "cond_frame_outputs", 1),
        (3, "cond_frame_outputs", 3),
        (1, "non_cond_frame_outputs", 5),
    ):
        output = session.state["output_dict_per_obj"][position][kind][frame]
        session.log.value(f"output.{position}.{frame}.keys", sorted(output))
        for name in ("pred_masks", "obj_ptr", "object_score_logits"):
            session.log.value(f"output.{position}.{frame}.{name}", output[name])
        session.log.value(f"output.{position}.{frame}.memory", output["maskmem_features"].float())
    session.log.value(
        "output.positions", session.state["output_dict_per_obj"][0]["cond_frame_outputs"][1]["maskmem_pos_enc"]
    )


def _correct(session: Session) -> None:
    """Correct objects on frames that were tracked, and track again in both directions."""
    add = "add_new_points_or_box"
    session.call("correction", add, 4, 1, points=CLICKS[:1], labels=ONE)
    session.log_keys("corrected")
    session.propagate("again", start_frame_idx=3, max_frame_num_to_track=2)
    session.call("refined", add, 1, "b", points=CLICK, labels=ONE * 0)
    session.call("replaced", "add_new_mask", 1, 3, make_square_mask())
    session.propagate("backward", start_frame_idx=5, max_frame_num_to_track=3, reverse=True)
    session.log_keys("backward")
    session.propagate("backward_default", reverse=True)
    session.propagate("backward_from_0", start_frame_idx=0, reverse=True)
    session.call("late", add, 5, 7, points=CLICKS, labels=TWO)
    session.propagate("with_late", start_frame_idx=4, max_frame_num_to_track=1)


def make_square_mask() -> NDArray[np.bool_]:
    """Make a mask with the size of the network's square."""
    mask = np.zeros((IMAGE_SIZE, IMAGE_SIZE), bool)
    mask[30:80, 30:70] = True
    return mask


def _change_objects(session: Session) -> None:
    """Clear prompts and remove objects."""
    clear = "clear_all_prompts_in_frame"
    session.call("clear_pending", "add_new_points_or_box", 6, 4, points=CLICK, labels=ONE)
    session.call("cleared_pending", clear, 6, 4)
    session.call("cleared_quietly", clear, 3, 4, need_output=False)
    session.log_keys("cleared")
    session.propagate("without_condition")
    session.call("cleared", clear, 2, 3)
    session.call("mask_again", "add_new_mask", 3, 4, make_mask())
    session.call("removed_quietly", "remove_object", 7, need_output=False)
    session.call("removed", "remove_object", "b")
    session.log_keys("removed")
    session.propagate("without_b", start_frame_idx=4, max_frame_num_to_track=1)


def _start_again(session: Session) -> None:
    """Reset the state, and remove its only object."""
    session.call("reset", "reset_state")
    session.log_keys("reset")
    session.call("alias", "add_new_points", 0, 2, CLICK, ONE)
    session.propagate("alias_tracked", max_frame_num_to_track=0)
    session.call("removed_last", "remove_object", 2, strict=True)
    session.log_keys("empty")


def _call_network(api: SimpleNamespace, predictor: Any, log: CallLog, state: Any) -> None:
    """Call the lower methods as an agent with memories of its own does."""
    log.value("net.settings", [predictor.image_size, predictor.num_maskmem, predictor.num_feature_levels])
    image, *features = predictor._get_image_feature(state, 2, 2)
    log.value("net.feature.shapes", [list(level.shape) for level in (image, *features[1], *features[2])])
    log.value("net.sizes", [list(size) for size in features[3]])
    backbone = predictor.forward_image(state["images"][2][None])
    log.value("net.backbone", backbone)
    _, feats, positions, sizes = predictor._prepare_backbone_features(backbone)
    log.value("net.flat", [feats[-1], positions[-1]])
    common = {"current_vision_feats": feats, "current_vision_pos_embeds": positions, "feat_sizes": sizes}
    points = {"point_coords": api.tensor(CLICK[None]), "point_labels": api.tensor(ONE[None])}
    prompted = predictor.track_step(
        0, True, point_inputs=points, mask_inputs=None, output_dict={}, num_frames=1, **common
    )
    log.value("net.keys", sorted(prompted))
    for name in ("pred_masks", "pred_masks_high_res", "obj_ptr", "object_score_logits", "maskmem_features"):
        log.value(f"net.click.{name}", prompted[name])
    mask = api.tensor(make_square_mask().astype(np.float32)[None, None])
    given = predictor.track_step(
        0, True, point_inputs=None, mask_inputs=mask, output_dict={}, num_frames=1, run_mem_encoder=False, **common
    )
    for name in ("pred_masks", "pred_masks_high_res", "obj_ptr", "object_score_logits"):
        log.value(f"net.mask.{name}", given[name])
    memory = {"cond_frame_outputs": {0: prompted}, "non_cond_frame_outputs": {}}
    tracked = predictor.track_step(
        1, False, point_inputs=None, mask_inputs=None, output_dict=memory, num_frames=2, **common
    )
    for name in ("pred_masks", "obj_ptr", "maskmem_features"):
        log.value(f"net.tracked.{name}", tracked[name])
    log.value("net.resized", predictor._get_orig_video_res_output(state, tracked["pred_masks"])[1])
    both = api.tensor(
        np.stack([np.asarray(one["pred_masks"].detach().cpu().numpy())[0] for one in (prompted, tracked)])
    )
    log.value("net.apart", predictor._apply_non_overlapping_constraints(both))


def _call_helpers(api: SimpleNamespace, log: CallLog) -> None:
    logits = np.where(np.arange(96).reshape(1, 1, 8, 12) % 5 > 1, 3.0, -2.0).astype(np.float32)
    log.value("misc.filled", api.misc.fill_holes_in_mask_scores(api.tensor(logits), 2))
    log.call("misc.no_area", lambda: api.misc.fill_holes_in_mask_scores(api.tensor(logits), 0))
    labels, areas = api.misc.get_connected_components(api.tensor(logits <= 0))
    log.value("misc.components", [labels > 0, areas])
    masks = np.zeros((2, 1, 8, 12), bool)
    masks[0, 0, 2:5, 3:9] = True
    log.value("misc.boxes", api.misc.mask_to_box(api.tensor(masks)))
    points, marks = api.tensor(CLICKS[None]), api.tensor(TWO[None])
    once = api.misc.concat_points(None, points, marks)
    log.value("misc.points", api.misc.concat_points(once, points, marks))
