"""Weights by path: LoRA adapters, folders of transformers, variants, and fine-tuned files of any trainer."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.checkpoints import key_names, read_tensors, write_released, write_tensors
from masklet.checkpoints.hub import get_release_path
from masklet.checkpoints.releases import RELEASES
from masklet.checkpoints.variants import choose_variant, name_variant
from masklet.checkpoints.weights import WeightOptions, load_weights, read_merged
from masklet.cli.main import main
from masklet.config import CONFIGS
from masklet.errors import CheckpointError, InputNotFound, MaskletWarning, SettingsError
from masklet.export import read_model
from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes
from parity.inputs import weights
from support.recorded import load_shapes

Arrays = dict[str, NDArray[Any]]
RANK, ALPHA = 2, 6.0
QKV = "image_encoder.trunk.blocks.0.attn.qkv"
PATCHES = "image_encoder.trunk.patch_embed.proj"  # a convolution
TOKEN = "sam_mask_decoder.iou_token.weight"
BIAS = f"{QKV}.bias"
SMALL_VARIANTS = [config for name, config in CONFIGS.items() if name.startswith("efficienttam-s")]


@pytest.fixture(scope="module")
def base() -> Arrays:
    return {name: np.asarray(value) for name, value in weights(load_shapes()["sam2.1-micro"], 1).items()}


@pytest.fixture
def base_path(base: Arrays, tmp_path: Path) -> Path:
    write_released(tmp_path / "base.pt", base)
    return tmp_path / "base.pt"


def make_updates(
    base: Arrays, modules: tuple[str, ...] = (QKV, PATCHES)
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Make the factors A and B of each module, as PEFT has them for linear layers and for convolutions."""
    rng, updates = np.random.default_rng(1), {}
    for module in (QKV, PATCHES):
        out, *inner = base[f"{module}.weight"].shape
        down, up = rng.normal(size=(RANK, *inner)), rng.normal(size=(out, RANK, *[1] * (len(inner) - 1)))
        updates[module] = down.astype(np.float32), up.astype(np.float32)
    return updates


def merge_by_definition(base: Arrays, scale: float) -> Arrays:
    merged = dict(base)
    for module, (down, up) in make_updates(base).items():
        weight = base[f"{module}.weight"]
        merged[f"{module}.weight"] = weight + scale * (up.reshape(-1, RANK) @ down.reshape(RANK, -1)).reshape(
            weight.shape
        )
    return merged


def write_adapter(folder: Path, base: Arrays, *, others: Arrays | None = None, layout: str = "", **config: Any) -> Path:
    """Write an adapter as PEFT does."""
    folder.mkdir(exist_ok=True)
    content = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "base_model_name_or_path": None} | config
    (folder / "adapter_config.json").write_text(json.dumps(content))
    tensors = dict(others or {})
    for module, (down, up) in make_updates(base).items():
        if layout == "transformers":
            module = str(key_names.rename_key(f"{module}.weight", "released", "transformers")).removesuffix(".weight")
        tensors |= {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}
    write_tensors(folder / "adapter_model.safetensors", {f"base_model.model.{name}": t for name, t in tensors.items()})
    return folder


def assert_close(found: Arrays, expected: Arrays) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("layout", ["released", "transformers"])
def test_an_adapter_is_merged_into_its_base(base: Arrays, base_path: Path, tmp_path: Path, layout: str) -> None:
    folder = write_adapter(tmp_path / "adapter", base, layout=layout)
    for path in (folder, folder / "adapter_model.safetensors"):
        assert_close(read_merged(path, base_path).tensors, merge_by_definition(base, ALPHA / RANK))


def test_the_configuration_of_an_adapter_names_its_base(base: Arrays, base_path: Path, tmp_path: Path) -> None:
    for name in (str(base_path), "../base.pt"):
        folder = write_adapter(tmp_path / "adapter", base, base_model_name_or_path=name)
        assert_close(read_merged(folder).tensors, merge_by_definition(base, ALPHA / RANK))


