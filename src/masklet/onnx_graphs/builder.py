"""Builder of ONNX graphs. Tensors are names, and each layer of a network is one call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.config import LAYER_NORM_EPS
from masklet.onnx_graphs import protobuf
from masklet.onnx_graphs.quantization import (
    Quantization,
    moments_output,
    name_map,
    quantize_kernel,
    quantize_matrix,
    range_outputs,
)

OPSET = 20  # the first with Gelu
IR_VERSION = 9  # of the file format; the version that goes with opset 20
Dimensions = Sequence[int | str]
Attribute = int | float | str | list[int]
_DATA_TYPES = {  # TensorProto.DataType
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "float64": 11,
}


class GraphBuilder:
    """Builder of one graph: add inputs, layers and outputs, then call `to_bytes`.

    Methods take and return names of tensors. Layers are named after their weights, so that profilers and quantization
    can refer to them.
    """

    def __init__(
        self,
        name: str,
        weights: Mapping[str, NDArray[Any]],
        dtype: str = "float32",
        quantization: Quantization | None = None,
    ) -> None:
        """Start a graph.

        Args:
            name: Name of the graph.
            weights: Weights by masklet's key names.
            dtype: "float32", "float16" or "float64": the dtype of weights and of most arithmetic.
            quantization: Quantization of large layers. None: no quantization.
        """
        self.name, self.weights, self.dtype, self._quantization = name, weights, dtype, quantization
        self._nodes: list[bytes] = []
        self._constants: dict[str, bytes] = {}
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._name_counts: dict[str, int] = {}
        self._quantized_inputs: dict[str, list[str]] = {}
        self._map_scales: dict[str, float] = {}

    def to_bytes(self) -> bytes:
        """Return the graph as an ONNX file."""
        parts = [protobuf.encode_bytes(1, node) for node in self._nodes]
        parts.append(protobuf.encode_bytes(2, self.name))
        for constant in self._constants.values():  # may be large; joining below makes the only copy
            parts += [protobuf.encode_prefix(5, len(constant)), constant]
        parts += [protobuf.encode_bytes(11, value) for value in self._inputs]
        parts += [protobuf.encode_bytes(12, value) for value in self._outputs]
        opset = protobuf.encode_bytes(1, "") + protobuf.encode_int(2, OPSET)
        head = (
            protobuf.encode_int(1, IR_VERSION) + protobuf.encode_bytes(2, "masklet") + protobuf.encode_bytes(8, opset)
        )
        return b"".join((head, protobuf.encode_prefix(7, sum(map(len, parts))), *parts))

    def input(self, name: str, shape: Dimensions, dtype: str = "") -> str:
        """Add an input. A string in `shape` names a free dimension."""
        self._inputs.append(_value(name, shape, dtype or self.dtype))
        return name

    def output(self, name: str, value: str, shape: Dimensions, dtype: str = "") -> None:
        """Add an output `name` with the value of the tensor `value`."""
        self._outputs.append(_value(name, shape, dtype or self.dtype))
        self._nodes.append(_node("Identity", [value], [name], f"output.{name}", {}))

    def constant(self, values: Any, name: str = "", dtype: str = "") -> str:
        """Add an array as a constant: floats in `dtype`, by default the graph's; integers and booleans unchanged."""
        array = np.asarray(values)
        stored_dtype = dtype or (self.dtype if array.dtype.kind == "f" else array.dtype.name)
        content = array.astype(stored_dtype).tobytes()
        tensor = name or f"constant.{stored_dtype}.{array.shape}.{hashlib.md5(content).hexdigest()}"
        if tensor not in self._constants:
            sizes = b"".join(protobuf.encode_int(1, size) for size in array.shape)
            data_type = protobuf.encode_int(2, _DATA_TYPES[stored_dtype])
            self._constants[tensor] = b"".join(
                (sizes, data_type, protobuf.encode_bytes(8, tensor), protobuf.encode_bytes(9, content))
            )
        return tensor

    def array(self, name: str) -> NDArray[np.float64]:
        """Return the weight `name` in float64, to compute with."""
        return np.asarray(self.weights[name], np.float64)

    def weight(self, name: str) -> str:
        """Add the weight `name` as a constant."""
        return self.constant(self.weights[name], name)

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Attribute) -> str:
        """Add an operator with one output."""
        output = self._name(name or kind.lower())
        self._nodes.append(_node(kind, inputs, [output], output, attributes))
        return output

    def split(self, x: str, count: int, axis: int) -> list[str]:
        """Split along an axis into `count` parts; the last is smaller if the length is not a multiple."""
        if count == 1:
            return [x]
        node = self._name("split")
        parts = [f"{node}.{index}" for index in range(count)]
        self._nodes.append(_node("Split", [x], parts, node, {"axis": axis, "num_outputs": count}))
        return parts

    def add(self, first: str, second: str) -> str:
        return self.op("Add", first, second)

    def mul(self, first: str, second: str) -> str:
        return self.op("Mul", first, second)

    def matmul(self, first: str, second: str, name: str = "") -> str:
        return self.op("MatMul", first, second, name=name)

    def where(self, condition: str, yes: str, no: str) -> str:
        return self.op("Where", condition, yes, no)

    def softmax(self, x: str) -> str:
        return self.op("Softmax", x, axis=-1)

    def gelu(self, x: str) -> str:
        return self.op("Gelu", x)

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape; 0 copies a dimension, −1 infers it."""
        return self.op("Reshape", x, self.constant(np.array(shape, np.int64)))

    def transpose(self, x: str, *order: int) -> str:
        return self.op("Transpose", x, perm=list(order))

    def rearrange(self, x: str, shape: Sequence[int], order: Sequence[int], result: Sequence[int]) -> str:
        """Reshape to `shape`, transpose to `order`, and reshape to `result`."""
        return self.reshape(self.transpose(self.reshape(x, *shape), *order), *result)

    def to_tokens(self, x: str, channels: int, side: int) -> str:
        """Convert (B, C, side, side) to (B, side², C)."""
        return self.transpose(self.reshape(x, 0, channels, side * side), 0, 2, 1)

    def to_map(self, x: str, channels: int, side: int) -> str:
        """Convert (B, side², C) to (B, C, side, side)."""
        return self.reshape(self.transpose(x, 0, 2, 1), 0, channels, side, side)

    def concat(self, parts: Sequence[str], axis: int) -> str:
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=axis)

    def slice(self, x: str, start: int, stop: int, axis: int) -> str:
        """Slice along one axis."""
        return self.op("Slice", x, *(self.constant(np.array([value])) for value in (start, stop, axis)))

    def unsqueeze(self, x: str, *axes: int) -> str:
        return self.op("Unsqueeze", x, self.constant(np.array(axes, np.int64)))

    def shape(self, x: str, axis: int) -> str:
        """Return the length of one axis, (1,) int64."""
        return self.op("Shape", x, start=axis, end=axis + 1)

    def reduce_max(self, x: str, *axes: int) -> str:
        """Return the maximum over `axes`, which are removed."""
        return self.op("ReduceMax", x, self.constant(np.array(axes, np.int64)), keepdims=0)

    def reduce_mean(self, x: str, *axes: int) -> str:
        """Return the mean over `axes`, which are removed."""
        return self.op("ReduceMean", x, self.constant(np.array(axes, np.int64)), keepdims=0)

    @property
    def precise_dtype(self) -> str:
        """The dtype of points, times, images and results: float32, or float64 in a float64 graph."""
        return "float64" if self.dtype == "float64" else "float32"

    def to_graph_dtype(self, x: str) -> str:
        """Cast from `precise_dtype` to the graph's dtype."""
        return x if self.dtype == self.precise_dtype else self.op("Cast", x, to=_DATA_TYPES[self.dtype])

    def to_precise(self, x: str) -> str:
        """Cast from the graph's dtype to `precise_dtype`."""
        return x if self.dtype == self.precise_dtype else self.op("Cast", x, to=_DATA_TYPES[self.precise_dtype])

    def to_int64(self, x: str) -> str:
        """Cast to int64."""
        return self.op("Cast", x, to=_DATA_TYPES["int64"])

    def linear(self, x: str, name: str) -> str:
        """Apply a linear layer, or a 1 × 1 convolution, to the last dimension."""
        weight = self.array(f"{name}.weight")
        return self.affine(x, weight.reshape(weight.shape[:2]).T, self.array(f"{name}.bias"), name)

    def affine(self, x: str, matrix: NDArray[Any], offset: NDArray[Any], name: str, dtype: str = "") -> str:
        """Compute x @ matrix + offset with a matrix that is computed here, as the layer `name`."""
        return self.add(self.project(x, matrix, name, dtype), self.constant(offset, f"{name}.offset", dtype))

    def project(self, x: str, matrix: NDArray[Any], name: str, dtype: str = "") -> str:
        """Compute x @ matrix as the layer `name`, quantized if the graph quantizes that layer."""
        if self._quantization is not None and self._quantization.applies_to(name):
            if not self._quantization.is_recording:
                return self._project_quantized(x, matrix, name, self._quantization)
            self._record_range(x, name)
        return self.matmul(x, self.constant(matrix, f"{name}.matrix", dtype), name)

    def layer_norm(self, x: str, name: str, epsilon: float = LAYER_NORM_EPS) -> str:
        """Apply layer norm over the last dimension."""
        gain, offset = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, gain, offset, name=name, axis=-1, epsilon=epsilon)

    def conv(self, x: str, name: str, **attributes: Attribute) -> str:
        """Apply a convolution to (B, C, H, W), quantized if `x` and the map of this layer are quantized."""
        if x in self._map_scales and self._quantization and self._quantization.scale_of(name_map(name)):
            return self._convolve_quantized(x, name, attributes, self._quantization)
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("Conv", x, weight, bias, name=name, **attributes)

    def quantize_map(self, x: str, name: str) -> str:
        """Quantize the map (B, C, H, W) that the layer `name` gives, if the graph has its calibrated range."""
        if self._quantization is None:
            return x
        if self._quantization.is_recording:
            self._record_range(x, name_map(name))
        scale = self._quantization.scale_of(name_map(name))
        if scale is None:
            return x
        near = self._round(x, scale)
        self._map_scales[near] = float(scale[0])
        return near

    def record_moments(self, x: str, name: str, channels: int) -> None:
        """Add the moments of the map (B, C, H, W) that the layer `name` takes to the outputs of a recording graph."""
        if self._quantization is None or not self._quantization.is_recording:
            return
        rows = self.reshape(self.transpose(x, 1, 0, 2, 3), channels, -1)
        moments = self.matmul(rows, self.transpose(rows, 1, 0))
        self.output(moments_output(name), moments, [channels, channels])

    def mlp(self, x: str, name: str) -> str:
        """Apply the linear layers `name.layers.0`, `name.layers.1`, … with ReLU between them."""
        first, *others = self.list_layers(name)
        x = self.linear(x, first)
        for layer in others:
            x = self.linear(self.op("Relu", x), layer)
        return x

    def list_layers(self, name: str) -> list[str]:
        """Return the layers `name.layers.0`, `name.layers.1`, … that have weights."""
        names = (f"{name}.layers.{index}" for index in count())
        return list(takewhile(lambda layer: f"{layer}.weight" in self.weights, names))

    def attention(self, q: str, k: str, v: str, chunks: int = 1, bias: str = "") -> str:
        """Attend from scaled queries (…, N, c) to keys (…, c, M) and values (…, M, d).

        Queries are processed in `chunks`, which limits the memory that the scores take. `bias` (…, M) is added to the
        scores.
        """
        scores = (self.matmul(part, k) for part in self.split(q, chunks, axis=-2))
        parts = [self.matmul(self.softmax(self.add(part, bias) if bias else part), v) for part in scores]
        return self.concat(parts, axis=-2)

    def _project_quantized(self, x: str, matrix: NDArray[Any], name: str, quantization: Quantization) -> str:
        """Compute x @ matrix with the operators for integers that runtimes support."""
        values, scale = quantize_matrix(matrix)
        integers, scales = self.constant(values, f"{name}.matrix"), self.constant(scale, f"{name}.scale")
        input_scale = quantization.scale_of(name)
        if input_scale is None:
            quantized, dynamic_scale, zero_point = self._quantize_input(x)
            total = self.op("MatMulInteger", quantized, integers, zero_point, name=name)
            return self.mul(self.op("Cast", total, to=_DATA_TYPES["float32"]), self.mul(dynamic_scale, scales))
        near = self._round(x, input_scale)
        return self.matmul(near, self.op("DequantizeLinear", integers, scales, axis=1), name)

    def _convolve_quantized(
        self, x: str, name: str, attributes: Mapping[str, Attribute], quantization: Quantization
    ) -> str:
        """Apply a convolution with quantized weights, which runtimes fuse with the quantization of its maps."""
        weight, bias = self.array(f"{name}.weight"), self.array(f"{name}.bias")
        depthwise, moments = attributes.get("group", 1) != 1, quantization.moments.get(name)
        kernel = quantize_kernel(weight, bias, self._map_scales[x], depthwise=depthwise, moments=moments)
        parts = []
        for part, values, scale in (("weight", kernel.values, kernel.scale), ("bias", kernel.bias, kernel.bias_scale)):
            integers = self.constant(values, f"{name}.{part}")
            zeros = self.constant(np.zeros(len(values), values.dtype))
            scales = self.constant(scale, f"{name}.{part}.scale")
            parts.append(self.op("DequantizeLinear", integers, scales, zeros, axis=0))
        return self.op("Conv", x, *parts, name=name, **attributes)

    def _round(self, x: str, scale: tuple[NDArray[np.float32], NDArray[np.uint8]]) -> str:
        """Round a tensor to 8 bits with a scale and a zero point."""
        static = [self.constant(value, dtype=value.dtype.name) for value in scale]
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, *static), *static)

    def _record_range(self, x: str, name: str) -> None:
        """Add the minimum and the maximum of a tensor to the outputs."""
        for kind, end in zip(("ReduceMin", "ReduceMax"), range_outputs(name), strict=True):
            self.output(end, self.op(kind, x, keepdims=0), [])

    def _quantize_input(self, x: str) -> list[str]:
        """Quantize a tensor dynamically, once for all layers that take it: integers, scale, zero point."""
        if x not in self._quantized_inputs:
            node = self._name("steps")
            self._quantized_inputs[x] = [f"{node}.{part}" for part in ("numbers", "scale", "zero")]
            self._nodes.append(_node("DynamicQuantizeLinear", [x], self._quantized_inputs[x], node, {}))
        return self._quantized_inputs[x]

    def _name(self, base: str) -> str:
        """Return a name that no node has: `base`, or `base~2`, `base~3`, …"""
        self._name_counts[base] = count = self._name_counts.get(base, 0) + 1
        return base if count == 1 else f"{base}~{count}"


