"""Prompts of objects on an inference state, which the predictors of videos and of cameras share."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np

from masklet.backend import MASK_THRESHOLD
from masklet.compat.sam2.array import make_tensor, to_numpy
from masklet.compat.sam2.inference_state import (
    CONDITIONING,
    NON_CONDITIONING,
    State,
    create_state,
    find_object,
    find_output,
)
from masklet.compat.sam2.modeling.network_methods import clamp_logits
from masklet.compat.sam2.modeling.video_steps import VideoSteps
from masklet.compat.sam2.stream_frames import StreamFrames
from masklet.compat.sam2.utils.misc import concat_points
from masklet.compat.sam2.video_frames import Normalization, VideoFrames
from masklet.images.resize import resize_antialiased

FrameResult = tuple[int, list[Any], Any]
"""Number of a frame, ids of all objects, and their logits (N, 1, H, W) on the frame."""


class Prompting(VideoSteps):
    """A model that predicts objects from prompts, and tracks them from there."""

    add_all_frames_to_correct_as_cond: bool

    def _open(
        self, images: Any, size: tuple[int, int], *, offload_video_to_cpu: bool, offload_state_to_cpu: bool
    ) -> State:
        """Create the state of a video, and encode its first frame."""
        if isinstance(images, VideoFrames) and self.is_double:
            images.normalization = replace(images.normalization, dtype=np.float64)
        state = create_state(
            images,
            size,
            self.device,
            offload_video_to_cpu=offload_video_to_cpu,
            offload_state_to_cpu=offload_state_to_cpu,
        )
        if state["num_frames"]:
            self._get_image_feature(state, 0, 1)
        return state

    def _open_stream(self, **options: bool) -> State:
        """Create the state of a stream without frames."""
        normalization = Normalization(self.image_size, dtype=np.float64 if self.is_double else np.float32)
        return self._open(StreamFrames(normalization, self.device), (0, 0), **options)

    def _append(self, state: State, image: Any, *, keep: bool = False) -> int:
        """Append a frame to a stream. Returns its number."""
        images: StreamFrames = state["images"]
        state["video_height"], state["video_width"] = images.append(image, keep=keep)
        state["num_frames"] = len(images)
        return len(images) - 1

    def _prompt_points(
        self,
        state: State,
        frame_idx: int,
        obj_id: Hashable,
        points: Any,
        labels: Any,
        box: Any,
        *,
        clear_old_points: bool,
        normalize_coords: bool,
    ) -> FrameResult:
        """Prompt an object with clicks, a box or both. See `SAM2VideoPredictor.add_new_points_or_box`."""
        if (points is not None) != (labels is not None):
            raise ValueError("points and labels must be provided together")
        if points is None and box is None:
            raise ValueError("at least one of points or box must be provided as input")
        if box is not None and not clear_old_points:
            raise ValueError(
                "a box comes before the clicks of its object on a frame and replaces earlier ones; "
                "pass clear_old_points=True"
            )
        self._check_frame(state, frame_idx)
        coords, marks = self._make_points(state, points, labels, box, normalize_coords)
        position = find_object(state, obj_id)
        earlier = None if clear_old_points else state["point_inputs_per_obj"][position].get(frame_idx)
        inputs = concat_points(earlier, coords, marks)
        state["point_inputs_per_obj"][position][frame_idx] = inputs
        state["mask_inputs_per_obj"][position].pop(frame_idx, None)
        return self._prompt(state, position, frame_idx, point_inputs=inputs)

    def _prompt_mask(self, state: State, frame_idx: int, obj_id: Hashable, mask: Any) -> FrameResult:
        """Prompt an object with a mask. See `SAM2VideoPredictor.add_new_mask`."""
        values = to_numpy(mask)
        assert values.ndim == 2, f"a mask has two axes (H, W), got shape {values.shape}"
        self._check_frame(state, frame_idx)
        position = find_object(state, obj_id)
        number = np.float64 if self.is_double else np.float32
        square = values.astype(number) if hasattr(mask, "detach") else (values != 0).astype(number)
        if square.shape != (self.image_size, self.image_size):
            resized = resize_antialiased(square, (self.image_size, self.image_size))
            square = (resized >= MASK_THRESHOLD).astype(number)
        inputs = make_tensor(square[None, None], state["device"])
        state["mask_inputs_per_obj"][position][frame_idx] = inputs
        state["point_inputs_per_obj"][position].pop(frame_idx, None)
        return self._prompt(state, position, frame_idx, mask_inputs=inputs)

    def _prepare_tracking(self, state: State) -> None:
        """Write the results of new prompts to memory. See `SAM2VideoPredictor.propagate_in_video_preflight`."""
        if not state["obj_ids"]:
            raise RuntimeError("No input points or masks are provided for any object; please add inputs first.")
        for position, results in state["output_dict_per_obj"].items():
            for kind in (NON_CONDITIONING, CONDITIONING):
                pending = state["temp_output_dict_per_obj"][position][kind]
                for frame_idx, output in pending.items():
                    results[kind][frame_idx] = self._complete(state, frame_idx, output)
                    self._clear_memory_around(state, position, frame_idx)
                pending.clear()
            if not results[CONDITIONING]:
                obj_id = state["obj_idx_to_id"][position]
                raise RuntimeError(
                    f"No input points or masks are provided for object id {obj_id}; please add inputs first."
                )
            for frame_idx in results[CONDITIONING]:
                results[NON_CONDITIONING].pop(frame_idx, None)

    def _track(self, state: State, frame_idx: int, *, reverse: bool = False) -> FrameResult:
        """Track all objects to a frame, after `_prepare_tracking`."""
        low_res = self._track_frame(state, frame_idx, reverse=reverse)
        return frame_idx, state["obj_ids"], self._get_orig_video_res_output(state, low_res)[1]

    def _prompt(
        self, state: State, position: int, frame_idx: int, *, point_inputs: Any = None, mask_inputs: Any = None
    ) -> FrameResult:
        """Predict an object's mask from its prompt on a frame, and return the masks of all objects there."""
        tracked = state["frames_tracked_per_obj"][position].get(frame_idx)
        is_cond = tracked is None or self.add_all_frames_to_correct_as_cond
        kind = CONDITIONING if is_cond else NON_CONDITIONING
        earlier = find_output(state, position, frame_idx, kind) if point_inputs is not None else None
        output = self._run_single_frame_inference(
            inference_state=state,
            output_dict=state["output_dict_per_obj"][position],
            frame_idx=frame_idx,
            batch_size=1,
            is_init_cond_frame=tracked is None,
            point_inputs=point_inputs,
            mask_inputs=mask_inputs,
            reverse=tracked is not None and tracked["reverse"],
            run_mem_encoder=False,
            prev_sam_mask_logits=None if earlier is None else clamp_logits(earlier["pred_masks"]),
        )[0]
        state["temp_output_dict_per_obj"][position][kind][frame_idx] = output
        return frame_idx, state["obj_ids"], self._get_frame_masks(state, frame_idx, kind)

    def _make_points(self, state: State, points: Any, labels: Any, box: Any, normalize_coords: bool) -> tuple[Any, Any]:
        """Return points (1, P, 2) in pixels of the network's square, with the corners of a box first, and labels."""
        number = np.float64 if self.is_double else np.float32
        coords = np.zeros((1, 0, 2), number) if points is None else to_numpy(points).astype(number).reshape(1, -1, 2)
        marks = np.zeros((1, 0), np.int32) if labels is None else to_numpy(labels).astype(np.int32).reshape(1, -1)
        if box is not None:
            coords = np.concatenate([to_numpy(box).astype(number).reshape(1, 2, 2), coords], axis=1)
            marks = np.concatenate([np.array([[2, 3]], np.int32), marks], axis=1)
        if normalize_coords:
            coords = coords / np.array([state["video_width"], state["video_height"]], number)
        device = state["device"]
        return make_tensor(coords * number(self.image_size), device), make_tensor(marks, device)

    def _check_frame(self, state: State, frame_idx: int) -> None:
        """Read a frame before a prompt of it changes the state. Raises `IndexError` if there is none."""
        if not 0 <= frame_idx < state["num_frames"]:
            raise IndexError(f"frame {frame_idx} does not exist; the video has {state['num_frames']} frames")
        self._get_image_feature(state, frame_idx, 1)
