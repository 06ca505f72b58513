"""Mask generator: prompt a grid of points, filter the masks and remove duplicates (reference-model §8.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Backend, Features, Predictions, Recall, build_query
from masklet.config import ModelDefaults
from masklet.errors import SettingsError
from masklet.masks import rle
from masklet.masks.connected_components import fill_holes_and_remove_islands
from masklet.masks.iou import masks_to_boxes
from masklet.masks.nms import box_nms
from masklet.masks.resize import resize_logits
from masklet.predict.generated_masks import Box, GeneratedMask, GeneratedMasks
from masklet.prompts import POSITIVE

Points = NDArray[np.float64]  # (P, 2) xy as fractions of the crop
Progress = Callable[[int, int], None]
CleanLogits = Callable[[NDArray[Any]], NDArray[Any]]

_MAX_CROP_LAYERS = 6  # the sixth layer has 4096 crops
_MAX_POINTS_PER_SIDE = 65_535  # the longest side of an image in pixels
_CROP_EDGE_PX = 20  # a mask that ends this close to an edge of its crop is left to other crops


@dataclass(frozen=True, slots=True)
class MaskGeneratorOptions:
    """Options of the mask generator, with SAM 2's names, defaults and meaning (reference-model §8.2).

    Unlike in SAM 2, `min_mask_region_area` has an effect.

    Attributes:
        points_per_side: Points along each side of the grid, or None with `point_grids`.
        points_per_batch: Points that are decoded in one batch.
        pred_iou_thresh: Keep masks with a predicted IoU above this; 0 keeps all. By default 0.8, or the default of the
            model (`masklet.config.ModelDefaults`).
        stability_score_thresh: Keep masks with at least this stability; 0 keeps all. By default 0.95, or the default of
            the model.
        stability_score_offset: Shift of the mask threshold, up and down, for the stability: see `Masks.stability`.
        mask_threshold: Logit above which a pixel belongs to the mask.
        box_nms_thresh: Box IoU above which the mask with the lower score is removed, within a crop.
        crop_n_layers: Layers of crops beside the full image. Layer i has 2^i × 2^i crops.
        crop_nms_thresh: Box IoU above which the mask of the larger crop is removed, across crops.
        crop_overlap_ratio: Overlap of the first layer's crops, as a share of the image's shorter side; it is halved
            with each layer.
        crop_n_points_downscale_factor: Divisor of the points along a side with each layer.
        point_grids: Grids to use instead, one array (P, 2) of (x, y) in [0, 1] for the full image and one for each
            layer of crops.
        min_mask_region_area: Fill holes and remove islands smaller than this many pixels of the image; masks of which
            nothing remains are dropped.
        use_m2m: Refine each mask once by its own prediction.
        multimask_output: Predict three masks per point, or one.

    Raises:
        SettingsError: An option is outside its range, or both or neither of `points_per_side` and `point_grids` is
            given.

    Example:
        >>> options = MaskGeneratorOptions(points_per_side=16, crop_n_layers=1)
        >>> generated = model.generate_masks("street.jpg", options)
    """

    points_per_side: int | None = 32
    points_per_batch: int = 64
    pred_iou_thresh: float | None = None
    stability_score_thresh: float | None = None
    stability_score_offset: float = 1.0
    mask_threshold: float = 0.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    point_grids: tuple[Points, ...] | None = None
    min_mask_region_area: int = 0
    use_m2m: bool = False
    multimask_output: bool = True

    def __post_init__(self) -> None:
        if (self.points_per_side is None) == (self.point_grids is None):
            raise _bad("give either points_per_side or point_grids; with point_grids, pass points_per_side=None")
        self._check_minima()
        self._check_thresholds()
        if not 0 <= self.crop_overlap_ratio < 1:
            raise _bad(f"crop_overlap_ratio must be in [0, 1), got {self.crop_overlap_ratio}")
        self._check_grids()

    def _check_minima(self) -> None:
        for name in ("points_per_side", "points_per_batch", "crop_n_points_downscale_factor"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise _bad(f"{name} must be at least 1, got {value}")
        for name in ("crop_n_layers", "min_mask_region_area", "stability_score_offset"):
            if getattr(self, name) < 0:
                raise _bad(f"{name} must be at least 0, got {getattr(self, name)}")
        if (self.points_per_side or 1) > _MAX_POINTS_PER_SIDE:
            raise _bad(f"points_per_side must be at most {_MAX_POINTS_PER_SIDE}, got more")
        if self.crop_n_layers > _MAX_CROP_LAYERS:
            raise _bad(f"crop_n_layers must be at most {_MAX_CROP_LAYERS}, got {self.crop_n_layers}")

    def _check_thresholds(self) -> None:
        for name in ("pred_iou_thresh", "stability_score_thresh", "stability_score_offset", "mask_threshold",
                     "box_nms_thresh", "crop_nms_thresh"):  # fmt: skip
            if not math.isfinite(getattr(self, name) or 0.0):
                raise _bad(f"{name} must be a finite number, got {getattr(self, name)}")
        for name in ("pred_iou_thresh", "stability_score_thresh"):
            if (getattr(self, name) or 0.0) > 1:
                raise _bad(f"{name} must be at most 1, which no mask exceeds, got {getattr(self, name):g}")

    def __repr__(self) -> str:
        """Return the options that differ from their defaults; of `point_grids`, the shapes."""
        grids = self.point_grids and [grid.shape for grid in self.point_grids]
        shown = {option.name: getattr(self, option.name) for option in fields(self)} | {"point_grids": grids}
        changed = [
            f"{option.name}={shown[option.name]}" for option in fields(self) if shown[option.name] != option.default
        ]
        return f"MaskGeneratorOptions({', '.join(changed)})"

    def for_model(self, model: str) -> MaskGeneratorOptions:
        """Return the options with the thresholds of a model, by its configuration's name, where they are None."""
        defaults, iou, stability = ModelDefaults.of(model), self.pred_iou_thresh, self.stability_score_thresh
        return replace(
            self,
            pred_iou_thresh=defaults.iou_threshold if iou is None else iou,
            stability_score_thresh=defaults.stability_threshold if stability is None else stability,
        )

    def point_grid(self, layer: int) -> Points:
        """Return the points (P, 2) of a layer of crops, row by row, as fractions of each crop."""
        if self.point_grids is not None:
            return self.point_grids[layer]
        assert self.points_per_side is not None
        side = max(1, int(self.points_per_side / self.crop_n_points_downscale_factor**layer))
        centers = (np.arange(side) + 0.5) / side
        return np.stack(np.meshgrid(centers, centers), axis=-1).reshape(-1, 2)

    def _check_grids(self) -> None:
        if self.point_grids is None:
            return
        if len(self.point_grids) != self.crop_n_layers + 1:
            raise _bad(f"{self.crop_n_layers} layers of crops need {self.crop_n_layers + 1} point_grids")
        for grid in self.point_grids:
            if grid.ndim != 2 or grid.shape[1] != 2 or not ((grid >= 0) & (grid <= 1)).all():
                raise _bad("point_grids must be arrays (P, 2) of x and y in [0, 1]")


