"""Shapes of CVAT: golden vectors of its SDK, both directions, prompts, and damaged input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masklet.errors import FormatError, PromptError
from masklet.masks.cvat_shapes import (
    decode_cvat_mask,
    encode_cvat_mask,
    encode_shape,
    make_click_prompt,
    make_shape_prompt,
)
from masklet.masks.polygons import rasterize

SPOTS = np.zeros((3, 5), bool)
SPOTS[1, 1:4] = SPOTS[2, 2] = True
GOLDEN = [(SPOTS, [0, 3, 1, 1, 1, 1, 1, 3, 2]), (np.eye(2, dtype=bool), [0, 1, 2, 1, 0, 0, 1, 1])]


@pytest.mark.parametrize(("mask", "expected"), GOLDEN)
def test_golden_vectors_of_the_sdk_are_equal_in_both_directions(mask, expected):
    assert encode_cvat_mask(mask) == expected
    assert (decode_cvat_mask(expected, mask.shape) == mask).all()


@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_decoding_gives_the_encoded_mask_back(height, width, share, seed):
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert (decode_cvat_mask([*map(float, encode_cvat_mask(mask))], mask.shape) == mask).all()


@pytest.mark.parametrize(
    "points", [[1, 2, 3, 4], [5, 0, 0, 1, 1], [4, 0, 0, 9, 9], [-1, 5, 0, 0, 1, 1], [4.5, 0, 0, 1, 1], ["a"] * 5]
)
def test_broken_masks_are_refused(points):
    with pytest.raises(FormatError) as caught:
        decode_cvat_mask(points, (3, 5))
    assert caught.value.code == "bad-rle"


def test_a_polygon_is_the_outline_of_the_largest_component_and_a_rectangle_the_box():
    mask = np.zeros((12, 12), bool)
    mask[1:3, 1:3] = mask[5:11, 4:9] = True
    assert encode_shape("rectangle", mask) == [1, 1, 9, 11]
    largest = np.zeros_like(mask)
    largest[5:11, 4:9] = True
    assert (rasterize([encode_shape("polygon", mask)], mask.shape) == largest).all()


def test_shapes_become_prompts():
    box = make_shape_prompt("rectangle", [-3, 1, 9, 30], (12, 12))
    assert (box.points.tolist(), box.labels.tolist()) == ([[0, 1], [9, 12]], [2, 3])
    prompt = make_shape_prompt("mask", GOLDEN[0][1], (3, 5))
    assert prompt.mask is not None and (prompt.mask == SPOTS).all()
    polygon = make_shape_prompt("polygon", [1, 1, 4, 1, 4, 3, 1, 3], (12, 12))
    assert polygon.mask is not None and polygon.mask.sum() == 6


@pytest.mark.parametrize(
    ("kind", "points"),
    [("ellipse", [1, 2, 3, 4]), ("rectangle", [1, 2, 3]), ("rectangle", [1, "a", 3, 4]), ("rectangle", [5, 5, 5, 9]),
     ("polygon", [20, 20, 30, 20, 30, 30])],
)  # fmt: skip
def test_shapes_that_cannot_be_tracked_are_refused(kind, points):
    with pytest.raises(PromptError, match=r"type|numbers|box must have|no pixels"):
        make_shape_prompt(kind, points, (12, 12))


def test_points_and_a_box_in_any_order_become_a_prompt():
    prompt = make_click_prompt([[4, 5]], [[1, 1]], [[9, 8], [2, 3]])
    assert prompt.points.tolist() == [[2, 3], [9, 8], [4, 5], [1, 1]] and prompt.labels.tolist() == [2, 3, 1, 0]
    assert make_click_prompt([], [], [[2, 3], [9, 8]]).labels.tolist() == [2, 3]
    for arguments in (([], [], None), ([], [], [[1, 2]]), ([["a", 1]], [], []), ([], [], [[1, 2], [1, 2]])):
        with pytest.raises(PromptError):
            make_click_prompt(*arguments)
