"""`SAM2AutomaticMaskGenerator`: masks of everything in an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from masklet.compat.sam2.array import make_tensor, to_numpy
from masklet.compat.sam2.build_sam import build_sam2_hf
from masklet.compat.sam2.modeling.sam2_base import SAM2Base
from masklet.compat.sam2.sam2_image_predictor import SAM2ImagePredictor
from masklet.compat.sam2.utils.amg import (
    MaskData,
    batch_iterator,
    batched_mask_to_box,
    build_all_layer_point_grids,
    mask_to_rle_pytorch,
    remove_small_regions,
    rle_to_mask,
)
from masklet.compat.sam2.utils.transforms import to_rgb
from masklet.masks.nms import box_nms
from masklet.predict.generated_masks import GeneratedMask
from masklet.predict.mask_generator import MaskGeneratorOptions, generate_masks

OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")


class SAM2AutomaticMaskGenerator:
    """Generator of masks from a grid of points. The arguments are attributes, which may be changed between calls.

    Attributes:
        predictor: Image predictor, whose model and post-processing are used.
        point_grids: Points (P, 2) as fractions, of the image and of each layer of crops.
    """

    def __init__(
        self,
        model: SAM2Base,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.8,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        mask_threshold: float = 0.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: list[NDArray[Any]] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
        use_m2m: bool = False,
        multimask_output: bool = True,
        **kwargs: Any,
    ) -> None:
        """Make a generator.

        Args:
            model: Result of `build_sam2`.
            points_per_side: Points along each side of the grid, or None with `point_grids`.
            points_per_batch: Points that are decoded in one batch.
            pred_iou_thresh: See `MaskGeneratorOptions`, also for the arguments up to `point_grids`.
            stability_score_thresh: See there.
            stability_score_offset: See there.
            mask_threshold: See there.
            box_nms_thresh: See there.
            crop_n_layers: See there.
            crop_nms_thresh: See there.
            crop_overlap_ratio: See there.
            crop_n_points_downscale_factor: See there.
            point_grids: See there.
            min_mask_region_area: Fill holes and remove islands of up to this many low-resolution pixels.
            output_mode: Type of `segmentation`: "binary_mask", "uncompressed_rle" or "coco_rle".
            use_m2m: Refine each mask once by its own prediction.
            multimask_output: Predict three masks per point, or one.
            **kwargs: Have no effect.

        Raises:
            AssertionError: Both or neither of `points_per_side` and `point_grids` is given, or the output mode is
                unknown.
        """
        if (points_per_side is None) == (point_grids is None):
            raise AssertionError("Exactly one of points_per_side or point_grid must be provided.")
        if output_mode not in OUTPUT_MODES:
            raise AssertionError(f"Unknown output_mode {output_mode}.")
        if points_per_side is not None:
            point_grids = build_all_layer_point_grids(points_per_side, crop_n_layers, crop_n_points_downscale_factor)
        self.point_grids = [] if point_grids is None else point_grids
        self.predictor = SAM2ImagePredictor(
            model, max_hole_area=min_mask_region_area, max_sprinkle_area=min_mask_region_area
        )
        self.points_per_batch = points_per_batch
        self.pred_iou_thresh = pred_iou_thresh
        self.stability_score_thresh = stability_score_thresh
        self.stability_score_offset = stability_score_offset
        self.mask_threshold = mask_threshold
        self.box_nms_thresh = box_nms_thresh
        self.crop_n_layers = crop_n_layers
        self.crop_nms_thresh = crop_nms_thresh
        self.crop_overlap_ratio = crop_overlap_ratio
        self.crop_n_points_downscale_factor = crop_n_points_downscale_factor
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode
        self.use_m2m = use_m2m
        self.multimask_output = multimask_output

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> Self:
        """Build a generator of a released model.

        Args:
            model_id: Name on the Hugging Face Hub, see `build_sam2_hf`.
            **kwargs: Arguments of `build_sam2` and of the generator.
        """
        return cls(build_sam2_hf(model_id, **kwargs), **kwargs)

    def generate(self, image: NDArray[Any]) -> list[dict[str, Any]]:
        """Generate the masks of an image.

        Args:
            image: Array (H, W, 3) uint8 RGB.

        Returns:
            A record of each mask, by descending predicted IoU; with crops, those of small crops come first. A record
            has `segmentation`, which is a mask (H, W) bool or an RLE, `area` in pixels, `bbox` and `crop_box` as
            (x, y, width, height), `predicted_iou`, `point_coords` `[[x, y]]` and `stability_score`.

        Raises:
            ImageError: The image has another shape or dtype.
            SettingsError: An option is outside its range.
        """
        transforms = self.predictor._transforms
        cleans = transforms.max_hole_area > 0 or transforms.max_sprinkle_area > 0
        generated = generate_masks(
            self.predictor.model.backend,
            to_rgb(image),
            self._make_options(),
            clean=transforms.clean if cleans else None,
        )
        self.predictor.reset_predictor()
        return [_make_record(mask, self.output_mode) for mask in generated]

    @staticmethod
    def postprocess_small_regions(mask_data: MaskData, min_area: int, nms_thresh: float) -> MaskData:
        """Fill holes and remove islands of masks, and remove the duplicates that result.

        Args:
            mask_data: Data with `rles`, uncompressed, and `boxes` (N, 4) xyxy. It is changed.
            min_area: Holes and islands with fewer pixels of the image are removed.
            nms_thresh: Box IoU above which a mask is a duplicate. Masks that were not changed are preferred.

        Returns:
            The data.
        """
        if not len(mask_data["rles"]):
            return mask_data
        masks, unchanged = [], []
        for rle in mask_data["rles"]:
            mask, filled = remove_small_regions(rle_to_mask(rle), min_area, mode="holes")
            mask, reduced = remove_small_regions(mask, min_area, mode="islands")
            masks.append(mask)
            unchanged.append(float(not filled and not reduced))
        boxes = to_numpy(batched_mask_to_box(np.stack(masks)))
        remaining = box_nms(boxes.astype(np.float64), np.array(unchanged), nms_thresh)
        for k in remaining:
            if not unchanged[k]:
                mask_data["rles"][k] = mask_to_rle_pytorch(masks[k][None])[0]
                mask_data["boxes"][k] = make_tensor(boxes[k]) if hasattr(mask_data["boxes"], "numpy") else boxes[k]
        mask_data.filter(remaining)
        return mask_data

    def refine_with_m2m(
        self, points: Any, point_labels: Any, low_res_masks: Any, points_per_batch: int
    ) -> tuple[Any, Any]:
        """Refine masks of the predictor's image by their own low-resolution logits.

        Args:
            points: Points (N, 2) in the network's frame.
            point_labels: Labels (N,).
            low_res_masks: Logits (N, h, w).
            points_per_batch: Points that are decoded in one batch.

        Returns:
            Tensors: logits (N, 1, H, W) at the size of the image, and predicted IoUs (N, 1).
        """
        results = [
            self.predictor._predict(
                batch[:, None, :],
                labels[:, None],
                mask_input=masks[:, None, :],
                multimask_output=False,
                return_logits=True,
            )
            for batch, labels, masks in batch_iterator(points_per_batch, points, point_labels, low_res_masks)
        ]
        refined, ious = (np.concatenate([to_numpy(result[k]) for result in results]) for k in (0, 1))
        model = self.predictor.model
        return model.make_tensor(refined), model.make_tensor(ious)

    def _make_options(self) -> MaskGeneratorOptions:
        return MaskGeneratorOptions(
            points_per_side=None,
            points_per_batch=self.points_per_batch,
            pred_iou_thresh=self.pred_iou_thresh,
            stability_score_thresh=self.stability_score_thresh,
            stability_score_offset=self.stability_score_offset,
            mask_threshold=self.mask_threshold,
            box_nms_thresh=self.box_nms_thresh,
            crop_n_layers=self.crop_n_layers,
            crop_nms_thresh=self.crop_nms_thresh,
            crop_overlap_ratio=self.crop_overlap_ratio,
            point_grids=_convert_grids(self.point_grids),
            use_m2m=self.use_m2m,
            multimask_output=self.multimask_output,
        )


def _convert_grids(grids: Sequence[Any]) -> tuple[NDArray[np.float64], ...]:
    return tuple(np.asarray(grid, np.float64) for grid in grids)


def _make_record(mask: GeneratedMask, output_mode: Any) -> dict[str, Any]:
    """Make the record of a mask. Scores and points are numbers of float32, as in the reference."""
    record = mask.to_record(output_mode)
    for name in ("predicted_iou", "stability_score"):
        record[name] = float(np.float32(record[name]))
    record["point_coords"] = [np.array(mask.point, np.float32).tolist()]
    return record