def generate_masks(
    backend: Backend,
    image: NDArray[np.uint8],
    options: MaskGeneratorOptions | None = None,
    *,
    region: NDArray[np.bool_] | None = None,
    progress: Progress | None = None,
    clean: CleanLogits | None = None,
) -> GeneratedMasks:
    """Segment an image without prompts: prompt a grid of points, filter the masks and remove duplicates.

    Args:
        backend: Backend with the model.
        image: The image, (H, W, 3) uint8 RGB.
        options: Options; thresholds that are None are the defaults of the model.
        region: Pixels (H, W) bool that may be prompted. By default all.
        progress: Function that is called with the numbers of points done and of all points, after each batch.
        clean: Function that post-processes the low-resolution logits (h, w) of a mask before they are resized.

    Returns:
        The masks by descending score, or, with crops, by ascending area of their crops.
    """
    steps = generate_in_steps(backend, image, options, region=region, clean=clean)
    while True:
        try:
            done, total = next(steps)
        except StopIteration as end:
            return cast("GeneratedMasks", end.value)
        if progress:
            progress(done, total)


def generate_in_steps(
    backend: Backend,
    image: NDArray[np.uint8],
    options: MaskGeneratorOptions | None = None,
    *,
    region: NDArray[np.bool_] | None = None,
    clean: CleanLogits | None = None,
) -> Generator[tuple[int, int], None, GeneratedMasks]:
    """Segment an image without prompts, one batch of points in each step. See `generate_masks`.

    Yields:
        The numbers of points done and of all points.
    """
    options = (options or MaskGeneratorOptions()).for_model(backend.config.name)
    size = (int(image.shape[0]), int(image.shape[1]))
    crops = list(_crops(size, options))
    grids = [_select_points(options.point_grid(layer), crop, region) for layer, crop in crops]
    total = sum(map(len, grids))
    masks: list[GeneratedMask] = []
    done = 0
    for (_, crop), grid in zip(crops, grids, strict=True):
        in_crop: list[GeneratedMask] = []
        for points, batch in _generate_in_crop(backend, image, crop, grid, options, clean):
            in_crop += batch
            done += len(points)
            yield done, total
        masks += _remove_duplicates(in_crop, [generated.score for generated in in_crop], options.box_nms_thresh)
    if len(crops) > 1:  # of duplicates across crops, the mask of the smallest crop is the most detailed
        masks = _remove_duplicates(masks, [1 / _area(generated.crop) for generated in masks], options.crop_nms_thresh)
    return GeneratedMasks(size, tuple(masks))


