"""Sessions of the plugin for napari without napari, and the errors where a program's library is missing."""

from __future__ import annotations

import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import masklet
from masklet.errors import BackendError, ImageError, StateError
from masklet.integrations.napari.layer_images import LayerImages, open_layer
from masklet.integrations.napari.stack_session import StackSession
from masklet.segmenter import Segmenter
from support.gray_world import GrayWorld, draw_boxes

FRAMES = [draw_boxes({80: (5 + 2 * t, 5, 15 + 2 * t, 25), 160: (30, 10, 50, 35)}) for t in range(5)]


def make_session(frames: Any = FRAMES) -> StackSession:
    return StackSession(Segmenter(GrayWorld()), masklet.open_video(list(frames)))


def make_layer(data: Any, **fields: Any) -> Any:
    """A layer with the attributes of napari's that are read."""
    rgb = fields.get("rgb", False)
    defaults = {"name": "cells", "rgb": False, "multiscale": False, "contrast_limits": [0, 255], "data": data}
    return SimpleNamespace(**{**defaults, "ndim": data.ndim - rgb, **fields})


def test_only_changed_prompts_are_predicted() -> None:
    session, first = make_session(), masklet.click(8, 10)
    update = session.prompt({0: {1: first}})
    assert [*update.masks] == [0] and update.masks[0].areas.tolist() == [200] and update.error is None
    assert session.prompt({0: {1: masklet.click(8, 10)}}).masks == {}
    update = session.prompt({0: {1: first}, 2: {2: masklet.box(30, 10, 50, 35)}})
    assert [*update.masks] == [2] and session.object_ids == (1, 2)
    update = session.prompt({2: {2: masklet.box(30, 10, 50, 35)}})
    assert [*update.masks] == [0] and session.object_ids == (2,)


def test_a_correction_refines_the_tracked_mask() -> None:
    session, prompts = make_session(), {0: {1: masklet.clicks([(8, 10), (40, 20)])}}
    session.prompt(prompts)
    assert [frame.masks.areas.tolist() for frame in session.track()] == [[200 + 500]] * 5
    exclude = masklet.click(41, 21, positive=False)  # alone it marks nothing, but it corrects what was tracked
    update = session.prompt({**prompts, 3: {1: exclude}})
    assert update.error is None and update.masks[3].areas.tolist() == [200]
    areas = {frame.index: frame.masks.areas.tolist() for frame in session.track()}
    assert [*areas] == [0, 1, 2, 3, 4] and areas[3] == [200] and areas[0] == [700]


def test_a_prompt_that_fails_does_not_stop_the_others() -> None:
    update = make_session().prompt({0: {1: masklet.click(8, 10, positive=False), 2: masklet.click(40, 20)}})
    assert update.error is not None and "object 1 has no mask" in str(update.error)
    assert update.masks[0].object_ids == (2,)


def test_tracking_stops_and_begins_again() -> None:
    session, stops = make_session(), iter([False, False, True])
    with pytest.raises(StateError, match="nothing to track"):
        next(session.track())
    session.prompt({2: {1: masklet.click(12, 10)}})
    assert [frame.index for frame in session.track(lambda: next(stops))] == [2, 3]
    assert [frame.index for frame in session.track()] == [2, 3, 4, 1, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_layers_are_scaled_from_their_contrast_limits(dtype: Any) -> None:
    values = np.array([[[0, 10], [20, 30]]], dtype).repeat(3, 0)
    images = LayerImages(make_layer(values, contrast_limits=[10, 20]))
    assert len(images) == 3 and images[1][..., 0].tolist() == [[0, 0], [255, 255]]


def test_layers_with_colors_levels_and_too_many_axes() -> None:
    colors = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    assert np.array_equal(LayerImages(make_layer(colors, rgb=True))[0], colors)
    shares = colors.astype(np.float32) / 255
    assert np.array_equal(LayerImages(make_layer(shares, rgb=True))[0], colors)
    pyramid = make_layer(np.zeros((2, 4, 6), np.uint8), multiscale=True)
    pyramid.data = [pyramid.data, pyramid.data[:, ::2, ::2]]
    assert open_layer(pyramid).size == (4, 6) and len(open_layer(pyramid)) == 2
    with pytest.raises(ImageError, match="has 4 axes"):
        open_layer(make_layer(np.zeros((1, 2, 4, 6))))


@pytest.mark.parametrize(
    ("package", "library", "advice"),
    [("notebook", "anywidget", 'pip install ".[notebook]"'), ("fiftyone", "fiftyone", "pip install fiftyone")],
)
def test_a_missing_library_is_named(package: str, library: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(f"masklet.integrations.{package}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    with pytest.raises(BackendError, match=library) as raised:
        import_module(f"masklet.integrations.{package}")
    assert raised.value.code == "backend-missing" and raised.value.hint == advice
