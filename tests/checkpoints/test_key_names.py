"""Key renaming in both directions for every entry of ten state dicts, and the identification of checkpoints."""

from __future__ import annotations

import re

import numpy as np
import pytest

from masklet.checkpoints import key_names
from masklet.checkpoints.key_names import (
    TABLE,
    check_entries,
    compute_identity,
    detect_layout,
    identify_config,
    rename_key,
    to_masklet,
    to_released,
    to_transformers,
)
from masklet.config import CONFIGS
from masklet.errors import CheckpointError
from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes
from support.recorded import load_shapes

NAMES = sorted(load_shapes())
COUNTS = {"tiny": 471, "small": 519, "base_plus": 615, "large": 903, "micro": 411}


def make_tensors(name: str) -> dict[str, np.ndarray]:
    """Make arrays of the right shapes that repeat one value each, which takes no memory and identifies the entry."""
    return {key: np.broadcast_to(np.float32(k), shape) for k, (key, shape) in enumerate(load_shapes()[name].items())}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", ["masklet", "transformers"])
def test_every_released_name_is_renamed_there_and_back(name: str, target: key_names.Layout) -> None:
    released = list(load_shapes()[name])
    other = [rename_key(key, "released", target) for key in released]
    assert None not in other
    assert len(set(other)) == len(released)
    assert [rename_key(key or "", target, "released") for key in other] == released


@pytest.mark.parametrize("name", NAMES)
def test_each_name_matches_exactly_one_row(name: str) -> None:
    patterns = [re.compile(re.escape(row[1]).replace(r"\#", r"\d+").replace(r"\*", "(weight|bias)")) for row in TABLE]
    for key in load_shapes()[name]:
        assert sum(bool(pattern.fullmatch(key)) for pattern in patterns) == 1, key


@pytest.mark.parametrize("name", NAMES)
def test_the_model_has_exactly_the_released_entries(name: str) -> None:
    torch = pytest.importorskip("torch")
    from masklet.model.sam2 import Sam2

    config = identify_config(load_shapes()[name])
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in Sam2(config).state_dict().items()}
    found = {rename_key(key, "released", "masklet") or key: tuple(shape) for key, shape in load_shapes()[name].items()}
    assert found == expected
    size = name.split("-")[1]
    assert len(expected) == COUNTS[size] - (0 if config.occlusion else 3)


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_is_identified_by_the_shapes(name: str) -> None:
    assert identify_config(load_shapes()[name]).name == name.replace("base_plus", "base-plus")


@pytest.mark.parametrize("name", ["lite0", "lite1", "lite2", "lite-micro"])
@pytest.mark.parametrize("target", ["released", "transformers"])
def test_networks_with_efficientnet_lite_are_identified_in_every_layout(name: str, target: key_names.Layout) -> None:
    shapes = list_tensor_shapes(CONFIGS[name])
    renamed = {rename_key(key, "masklet", target) or "": shape for key, shape in shapes.items()}
    assert len(renamed) == len(shapes)
    assert [rename_key(key, target, "masklet") for key in renamed] == list(shapes)
    assert identify_config(shapes) == identify_config(renamed) == CONFIGS[name]


def test_an_efficientnet_lite_of_unknown_size_is_refused() -> None:
    shapes = list_tensor_shapes(CONFIGS["lite0"])
    odd = {key: shape for key, shape in shapes.items() if ".blocks.15." not in key}
    with pytest.raises(CheckpointError, match="15 blocks that ends with 192 channels") as caught:
        identify_config(odd)
    assert caught.value.code == "checkpoint-mismatch"


@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam2-micro"])
def test_weights_are_the_same_after_a_round_trip_through_each_layout(name: str) -> None:
    released = make_tensors(name)
    for convert in (to_masklet, to_transformers):
        back = to_released(convert(released))
        assert set(back) == set(released)
        assert all(np.array_equal(back[key], released[key]) for key in released)


def test_transformers_stacks_the_point_embeddings_and_has_the_fourier_features_twice() -> None:
    renamed = to_transformers(make_tensors("sam2.1-micro"))
    assert renamed["prompt_encoder.point_embed.weight"].shape == (4, 256)
    assert np.array_equal(
        renamed["shared_image_embedding.positional_embedding"],
        renamed["prompt_encoder.shared_embedding.positional_embedding"],
    )
    assert detect_layout(renamed) == "transformers"


@pytest.mark.parametrize(
    ("released", "transformers"),
    [
        ("image_encoder.neck.convs.2.conv.weight", "vision_encoder.neck.convs.2.weight"),
        ("sam_mask_decoder.iou_prediction_head.layers.1.bias", "mask_decoder.iou_prediction_head.layers.0.bias"),
        ("memory_encoder.mask_downsampler.encoder.9.weight", "memory_encoder.mask_downsampler.layers.3.conv.weight"),
        ("obj_ptr_tpos_proj.bias", "temporal_positional_encoding_projection_layer.bias"),
    ],
)
def test_released_names_become_those_of_the_transformers_library(released: str, transformers: str) -> None:
    assert rename_key(released, "released", "transformers") == transformers


def test_identities_do_not_depend_on_the_layout() -> None:
    released = make_tensors("sam2.1-micro")
    assert (
        compute_identity(released)
        == compute_identity(to_transformers(released))
        == compute_identity(to_masklet(released))
    )


def test_a_changed_weight_changes_the_identity() -> None:
    released = make_tensors("sam2.1-micro")
    changed = {**released, "no_obj_ptr": released["no_obj_ptr"] + 1}
    assert compute_identity(released) != compute_identity(changed)


def test_a_file_of_another_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a SAM 2 checkpoint") as caught:
        detect_layout({"conv1.weight": 0})
    assert caught.value.code == "checkpoint-mismatch"


def test_a_trunk_of_unknown_size_is_refused() -> None:
    odd = {name: shape for name, shape in load_shapes()["sam2.1-tiny"].items() if ".blocks.11." not in name}
    with pytest.raises(CheckpointError, match="11 blocks with 96 channels"):
        identify_config(odd)


def test_the_error_lists_missing_and_unexpected_entries_and_wrong_shapes() -> None:
    expected = {"no_pointer": (1, 256), "no_memory": (1, 1, 256)}
    with pytest.raises(CheckpointError) as caught:
        check_entries({"no_pointer": (1, 2), "strange": (1,)}, expected, CONFIGS["sam2-tiny"])
    assert str(caught.value) == (
        "1 key missing (no_mem_embed); 1 key unexpected (strange); 1 key of another shape (no_obj_ptr); "
        "the most similar model is sam2-tiny"
    )
