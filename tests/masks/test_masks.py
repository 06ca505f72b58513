"""Masks refuse parts that do not fit together, compute their properties and write files."""

from __future__ import annotations

import json
import os
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import BackendError, FormatError, ImageError, PromptError, ResourceError, SettingsError
from masklet.masks.labels import read_png_labels
from masklet.masks.masks import Masks
from masklet.masks.polygons import MIN_IOU, rasterize
from masklet.masks.resize import resize_logits

STACKS = arrays.arrays(bool, arrays.array_shapes(min_dims=3, max_dims=3, max_side=9))


def draw(*rows: str) -> NDArray[np.bool_]:
    return np.array([list(row) for row in rows]) == "#"


def squares() -> Masks:
    """Three objects in an image of 20 × 30 pixels: a square, a square that overlaps it, an empty mask."""
    binary = np.zeros((3, 20, 30), bool)
    binary[0, 2:12, 3:13] = True
    binary[1, 2:12, 8:18] = True
    return Masks.from_binary(binary, object_ids=(4, 9, 2), scores=(0.5, 0.9, 0.7))


def make_fields(**changes: Any) -> dict[str, Any]:
    fields = {
        "low_res": np.zeros((2, 4, 4), np.float32),
        "size": (8, 8),
        "scores": np.zeros(2, np.float32),
        "object_ids": (1, 2),
        "object_scores": np.zeros(2, np.float32),
    }
    return {**fields, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"low_res": np.zeros((4, 4), np.float32)},
        {"low_res": np.zeros((2, 0, 4), np.float32)},
        {"low_res": np.zeros((2, 4, 4), np.float16)},
        {"low_res": np.zeros((2, 4, 4), np.int64)},
        {"size": (8, 0)},
        {"size": (8,)},
        {"size": (8.0, 8.0)},
        {"scores": np.zeros(3, np.float32)},
        {"scores": np.zeros(2)},
        {"object_scores": np.zeros((2, 1), np.float32)},
        {"object_ids": (1,)},
        {"object_ids": ("1", "2")},
        {"labels": ("dog",)},
        {"labels": "ab"},
    ],
)
def test_fields_that_do_not_fit_together_are_refused(changes: dict[str, Any]):
    with pytest.raises(PromptError) as raised:
        Masks(**make_fields(**changes))
    assert raised.value.code == "mask-shape"


