"""A ROS 2 node that tracks objects in the images of a topic with masklet, without cv_bridge.

    ros2 run image_tools cam2image                     # or the driver of a camera
    python ros2_node.py --ros-args -r image:=/image -p boxes:="[210.0, 90.0, 420.0, 330.0]" -p labels:="['cup']"
    ros2 topic pub --once /masklet/click geometry_msgs/msg/PointStamped '{point: {x: 320.0, y: 240.0}}'

Subscribed topics:
    image          sensor_msgs/Image, always the latest one; images that arrive during inference are dropped
    ~/click        geometry_msgs/PointStamped, a new object at the pixel (x, y) of the next image

Published topics, with the header of their image:
    ~/mask         sensor_msgs/Image, mono8, or 16UC1 once an id is above 255: ids of objects, 0 for none
    ~/detections   vision_msgs/Detection2DArray: box, label and score of each visible object; `id` is its id
    ~/label_info   vision_msgs/LabelInfo: the name of each id in the mask; the last message is latched

Parameters:
    model          name or file of the model; empty for the embedded one
    input_size     side of the network's square in pixels; 0 for that of the model
    boxes          boxes of objects on the first image, four pixel coordinates each: x0, y0, x1, y1
    points         clicks on further objects on the first image, two coordinates each: x, y
    labels         names of these objects, those of the boxes first
    max_rate       largest number of images per second; 0 for no limit
"""

from __future__ import annotations

import time

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import PointStamped
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass

import masklet

_CONVERSIONS = {  # to RGB, by the encoding of the message
    "rgb8": None,
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "mono16": cv2.COLOR_GRAY2RGB,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "yuyv": cv2.COLOR_YUV2RGB_YUYV,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUYV,
    "bayer_rggb8": cv2.COLOR_BayerRGGB2RGB,
    "bayer_bggr8": cv2.COLOR_BayerBGGR2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGBRG2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGRBG2RGB,
}
_CHANNELS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "uyvy": 2, "yuv422": 2, "yuyv": 2, "yuv422_yuy2": 2}


def read_image(message: Image) -> np.ndarray:
    """Return a message as RGB (H, W, 3) uint8. Raises `ValueError` for other encodings and for broken messages."""
    if message.encoding not in _CONVERSIONS:
        raise ValueError(f"the encoding {message.encoding!r} is not one of {', '.join(_CONVERSIONS)}")
    channels, deep = _CHANNELS.get(message.encoding, 1), message.encoding == "mono16"
    row_bytes = message.width * channels * (2 if deep else 1)
    data = np.frombuffer(bytes(message.data), np.uint8)
    if not message.height or not row_bytes or message.step < row_bytes or data.size < message.step * message.height:
        raise ValueError(f"an image of {message.width} × {message.height} pixels has {data.size} bytes")
    rows = data[: message.step * message.height].reshape(message.height, message.step)[:, :row_bytes]
    if deep:  # the high byte
        rows = rows[:, 0 if message.is_bigendian else 1 :: 2]
    pixels = np.ascontiguousarray(rows.reshape(message.height, message.width, channels))
    conversion = _CONVERSIONS[message.encoding]
    return pixels if conversion is None else cv2.cvtColor(pixels, conversion)


def write_mask(masks: masklet.Masks, header) -> Image:
    """Return masks as an image of object ids. Where they overlap, the smallest id wins."""
    dtype = np.uint16 if max(masks.object_ids, default=0) > 255 else np.uint8
    labels = np.zeros(masks.size, dtype)
    for one in sorted(masks, key=lambda mask: -mask.object_ids[0]):
        labels[one.binary[0]] = one.object_ids[0]
    message = Image()
    message.header, message.is_bigendian = header, 0
    message.height, message.width = masks.size
    message.encoding, message.step = ("mono8", masks.size[1]) if dtype == np.uint8 else ("16UC1", 2 * masks.size[1])
    message.data = labels.astype(labels.dtype.newbyteorder("<")).tobytes()
    return message


def write_detections(masks: masklet.Masks, header) -> Detection2DArray:
    """Return the boxes of the objects that are visible."""
    message = Detection2DArray()
    message.header = header
    columns = (masks.object_ids, masks.labels, masks.boxes.tolist(), masks.scores.tolist(), masks.areas.tolist())
    for object_id, label, (left, top, right, bottom), score, area in zip(*columns, strict=True):
        if not area:
            continue
        detection = Detection2D()
        detection.header, detection.id = header, str(object_id)
        detection.bbox.center.position.x, detection.bbox.center.position.y = (left + right) / 2, (top + bottom) / 2
        detection.bbox.size_x, detection.bbox.size_y = right - left, bottom - top
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = label or "object", score
        detection.results.append(result)
        message.detections.append(detection)
    return message


