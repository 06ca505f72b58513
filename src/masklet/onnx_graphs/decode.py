"""Graph `decode`: prompt tokens, the two-way transformer, masks and scores (reference-model §4, §5).

Per-pixel values are (batch, pixels, channels), row by row. There are few tokens and many pixels, so the projections of
the pixels' keys, queries and values are merged into the tokens' side: the same arithmetic in another order, at half the
cost. Values that do not depend on the prompt keep a batch of one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from masklet.config import ATTENTION_NORM_EPS, DECODER_HEADS, DECODER_LAYERS, NUM_MASKS, STRIDE, ModelConfig
from masklet.onnx_graphs.builder import Dimensions, GraphBuilder
from masklet.onnx_graphs.prompt_encoder import encode_grid, encode_mask, encode_points

NUM_LEARNED_TOKENS = 2 + NUM_MASKS  # of the object score, of the IoU, of the masks
MASKED_SCORE = -30_000.0  # attention score of a padding token; finite in float16


class DecoderOutput(NamedTuple):
    """Outputs of the mask decoder, as tensors of a graph."""

    logits: str  # (N, 4, h, w)
    iou: str  # (N, 4)
    object_score: str  # (N, 1)
    tokens: str  # (N, 4, C)


def write_decode(graph: GraphBuilder, config: ModelConfig, input_size: int) -> None:
    """Write `Sam2.decode`: features of one image or of N objects, and N prompts → masks, scores and pointers.

    Strides at which the network has no features have no input.
    """
    (fine, medium, channels), side = config.feature_channels, input_size // STRIDE
    finer = None
    if config.high_resolution:
        stride4 = graph.input("stride4", ["pictures", fine, 4 * side, 4 * side])
        finer = graph.input("stride8", ["pictures", medium, 2 * side, 2 * side]), stride4
    stride16 = graph.input("stride16", ["seen", channels, side, side])
    points = graph.input("points", ["prompts", "points", 2], graph.precise_dtype)
    labels = graph.input("labels", ["prompts", "points"], "int64")
    present = graph.input("present", ["prompts", "points"], "bool")
    mask = graph.input("mask", ["masks", 1, 4 * side, 4 * side], graph.precise_dtype)
    masked = graph.input("masked", ["masks"], "bool")
    image = graph.add(graph.to_tokens(stride16, channels, side), encode_mask(graph, mask, masked, side))
    transformer = TwoWayTransformer(graph, side, encode_grid(graph, side), _padding_scores(graph, present))
    prompts = encode_points(graph, points, labels, input_size)
    output = decode_masks(transformer, image, prompts, finer)
    visible = graph.unsqueeze(graph.op("Greater", output.object_score, graph.constant(0.0)), 2)
    pointers = graph.where(visible, graph.mlp(output.tokens, "pointer_head"), graph.weight("no_pointer"))
    shape: Dimensions = ["prompts", NUM_MASKS, 4 * side, 4 * side]
    graph.output("logits", graph.to_precise(output.logits), shape, graph.precise_dtype)
    graph.output("iou", graph.to_precise(output.iou), ["prompts", NUM_MASKS], graph.precise_dtype)
    graph.output("object_score", graph.to_precise(output.object_score), ["prompts", 1], graph.precise_dtype)
    graph.output("pointers", pointers, ["prompts", NUM_MASKS, channels])


def _padding_scores(graph: GraphBuilder, present: str) -> str:
    """Compute the attention bias of tokens, (N, 1, 1, T): 0, or `MASKED_SCORE` for padding."""
    bias = graph.where(present, graph.constant(0.0), graph.constant(MASKED_SCORE))
    return graph.unsqueeze(graph.op("Pad", bias, graph.constant(np.array([0, NUM_LEARNED_TOKENS, 0, 0]))), 1, 2)


def decode_masks(
    transformer: TwoWayTransformer, image: str, prompts: str, features: tuple[str, str] | None
) -> DecoderOutput:
    """Decode prompt tokens into masks.

    Args:
        transformer: The two-way transformer.
        image: Features with encoded masks added, (1 or N, side², C).
        prompts: Prompt tokens (N, P, C).
        features: Features at strides 8 and 4. None: the network has none.

    Returns:
        Masks, scores and mask tokens.
    """
    graph, names = transformer.graph, ("object_token", "iou_token", "mask_tokens")
    learned = np.concatenate([graph.array(f"mask_decoder.{name}") for name in names])
    count = graph.shape(prompts, 0)
    shape = graph.concat([count, graph.constant(np.array(learned.shape))], axis=0)
    repeated = graph.op("Expand", graph.constant(learned, "mask_decoder.learned"), shape)
    tokens, image = transformer.run(graph.concat([repeated, prompts], axis=1), image)
    score, iou, masks = (graph.slice(tokens, *span, axis=1) for span in ((0, 1), (1, 2), (2, NUM_LEARNED_TOKENS)))
    score = graph.reshape(graph.mlp(score, "mask_decoder.object_head"), 0, 1)
    iou = graph.op("Sigmoid", graph.reshape(graph.mlp(iou, "mask_decoder.iou_head"), 0, NUM_MASKS))
    logits = _compute_logits(graph, image, features, _compute_mask_weights(graph, masks), transformer.side)
    return DecoderOutput(logits, iou, score, masks)


class TwoWayTransformer:
    """Attention between tokens and pixels in both directions (reference-model §5.1)."""

    def __init__(self, graph: GraphBuilder, side: int, positions: str, padding_scores: str = "") -> None:
        """Create the transformer.

        Args:
            graph: The graph that is written.
            side: Side of the feature map.
            positions: Position encoding of the pixels (1, side², C).
            padding_scores: Added to the attention scores of tokens, (N, 1, 1, T). Default: zeros.
        """
        self.graph, self.side, self.positions = graph, side, positions
        self.padding_scores = padding_scores or graph.constant(np.zeros((1, 1, 1, 1)))
        self.channels = graph.array("no_pointer").shape[1]

    def run(self, tokens: str, image: str) -> tuple[str, str]:
        """Update tokens and pixels in two layers, then the tokens once more.

        The input tokens serve as position encodings of the tokens.
        """
        graph, name, token_positions = self.graph, "mask_decoder.transformer", tokens
        for index in range(DECODER_LAYERS):
            tokens, image = self._layer(f"{name}.layers.{index}", tokens, token_positions, image, is_first=index == 0)
        queries, keys = graph.add(tokens, token_positions), graph.add(image, self.positions)
        attended = self._attend_image(f"{name}.to_image", queries, image, keys)
        return graph.layer_norm(graph.add(tokens, attended), f"{name}.norm", ATTENTION_NORM_EPS), image

    def _layer(self, name: str, tokens: str, token_positions: str, image: str, *, is_first: bool) -> tuple[str, str]:
        """Apply a layer. The first one's self-attention has no positions and no residual (reference-model §12, G19)."""
        graph = self.graph
        queries = tokens if is_first else graph.add(tokens, token_positions)
        attended = self._attend_self(f"{name}.self_attention", tokens, queries)
        tokens = graph.layer_norm(
            attended if is_first else graph.add(tokens, attended), f"{name}.norm1", ATTENTION_NORM_EPS
        )
        image_keys = graph.add(image, self.positions)
        queries = graph.add(tokens, token_positions)
        tokens = graph.add(tokens, self._attend_image(f"{name}.to_image", queries, image, image_keys))
        tokens = graph.layer_norm(tokens, f"{name}.norm2", ATTENTION_NORM_EPS)
        tokens = graph.add(tokens, graph.mlp(tokens, f"{name}.mlp"))
        tokens = graph.layer_norm(tokens, f"{name}.norm3", ATTENTION_NORM_EPS)
        token_keys = graph.add(tokens, token_positions)
        image = graph.add(image, self._attend_tokens(f"{name}.to_tokens", image_keys, tokens, token_keys))
        return tokens, graph.layer_norm(image, f"{name}.norm4", ATTENTION_NORM_EPS)

    def _attend_self(self, name: str, tokens: str, queries: str) -> str:
        """Attend from tokens to tokens; `queries` are the tokens with positions, which are also the keys."""
        graph = self.graph
        q, k = (self._split_heads(graph.linear(queries, f"{name}.{which}")) for which in "qk")
        v = self._split_heads(graph.linear(tokens, f"{name}.v"))
        width = graph.array(f"{name}.q.weight").shape[0] // DECODER_HEADS
        scores = graph.mul(graph.matmul(q, graph.transpose(k, 0, 1, 3, 2)), graph.constant(width**-0.5))
        attended = graph.matmul(graph.softmax(graph.add(scores, self.padding_scores)), v)
        return graph.linear(self._merge_heads(attended), f"{name}.out")

    def _attend_image(self, name: str, queries: str, image: str, image_keys: str) -> str:
        """Attend from tokens to pixels, with the projections of keys and values on the tokens' side.

        The offset of the keys does not change the softmax; that of the values is added after averaging.
        """
        graph = self.graph
        to_k, to_v = (self._weight_per_head(f"{name}.{which}") for which in "kv")
        q = self._split_heads(graph.linear(queries, f"{name}.q"))
        q = graph.project(q, to_k * to_k.shape[1] ** -0.5, f"{name}.k")
        attended = graph.attention(self._stack_heads(q), graph.transpose(image_keys, 0, 2, 1), image)
        values = graph.project(self._unstack_heads(attended), to_v.transpose(0, 2, 1), f"{name}.v")
        last, offset = graph.array(f"{name}.out.weight"), graph.array(f"{name}.out.bias")
        merged_offset = offset + last @ graph.array(f"{name}.v.bias")
        return graph.affine(self._merge_heads(values), last.T, merged_offset, f"{name}.out")

    def _attend_tokens(self, name: str, image_keys: str, tokens: str, token_keys: str) -> str:
        """Attend from pixels to tokens. Scores and results of each pixel are single products with the tokens."""
        graph = self.graph
        to_q, offset = self._weight_per_head(f"{name}.q"), graph.array(f"{name}.q.bias").reshape(DECODER_HEADS, -1, 1)
        scale = to_q.shape[1] ** -0.5
        k = self._split_heads(graph.linear(token_keys, f"{name}.k"))
        v = self._split_heads(graph.linear(tokens, f"{name}.v"))
        keys = self._stack_heads(graph.project(k, to_q * scale, f"{name}.q"))
        bias = graph.project(k, offset * scale, f"{name}.q.offset")
        bias = graph.add(bias, graph.transpose(self.padding_scores, 0, 1, 3, 2))
        scores = graph.matmul(image_keys, graph.transpose(keys, 0, 2, 1))
        scores = graph.add(scores, graph.reshape(bias, 0, 1, -1))
        weights = graph.softmax(graph.reshape(scores, 0, 0, DECODER_HEADS, -1))
        last = graph.array(f"{name}.out.weight")
        share = graph.array(f"{name}.out.bias") / DECODER_HEADS  # the weights of each head add up to one
        values = graph.affine(v, last.T.reshape(DECODER_HEADS, -1, len(last)), share, f"{name}.out")
        return graph.matmul(graph.reshape(weights, 0, 0, -1), self._stack_heads(values))

    def _weight_per_head(self, name: str) -> NDArray[np.float64]:
        """Return the weight of a projection as (heads, c, C)."""
        weight = self.graph.array(f"{name}.weight")
        return weight.reshape(DECODER_HEADS, -1, weight.shape[1])

    def _split_heads(self, x: str) -> str:
        """Convert (N, T, heads · c) to (N, heads, T, c)."""
        return self.graph.transpose(self.graph.reshape(x, 0, 0, DECODER_HEADS, -1), 0, 2, 1, 3)

    def _merge_heads(self, x: str) -> str:
        """Convert (N, heads, T, c) to (N, T, heads · c)."""
        return self.graph.reshape(self.graph.transpose(x, 0, 2, 1, 3), 0, 0, -1)

    def _stack_heads(self, x: str) -> str:
        """Convert (N, heads, T, C) to (N, heads · T, C)."""
        return self.graph.reshape(x, 0, -1, self.channels)

    def _unstack_heads(self, x: str) -> str:
        """Convert (N, heads · T, C) to (N, heads, T, C)."""
        return self.graph.reshape(x, 0, DECODER_HEADS, -1, self.channels)


