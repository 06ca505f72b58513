"""The seam over onnxruntime, which needs no PyTorch: `load` opens an exported folder, `build` writes its own graphs."""

from masklet.backends.onnx.backend import OnnxBackend
from masklet.backends.onnx.loader import build, load
from masklet.backends.onnx.session import KINDS, Session, described, host

__all__ = ["KINDS", "OnnxBackend", "Session", "build", "described", "host", "load"]
