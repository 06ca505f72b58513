"""Tiles of huge images: an object is predicted in its tile, as on a crop of the image, in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import masklet
from masklet import Segmenter, box, click, clicks
from masklet.errors import SettingsError
from masklet.masks.crop import Crop
from masklet.prompts import Prompt
from masklet.tracking.tracker import Tracker
from masklet.views.found_mask import FoundMask
from masklet.views.tiled_view import TiledView
from support.color_backend import ColorBackend

SIZE = (9000, 12000)
TILE = 1024
HUGE = """
import json, resource, sys
import numpy as np
import masklet
from masklet.views.tiled_view import TiledView

image = np.full((9000, 12000, 3), 90, np.uint8)
image[6030:6070, 8110:8150] = (220, 60, 40)
model = masklet.load(view=TiledView(1024), runtime="onnx")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
masks = model.segment(image, masklet.click(8130, 6050))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
json.dump({"mb": (peak - before) / 1024, "crop": masks.crops[0], "area": int(masks.areas[0])}, sys.stdout)
np.save(sys.argv[1], masks.low_res)
"""


def place(prompt: Prompt, size: tuple[int, int] = SIZE) -> Crop | None:
    return TiledView(TILE).place(prompt, None, size)


def found(region: Crop | None, mask: NDArray[np.bool_], size: tuple[int, int]) -> FoundMask:
    logits = np.where(mask, np.float32(9), np.float32(-9))
    return FoundMask(region, size, logits, lambda: logits)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is measured in kilobytes on Linux")
def test_a_small_object_in_a_huge_image_has_the_mask_of_a_crop_in_little_memory(tmp_path: Path) -> None:
    program = [sys.executable, "-c", HUGE, str(tmp_path / "logits.npy")]
    result = json.loads(subprocess.run(program, capture_output=True, text=True, check=True, timeout=300).stdout)
    assert result["mb"] < 600
    left, top, right, bottom = result["crop"]
    image = np.full((bottom - top, right - left, 3), 90, np.uint8)
    image[6030 - top : 6070 - top, 8110 - left : 8150 - left] = (220, 60, 40)
    model = masklet.load(zoom=0, runtime="onnx")
    alone = model.segment(image, click(8130 - left, 6050 - top))
    assert np.array_equal(np.load(tmp_path / "logits.npy"), alone.low_res)
    assert result["area"] == alone.areas[0] > 0


def test_the_tile_is_the_one_whose_middle_is_nearest_to_the_prompt() -> None:
    assert place(click(100, 100)) == Crop(0, 0, 1024, 1024)
    assert place(click(11_990, 8_990)) == Crop(12_000 - 1024, 9_000 - 1024, 12_000, 9_000)
    tile = place(click(5_000, 5_000))
    assert tile is not None and tile.left % 512 == tile.top % 512 == 0
    assert tile.left + 256 <= 5_000 <= tile.right - 256 and tile.top + 256 <= 5_000 <= tile.bottom - 256


def test_objects_in_one_tile_are_encoded_once() -> None:
    backend = ColorBackend()
    image = np.zeros((600, 900, 3), np.uint8)
    model = Segmenter(backend, TiledView(128))
    model.segment(image, {1: click(300, 300), 2: box(290, 290, 320, 330), 3: click(800, 80)})
    assert backend.encoded == 2


def test_negative_clicks_do_not_place_the_tile() -> None:
    assert place(click(100, 100) + click(9_000, 8_000, positive=False)) == place(click(100, 100))


def test_a_negative_click_far_from_the_object_lies_in_its_tile() -> None:
    image = np.zeros((600, 900, 3), np.uint8)
    image[300:320, 300:320] = 200
    embedded = Segmenter(ColorBackend(), TiledView(128)).embed(image)
    masks = embedded.predict(click(310, 310))
    corrected = embedded.predict(click(700, 100, positive=False), refine=masks)
    assert corrected.crops[0] is None or corrected.crops[0].right > 700
    tracker = Tracker(ColorBackend(), image[None], view=TiledView(128))
    tracker.prompt(0, {1: click(310, 310)})
    assert tracker.prompt(0, {1: click(700, 100, positive=False)}).areas.shape == (1,)


def test_an_object_over_half_a_tile_gets_a_larger_one_up_to_the_whole_image() -> None:
    large = place(box(4_000, 4_000, 4_700, 4_100))
    assert large is not None and large.size == (2048, 2048)
    assert large.left <= 4_000 and large.right >= 4_700
    assert place(clicks([(100, 100), (11_000, 8_000)])) is None
    assert place(click(10, 10), (1000, 900)) is None


def test_a_tile_follows_its_object_and_stays_where_it_is_hidden() -> None:
    size, region = (600, 900), Crop(64, 64, 192, 192)
    mask = np.zeros((32, 32), bool)
    mask[20:28, 20:28] = True  # its middle is at (160, 160)
    assert TiledView(128).follow(found(region, mask, size), size) == Crop(128, 128, 256, 256)
    assert TiledView(128).follow(found(region, np.zeros((32, 32), bool), size), size) == region


def test_a_video_is_tracked_in_tiles_as_on_its_crop() -> None:
    frames = np.zeros((6, 600, 900, 3), np.uint8)
    for t, frame in enumerate(frames):
        frame[300:320, 300 + 5 * t : 320 + 5 * t] = 200
    tracker = Tracker(ColorBackend(), frames, view=TiledView(128))
    tracker.prompt(0, {1: click(310, 310)})
    for t, frame in enumerate(frames):
        masks = tracker.step(t)
        assert masks.crops[0] is not None and max(masks.crops[0].size) == 128
        assert np.array_equal(masks.binary[0], frame[..., 0] == 200)


@pytest.mark.parametrize("tile", [31, 0, -5, 64.0, True])
def test_a_tile_that_is_no_size_is_refused(tile: int) -> None:
    with pytest.raises(SettingsError, match="at least 32"):
        TiledView(tile)


@pytest.mark.parametrize("view", [2, TiledView, "tiles"])
def test_what_is_no_view_is_refused(view: Any) -> None:
    with pytest.raises(SettingsError, match="view must be a view"):
        masklet.load(view=view, runtime="onnx")


def test_zoom_and_view_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match="exclude each other"):
        masklet.load(zoom=2, view=TiledView(), runtime="onnx")
