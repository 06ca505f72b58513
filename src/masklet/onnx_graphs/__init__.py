"""ONNX graphs of the networks, written from the weights with NumPy, without PyTorch.

A graph computes the same as the method of `masklet.model.sam2.Sam2` of the same name, in an order that suits runtimes
with little operator fusion. Its inputs are the method's arguments, its outputs the method's results. `attend_scaled` is
`attend` with `scales`, for which `attend` spends no time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from masklet.config import ModelConfig
from masklet.onnx_graphs.attend import write_attend
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.onnx_graphs.decode import write_decode
from masklet.onnx_graphs.encode import write_encode
from masklet.onnx_graphs.exported_model import ExportedModel
from masklet.onnx_graphs.memorize import write_memorize
from masklet.onnx_graphs.quantization import Quantization

GraphName = Literal["encode", "attend", "decode", "memorize", "attend_scaled"]
GRAPH_WRITERS: dict[GraphName, Callable[[GraphBuilder, ModelConfig, int], None]] = {
    "encode": write_encode,
    "attend": write_attend,
    "decode": write_decode,
    "memorize": write_memorize,
    "attend_scaled": partial(write_attend, scaled=True),
}
"""The function that writes each graph: it takes a builder, the configuration and the input size."""

LATER_GRAPHS = frozenset({"attend_scaled"})
"""Graphs that folders exported by version 0.1.0 lack."""

PRECISIONS = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
"""The dtype of a graph by the precision that `masklet export onnx` takes and manifests name."""

DTYPES = tuple(PRECISIONS.values())


def write_graph(
    name: GraphName, model: ExportedModel, dtype: str = "float32", quantization: Quantization | None = None
) -> bytes:
    """Write one graph as an ONNX file.

    Args:
        name: The graph.
        model: Configuration, weights and input size.
        dtype: One of `DTYPES`, or "float64". "int8" quantizes the large layers and computes the rest in float32.
        quantization: Quantization of large layers. Default with "int8": dynamic.

    Returns:
        The ONNX file.
    """
    if dtype == "int8":
        dtype, quantization = "float32", quantization or Quantization()
    graph = GraphBuilder(name, model.tensors, dtype, quantization)
    GRAPH_WRITERS[name](graph, model.config, model.input_size)
    return graph.to_bytes()


def extract_tables(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """Extract the four small tensors that a backend uses between graphs.

    Args:
        tensors: Weights by masklet's key names.

    Returns:
        - `no_memory` (1, C, 1, 1): added to `stride16` of an object without memories, in place of `attend`.
        - `mask_weight` (4, 4) and `mask_bias` (1,): downsample a mask that is used as given to the mask prompt that its
          pointer is decoded from, as a convolution of stride 4.
        - `no_pointer` (1, C): the pointer of an empty mask that is used as given.
    """
    tables = {
        "no_memory": tensors["no_memory"].reshape(1, -1, 1, 1),
        "no_pointer": tensors["no_pointer"],
        "mask_weight": tensors["mask_downsample.weight"][0, 0],
        "mask_bias": tensors["mask_downsample.bias"],
    }
    return {name: np.ascontiguousarray(value, np.float32) for name, value in tables.items()}
