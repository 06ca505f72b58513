"""The example node of ROS 2 with a fake `rclpy`: images in, masks, detections and names out."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import masklet
from masklet.masks.masks import Masks
from masklet.segmenter import Segmenter
from masklet.video import open_video
from support import fake_ros
from support.cameras import make_square
from support.color_backend import ColorBackend

ROOT = Path(__file__).parents[2]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example, loaded with the fake modules."""
    fake_ros.install(monkeypatch)
    monkeypatch.setattr(fake_ros.Node, "overrides", {})
    spec = importlib.util.spec_from_file_location("ros2_node", ROOT / "examples/ros2_node.py")
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masklet, "load", lambda *names, input_size: Segmenter(ColorBackend()))


def make_message(pixels: NDArray[Any], encoding: str, *, padding: int = 0, seconds: int = 0) -> Any:
    """A message of rows that are padded."""
    message = fake_ros.Image()
    message.height, message.width = pixels.shape[:2]
    rows = pixels.reshape(message.height, -1)
    rows = np.pad(rows.view(np.uint8), ((0, 0), (0, padding)))
    message.step, message.data, message.encoding = rows.shape[1], rows.tobytes(), encoding
    message.header.frame_id, message.header.stamp.sec = "camera", seconds
    return message


def read_mask(message: Any) -> NDArray[Any]:
    dtype = {"mono8": "u1", "16UC1": "<u2"}[message.encoding]
    assert message.step == message.width * np.dtype(dtype).itemsize
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width)


def start(module: Any, monkeypatch: pytest.MonkeyPatch, **parameters: Any) -> Any:
    monkeypatch.setattr(fake_ros.Node, "overrides", parameters)
    return module.MaskletNode()


@pytest.mark.parametrize(
    ("encoding", "convert"),
    [
        ("rgb8", None),
        ("bgr8", cv2.COLOR_RGB2BGR),
        ("rgba8", cv2.COLOR_RGB2RGBA),
        ("bgra8", cv2.COLOR_RGB2BGRA),
    ],
)
def test_colors_are_read_without_cv_bridge(module: Any, encoding: str, convert: int | None) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    pixels = image if convert is None else cv2.cvtColor(image, convert)
    assert np.array_equal(module.read_image(make_message(pixels, encoding, padding=3)), image)


def test_gray_raw_and_yuv_images_are_read(module: Any) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (6, 8), np.uint8)
    for pixels, encoding in ((gray, "mono8"), (gray.astype("<u2") << 8, "mono16")):
        assert np.array_equal(module.read_image(make_message(pixels, encoding)), np.dstack([gray] * 3))
    big = make_message((gray.astype("<u2") << 8).astype(">u2"), "mono16", padding=2)
    big.is_bigendian = 1
    assert np.array_equal(module.read_image(big)[..., 0], gray)
    red = np.full((6, 8, 3), (200, 30, 30), np.uint8)
    mosaic = np.zeros((6, 8), np.uint8)
    mosaic[::2, ::2], mosaic[::2, 1::2], mosaic[1::2, ::2], mosaic[1::2, 1::2] = 200, 30, 30, 30
    assert np.abs(module.read_image(make_message(mosaic, "bayer_rggb8")).astype(int) - red)[2:4, 2:6].max() <= 1
    yuyv = cv2.cvtColor(red, cv2.COLOR_RGB2YUV_YUYV)
    assert np.abs(module.read_image(make_message(yuyv, "yuv422_yuy2")).astype(int) - red).max() <= 4


