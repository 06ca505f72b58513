"""One table of names: ours, those of the released checkpoints, and those of the transformers library.

Torch-free: values are any arrays. `#` in the table stands for a number, a trailing `*` for `weight` or `bias`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from masklet.config import CONFIGS, ModelConfig
from masklet.errors import CheckpointError

Layout = Literal["masklet", "released", "transformers"]
Array = TypeVar("Array")
Shape = Sequence[int]
_COLUMNS: tuple[Layout, ...] = ("masklet", "released", "transformers")


def _head(ours: str, released: str, transformers: str) -> Iterator[tuple[str, str, str]]:
    """The rows of a three-layer MLP, whose layers transformers calls proj_in, layers.0 and proj_out."""
    for index, name in enumerate(("proj_in", "layers.0", "proj_out")):
        yield f"{ours}.layers.{index}.*", f"{released}.layers.{index}.*", f"{transformers}.{name}.*"


def _attention(ours: str, released: str, transformers: str) -> Iterator[tuple[str, str, str]]:
    for name in ("q", "k", "v"):
        yield f"{ours}.{name}.*", f"{released}.{name}_proj.*", f"{transformers}.{name}_proj.*"
    yield f"{ours}.out.*", f"{released}.out_proj.*", f"{transformers}.o_proj.*"


def _trunk() -> Iterator[tuple[str, str, str]]:
    released, theirs = "image_encoder.trunk", "vision_encoder.backbone"
    yield "trunk.positions", f"{released}.pos_embed", f"{theirs}.pos_embed"
    yield "trunk.window_positions", f"{released}.pos_embed_window", f"{theirs}.pos_embed_window"
    yield "trunk.patches.*", f"{released}.patch_embed.proj.*", f"{theirs}.patch_embed.projection.*"
    for ours, name, their_name in (
        ("norm1", "norm1", "layer_norm1"),
        ("norm2", "norm2", "layer_norm2"),
        ("attention.qkv", "attn.qkv", "attn.qkv"),
        ("attention.proj", "attn.proj", "attn.proj"),
        ("shortcut", "proj", "proj"),
        ("mlp.up", "mlp.layers.0", "mlp.proj_in"),
        ("mlp.down", "mlp.layers.1", "mlp.proj_out"),
    ):
        yield f"trunk.blocks.#.{ours}.*", f"{released}.blocks.#.{name}.*", f"{theirs}.blocks.#.{their_name}.*"
    for index in range(4):  # released deepest first, ours finest first
        yield (
            f"neck.laterals.{3 - index}.*",
            f"image_encoder.neck.convs.{index}.conv.*",
            f"vision_encoder.neck.convs.{index}.*",
        )


def _prompts() -> Iterator[tuple[str, str, str]]:
    yield (
        "prompt_encoder.fourier.gaussian",
        "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "prompt_encoder.shared_embedding.positional_embedding",
    )
    yield (
        "prompt_encoder.labels.#",
        "sam_prompt_encoder.point_embeddings.#.weight",
        "prompt_encoder.point_embed.weight.#",
    )
    for ours, name in (("not_a_point", "not_a_point_embed"), ("no_mask", "no_mask_embed")):
        yield f"prompt_encoder.{ours}", f"sam_prompt_encoder.{name}.weight", f"prompt_encoder.{name}.weight"
    for ours, index, theirs in (
        ("mask1", 0, "conv1"),
        ("mask_norm1", 1, "layer_norm1"),
        ("mask2", 3, "conv2"),
        ("mask_norm2", 4, "layer_norm2"),
        ("mask3", 6, "conv3"),
    ):
        yield (
            f"prompt_encoder.{ours}.*",
            f"sam_prompt_encoder.mask_downscaling.{index}.*",
            f"prompt_encoder.mask_embed.{theirs}.*",
        )


def _decoder() -> Iterator[tuple[str, str, str]]:
    released, theirs = "sam_mask_decoder", "mask_decoder"
    layer, their_layer = f"{released}.transformer.layers.#", f"{theirs}.transformer.layers.#"
    for ours, name in (
        ("self_attention", "self_attn"),
        ("to_image", "cross_attn_token_to_image"),
        ("to_tokens", "cross_attn_image_to_token"),
    ):
        yield from _attention(f"mask_decoder.transformer.layers.#.{ours}", f"{layer}.{name}", f"{their_layer}.{name}")
    for index in (1, 2, 3, 4):
        yield (
            f"mask_decoder.transformer.layers.#.norm{index}.*",
            f"{layer}.norm{index}.*",
            f"{their_layer}.layer_norm{index}.*",
        )
    for index, name in enumerate(("proj_in", "proj_out")):
        yield (
            f"mask_decoder.transformer.layers.#.mlp.layers.{index}.*",
            f"{layer}.mlp.layers.{index}.*",
            f"{their_layer}.mlp.{name}.*",
        )
    final = "transformer.final_attn_token_to_image"
    yield from _attention("mask_decoder.transformer.to_image", f"{released}.{final}", f"{theirs}.{final}")
    yield (
        "mask_decoder.transformer.norm.*",
        f"{released}.transformer.norm_final_attn.*",
        f"{theirs}.transformer.layer_norm_final_attn.*",
    )
    for ours, name in (("iou_token", "iou_token"), ("mask_tokens", "mask_tokens"), ("object_token", "obj_score_token")):
        yield f"mask_decoder.{ours}", f"{released}.{name}.weight", f"{theirs}.{name}.weight"
    for ours, name, their_name in (
        ("mask_decoder.upscale1", "output_upscaling.0", "upscale_conv1"),
        ("mask_decoder.upscale_norm", "output_upscaling.1", "upscale_layer_norm"),
        ("mask_decoder.upscale2", "output_upscaling.3", "upscale_conv2"),
        ("neck.stride4", "conv_s0", "conv_s0"),
        ("neck.stride8", "conv_s1", "conv_s1"),
    ):
        yield f"{ours}.*", f"{released}.{name}.*", f"{theirs}.{their_name}.*"
    for ours, name in (
        ("mask_heads.#", "output_hypernetworks_mlps.#"),
        ("iou_head", "iou_prediction_head"),
        ("object_head", "pred_obj_score_head"),
    ):
        yield from _head(f"mask_decoder.{ours}", f"{released}.{name}", f"{theirs}.{name}")


def _memory() -> Iterator[tuple[str, str, str]]:
    layer = "memory_attention.layers.#"
    for ours, name in (("self_attention", "self_attn"), ("to_memory", "cross_attn_image")):
        yield from _attention(f"{layer}.{ours}", f"{layer}.{name}", f"{layer}.{name}")
    for ours, name in (("up", "linear1"), ("down", "linear2")):
        yield f"{layer}.{ours}.*", f"{layer}.{name}.*", f"{layer}.{name}.*"
    for index in (1, 2, 3):
        yield f"{layer}.norm{index}.*", f"{layer}.norm{index}.*", f"{layer}.layer_norm{index}.*"
    yield "memory_attention.norm.*", "memory_attention.norm.*", "memory_attention.layer_norm.*"
    down = "memory_encoder.mask_downsampler"
    for index in range(4):
        yield f"memory_encoder.mask.convs.{index}.*", f"{down}.encoder.{3 * index}.*", f"{down}.layers.{index}.conv.*"
        yield (
            f"memory_encoder.mask.norms.{index}.*",
            f"{down}.encoder.{3 * index + 1}.*",
            f"{down}.layers.{index}.layer_norm.*",
        )
    yield "memory_encoder.mask.out.*", f"{down}.encoder.12.*", f"{down}.final_conv.*"
    for ours, name, theirs in (("image", "pix_feat_proj", "feature_projection"), ("out", "out_proj", "projection")):
        yield f"memory_encoder.{ours}.*", f"memory_encoder.{name}.*", f"memory_encoder.{theirs}.*"
    for ours, name, theirs in (
        ("depthwise.*", "dwconv.*", "depthwise_conv.*"),
        ("norm.*", "norm.*", "layer_norm.*"),
        ("up.*", "pwconv1.*", "pointwise_conv1.*"),
        ("down.*", "pwconv2.*", "pointwise_conv2.*"),
        ("gain", "gamma", "scale"),
    ):
        yield (
            f"memory_encoder.fuser.#.{ours}",
            f"memory_encoder.fuser.layers.#.{name}",
            f"memory_encoder.memory_fuser.layers.#.{theirs}",
        )
    yield from _head("pointer_head", "obj_ptr_proj", "object_pointer_proj")
    yield "mask_downsample.*", "mask_downsample.*", "mask_downsample.*"
    yield "slots", "maskmem_tpos_enc", "memory_temporal_positional_encoding"
    yield "no_memory", "no_mem_embed", "no_memory_embedding"
    yield "no_memory_position", "no_mem_pos_enc", "no_memory_positional_encoding"
    yield "no_pointer", "no_obj_ptr", "no_object_pointer"
    yield "hidden", "no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"
    yield "pointer_times.*", "obj_ptr_tpos_proj.*", "temporal_positional_encoding_projection_layer.*"


TABLE: tuple[tuple[str, str, str], ...] = (*_trunk(), *_prompts(), *_decoder(), *_memory())
"""Every entry of a state dict: our name, the released name, the transformers name."""

_POINTS = "prompt_encoder.point_embed.weight"  # transformers stacks the four point embeddings into one
_SHARED = "shared_image_embedding.positional_embedding"  # and keeps the random waves twice
_RELEASED_MARK, _THEIR_MARK, _OUR_MARK = "image_encoder.", "vision_encoder.", "trunk."


def detect_layout(names: Mapping[str, object] | Sequence[str]) -> Layout:
    """Whose names these are; raises `CheckpointError` for nobody's."""
    for mark, found in ((_RELEASED_MARK, "released"), (_THEIR_MARK, "transformers"), (_OUR_MARK, "masklet")):
        if any(name.startswith(mark) for name in names):
            return found  # type: ignore[return-value]
    first = next(iter(names), "none")
    raise CheckpointError(
        "checkpoint-mismatch", f"not a SAM 2 checkpoint: {len(names)} entries, the first is {first!r}", first=first
    )


