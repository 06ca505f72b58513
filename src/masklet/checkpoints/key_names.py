"""Key renaming: names of state dict entries in masklet, in the released checkpoints and in the transformers library.

In the table, `#` stands for a number and a trailing `*` for `weight` or `bias`. Values may be any arrays; no part of
PyTorch is imported.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from masklet.checkpoints.batch_norms import fold_batch_norms, fold_name, restore_batch_norms
from masklet.checkpoints.relative_names import list_relatives
from masklet.config import (
    CONFIGS,
    HIERA,
    LITE_SCALES,
    MASK_STRIDE,
    REPVIT_SCALES,
    STRIDE,
    VIT_SCALES,
    ModelConfig,
)
from masklet.errors import CheckpointError

Layout = Literal["masklet", "released", "transformers"]
Shape = Sequence[int]
_COLUMNS: tuple[Layout, ...] = ("masklet", "released", "transformers")


def _list_mlp(masklet: str, released: str, transformers: str) -> Iterator[tuple[str, str, str]]:
    """List the rows of a three-layer MLP. transformers names its layers proj_in, layers.0 and proj_out."""
    for index, name in enumerate(("proj_in", "layers.0", "proj_out")):
        yield f"{masklet}.layers.{index}.*", f"{released}.layers.{index}.*", f"{transformers}.{name}.*"


def _list_attention(masklet: str, released: str, transformers: str) -> Iterator[tuple[str, str, str]]:
    for name in ("q", "k", "v"):
        yield f"{masklet}.{name}.*", f"{released}.{name}_proj.*", f"{transformers}.{name}_proj.*"
    yield f"{masklet}.out.*", f"{released}.out_proj.*", f"{transformers}.o_proj.*"


def _list_trunk() -> Iterator[tuple[str, str, str]]:
    released, hf = "image_encoder.trunk", "vision_encoder.backbone"
    yield "trunk.positions", f"{released}.pos_embed", f"{hf}.pos_embed"
    yield "trunk.window_positions", f"{released}.pos_embed_window", f"{hf}.pos_embed_window"
    yield "trunk.patches.*", f"{released}.patch_embed.proj.*", f"{hf}.patch_embed.projection.*"
    for masklet, name, hf_name in (
        ("norm1", "norm1", "layer_norm1"),
        ("norm2", "norm2", "layer_norm2"),
        ("attention.qkv", "attn.qkv", "attn.qkv"),
        ("attention.proj", "attn.proj", "attn.proj"),
        ("shortcut", "proj", "proj"),
        ("mlp.up", "mlp.layers.0", "mlp.proj_in"),
        ("mlp.down", "mlp.layers.1", "mlp.proj_out"),
    ):
        yield f"trunk.blocks.#.{masklet}.*", f"{released}.blocks.#.{name}.*", f"{hf}.blocks.#.{hf_name}.*"
    for name in ("stem", "blocks.#.expand", "blocks.#.depthwise", "blocks.#.project"):  # of EfficientNet-Lite
        yield f"trunk.{name}.*", f"{released}.{name}.*", f"{hf}.{name}.*"
    for index in range(4):  # the released order is coarsest first, masklet's finest first
        yield (
            f"neck.laterals.{3 - index}.*",
            f"image_encoder.neck.convs.{index}.conv.*",
            f"vision_encoder.neck.convs.{index}.*",
        )


def _list_prompt_encoder() -> Iterator[tuple[str, str, str]]:
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
    for masklet, name in (("not_a_point", "not_a_point_embed"), ("no_mask", "no_mask_embed")):
        yield f"prompt_encoder.{masklet}", f"sam_prompt_encoder.{name}.weight", f"prompt_encoder.{name}.weight"
    for masklet, index, hf in (
        ("mask1", 0, "conv1"),
        ("mask_norm1", 1, "layer_norm1"),
        ("mask2", 3, "conv2"),
        ("mask_norm2", 4, "layer_norm2"),
        ("mask3", 6, "conv3"),
    ):
        yield (
            f"prompt_encoder.{masklet}.*",
            f"sam_prompt_encoder.mask_downscaling.{index}.*",
            f"prompt_encoder.mask_embed.{hf}.*",
        )


def _list_mask_decoder() -> Iterator[tuple[str, str, str]]:
    released, hf = "sam_mask_decoder", "mask_decoder"
    layer, hf_layer = f"{released}.transformer.layers.#", f"{hf}.transformer.layers.#"
    for masklet, name in (
        ("self_attention", "self_attn"),
        ("to_image", "cross_attn_token_to_image"),
        ("to_tokens", "cross_attn_image_to_token"),
    ):
        yield from _list_attention(
            f"mask_decoder.transformer.layers.#.{masklet}", f"{layer}.{name}", f"{hf_layer}.{name}"
        )
    for index in (1, 2, 3, 4):
        yield (
            f"mask_decoder.transformer.layers.#.norm{index}.*",
            f"{layer}.norm{index}.*",
            f"{hf_layer}.layer_norm{index}.*",
        )
    for index, name in enumerate(("proj_in", "proj_out")):
        yield (
            f"mask_decoder.transformer.layers.#.mlp.layers.{index}.*",
            f"{layer}.mlp.layers.{index}.*",
            f"{hf_layer}.mlp.{name}.*",
        )
    final = "transformer.final_attn_token_to_image"
    yield from _list_attention("mask_decoder.transformer.to_image", f"{released}.{final}", f"{hf}.{final}")
    yield (
        "mask_decoder.transformer.norm.*",
        f"{released}.transformer.norm_final_attn.*",
        f"{hf}.transformer.layer_norm_final_attn.*",
    )
    for masklet, name in (
        ("iou_token", "iou_token"),
        ("mask_tokens", "mask_tokens"),
        ("object_token", "obj_score_token"),
    ):
        yield f"mask_decoder.{masklet}", f"{released}.{name}.weight", f"{hf}.{name}.weight"
    for masklet, name, hf_name in (
        ("mask_decoder.upscale1", "output_upscaling.0", "upscale_conv1"),
        ("mask_decoder.upscale_norm", "output_upscaling.1", "upscale_layer_norm"),
        ("mask_decoder.upscale2", "output_upscaling.3", "upscale_conv2"),
        ("neck.stride4", "conv_s0", "conv_s0"),
        ("neck.stride8", "conv_s1", "conv_s1"),
    ):
        yield f"{masklet}.*", f"{released}.{name}.*", f"{hf}.{hf_name}.*"
    for masklet, name in (
        ("mask_heads.#", "output_hypernetworks_mlps.#"),
        ("iou_head", "iou_prediction_head"),
        ("object_head", "pred_obj_score_head"),
    ):
        yield from _list_mlp(f"mask_decoder.{masklet}", f"{released}.{name}", f"{hf}.{name}")


def _list_memory() -> Iterator[tuple[str, str, str]]:
    layer = "memory_attention.layers.#"
    for masklet, name in (("self_attention", "self_attn"), ("to_memory", "cross_attn_image")):
        yield from _list_attention(f"{layer}.{masklet}", f"{layer}.{name}", f"{layer}.{name}")
    for masklet, name in (("up", "linear1"), ("down", "linear2")):
        yield f"{layer}.{masklet}.*", f"{layer}.{name}.*", f"{layer}.{name}.*"
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
    for masklet, name, hf in (("image", "pix_feat_proj", "feature_projection"), ("out", "out_proj", "projection")):
        yield f"memory_encoder.{masklet}.*", f"memory_encoder.{name}.*", f"memory_encoder.{hf}.*"
    for masklet, name, hf in (
        ("depthwise.*", "dwconv.*", "depthwise_conv.*"),
        ("norm.*", "norm.*", "layer_norm.*"),
        ("up.*", "pwconv1.*", "pointwise_conv1.*"),
        ("down.*", "pwconv2.*", "pointwise_conv2.*"),
        ("gain", "gamma", "scale"),
    ):
        yield (
            f"memory_encoder.fuser.#.{masklet}",
            f"memory_encoder.fuser.layers.#.{name}",
            f"memory_encoder.memory_fuser.layers.#.{hf}",
        )
    yield from _list_mlp("pointer_head", "obj_ptr_proj", "object_pointer_proj")
    yield "mask_downsample.*", "mask_downsample.*", "mask_downsample.*"
    yield "slots", "maskmem_tpos_enc", "memory_temporal_positional_encoding"
    yield "no_memory", "no_mem_embed", "no_memory_embedding"
    yield "no_memory_position", "no_mem_pos_enc", "no_memory_positional_encoding"
    yield "no_pointer", "no_obj_ptr", "no_object_pointer"
    yield "hidden", "no_obj_embed_spatial", "occlusion_spatial_embedding_parameter"
    yield "pointer_times.*", "obj_ptr_tpos_proj.*", "temporal_positional_encoding_projection_layer.*"


TABLE: tuple[tuple[str, str, str], ...] = (
    *_list_trunk(),
    *_list_prompt_encoder(),
    *_list_mask_decoder(),
    *_list_memory(),
    *list_relatives(),
)
"""Every entry of a state dict: its name in masklet, in the released checkpoints, and in transformers.