def _compute_mask_weights(graph: GraphBuilder, tokens: str) -> str:
    """Apply each mask token's own MLP, all four at once: weights (N, 4, C/8) of the pixels' channels."""
    x, depth = graph.transpose(tokens, 1, 0, 2), len(graph.list_layers("mask_decoder.mask_heads.0"))
    for index in range(depth):
        weight, bias = (
            np.stack(
                [graph.array(f"mask_decoder.mask_heads.{head}.layers.{index}.{part}") for head in range(NUM_MASKS)]
            )
            for part in ("weight", "bias")
        )
        x = graph.affine(x, weight.transpose(0, 2, 1), bias[:, None], f"mask_decoder.mask_heads.layers.{index}")
        x = graph.op("Relu", x) if index < depth - 1 else x
    return graph.transpose(x, 1, 0, 2)


def _compute_logits(graph: GraphBuilder, image: str, features: tuple[str, str] | None, weights: str, side: int) -> str:
    """Upsample pixels (N, side², C) twice, adding features, and multiply by `weights`: (N, 4, 4 · side, 4 · side).

    Rows that are 4 apart are computed together, so that no large tensor has to be transposed.
    """
    width = len(graph.array("mask_decoder.upscale_norm.weight"))
    halves = [graph.reshape(half, 0, -1, width) for half in _upsample_rows(graph, image, "upscale1")]
    rows = []
    for x in halves if features is None else _add_rows(graph, halves, features[0], side, width):
        normed = graph.gelu(graph.layer_norm(x, "mask_decoder.upscale_norm"))
        rows += [graph.reshape(quarter, 0, -1, width // 2) for quarter in _upsample_rows(graph, normed, "upscale2")]
    parts = []
    for x in rows if features is None else _add_rows(graph, rows, features[1], side, width // 2):
        logits = graph.matmul(weights, graph.transpose(graph.gelu(x), 0, 2, 1))
        parts.append(graph.reshape(logits, 0, NUM_MASKS, side, 1, 4 * side))
    return graph.reshape(graph.concat(parts, axis=3), 0, NUM_MASKS, 4 * side, 4 * side)


def _upsample_rows(graph: GraphBuilder, x: str, name: str) -> list[str]:
    """Apply a transposed convolution of kernel and stride 2 to pixels. Return even rows, then odd rows."""
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


def _add_rows(graph: GraphBuilder, rows: list[str], features: str, side: int, channels: int) -> list[str]:
    """Add features (B, C, scale · side, scale · side) to `scale` parts of the pixels.

    The first part has rows 0, scale, 2 · scale, …
    """
    scale = len(rows)
    lines = graph.reshape(graph.transpose(features, 0, 2, 3, 1), 0, side, scale, scale * side * channels)
    parts = (graph.reshape(part, 0, -1, channels) for part in graph.split(lines, scale, axis=2))
    return [graph.add(row, part) for row, part in zip(rows, parts, strict=True)]
