"""RLE is equal to that of pycocotools, and malformed RLE is refused."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from masklet.errors import FormatError, PromptError
from masklet.masks import rle

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40))
BLOCKS = st.builds(  # masks with long runs
    lambda mask, times: mask.repeat(times, 0).repeat(times, 1), MASKS, st.integers(1, 12)
)


def encode_by_pycocotools(mask: NDArray[np.bool_]) -> dict[str, Any]:
    encoded = coco.encode(np.asfortranarray(mask, np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def list_runs(mask: NDArray[np.bool_]) -> list[int]:
    counts, last = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != last:
            counts.append(0)
        counts[-1] += 1
        last = pixel
    return counts


@given(MASKS | BLOCKS)
def test_masks_are_encoded_as_by_pycocotools(mask: NDArray[np.bool_]):
    assert rle.encode(mask) == encode_by_pycocotools(mask)


@given(MASKS | BLOCKS)
def test_rle_of_pycocotools_is_decoded(mask: NDArray[np.bool_]):
    code = encode_by_pycocotools(mask)
    assert (rle.decode(code) == mask).all()
    assert (rle.decode({**code, "counts": code["counts"].encode()}) == mask).all()
    assert (coco.decode(rle.encode(mask)) == mask).all()


@given(MASKS)
def test_uncompressed_rle_is_decoded(mask: NDArray[np.bool_]):
    assert (rle.decode({"size": list(mask.shape), "counts": list_runs(mask)}) == mask).all()


@given(MASKS | BLOCKS)
def test_area_and_box_are_computed_without_decoding(mask: NDArray[np.bool_]):
    code = encode_by_pycocotools(mask)
    left, top, right, bottom = rle.compute_box(code)
    assert rle.compute_area(code) == mask.sum()
    assert [left, top, right - left, bottom - top] == coco.toBbox(code).tolist()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (300, 200)])
@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks_are_restored(shape: tuple[int, int], value: bool):
    mask = np.full(shape, value)
    assert rle.encode(mask) == encode_by_pycocotools(mask)
    assert (rle.decode(rle.encode(mask)) == mask).all()


def test_a_mask_that_is_not_contiguous_has_the_same_rle():
    mask = np.random.default_rng(2).random((30, 40)) < 0.3
    assert rle.encode(mask[::2, ::-3]) == rle.encode(mask[::2, ::-3].copy())


def test_a_decoded_mask_is_contiguous_by_rows():
    assert rle.decode(rle.encode(np.ones((3, 5), bool))).flags.c_contiguous


def test_empty_runs_are_decoded():
    assert rle.decode({"size": [1, 4], "counts": [0, 1, 0, 1, 2]}).tolist() == [[True, True, False, False]]


def test_several_masks_of_one_image_become_one_array():
    masks = np.random.default_rng(3).random((4, 6, 5)) < 0.5
    assert (rle.decode_all([rle.encode(mask) for mask in masks]) == masks).all()


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        ([2, 3], [5]),
        ([2, 3], [7]),
        ([2, 3], [-1, 7]),
        ([2, 3], [2**62, 2**62, 2**62, 2**62, 6]),
        ([2, 3], [10**30]),
        ([2, 3], [6.0]),
        ([2, 3], [True]),
        ([2, 3], [[6]]),
        ([2, 3], [[6], [1, 2]]),
        ([2, 3], ["6"]),
        ([2, 3], []),
        ([2, 3], None),
        ([2, 3], ""),
        ([2, 3], "5"),
        ([2, 3], "é"),
        ([2, 3], " 6"),
        ([2, 3], "66o"),
        ([2, 3], "o" * 8 + "6"),
        ([2, 3], "O7"),
        ([2, 3], b"\x00"),
        ([2, 3], "0" * 1000),
        ([2], [6]),
        ([2, 3, 1], [6]),
        ([0, 3], []),
        ([-2, -3], [6]),
        ([2.0, 3.0], [6]),
        (["2", "3"], [6]),
        (None, [6]),
        ([100_000, 100_000], [10**10]),
        ([2**62, 4], [2**62]),
    ],
)
def test_malformed_rle_is_refused(size: Any, counts: Any):
    with pytest.raises(FormatError) as raised:
        rle.decode({"size": size, "counts": counts})
    assert raised.value.code == "bad-rle"


@given(st.text() | st.binary(), st.integers(1, 50), st.integers(1, 50))
def test_any_text_is_decoded_to_its_size_or_refused(text: str | bytes, height: int, width: int):
    try:
        assert rle.decode({"size": [height, width], "counts": text}).shape == (height, width)
    except FormatError as error:
        assert error.code == "bad-rle"


def test_a_refusal_allocates_no_mask():
    tracemalloc.start()
    try:
        for counts in ([10**8 - 1], "1", "0" * 10**5):
            with pytest.raises(FormatError):
                rle.decode({"size": [10_000, 10_000], "counts": counts})
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_huge_masks_with_short_rle_are_refused_together():
    code = {"size": [16384, 16384], "counts": [2**28]}
    with pytest.raises(FormatError, match="fewer at once"):
        rle.decode_all([code] * 3)


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(FormatError, match="one image"):
        rle.decode_all([{"size": [1, 2], "counts": [2]}, {"size": [2, 1], "counts": [2]}])


def test_an_array_that_is_no_mask_is_refused():
    with pytest.raises(PromptError, match="H, W"):
        rle.encode(np.zeros((1, 2, 3), bool))