class _Candidate(NamedTuple):
    logits: NDArray[Any]  # (h, w) low-res
    score: float
    point: Points  # (2,)


def _crops(size: tuple[int, int], options: MaskGeneratorOptions) -> Iterator[tuple[int, Box]]:
    """Yield layer and (x0, y0, x1, y1) of each crop: the full image as layer 0, then each layer column by column.

    Crops of a small image that would have no pixels are left out.
    """
    height, width = size
    yield 0, (0, 0, width, height)
    for layer in range(1, options.crop_n_layers + 1):
        count = 2**layer
        overlap = int(options.crop_overlap_ratio * min(size) * (2 / count))
        crop_width, crop_height = (math.ceil((overlap * (count - 1) + length) / count) for length in (width, height))
        for column in range(count):
            for row in range(count):
                x0, y0 = (crop_width - overlap) * column, (crop_height - overlap) * row
                if x0 < width and y0 < height:
                    yield layer, (x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height))


def _select_points(grid: Points, crop: Box, region: NDArray[np.bool_] | None) -> Points:
    """Select the points of a crop's grid that lie in the region."""
    if region is None:
        return grid
    x0, y0, x1, y1 = crop
    pixels = (grid * (x1 - x0, y1 - y0) + (x0, y0)).astype(int)
    selected: Points = grid[region[np.minimum(pixels[:, 1], y1 - 1), np.minimum(pixels[:, 0], x1 - 1)]]
    return selected


def _generate_in_crop(
    backend: Backend,
    image: NDArray[np.uint8],
    crop: Box,
    grid: Points,
    options: MaskGeneratorOptions,
    clean: CleanLogits | None,
) -> Iterator[tuple[Points, list[GeneratedMask]]]:
    """Yield batches of a crop's points with their masks. A crop without points is not encoded."""
    if not len(grid):
        return
    x0, y0, x1, y1 = crop
    features = backend.attend(backend.encode([image[y0:y1, x0:x1]])[0], [Recall()])
    for start in range(0, len(grid), options.points_per_batch):
        points = grid[start : start + options.points_per_batch]
        candidates = _decode_candidates(backend, features, points, options)
        if clean is not None:
            candidates = [candidate._replace(logits=clean(candidate.logits)) for candidate in candidates]
        masks = (_finish_mask(candidate, crop, image.shape[:2], options) for candidate in candidates)
        yield points, [mask for mask in masks if mask is not None]


