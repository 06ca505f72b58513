"""Writes `Sam2.decode` as a graph: prompt tokens, the two-way transformer, masks and scores (reference-model §4, §5).

What has one value per pixel stays (batch, pixels, channels), row by row. A few tokens look at many pixels and are
looked at by them, so the projections of the pixels' keys, queries and values are moved to the tokens' side: the same
arithmetic in another order, with half the work. What does not depend on the prompt keeps a batch of one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.config import ModelConfig
from masklet.onnx_graphs.builder import Graph
from masklet.onnx_graphs.prompt_encoder import mask_pixels, place_table, point_tokens

HEADS, MASKS, LEARNED = 8, 4, 6
NEVER = -30_000.0  # a score that no softmax notices, in half precision too
EPSILON = 1e-5  # of the transformer's norms


class Found(NamedTuple):
    """What the decoder says, as values of a graph."""

    logits: str  # (N, 4, h, w)
    iou: str  # (N, 4)
    object_score: str  # (N, 1)
    tokens: str  # (N, 4, C)


def write_decode(graph: Graph, config: ModelConfig, size: int) -> None:
    """Features of one picture or of N objects, and N prompts → `logits`, `iou`, `object_score`, `pointers`."""
    channels, side = config.channels, size // 16
    stride4 = graph.input("stride4", ["pictures", channels // 8, 4 * side, 4 * side])
    stride8 = graph.input("stride8", ["pictures", channels // 4, 2 * side, 2 * side])
    stride16 = graph.input("stride16", ["seen", channels, side, side])
    points = graph.input("points", ["prompts", "points", 2], graph.precise)
    labels = graph.input("labels", ["prompts", "points"], "int64")
    present = graph.input("present", ["prompts", "points"], "bool")
    mask = graph.input("mask", ["masks", 1, 4 * side, 4 * side], graph.precise)
    masked = graph.input("masked", ["masks"], "bool")
    image = graph.add(graph.pixels(stride16, channels, side), mask_pixels(graph, mask, masked, side))
    looking = Looking(graph, side, place_table(graph, side), _absence(graph, present))
    found = find(looking, image, point_tokens(graph, points, labels, size), (stride8, stride4))
    visible = graph.unsqueeze(graph.op("Greater", found.object_score, graph.constant(0.0)), 2)
    pointers = graph.where(visible, graph.mlp(found.tokens, "pointer_head", 3), graph.weight("no_pointer"))
    graph.output("logits", graph.full(found.logits), ["prompts", MASKS, 4 * side, 4 * side], graph.precise)
    graph.output("iou", graph.full(found.iou), ["prompts", MASKS], graph.precise)
    graph.output("object_score", graph.full(found.object_score), ["prompts", 1], graph.precise)
    graph.output("pointers", pointers, ["prompts", MASKS, channels])


def _absence(graph: Graph, present: str) -> str:
    """(N, 1, 1, T): what is added to the scores of tokens, 0 for those that are there."""
    bias = graph.where(present, graph.constant(0.0), graph.constant(NEVER))
    return graph.unsqueeze(graph.op("Pad", bias, graph.constant(np.array([0, LEARNED, 0, 0]))), 1, 2)


def find(looking: Looking, image: str, prompts: str, features: tuple[str, str]) -> Found:
    """What is found in `image` (1 or N, side², C), with mask prompts added, for the tokens `prompts` (N, P, C).
    `features` are those of strides 8 and 4."""
    graph, names = looking.graph, ("object_token", "iou_token", "mask_tokens")
    learned = np.concatenate([graph.array(f"mask_decoder.{name}") for name in names])
    count = graph.op("Shape", prompts, start=0, end=1)
    shape = graph.concat([count, graph.constant(np.array(learned.shape))], axis=0)
    repeated = graph.op("Expand", graph.constant(learned, "mask_decoder.learned"), shape)
    tokens, image = looking.run(graph.concat([repeated, prompts], axis=1), image)
    score, iou, masks = (graph.part(tokens, *span, axis=1) for span in ((0, 1), (1, 2), (2, LEARNED)))
    score = graph.reshape(graph.mlp(score, "mask_decoder.object_head", 3), 0, 1)
    iou = graph.op("Sigmoid", graph.reshape(graph.mlp(iou, "mask_decoder.iou_head", 3), 0, MASKS))
    return Found(_logits(graph, image, features, _mask_weights(graph, masks), looking.side), iou, score, masks)


class Looking:
    """Tokens and pixels that look at each other (reference-model §5.1).

    `places` (1, side², C) are where the pixels are, `absence` (N, 1, 1, T) is added to the scores of tokens.
    """

    def __init__(self, graph: Graph, side: int, places: str, absence: str = "") -> None:
        self.graph, self.side, self.places = graph, side, places
        self.absence = absence or graph.constant(np.zeros((1, 1, 1, 1)))
        self.channels = graph.array("no_pointer").shape[1]

    def run(self, first: str, image: str) -> tuple[str, str]:
        """Two layers, then a last look of the tokens. The `first` tokens are their own positions."""
        graph, name, tokens = self.graph, "mask_decoder.transformer", first
        for index in range(2):
            tokens, image = self._layer(f"{name}.layers.{index}", tokens, first, image, opening=index == 0)
        looked = self._to_image(f"{name}.to_image", graph.add(tokens, first), image, graph.add(image, self.places))
        return graph.norm(graph.add(tokens, looked), f"{name}.norm", EPSILON), image

    def _layer(self, name: str, tokens: str, first: str, image: str, *, opening: bool) -> tuple[str, str]:
        """The opening layer looks around without positions and keeps only what it saw (reference-model §12, G19)."""
        graph = self.graph
        looked = self._among(f"{name}.self_attention", tokens, tokens if opening else graph.add(tokens, first))
        tokens = graph.norm(looked if opening else graph.add(tokens, looked), f"{name}.norm1", EPSILON)
        placed = graph.add(image, self.places)
        tokens = graph.add(tokens, self._to_image(f"{name}.to_image", graph.add(tokens, first), image, placed))
        tokens = graph.norm(tokens, f"{name}.norm2", EPSILON)
        tokens = graph.norm(graph.add(tokens, graph.mlp(tokens, f"{name}.mlp", 2)), f"{name}.norm3", EPSILON)
        image = graph.add(image, self._to_tokens(f"{name}.to_tokens", placed, tokens, graph.add(tokens, first)))
        return tokens, graph.norm(image, f"{name}.norm4", EPSILON)

    def _among(self, name: str, tokens: str, placed: str) -> str:
        """Tokens look at tokens."""
        graph = self.graph
        q, k = (self._heads(graph.linear(placed, f"{name}.{which}")) for which in "qk")
        v = self._heads(graph.linear(tokens, f"{name}.v"))
        size = graph.array(f"{name}.q.weight").shape[0] // HEADS
        scores = graph.mul(graph.matmul(q, graph.transpose(k, 0, 1, 3, 2)), graph.constant(size**-0.5))
        attended = graph.matmul(graph.softmax(graph.add(scores, self.absence)), v)
        return graph.linear(self._joined(attended), f"{name}.out")

    def _to_image(self, name: str, asking: str, image: str, placed: str) -> str:
        """Tokens look at pixels. The keys' offset changes no softmax; the values' is added after the mean."""
        graph = self.graph
        to_k, to_v = (self._per_head(f"{name}.{which}") for which in "kv")
        q = self._heads(graph.linear(asking, f"{name}.q"))
        q = graph.product(q, to_k * to_k.shape[1] ** -0.5, f"{name}.k")  # what each token looks for, in pixels' terms
        attended = graph.attention(self._stacked(q), graph.transpose(placed, 0, 2, 1), image)
        values = graph.product(self._unstacked(attended), to_v.transpose(0, 2, 1), f"{name}.v")
        last, offset = graph.array(f"{name}.out.weight"), graph.array(f"{name}.out.bias")
        seen = offset + last @ graph.array(f"{name}.v.bias")
        return graph.affine(self._joined(values), last.T, seen, f"{name}.out")

    def _to_tokens(self, name: str, placed: str, tokens: str, placed_tokens: str) -> str:
        """Pixels look at tokens. Each pixel's scores and its answer are single products with the tokens."""
        graph = self.graph
        to_q, offset = self._per_head(f"{name}.q"), graph.array(f"{name}.q.bias").reshape(HEADS, -1, 1)
        scale = to_q.shape[1] ** -0.5
        k = self._heads(graph.linear(placed_tokens, f"{name}.k"))
        v = self._heads(graph.linear(tokens, f"{name}.v"))
        keys = self._stacked(graph.product(k, to_q * scale, f"{name}.q"))
        bias = graph.add(
            graph.product(k, offset * scale, f"{name}.q.offset"), graph.transpose(self.absence, 0, 1, 3, 2)
        )
        scores = graph.matmul(placed, graph.transpose(keys, 0, 2, 1))
        scores = graph.add(scores, graph.reshape(bias, 0, 1, -1))
        weights = graph.softmax(graph.reshape(scores, 0, 0, HEADS, -1))
        last = graph.array(f"{name}.out.weight")
        share = graph.array(f"{name}.out.bias") / HEADS  # the weights of each head add up to one
        answers = graph.affine(v, last.T.reshape(HEADS, -1, len(last)), share, f"{name}.out")
        return graph.matmul(graph.reshape(weights, 0, 0, -1), self._stacked(answers))

    def _per_head(self, name: str) -> NDArray[np.float64]:
        """A projection's weight as (heads, c, C)."""
        weight = self.graph.array(f"{name}.weight")
        return weight.reshape(HEADS, -1, weight.shape[1])

    def _heads(self, x: str) -> str:
        """N T (heads c) → N heads T c."""
        return self.graph.transpose(self.graph.reshape(x, 0, 0, HEADS, -1), 0, 2, 1, 3)

    def _joined(self, x: str) -> str:
        """N heads T c → N T (heads c)."""
        return self.graph.reshape(self.graph.transpose(x, 0, 2, 1, 3), 0, 0, -1)

    def _stacked(self, x: str) -> str:
        """N heads T C → N (heads T) C."""
        return self.graph.reshape(x, 0, -1, self.channels)

    def _unstacked(self, x: str) -> str:
        """N (heads T) C → N heads T C."""
        return self.graph.reshape(x, 0, HEADS, -1, self.channels)