@pytest.mark.parametrize("name", ["low_res", "scores", "object_scores"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float):
    values = make_fields()[name]
    values.flat[1] = value
    with pytest.raises(BackendError) as raised:
        Masks(**make_fields(**{name: values}))
    assert raised.value.code == "non-finite-output"


def test_logits_alone_make_visible_objects_numbered_from_1():
    masks = Masks.from_logits(np.zeros((3, 4, 4)), (8, 8))
    assert masks.object_ids == (1, 2, 3)
    assert masks.scores.tolist() == [1, 1, 1]
    assert masks.visible.tolist() == [True, True, True]


@pytest.mark.parametrize(
    ("given_dtype", "dtype"), [("float16", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_logits_keep_the_precision_of_float64(given_dtype: str, dtype: str):
    masks = Masks.from_logits(np.zeros((1, 4, 4), given_dtype), (6, 7))
    assert masks.low_res.dtype == masks.logits.dtype == dtype


@given(STACKS)
def test_a_binary_array_is_restored_exactly(binary: NDArray[np.bool_]):
    masks = Masks.from_binary(binary)
    assert (masks.binary == binary).all()
    assert masks.visible.tolist() == binary.any(axis=(1, 2)).tolist()


def test_an_array_of_two_dimensions_is_one_mask():
    assert Masks.from_binary([[0, 255], [7, 0]]).binary.tolist() == [[[False, True], [True, False]]]


@pytest.mark.parametrize("array", [True, [True], np.zeros((1, 0, 4)), np.zeros((1, 1, 2, 2))])
def test_an_array_of_another_shape_is_refused(array: Any):
    with pytest.raises(PromptError, match="H, W"):
        Masks.from_binary(array)


def test_an_array_of_fractions_is_refused():
    with pytest.raises(PromptError, match="array > threshold"):
        Masks.from_binary(np.full((2, 2), 0.3))


def test_a_mask_is_where_logits_at_the_images_size_are_above_zero():
    masks = Masks.from_logits(np.array([[[-1.0, 3.0]]]), (1, 4))
    assert masks.logits.tolist() == [[[-1, 0, 2, 3]]]
    assert masks.binary.tolist() == [[[False, False, True, True]]]


def test_binary_masks_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        squares().binary[0, 0, 0] = True


def test_areas_and_boxes_are_in_pixels_of_the_image():
    assert squares().areas.tolist() == [100, 100, 0]
    assert squares().boxes.tolist() == [[3, 2, 13, 12], [8, 2, 18, 12], [0, 0, 0, 0]]


@given(STACKS)
def test_areas_and_boxes_fit_any_mask(binary: NDArray[np.bool_]):
    masks = Masks.from_binary(binary)
    assert masks.areas.tolist() == binary.sum(axis=(1, 2)).tolist()
    for mask, (x0, y0, x1, y1) in zip(binary, masks.boxes.astype(int), strict=True):
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
        for side in (mask[y0:y1, x0:x1][edge] for edge in (np.s_[:1], np.s_[-1:], np.s_[:, :1], np.s_[:, -1:])):
            assert side.any() == mask.any()


def test_areas_are_the_same_before_and_after_binary_is_cached():
    masks = Masks.from_logits(np.random.default_rng(0).normal(size=(2, 8, 8)), (50, 70))
    before = masks.areas.tolist()
    assert before == masks.binary.sum(axis=(1, 2)).tolist() == masks.areas.tolist()


def test_logits_in_any_memory_layout_make_the_same_masks():
    logits = np.random.default_rng(0).normal(size=(2, 30, 20)).astype(np.float32)
    turned, straight = logits.transpose(0, 2, 1), logits.transpose(0, 2, 1).copy()
    for size in ((20, 30), (50, 70)):
        one, other = Masks.from_logits(turned, size), Masks.from_logits(straight, size)
        image = np.full((*size, 3), 90, np.uint8)
        assert one.to_rle() == other.to_rle()
        assert one.boxes.tolist() == other.boxes.tolist()
        assert (one.overlay(image) == other.overlay(image)).all()
        assert (
            one.postprocess(fill_holes=5, remove_islands=5).logits
            == other.postprocess(fill_holes=5, remove_islands=5).logits
        ).all()


def test_stability_compares_two_thresholds():
    masks = Masks.from_logits(np.array([[[-2.0, -0.5, 0.5, 2.0]], [[-2.0, -2.0, -2.0, -2.0]]]), (1, 4))
    assert masks.stability().tolist() == [1 / 3, 0]
    assert masks.stability(0.1).tolist() == [1, 0]


def test_a_position_gives_masks_of_length_one():
    one = squares()[-2]
    assert (len(one), one.object_ids, one.scores.tolist()) == (1, (9,), [np.float32(0.9)])
    assert one.areas.tolist() == [100]


@pytest.mark.parametrize("which", [slice(0, 3, 2), [0, 2], np.array([0, 2]), np.array([True, False, True])])
def test_several_positions_are_selected_at_once(which: Any):
    assert squares()[which].object_ids == (4, 2)


def test_a_position_past_the_end_is_an_index_error():
    with pytest.raises(IndexError):
        squares()[3]


def test_iteration_gives_each_mask():
    assert [one.object_ids for one in squares()] == [(4,), (9,), (2,)]


def test_an_object_is_found_by_its_id():
    assert squares().of(9).boxes.tolist() == [[8, 2, 18, 12]]


def test_an_object_may_have_several_masks():
    masks = Masks.from_logits(np.zeros((3, 2, 2)), (2, 2), object_ids=(7, 8, 7), scores=(0.1, 0.9, 0.4))
    assert len(masks.of(7)) == 2
    assert masks.of(7).best.scores.tolist() == [np.float32(0.4)]


def test_the_error_for_an_unknown_object_names_the_known_ones():
    with pytest.raises(PromptError, match=r"object 5, only of \[2, 4, 9\]") as raised:
        squares().of(5)
    assert raised.value.code == "unknown-object"


def test_the_best_has_the_highest_score_and_is_the_first_of_equals():
    assert squares().best.object_ids == (9,)
    assert Masks.from_logits(np.zeros((3, 2, 2)), (2, 2), scores=(0.1, 0.4, 0.4)).best.object_ids == (2,)


def test_without_masks_none_is_the_best():
    with pytest.raises(PromptError, match="no masks"):
        _ = Masks.empty((4, 4)).best


def test_joined_masks_are_in_order():
    masks = squares()
    joined = Masks.join([masks[1:], Masks.empty(masks.size), masks[:1]])
    assert joined.object_ids == (9, 2, 4)
    assert joined.areas.tolist() == [100, 0, 100]


def test_joining_masks_of_different_resolutions_does_not_change_them():
    coarse = Masks.from_logits(np.random.default_rng(0).normal(size=(1, 5, 5)), (20, 30))
    joined = Masks.join([squares(), coarse])
    assert (joined.binary[3] == coarse.binary[0]).all()


@pytest.mark.parametrize("other", [[], [Masks.empty((2, 3)), Masks.empty((3, 2))]])
def test_only_masks_of_one_image_can_be_joined(other: list[Masks]):
    with pytest.raises(PromptError, match="one image"):
        Masks.join(other)


def test_no_masks_support_all_operations(tmp_path: Path):
    empty = Masks.empty((6, 8))
    image = np.full((6, 8, 3), 9, np.uint8)
    assert (len(empty), empty.logits.shape, empty.binary.shape) == (0, (0, 6, 8), (0, 6, 8))
    assert (empty.areas.shape, empty.boxes.shape, empty.stability().shape) == ((0,), (0, 4), (0,))
    assert empty.iou(empty).shape == (0, 0)
    assert empty.to_rle() == []
    assert (empty.overlay(image) == image).all()
    assert not empty.cutout(image).any()
    assert not empty.cutout(image, soft=True).any()
    for same in (
        empty.nms(0.5),
        empty.postprocess(fill_holes=3, remove_islands=3),
        empty.keep_largest(),
        empty.remove_overlap(),
    ):
        assert same.binary.shape == (0, 6, 8)
    for name in ("n.png", "n.json", "n.npz"):
        empty.save(tmp_path / name)


def test_iou_is_pairwise():
    masks = squares()
    np.testing.assert_array_equal(masks.iou(masks[:2]), [[1, 1 / 3], [1 / 3, 1], [0, 0]])


def test_masks_of_images_of_different_sizes_have_no_iou():
    with pytest.raises(PromptError, match="compared"):
        squares().iou(Masks.empty((20, 31)))


@pytest.mark.parametrize(("threshold", "remaining"), [(0.3, (9, 2)), (0.4, (9, 2, 4))])
def test_nms_keeps_the_best_of_overlapping_masks(threshold: float, remaining: tuple[int, ...]):
    assert squares().nms(threshold).object_ids == remaining


def test_areas_of_holes_are_in_low_resolution_pixels():
    low_res = np.where(draw("####", "#.##", "####", "####"), 4.0, -4.0)[None]
    masks = Masks.from_logits(low_res, (40, 40))
    assert not masks.binary.all()
    assert masks.postprocess(fill_holes=1).binary.all()


def test_post_processing_does_not_change_the_given_masks():
    masks = Masks.from_binary(draw("#..", "...", "..."))
    assert masks.postprocess(remove_islands=1).areas.tolist() == [0]
    assert masks.areas.tolist() == [1]


def test_points_select_components_in_pixels_of_the_image():
    low_res = np.where(draw("#.#.", "#.#.", "#..."), 4.0, -4.0)[None]
    masks = Masks.from_logits(low_res, (30, 40))
    assert masks.postprocess(keep_points=[(25, 5)]).boxes.tolist() == [[20, 0, 30, 20]]


def test_a_point_outside_the_image_is_refused():
    with pytest.raises(PromptError, match="outside"):
        squares().postprocess(keep_points=[(31, 5)])


@pytest.mark.parametrize("areas", [{"fill_holes": -1}, {"remove_islands": float("nan")}])
def test_areas_below_zero_are_refused(areas: dict[str, float]):
    with pytest.raises(SettingsError):
        squares().postprocess(**areas)


def test_the_largest_component_of_each_mask_remains():
    masks = Masks.from_binary(np.stack([draw("##.#"), draw("#.##")]))
    assert masks.keep_largest().boxes.tolist() == [[0, 0, 2, 1], [2, 0, 4, 1]]


def test_each_pixel_belongs_to_the_mask_with_the_highest_logit():
    logits = np.array([[[3.0, 1.0, -2.0, 2.0]], [[1.0, 4.0, -1.0, 2.0]], [[-20.0, 0.0, -3.0, 1.0]]])
    separated = Masks.from_logits(logits, (1, 4)).remove_overlap()
    assert separated.logits.tolist() == [[[3, -10, -10, 2]], [[-10, 4, -1, -10]], [[-20, -10, -10, -10]]]
    assert logits[0].tolist() == [[3, 1, -2, 2]]


@given(arrays.arrays(np.float64, (4, 5, 6), elements=st.integers(-12, 12)))
def test_removal_of_overlap_agrees_with_the_definition(logits: NDArray[np.float64]):
    expected = np.where(logits.argmax(axis=0) == np.arange(4)[:, None, None], logits, np.minimum(logits, -10))
    assert (Masks.from_logits(logits, (5, 6)).remove_overlap().logits == expected).all()


def test_a_single_mask_is_not_changed_by_removal_of_overlap():
    single = squares()[0]
    assert single.remove_overlap() is single


@given(STACKS)
def test_rle_restores_the_masks(binary: NDArray[np.bool_]):
    restored = Masks.from_rle(Masks.from_binary(binary).to_rle(), object_ids=range(5, 5 + len(binary)))
    assert (restored.binary == binary).all()
    assert restored.object_ids == tuple(range(5, 5 + len(binary)))


def test_no_rle_is_refused():
    with pytest.raises(FormatError):
        Masks.from_rle([])


def test_a_cutout_contains_all_masks():
    cut = squares().cutout(np.full((20, 30, 3), 50, np.uint8))
    assert ((cut[..., 3] == 255) == squares().binary.any(axis=0)).all()


def test_the_alpha_of_a_soft_cutout_is_the_sigmoid_of_the_logits():
    masks = Masks.from_logits(np.array([[[-6.0, 6.0]]]), (1, 8))
    alpha = masks.cutout(np.full((1, 8, 3), 50, np.uint8), soft=True)[0, :, 3].tolist()
    assert alpha == sorted(alpha)
    assert alpha == [1, 1, 3, 47, 208, 252, 254, 254]  # 255 · sigmoid(−6, −6, −4.5, −1.5, 1.5, 4.5, 6, 6)


@pytest.mark.parametrize("draw", [Masks.overlay, Masks.cutout])
def test_an_image_of_another_size_is_refused(draw: Any):
    with pytest.raises(ImageError):
        draw(squares(), np.zeros((30, 20, 3), np.uint8))


def test_several_masks_are_saved_as_a_label_map(tmp_path: Path):
    squares().save(tmp_path / "masks.png")
    labels = np.array(Image.open(tmp_path / "masks.png"))
    assert (labels == 4).sum() == 100  # the smaller id wins the overlap
    assert (labels == 9).sum() == 50


def test_one_mask_is_saved_in_black_and_white(tmp_path: Path):
    squares()[1].save(str(tmp_path / "mask.PNG"))
    assert (np.array(Image.open(tmp_path / "mask.PNG")) == np.where(squares().binary[1], 255, 0)).all()


def test_saved_json_contains_everything_but_logits(tmp_path: Path):
    masks = squares()
    masks.save(tmp_path / "masks.json")
    read = json.loads((tmp_path / "masks.json").read_text())
    restored = Masks.from_rle([entry["rle"] for entry in read["masks"]])
    assert read["size"] == [20, 30]
    assert (restored.binary == masks.binary).all()
    assert [entry["object_id"] for entry in read["masks"]] == [4, 9, 2]
    assert [entry["area"] for entry in read["masks"]] == [100, 100, 0]
    assert read["masks"][0]["box"] == [3, 2, 13, 12]
    assert read["masks"][1]["score"] == np.float32(0.9)
    assert read["masks"][2]["object_score"] < 0


def test_saved_npz_contains_all_fields(tmp_path: Path):
    masks = squares()
    masks.save(tmp_path / "masks.npz")
    read = np.load(tmp_path / "masks.npz", allow_pickle=False)
    restored = Masks.from_logits(
        read["low_res"],
        tuple(read["size"]),
        object_ids=read["object_ids"],
        scores=read["scores"],
        object_scores=read["object_scores"],
    )
    assert (restored.low_res == masks.low_res).all()
    assert (restored.size, restored.object_ids) == (masks.size, masks.object_ids)
    assert (restored.scores == masks.scores).all()
    assert (restored.visible == masks.visible).all()


def test_saving_twice_gives_the_same_bytes(tmp_path: Path):
    for suffix in ("png", "json", "npz"):
        squares().save(tmp_path / f"one.{suffix}")
        squares().save(tmp_path / f"two.{suffix}")
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


@pytest.mark.parametrize("name", ["masks.tif", "masks"])
def test_another_suffix_is_refused(tmp_path: Path, name: str):
    with pytest.raises(FormatError, match=r"\.png, \.json or \.npz"):
        squares().save(tmp_path / name)


def test_an_error_while_saving_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    squares().save(tmp_path / "masks.json")
    before = (tmp_path / "masks.json").read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ResourceError) as raised:
        squares()[0].save(tmp_path / "masks.json")
    assert raised.value.code == "disk-full"
    assert (tmp_path / "masks.json").read_bytes() == before


def test_the_repr_of_masks_is_one_line():
    assert repr(squares()) == "Masks(object_ids=[4, 9, 2], size=(20, 30))"


def test_the_repr_of_many_masks_is_short():
    masks = Masks.from_logits(np.zeros((500, 2, 2)), (2, 2))
    assert repr(masks) == "Masks(object_ids=[1, 2, 3, 4, 5, 6, 7, 8, … 500 in all], size=(2, 2))"


@pytest.mark.parametrize("name", ["logits", "binary", "areas", "boxes"])
def test_a_property_resizes_the_logits_once(name: str, monkeypatch: pytest.MonkeyPatch):
    resized: list[Any] = []
    monkeypatch.setattr(
        "masklet.masks.masks.resize_logits", lambda logits, size: (resized.append(size), resize_logits(logits, size))[1]
    )
    masks = Masks.from_logits(np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32), (50, 70))
    first = getattr(masks, name)
    assert getattr(masks, name) is first
    assert len(resized) == 2
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1


def test_cached_logits_make_the_same_masks():
    logits = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    cached, fresh = (Masks.from_logits(logits, (50, 70)) for _ in range(2))
    assert cached.logits.dtype == np.float32
    assert (cached.binary == fresh.binary).all()
    assert (cached.remove_overlap().low_res == fresh.remove_overlap().low_res).all()
    assert cached.stability().tolist() == fresh.stability().tolist()
    other = Masks.from_binary(np.ones((50, 70), bool))
    assert (Masks.join([cached, other]).low_res == Masks.join([fresh, other]).low_res).all()


def test_methods_do_not_cache_logits():
    masks = Masks.from_logits(np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32), (50, 70))
    masks.remove_overlap(), masks.stability(), masks.to_rle(), masks.areas, masks.boxes, masks.postprocess(fill_holes=2)
    Masks.join([masks, Masks.from_binary(np.ones((50, 70), bool))])
    assert "logits" not in vars(masks)


def test_given_logits_at_the_images_size_stay_writable():
    given_logits = np.zeros((1, 5, 7), np.float32)
    masks = Masks.from_logits(given_logits, (5, 7))
    assert not masks.logits.flags.writeable
    given_logits[0, 0, 0] = 1


def test_masks_are_an_array_of_booleans():
    masks = squares()
    array = np.asarray(masks)
    assert (array.dtype, array.shape) == (bool, (3, 20, 30))
    assert (array == masks.binary).all()
    assert np.asarray(masks, np.uint8).sum() == 200
    assert np.stack([*map(np.asarray, masks)]).shape == (3, 1, 20, 30)
    assert np.asarray(Masks.empty((4, 5))).shape == (0, 4, 5)


def test_a_copy_of_masks_as_an_array_is_writable():
    masks = squares()
    copy = np.array(masks)
    copy[:] = True
    assert masks.areas.tolist() == [100, 100, 0]
    assert masks.__array__(copy=False) is masks.binary
    with pytest.raises(ValueError, match="without a copy"):
        masks.__array__(np.float32, copy=False)


class Detections:
    """Stands in for `supervision.Detections`."""

    def __init__(self, **given_fields: Any) -> None:
        self.__dict__.update(given_fields)


def test_masks_become_detections_of_supervision(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "supervision", types.SimpleNamespace(Detections=Detections))
    masks = squares()
    found = masks.to_supervision()
    shapes = {name: (value.dtype, value.shape) for name, value in vars(found).items()}
    assert shapes == {
        "xyxy": (np.float32, (3, 4)),
        "mask": (bool, (3, 20, 30)),
        "confidence": (np.float32, (3,)),
        "class_id": (np.int64, (3,)),
        "tracker_id": (np.int64, (3,)),
    }
    assert found.xyxy.tolist() == masks.boxes.tolist()
    assert (found.mask == masks.binary).all()
    assert found.confidence.tolist() == masks.scores.tolist()
    assert found.tracker_id.tolist() == [4, 9, 2]
    assert Masks.empty((4, 5)).to_supervision().xyxy.shape == (0, 4)


@pytest.mark.parametrize("name", ["supervision", "torch"])
def test_a_package_that_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendError, match=f"{name} is not installed") as raised:
        getattr(squares(), f"to_{name}")()
    assert raised.value.code == "backend-missing"
    assert raised.value.hint.startswith("pip install")