def _decode_candidates(
    backend: Backend, features: Features, points: Points, options: MaskGeneratorOptions
) -> list[_Candidate]:
    """Decode the masks of points and keep those with a high predicted IoU, before any is resized."""
    predictions = _decode(backend, features, points, None, multimask=options.multimask_output)
    point_of_mask = np.repeat(points, len(predictions.iou) // len(points), axis=0)
    if options.use_m2m:
        predictions = _decode(backend, features, point_of_mask, predictions.logits, multimask=False)
    threshold = options.pred_iou_thresh or 0.0
    selected = predictions.iou > threshold if threshold > 0 else np.ones(len(point_of_mask), bool)
    return [
        _Candidate(predictions.logits[row], float(predictions.iou[row]), point_of_mask[row])
        for row in np.flatnonzero(selected)
    ]


def _decode(
    backend: Backend, features: Features, points: Points, masks: NDArray[Any] | None, *, multimask: bool
) -> Predictions:
    """Decode each point as a prompt of its own, with a mask to refine where `masks` are given."""
    label = np.array([POSITIVE], np.int32)
    refined = [None] * len(points) if masks is None else masks
    queries = [
        build_query(point[None], label, mask, ambiguous=multimask) for point, mask in zip(points, refined, strict=True)
    ]
    decoded = backend.decode(features, queries)
    return backend.fetch_candidates(decoded) if multimask else backend.fetch([decoded])


def _finish_mask(
    candidate: _Candidate, crop: Box, size: tuple[int, ...], options: MaskGeneratorOptions
) -> GeneratedMask | None:
    """Resize a candidate to the image; None if it is unstable, empty or cut off by the crop."""
    x0, y0, x1, y1 = crop
    logits = resize_logits(candidate.logits, (y1 - y0, x1 - x0))
    if options.mask_threshold:  # at 0, the default, no copy of the logits is made
        logits = logits - options.mask_threshold
    stability = _compute_stability(logits, options.stability_score_offset)
    threshold = options.stability_score_thresh or 0.0
    if threshold > 0 and stability < threshold:
        return None
    if options.min_mask_region_area > 1:
        max_area = options.min_mask_region_area - 1
        logits = fill_holes_and_remove_islands(logits, max_area, max_area)
    mask = np.zeros(size, bool)
    np.greater(logits, 0, out=mask[y0:y1, x0:x1])
    left, top, right, bottom = masks_to_boxes([mask])[0].tolist()
    if right == left or _is_cut_off((left, top, right, bottom), crop, size):
        return None
    point = candidate.point * (x1 - x0, y1 - y0) + (x0, y0)
    return GeneratedMask(
        rle=rle.encode(mask),
        area=int(np.count_nonzero(mask)),
        box=(left, top, right, bottom),
        score=candidate.score,
        stability=stability,
        point=(float(point[0]), float(point[1])),
        crop=crop,
    )


def _compute_stability(logits: NDArray[Any], offset: float) -> float:
    inner, outer = (int(np.count_nonzero(logits > level)) for level in (offset, -offset))
    return inner / max(outer, 1)


def _is_cut_off(box: Box, crop: Box, size: tuple[int, ...]) -> bool:
    """Return whether a mask's outermost pixels are near an edge of the crop that is not an edge of the image."""
    height, width = size
    outermost = np.array(box) - (0, 0, 1, 1)
    near_crop, near_edge = (np.abs(outermost - edges) <= _CROP_EDGE_PX for edges in (crop, (0, 0, width, height)))
    return bool((near_crop & ~near_edge).any())


def _remove_duplicates(masks: list[GeneratedMask], scores: list[float], threshold: float) -> list[GeneratedMask]:
    """Apply box NMS, best score first. Boxes run between the outermost pixels, as in the reference."""
    boxes = np.array([mask.box for mask in masks], np.float64).reshape(-1, 4) - (0, 0, 1, 1)
    return [masks[position] for position in box_nms(boxes, np.array(scores), threshold)]


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _bad(message: str) -> SettingsError:
    return SettingsError("bad-usage", message)
