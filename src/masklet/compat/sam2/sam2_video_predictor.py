"""Video predictor with the methods, defaults and inference state of `sam2.sam2_video_predictor`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from masklet.compat.sam2.inference_state import (
    CONDITIONING,
    NON_CONDITIONING,
    State,
    delete_all_objects,
    delete_object,
    demote,
    find_object,
    forget_old_results,
    has_pending_condition,
    list_prompted_frames,
)
from masklet.compat.sam2.modeling.prompting import FrameResult, Prompting
from masklet.compat.sam2.utils.misc import load_video_frames


class SAM2VideoPredictor(Prompting):
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
        video_path: Any = None,
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
    ) -> State:
        """Open a video, and encode its first frame.

        Args:
            video_path: Path of a folder of JPEG files that are named by numbers, path of an MP4 file, or its content.
                Not in the reference: an array (T, H, W, 3) uint8 RGB, or None for a stream without frames, to which
                `add_new_frame` appends them.
            offload_video_to_cpu: Give frames on the CPU.
            offload_state_to_cpu: Store memories and low-resolution masks on the CPU.
            async_loading_frames: Has no effect: a frame is read when it is needed.

        Returns:
            The state. `images` is a sequence that reads each frame when it is asked for.

        Raises:
            NotImplementedError: `video_path` is something else.
            RuntimeError: The folder has no JPEG files.
        """
        offload = {"offload_video_to_cpu": offload_video_to_cpu, "offload_state_to_cpu": offload_state_to_cpu}
        if video_path is None:
            return self._open_stream(**offload)
        images, height, width = load_video_frames(
            video_path=video_path,
            image_size=self.image_size,
            offload_video_to_cpu=offload_video_to_cpu,
            async_loading_frames=async_loading_frames,
            compute_device=self.device,
        )
        return self._open(images, (height, width), **offload)

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
    ) -> FrameResult:
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
        return self._prompt_points(
            inference_state,
            frame_idx,
            obj_id,
            points,
            labels,
            box,
            clear_old_points=clear_old_points,
            normalize_coords=normalize_coords,
        )

    def add_new_points(self, *args: Any, **kwargs: Any) -> FrameResult:
        """Prompt an object. An older name of `add_new_points_or_box`."""
        return self.add_new_points_or_box(*args, **kwargs)

    def add_new_mask(self, inference_state: State, frame_idx: int, obj_id: Hashable, mask: Any) -> FrameResult:
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
        return self._prompt_mask(inference_state, frame_idx, obj_id, mask)

    def propagate_in_video_preflight(self, inference_state: State) -> None:
        """Write the results of new prompts to memory. `propagate_in_video` calls it.

        Raises:
            RuntimeError: There is no object, or one without a prompt.
        """
        self._prepare_tracking(inference_state)

    def propagate_in_video(
        self,
        inference_state: State,
        start_frame_idx: int | None = None,
        max_frame_num_to_track: int | None = None,
        reverse: bool = False,
    ) -> Iterator[FrameResult]:
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
        for frame_idx in _list_frames(inference_state, start_frame_idx, max_frame_num_to_track, reverse):
            yield self._track(inference_state, frame_idx, reverse=reverse)

    def clear_all_prompts_in_frame(
        self, inference_state: State, frame_idx: int, obj_id: Hashable, need_output: bool = True
    ) -> FrameResult | None:
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

    def add_new_frame(self, inference_state: State, new_frame: Any) -> int:
        """Append a frame to a stream, as Grounded-SAM-2's copy of the predictor does.

        The first of several frames of a stream, up to the last `MAX_STREAM_FRAMES`, can be prompted.

        Args:
            inference_state: A state of `init_state()`, without a video.
            new_frame: Image (H, W, 3) uint8 RGB, or one of Pillow.

        Returns:
            Number of the frame.
        """
        return self._append(inference_state, new_frame)

    def infer_single_frame(self, inference_state: State, frame_idx: int) -> FrameResult:
        """Track all objects to one frame of a stream, as Grounded-SAM-2's copy of the predictor does.

        Returns:
            As `add_new_points_or_box`.

        Raises:
            RuntimeError: There is no object, or one without a prompt.
        """
        self._prepare_tracking(inference_state)
        result = self._track(inference_state, frame_idx)
        forget_old_results(inference_state, frame_idx)
        return result


class SAM2VideoPredictorVOS(SAM2VideoPredictor):
    """The predictor that `vos_optimized=True` selects. It predicts as the other does, and nothing is compiled."""


class SAM2VideoPredictorNPZ(SAM2VideoPredictor):
    """The predictor of MedSAM2 for volumes, whose slices the program has resized and normalized."""

    def init_state(  # type: ignore[override]
        self,
        images: Any,
        video_height: int,
        video_width: int,
        offload_video_to_cpu: bool = False,
        offload_state_to_cpu: bool = False,
        async_loading_frames: bool = False,
    ) -> State:
        """Take slices as a video, and encode the first one.

        Args:
            images: Normalized slices (T, 3, S, S).
            video_height: Height of the slices in pixels before they were resized.
            video_width: Width of the slices.
            offload_video_to_cpu: Has no effect: a slice is moved when it is needed.
            offload_state_to_cpu: Store memories and low-resolution masks on the CPU.
            async_loading_frames: Has no effect.

        Returns:
            The state.
        """
        return self._open(
            images,
            (video_height, video_width),
            offload_video_to_cpu=offload_video_to_cpu,
            offload_state_to_cpu=offload_state_to_cpu,
        )


def _list_frames(state: State, start: int | None, count: int | None, reverse: bool) -> Sequence[int]:
    """List the frames that are tracked, in order."""
    if start is None:
        start = min(frame for results in state["output_dict_per_obj"].values() for frame in results[CONDITIONING])
    if count is None:
        count = state["num_frames"]
    if reverse:
        return range(start, max(start - count, 0) - 1, -1) if start > 0 else ()
    return range(start, min(start + count, state["num_frames"] - 1) + 1)
