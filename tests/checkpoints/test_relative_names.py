"""Names of EdgeTAM and EfficientTAM in every layout, their batch norms, and the configurations that their files fit."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.checkpoints.batch_norms import fold_batch_norms
from masklet.checkpoints.key_names import (
    check_entries,
    compute_identity,
    detect_layout,
    identify_config,
    list_configs,
    rename_key,
    to_masklet,
    to_released,
    to_transformers,
)
from masklet.config import CONFIGS
from masklet.errors import CheckpointError
from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes
from parity.inputs import weights
from support.recorded import load_relative_shapes

NAMES = sorted(load_relative_shapes())
MICRO = ["edgetam-micro", "efficienttam-micro"]
PARAMETERS = {"edgetam": 13_895_794, "efficienttam-ti": 17_866_018, "efficienttam-s": 34_055_842}
BUFFER = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
NORM = "image_encoder.trunk.body.stem.conv1.bn"


@cache
def make_tensors(name: str) -> dict[str, NDArray[np.generic]]:
    return {key: np.asarray(value) for key, value in weights(load_relative_shapes()[name], 1).items()}


def get_shapes(tensors: dict[str, NDArray[np.generic]]) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in tensors.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_released_entries_are_those_of_the_configuration(name: str) -> None:
    zeros = {key: np.broadcast_to(np.float32(0), shape) for key, shape in load_relative_shapes()[name].items()}
    assert get_shapes(to_masklet(zeros)) == list_tensor_shapes(CONFIGS[name])


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_the_released_entries_have_the_published_number_of_parameters(name: str, count: int) -> None:
    shapes = load_relative_shapes()[name].items()
    learned = [shape for key, shape in shapes if key != BUFFER and not key.endswith(STATISTICS)]
    assert sum(map(math.prod, learned)) == count


@pytest.mark.parametrize("name", NAMES)
def test_the_configurations_that_a_file_fits_are_listed_with_the_plain_one_first(name: str) -> None:
    shapes = load_relative_shapes()[name]
    plain = name.removesuffix("-1").removesuffix("-2").removesuffix("-512")
    found = list_configs(shapes)
    assert identify_config(shapes) == found[0] == CONFIGS[plain]
    variants = [variant for variant in NAMES if variant.startswith(plain) and load_relative_shapes()[variant] == shapes]
    assert sorted(config.name for config in found) == variants


@pytest.mark.parametrize("name", MICRO)
def test_weights_are_the_same_bits_after_a_round_trip_through_each_layout(name: str) -> None:
    ours = to_masklet(make_tensors(name))
    for convert in (to_released, to_transformers):
        written = convert(ours)
        back = to_masklet(written)
        assert back.keys() == ours.keys()
        assert all(np.array_equal(back[key].astype(np.float32), ours[key].astype(np.float32)) for key in ours)
        assert compute_identity(written) == compute_identity(ours) == compute_identity(make_tensors(name))
        assert identify_config(get_shapes(written)).name == name
    assert get_shapes(to_released(ours)) == {key: tuple(shape) for key, shape in load_relative_shapes()[name].items()}


def test_variants_with_the_same_weights_have_their_own_identities() -> None:
    tensors = make_tensors("efficienttam-micro")
    assert len({compute_identity(tensors, pooling) for pooling in (0, 1, 2)}) == 3


@pytest.mark.parametrize(
    ("released", "transformers"),
    [
        ("spatial_perceiver.latents", "spatial_perceiver.latents_1d"),
        ("spatial_perceiver.layers.1.attn.norm_x.bias", "spatial_perceiver.layers.1.layer_norm_input.bias"),
        ("spatial_perceiver.layers.0.self_ff.3.weight", "spatial_perceiver.layers.0.self_mlp.down_proj.weight"),
        (
            "image_encoder.trunk.body.stages_2.downsample.pre_block.channel_mixer.conv1.bn.running_var",
            "vision_encoder.backbone.timm_model.stages_2.downsample.pre_block.channel_mixer.conv1.bn.running_var",
        ),
        ("memory_attention.layers.1.linear2.bias", "memory_attention.layers.1.mlp.down_proj.bias"),
    ],
)
def test_edgetam_has_the_names_of_the_transformers_library(released: str, transformers: str) -> None:
    written = to_transformers(make_tensors("edgetam-micro"))
    assert transformers in written
    assert written[transformers].shape == tuple(load_relative_shapes()["edgetam-micro"][released])
    assert detect_layout(written) == "transformers"


def test_the_transformers_library_has_separate_keys_and_values() -> None:
    released = make_tensors("edgetam-micro")
    written = to_transformers(released)
    both = [written[f"spatial_perceiver.layers.1.cross_attention.{part}_proj.weight"] for part in "kv"]
    assert np.array_equal(np.concatenate(both), released["spatial_perceiver.layers.1.attn.to_kv.weight"])


def test_folding_gives_the_same_function_as_convolutions_and_batch_norms() -> None:
    torch = pytest.importorskip("torch")
    released = {key: torch.from_numpy(np.asarray(value)).double() for key, value in make_tensors(MICRO[0]).items()}
    prefix = "image_encoder.trunk.body.stages_1.blocks.0.token_mixer"
    x = torch.randn(2, 32, 7, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def branch(name: str, padding: int) -> torch.Tensor:
        y = torch.nn.functional.conv2d(x, released[f"{prefix}.{name}.c.weight"], padding=padding, groups=32)
        norm = [released[f"{prefix}.{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return torch.nn.functional.batch_norm(y, *norm, training=False, eps=1e-5)

    folded = fold_batch_norms(make_tensors(MICRO[0]))
    weight, bias = (torch.from_numpy(np.asarray(folded[f"{prefix}.{part}"])) for part in ("weight", "bias"))
    expected = branch("conv", 1) + branch("conv1", 0) + x
    found = torch.nn.functional.conv2d(x, weight, bias, padding=1, groups=32)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_network_without_batch_norms_is_not_changed() -> None:
    tensors = make_tensors("efficienttam-micro")
    folded = fold_batch_norms(tensors)
    assert folded.keys() == tensors.keys()
    assert all(folded[name] is tensors[name] for name in tensors)


def test_a_negative_variance_is_an_error() -> None:
    tensors = make_tensors("edgetam-micro")
    broken = tensors | {f"{NORM}.running_var": -tensors[f"{NORM}.running_var"]}
    with pytest.raises(CheckpointError, match=rf"{NORM}.running_var must not be negative, got -\d") as caught:
        to_masklet(broken)
    assert caught.value.code == "checkpoint-mismatch"


@pytest.mark.parametrize("part", ["running_mean", "weight"])
def test_an_incomplete_batch_norm_is_reported(part: str) -> None:
    tensors = {key: value for key, value in make_tensors("edgetam-micro").items() if key != f"{NORM}.{part}"}
    shapes = get_shapes(to_masklet(tensors))
    config = identify_config(shapes)
    with pytest.raises(CheckpointError, match=r"stem\.conv1\.c\.weight"):
        check_entries(shapes, list_tensor_shapes(config), config)


def test_integer_convolutions_before_batch_norms_are_refused() -> None:
    name = "image_encoder.trunk.body.stem.conv1.c.weight"
    tensors = make_tensors("edgetam-micro")
    with pytest.raises(CheckpointError, match=f"{name} is int8"):
        to_masklet(tensors | {name: tensors[name].astype(np.int8)})


@pytest.mark.parametrize("name", MICRO)
def test_a_trunk_of_unknown_size_is_refused(name: str) -> None:
    left_out = "stages_2.blocks.1." if name.startswith("edgetam") else "trunk.blocks.3."
    shapes = {key: shape for key, shape in load_relative_shapes()[name].items() if left_out not in key}
    with pytest.raises(CheckpointError, match=r"no model has a \D+ of [36] blocks") as caught:
        identify_config(shapes)
    assert caught.value.code == "checkpoint-mismatch"


@pytest.mark.parametrize("name", MICRO)
def test_every_name_of_masklet_is_renamed_there_and_back(name: str) -> None:
    ours = list(list_tensor_shapes(CONFIGS[name]))
    for layout in ("released", "transformers"):
        other = [rename_key(key, "masklet", layout) or "" for key in ours]
        assert len(set(other)) == len(ours)
        assert [rename_key(key, layout, "masklet") for key in other] == ours
