"""The networks as ONNX graphs, written from the weights with numpy alone: the arithmetic of `masklet.model`, shaped for
runtimes that fuse little.

`VERBS` are exactly the four methods of `Sam2`. Each graph's inputs are its method's arguments and its outputs what it
returns; what a whole system needs beside them is in `tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from masklet.config import ModelConfig
from masklet.onnx_graphs.attend import write_attend
from masklet.onnx_graphs.builder import Graph
from masklet.onnx_graphs.decode import write_decode
from masklet.onnx_graphs.encode import write_encode
from masklet.onnx_graphs.exported_model import Network
from masklet.onnx_graphs.memorize import write_memorize
from masklet.onnx_graphs.quantization import Rounding

Verb = Literal["encode", "attend", "decode", "memorize"]
VERBS: dict[Verb, Callable[[Graph, ModelConfig, int], None]] = {
    "encode": write_encode,
    "attend": write_attend,
    "decode": write_decode,
    "memorize": write_memorize,
}
PRECISIONS = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
"""What a graph can be written in, by the names that exported folders use."""

DTYPES = tuple(PRECISIONS.values())


def write_graph(verb: Verb, network: Network, dtype: str = "float32", rounding: Rounding | None = None) -> bytes:
    """One graph as an ONNX file. Tensors and most arithmetic are of `dtype`, one of `DTYPES`: "int8" is float32 with
    the large layers rounded, by `rounding` or dynamically."""
    if dtype == "int8":
        dtype, rounding = "float32", rounding or Rounding()
    graph = Graph(verb, network.tensors, dtype, rounding)
    VERBS[verb](graph, network.config, network.size)
    return graph.file()


def tables(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """The four small tensors that are used between graphs:

    - `no_memory` (1, C, 1, 1): added to `stride16` of an object that has no memories, in place of `attend`;
    - `mask_weight` (4, 4) and `mask_bias` (1,): make a mask prompt of each 4 × 4 pixels of a mask that is adopted;
    - `no_pointer` (1, C): the pointer of an adopted mask that is empty.
    """
    found = {
        "no_memory": tensors["no_memory"].reshape(1, -1, 1, 1),
        "no_pointer": tensors["no_pointer"],
        "mask_weight": tensors["mask_downsample.weight"][0, 0],
        "mask_bias": tensors["mask_downsample.bias"],
    }
    return {name: np.ascontiguousarray(value, np.float32) for name, value in found.items()}
