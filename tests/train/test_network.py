"""Networks in training: initialization, trained parameters, low-rank updates, drop path, optimizers and averages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from masklet.config import CONFIGS  # noqa: E402
from masklet.errors import SettingsError  # noqa: E402
from masklet.model.position_encoding import compute_sine_encoding, compute_time_encoding  # noqa: E402
from masklet.model.rope import compute_axial_rotation  # noqa: E402
from masklet.train.drop_path import add_drop_path  # noqa: E402
from masklet.train.ema import ExponentialMovingAverage  # noqa: E402
from masklet.train.initialization import create_model  # noqa: E402
from masklet.train.lora import LowRank, add_low_rank, fold_weights  # noqa: E402
from masklet.train.network import build_network  # noqa: E402
from masklet.train.optimizer import (  # noqa: E402
    compute_learning_rate,
    group_parameters,
    learning_rate_factor,
)
from masklet.train.run_state import save_weights  # noqa: E402
from masklet.train.settings import Settings  # noqa: E402

CPU = torch.device("cpu")
NANO = CONFIGS["nano"]
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_nano_network_has_six_million_weights() -> None:
    count = sum(parameter.numel() for parameter in create_model(NANO, 1).parameters())
    assert 5.5e6 < count < 6.5e6


@pytest.mark.parametrize("size", [64, 96, 256, 320])
def test_the_nano_network_takes_any_multiple_of_32(size: int) -> None:
    with torch.no_grad():
        features = create_model(NANO, 1).encode(torch.zeros(1, 3, size, size))
    assert [level.shape[-1] for level in features] == [size // 4, size // 8, size // 16]


def test_the_seed_decides_the_weights() -> None:
    weights = [create_model(NANO, seed).mask_decoder.iou_token for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_new_network_encodes_the_position_of_a_click() -> None:
    points = torch.tensor([[[0.2, 0.2]], [[0.8, 0.2]]])
    one, other = create_model(NANO, 1).prompt_encoder.encode_points(points, torch.ones(2, 1, dtype=torch.long), 64)
    assert (one - other).abs().max() > 0.1


def test_a_new_decoder_attends_to_the_surroundings_of_a_prompt() -> None:
    model = create_model(NANO, 1)
    waves, attention = model.prompt_encoder.fourier, model.mask_decoder.transformer.to_image
    query, keys = (
        attention.split_heads(attention.q(waves(torch.tensor([[[0.31, 0.69]]])))),
        attention.split_heads(attention.k(waves.encode_grid(8, 8).flatten(2).mT)),
    )
    weights = (query @ keys.mT / query.shape[-1] ** 0.5).softmax(dim=-1).mean(dim=1).view(8, 8)
    assert weights[4:7, 1:4].sum() > 0.4  # of the nine cells around the prompt; uniform attention gives 0.14


def test_new_memory_attention_attends_to_the_same_place_and_a_little_to_pointers() -> None:
    model = create_model(NANO, 1)
    attention, memory = model.memory_attention.layers[0].to_memory, NANO.memory_channels
    rotation = compute_axial_rotation(8, NANO.channels, attention.q.weight)
    queries = rotation.rotate(attention.q(torch.zeros(1, 64, NANO.channels)))
    maps = rotation.rotate(attention.k(compute_sine_encoding(8, 8, memory, attention.q.weight).flatten(1).mT[None]))
    pointer = attention.k(model.pointer_times(compute_time_encoding(torch.zeros(1, 1), NANO.channels)))
    weights = (queries @ torch.cat((maps, pointer), dim=1).mT / NANO.channels**0.5).softmax(dim=-1)[0]
    assert torch.equal(weights.argmax(dim=-1), torch.arange(64))
    assert weights[:, :64].diagonal().min() > 0.5
    assert weights[:, 64].min() > 0.001 and weights[:, 64].max() < 0.1


def test_only_listed_parameters_are_trained() -> None:
    model = build_network(Settings(trainable=("mask_decoder", "neck.laterals")), CPU)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {
        name for name, _ in model.named_parameters() if name.startswith(("mask_decoder", "neck.laterals"))
    }


def test_a_prefix_without_parameters_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"no parameter starts with 'decoder' .* modules are trunk, neck"):
        build_network(Settings(trainable=("decoder",)), CPU)


def test_training_starts_from_saved_weights(tmp_path: Path) -> None:
    model = create_model(NANO, 5)
    save_weights(tmp_path / "start.safetensors", model)
    loaded = build_network(Settings(initial_weights=str(tmp_path / "start.safetensors")), CPU)
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )


def test_half_precision_weights_take_half_the_space(tmp_path: Path) -> None:
    model = create_model(NANO, 5)
    save_weights(tmp_path / "half.safetensors", model, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 16e6
    assert load_file(tmp_path / "half.safetensors")["no_memory"].dtype == torch.float16


def test_low_rank_updates_start_at_zero_and_fold_into_the_weights() -> None:
    model = create_model(NANO, 1).eval()
    with torch.no_grad():
        before = model.encode(IMAGES)
        add_low_rank(model, 4)
        torch.testing.assert_close(model.encode(IMAGES).stride16, before.stride16)
        for module in model.modules():
            if isinstance(module, LowRank):
                module.up.normal_(std=0.02)
        changed = model.encode(IMAGES)
        plain = create_model(NANO, 2).eval()
        plain.load_state_dict(fold_weights(model))
        torch.testing.assert_close(plain.encode(IMAGES).stride16, changed.stride16)
    assert not torch.equal(changed.stride16, before.stride16)


def test_low_rank_updates_freeze_the_weights_of_the_trunk() -> None:
    model = build_network(Settings(lora_rank=2, trainable=("mask_decoder",)), CPU)
    trained = [name for name, p in model.named_parameters() if p.requires_grad and name.startswith("trunk")]
    assert trained
    assert all(name.endswith((".up", ".down")) and "parametrizations" in name for name in trained)


def test_low_rank_updates_need_a_trunk_with_attention() -> None:
    with pytest.raises(SettingsError, match="lora_rank must be 0 for lite-micro"):
        build_network(Settings(model="lite-micro", lora_rank=2), CPU)


@pytest.mark.parametrize("name", ["edgetam-micro", "efficienttam-micro"])
def test_edgetam_and_efficienttam_are_trained_from_a_checkpoint_only(
    name: str, checkpoint: Callable[[str, int], Path]
) -> None:
    with pytest.raises(SettingsError, match=f"initial_weights must name a checkpoint of {name}"):
        build_network(Settings(model=name), CPU)
    settings = Settings(model=name, initial_weights=str(checkpoint(name, 1)), layer_decay=0.5)
    model = build_network(settings, CPU)
    with torch.no_grad():
        assert model.encode(IMAGES).stride16.std() > 0
    layers = {"edgetam-micro": ("trunk.stages.3.blocks.0.up.bias", "trunk.stem1.weight", 5)}
    last, first, count = layers.get(name, ("trunk.blocks.3.norm1.bias", "trunk.patches.weight", 5))
    assert learning_rate_factor(model, last, settings) == 0.5
    assert learning_rate_factor(model, first, settings) == 0.5**count


def test_stochastic_depth_needs_blocks_without_a_residual_inside() -> None:
    with pytest.raises(SettingsError, match="drop_path must be 0 for edgetam-micro"):
        build_network(Settings(model="edgetam-micro", drop_path=0.1), CPU)


def test_efficienttam_trains_with_drop_path_and_low_rank_updates(checkpoint: Callable[[str, int], Path]) -> None:
    weights = str(checkpoint("efficienttam-micro", 1))
    model = build_network(
        Settings(model="efficienttam-micro", initial_weights=weights, drop_path=0.9, lora_rank=2), CPU
    )
    with torch.no_grad():
        whole = model.eval().trunk(IMAGES)[0]
        shortened = model.train().trunk(IMAGES)[0]  # what remains is scaled, so each image differs in any case
    assert (whole - shortened).abs().amax(dim=(1, 2, 3)).min() > 0
    assert any(isinstance(module, LowRank) for module in model.trunk.modules())


def test_a_network_with_efficientnet_lite_trains_with_drop_path() -> None:
    model = build_network(Settings(model="lite-micro", drop_path=0.9), CPU)
    with torch.no_grad():
        whole = model.eval().trunk(IMAGES)[3]
        shortened = model.train().trunk(IMAGES)[3]  # what remains is scaled, so each image differs in any case
    assert (whole - shortened).abs().amax(dim=(1, 2, 3)).min() > 0
    rate = learning_rate_factor(model, "trunk.stem.weight", Settings(layer_decay=0.5))
    assert rate == pytest.approx(0.5**9)  # eight blocks and one


def test_drop_path_works_in_training_mode_only() -> None:
    model = create_model(NANO, 1)
    add_drop_path(model.trunk, 0.9)
    with torch.no_grad():
        in_eval = [model.eval().encode(IMAGES).stride16 for _ in range(2)]
        in_training = [model.train().encode(IMAGES).stride16 for _ in range(4)]
    assert torch.equal(in_eval[0], in_eval[1])
    assert any(not torch.equal(in_training[0], other) for other in in_training[1:])


def test_the_first_layers_of_the_trunk_have_the_lowest_learning_rate() -> None:
    model = create_model(NANO, 1)
    settings = Settings(layer_decay=0.5, trunk_rate_factor=0.2, neck_rate_factor=0.5, memory_rate_factor=2.0)
    shares = {name: learning_rate_factor(model, name, settings) for name, _ in model.named_parameters()}
    assert shares["trunk.patches.weight"] == pytest.approx(0.2 * 0.5**10)  # nine blocks and one (reference-model §10.5)
    assert shares["trunk.blocks.8.norm1.weight"] == pytest.approx(0.2 * 0.5)
    assert shares["trunk.positions"] == 0.2 and shares["neck.stride4.weight"] == 0.5
    assert shares["memory_encoder.out.weight"] == shares["slots"] == 2.0
    assert shares["mask_decoder.iou_token"] == 1.0


def test_norms_and_biases_have_no_weight_decay_and_no_parameter_is_missing() -> None:
    model = create_model(NANO, 1)
    groups = group_parameters(model, Settings(weight_decay=0.1))
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    undecayed = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    assert id(model.memory_attention.norm.weight) in undecayed
    assert id(model.neck.stride4.bias) in undecayed
    assert id(model.neck.stride4.weight) not in undecayed


def test_the_learning_rate_warms_up_and_follows_a_cosine() -> None:
    settings = Settings(learning_rate=1.0, warmup_steps=10, final_rate_factor=0.2)
    assert compute_learning_rate(settings, 0, 0.0) == pytest.approx(0.1)
    assert compute_learning_rate(settings, 100, 0.0) == 1.0
    assert compute_learning_rate(settings, 100, 0.5) == pytest.approx(0.6)
    assert compute_learning_rate(settings, 100, 1.0) == pytest.approx(0.2)


def test_the_average_follows_the_weights() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    average = ExponentialMovingAverage(model, decay=0.9)
    torch.nn.init.ones_(model.weight)
    average.update(model, step=10_000)
    assert average.weights["weight"].item() == pytest.approx(0.1)
    with average.apply_to(model):
        assert model.weight.item() == pytest.approx(0.1)
    assert model.weight.item() == 1.0
    assert np.isclose(average.weights["weight"].item(), 0.1)
