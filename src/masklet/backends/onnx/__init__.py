"""onnxruntime backend. `load` opens an exported folder, `build` writes graphs from weights; neither needs PyTorch."""

from masklet.backends.onnx.backend import OnnxBackend
from masklet.backends.onnx.loader import build, load
from masklet.backends.onnx.session import DEVICE_TYPES, Session, describe_graph, to_numpy

__all__ = ["DEVICE_TYPES", "OnnxBackend", "Session", "build", "describe_graph", "load", "to_numpy"]
