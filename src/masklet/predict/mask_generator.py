"""Automatic mask generation: click on a grid, filter the masks and remove duplicates (reference-model §8.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

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

MOST_LAYERS = 6  # of crops; the sixth has 4096 of them
EDGE = 20  # pixels: a mask that ends this close to a crop's edge is left to the next crop
Points = NDArray[np.float64]  # (P, 2) xy as fractions of the crop
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class MaskGeneratorOptions:
    """Options of the mask generator, with the reference's names, defaults and meaning (reference-model §8.2),
    except that `min_mask_region_area` works: see there. Raises `SettingsError` for what cannot be meant.

    - `points_per_side`: clicks along each side of the picture; or `point_grids`, one array (P, 2) of xy fractions for
      the picture and one more for each layer of crops, with `points_per_side=None`.
    - `points_per_batch`: clicks that are decoded at once.
    - `pred_iou_thresh`, `stability_score_thresh`, `stability_score_offset`: which masks are good enough; 0 keeps all.
      Without the first two, 0.8 and 0.95, or the defaults of the model (`masklet.config.ModelDefaults`).
    - `mask_threshold`: the logit above which a pixel belongs to the mask.
    - `box_nms_thresh`, `crop_nms_thresh`: the box IoU above which two masks are the same thing, within and across
      crops.
    - `crop_n_layers`: layer i looks again at 2^i × 2^i crops, which overlap by `crop_overlap_ratio` of the shorter
      side; each layer has `crop_n_points_downscale_factor` times fewer clicks along a side than the one before.
    - `min_mask_region_area`: holes and pieces smaller than that many pixels of the picture are filled and dropped; a
      mask of nothing but such pieces is no finding.
    - `use_m2m`: refine each mask by itself, once.
    - `multimask_output`: take the three masks of each click, not one.
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
            raise _bad("give either points_per_side or point_grids, not both and not neither")
        for name in ("points_per_side", "points_per_batch", "crop_n_points_downscale_factor"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise _bad(f"{name} must be at least 1, got {value}")
        for name in ("crop_n_layers", "min_mask_region_area", "stability_score_offset"):
            if getattr(self, name) < 0:
                raise _bad(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.crop_n_layers > MOST_LAYERS:
            raise _bad(
                f"crop_n_layers must be at most {MOST_LAYERS}, got {self.crop_n_layers}: each has 4 times more crops"
            )
        for name in ("pred_iou_thresh", "stability_score_thresh", "stability_score_offset", "mask_threshold",
                     "box_nms_thresh", "crop_nms_thresh"):  # fmt: skip
            if not math.isfinite(getattr(self, name) or 0.0):
                raise _bad(f"{name} must be a finite number, got {getattr(self, name)}")
        if not 0 <= self.crop_overlap_ratio < 1:
            raise _bad(f"crop_overlap_ratio must be in [0, 1), got {self.crop_overlap_ratio}")
        self._check_grids()

    def __repr__(self) -> str:
        """The options that differ from their defaults; `point_grids` as their shapes."""
        grids = self.point_grids and [grid.shape for grid in self.point_grids]
        shown = {one.name: getattr(self, one.name) for one in fields(self)} | {"point_grids": grids}
        changed = [f"{one.name}={shown[one.name]}" for one in fields(self) if shown[one.name] != one.default]
        return f"MaskGeneratorOptions({', '.join(changed)})"

    def for_model(self, model: str) -> MaskGeneratorOptions:
        """The same with how sure and how stable masks of this model must be, where that was left open."""
        defaults = ModelDefaults.of(model)
        return replace(
            self,
            pred_iou_thresh=defaults.iou_threshold if self.pred_iou_thresh is None else self.pred_iou_thresh,
            stability_score_thresh=defaults.stability_threshold
            if self.stability_score_thresh is None
            else self.stability_score_thresh,
        )

    def point_grid(self, layer: int) -> Points:
        """The clicks of a layer of crops, row by row, as fractions of each crop."""
        if self.point_grids is not None:
            return self.point_grids[layer]
        assert self.points_per_side is not None
        side = max(1, int(self.points_per_side / self.crop_n_points_downscale_factor**layer))
        places = (np.arange(side) + 0.5) / side
        return np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)

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
) -> GeneratedMasks:
    """All there is in a picture (H, W, 3) uint8 RGB, or all that a click `where` (H, W) is true finds.

    `progress(clicks done, clicks in all)` is told how far it is.
    """
    options = (options or MaskGeneratorOptions()).for_model(backend.config.name)
    size = (int(image.shape[0]), int(image.shape[1]))
    crops = list(_crops(size, options))
    grids = [_within(options.point_grid(layer), crop, region) for layer, crop in crops]
    total = sum(map(len, grids))
    found: list[GeneratedMask] = []
    done = 0
    for (_, crop), grid in zip(crops, grids, strict=True):
        here: list[GeneratedMask] = []
        for points, looked in _looked(backend, image, crop, grid, options):
            here += looked
            done += len(points)
            if progress:
                progress(done, total)
        found += _once(here, [one.score for one in here], options.box_nms_thresh)
    if len(crops) > 1:  # of the same thing seen in several crops, the smallest crop saw most
        found = _once(found, [1 / _area(one.crop) for one in found], options.crop_nms_thresh)
    return GeneratedMasks(size, tuple(found))


class _Candidate(NamedTuple):
    logits: NDArray[Any]  # (h, w) low-res
    score: float
    point: Points  # (2,)


