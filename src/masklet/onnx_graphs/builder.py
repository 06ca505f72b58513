"""A small language for writing ONNX graphs: values are names, and a layer of a network is one call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.onnx_graphs import protobuf
from masklet.onnx_graphs.quantization import Rounding, ends, rounded

OPSET = 20  # the first with Gelu; LayerNormalization came with 17
IR = 9  # the format of files that runtimes of that age read
Dimensions = Sequence[int | str]
Attribute = int | float | str | list[int]
_KINDS = {  # what ONNX files call them
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "float64": 11,
}


class Graph:
    """One graph in the making: add inputs, layers and outputs, then take its `file`.

    `weights` are a network's tensors by our names; those that layers ask for are stored in `dtype`: "float32",
    "float16" or "float64". Layers are named after their weights, so that a profile or a quantiser can speak of them.
    """

    def __init__(
        self,
        name: str,
        weights: Mapping[str, NDArray[Any]],
        dtype: str = "float32",
        rounding: Rounding | None = None,
    ) -> None:
        self.name, self.weights, self.dtype, self._rounding = name, weights, dtype, rounding
        self._nodes: list[bytes] = []
        self._constants: dict[str, bytes] = {}
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._taken: dict[str, int] = {}
        self._known_steps: dict[str, list[str]] = {}

    def file(self) -> bytes:
        """The graph as an ONNX file."""
        parts = [protobuf.data(1, node) for node in self._nodes]
        parts.append(protobuf.data(2, self.name))
        for constant in self._constants.values():  # which may be large: no copy but the last
            parts += [protobuf.opening(5, len(constant)), constant]
        parts += [protobuf.data(11, value) for value in self._inputs]
        parts += [protobuf.data(12, value) for value in self._outputs]
        opset = protobuf.data(1, "") + protobuf.number(2, OPSET)
        head = protobuf.number(1, IR) + protobuf.data(2, "masklet") + protobuf.data(8, opset)
        return b"".join((head, protobuf.opening(7, sum(map(len, parts))), *parts))

    def input(self, name: str, shape: Dimensions, dtype: str = "") -> str:
        """A named input; a dimension that is a word may be of any length."""
        self._inputs.append(_value(name, shape, dtype or self.dtype))
        return name

    def output(self, name: str, value: str, shape: Dimensions, dtype: str = "") -> None:
        """Give `value` out under a name."""
        self._outputs.append(_value(name, shape, dtype or self.dtype))
        self._nodes.append(_node("Identity", [value], [name], f"output.{name}", {}))

    def constant(self, values: Any, name: str = "", dtype: str = "") -> str:
        """An array in the graph: in the graph's dtype if it holds fractions, whole numbers and truths as they are."""
        array = np.asarray(values)
        wanted = dtype or (self.dtype if array.dtype.kind == "f" else array.dtype.name)
        content = array.astype(wanted).tobytes()
        kept = name or f"constant.{wanted}.{array.shape}.{hashlib.md5(content).hexdigest()}"
        if kept not in self._constants:
            sizes = b"".join(protobuf.number(1, size) for size in array.shape)
            kind = protobuf.number(2, _KINDS[wanted])
            self._constants[kept] = b"".join((sizes, kind, protobuf.data(8, kept), protobuf.data(9, content)))
        return kept

    def array(self, name: str) -> NDArray[np.float64]:
        """The network's tensor of that name, to work with."""
        return np.asarray(self.weights[name], np.float64)

    def weight(self, name: str) -> str:
        """The network's tensor of that name, in the graph."""
        return self.constant(self.weights[name], name)

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Attribute) -> str:
        """Any operator with one result."""
        own = self._name(name or kind.lower())
        self._nodes.append(_node(kind, inputs, [own], own, attributes))
        return own

    def split(self, x: str, count: int, axis: int) -> list[str]:
        """`count` parts, equal if that is possible."""
        if count == 1:
            return [x]
        own = self._name("split")
        parts = [f"{own}.{index}" for index in range(count)]
        self._nodes.append(_node("Split", [x], parts, own, {"axis": axis, "num_outputs": count}))
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
        """0 keeps a dimension, −1 is whatever is left."""
        return self.op("Reshape", x, self.constant(np.array(shape, np.int64)))

    def transpose(self, x: str, *order: int) -> str:
        return self.op("Transpose", x, perm=list(order))

    def rearrange(self, x: str, shape: Sequence[int], order: Sequence[int], result: Sequence[int]) -> str:
        """Reshape, transpose, reshape."""
        return self.reshape(self.transpose(self.reshape(x, *shape), *order), *result)

    def pixels(self, x: str, channels: int, side: int) -> str:
        """B C H W → (B, H · W, C)."""
        return self.transpose(self.reshape(x, 0, channels, side * side), 0, 2, 1)

    def planes(self, x: str, channels: int, side: int) -> str:
        """(B, H · W, C) → B C H W."""
        return self.reshape(self.transpose(x, 0, 2, 1), 0, channels, side, side)

    def concat(self, parts: Sequence[str], axis: int) -> str:
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=axis)

    def part(self, x: str, start: int, stop: int, axis: int) -> str:
        """A slice along one axis."""
        return self.op("Slice", x, *(self.constant(np.array([value])) for value in (start, stop, axis)))

    def unsqueeze(self, x: str, *axes: int) -> str:
        return self.op("Unsqueeze", x, self.constant(np.array(axes, np.int64)))

    def largest(self, x: str, *axes: int) -> str:
        """The maximum along `axes`, which are gone afterwards."""
        return self.op("ReduceMax", x, self.constant(np.array(axes, np.int64)), keepdims=0)

    @property
    def precise(self) -> str:
        """The dtype of what more than half precision is needed for: points, times, pictures and answers."""
        return "float64" if self.dtype == "float64" else "float32"

    def own(self, x: str) -> str:
        """A precise value in the graph's dtype."""
        return x if self.dtype == self.precise else self.op("Cast", x, to=_KINDS[self.dtype])

    def full(self, x: str) -> str:
        """A value of the graph's dtype, precise."""
        return x if self.dtype == self.precise else self.op("Cast", x, to=_KINDS[self.precise])

    def whole(self, x: str) -> str:
        """Numbers of any dtype as int64."""
        return self.op("Cast", x, to=_KINDS["int64"])

    def linear(self, x: str, name: str) -> str:
        """A fully connected layer, or a 1 × 1 convolution, on the last dimension."""
        weight = self.array(f"{name}.weight")
        return self.affine(x, weight.reshape(weight.shape[:2]).T, self.array(f"{name}.bias"), name)

    def affine(self, x: str, matrix: NDArray[Any], offset: NDArray[Any], name: str, dtype: str = "") -> str:
        """x @ matrix + offset, with a matrix that was worked out beforehand."""
        return self.add(self.product(x, matrix, name, dtype), self.constant(offset, f"{name}.offset", dtype))

    def product(self, x: str, matrix: NDArray[Any], name: str, dtype: str = "") -> str:
        """x @ matrix, in eight bits if the graph is to be rounded and the layer is one of those."""
        if self._rounding is not None and self._rounding.applies(name):
            if not self._rounding.watch:
                return self._rounded(x, matrix, name, self._rounding)
            for kind, end in zip(("ReduceMin", "ReduceMax"), ends(name), strict=True):
                self.output(end, self.op(kind, x, keepdims=0), [])
        return self.matmul(x, self.constant(matrix, f"{name}.matrix", dtype), name)

    def norm(self, x: str, name: str, epsilon: float = 1e-6) -> str:
        """Layer norm over the last dimension."""
        gain, offset = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, gain, offset, name=name, axis=-1, epsilon=epsilon)

    def conv(self, x: str, name: str, **attributes: Attribute) -> str:
        """A convolution on B C H W."""
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("Conv", x, weight, bias, name=name, **attributes)

    def mlp(self, x: str, name: str, depth: int) -> str:
        """Fully connected layers with ReLU between them."""
        for index in range(depth):
            x = self.linear(x, f"{name}.layers.{index}")
            x = self.op("Relu", x) if index < depth - 1 else x
        return x

    def attention(self, q: str, k: str, v: str, chunks: int = 1) -> str:
        """Softmax attention of (…, N, c) on keys (…, c, M) and values (…, M, d), the scale already in the queries.

        The queries are taken in `chunks`, which bounds the memory that the scores take.
        """
        parts = [self.matmul(self.softmax(self.matmul(part, k)), v) for part in self.split(q, chunks, axis=-2)]
        return self.concat(parts, axis=-2)

    def _rounded(self, x: str, matrix: NDArray[Any], name: str, rounding: Rounding) -> str:
        """x @ matrix as runtimes know to compute with whole numbers."""
        numbers, scales = rounded(matrix)
        whole, scale = self.constant(numbers, f"{name}.matrix"), self.constant(scales, f"{name}.scale")
        step = rounding.step(name)
        if step is None:
            values, step_scale, zero = self._steps(x)
            total = self.op("MatMulInteger", values, whole, zero, name=name)
            return self.mul(self.op("Cast", total, to=_KINDS["float32"]), self.mul(step_scale, scale))
        given = [self.constant(value, dtype=value.dtype.name) for value in step]
        near = self.op("DequantizeLinear", self.op("QuantizeLinear", x, *given), *given)
        return self.matmul(near, self.op("DequantizeLinear", whole, scale, axis=1), name)

    def _steps(self, x: str) -> list[str]:
        """A value as whole numbers, their scale and their zero, once for all layers that it flows into."""
        if x not in self._known_steps:
            own = self._name("steps")
            self._known_steps[x] = [f"{own}.{part}" for part in ("numbers", "scale", "zero")]
            self._nodes.append(_node("DynamicQuantizeLinear", [x], self._known_steps[x], own, {}))
        return self._known_steps[x]

    def _name(self, wanted: str) -> str:
        self._taken[wanted] = count = self._taken.get(wanted, 0) + 1
        return wanted if count == 1 else f"{wanted}~{count}"