def _value(name: str, shape: Dimensions, dtype: str) -> bytes:
    sizes = [
        protobuf.encode_int(1, size) if isinstance(size, int) else protobuf.encode_bytes(2, size) for size in shape
    ]
    dimensions = b"".join(protobuf.encode_bytes(1, size) for size in sizes)
    tensor = protobuf.encode_int(1, _DATA_TYPES[dtype]) + protobuf.encode_bytes(2, dimensions)
    return protobuf.encode_bytes(1, name) + protobuf.encode_bytes(2, protobuf.encode_bytes(1, tensor))


def _node(
    kind: str, inputs: Sequence[str], outputs: Sequence[str], name: str, attributes: Mapping[str, Attribute]
) -> bytes:
    return b"".join(
        (
            *(protobuf.encode_bytes(1, value) for value in inputs),
            *(protobuf.encode_bytes(2, value) for value in outputs),
            protobuf.encode_bytes(3, name),
            protobuf.encode_bytes(4, kind),
            *(protobuf.encode_bytes(5, _attribute(key, value)) for key, value in attributes.items()),
        )
    )


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, str):
        content, kind = protobuf.encode_bytes(4, value), 3
    elif isinstance(value, float):
        content, kind = protobuf.encode_float(2, value), 1
    elif isinstance(value, int):
        content, kind = protobuf.encode_int(3, value), 2
    else:
        content, kind = b"".join(protobuf.encode_int(8, item) for item in value), 7
    return protobuf.encode_bytes(1, name) + content + protobuf.encode_int(20, kind)