def rename_key(name: str, source: Layout, target: Layout) -> str | None:
    """The `target` name of a `source` name, or None if the table does not know it."""
    for pattern, template in _rules(source, target):
        if match := pattern.fullmatch(name):
            return template.format(*match.groups())
    return None


def to_masklet(tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Any known layout → our names. Unknown names stay as they are, for `check` to report."""
    source = detect_layout(tensors)
    if source == "masklet":
        return dict(tensors)
    if source == "transformers":
        tensors = _unstacked(tensors)
    return {rename_key(name, source, "masklet") or name: value for name, value in tensors.items()}


def to_released(tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Any known layout → the names of the released checkpoints."""
    return {rename_key(name, "masklet", "released") or name: value for name, value in to_masklet(tensors).items()}


def to_transformers(tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Any known layout → the names that the transformers library gives its `Sam2VideoModel`."""
    named = {rename_key(name, "masklet", "transformers") or name: value for name, value in to_masklet(tensors).items()}
    points = [named.pop(f"{_POINTS}.{label}") for label in range(4) if f"{_POINTS}.{label}" in named]
    waves = named.get("prompt_encoder.shared_embedding.positional_embedding")
    if points:
        named[_POINTS] = np.concatenate(points)
    if waves is not None:
        named[_SHARED] = waves
    return named


def identify_config(shapes: Mapping[str, Shape]) -> ModelConfig:
    """The configuration that has entries of these shapes, in any known layout (reference-model §9).

    Raises `CheckpointError` where no configuration fits.
    """
    source = detect_layout(shapes)
    ours = {
        (name if source == "masklet" else rename_key(name, source, "masklet")) or name: shape
        for name, shape in shapes.items()
    }
    width, side = (ours.get(name, (0, 0, 0, 0)) for name in ("trunk.patches.weight", "trunk.positions"))
    depth = len({name.split(".")[2] for name in ours if name.startswith("trunk.blocks.")})
    for config in CONFIGS.values():
        shape = (config.width, config.background, config.depth, config.occlusion)
        if shape == (width[0], side[-1], depth, "hidden" in ours):
            return config
    raise CheckpointError(
        "checkpoint-mismatch",
        f"no SAM 2 has a trunk of {depth} blocks with {width[0]} channels; known are {', '.join(CONFIGS)}",
        depth=depth,
        width=width[0],
    )


def compute_identity(tensors: Mapping[str, NDArray[np.generic]]) -> str:
    """A short name for exactly these weights, the same on every machine and in every layout.

    Hashes names, shapes and 64 values of each tensor: any training step changes it.
    """
    digest = hashlib.sha256()
    for name, value in sorted(to_masklet(tensors).items()):
        flat = value.reshape(-1)
        sample = flat[:: max(1, flat.size // 64)][:64].astype("<f4")
        digest.update(f"{name}{value.shape}".encode() + sample.tobytes())
    return digest.hexdigest()[:32]


def check_entries(found: Mapping[str, Shape], expected: Mapping[str, Shape], config: ModelConfig) -> None:
    """Raise `CheckpointError` unless both have the same names (ours) and shapes; the message names the first few."""
    problems = {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "of another shape": [n for n in expected if n in found and tuple(found[n]) != tuple(expected[n])],
    }
    told = [_told(kind, names) for kind, names in problems.items() if names]
    if told:
        raise CheckpointError(
            "checkpoint-mismatch",
            f"{'; '.join(told)}; the file looks most like {config.name}",
            problems={kind: names[:10] for kind, names in problems.items()},
        )


def _told(kind: str, names: list[str]) -> str:
    listed = ", ".join(rename_key(name, "masklet", "released") or name for name in names[:10])
    return f"{len(names)} {'key' if len(names) == 1 else 'keys'} {kind} ({listed}{', …' if len(names) > 10 else ''})"


def _unstacked(tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    named = {name: value for name, value in tensors.items() if name not in (_SHARED, _POINTS)}
    points = tensors.get(_POINTS)
    if points is not None:
        named.update({f"{_POINTS}.{label}": points[label : label + 1] for label in range(len(points))})
    return named


def _rules(source: Layout, target: Layout) -> list[tuple[re.Pattern[str], str]]:
    key = (source, target)
    if key not in _RULES:
        a, b = _COLUMNS.index(source), _COLUMNS.index(target)
        _RULES[key] = [(_pattern(row[a]), row[b].replace("#", "{}").replace("*", "{}")) for row in TABLE]
    return _RULES[key]


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\#", r"(\d+)").replace(r"\*", "(weight|bias)"))


_RULES: dict[tuple[Layout, Layout], list[tuple[re.Pattern[str], str]]] = {}