def _mask_weights(graph: Graph, tokens: str) -> str:
    """(N, 4, C/8): what each of the mask tokens looks for in a pixel, each by layers of its own."""
    x = graph.transpose(tokens, 1, 0, 2)
    for index in range(3):
        weight, bias = (
            np.stack([graph.array(f"mask_decoder.mask_heads.{head}.layers.{index}.{part}") for head in range(MASKS)])
            for part in ("weight", "bias")
        )
        x = graph.affine(x, weight.transpose(0, 2, 1), bias[:, None], f"mask_decoder.mask_heads.layers.{index}")
        x = graph.op("Relu", x) if index < 2 else x
    return graph.transpose(x, 1, 0, 2)


def _logits(graph: Graph, image: str, features: tuple[str, str], weights: str, side: int) -> str:
    """(N, 4, 4 side, 4 side): pixels (N, side², C) made twice as fine twice, the features of that stride added each
    time. Rows that lie 4 apart are worked out together, so that nothing large needs to be put in order."""
    wide = len(graph.array("mask_decoder.upscale_norm.weight"))
    halves, rows = _twice(graph, image, "upscale1"), []
    for half, seen in zip(halves, _rows_of(graph, features[0], side, 2, wide), strict=True):
        x = graph.gelu(graph.norm(graph.add(graph.reshape(half, 0, -1, wide), seen), "mask_decoder.upscale_norm"))
        rows += [graph.reshape(quarter, 0, -1, wide // 2) for quarter in _twice(graph, x, "upscale2")]
    found = []
    for row, seen in zip(rows, _rows_of(graph, features[1], side, 4, wide // 2), strict=True):
        pixels = graph.gelu(graph.add(row, seen))
        logits = graph.matmul(weights, graph.transpose(pixels, 0, 2, 1))
        found.append(graph.reshape(logits, 0, MASKS, side, 1, 4 * side))
    return graph.reshape(graph.concat(found, axis=3), 0, MASKS, 4 * side, 4 * side)


def _twice(graph: Graph, x: str, name: str) -> list[str]:
    """A transposed convolution of kernel and stride 2 on pixels: those of the upper rows, those of the lower ones."""
    kernel, offset = (graph.array(f"mask_decoder.{name}.{part}") for part in ("weight", "bias"))
    return [
        graph.affine(
            x,
            kernel[:, :, row].transpose(0, 2, 1).reshape(len(kernel), -1),
            np.tile(offset, 2),
            f"mask_decoder.{name}.{row}",
        )
        for row in range(2)
    ]


def _rows_of(graph: Graph, stride: str, side: int, scale: int, channels: int) -> list[str]:
    """Features (B, C, scale · side, scale · side) as pixels, by row: the first holds rows 0, scale, 2 scale, …"""
    lines = graph.reshape(graph.transpose(stride, 0, 2, 3, 1), 0, side, scale, scale * side * channels)
    return [graph.reshape(part, 0, -1, channels) for part in graph.split(lines, scale, axis=2)]
