"""Camera predictor with the methods of the real-time fork of the package `sam2`: one stream, whose state it holds."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from masklet.compat.sam2.inference_state import State, delete_all_objects, forget_old_results
from masklet.compat.sam2.modeling.prompting import FrameResult, Prompting


class SAM2CameraPredictor(Prompting):
    """Predicts the masks of objects in a stream, frame by frame.

    An object may be added at any time. Memory does not grow: results are kept as long as a later frame recalls them.

    Args:
        fill_hole_area: The largest area of a hole that is filled, in low-resolution pixels.
        non_overlap_masks: Assign each pixel of the returned masks to at most one object.
        clear_non_cond_mem_around_input: Delete the memories of tracked frames around a prompted frame.
        clear_non_cond_mem_for_multi_obj: Has no effect: each object has memories of its own.
        add_all_frames_to_correct_as_cond: A correction on a tracked frame becomes a conditioning frame.
        **kwargs: Arguments of `SAM2Base`.

    Attributes:
        condition_state: The inference state of the stream.
        frame_idx: Number of the last frame.
        takes_bgr: Whether arrays that are passed as frames have the channel order of OpenCV. False by default.
    """

    def __init__(
        self,
        fill_hole_area: int = 0,
        non_overlap_masks: bool = False,
        clear_non_cond_mem_around_input: bool = False,
        clear_non_cond_mem_for_multi_obj: bool = False,
        add_all_frames_to_correct_as_cond: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fill_hole_area = fill_hole_area
        self.non_overlap_masks = non_overlap_masks
        self.clear_non_cond_mem_around_input = clear_non_cond_mem_around_input
        self.clear_non_cond_mem_for_multi_obj = clear_non_cond_mem_for_multi_obj
        self.add_all_frames_to_correct_as_cond = add_all_frames_to_correct_as_cond
        self.condition_state: State = {}
        self.frame_idx = 0
        self.takes_bgr = False

    def load_first_frame(self, img: Any) -> None:
        """Start a new stream with its first frame, an array (H, W, 3) uint8 RGB or an image of Pillow.

        Raises:
            ImageError: The image is something else.
        """
        state = self._open_stream(offload_video_to_cpu=False, offload_state_to_cpu=False)
        self.frame_idx = self._append(state, self._order_channels(img), keep=True)
        self.condition_state = state

    def add_conditioning_frame(self, img: Any) -> None:
        """Append a frame that is prompted, and not tracked. It can be prompted at any later time."""
        self.frame_idx = self._append(self._get_state(), self._order_channels(img), keep=True)

    def add_new_prompt(
        self,
        frame_idx: int,
        obj_id: Hashable,
        points: Any = None,
        labels: Any = None,
        bbox: Any = None,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
    ) -> FrameResult:
        """Prompt an object with clicks, a box or both.

        Args:
            frame_idx: Number of the frame: one of the last 16, the first one, or a conditioning frame.
            obj_id: Id of the object.
            points: Clicks (P, 2) xy in pixels.
            labels: Labels (P,): 1 for the object, 0 for the background.
            bbox: Box (4,) xyxy or (2, 2) in pixels.
            clear_old_points: Replace the object's earlier clicks on this frame, instead of appending to them.
            normalize_coords: Coordinates are pixels; with False they are fractions of the width and height.

        Returns:
            The frame, the ids of all objects, and their logits (N, 1, H, W); −1024 for objects without a result there.

        Raises:
            ValueError: Points or labels are missing, there is neither a point nor a box, or a box comes with
                `clear_old_points=False`.
            IndexError: There is no such frame.
        """
        return self._prompt_points(
            self._get_state(),
            frame_idx,
            obj_id,
            points,
            labels,
            bbox,
            clear_old_points=clear_old_points,
            normalize_coords=normalize_coords,
        )

    def add_new_points(
        self,
        frame_idx: int,
        obj_id: Hashable,
        points: Any,
        labels: Any,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
    ) -> FrameResult:
        """Prompt an object with clicks. See `add_new_prompt`."""
        return self.add_new_prompt(frame_idx, obj_id, points, labels, None, clear_old_points, normalize_coords)

    def add_new_mask(self, frame_idx: int, obj_id: Hashable, mask: Any) -> FrameResult:
        """Prompt an object with a mask (H, W), which is used as it is. Returns as `add_new_prompt`."""
        return self._prompt_mask(self._get_state(), frame_idx, obj_id, mask)

    def add_new_prompt_during_track(
        self,
        point: Any = None,
        bbox: Any = None,
        labels: Any = None,
        obj_id: Hashable = None,
        mask: Any = None,
        if_new_target: bool = True,
        clear_old_points: bool = True,
        normalize_coords: bool = True,
    ) -> FrameResult:
        """Prompt an object on the last frame.

        Args:
            point: Clicks (P, 2) xy in pixels, or one click (2,).
            bbox: Box (4,) xyxy or (2, 2) in pixels.
            labels: Labels (P,); by default all clicks are on the object.
            obj_id: Id of the object. By default a new target gets the next number, and the last object is meant
                otherwise.
            mask: Mask (H, W), instead of clicks and a box.
            if_new_target: Whether the prompt is of a new object.
            clear_old_points: See `add_new_prompt`.
            normalize_coords: See `add_new_prompt`.

        Returns:
            As `add_new_prompt`.
        """
        obj_ids = self._get_state()["obj_ids"]
        if obj_id is None:
            numbers = [one for one in obj_ids if isinstance(one, int | np.integer)]
            obj_id = obj_ids[-1] if obj_ids and not if_new_target else max(numbers, default=0) + 1
        if mask is not None:
            return self.add_new_mask(self.frame_idx, obj_id, mask)
        if point is not None:
            point = np.reshape(np.asarray(point, np.float64), (-1, 2))
            labels = np.ones(len(point), np.int32) if labels is None else labels
        return self.add_new_prompt(self.frame_idx, obj_id, point, labels, bbox, clear_old_points, normalize_coords)

    def add_new_promot_during_track(
        self, point: Any = None, bbox: Any = None, mask: Any = None, if_new_target: bool = True
    ) -> FrameResult:
        """Prompt an object on the last frame. The fork's older name of `add_new_prompt_during_track`."""
        return self.add_new_prompt_during_track(point, bbox, mask=mask, if_new_target=if_new_target)

    def propagate_in_video_preflight(self) -> None:
        """Write the results of new prompts to memory. `track` calls it."""
        self._prepare_tracking(self._get_state())

    def track(self, img: Any) -> tuple[list[Any], Any]:
        """Append the next frame, an array (H, W, 3) uint8 RGB or an image of Pillow, and track all objects to it.

        Returns:
            The ids of the objects, and their logits (N, 1, H, W).

        Raises:
            RuntimeError: There is no object, or one without a prompt.
            ImageError: The image is something else.
        """
        state = self._get_state()
        self.propagate_in_video_preflight()
        self.frame_idx = self._append(state, self._order_channels(img))
        _, obj_ids, masks = self._track(state, self.frame_idx)
        forget_old_results(state, self.frame_idx)
        return obj_ids, masks

    def reset_state(self) -> None:
        """Remove all objects with their prompts and results. The stream continues."""
        delete_all_objects(self._get_state())

    def _get_state(self) -> State:
        if not self.condition_state:
            raise RuntimeError("there is no frame yet; call load_first_frame first")
        return self.condition_state

    def _order_channels(self, img: Any) -> Any:
        return np.ascontiguousarray(img[..., ::-1]) if self.takes_bgr and isinstance(img, np.ndarray) else img
