"""Steps of the video predictors on an inference state: features of a frame, results of objects, masks of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from masklet.backend import NO_OBJECT
from masklet.compat.sam2.array import concatenate, make_tensor, to_bfloat16, to_numpy
from masklet.compat.sam2.inference_state import CONDITIONING, NON_CONDITIONING, State, find_output
from masklet.compat.sam2.modeling.network_methods import Output
from masklet.compat.sam2.modeling.sam2_base import SAM2Base
from masklet.compat.sam2.utils.misc import fill_holes_in_mask_scores
from masklet.masks.resize import resize_logits

_COMPACT = ("maskmem_features", "maskmem_pos_enc", "pred_masks", "obj_ptr", "object_score_logits")


class VideoSteps(SAM2Base):
    """A model with the steps that its video predictors have in common."""

    fill_hole_area: int
    non_overlap_masks: bool
    clear_non_cond_mem_around_input: bool

    def _get_image_feature(self, inference_state: State, frame_idx: int, batch_size: int) -> tuple[Any, ...]:
        """Return the features of a frame; those of the last frame are kept.

        Returns:
            The image (B, 3, S, S), then the values of `_prepare_backbone_features`, each for B objects.
        """
        image, backbone_out = inference_state["cached_features"].get(frame_idx, (None, None))
        if backbone_out is None:
            image = make_tensor(inference_state["images"][frame_idx], self.device)
            image = (image if self.is_double else image.float())[None]
            backbone_out = self.forward_image(image)
            inference_state["cached_features"] = {frame_idx: (image, backbone_out)}
        expanded = {
            name: [_expand(level, batch_size) for level in backbone_out[name]]
            for name in ("backbone_fpn", "vision_pos_enc")
        }
        return _expand(image, batch_size), *self._prepare_backbone_features(expanded)

    def _run_single_frame_inference(
        self,
        inference_state: State,
        output_dict: Mapping[str, Mapping[int, Output]],
        frame_idx: int,
        batch_size: int,
        is_init_cond_frame: bool,
        point_inputs: Mapping[str, Any] | None,
        mask_inputs: Any,
        reverse: bool,
        run_mem_encoder: bool,
        prev_sam_mask_logits: Any = None,
    ) -> tuple[Output, Any]:
        """Predict objects on one frame. Returns what is stored of the result, and the low-resolution logits."""
        _, _, feats, positions, sizes = self._get_image_feature(inference_state, frame_idx, batch_size)
        assert point_inputs is None or mask_inputs is None
        output = self.track_step(
            frame_idx=frame_idx,
            is_init_cond_frame=is_init_cond_frame,
            current_vision_feats=feats,
            current_vision_pos_embeds=positions,
            feat_sizes=sizes,
            point_inputs=point_inputs,
            mask_inputs=mask_inputs,
            output_dict=output_dict,
            num_frames=inference_state["num_frames"],
            track_in_reverse=reverse,
            run_mem_encoder=run_mem_encoder,
            prev_sam_mask_logits=prev_sam_mask_logits,
        )
        return self._compact(inference_state, output)

    def _track_frame(self, inference_state: State, frame_idx: int, *, reverse: bool) -> Any:
        """Track all objects to a frame, except those that it conditions. Returns their low-resolution logits."""
        outputs = inference_state["output_dict_per_obj"]
        tracked = [position for position, results in outputs.items() if frame_idx not in results[CONDITIONING]]
        if tracked:
            _, _, feats, _, sizes = self._get_image_feature(inference_state, frame_idx, 1)
            found = self._track_objects(
                feats, sizes, [outputs[k] for k in tracked], frame_idx, inference_state["num_frames"], reverse
            )
            for position, output in zip(tracked, found, strict=True):
                outputs[position][NON_CONDITIONING][frame_idx] = self._compact(inference_state, output)[0]
        for position in outputs:
            if position not in tracked:
                self._clear_memory_around(inference_state, position, frame_idx)
            inference_state["frames_tracked_per_obj"][position][frame_idx] = {"reverse": reverse}
        masks = [
            results[NON_CONDITIONING if position in tracked else CONDITIONING][frame_idx]["pred_masks"]
            for position, results in outputs.items()
        ]
        return concatenate(masks)

    def _complete(self, inference_state: State, frame_idx: int, output: Output) -> Output:
        """Return the result of a prompt with its memory."""
        if output["maskmem_features"] is not None or self.num_maskmem == 0:
            return output
        _, _, feats, _, sizes = self._get_image_feature(inference_state, frame_idx, 1)
        (memory,) = self._memorize(self._restore_features(feats, sizes), output, is_mask_from_pts=True)
        completed = {**output, "maskmem_features": memory, "maskmem_pos_enc": [self._memory_positions()]}
        return self._compact(inference_state, completed, fill=False)[0]

    def _compact(self, inference_state: State, output: Output, *, fill: bool = True) -> tuple[Output, Any]:
        """Return what is stored of a result, with holes filled, and its low-resolution logits."""
        storage, constants = inference_state["storage_device"], inference_state["constants"]
        masks = output["pred_masks"]
        if fill and self.fill_hole_area > 0:
            masks = fill_holes_in_mask_scores(masks, self.fill_hole_area)
        compact = {**{name: output[name] for name in _COMPACT}, "pred_masks": masks.to(storage)}
        if output["maskmem_features"] is not None:
            compact["maskmem_features"] = to_bfloat16(output["maskmem_features"]).to(storage)
            constants.setdefault("maskmem_pos_enc", [level[:1] for level in output["maskmem_pos_enc"]])
            compact["maskmem_pos_enc"] = [_expand(level, len(masks)) for level in constants["maskmem_pos_enc"]]
        return compact, masks

    def _get_frame_masks(self, inference_state: State, frame_idx: int, kind: str) -> Any:
        """Return the logits (N, 1, H, W) of all objects on a frame; −1024 where an object has none."""
        size = inference_state["video_height"], inference_state["video_width"]
        number = np.float64 if self.is_double else np.float32
        masks = np.full((len(inference_state["obj_ids"]), 1, *size), NO_OBJECT, number)
        for position in range(len(masks)):
            output = find_output(inference_state, position, frame_idx, kind)
            if output is not None:
                masks[position, 0] = resize_logits(to_numpy(output["pred_masks"])[0, 0], size)
        return self._get_orig_video_res_output(inference_state, make_tensor(masks))[1]

    def _get_orig_video_res_output(self, inference_state: State, any_res_masks: Any) -> tuple[Any, Any]:
        """Resize logits (N, 1, h, w) to the size of the video, and separate the objects if that is wanted.

        Returns:
            The given logits and the resized ones (N, 1, H, W), on the device of the model.
        """
        device = inference_state["device"]
        size = inference_state["video_height"], inference_state["video_width"]
        any_res_masks = any_res_masks.to(device)
        video_res_masks = any_res_masks
        if tuple(any_res_masks.shape[-2:]) != size:
            resized = [resize_logits(one, size) for one in to_numpy(any_res_masks)[:, 0]]
            video_res_masks = make_tensor(np.stack(resized)[:, None], device)
        if self.non_overlap_masks:
            video_res_masks = self._apply_non_overlapping_constraints(video_res_masks)
        return any_res_masks, video_res_masks

    def _clear_memory_around(self, inference_state: State, position: int, frame_idx: int) -> None:
        """Delete an object's memories of tracked frames around a frame, if that is wanted."""
        if self.clear_non_cond_mem_around_input:
            memories = inference_state["output_dict_per_obj"][position][NON_CONDITIONING]
            for frame in range(frame_idx - self.num_maskmem, frame_idx + self.num_maskmem + 1):
                memories.pop(frame, None)

    def _clear_non_cond_mem_around_input(self, inference_state: State, frame_idx: int) -> None:
        """Delete the memories of tracked frames around a frame, of all objects."""
        for position in inference_state["output_dict_per_obj"]:
            self._clear_memory_around(inference_state, position, frame_idx)


def _expand(tensor: Any, count: int) -> Any:
    """Repeat a tensor (1, …) to (count, …), as a view where PyTorch is installed."""
    if count == 1:
        return tensor
    if hasattr(tensor, "expand"):
        return tensor.expand(count, *tensor.shape[1:])
    return make_tensor(np.broadcast_to(to_numpy(tensor), (count, *tensor.shape[1:])))
