"""Mask generator: one mask per object, by the points on it, without small islands and objects that a crop cuts off."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco

from masklet.backend import Decoded, Features, Predictions, Query, Recall
from masklet.config import EMBEDDED_MODEL, ModelDefaults
from masklet.errors import SettingsError
from masklet.masks import rle
from masklet.masks.mask_reader import read_mask
from masklet.predict import mask_generator
from masklet.predict.generated_masks import GeneratedMask, GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions, generate_in_steps, generate_masks
from support.fake_backend import FakeBackend

LOOSE = MaskGeneratorOptions(points_per_side=8, stability_score_thresh=0)
CERTAIN = 20.0  # logit of pixels with the color at the point


@dataclass
class PaintBackend(FakeBackend):
    """Backend that segments all pixels of the color at a point; darker objects have higher scores.

    Its features are the image itself. Its three masks are the object, all but the object, and the object again with
    the lowest score.
    """

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Features]:
        self.calls.append(("encode", [image.shape[:2] for image in images]))
        return [Features(image[..., 0], None, None) for image in images]

    def attend(self, features: Features, recalls: Sequence[Recall]) -> Features:
        return features

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        image = features.stride4
        self.calls.append(("decode", len(queries)))
        last = np.array(image.shape[::-1]) - 1
        pixels = [np.minimum((query.points[0] * image.shape[::-1]).astype(int), last) for query in queries]
        colors = [image[y, x] for x, y in pixels]
        logits = np.stack([np.where(image == color, CERTAIN, -CERTAIN) for color in colors]).astype(np.float32)
        return Decoded(logits, 1 - np.array(colors) / 256, np.ones(len(queries)), None)

    def fetch(self, decoded: Sequence[Decoded | None]) -> Predictions:
        (one,) = decoded
        assert one is not None
        return Predictions(*one[:3])

    def fetch_candidates(self, decoded: Decoded) -> Predictions:
        object_, score = decoded.logits, decoded.iou
        logits = np.stack([object_, -object_, object_], axis=1).reshape(-1, *object_.shape[1:])
        return Predictions(
            logits, np.stack([score, 0 * score, 0.01 + 0 * score], axis=1).ravel(), np.ones(3 * len(score))
        )


def draw(*rectangles: tuple[int, int, int, int], size: tuple[int, int] = (80, 80)) -> NDArray[np.uint8]:
    """Draw rectangles (x0, y0, x1, y1) on a bright background, each slightly brighter than the one before."""
    image = np.full((*size, 3), 250, np.uint8)
    for shade, (x0, y0, x1, y1) in enumerate(rectangles):
        image[y0:y1, x0:x1] = shade
    return image


def test_each_object_has_one_mask_and_the_highest_score_comes_first() -> None:
    found = generate_masks(PaintBackend(), draw((5, 10, 30, 70), (40, 40, 70, 60)), LOOSE)
    assert [one.box for one in found] == [(5, 10, 30, 70), (40, 40, 70, 60)]
    assert [one.area for one in found] == [25 * 60, 30 * 20]


def test_a_mask_has_its_point() -> None:
    found = generate_masks(PaintBackend(), draw((38, 58, 52, 72)), LOOSE)
    assert found[0].point == (45, 65)  # of clicks at 5, 15, 25, …


def test_points_are_decoded_in_batches() -> None:
    backend = PaintBackend()
    generate_masks(backend, draw(), MaskGeneratorOptions(points_per_side=5, points_per_batch=10))
    assert [count for method, count in backend.calls if method == "decode"] == [10, 10, 5]


def test_progress_counts_points() -> None:
    calls: list[tuple[int, int]] = []
    options = MaskGeneratorOptions(
        points_per_side=4, points_per_batch=10, crop_n_layers=1, crop_n_points_downscale_factor=2
    )
    generate_masks(PaintBackend(), draw(), options, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(10, 32), (16, 32), (20, 32), (24, 32), (28, 32), (32, 32)]


def test_masks_with_a_low_predicted_iou_are_dropped() -> None:
    image = draw((5, 10, 30, 70))
    image[40:60, 40:70] = 100  # predicted IoU 0.61
    assert [one.box for one in generate_masks(PaintBackend(), image, LOOSE)] == [(5, 10, 30, 70)]


def test_masks_with_a_low_predicted_iou_are_not_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    resized: list[tuple[int, int]] = []

    def count(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        resized.append(size)
        return logits

    monkeypatch.setattr(mask_generator, "resize_logits", count)
    generate_masks(PaintBackend(), draw((5, 10, 30, 70)), LOOSE)  # 64 points with three masks each
    assert len(resized) == 18  # those of the object


def test_only_points_in_the_region_are_decoded() -> None:
    backend, region = PaintBackend(), np.zeros((80, 80), bool)
    region[:20, :40] = True
    options = MaskGeneratorOptions(points_per_side=4, crop_n_layers=1, crop_overlap_ratio=0)
    generate_masks(backend, draw(), options, region=region)
    assert [count for method, count in backend.calls if method == "decode"] == [2, 8]
    assert [sizes for method, sizes in backend.calls if method == "encode"] == [[(80, 80)], [(40, 40)]]


def test_unstable_masks_are_dropped() -> None:
    image = draw((40, 40, 60, 60))

    class BlurredBackend(PaintBackend):
        def fetch_candidates(self, decoded: Decoded) -> Predictions:
            return super().fetch_candidates(decoded)._replace(logits=decoded.logits.repeat(3, 0) / 40)  # ±0.5

    assert len(generate_masks(PaintBackend(), image, MaskGeneratorOptions(points_per_side=8))) == 1
    assert len(generate_masks(BlurredBackend(), image, MaskGeneratorOptions(points_per_side=8))) == 0


def test_without_multimask_output_one_mask_is_decoded_per_point() -> None:
    single = MaskGeneratorOptions(points_per_side=8, multimask_output=False, pred_iou_thresh=0)
    found = generate_masks(PaintBackend(), draw((5, 10, 30, 70)), single)
    assert sorted(one.score for one in found) == [1 - 250 / 256, 1]


def test_use_m2m_refines_each_mask_once() -> None:
    backend = PaintBackend()
    generate_masks(backend, draw((5, 10, 30, 70)), MaskGeneratorOptions(points_per_side=2, use_m2m=True))
    assert [count for method, count in backend.calls if method == "decode"] == [4, 12]


def test_crops_have_their_share_of_points() -> None:
    backend = PaintBackend()
    options = MaskGeneratorOptions(
        points_per_side=4, crop_n_layers=1, crop_n_points_downscale_factor=2, crop_overlap_ratio=0.25
    )
    generate_masks(backend, draw(size=(80, 160)), options)
    assert [sizes for method, sizes in backend.calls if method == "encode"] == [[(80, 160)]] + [[(50, 90)]] * 4
    assert [count for method, count in backend.calls if method == "decode"] == [16, 4, 4, 4, 4]


def test_an_image_too_small_for_all_crops_has_fewer() -> None:
    backend = PaintBackend()
    generate_masks(backend, draw((20, 0, 30, 3), size=(3, 90)), replace(LOOSE, crop_n_layers=3))
    sizes = [size for method, arguments in backend.calls if method == "encode" for size in arguments]
    assert 1 + 4 + 16 < len(sizes) < 1 + 4 + 16 + 64 and all(min(size) > 0 for size in sizes)


def test_an_object_too_small_for_the_grid_is_found_in_a_crop() -> None:
    image = draw((505, 185, 535, 215), size=(640, 640))
    coarse = MaskGeneratorOptions(points_per_side=2, stability_score_thresh=0, crop_overlap_ratio=0)
    assert len(generate_masks(PaintBackend(), image, coarse)) == 0
    (found,) = generate_masks(PaintBackend(), image, replace(coarse, crop_n_layers=2))
    assert (found.box, found.crop, found.point) == ((505, 185, 535, 215), (480, 160, 640, 320), (520, 200))


def test_of_duplicates_across_crops_the_smallest_crop_remains() -> None:
    options = MaskGeneratorOptions(points_per_side=8, crop_n_layers=1, stability_score_thresh=0)
    (found,) = generate_masks(PaintBackend(), draw((30, 30, 60, 60), size=(200, 200)), options)
    assert found.crop == (0, 0, 134, 134)


def test_an_object_that_a_crop_cuts_off_is_left_to_the_full_image() -> None:
    options = MaskGeneratorOptions(points_per_side=8, crop_n_layers=1, stability_score_thresh=0, crop_overlap_ratio=0)
    (found,) = generate_masks(PaintBackend(), draw((60, 60, 140, 140), size=(200, 200)), options)
    assert found.crop == (0, 0, 200, 200)


def test_islands_and_holes_below_the_smallest_area_are_removed() -> None:
    image = draw((10, 10, 50, 50), (20, 20, 23, 23))  # the hole is an object of 9 pixels
    image[70:72, 70:72] = 0  # an island of the first
    (found,) = generate_masks(
        PaintBackend(),
        image,
        MaskGeneratorOptions(points_per_side=32, min_mask_region_area=10, stability_score_thresh=0),
    )
    assert (found.box, found.area) == ((10, 10, 50, 50), 40 * 40)


def test_islands_of_exactly_the_smallest_area_remain() -> None:
    image = draw((20, 20, 23, 23))
    options = MaskGeneratorOptions(points_per_side=32, min_mask_region_area=9, stability_score_thresh=0)
    assert [one.area for one in generate_masks(PaintBackend(), image, options)] == [9]


def test_to_masks_returns_objects_with_their_scores() -> None:
    found = generate_masks(PaintBackend(), draw((5, 10, 30, 70), (40, 40, 70, 60)), LOOSE)
    masks = found.to_masks()
    assert masks.object_ids == (1, 2)
    assert masks.areas.tolist() == [one.area for one in found]
    assert masks.scores.tolist() == [one.score for one in found]


def test_an_empty_image_has_no_masks() -> None:
    found = generate_masks(PaintBackend(), draw(), LOOSE)
    assert (len(found), len(found.to_masks()), found.to_masks().size) == (0, 0, (80, 80))


def test_records_are_those_of_the_reference_in_each_output_mode() -> None:
    found = generate_masks(PaintBackend(), draw((5, 10, 30, 70)), LOOSE)
    (compressed,), (plain,), (binary,) = (
        found.to_records("coco_rle"),
        found.to_records("uncompressed_rle"),
        found.to_records("binary_mask"),
    )
    mask = np.zeros((80, 80), bool)
    mask[10:70, 5:30] = True
    assert np.array_equal(coco.decode(compressed["segmentation"]).astype(bool), mask)
    assert plain["segmentation"]["counts"][:3] == [5 * 80 + 10, 60, 20]
    assert np.array_equal(binary["segmentation"], mask)
    assert compressed["bbox"] == [5, 10, 24, 59]  # between pixel centers, as in the reference
    assert compressed["crop_box"] == [0, 0, 80, 80]
    assert compressed["point_coords"] == [[5, 15]]


def test_a_saved_file_is_an_annotation_of_the_image(tmp_path: Path) -> None:
    found = generate_masks(PaintBackend(), draw((5, 10, 30, 70)), LOOSE)
    found.save(tmp_path / "found.json")
    content = json.loads((tmp_path / "found.json").read_text())
    assert content["image"] == {"height": 80, "width": 80}
    assert rle.compute_area(content["annotations"][0]["segmentation"]) == content["annotations"][0]["area"] == 25 * 60


def test_in_a_label_map_smaller_masks_are_drawn_over_larger_ones(tmp_path: Path) -> None:
    large, small = np.zeros((80, 80), bool), np.zeros((80, 80), bool)
    large[10:70, 10:70], small[20:30, 20:30] = True, True
    parts = [
        GeneratedMask(rle.encode(one), int(one.sum()), (0, 0, 80, 80), 0.9, 1.0, (1, 1), (0, 0, 80, 80))
        for one in (small, large)
    ]
    for found in (GeneratedMasks((80, 80), tuple(parts)), GeneratedMasks((80, 80), tuple(parts[::-1]))):
        labels = found.to_label_map()
        found.save(tmp_path / "found.png")
        assert (read_mask(tmp_path / "found.png") == labels).all()
        assert [int((labels == position + 1).sum()) for position in found.order_by_area()] == [3500, 100]
        shown = found.overlay(np.zeros((80, 80, 3), np.uint8))
        assert shown[25, 25].tolist() != shown[15, 15].tolist() != shown[0, 0].tolist()


def test_point_grids_are_used_as_they_are() -> None:
    options = MaskGeneratorOptions(
        points_per_side=None, point_grids=(np.array([[0.5, 0.5], [0.25, 0.75]]),), pred_iou_thresh=0.9
    )
    (found,) = generate_masks(PaintBackend(), draw((18, 50, 30, 70)), options)
    assert found.point == (20, 60)


@pytest.mark.parametrize(
    "settings",
    [
        {"points_per_side": None},
        {"point_grids": (np.zeros((1, 2)),)},
        {"points_per_side": 0},
        {"crop_n_layers": -1},
        {"crop_n_layers": 7},
        {"pred_iou_thresh": float("nan")},
        {"stability_score_offset": float("nan")},
        {"mask_threshold": float("inf")},
        {"crop_overlap_ratio": 1.0},
        {"points_per_side": None, "point_grids": (np.full((1, 2), 320.0),)},
        {"points_per_side": None, "point_grids": (np.zeros((1, 2)),), "crop_n_layers": 1},
    ],
)
def test_options_outside_their_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        MaskGeneratorOptions(**settings)  # type: ignore[arg-type]


def test_thresholds_depend_on_the_model_unless_they_are_given() -> None:
    released = MaskGeneratorOptions().for_model("sam2.1-tiny")
    assert (released.pred_iou_thresh, released.stability_score_thresh) == ModelDefaults()[1:] == (0.8, 0.95)
    embedded = MaskGeneratorOptions(stability_score_thresh=0).for_model(EMBEDDED_MODEL)
    defaults = ModelDefaults.of(EMBEDDED_MODEL)
    assert (embedded.pred_iou_thresh, embedded.stability_score_thresh) == (defaults.iou_threshold, 0)
    assert all(own < other for own, other in zip(defaults[1:], ModelDefaults()[1:], strict=True))


def test_steps_are_batches_and_end_with_the_masks() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 10:40] = 200
    options = replace(LOOSE, points_per_batch=10)
    steps, progress = generate_in_steps(PaintBackend(), image, options), list[tuple[int, int]]()
    with pytest.raises(StopIteration) as end:
        while True:
            progress.append(next(steps))
    assert progress == [*((10 * batch, 64) for batch in range(1, 7)), (64, 64)]
    assert end.value.value == generate_masks(PaintBackend(), image, options)
