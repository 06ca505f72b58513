"""Video predictor with the methods, defaults and inference state of `sam2.sam2_video_predictor`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
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
    delete_all_objects,
    delete_object,
    demote,
    find_object,
    find_output,
    has_pending_condition,
    list_prompted_frames,
)
from masklet.compat.sam2.modeling.network_methods import clamp_logits
from masklet.compat.sam2.modeling.video_steps import VideoSteps
from masklet.compat.sam2.utils.misc import concat_points, load_video_frames
from masklet.compat.sam2.video_frames import VideoFrames
from masklet.images.resize import resize_antialiased

Answer = tuple[int, list[Any], Any]


class SAM2VideoPredictor(VideoSteps):
    """Predicts the masks of objects in videos. Each video has a state, which `init_state` creates.

    Args:
        fill_hole_area: The largest area of a hole that is filled, in low-resolution pixels, on every device.
        non_overlap_masks: Assign each pixel of the returned masks to at most one object.
        clear_non_cond_mem_around_input: Delete the memories of tracked frames around a prompted frame.
        add_all_frames_to_correct_as_cond: A correction on a tracked frame becomes a conditioning frame. Without it, the
            next propagation replaces the correction, as in the reference.
        **kwargs: Arguments of `SAM2Base`.
    """

    def __init__(
        self,
        fill_hole_area: int = 0,
        non_overlap_masks: bool = False,
        clear_non_cond_mem_around_input: bool = False,
        add_all_frames_to_correct_as_cond: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fill_hole_area = fill_hole_area
        self.non_overlap_masks = non_overlap_masks
        self.clear_non_cond_mem_around_input = clear_non_cond_mem_around_input
        self.add_all_frames_to_correct_as_cond = add_all_frames_to_correct_as_cond

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> SAM2VideoPredictor:
        """Build the predictor of a released model, see `build_sam2_video_predictor_hf`."""
        from masklet.compat.sam2.build_sam import build_sam2_video_predictor_hf

        predictor: SAM2VideoPredictor = build_sam2_video_predictor_hf(model_id, **kwargs)
        return predictor

    def init_state(
        self,
        video_path: Any,
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
    ) -> State:
        """Open a video, and encode its first frame.

        Args:
            video_path: Path of a folder of JPEG files that are named by numbers, path of an MP4 file, or its content.
                Not in the reference: an array (T, H, W, 3) uint8 RGB.
            offload_video_to_cpu: Give frames on the CPU.
            offload_state_to_cpu: Store memories and low-resolution masks on the CPU.
            async_loading_frames: Has no effect: a frame is read when it is needed.

        Returns:
            The state. `images` is a sequence that reads each frame when it is asked for.

        Raises:
            NotImplementedError: `video_path` is something else.
            RuntimeError: The folder has no JPEG files.
        """
        images, height, width = load_video_frames(
            video_path=video_path,
            image_size=self.image_size,
            offload_video_to_cpu=offload_video_to_cpu,
            async_loading_frames=async_loading_frames,
            compute_device=self.device,
        )
        return self._open(
            images,
            (height, width),
            offload_video_to_cpu=offload_video_to_cpu,
            offload_state_to_cpu=offload_state_to_cpu,
        )

    def add_new_points_or_box(
        self,
        inference_state: State,
        frame_idx: int,
        obj_id: Hashable,
        points: Any = None,
        labels: Any = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
        box: Any = None,
    ) -> Answer:
        """Prompt an object with clicks, a box or both, on any frame.

        The mask so far is refined, whatever `clear_old_points` is.

        Args:
            inference_state: The state.
            frame_idx: Number of the frame.
            obj_id: Id of the object. A new id adds an object, also after tracking.
            points: Clicks (P, 2) or (1, P, 2) xy in pixels of the video.
            labels: Labels (P,) or (1, P): 1 for the object, 0 for the background.
            clear_old_points: Replace the object's earlier clicks on this frame, instead of appending to them.
            normalize_coords: Coordinates are pixels; with False they are fractions of the width and height.
            box: Box (4,) xyxy in pixels of the video.

        Returns:
            The frame, the ids of all objects, and their logits (N, 1, H, W); −1024 for objects without a result there.

        Raises:
            ValueError: Points or labels are missing, there is neither a point nor a box, or a box comes with
                `clear_old_points=False`.
            IndexError: There is no such frame.
        """
        if (points is not None) != (labels is not None):
            raise ValueError("points and labels must be provided together")
        if points is None and box is None:
            raise ValueError("at least one of points or box must be provided as input")
        if box is not None and not clear_old_points:
            raise ValueError(
                "a box comes before the clicks of its object on a frame and replaces earlier ones; "
                "pass clear_old_points=True"
            )
        self._check_frame(inference_state, frame_idx)
        coords, marks = self._make_points(inference_state, points, labels, box, normalize_coords)
        position = find_object(inference_state, obj_id)
        earlier = None if clear_old_points else inference_state["point_inputs_per_obj"][position].get(frame_idx)
        inputs = concat_points(earlier, coords, marks)
        inference_state["point_inputs_per_obj"][position][frame_idx] = inputs
        inference_state["mask_inputs_per_obj"][position].pop(frame_idx, None)
        return self._prompt(inference_state, position, frame_idx, point_inputs=inputs)

    def add_new_points(self, *args: Any, **kwargs: Any) -> Answer:
        """Prompt an object. An older name of `add_new_points_or_box`."""
        return self.add_new_points_or_box(*args, **kwargs)

    def add_new_mask(self, inference_state: State, frame_idx: int, obj_id: Hashable, mask: Any) -> Answer:
        """Prompt an object with a mask, which is used as it is.

        Args:
            inference_state: The state.
            frame_idx: Number of the frame.
            obj_id: Id of the object.
            mask: Mask (H, W) of any size, true or 1 on the object.

        Returns:
            As `add_new_points_or_box`.

        Raises:
            AssertionError: The mask does not have two axes.
            IndexError: There is no such frame.
        """
        values = to_numpy(mask)
        assert values.ndim == 2, f"a mask has two axes (H, W), got shape {values.shape}"
        self._check_frame(inference_state, frame_idx)
        position = find_object(inference_state, obj_id)
        number = np.float64 if self.is_double else np.float32
        square = values.astype(number) if hasattr(mask, "detach") else (values != 0).astype(number)
        if square.shape != (self.image_size, self.image_size):
            resized = resize_antialiased(square, (self.image_size, self.image_size))
            square = (resized >= MASK_THRESHOLD).astype(number)
        inputs = make_tensor(square[None, None], inference_state["device"])
        inference_state["mask_inputs_per_obj"][position][frame_idx] = inputs
        inference_state["point_inputs_per_obj"][position].pop(frame_idx, None)
        return self._prompt(inference_state, position, frame_idx, mask_inputs=inputs)

    def propagate_in_video_preflight(self, inference_state: State) -> None:
        """Write the results of new prompts to memory. `propagate_in_video` calls it.

        Raises:
            RuntimeError: There is no object, or one without a prompt.
        """
        if not inference_state["obj_ids"]:
            raise RuntimeError("No input points or masks are provided for any object; please add inputs first.")
        for position, results in inference_state["output_dict_per_obj"].items():
            for kind in (NON_CONDITIONING, CONDITIONING):
                pending = inference_state["temp_output_dict_per_obj"][position][kind]
                for frame_idx, output in pending.items():
                    results[kind][frame_idx] = self._complete(inference_state, frame_idx, output)
                    self._clear_memory_around(inference_state, position, frame_idx)
                pending.clear()
            if not results[CONDITIONING]:
                obj_id = inference_state["obj_idx_to_id"][position]
                raise RuntimeError(
                    f"No input points or masks are provided for object id {obj_id}; please add inputs first."
                )
            for frame_idx in results[CONDITIONING]:
                results[NON_CONDITIONING].pop(frame_idx, None)

    def propagate_in_video(
        self,
        inference_state: State,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[Answer]:
        """Track all objects through the video.

        Every frame is tracked again, except an object's conditioning frames, which keep their masks.

        Args:
            inference_state: The state.
            start_frame_idx: The first frame; by default the earliest conditioning frame of any object.
            max_frame_num_to_track: Number of frames after the first one, so that one frame more is tracked; by default
                all of them.
            reverse: Track backward. From frame 0 there is then nothing to track.

        Yields:
            Each frame, the ids of all objects, and their logits (N, 1, H, W).

        Raises:
            RuntimeError: There is no object, or one without a prompt.
        """
        self.propagate_in_video_preflight(inference_state)
        obj_ids = inference_state["obj_ids"]
        for frame_idx in _list_frames(inference_state, start_frame_idx, max_frame_num_to_track, reverse):
            low_res = self._track_frame(inference_state, frame_idx, reverse=reverse)
            yield frame_idx, obj_ids, self._get_orig_video_res_output(inference_state, low_res)[1]

    def clear_all_prompts_in_frame(
        self, inference_state: State, frame_idx: int, obj_id: Hashable, need_output: bool = True
    ) -> Answer | None:
        """Delete an object's prompts on a frame. Its result there remains, as that of a tracked frame.

        Returns:
            As `add_new_points_or_box`; None with `need_output=False`.
        """
        demote(inference_state, find_object(inference_state, obj_id), frame_idx)
        if not need_output:
            return None
        kind = CONDITIONING if has_pending_condition(inference_state, frame_idx) else NON_CONDITIONING
        return frame_idx, inference_state["obj_ids"], self._get_frame_masks(inference_state, frame_idx, kind)

    def remove_object(
        self, inference_state: State, obj_id: Hashable, strict: bool = False, need_output: bool = True
    ) -> tuple[list[Any], list[tuple[int, Any]]]:
        """Remove an object.

        Args:
            inference_state: The state.
            obj_id: Id of the object.
            strict: Raise an error for an unknown id.
            need_output: Return the masks of the frames on which the object had a prompt.

        Returns:
            The ids of the other objects; and each frame on which the object had a prompt, with their logits.

        Raises:
            RuntimeError: The id is unknown, and `strict` is set.
        """
        position = inference_state["obj_id_to_idx"].get(obj_id)
        if position is None:
            if strict:
                raise RuntimeError(f"there is no object with id {obj_id}; the ids are {inference_state['obj_ids']}")
            return inference_state["obj_ids"], []
        if len(inference_state["obj_id_to_idx"]) == 1:
            self.reset_state(inference_state)
            return inference_state["obj_ids"], []
        frames = list_prompted_frames(inference_state, position)
        delete_object(inference_state, obj_id)
        updated = []
        for frame_idx in frames if need_output else ():
            kind = CONDITIONING if has_pending_condition(inference_state, frame_idx) else NON_CONDITIONING
            updated.append((frame_idx, self._get_frame_masks(inference_state, frame_idx, kind)))
        return inference_state["obj_ids"], updated

    def reset_state(self, inference_state: State) -> None:
        """Remove all objects with their prompts and results. Frames and features stay."""
        delete_all_objects(inference_state)

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
        self._get_image_feature(state, 0, 1)
        return state

    def _prompt(
        self, state: State, position: int, frame_idx: int, *, point_inputs: Any = None, mask_inputs: Any = None
    ) -> Answer:
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
        if not 0 <= frame_idx < state["num_frames"]:
            raise IndexError(f"frame {frame_idx} does not exist; the video has {state['num_frames']} frames")


class SAM2VideoPredictorVOS(SAM2VideoPredictor):
    """The predictor that `vos_optimized=True` selects. It predicts as the other does, and nothing is compiled."""


def _list_frames(state: State, start: int | None, count: int | None, reverse: bool) -> Sequence[int]:
    """List the frames that are tracked, in order."""
    if start is None:
        start = min(frame for results in state["output_dict_per_obj"].values() for frame in results[CONDITIONING])
    if count is None:
        count = state["num_frames"]
    if reverse:
        return range(start, max(start - count, 0) - 1, -1) if start > 0 else ()
    return range(start, min(start + count, state["num_frames"] - 1) + 1)
