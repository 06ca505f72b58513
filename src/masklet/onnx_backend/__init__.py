"""The seam over onnxruntime, which needs no PyTorch: `load` opens an exported folder, `build` writes its own graphs."""

from masklet.onnx_backend.backend import OnnxBackend
from masklet.onnx_backend.opening import build, load
from masklet.onnx_backend.sessions import KINDS, Session, described, host

__all__ = ["KINDS", "OnnxBackend", "Session", "build", "described", "host", "load"]