Names of convolutions are those after `fold_batch_norms`.
"""

_POINT_EMBEDDINGS = "prompt_encoder.point_embed.weight"  # transformers stacks the four into one tensor
_FOURIER_FEATURES = "prompt_encoder.shared_embedding.positional_embedding"
_FOURIER_FEATURES_COPY = "shared_image_embedding.positional_embedding"  # transformers has them twice
_LAYOUT_PREFIXES: dict[str, Layout] = {
    "image_encoder.": "released",
    "vision_encoder.": "transformers",
    "trunk.": "masklet",
}


def detect_layout(names: Iterable[str]) -> Layout:
    """Detect the layout of a state dict from the names of its entries.

    Raises:
        CheckpointError: `checkpoint-mismatch`. The names are those of no known layout.
    """
    names = list(names)
    for prefix, layout in _LAYOUT_PREFIXES.items():
        if any(name.startswith(prefix) for name in names):
            return layout
    first = names[0] if names else "none"
    message = f"not a SAM 2 checkpoint: {len(names)} entries, the first is {first!r}"
    raise CheckpointError("checkpoint-mismatch", message, first=first)


def rename_key(name: str, source: Layout, target: Layout) -> str | None:
    """Translate the name of an entry from one layout to another. Returns None for a name that the table lacks."""
    for pattern, template in _compile_rules(source, target):
        if match := pattern.fullmatch(name):
            return template.format(*match.groups())
    return None


def to_masklet(tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Rename the entries of a state dict to masklet's names. Unknown names are kept, for `check_entries` to report.

    Batch norms are folded into the convolutions before them, which become float64.

    Raises:
        CheckpointError: `checkpoint-mismatch`. The names are those of no known layout, a tensor holds integers, or a
            variance is negative.
    """
    source = detect_layout(tensors)
    check_dtypes(tensors)
    if source == "masklet":
        return dict(tensors)
    if source == "transformers":
        tensors = _split_point_embeddings(tensors)
        tensors = _join_keys_and_values(tensors)
    return {rename_key(name, source, "masklet") or name: value for name, value in fold_batch_norms(tensors).items()}


