"""Verification of written graphs by onnxruntime and, if it is installed, by the package onnx."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from masklet.backends.onnx import describe_graph


def verify_graph(name: str, content: bytes) -> dict[str, Any]:
    """Verify a graph and list its tensors.

    onnxruntime loads the graph. If the package onnx is installed, its checker runs with strict shape inference.

    Args:
        name: Name of the graph in error messages.
        content: The ONNX file.

    Returns:
        `inputs` and `outputs`: a `shape` and a `dtype` by tensor name.
    """
    if find_spec("onnx"):
        _check_with_onnx(name, content)
    return describe_graph(name, content)


def _check_with_onnx(name: str, content: bytes) -> None:
    import onnx

    try:
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as cause:
        raise AssertionError(f"onnx rejects the {name} graph that masklet wrote") from cause