def write_label_info(names: dict[int, str], header) -> LabelInfo:
    """Return the names of the objects by id."""
    message = LabelInfo()
    message.header = header
    for object_id, name in sorted(names.items()):
        one = VisionClass()
        one.class_id, one.class_name = object_id, name
        message.class_map.append(one)
    return message


class MaskletNode(Node):
    """Tracks objects through the images of a topic. Without objects, images are ignored."""

    def __init__(self) -> None:
        super().__init__("masklet")
        model = self.declare_parameter("model", "").value
        size = self.declare_parameter("input_size", 0).value
        max_rate = self.declare_parameter("max_rate", 0.0).value
        self._interval_s, self._next_time = 1 / max_rate if max_rate else 0.0, 0.0
        self._model = masklet.load(*[model] if model else [], input_size=size or None)
        self._tracker, self._size, self._frame = None, None, 0
        self._pending = dict(enumerate(self._read_prompts(), start=1))
        self._names: dict[int, str] = {}
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._mask = self.create_publisher(Image, "~/mask", 1)
        self._detections = self.create_publisher(Detection2DArray, "~/detections", 1)
        self._label_info = self.create_publisher(LabelInfo, "~/label_info", latched)
        # A queue of one image: while one is tracked, later ones replace each other.
        profile = QoSProfile(depth=1, reliability=qos_profile_sensor_data.reliability)
        self.create_subscription(Image, "image", self.track, profile)
        self.create_subscription(PointStamped, "~/click", self.click, 10)

    def click(self, message: PointStamped) -> None:
        """Add an object at a pixel of the next image."""
        object_id = max([0, *self._pending, *self._names]) + 1
        self._pending[object_id] = masklet.click(message.point.x, message.point.y)

    def track(self, message: Image) -> None:
        """Track the objects in an image and publish their masks."""
        now = time.monotonic()
        if now < self._next_time or not (self._pending or self._names):
            return
        self._next_time = now + self._interval_s
        try:
            image = read_image(message)
            masks = self._track_image(image, message.header)
        except (ValueError, masklet.MaskletError) as error:
            self.get_logger().error(str(error), throttle_duration_sec=5.0)
            return
        if masks is not None:
            self._mask.publish(write_mask(masks, message.header))
            self._detections.publish(write_detections(masks, message.header))

    def _track_image(self, image: np.ndarray, header) -> masklet.Masks | None:
        if self._size != image.shape[:2]:
            self._start(image.shape[:2])
        masks = self._tracker.step(self._frame, image) if self._names else None
        pending, self._pending = self._pending, {}
        added = {}
        for object_id, prompt in pending.items():
            try:
                masks = self._tracker.prompt(self._frame, {object_id: prompt}, image)
                added[object_id] = prompt.label or f"object {object_id}"
            except masklet.PromptError as error:  # such as a click outside the image
                self.get_logger().error(f"object {object_id}: {error}")
        if added:
            self._names |= added
            self._label_info.publish(write_label_info(self._names, header))
        self._frame += 1
        return masks

    def _start(self, size: tuple[int, int]) -> None:
        """Start anew: objects of images of another size are lost."""
        if self._names:
            self.get_logger().warning(f"images have another size now, {size}; the objects {[*self._names]} are dropped")
        cache = masklet.DiskCache(0)  # no corrections of past images: nothing is written to disk
        self._tracker = masklet.Tracker(
            self._model.backend, disk_cache=cache, view=self._model.view, memory=self._model.memory
        )
        self._size, self._names = size, {}

    def _read_prompts(self) -> list[masklet.Prompt]:
        """Read the prompts of the first image from the parameters. Raises `ValueError`."""
        boxes, points = self._read_numbers("boxes", 4), self._read_numbers("points", 2)
        labels = [*(self.declare_parameter("labels", Parameter.Type.STRING_ARRAY).value or [])]
        count = len(boxes) + len(points)
        if len(labels) > count:
            raise ValueError(f"there are {len(labels)} labels for {count} boxes and points")
        labels += [None] * (count - len(labels))
        makers = [masklet.box] * len(boxes) + [masklet.click] * len(points)
        return [
            make(*values, label=label) for make, values, label in zip(makers, [*boxes, *points], labels, strict=True)
        ]

    def _read_numbers(self, name: str, count: int) -> list[list[float]]:
        """Read a parameter of numbers in groups of `count`."""
        values = [*(self.declare_parameter(name, Parameter.Type.DOUBLE_ARRAY).value or [])]
        if len(values) % count:
            raise ValueError(f"parameter {name} has {len(values)} numbers; it needs {count} for each object")
        return [values[start : start + count] for start in range(0, len(values), count)]


def main() -> None:
    """Run the node until Ctrl-C."""
    rclpy.init()
    node = MaskletNode()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