def check_dtypes(tensors: Mapping[str, NDArray[np.generic]]) -> None:
    """Check that the weights are floating-point numbers. Unknown names are left to `check_entries`.

    Raises:
        CheckpointError: `checkpoint-mismatch`. A tensor of the model holds integers or booleans.
    """
    source = detect_layout(tensors)
    tensors = _split_point_embeddings(tensors) if source == "transformers" else tensors
    wrong = [name for name, value in tensors.items() if value.dtype.kind != "f" and _is_known(name, source)]
    if wrong:
        first = wrong[0]
        listed = f"{first} is {tensors[first].dtype}" + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "")
        message = f"the weights must be floating-point numbers, but {listed}; use the checkpoint before quantization"
        raise CheckpointError("checkpoint-mismatch", message, wrong=wrong[:10])


def _is_known(name: str, layout: Layout) -> bool:
    return rename_key(fold_name(name), layout, "released" if layout == "masklet" else "masklet") is not None


def to_released(tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Rename the entries of a state dict to the names of the released checkpoints. Raises like `to_masklet`.

    Folded convolutions are written with batch norms that change nothing.
    """
    renamed = {rename_key(name, "masklet", "released") or name: tensor for name, tensor in to_masklet(tensors).items()}
    return restore_batch_norms(renamed)


def to_transformers(tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Rename the entries of a state dict to the names of transformers' `Sam2VideoModel`, or `EdgeTamVideoModel`.

    Folded convolutions are written with batch norms that change nothing. Raises like `to_masklet`.
    """
    by_masklet_name = to_masklet(tensors)
    renamed = {rename_key(name, "masklet", "transformers") or name: tensor for name, tensor in by_masklet_name.items()}
    names = [f"{_POINT_EMBEDDINGS}.{label}" for label in range(4)]
    points = [renamed.pop(name) for name in names if name in renamed]
    fourier_features = renamed.get(_FOURIER_FEATURES)
    if points:
        renamed[_POINT_EMBEDDINGS] = np.concatenate(points)
    if fourier_features is not None:
        renamed[_FOURIER_FEATURES_COPY] = fourier_features
    return restore_batch_norms(_split_keys_and_values(renamed))


def identify_config(shapes: Mapping[str, Shape]) -> ModelConfig:
    """Identify the configuration of a state dict: the first one of `list_configs`, which has the details."""
    return list_configs(shapes)[0]


def list_configs(shapes: Mapping[str, Shape]) -> list[ModelConfig]:
    """List the configurations that a state dict fits, by the shapes of its entries (reference-model §9).

    The variants of EfficientTAM have equal entries; the plain one is the first.

    Args:
        shapes: The shape of each entry by name, in any known layout.

    Raises:
        CheckpointError: `checkpoint-mismatch`. The names or the shapes fit no configuration.
    """
    source = detect_layout(shapes)
    renamed = {rename_key(fold_name(name), source, "masklet") or name: shape for name, shape in shapes.items()}
    depth = len({name.split(".")[2] for name in renamed if name.startswith("trunk.blocks.")})
    if "trunk.stem.weight" in renamed:
        return [_identify_lite_config(renamed, depth)]
    if "trunk.stem1.weight" in renamed:
        return [_identify_repvit_config(renamed)]
    if len(renamed.get("trunk.positions", ())) == 3:
        return _list_vit_configs(renamed, depth)
    return [_identify_hiera_config(renamed, depth)]


def _identify_hiera_config(renamed: Mapping[str, Shape], depth: int) -> ModelConfig:
    """Identify the configuration of a state dict whose trunk is Hiera."""
    width, side = (renamed.get(name, (0, 0, 0, 0)) for name in ("trunk.patches.weight", "trunk.positions"))
    for config in CONFIGS.values():
        expected = (config.width, config.background, config.depth, config.occlusion)
        if config.trunk == HIERA and expected == (width[0], side[-1], depth, "hidden" in renamed):
            return config
    known = ", ".join(name for name, config in CONFIGS.items() if config.trunk == HIERA)
    raise CheckpointError(
        "checkpoint-mismatch",
        f"no SAM 2 model has a trunk of {depth} blocks with {width[0]} channels; the known models are {known}",
        depth=depth,
        width=width[0],
    )


def _identify_lite_config(shapes: Mapping[str, Shape], depth: int) -> ModelConfig:
    """Identify the configuration of a state dict whose trunk is EfficientNet-Lite."""
    last = shapes.get(f"trunk.blocks.{depth - 1}.project.weight", (0,))[0]
    channels = shapes.get("no_pointer", (0, 0))[-1]
    configs = [config for config in CONFIGS.values() if config.trunk in LITE_SCALES]
    for config in configs:
        expected = (config.depth, config.mbconv_blocks[-1].out, config.channels, config.occlusion)
        if expected == (depth, last, channels, "hidden" in shapes):
            return config
    raise CheckpointError(
        "checkpoint-mismatch",
        f"no model has an EfficientNet-Lite of {depth} blocks that ends with {last} channels, and features with "
        f"{channels}; the known models are {', '.join(config.name for config in configs)}",
        depth=depth,
        width=last,
    )


def _identify_repvit_config(shapes: Mapping[str, Shape]) -> ModelConfig:
    """Identify the configuration of a state dict whose trunk is RepViT."""
    width = shapes.get("trunk.stem2.weight", (0,))[0]
    depth = len({name for name in shapes if re.fullmatch(r"trunk\.stages\.\d\.blocks\.\d+\.mixer\.weight", name)})
    latents = shapes.get("perceiver.latents", (0,))[0]
    configs = [config for config in CONFIGS.values() if config.trunk in REPVIT_SCALES]
    for config in configs:
        if (config.levels[MASK_STRIDE], config.depth, config.global_latents) == (width, depth, latents):
            return config
    raise CheckpointError(
        "checkpoint-mismatch",
        f"no model has a RepViT of {depth} blocks that starts with {width} channels, and memories with {latents} "
        f"global latents; the known models are {', '.join(config.name for config in configs)}",
        depth=depth,
        width=width,
    )


def _list_vit_configs(shapes: Mapping[str, Shape], depth: int) -> list[ModelConfig]:
    """List the configurations of a state dict whose trunk is a plain vision transformer."""
    width = shapes.get("trunk.patches.weight", (0,))[0]
    configs = [config for config in CONFIGS.values() if config.trunk in VIT_SCALES]
    found = [config for config in configs if (config.levels[STRIDE], config.depth) == (width, depth)]
    if found:
        return found
    raise CheckpointError(
        "checkpoint-mismatch",
        f"no model has a plain vision transformer of {depth} blocks with {width} channels; the known models are "
        f"{', '.join(config.name for config in configs)}",
        depth=depth,
        width=width,
    )


def compute_identity(tensors: Mapping[str, NDArray[np.generic]], memory_pooling: int = 0) -> str:
    """Compute an identifier of the weights, which is the same on every machine and in every layout.

    It is a hash of the names, the shapes and about 64 values of each tensor, so a training step changes it.

    Args:
        tensors: The weights in any layout.
        memory_pooling: That of the configuration, which the weights do not tell.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.sha256(f"pooling {memory_pooling}".encode() if memory_pooling else b"")
    for name, tensor in sorted(to_masklet(tensors).items()):
        flat = tensor.reshape(-1)
        sample = flat[:: max(1, flat.size // 64)][:64].astype("<f4")
        digest.update(f"{name}{tensor.shape}".encode() + sample.tobytes())
    return digest.hexdigest()[:32]


def check_entries(found: Mapping[str, Shape], expected: Mapping[str, Shape], config: ModelConfig) -> None:
    """Check that a state dict has the expected entries and shapes.

    Args:
        found: The shapes in the file by masklet's names.
        expected: The shapes of the model.
        config: The configuration that `identify_config` found, for the message.

    Raises:
        CheckpointError: `checkpoint-mismatch`. The message lists up to ten names of each kind, as in the released
            checkpoints.
    """
    problems = compare_entries(found, expected)
    descriptions = [_describe(problem, names) for problem, names in problems.items() if names]
    if descriptions:
        raise CheckpointError(
            "checkpoint-mismatch",
            f"{'; '.join(descriptions)}; the most similar model is {config.name}",
            problems={problem: names[:10] for problem, names in problems.items()},
        )


def compare_entries(found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> dict[str, list[str]]:
    """Return the names of the entries that are `missing`, `unexpected` and `of another shape`."""
    return {
        "missing": [name for name in expected if name not in found],
        "unexpected": [name for name in found if name not in expected],
        "of another shape": [n for n in expected if n in found and tuple(found[n]) != tuple(expected[n])],
    }


def join_released_names(names: Sequence[str], limit: int) -> str:
    """Join the first names of entries, as in the released checkpoints, into a text."""
    listed = ", ".join(rename_key(name, "masklet", "released") or name for name in names[:limit])
    return f"{listed}{', …' if len(names) > limit else ''}"


def _describe(problem: str, names: list[str]) -> str:
    keys = "key" if len(names) == 1 else "keys"
    return f"{len(names)} {keys} {problem} ({join_released_names(names, 10)})"


def _split_point_embeddings(tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Give the four point embeddings entries of their own, and drop the copy of the Fourier features."""
    left_out = (_FOURIER_FEATURES_COPY, _POINT_EMBEDDINGS)
    split = {name: tensor for name, tensor in tensors.items() if name not in left_out}
    points = tensors.get(_POINT_EMBEDDINGS)
    if points is not None:
        split.update({f"{_POINT_EMBEDDINGS}.{label}": points[label : label + 1] for label in range(len(points))})
    return split


_COMBINED = re.compile(r"(spatial_perceiver\.layers\.\d+\.\w+)\.kv_proj\.weight")
_PARTS = re.compile(r"(spatial_perceiver\.layers\.\d+\.\w+)\.([kv])_proj\.weight")
_EDGETAM_MLP = {"linear1": "mlp.up_proj", "linear2": "mlp.down_proj"}
"""Layers of memory attention: transformers' names for SAM 2, and those for EdgeTAM."""


def _join_keys_and_values(tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Give entries of transformers' EdgeTAM the names and shapes that the table has."""
    joined, parts = dict[str, NDArray[np.generic]](), dict[str, dict[str, str]]()
    for name, value in tensors.items():
        if match := _PARTS.fullmatch(name):
            parts.setdefault(match[1], {})[match[2]] = name
        else:
            joined[_rename_mlp(name, {there: here for here, there in _EDGETAM_MLP.items()})] = value
    for layer, names in parts.items():
        if len(names) == 2 and len({tensors[name].shape for name in names.values()}) == 1:
            joined[f"{layer}.kv_proj.weight"] = np.concatenate([tensors[names[part]] for part in "kv"])
        else:
            joined.update({name: tensors[name] for name in names.values()})
    return joined


def _split_keys_and_values(tensors: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Give entries of EdgeTAM the names and shapes that transformers has; those of other networks are unchanged."""
    if not any(map(_COMBINED.fullmatch, tensors)):
        return dict(tensors)
    split = dict[str, NDArray[np.generic]]()
    for name, value in tensors.items():
        if match := _COMBINED.fullmatch(name):
            keys, values = np.split(value, 2)
            split |= {f"{match[1]}.k_proj.weight": keys, f"{match[1]}.v_proj.weight": values}
        else:
            split[_rename_mlp(name, _EDGETAM_MLP)] = value
    return split


def _rename_mlp(name: str, names: Mapping[str, str]) -> str:
    if not name.startswith("memory_attention."):
        return name
    for old, new in names.items():
        name = name.replace(f".{old}.", f".{new}.")
    return name


@cache
def _compile_rules(source: Layout, target: Layout) -> list[tuple[re.Pattern[str], str]]:
    """Compile the table to pattern and template pairs."""
    old, new = _COLUMNS.index(source), _COLUMNS.index(target)
    return [(_compile_pattern(row[old]), row[new].replace("#", "{}").replace("*", "{}")) for row in TABLE]


def _compile_pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\#", r"(\d+)").replace(r"\*", "(weight|bias)"))
