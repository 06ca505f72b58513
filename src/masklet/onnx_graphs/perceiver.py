"""EdgeTAM's perceiver in the graph `memorize`: maps → latents (see `masklet.model.perceiver`).

Latents are (N, windows, latents, c): the global ones have one window, the whole map; the patch latents have one latent
in each window. Before the first attention they are the same for all N objects, and N is 1.
"""

from __future__ import annotations

from masklet.config import ATTENTION_NORM_EPS, PERCEIVER_LAYERS, ModelConfig
from masklet.onnx_graphs.builder import GraphBuilder
from masklet.position_tables import compute_sine_table


def compute_latents(graph: GraphBuilder, config: ModelConfig, maps: str, side: int) -> str:
    """Compute the latents (N, c, rows, columns) of maps (N, c, side, side)."""
    width, grid, window = config.memory_channels, config.latent_grid, side // config.latent_grid
    learned, learned_patches = (graph.array(f"perceiver.{name}") for name in ("latents", "patch_latents"))
    whole = graph.unsqueeze(graph.to_tokens(maps, width, side), 1)
    positions = graph.constant(compute_sine_table(side, side, width))
    latents = _update(graph, graph.constant(learned[None, None], "perceiver.latents"), whole, positions)
    windows = graph.rearrange(
        maps, [-1, width, grid, window, grid, window], [0, 2, 4, 3, 5, 1], [-1, grid**2, window**2, width]
    )
    patch_latents = _update(graph, graph.constant(learned_patches[None, :, None], "perceiver.patch_latents"), windows)
    both = graph.concat([graph.reshape(x, 0, -1, width) for x in (latents, patch_latents)], axis=1)
    return graph.reshape(graph.transpose(both, 0, 2, 1), 0, width, -1, grid)


def _update(graph: GraphBuilder, latents: str, context: str, positions: str = "") -> str:
    """Pass latents through all layers. `context` are the tokens (N, windows, tokens, c) that they attend to."""
    for index in range(PERCEIVER_LAYERS):
        name = f"perceiver.layers.{index}"
        queries, keys = (
            graph.layer_norm(x, f"{name}.{norm}", ATTENTION_NORM_EPS)
            for x, norm in ((latents, "norm1"), (context, "norm_context"))
        )
        latents = graph.add(latents, _attend(graph, f"{name}.to_context", queries, keys, positions))
        latents = graph.add(latents, _apply_mlp(graph, f"{name}.mlp1", latents))
        normed = graph.layer_norm(latents, f"{name}.norm2", ATTENTION_NORM_EPS)
        latents = graph.add(latents, _attend(graph, f"{name}.self_attention", normed, normed))
        latents = graph.add(latents, _apply_mlp(graph, f"{name}.mlp2", latents))
    return graph.layer_norm(latents, "perceiver.norm", ATTENTION_NORM_EPS)


def _attend(graph: GraphBuilder, name: str, queries: str, context: str, positions: str = "") -> str:
    """Attend with one head. Positions are added to the projected keys and values."""
    to_q, to_kv = graph.array(f"{name}.q.weight"), graph.array(f"{name}.kv.weight")
    width = len(to_q)
    q = graph.project(queries, to_q.T * width**-0.5, f"{name}.q")
    k, v = graph.project(context, to_kv[:width].T, f"{name}.k"), graph.project(context, to_kv[width:].T, f"{name}.v")
    if positions:
        k, v = graph.add(k, positions), graph.add(v, positions)
    return _project(graph, graph.attention(q, graph.transpose(k, 0, 1, 3, 2), v), f"{name}.out")


def _apply_mlp(graph: GraphBuilder, name: str, x: str) -> str:
    normed = graph.layer_norm(x, f"{name}.norm", ATTENTION_NORM_EPS)
    return _project(graph, graph.gelu(_project(graph, normed, f"{name}.up")), f"{name}.down")


def _project(graph: GraphBuilder, x: str, name: str) -> str:
    """Apply a linear layer without a bias."""
    return graph.project(x, graph.array(f"{name}.weight").T, name)
