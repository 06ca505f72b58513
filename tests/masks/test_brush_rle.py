"""Brush RLE of Label Studio: golden vectors of the official encoder, both directions, and damaged input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masklet.errors import FormatError, PromptError
from masklet.masks.brush_rle import decode_brush, encode_brush

GOLDEN = [
    ([[0, 1], [1, 1]], [0, 0, 0, 16, 57, 27, 252, 96, 22, 255, 192]),
    (
        [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]],
        [0, 0, 0, 60, 57, 27, 254, 23, 0, 183, 255, 133, 192, 0],
    ),
]


@pytest.mark.parametrize(("mask", "expected"), GOLDEN)
def test_golden_vectors_of_the_official_encoder_are_equal_in_both_directions(mask, expected):
    mask = np.array(mask, bool)
    assert encode_brush(mask) == expected
    assert (decode_brush(expected, mask.shape) == mask).all()


@given(
    height=st.integers(1, 9),
    width=st.sampled_from([1, 2, 3, 4, 5, 63, 64, 65, 5000]),
    share=st.sampled_from([0, 0.02, 0.5, 1]),
    seed=st.integers(0, 2**32 - 1),
)
def test_decoding_gives_the_encoded_mask_back(height, width, share, seed):
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert (decode_brush(bytes(encode_brush(mask)), mask.shape) == mask).all()


def test_runs_longer_than_a_length_can_be_are_split():
    mask = np.zeros((300, 300), bool)
    mask[150:] = True
    code = encode_brush(mask)
    assert len(code) < 30
    assert (decode_brush(code, mask.shape) == mask).all()


def test_literal_values_are_read_and_only_the_fourth_channel_counts():
    values = [9, 9, 9, 127, 255, 0, 0, 128]  # two pixels: the first is less than half opaque
    bits = f"{8:032b}" + f"{7:05b}" + "".join(f"{width - 1:04b}" for width in (3, 4, 8, 16))
    bits += "0" + "00" + f"{1:03b}" + f"{values[0]:08b}{values[1]:08b}"  # literals that end inside a pixel
    bits += "1" + "00" + f"{0:03b}" + f"{values[2]:08b}"
    bits += "0" + "01" + f"{4:04b}" + "".join(f"{value:08b}" for value in values[3:])
    bits += "0" * (-len(bits) % 8)
    code = [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]
    assert decode_brush(code, (1, 2)).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("code", "size", "message"),
    [
        ([0, 0, 0, 16], (2, 2), "ends after 4 bytes"),
        (GOLDEN[0][1], (2, 3), "16 values of 8 bits"),
        (GOLDEN[0][1][:7], (2, 2), "ends after 7 bytes"),
        ([0, 0, 0, 16, 57, 27, 252, 96, 255, 255, 255, 255, 255], (2, 2), "after the last one"),
        ([300], (2, 2), "numbers from 0 to 255"),
        (["a"], (2, 2), "numbers from 0 to 255"),
        (GOLDEN[0][1], (0, 2), "cannot be decoded"),
        (GOLDEN[0][1], (2**20, 2**20), "cannot be decoded"),
    ],
)
def test_broken_bytes_are_refused(code, size, message):
    with pytest.raises(FormatError, match=message) as caught:
        decode_brush(code, size)
    assert caught.value.code == "bad-rle"


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_decoded_or_refused(content):
    try:
        assert decode_brush(bytes([0, 0, 0, 16, 57, 27, 252]) + content, (2, 2)).shape == (2, 2)
    except FormatError as error:
        assert error.code == "bad-rle"


def test_arrays_that_are_not_masks_are_refused():
    with pytest.raises(PromptError, match="mask must be"):
        encode_brush(np.zeros((2, 0), bool))
