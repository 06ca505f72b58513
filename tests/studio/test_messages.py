"""Messages of the studio: binary messages, strict JSON, and masks as runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from masklet.errors import FormatError
from masklet.http.json_text import load_json
from masklet.studio.messages import decode_runs, encode_runs, pack, pack_masks, unpack

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(st_numpy.arrays(bool, SIZES))
def test_a_mask_survives_its_runs(mask: np.ndarray) -> None:
    runs = encode_runs(mask)
    assert runs.dtype == np.dtype("<i4") and int(runs.sum()) == mask.size
    assert (runs[1:] > 0).all(), "only the first run can be empty"
    assert np.array_equal(decode_runs(runs.tobytes(), mask.shape), mask)


def test_runs_begin_with_the_background_and_go_along_rows() -> None:
    mask = np.array([[1, 1, 0], [0, 1, 1]], bool)
    assert encode_runs(mask).tolist() == [0, 2, 2, 2]
    assert encode_runs(~mask).tolist() == [2, 2, 2]
    assert encode_runs(np.asfortranarray(mask)).tolist() == [0, 2, 2, 2]


@pytest.mark.parametrize(
    ("runs", "size"),
    [([3], (2, 2)), ([5], (2, 2)), ([5, -1], (2, 2)), ([], (1, 1)), ([2**31 - 1] * 2, (2, 2)), ([0], (0, 0)),
     ([5000], (1, 5000)), ([-4, 8], (2, 2))],
)  # fmt: skip
def test_runs_that_do_not_fit_are_refused(runs: list[int], size: tuple[int, int]) -> None:
    with pytest.raises(FormatError) as caught:
        decode_runs(np.array(runs, "<i4").tobytes(), size)
    assert caught.value.code == "bad-rle"


def test_runs_of_a_length_that_is_no_multiple_of_four_are_refused() -> None:
    with pytest.raises(FormatError, match="32-bit"):
        decode_runs(b"\x01\x00\x00\x00\x00", (1, 1))


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3), st.binary(max_size=20))
def test_a_binary_message_survives_and_its_payload_is_aligned(header: dict[str, object], payload: bytes) -> None:
    message = pack(header, payload)
    assert int.from_bytes(message[:4], "little") % 4 == 0
    assert unpack(message) == (header, payload)


@pytest.mark.parametrize(
    "message", [b"", b"\x04\x00", b"\xff\xff\xff\xff{}", b"\x04\x00\x00\x00[]  ", b"\x04\x00\x00\x00\xff\xff\xff\xff"]
)
def test_a_broken_binary_message_is_refused(message: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        unpack(message)
    assert caught.value.code == "bad-request"


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{", "", "[" * 100_000, r'"\ud800"', "9" * 10_000])
def test_json_that_others_do_not_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        load_json(text)


def test_a_message_with_masks_states_the_runs_of_each() -> None:
    mask = np.array([[0, 1], [1, 0]], bool)
    header, payload = pack_masks(
        {"kind": "masks"}, [({"object": 7}, encode_runs(mask)), ({"object": 8}, np.array([4]))]
    )
    assert header == {"kind": "masks", "masks": [{"object": 7, "runs": 3}, {"object": 8, "runs": 1}]}
    assert np.frombuffer(payload, "<i4").tolist() == [1, 2, 1, 4]
    assert json.loads(json.dumps(header)) == header
