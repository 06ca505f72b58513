"""Inference state: the prompts and results of the objects of one video, a dict with the keys of the package `sam2`.

Objects have ids, which programs choose, and positions 0, 1, …, by which the dicts of the state are keyed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from masklet.backend import MAX_POINTERS

State = dict[str, Any]

CONDITIONING = "cond_frame_outputs"
NON_CONDITIONING = "non_cond_frame_outputs"

_INPUTS = ("point_inputs_per_obj", "mask_inputs_per_obj")
_OUTPUTS = ("output_dict_per_obj", "temp_output_dict_per_obj")
_PER_OBJECT = (*_INPUTS, *_OUTPUTS, "frames_tracked_per_obj")


def create_state(
    images: Any,
    size: tuple[int, int],
    device: Any,
    *,
    offload_video_to_cpu: bool = False,
    offload_state_to_cpu: bool = False,
) -> State:
    """Create the state of a video without objects.

    Args:
        images: Frames as normalized tensors (3, S, S) by number.
        size: (H, W) of the video in pixels.
        device: Device of the model.
        offload_video_to_cpu: Whether `images` gives tensors on the CPU.
        offload_state_to_cpu: Store memories and low-resolution masks on the CPU.
    """
    return {
        "images": images,
        "num_frames": len(images),
        "offload_video_to_cpu": offload_video_to_cpu,
        "offload_state_to_cpu": offload_state_to_cpu,
        "video_height": size[0],
        "video_width": size[1],
        "device": device,
        "storage_device": _get_cpu(device) if offload_state_to_cpu else device,
        "cached_features": {},
        "constants": {},
        "obj_id_to_idx": OrderedDict(),
        "obj_idx_to_id": OrderedDict(),
        "obj_ids": [],
        **{name: {} for name in _PER_OBJECT},
    }


def find_object(state: State, obj_id: Hashable) -> int:
    """Return the position of an object, which is added if it is not known."""
    position: int | None = state["obj_id_to_idx"].get(obj_id)
    if position is not None:
        return position
    position = len(state["obj_id_to_idx"])
    state["obj_id_to_idx"][obj_id] = position
    state["obj_idx_to_id"][position] = obj_id
    state["obj_ids"] = list(state["obj_id_to_idx"])
    for name in _PER_OBJECT:
        state[name][position] = {CONDITIONING: {}, NON_CONDITIONING: {}} if name in _OUTPUTS else {}
    return position


def delete_object(state: State, obj_id: Hashable) -> None:
    """Delete an object. Those after it move up by one position."""
    deleted = state["obj_id_to_idx"][obj_id]
    remaining = [position for position in state["obj_idx_to_id"] if position != deleted]
    ids = [state["obj_idx_to_id"][position] for position in remaining]
    state["obj_id_to_idx"] = {one: position for position, one in enumerate(ids)}
    state["obj_idx_to_id"] = dict(enumerate(ids))
    state["obj_ids"] = ids
    for name in _PER_OBJECT:
        remaining_values = [state[name][position] for position in remaining]
        state[name].clear()
        state[name].update(enumerate(remaining_values))


def delete_all_objects(state: State) -> None:
    """Delete all objects in place. Frames and features stay."""
    for name in ("obj_id_to_idx", "obj_idx_to_id", "obj_ids", *_PER_OBJECT):
        state[name].clear()


def list_prompted_frames(state: State, position: int) -> list[int]:
    """List the frames on which an object has a prompt, in order."""
    return sorted({frame for name in _INPUTS for frame in state[name][position]})


def demote(state: State, position: int, frame: int) -> None:
    """Delete an object's prompt of a frame. Its result stays, as that of a frame that was tracked."""
    for name in _INPUTS:
        state[name][position].pop(frame, None)
    for outputs in state["temp_output_dict_per_obj"][position].values():
        outputs.pop(frame, None)
    results = state["output_dict_per_obj"][position]
    output = results[CONDITIONING].pop(frame, None)
    if output is not None:
        results[NON_CONDITIONING][frame] = output
        state["frames_tracked_per_obj"][position].pop(frame, None)


def find_output(state: State, position: int, frame: int, kind: str) -> Any:
    """Return an object's latest output on a frame, None if there is none.

    Args:
        state: The state.
        position: Position of the object.
        frame: Number of the frame.
        kind: `CONDITIONING` or `NON_CONDITIONING`; outputs of prompts that were not propagated are searched only there.
    """
    results = state["output_dict_per_obj"][position]
    places = state["temp_output_dict_per_obj"][position][kind], results[CONDITIONING], results[NON_CONDITIONING]
    return next((place[frame] for place in places if frame in place), None)


def has_pending_condition(state: State, frame: int) -> bool:
    """Return whether any object has a conditioning output on a frame that was not propagated."""
    return any(frame in outputs[CONDITIONING] for outputs in state["temp_output_dict_per_obj"].values())


def forget_old_results(state: State, frame: int) -> None:
    """Delete the results of tracked frames that no later frame of a stream recalls."""
    oldest = frame - MAX_POINTERS + 1
    for results in state["output_dict_per_obj"].values():
        for old in [t for t in results[NON_CONDITIONING] if t < oldest]:
            del results[NON_CONDITIONING][old]
    for frames in state["frames_tracked_per_obj"].values():
        for old in [t for t in frames if t < oldest]:
            del frames[old]


def _get_cpu(device: Any) -> Any:
    """Return the CPU, as a device of the same kind."""
    return "cpu" if isinstance(device, str) else type(device)("cpu")