@pytest.mark.parametrize(
    ("config", "scales"),
    [
        ({"use_rslora": True}, (ALPHA / math.sqrt(RANK), ALPHA / math.sqrt(RANK))),
        ({"alpha_pattern": {"blocks.0.attn.qkv": 1.0}}, (1 / RANK, ALPHA / RANK)),
    ],
)
def test_the_scale_of_an_update_follows_the_configuration(
    base: Arrays, base_path: Path, tmp_path: Path, config: dict[str, Any], scales: tuple[float, float]
) -> None:
    found = read_merged(write_adapter(tmp_path / "adapter", base, **config), base_path).tensors
    for module, scale in zip((QKV, PATCHES), scales, strict=True):
        name = f"{module}.weight"
        np.testing.assert_allclose(found[name], merge_by_definition(base, scale)[name], rtol=1e-6, atol=1e-5)


def test_modules_that_an_adapter_trained_completely_replace_those_of_the_base(
    base: Arrays, base_path: Path, tmp_path: Path
) -> None:
    new, bias = np.full_like(base[TOKEN], 3), np.full_like(base[BIAS], 4)
    for name in (TOKEN, TOKEN.replace(".weight", ".modules_to_save.weight")):
        folder = write_adapter(tmp_path / "adapter", base, others={name: new, f"{QKV}.base_layer.bias": bias})
        assert_close(
            read_merged(folder, base_path).tensors, merge_by_definition(base, ALPHA / RANK) | {TOKEN: new, BIAS: bias}
        )


def test_a_checkpoint_with_updates_beside_its_weights_is_merged(base: Arrays, tmp_path: Path) -> None:
    tensors = {f"base_model.model.{name}": value for name, value in base.items()}
    for module, (down, up) in make_updates(base).items():
        prefix = f"base_model.model.{module}"
        for kind in ("weight", "bias"):
            tensors[f"{prefix}.base_layer.{kind}"] = tensors.pop(f"{prefix}.{kind}")
        tensors |= {f"{prefix}.lora_A.default.weight": down, f"{prefix}.lora_B.default.weight": up}
    write_released(tmp_path / "full.pt", tensors)
    with pytest.raises(CheckpointError, match=r"adapter_config\.json, which is not beside it"):
        read_merged(tmp_path / "full.pt")
    write_adapter(tmp_path, base)
    found = read_merged(tmp_path / "full.pt")
    assert_close(found.tensors, merge_by_definition(base, ALPHA / RANK))
    assert found.wrapping == ("model", "base_model.model", "LoRA")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "the kind 'IA3'"),
        ({"use_dora": True}, "the kind DoRA"),
        ({"lora_alpha": "6"}, "lora_alpha must be a number"),
        ({"alpha_pattern": {"(a+)+b": 1.0}}, "not regular expressions"),
    ],
)
def test_other_adapters_are_refused(
    base: Arrays, base_path: Path, tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError) as error:
        read_merged(write_adapter(tmp_path / "adapter", base, **config), base_path)
    assert message in error.value.message and "\n" not in error.value.message


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("image_encoder.trunk.blocks.99.attn.qkv.lora_A.weight", (2, 3), "lacks lora_A or lora_B"),
        ("image_encoder.trunk.blocks.0.attn.qkv.lora_B.bias", (3,), "a kind of LoRA that is not merged"),
        ("image_encoder.trunk.blocks.0.attn.qkv.lora_magnitude_vector", (3,), "a kind of LoRA that is not merged"),
        ("sam_mask_decoder.unknown.weight", (3,), "which the base lacks"),
        (TOKEN, (3,), "has the shape (3,), in the base (1, 256)"),
    ],
)
def test_an_adapter_that_does_not_fit_its_base_is_refused(
    base: Arrays, base_path: Path, tmp_path: Path, name: str, shape: tuple[int, ...], message: str
) -> None:
    folder = write_adapter(tmp_path / "adapter", base, others={name: np.ones(shape, np.float32)})
    with pytest.raises(CheckpointError) as error:
        read_merged(folder, base_path)
    assert message in error.value.message and error.value.code == "checkpoint-mismatch"


