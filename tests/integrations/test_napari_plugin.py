"""The plugin for napari, in a viewer on a virtual display, since its canvas needs OpenGL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")

from masklet.errors import PromptError
from masklet.integrations.napari.prompt_layers import EXCLUDE, read_prompts
from masklet.integrations.napari.segment_widget import SegmentWidget
from masklet.integrations.napari.video_reader import find_reader
from masklet.segmenter import Segmenter
from support.clips import write_clip
from support.gray_world import GrayWorld, draw_boxes
from support.virtual_display import start_display

A, B = (5, 5, 15, 25), (25, 10, 55, 35)  # left, top, right, bottom of two boxes in an image of 60 × 40 pixels
IMAGE = draw_boxes({80: A, 160: B})[..., 0]
STACK = np.stack([draw_boxes({80: (5 + 2 * t, 5, 15 + 2 * t, 25), 160: B})[..., 0] for t in range(6)])

Start = Callable[..., SegmentWidget]


@pytest.fixture(scope="session", autouse=True)
def display() -> Iterator[None]:
    with start_display() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", name)
        patch.setenv("QT_QPA_PLATFORM", "xcb")
        yield


@pytest.fixture
def start(make_napari_viewer: Any, qtbot: Any) -> Start:
    """`start(data, **options)`: a widget in a viewer that shows an image layer, with the layers of its prompts."""

    def make(data: Any, **options: Any) -> SegmentWidget:
        viewer = make_napari_viewer()
        options = {"contrast_limits": (0, 255), "name": "cells", **options}
        if options.get("rgb"):
            del options["contrast_limits"]
        viewer.add_image(data, **options)
        widget = SegmentWidget(viewer, Segmenter(GrayWorld()))
        viewer.window.add_dock_widget(widget, name="Segment and track")
        widget.start.changed.emit(True)
        widget.wait = lambda: qtbot.waitUntil(lambda: not widget.is_running, timeout=60_000)
        return widget

    return make


def press(button: Any) -> None:
    button.changed.emit(True)


def frame_of(box: tuple[int, int, int, int], value: int, shift: int = 0) -> Any:
    labels = np.zeros((40, 60), np.int32)
    labels[box[1] : box[3], box[0] + shift : box[2] + shift] = value
    return labels


def test_the_manifest_is_found_and_complete() -> None:
    import npe2

    manifest = npe2.PluginManifest.from_distribution("masklet")
    assert [widget.display_name for widget in manifest.contributions.widgets] == ["Segment and track"]
    manifest.validate_imports()


def test_napari_opens_the_widget(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(IMAGE)
    _, widget = viewer.window.add_plugin_dock_widget("masklet", "Segment and track")
    assert isinstance(widget, SegmentWidget) and widget.image.value is viewer.layers[0]
    press(widget.start)
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Labels", "Points", "Shapes"]


def test_a_click_becomes_a_mask(start: Start) -> None:
    widget = start(IMAGE)
    target = widget.target
    assert target.points.mode == "add"
    target.points.add([10, 8])
    widget.wait()
    assert np.array_equal(target.labels.data, frame_of(A, 1)) and widget.status.value == "done"


def test_objects_points_and_boxes(start: Start) -> None:
    widget = start(IMAGE)
    target = widget.target
    target.points.add([10, 8])
    widget.wait()
    widget.object_id.value = 7
    assert target.labels.selected_label == 7
    target.shapes.add_rectangles([[9.5, 24.5], [34.5, 54.5]])
    widget.wait()
    assert target.points.features["object"].tolist() == [1] and target.shapes.features["object"].tolist() == [7]
    assert np.array_equal(target.labels.data, frame_of(A, 1) + frame_of(B, 7))
    prompts = target.read_prompts()
    assert prompts[0][7].points.tolist() == [[25, 10], [55, 35]]  # edges of pixels
    assert prompts[0][1].points.tolist() == [[8.5, 10.5]]  # the center of a pixel


def test_an_excluding_click_removes_and_its_removal_restores(start: Start) -> None:
    widget = start(IMAGE)
    target = widget.target
    for position in ([10, 8], [20, 40]):
        target.points.add(position)
        widget.wait()
    both = frame_of(A, 1) + frame_of(B, 1)
    assert np.array_equal(target.labels.data, both)
    widget.role.value = EXCLUDE
    target.points.add([20, 41])
    widget.wait()
    assert target.points.features["role"].tolist()[-1] == EXCLUDE
    assert np.array_equal(target.labels.data, frame_of(A, 1))
    target.points.selected_data = {2}
    target.points.remove_selected()
    widget.wait()
    assert np.array_equal(target.labels.data, both)


def test_an_object_whose_prompts_are_removed_is_erased(start: Start) -> None:
    widget = start(STACK)
    target = widget.target
    target.points.add([0, 10, 8])
    widget.object_id.value = 2
    widget.wait()
    target.points.add([0, 20, 40])
    widget.wait()
    press(widget.track)
    widget.wait()
    assert np.unique(target.labels.data).tolist() == [0, 1, 2]
    target.points.selected_data = {0}
    target.points.remove_selected()
    widget.wait()
    assert np.unique(target.labels.data).tolist() == [0, 2]


def test_without_live_prediction_the_button_predicts(start: Start) -> None:
    widget = start(IMAGE)
    widget.live.value = False
    widget.target.points.add([10, 8])
    assert not widget.is_running and not widget.target.labels.data.any()
    press(widget.predict)
    widget.wait()
    assert np.array_equal(widget.target.labels.data, frame_of(A, 1))


def test_a_polygon_is_a_mask(start: Start) -> None:
    widget = start(IMAGE)
    corners = [[10, 25], [10, 54], [34, 54], [34, 25]]
    widget.target.shapes.add_polygons(corners)
    widget.wait()
    assert np.array_equal(widget.target.read_prompts()[0][1].mask, frame_of(B, 1) > 0)
    assert np.array_equal(widget.target.labels.data, frame_of(B, 1))


def test_scale_and_translation_of_the_image(start: Start) -> None:
    widget = start(IMAGE, scale=(0.5, 0.5), translate=(100, 200))
    points = widget._viewer.add_points(np.array([[105, 204]]))  # a layer of the user, in the world's units
    prompts = read_prompts(widget.target.image, points, None)
    assert prompts[0][1].points.tolist() == [[8.5, 10.5]]
    widget.target.points.add([10, 8])
    widget.wait()
    assert widget.target.labels.scale.tolist() == [0.5, 0.5]
    assert np.array_equal(widget.target.labels.data, frame_of(A, 1))


def test_the_model_sees_the_contrast_limits(start: Start) -> None:
    widget = start(IMAGE.astype(np.uint16) * 10 + 1000, contrast_limits=(1000, 3550))
    widget.target.points.add([10, 8])
    widget.wait()
    assert np.array_equal(widget.target.labels.data, frame_of(A, 1))


def test_tracking_through_a_stack(start: Start) -> None:
    widget = start(np.repeat(STACK[..., None], 3, -1), rgb=True)
    target = widget.target
    target.points.add([2, 10, 12])  # in the middle: forward and backward
    widget.wait()
    assert [bool(frame.any()) for frame in target.labels.data] == [False, False, True, False, False, False]
    press(widget.track)
    assert widget.cancel.enabled
    widget.wait()
    for t, labels in enumerate(target.labels.data):
        assert np.array_equal(labels, frame_of(A, 1, 2 * t)), t
    assert widget.progress.value == widget.progress.max == 6 and not widget.cancel.enabled


def test_a_correction_is_tracked_again(start: Start) -> None:
    stack = STACK.copy()
    stack[3:][stack[3:] == 80] = 120  # the object changes its gray value, and is lost
    widget = start(stack)
    target = widget.target
    target.points.add([0, 10, 8])
    widget.wait()
    press(widget.track)
    widget.wait()
    assert [bool(frame.any()) for frame in target.labels.data] == [True, True, True, False, False, False]
    model = target.session.model.backend
    target.points.add([3, 10, 14])
    widget.wait()
    press(widget.track)
    widget.wait()
    for t, labels in enumerate(target.labels.data):
        assert np.array_equal(labels, frame_of(A, 1, 2 * t)), t
    assert target.session.model.backend is model  # the session goes on


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch, qtbot: Any) -> Iterator[Any]:
    """`pause(method)` lets a method of the backend wait for `pause.go_on()`, and returns what waits for its call."""
    events = threading.Event(), threading.Event()

    def start_pausing(method: str) -> Callable[[], None]:
        reached, go_on = events
        original = getattr(GrayWorld, method)

        def wait(self: GrayWorld, *args: Any) -> Any:
            reached.set()
            assert go_on.wait(60)
            return original(self, *args)

        monkeypatch.setattr(GrayWorld, method, wait)
        return lambda: qtbot.waitUntil(reached.is_set, timeout=60_000)

    start_pausing.go_on = events[1].set  # type: ignore[attr-defined]
    yield start_pausing
    events[1].set()


def test_tracking_can_be_cancelled(start: Start, pause: Any) -> None:
    widget = start(STACK)
    widget.target.points.add([0, 10, 8])
    widget.wait()
    wait_for_call = pause("attend")
    press(widget.track)
    wait_for_call()
    press(widget.cancel)
    pause.go_on()
    widget.wait()
    assert widget.status.value == "cancelled"
    tracked = [bool(frame.any()) for frame in widget.target.labels.data]
    assert tracked[0] and not any(tracked[2:])
    press(widget.track)  # and goes on later
    widget.wait()
    assert all(frame.any() for frame in widget.target.labels.data)


def test_the_dock_widget_may_be_closed_while_the_model_runs(start: Start, pause: Any, qtbot: Any) -> None:
    widget, wait_for_call = start(STACK), pause("encode")
    widget.target.points.add([0, 10, 8])
    wait_for_call()
    worker, viewer = widget._worker, widget._viewer
    viewer.window.remove_dock_widget("all")
    widget.native.deleteLater()
    qtbot.waitUntil(lambda: widget._is_closed, timeout=60_000)
    pause.go_on()
    qtbot.waitUntil(lambda: widget._worker is None and not worker.is_running, timeout=60_000)
    assert not viewer.layers["masks of cells"].data.any()


def test_prompts_that_change_while_the_model_runs_are_predicted_later(start: Start) -> None:
    widget = start(IMAGE)
    widget.target.points.add([10, 8])
    widget.target.points.add([20, 40])
    assert widget.is_running
    widget.wait()
    assert np.array_equal(widget.target.labels.data, frame_of(A, 1) + frame_of(B, 1))


def test_painted_labels_are_prompts(start: Start) -> None:
    widget = start(STACK)
    target = widget.target
    target.labels.data[0] = frame_of(B, 3)
    widget.object_id.value = 3
    widget._viewer.dims.set_current_step(0, 0)
    press(widget.paint)
    widget.wait()
    press(widget.track)
    widget.wait()
    assert all(np.array_equal(labels, frame_of(B, 3)) for labels in target.labels.data)
    target.labels.data[4] = 0
    widget._viewer.dims.set_current_step(0, 4)
    press(widget.paint)  # nothing is painted: the object is absent
    widget.wait()
    press(widget.track)
    widget.wait()
    assert [bool(frame.any()) for frame in target.labels.data][4] is False
    assert target.labels.data[3].any()


def test_labels_of_the_user_remain(start: Start) -> None:
    widget = start(IMAGE)
    widget.target.labels.data[30:, :10] = 50
    widget.target.points.add([10, 8])
    widget.wait()
    assert (widget.target.labels.data[30:, :10] == 50).all() and widget.target.labels.data[10, 8] == 1


@pytest.mark.parametrize("data", [np.zeros((2, 3, 20, 20), np.uint8)], ids=["four axes"])
def test_a_layer_that_is_no_stack_is_refused(start: Start, data: Any) -> None:
    widget = start(data)
    assert widget.target is None and "4 axes" in widget.status.value


def test_prompts_that_mark_nothing_are_reported(start: Start) -> None:
    widget = start(IMAGE)
    widget.role.value = EXCLUDE
    widget.target.points.add([10, 8])
    widget.wait()
    assert "add a positive point" in widget.status.value and not widget.target.labels.data.any()
    widget.target.shapes.add_lines([[0, 0], [10, 10]])
    assert "is a line" in widget.status.value
    widget.target.shapes.data = []
    widget.wait()
    widget.target.points.features["object"] = [0]
    with pytest.raises(PromptError, match="must be 1, 2"):
        widget.target.read_prompts()


def test_a_click_before_the_first_frame_is_reported(start: Start) -> None:
    widget = start(STACK)
    widget.target.points.add([-2, 10, 8])
    widget.wait()
    assert "no frame -2" in widget.status.value and not widget.target.labels.data.any()


def test_a_model_that_does_not_exist_is_reported(start: Start) -> None:
    widget = start(IMAGE)
    widget.model_name.value = "no-such-model"
    widget.target.points.add([10, 8])
    widget.wait()
    assert "no-such-model" in widget.status.value
    widget.model_name.value = "nano"
    press(widget.predict)
    widget.wait()
    assert widget.target.labels.data.any()


def test_a_removed_layer_ends_its_target(start: Start) -> None:
    widget = start(IMAGE)
    widget._viewer.layers.remove(widget.target.points)
    assert widget.target is None
    press(widget.predict)
    assert "add prompt layers" in widget.status.value
    press(widget.start)
    widget.target.points.add([10, 8])
    widget.wait()
    assert widget.target.labels.data.any()


def test_a_video_is_read_and_tracked(make_napari_viewer: Any, tmp_path: Path, qtbot: Any) -> None:
    write_clip(tmp_path / "dog.mp4", 5, size=(64, 96))
    viewer = make_napari_viewer()
    (layer,) = viewer.open(tmp_path / "dog.mp4", plugin="masklet")
    assert layer.name == "dog" and layer.rgb and layer.data.shape == (5, 64, 96, 3)
    assert layer.data[1:3, 0].shape == (2, 96, 3) and np.asarray(layer.data).shape == (5, 64, 96, 3)
    assert np.array_equal(layer.data[-1], np.asarray(layer.data)[4])
    assert find_reader([str(tmp_path / "dog.mp4")] * 2) is None  # several files are no video
    widget = SegmentWidget(viewer)  # with the embedded model
    viewer.window.add_dock_widget(widget)
    press(widget.start)
    widget.target.shapes.add_rectangles([[0, 10, 20], [0, 10, 70], [0, 50, 70], [0, 50, 20]])
    qtbot.waitUntil(lambda: not widget.is_running, timeout=60_000)
    press(widget.track)
    qtbot.waitUntil(lambda: not widget.is_running, timeout=60_000)
    assert widget.status.value == "done" and widget.target.labels.data.shape == (5, 64, 96)
    assert widget.target.labels.data[0].any()