def _crops(size: tuple[int, int], search: MaskGeneratorOptions) -> Iterator[tuple[int, Box]]:
    """The whole picture as layer 0, then the crops of each layer, column by column, xyxy. Where a picture is too small
    for so many, those that would have no pixels are left out."""
    height, width = size
    yield 0, (0, 0, width, height)
    for layer in range(1, search.crop_n_layers + 1):
        count = 2**layer
        overlap = int(search.crop_overlap_ratio * min(size) * (2 / count))
        across, down = (math.ceil((overlap * (count - 1) + length) / count) for length in (width, height))
        for column in range(count):
            for row in range(count):
                x0, y0 = (across - overlap) * column, (down - overlap) * row
                if x0 < width and y0 < height:
                    yield layer, (x0, y0, min(x0 + across, width), min(y0 + down, height))


def _within(grid: Points, crop: Box, where: NDArray[np.bool_] | None) -> Points:
    """The clicks of a crop that lie where they are wanted."""
    if where is None:
        return grid
    x0, y0, x1, y1 = crop
    places = (grid * (x1 - x0, y1 - y0) + (x0, y0)).astype(int)
    wanted: Points = grid[where[np.minimum(places[:, 1], y1 - 1), np.minimum(places[:, 0], x1 - 1)]]
    return wanted


def _looked(
    backend: Backend, picture: NDArray[np.uint8], crop: Box, grid: Points, search: MaskGeneratorOptions
) -> Iterator[tuple[Points, list[GeneratedMask]]]:
    """Batches of clicks in a crop with what they found; a crop without clicks is not looked at."""
    if not len(grid):
        return
    x0, y0, x1, y1 = crop
    features = backend.attend(backend.encode([picture[y0:y1, x0:x1]])[0], [Recall()])
    for start in range(0, len(grid), search.points_per_batch):
        points = grid[start : start + search.points_per_batch]
        candidates = _candidates(backend, features, points, search)
        findings = (_finding(candidate, crop, picture.shape[:2], search) for candidate in candidates)
        yield points, [one for one in findings if one is not None]


def _candidates(backend: Backend, features: Features, points: Points, search: MaskGeneratorOptions) -> list[_Candidate]:
    """The masks of clicks that are expected to be good enough, before any is enlarged."""
    answers = _asked(backend, features, points, None, several=search.multimask_output)
    each = np.repeat(points, len(answers.iou) // len(points), axis=0)
    if search.use_m2m:
        answers = _asked(backend, features, each, answers.logits, several=False)
    least = search.pred_iou_thresh or 0.0
    good = answers.iou > least if least > 0 else np.ones(len(each), bool)
    return [_Candidate(answers.logits[row], float(answers.iou[row]), each[row]) for row in np.flatnonzero(good)]


def _asked(
    backend: Backend, features: Features, points: Points, masks: NDArray[Any] | None, *, several: bool
) -> Predictions:
    label = np.array([POSITIVE], np.int32)
    given = [None] * len(points) if masks is None else masks
    queries = [
        build_query(point[None], label, mask, ambiguous=several) for point, mask in zip(points, given, strict=True)
    ]
    decoded = backend.decode(features, queries)
    return backend.fetch_candidates(decoded) if several else backend.fetch([decoded])


def _finding(
    candidate: _Candidate, crop: Box, size: tuple[int, ...], search: MaskGeneratorOptions
) -> GeneratedMask | None:
    """The candidate at the picture's size, unless it is not stable, empty, or cut off by the crop."""
    x0, y0, x1, y1 = crop
    logits = resize_logits(candidate.logits, (y1 - y0, x1 - x0))
    if search.mask_threshold:  # most often 0, and a copy of a large picture is not free
        logits = logits - search.mask_threshold
    stability = _stability(logits, search.stability_score_offset)
    least = search.stability_score_thresh or 0.0
    if least > 0 and stability < least:
        return None
    if search.min_mask_region_area > 1:
        smallest = search.min_mask_region_area - 1  # pieces of at most that area go
        logits = fill_holes_and_remove_islands(logits, smallest, smallest)
    mask = np.zeros(size, bool)
    np.greater(logits, 0, out=mask[y0:y1, x0:x1])
    left, top, right, bottom = masks_to_boxes([mask])[0].tolist()
    if right == left or _cut_off((left, top, right, bottom), crop, size):
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


def _stability(logits: NDArray[Any], offset: float) -> float:
    inner, outer = (int(np.count_nonzero(logits > level)) for level in (offset, -offset))
    return inner / max(outer, 1)


def _cut_off(box: Box, crop: Box, size: tuple[int, ...]) -> bool:
    """Whether the mask ends near an edge of the crop that is no edge of the picture. Its outermost pixels count."""
    height, width = size
    outermost = np.array(box) - (0, 0, 1, 1)
    near_crop, near_edge = (np.abs(outermost - edges) <= EDGE for edges in (crop, (0, 0, width, height)))
    return bool((near_crop & ~near_edge).any())


def _once(found: list[GeneratedMask], scores: list[float], threshold: float) -> list[GeneratedMask]:
    """Each thing once, the highest score first. Boxes run between the outermost pixels, as in the reference."""
    boxes = np.array([one.box for one in found], np.float64).reshape(-1, 4) - (0, 0, 1, 1)
    return [found[position] for position in box_nms(boxes, np.array(scores), threshold)]


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _bad(message: str) -> SettingsError:
    return SettingsError("bad-usage", message)