def test_updates_of_another_shape_are_refused(base: Arrays, base_path: Path, tmp_path: Path) -> None:
    wide = base | {f"{QKV}.weight": np.zeros((7, 5), np.float32)}
    with pytest.raises(CheckpointError, match="do not fit: they have the shapes"):
        read_merged(write_adapter(tmp_path / "adapter", wide), base_path)


def test_an_adapter_without_a_base_asks_for_one(base: Arrays, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as error:
        read_merged(write_adapter(tmp_path / "adapter", base))
    assert error.value.code == "bad-usage" and "--base" in error.value.hint
    with pytest.raises(SettingsError, match=r"there is no model 'sam2\.1-tinny'"):
        read_merged(write_adapter(tmp_path / "adapter", base, base_model_name_or_path="sam2.1-tinny"))


def test_a_base_without_an_adapter_is_refused(base_path: Path) -> None:
    with pytest.raises(SettingsError, match="leave out base"):
        read_merged(base_path, base_path)


def write_shards(folder: Path, tensors: Arrays) -> Path:
    """Write a folder of transformers in two files."""
    folder.mkdir()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, members in parts.items():
        write_tensors(folder / file, {name: tensors[name] for name in members})
    index = {"metadata": {}, "weight_map": {name: file for file, members in parts.items() for name in members}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({"model_type": "sam2_video"}))
    return folder


def test_a_folder_of_transformers_is_read(base: Arrays, tmp_path: Path) -> None:
    theirs, ours = key_names.to_transformers(base), key_names.to_masklet(base)
    (tmp_path / "one").mkdir()
    write_tensors(tmp_path / "one" / "model.safetensors", theirs)
    for folder in (tmp_path / "one", write_shards(tmp_path / "two", theirs)):
        config, tensors = load_weights(folder)
        assert config == CONFIGS["sam2.1-micro"]
        assert_close(tensors, ours)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ('{"weight_map": {}}', "must name 1 to 1000 files"),
        ('{"weight_map": {"a": 1}}', "must name 1 to 1000 files"),
        ('{"weight_map": {"a": "../secret.safetensors"}}', "outside of the folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "outside of the folder"),
    ],
)
def test_a_malformed_index_is_refused(base: Arrays, tmp_path: Path, index: str, message: str) -> None:
    folder = write_shards(tmp_path / "folder", {"a": np.ones(1), "b": np.ones(1)})
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError) as error:
        read_tensors(folder)
    assert message in error.value.message and error.value.code == "checkpoint-corrupt"


def test_a_missing_file_of_a_folder_is_reported(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "folder", {"a": np.ones(1), "b": np.ones(1)})
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputNotFound, match=r"model-00002-of-00002\.safetensors"):
        read_tensors(folder)


