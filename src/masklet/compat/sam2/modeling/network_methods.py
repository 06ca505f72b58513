"""Methods of `sam2.modeling.sam2_base.SAM2Base` that programs call: features of images, and steps of tracking.

They take and return tensors. A step is composed of the calls of `Backend`, in the order of the tracker of masklet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.backend import (
    LOGIT_LIMIT,
    MASK_THRESHOLD,
    MAX_POINTERS,
    NO_PROMPT,
    Backend,
    Decoded,
    Features,
    Memory,
    Query,
    Recall,
)
from masklet.compat.sam2.array import concatenate, has_torch, make_tensor, to_numpy
from masklet.config import CERTAIN_LOGIT, NOT_A_POINT, STRIDES
from masklet.masks.overlap import remove_overlap
from masklet.masks.resize import resize_logits
from masklet.memory.memory_bank import NO_RECORD, build_recall
from masklet.memory.policy import Past
from masklet.memory.recent_memory import RECENT_MEMORY
from masklet.memory.selection import PROMPT_SLOT
from masklet.position_tables import compute_latent_positions, compute_sine_table

Output = dict[str, Any]
"""Result of one frame: `pred_masks`, `obj_ptr`, `object_score_logits`, `maskmem_features` and `maskmem_pos_enc`."""


class NetworkMethods:
    """Methods over a backend. The class that has them also has the attributes below."""

    image_size: int
    num_maskmem: int
    num_feature_levels: int
    binarize_mask_from_pts_for_mem_enc: bool

    @property
    def backend(self) -> Backend:
        """The networks."""
        raise NotImplementedError

    @property
    def device(self) -> Any:
        """Device of results."""
        raise NotImplementedError

    @property
    def is_double(self) -> bool:
        """Whether the networks compute in float64."""
        raise NotImplementedError

    def make_tensor(self, values: Any) -> Any:
        """Convert an array of the backend to a tensor."""
        raise NotImplementedError

    def to_backend(self, values: Any) -> Any:
        """Convert a tensor to an array of the backend."""
        raise NotImplementedError

    def forward_image(self, img_batch: Any) -> dict[str, Any]:
        """Encode images.

        Args:
            img_batch: Normalized images (B, 3, S, S).

        Returns:
            `backbone_fpn`, the features at strides 4, 8 and 16 as the decoder takes them; `vision_features`, the last
            of them; and `vision_pos_enc`, their position encodings (B, 256, h, w).
        """
        features = self.backend.encode_normalized(self.to_backend(img_batch))
        levels = [self.make_tensor(level) for level in features]
        positions = [concatenate([self._feature_positions(stride)] * len(img_batch)) for stride in STRIDES]
        return {"vision_features": levels[-1], "vision_pos_enc": positions, "backbone_fpn": levels}

    def _prepare_backbone_features(
        self, backbone_out: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[Any], list[Any], list[tuple[int, int]]]:
        """Flatten the features of `forward_image`.

        Returns:
            A copy of `backbone_out`, the features and the position encodings (h · w, B, channels) of each level, and
            the sizes (h, w) of the levels.
        """
        maps = backbone_out["backbone_fpn"][-self.num_feature_levels :]
        positions = backbone_out["vision_pos_enc"][-self.num_feature_levels :]
        sizes = [(int(level.shape[-2]), int(level.shape[-1])) for level in positions]
        vision_feats, vision_pos_embeds = (
            [level.flatten(2).permute(2, 0, 1) for level in levels] for levels in (maps, positions)
        )
        return dict(backbone_out), vision_feats, vision_pos_embeds, sizes

    def track_step(
        self,
        frame_idx: int,
        is_init_cond_frame: bool,
        current_vision_feats: Sequence[Any],
        current_vision_pos_embeds: Sequence[Any],
        feat_sizes: Sequence[tuple[int, int]],
        point_inputs: Mapping[str, Any] | None,
        mask_inputs: Any,
        output_dict: Mapping[str, Mapping[int, Output]],
        num_frames: int,
        track_in_reverse: bool = False,
        run_mem_encoder: bool = True,
        prev_sam_mask_logits: Any = None,
    ) -> Output:
        """Predict the masks of B objects on one frame, from a prompt or from memories.

        Args:
            frame_idx: Number of the frame.
            is_init_cond_frame: Whether the objects are prompted on a frame that was not tracked. It has no memories.
            current_vision_feats: Features of `_prepare_backbone_features`, with one column per object.
            current_vision_pos_embeds: Has no effect, since the model knows its position encodings.
            feat_sizes: Sizes of the levels.
            point_inputs: `point_coords` (B, P, 2) xy in pixels of the square, and `point_labels` (B, P); or None.
            mask_inputs: Masks (B, 1, S, S) that are used as they are, or None.
            output_dict: Results of other frames by number, in `cond_frame_outputs` and `non_cond_frame_outputs`.
            num_frames: Number of frames of the video.
            track_in_reverse: Whether the frames after this one were tracked before it.
            run_mem_encoder: Memorize the result.
            prev_sam_mask_logits: Low-resolution logits (B, 1, h, w) to refine, or None.

        Returns:
            `pred_masks` (B, 1, h, w) and `pred_masks_high_res` (B, 1, S, S), logits; `obj_ptr` (B, 256);
            `object_score_logits` (B, 1); `maskmem_features` (B, 64, h, w) and `maskmem_pos_enc`, a list of one, or
            None; and the given `point_inputs` and `mask_inputs`.
        """
        assert prev_sam_mask_logits is None or (point_inputs is not None and mask_inputs is None)
        count = int(current_vision_feats[-1].shape[1])
        features = self._restore_features(current_vision_feats, feat_sizes)
        if mask_inputs is not None:
            decoded = self.backend.use_masks(features, [*(to_numpy(mask_inputs)[:, 0] > MASK_THRESHOLD)])
        else:
            recalls = None
            if not is_init_cond_frame:
                recalls = [
                    self._recall(output_dict, row, frame_idx, num_frames, track_in_reverse) for row in range(count)
                ]
            queries = self._build_queries(point_inputs, prev_sam_mask_logits, count)
            decoded = self.backend.decode(self._condition(features, recalls, count), queries, hide=True)
        output = self._publish_decoded(decoded)
        output |= {"point_inputs": point_inputs, "mask_inputs": mask_inputs}
        output["pred_masks_high_res"] = self._enlarge(output["pred_masks"], mask_inputs)
        output["maskmem_features"], output["maskmem_pos_enc"] = None, None
        if run_mem_encoder and self.num_maskmem > 0:
            memories = self._memorize(features, output, is_mask_from_pts=point_inputs is not None)
            output["maskmem_features"] = _to_full_precision(concatenate(memories))
            output["maskmem_pos_enc"] = [concatenate([self._memory_positions()] * count)]
        return output

    def _track_objects(
        self,
        vision_feats: Sequence[Any],
        feat_sizes: Sequence[tuple[int, int]],
        output_dicts: Sequence[Mapping[str, Mapping[int, Output]]],
        frame_idx: int,
        num_frames: int,
        track_in_reverse: bool,
    ) -> list[Output]:
        """Track objects to one frame together, each with its own memories. Returns a result for each, as `track_step`.

        The features have one column, that of the frame.
        """
        features, count = self._restore_features(vision_feats, feat_sizes), len(output_dicts)
        recalls = [self._recall(one, 0, frame_idx, num_frames, track_in_reverse) for one in output_dicts]
        decoded = self.backend.decode(self._condition(features, recalls, count), [NO_PROMPT] * count, hide=True)
        together = self._publish_decoded(decoded)
        memories: list[Any] = [None] * count
        if self.num_maskmem > 0:
            memories = self._memorize(features, together, is_mask_from_pts=False)
        return [
            {
                **{name: value[k : k + 1] for name, value in together.items()},
                "maskmem_features": memory,
                "maskmem_pos_enc": None if memory is None else [self._memory_positions()],
            }
            for k, memory in enumerate(memories)
        ]

    def _apply_non_overlapping_constraints(self, pred_masks: Any) -> Any:
        """Assign each pixel of logits (N, 1, H, W) to one object; those of the others become at most −10."""
        if pred_masks.shape[0] == 1:
            return pred_masks
        return make_tensor(remove_overlap(to_numpy(pred_masks)[:, 0])[:, None], self.device)

    def _use_multimask(self, is_init_cond_frame: bool, point_inputs: Mapping[str, Any] | None) -> bool:
        """Return whether the best of three masks is used: for at most one point."""
        return point_inputs is None or point_inputs["point_labels"].shape[1] <= 1

    def _feature_positions(self, stride: int) -> Any:
        """Return the position encodings (1, channels, h, w) of the features at a stride."""
        side = self.image_size // stride
        sizes = side, side, self.backend.config.channels
        return _load_table(compute_sine_table, sizes, side, self.is_double, str(self.device))

    def _memory_positions(self) -> Any:
        """Return the position encodings (1, channels, h, w) of a memory."""
        config = self.backend.config
        channels, rows, columns = config.memory_shape(self.image_size)
        if config.latent_grid:
            sizes = config.global_latents, config.latent_grid, channels
            return _load_table(compute_latent_positions, sizes, rows, self.is_double, str(self.device))
        return _load_table(compute_sine_table, (rows, columns, channels), rows, self.is_double, str(self.device))

    def _restore_features(self, vision_feats: Sequence[Any], feat_sizes: Sequence[tuple[int, int]]) -> Features:
        """Convert flattened features of one frame, one column per object, to those of the backend."""
        maps = []
        for level, (height, width) in zip(vision_feats, feat_sizes, strict=True):
            one = level[:, :1].permute(1, 2, 0)
            maps.append(self.to_backend(one.reshape(1, one.shape[1], height, width)))
        return Features(*maps)

    def _recall(
        self,
        output_dict: Mapping[str, Mapping[int, Output]],
        row: int,
        frame_idx: int,
        num_frames: int,
        track_in_reverse: bool,
    ) -> Recall:
        """Return what one object recalls on a frame, by SAM 2's rule."""
        prompted, tracked = output_dict["cond_frame_outputs"], output_dict["non_cond_frame_outputs"]
        assert len(prompted) > 0, "a frame that is tracked needs at least one conditioning frame"
        direction = -1 if track_in_reverse else 1
        window = [t for t in (frame_idx - direction * ago for ago in range(1, MAX_POINTERS)) if t in tracked]
        past = Past(dict.fromkeys(prompted, NO_RECORD), lambda: ((t, NO_RECORD) for t in window), num_frames)
        selection = RECENT_MEMORY.select(past, frame_idx, direction)
        used = (PROMPT_SLOT, *range(self.num_maskmem - 1))
        slots = tuple((slot, t) for slot, t in selection.slots if slot in used)

        def get_memory(frame: int) -> Memory:
            output = prompted[frame] if frame in prompted else tracked[frame]
            features, pointer = (output[name][row : row + 1] for name in ("maskmem_features", "obj_ptr"))
            return Memory(self.to_backend(features), self.to_backend(pointer))

        return build_recall(selection._replace(slots=slots), get_memory)

    def _condition(self, features: Features, recalls: Sequence[Recall] | None, count: int) -> Features:
        """Condition features on memories; without memories, add the embedding that stands for none."""
        if self.num_maskmem == 0:
            return features
        return self.backend.attend(features, recalls or [Recall()] * count)

    def _build_queries(self, point_inputs: Mapping[str, Any] | None, logits: Any, count: int) -> list[Query]:
        if point_inputs is None:
            return [NO_PROMPT] * count
        points = to_numpy(point_inputs["point_coords"]).astype(np.float64) / self.image_size
        labels = to_numpy(point_inputs["point_labels"]).astype(np.int32)
        masks = [None] * count if logits is None else [self.to_backend(one) for one in logits]
        ambiguous = self._use_multimask(True, point_inputs)
        return [
            Query(np.append(xy, [[0.0, 0.0]], axis=0), np.append(label, np.int32(NOT_A_POINT)), mask, ambiguous)
            for xy, label, mask in zip(points, labels, masks, strict=True)
        ]

    def _publish_decoded(self, decoded: Decoded) -> Output:
        logits, _, score, pointer = (_to_full_precision(self.make_tensor(part)) for part in decoded[:4])
        return {"pred_masks": logits, "obj_ptr": pointer, "object_score_logits": score}

    def _enlarge(self, logits: Any, masks: Any) -> Any:
        """Return logits (B, 1, S, S): those of masks that are used as they are, or enlarged low-resolution ones."""
        if masks is not None:
            values = np.where(to_numpy(masks) > MASK_THRESHOLD, CERTAIN_LOGIT, -CERTAIN_LOGIT)
            values = values.astype(np.float64 if self.is_double else np.float32)
        else:
            size = (self.image_size, self.image_size)
            values = np.stack([resize_logits(one, size) for one in to_numpy(logits)[:, 0]])[:, None]
        return make_tensor(values, self.device)

    def _memorize(self, features: Features, output: Output, *, is_mask_from_pts: bool) -> list[Any]:
        """Encode the low-resolution masks of a result as memories, one for each object."""
        logits, score, pointer = (
            self.to_backend(output[name]) for name in ("pred_masks", "object_score_logits", "obj_ptr")
        )
        singles = [slice(k, k + 1) for k in range(len(logits))]
        decoded = [Decoded(logits[one], score[one], score[one], pointer[one]) for one in singles]
        binarize = [is_mask_from_pts and self.binarize_mask_from_pts_for_mem_enc] * len(decoded)
        return [self._publish_memory(one.features) for one in self.backend.memorize(features, decoded, binarize)]

    def _publish_memory(self, features: Any) -> Any:
        """Convert a memory of the backend to a tensor, in bfloat16 with PyTorch and in float32 without."""
        published = self.make_tensor(features)
        if not str(published.dtype).endswith("uint16"):
            return published
        if has_torch():
            import torch

            return published.view(torch.bfloat16)
        from masklet.backends.onnx.arrays import from_bfloat16

        return make_tensor(from_bfloat16(published.numpy()))


def clamp_logits(logits: Any) -> Any:
    """Limit logits to [−32, 32], as they are given to the decoder again."""
    return make_tensor(to_numpy(logits).clip(-LOGIT_LIMIT, LOGIT_LIMIT), logits.device)


@lru_cache(maxsize=16)
def _load_table(
    compute: Callable[..., NDArray[np.float64]], sizes: tuple[int, ...], rows: int, is_double: bool, device: str
) -> Any:
    """Return a table of position encodings (tokens, channels) as a tensor (1, channels, rows, columns)."""
    table = compute(*sizes)
    maps = np.ascontiguousarray(table.T.reshape(1, table.shape[1], rows, -1))
    return make_tensor(maps.astype(np.float64 if is_double else np.float32), device)


def _to_full_precision(values: Any) -> Any:
    """Convert half precision to float32."""
    return values if str(values.dtype).endswith(("float32", "float64")) else values.float()
