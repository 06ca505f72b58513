"""Has ONNX's own checker seen this graph? And what do its inputs and outputs look like?"""

from __future__ import annotations

from typing import Any

from masklet.errors import BackendError


def require_onnx() -> Any:
    """The package onnx. Raises `BackendError` where it is not installed."""
    try:
        import onnx
    except ModuleNotFoundError as missing:
        raise BackendError(
            "backend-missing", "exporting needs the package onnx", hint='pip install "masklet[export]"'
        ) from missing
    return onnx


def checked(name: str, content: bytes) -> dict[str, Any]:
    """`inputs` and `outputs` of a graph that ONNX's checker and its shape inference, strict, find nothing wrong with:
    shape and dtype by name, where a word in a shape is a length that may be any."""
    onnx = require_onnx()
    model = onnx.load_from_string(content)
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as cause:
        raise AssertionError(f"the {name} graph is not as it should be") from cause  # ours to mend
    values = {"inputs": model.graph.input, "outputs": model.graph.output}
    return {kind: {one.name: _form(onnx, one.type.tensor_type) for one in found} for kind, found in values.items()}


def _form(onnx: Any, tensor: Any) -> dict[str, Any]:
    return {
        "shape": [size.dim_param or size.dim_value for size in tensor.shape.dim],
        "dtype": onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name,
    }
