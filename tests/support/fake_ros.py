"""A fake of ROS 2's `rclpy` and of its messages: nodes, topics and parameters in one process.

Messages have the fields of the definitions of ROS 2 Jazzy, and no others, so that a wrong name raises an error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


def _message(name: str, **fields: Callable[[], Any]) -> type:
    """A class of messages whose fields are made by functions."""

    def start(self: Any) -> None:
        for field, make in fields.items():
            setattr(self, field, make())

    return type(name, (), {"__slots__": tuple(fields), "__init__": start})


Time = _message("Time", sec=int, nanosec=int)
Header = _message("Header", stamp=Time, frame_id=str)
Point = _message("Point", x=float, y=float, z=float)
PointStamped = _message("PointStamped", header=Header, point=Point)
Image = _message(
    "Image", header=Header, height=int, width=int, encoding=str, is_bigendian=int, step=int, data=bytes
)  # fmt: skip
Point2D = _message("Point2D", x=float, y=float)
Pose2D = _message("Pose2D", position=Point2D, theta=float)
BoundingBox2D = _message("BoundingBox2D", center=Pose2D, size_x=float, size_y=float)
ObjectHypothesis = _message("ObjectHypothesis", class_id=str, score=float)
ObjectHypothesisWithPose = _message("ObjectHypothesisWithPose", hypothesis=ObjectHypothesis, pose=object)
Detection2D = _message("Detection2D", header=Header, results=list, bbox=BoundingBox2D, id=str)
Detection2DArray = _message("Detection2DArray", header=Header, detections=list)
VisionClass = _message("VisionClass", class_id=int, class_name=str)
LabelInfo = _message("LabelInfo", header=Header, class_map=list, threshold=float)


class Reliability(Enum):
    """Of a topic."""

    RELIABLE = 1
    BEST_EFFORT = 2


class Durability(Enum):
    """Of a topic."""

    VOLATILE = 1
    TRANSIENT_LOCAL = 2


class QoSProfile:
    """The properties of a topic."""

    def __init__(
        self,
        *,
        depth: int,
        durability: Durability = Durability.VOLATILE,
        reliability: Reliability = Reliability.RELIABLE,
    ) -> None:
        self.depth, self.durability, self.reliability = depth, durability, reliability


class ParameterType(Enum):
    """Types of parameters without a default."""

    DOUBLE_ARRAY = 1
    STRING_ARRAY = 2


class Node:
    """A node that records what it publishes. `overrides` are the parameters of the command line."""

    overrides: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, name: str) -> None:
        self.name, self.published, self.callbacks, self.profiles = name, {}, {}, {}
        self.logged: list[str] = []
        self._types: dict[str, type] = {}

    def declare_parameter(self, name: str, default: Any) -> Any:
        """Declare a parameter, and return it."""
        value = None if isinstance(default, ParameterType) else default
        given = self.overrides.get(name, value)
        assert isinstance(default, ParameterType) or type(given) is type(default), f"{name} has another type"
        return SimpleNamespace(value=given)

    def create_publisher(self, kind: type, topic: str, profile: Any) -> Any:
        """Create a publisher whose messages are in `published`."""
        self.published[topic], self.profiles[topic] = [], profile

        def publish(message: Any) -> None:
            assert type(message) is kind, f"{topic} has messages of {kind}"
            self.published[topic].append(message)

        return SimpleNamespace(publish=publish)

    def create_subscription(self, kind: type, topic: str, callback: Callable[[Any], None], profile: Any) -> Any:
        """Subscribe; `receive` calls the callback."""
        self.callbacks[topic], self._types[topic], self.profiles[topic] = callback, kind, profile
        return SimpleNamespace()

    def receive(self, topic: str, message: Any) -> None:
        """Receive a message on a topic."""
        assert type(message) is self._types[topic]
        self.callbacks[topic](message)

    def get_logger(self) -> Any:
        """Return a logger that records its messages in `logged`."""

        def log(text: str, *, throttle_duration_sec: float = 0.0) -> None:
            self.logged.append(text)

        return SimpleNamespace(error=log, warning=log, info=log)

    def destroy_node(self) -> None:
        """Do nothing."""


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the fake modules for the time of a test."""
    contents: dict[str, dict[str, Any]] = {
        "rclpy": {},
        "rclpy.node": {"Node": Node},
        "rclpy.parameter": {"Parameter": SimpleNamespace(Type=ParameterType)},
        "rclpy.qos": {
            "QoSProfile": QoSProfile,
            "DurabilityPolicy": Durability,
            "qos_profile_sensor_data": QoSProfile(depth=5, reliability=Reliability.BEST_EFFORT),
        },
        "geometry_msgs": {},
        "geometry_msgs.msg": {"PointStamped": PointStamped},
        "sensor_msgs": {},
        "sensor_msgs.msg": {"Image": Image},
        "vision_msgs": {},
        "vision_msgs.msg": {
            one.__name__: one
            for one in (Detection2D, Detection2DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass)
        },
    }
    for name, values in contents.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
