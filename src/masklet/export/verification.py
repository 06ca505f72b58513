"""Is a graph that was written as it should be? And what do its inputs and outputs look like?"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from masklet.backends.onnx import described


def checked(name: str, content: bytes) -> dict[str, Any]:
    """`inputs` and `outputs` of a graph that onnxruntime takes and, where the package onnx is installed, ONNX's own
    checker with its strict shape inference finds nothing wrong with: shape and dtype by name."""
    if find_spec("onnx"):
        _check(name, content)
    return described(name, content)


def _check(name: str, content: bytes) -> None:
    import onnx

    try:
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as cause:
        raise AssertionError(f"the {name} graph is not as it should be") from cause  # ours to mend
