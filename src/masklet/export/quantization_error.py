"""What rounding costs: how much the masks of a rounded model overlap those of the model itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.backends.onnx import OnnxBackend
from masklet.export.sample_run import exercise
from masklet.masks.masks import Masks
from masklet.onnx_graphs import VERBS


class Cost(NamedTuple):
    """Overlap of masks where only this `graph` is rounded ("all": where all are), over all pictures."""

    graph: str
    mean_iou: float
    lowest_iou: float


def measure(exact: OnnxBackend, rounded: OnnxBackend, pictures: Sequence[NDArray[np.uint8]]) -> Iterator[Cost]:
    """The cost of each graph alone, then of all together; two empty masks overlap fully."""
    wanted = [exercise(exact, picture) for picture in pictures]
    for graph in (*VERBS, "all"):
        graphs = {verb: (rounded if graph in (verb, "all") else exact).graphs[verb] for verb in VERBS}
        mixed = OnnxBackend(exact.config, exact.size, exact.identity, graphs, exact.tables)
        found = [exercise(mixed, picture) for picture in pictures]
        pairs = zip(chain(*wanted), chain(*found), strict=True)
        overlaps = np.concatenate([_overlaps(*pair) for pair in pairs])
        yield Cost(graph, float(overlaps.mean()), float(overlaps.min()))


def _overlaps(wanted: Masks, found: Masks) -> NDArray[np.float64]:
    shared = (wanted.binary & found.binary).sum(axis=(1, 2))
    joined = (wanted.binary | found.binary).sum(axis=(1, 2))
    return np.where(joined > 0, shared / np.maximum(joined, 1), 1.0)