@pytest.mark.usefixtures("quick")
def test_objects_are_tracked_and_published_with_the_header_of_their_image(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = start(module, monkeypatch, points=[14.0, 20.0], labels=["cup"])
    assert node.profiles["image"].depth == 1 and node.profiles["image"].reliability.name == "BEST_EFFORT"
    assert node.profiles["~/label_info"].durability.name == "TRANSIENT_LOCAL"
    for index in range(4):
        node.receive("image", make_message(make_square(index), "rgb8", seconds=index))
    masks, arrays = node.published["~/mask"], node.published["~/detections"]
    assert [one.header.stamp.sec for one in masks] == [one.header.stamp.sec for one in arrays] == [0, 1, 2, 3]
    for message, array in zip(masks, arrays, strict=True):
        labels = read_mask(message)
        assert message.encoding == "mono8" and set(np.unique(labels)) == {0, 1}
        (detection,) = array.detections
        rows, columns = np.nonzero(labels)
        assert detection.bbox.size_x == columns.max() + 1 - columns.min()
        assert detection.bbox.center.position.y == (rows.max() + 1 + rows.min()) / 2
        assert detection.id == "1" and detection.results[0].hypothesis.class_id == "cup"
    (info,) = node.published["~/label_info"]
    assert [(one.class_id, one.class_name) for one in info.class_map] == [(1, "cup")] and not node.logged


@pytest.mark.usefixtures("quick")
def test_a_click_adds_an_object_and_faults_are_logged(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = start(module, monkeypatch)
    node.receive("image", make_message(make_square(0), "rgb8"))
    assert not node.published["~/mask"], "there is nothing to track"
    for x, y in ((14.0, 20.0), (500.0, 20.0)):
        click = fake_ros.PointStamped()
        click.point.x, click.point.y = x, y
        node.receive("~/click", click)
    node.receive("image", make_message(make_square(1), "rgb8"))
    node.receive("image", make_message(make_square(2), "rgb8"))
    assert len(node.published["~/mask"]) == 2 and len(node.logged) == 1 and "object 2" in node.logged[0]
    node.receive("image", make_message(make_square(2), "jpeg"))
    broken = make_message(make_square(2), "rgb8")
    broken.data = broken.data[:100]
    node.receive("image", broken)
    assert "'jpeg' is not one of" in node.logged[1] and "100 bytes" in node.logged[2]
    assert len(node.published["~/mask"]) == 2
    small = np.ascontiguousarray(make_square(2)[:-8])
    node.receive("image", make_message(small, "rgb8"))
    assert "another size" in node.logged[3] and len(node.published["~/mask"]) == 2


@pytest.mark.usefixtures("quick")
def test_the_rate_is_limited(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = start(module, monkeypatch, points=[14.0, 20.0], max_rate=2.0)
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    for step in range(10):
        now = 100 + 0.2 * step
        node.receive("image", make_message(make_square(step), "rgb8"))
    assert len(node.published["~/mask"]) == 4


def test_ids_above_255_have_16_bits_and_hidden_objects_no_box(module: Any) -> None:
    binary = np.zeros((3, 6, 8), bool)
    binary[0, 1:3, 2:6] = binary[1, 2:5, 4:7] = True
    masks = Masks.from_binary(binary, object_ids=[300, 7, 9])
    labels = read_mask(module.write_mask(masks, fake_ros.Header()))
    assert labels.dtype == np.uint16 and labels[1, 2] == 300 and labels[2, 4] == 7, "the smallest id wins"
    assert [one.id for one in module.write_detections(masks, fake_ros.Header()).detections] == ["300", "7"]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [({"boxes": [1.0, 2.0, 3.0]}, "needs 4"), ({"points": [1.0, 2.0], "labels": ["a", "b"]}, "2 labels for 1")],
)
@pytest.mark.usefixtures("quick")
def test_wrong_parameters_are_refused(
    module: Any, parameters: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=text):
        start(module, monkeypatch, **parameters)


@pytest.mark.slow
def test_the_car_is_tracked_by_the_embedded_model(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    node = start(module, monkeypatch, boxes=[90.0, 150.0, 210.0, 260.0])
    video = open_video(ROOT / "examples/car.mp4")
    for index in range(3):
        node.receive("image", make_message(video[index], "rgb8"))
    areas = [np.count_nonzero(read_mask(message)) for message in node.published["~/mask"]]
    assert len(areas) == 3 and min(areas) > 1000 and max(areas) < 1.3 * min(areas)