def test_masks_become_a_tensor():
    torch = pytest.importorskip("torch")
    masks = squares()
    tensor = masks.to_torch()
    assert (tensor.dtype, tuple(tensor.shape)) == (torch.bool, (3, 20, 30))
    tensor[:] = True
    assert masks.areas.tolist() == [100, 100, 0]


def test_polygons_restore_the_masks():
    binary = np.zeros((3, 20, 30), bool)
    binary[0, 2:12, 3:13] = True
    binary[0, 4:7, 5:9] = False
    binary[1, 2:5, 3:13] = binary[1, 9:12, 20:25] = True
    found = Masks.from_binary(binary).to_polygons()
    assert [len(pieces) for pieces in found] == [1, 2, 0]
    assert all(piece.shape[1:] == (2,) for pieces in found for piece in pieces)
    restored = Masks.from_binary(np.stack([rasterize(pieces, (20, 30)) for pieces in found]))
    assert (np.diag(restored.iou(Masks.from_binary(binary)))[:2] >= MIN_IOU).all()
    assert not restored.binary[2].any()
    assert Masks.empty((4, 5)).to_polygons() == []


def labeled() -> Masks:
    return replace(squares(), labels=("dog", None, "traffic light"))


def test_labels_follow_their_masks():
    masks = labeled()
    assert squares().labels == (None, None, None) and Masks.empty((4, 5)).labels == ()
    assert masks.of(2).labels == ("traffic light",) and masks[[1, 0]].labels == (None, "dog")
    assert masks.best.labels == (None,)
    assert Masks.join([masks[:1], squares()[1:]]).labels == ("dog", None, None)
    for changed in (masks.postprocess(fill_holes=2), masks.keep_largest(), masks.remove_overlap()):
        assert changed.labels == masks.labels
    assert masks.nms(0.2).labels == (None, "traffic light")