def test_a_tensor_in_two_files_of_a_folder_is_refused(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "folder", {"a": np.ones(1), "b": np.ones(1)})
    write_tensors(folder / "model-00002-of-00002.safetensors", {"a": np.zeros(1)})
    with pytest.raises(CheckpointError, match="a is in another file"):
        read_tensors(folder)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_in_half_precision_are_read(base: Arrays, tmp_path: Path, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    halves = {name: torch.from_numpy(value).to(getattr(torch, dtype)) for name, value in base.items()}
    torch.save({"model": halves, "optimizer": {"state": {0: {"step": torch.ones(())}}}, "epoch": 3}, tmp_path / "a.pt")
    config, tensors = load_weights(tmp_path / "a.pt")
    expected = {name: value.float().numpy() for name, value in halves.items()}
    assert config == CONFIGS["sam2.1-micro"]
    assert_close({n: v.astype(np.float32) for n, v in tensors.items()}, key_names.to_masklet(expected))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("efficienttam_s.pt", "efficienttam-s"),
        ("efficienttam_s_1.pt", "efficienttam-s-1"),
        ("efficienttam_s_2_surgery.pt", "efficienttam-s-2"),
        ("EfficientTAM-S-512x512.safetensors", "efficienttam-s-512"),
        ("efficienttam_s_512.pt", "efficienttam-s-512"),
    ],
)
def test_the_name_of_a_file_is_that_of_a_variant(file: str, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_variant(SMALL_VARIANTS, Path(file)).name == name


def test_every_released_file_has_its_own_variant() -> None:
    releases = [release for name, release in RELEASES.items() if name.startswith("efficienttam")]
    for release in releases:
        size = release.name.split("-")[1]
        candidates = [config for name, config in CONFIGS.items() if name.startswith(f"efficienttam-{size}")]
        assert choose_variant(candidates, get_release_path(release)).name == release.name
    assert len(releases) == 8


@pytest.mark.parametrize("file", ["best.pt", "efficienttam_s_surgery.pt", "efficienttam_s_12.pt", "run_1.pt"])
def test_a_name_without_a_variant_is_plain_with_a_warning(file: str) -> None:
    with pytest.warns(MaskletWarning, match=r"does not tell its variant.*--variant") as issued:
        assert choose_variant(SMALL_VARIANTS, Path(file)).name == "efficienttam-s"
    assert [warning.message.code for warning in issued] == ["variant-unknown"]


def test_a_given_variant_comes_before_the_metadata_and_these_before_the_name() -> None:
    path = Path("efficienttam_s_1.pt")
    assert choose_variant(SMALL_VARIANTS, path, "512x512", "efficienttam-s-2").name == "efficienttam-s-512"
    assert choose_variant(SMALL_VARIANTS, path, "plain").name == "efficienttam-s"
    assert choose_variant(SMALL_VARIANTS, path, None, "efficienttam-s-2").name == "efficienttam-s-2"
    assert choose_variant(SMALL_VARIANTS, path, None, "sam2.1-tiny").name == "efficienttam-s-1"
    assert [name_variant(config) for config in SMALL_VARIANTS] == ["plain", "1", "2", "512x512"]
    with pytest.raises(SettingsError, match="has no variant '3'; variant must be plain, 1, 2, 512x512"):
        choose_variant(SMALL_VARIANTS, path, "3")


def test_networks_without_variants_take_none() -> None:
    tiny = CONFIGS["sam2.1-tiny"]
    for path, variant in ((Path("sam2.1_hiera_tiny_1.pt"), None), (Path("a.pt"), "plain")):
        assert choose_variant([tiny], path, variant) == tiny
    assert name_variant(tiny) is None
    for variant in ("1", "3", ""):
        with pytest.raises(SettingsError, match=r"sam2\.1-tiny has no variant .*; leave out variant") as error:
            choose_variant([tiny], Path("a.pt"), variant)
        assert error.value.code == "bad-usage"


def test_medsam2_runs_at_the_size_that_it_was_trained_for() -> None:
    tiny, small = CONFIGS["sam2.1-tiny"], CONFIGS["sam2.1-small"]
    for file in ("MedSAM2_latest.pt", "MedSAM2_CTLesion.pt"):
        assert choose_variant([tiny], Path(file)).input_size == 512
        assert choose_variant([small], Path(file)) == small
    assert choose_variant([tiny], Path("sam2.1_hiera_tiny.pt")) == tiny


def test_a_converted_file_stores_its_variant(tmp_path: Path) -> None:
    shapes = list_tensor_shapes(CONFIGS["efficienttam-micro"])
    tensors = key_names.to_released({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    write_tensors(tmp_path / "a.safetensors", tensors)
    arguments = [str(tmp_path / name) for name in ("a.safetensors", "b.safetensors")]
    assert main(["models", "convert", *arguments, "--variant", "2"]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_weights(tmp_path / "b.safetensors").config.name == "efficienttam-micro-2"
        exported = read_model(tmp_path / "a.safetensors", options=WeightOptions("1"))
        assert exported.config.name == "efficienttam-micro-1"


def test_the_options_of_weights_reach_both_steps(base: Arrays, base_path: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "adapter", base)
    config, tensors = load_weights(folder, WeightOptions(base=base_path))
    assert config.name == "sam2.1-micro"
    assert_close(tensors, key_names.to_masklet(merge_by_definition(base, ALPHA / RANK)))
    with pytest.raises(SettingsError, match="has no variant '1'"):
        load_weights(folder, WeightOptions("1", base_path))