def _value(name: str, shape: Dimensions, dtype: str) -> bytes:
    sizes = [protobuf.number(1, size) if isinstance(size, int) else protobuf.data(2, size) for size in shape]
    form = b"".join(protobuf.data(1, size) for size in sizes)
    tensor = protobuf.number(1, _KINDS[dtype]) + protobuf.data(2, form)
    return protobuf.data(1, name) + protobuf.data(2, protobuf.data(1, tensor))


def _node(
    kind: str, inputs: Sequence[str], outputs: Sequence[str], name: str, attributes: Mapping[str, Attribute]
) -> bytes:
    return b"".join(
        (
            *(protobuf.data(1, value) for value in inputs),
            *(protobuf.data(2, value) for value in outputs),
            protobuf.data(3, name),
            protobuf.data(4, kind),
            *(protobuf.data(5, _attribute(key, value)) for key, value in attributes.items()),
        )
    )


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, str):
        content, kind = protobuf.data(4, value), 3
    elif isinstance(value, float):
        content, kind = protobuf.real(2, value), 1
    elif isinstance(value, int):
        content, kind = protobuf.number(3, value), 2
    else:
        content, kind = b"".join(protobuf.number(8, item) for item in value), 7
    return protobuf.data(1, name) + content + protobuf.number(20, kind)
