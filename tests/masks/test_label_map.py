"""Label maps hold object ids and are written as PNG."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from masklet.errors import FormatError
from masklet.masks.label_map import make_davis_palette, make_label_map, write_label_map, write_mask


def test_the_palette_begins_with_the_colors_of_davis():
    assert make_davis_palette()[:9].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128],
        [128, 128, 128], [64, 0, 0],
    ]  # fmt: skip
    assert len(np.unique(make_davis_palette(), axis=0)) == 256


def test_the_smallest_id_wins_overlaps():
    masks = np.array([[[1, 1, 0]], [[0, 1, 1]], [[0, 0, 1]]], bool)
    assert make_label_map(masks, (7, 2, 5), (1, 3)).tolist() == [[7, 2, 2]]


@pytest.mark.parametrize(("object_id", "bits"), [(255, 8), (256, 16), (65535, 16)])
def test_large_ids_need_16_bits(object_id: int, bits: int):
    labels = make_label_map(np.ones((1, 1, 1), bool), (object_id,), (1, 1))
    assert labels.dtype.itemsize * 8 == bits
    assert labels[0, 0] == object_id


@pytest.mark.parametrize("object_id", [0, -1, 65536])
def test_an_id_that_a_label_map_cannot_hold_is_refused(object_id: int):
    with pytest.raises(FormatError, match=str(object_id)):
        make_label_map(np.ones((1, 1, 1), bool), (object_id,), (1, 1))


@pytest.mark.parametrize(("dtype", "mode"), [(np.uint8, "P"), (np.uint16, "I;16")])
def test_a_written_label_map_reads_back_the_same(dtype: type, mode: str):
    labels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (30, 40)).astype(dtype)
    write_label_map(file := io.BytesIO(), labels)
    image = Image.open(file)
    assert image.mode == mode
    assert (np.array(image) == labels).all()


def test_a_label_map_shows_object_ids_in_the_colors_of_davis():
    write_label_map(file := io.BytesIO(), np.array([[0, 1, 2]], np.uint8))
    assert np.array(Image.open(file).convert("RGB")).tolist() == [[[0, 0, 0], [128, 0, 0], [0, 128, 0]]]


def test_one_mask_is_black_and_white():
    write_mask(file := io.BytesIO(), np.array([[True, False]]))
    image = Image.open(file)
    assert image.mode == "L"
    assert np.array(image).tolist() == [[255, 0]]
