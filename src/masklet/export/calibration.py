"""What flows into a model's large layers while it looks at pictures: the ranges that rounding is calibrated by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx import OnnxBackend, Session, host
from masklet.export.sample_run import exercise
from masklet.onnx_graphs import VERBS, tables, write_graph
from masklet.onnx_graphs.exported_model import Network
from masklet.onnx_graphs.quantization import Range, Rounding, ends


def seen_ranges(network: Network, pictures: Sequence[NDArray[np.uint8]]) -> dict[str, Range]:
    """The least and the greatest number that flowed into each large layer while the pictures were worked on."""
    ranges: dict[str, Range] = {}
    watch = partial(write_graph, network=network, rounding=Rounding(watch=True))
    graphs = {verb: _Watched(Session(verb, partial(watch, verb)), ranges) for verb in VERBS}
    backend = OnnxBackend(network.config, network.size, "", graphs, tables(network.tensors))
    for picture in pictures:
        exercise(backend, picture)
    return ranges


class _Watched:
    """A graph that gives out the ends of ranges beside its outputs, which are taken down."""

    def __init__(self, graph: Session, ranges: dict[str, Range]) -> None:
        self._graph, self._ranges = graph, ranges

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._graph(**inputs)
        suffix, _ = ends("")
        for name in [name.removesuffix(suffix) for name in found if name.endswith(suffix)]:
            least, greatest = (float(host(found[end])) for end in ends(name))
            before = self._ranges.get(name, (least, greatest))
            self._ranges[name] = min(least, before[0]), max(greatest, before[1])
        return found