def test_masks_are_made_with_labels():
    made = Masks.from_rle(squares().to_rle(), labels=["dog", None, " cat "])
    assert made.labels == ("dog", None, "cat")
    assert Masks.from_logits(np.zeros((1, 2, 2)), (2, 2), labels=["dog"]).labels == ("dog",)
    with pytest.raises(PromptError, match="label must be 1 to 200"):
        Masks.from_binary(np.ones((1, 2, 2), bool), labels=["a\nb"])


def test_the_repr_shows_labels():
    assert repr(labeled()) == "Masks(object_ids=[4, 9, 2], labels=['dog', None, 'traffic light'], size=(20, 30))"


def test_labels_are_saved_if_there_are_any(tmp_path: Path):
    for name, masks in (("with", labeled()), ("without", squares())):
        for suffix in ("json", "npz"):
            masks.save(tmp_path / f"{name}.{suffix}")
    entries = json.loads((tmp_path / "with.json").read_text())["masks"]
    assert [entry["label"] for entry in entries] == ["dog", None, "traffic light"]
    assert "label" not in (tmp_path / "without.json").read_text()
    assert np.load(tmp_path / "with.npz")["labels"].tolist() == ["dog", "", "traffic light"]
    assert "labels" not in np.load(tmp_path / "without.npz")


def test_labels_become_classes_of_supervision(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "supervision", types.SimpleNamespace(Detections=Detections))
    found = replace(squares(), labels=("dog", None, "cat")).to_supervision()
    assert found.data["class_name"].tolist() == ["dog", "object", "cat"]
    assert found.class_id.tolist() == [0, 2, 1]


def test_labels_are_in_the_text_of_a_png(tmp_path: Path):
    masks = labeled()
    masks.save(tmp_path / "all.png")
    masks.of(4).save(tmp_path / "one.png")
    squares().save(tmp_path / "none.png")
    found = [read_png_labels((tmp_path / f"{name}.png").open("rb")) for name in ("all", "one", "none")]
    assert found == [{4: "dog", 2: "traffic light"}, {1: "dog"}, {}]
    with Image.open(tmp_path / "none.png") as image:
        assert "masklet:labels" not in image.info
