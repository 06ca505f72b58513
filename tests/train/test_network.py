"""What of a network is trained, what is added to it, and what is left when it is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from masklet.config import CONFIGS  # noqa: E402
from masklet.errors import SettingsError  # noqa: E402
from masklet.model.position_encoding import axial_rotation, sine_table, time_table  # noqa: E402
from masklet.train.drop_path import add_drop_path  # noqa: E402
from masklet.train.initialization import fresh  # noqa: E402
from masklet.train.lora import LowRank, add_low_rank, folded  # noqa: E402
from masklet.train.network import network  # noqa: E402
from masklet.train.optimizer import Average, groups, rate, rate_share  # noqa: E402
from masklet.train.run_state import save_weights  # noqa: E402
from masklet.train.settings import Settings  # noqa: E402

CPU = torch.device("cpu")
NANO = CONFIGS["nano"]
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_nano_network_has_six_million_weights() -> None:
    count = sum(parameter.numel() for parameter in fresh(NANO, 1).parameters())
    assert 5.5e6 < count < 6.5e6


@pytest.mark.parametrize("size", [64, 96, 256, 320])
def test_the_nano_network_takes_any_multiple_of_32(size: int) -> None:
    with torch.no_grad():
        features = fresh(NANO, 1).encode(torch.zeros(1, 3, size, size))
    assert [level.shape[-1] for level in features] == [size // 4, size // 8, size // 16]


def test_the_same_seed_gives_the_same_network_and_another_another() -> None:
    weights = [fresh(NANO, seed).mask_decoder.iou_token for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_fresh_network_knows_where_a_click_is() -> None:
    places = torch.tensor([[[0.2, 0.2]], [[0.8, 0.2]]])
    one, other = fresh(NANO, 1).prompt_encoder.points(places, torch.ones(2, 1, dtype=torch.long), 64)
    assert (one - other).abs().max() > 0.1


def test_a_fresh_decoder_looks_at_what_is_near_a_prompt() -> None:
    model = fresh(NANO, 1)
    waves, look = model.prompt_encoder.fourier, model.mask_decoder.transformer.to_image
    query, keys = (
        look.split(look.q(waves(torch.tensor([[[0.31, 0.69]]])))),
        look.split(look.k(waves.grid(8, 8).flatten(2).mT)),
    )
    seen = (query @ keys.mT / query.shape[-1] ** 0.5).softmax(dim=-1).mean(dim=1).view(8, 8)
    assert seen[4:7, 1:4].sum() > 0.4  # of the nine cells around the prompt; 0.14 if it looked everywhere


def test_a_fresh_network_looks_at_the_same_place_of_its_memories_and_a_little_at_pointers() -> None:
    model = fresh(NANO, 1)
    look, memory = model.memory_attention.layers[0].to_memory, NANO.memory_channels
    rotation = axial_rotation(8, NANO.channels, look.q.weight)
    queries = rotation.turn(look.q(torch.zeros(1, 64, NANO.channels)))
    maps = rotation.turn(look.k(sine_table(8, 8, memory, look.q.weight).flatten(1).mT[None]))
    pointer = look.k(model.pointer_times(time_table(torch.zeros(1, 1), NANO.channels)))
    seen = (queries @ torch.cat((maps, pointer), dim=1).mT / NANO.channels**0.5).softmax(dim=-1)[0]
    assert torch.equal(seen.argmax(dim=-1), torch.arange(64))
    assert seen[:, :64].diagonal().min() > 0.5
    assert seen[:, 64].min() > 0.001 and seen[:, 64].max() < 0.1


def test_only_what_is_named_is_trained() -> None:
    model = network(Settings(trained=("mask_decoder", "neck.laterals")), CPU)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {
        name for name, _ in model.named_parameters() if name.startswith(("mask_decoder", "neck.laterals"))
    }


def test_a_name_that_nothing_begins_with_is_refused() -> None:
    with pytest.raises(SettingsError, match="nothing in the network begins with 'decoder'; it has trunk, neck"):
        network(Settings(trained=("decoder",)), CPU)


def test_training_goes_on_from_saved_weights(tmp_path: Path) -> None:
    model = fresh(NANO, 5)
    save_weights(tmp_path / "start.safetensors", model)
    again = network(Settings(start=str(tmp_path / "start.safetensors")), CPU)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_half_precision_weights_take_half_the_room(tmp_path: Path) -> None:
    model = fresh(NANO, 5)
    save_weights(tmp_path / "half.safetensors", model, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 16e6
    assert load_file(tmp_path / "half.safetensors")["no_memory"].dtype == torch.float16


def test_low_rank_updates_change_nothing_at_first_and_fold_into_the_weights() -> None:
    model = fresh(NANO, 1).eval()
    with torch.no_grad():
        before = model.encode(IMAGES)
        add_low_rank(model, 4)
        torch.testing.assert_close(model.encode(IMAGES).stride16, before.stride16)
        for module in model.modules():
            if isinstance(module, LowRank):
                module.up.normal_(std=0.02)
        changed = model.encode(IMAGES)
        plain = fresh(NANO, 2).eval()
        plain.load_state_dict(folded(model))
        torch.testing.assert_close(plain.encode(IMAGES).stride16, changed.stride16)
    assert not torch.equal(changed.stride16, before.stride16)


def test_with_low_rank_updates_the_trunk_itself_is_frozen() -> None:
    model = network(Settings(lora_rank=2, trained=("mask_decoder",)), CPU)
    trained = [name for name, p in model.named_parameters() if p.requires_grad and name.startswith("trunk")]
    assert trained
    assert all(name.endswith((".up", ".down")) and "parametrizations" in name for name in trained)


def test_blocks_are_left_out_in_training_alone() -> None:
    model = fresh(NANO, 1)
    add_drop_path(model.trunk, 0.9)
    with torch.no_grad():
        still = [model.eval().encode(IMAGES).stride16 for _ in range(2)]
        moving = [model.train().encode(IMAGES).stride16 for _ in range(4)]
    assert torch.equal(still[0], still[1])
    assert any(not torch.equal(moving[0], other) for other in moving[1:])


def test_the_trunks_first_layers_learn_slowest() -> None:
    model, settings = fresh(NANO, 1), Settings(layer_decay=0.5, trunk_rate=0.2, memory_rate=2.0)
    shares = {name: rate_share(model, name, settings) for name, _ in model.named_parameters()}
    assert shares["trunk.patches.weight"] == pytest.approx(0.2 * 0.5**10)  # nine blocks and one (reference-model §10.5)
    assert shares["trunk.blocks.8.norm1.weight"] == pytest.approx(0.2 * 0.5)
    assert shares["trunk.positions"] == shares["neck.stride4.weight"] == 0.2
    assert shares["memory_encoder.out.weight"] == shares["slots"] == 2.0
    assert shares["mask_decoder.iou_token"] == 1.0


def test_norms_and_biases_are_not_decayed_and_nothing_is_missed() -> None:
    model = fresh(NANO, 1)
    found = groups(model, Settings(weight_decay=0.1))
    ids = [id(p) for group in found for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    kept = {id(p) for group in found if group["weight_decay"] == 0 for p in group["params"]}
    assert id(model.memory_attention.norm.weight) in kept
    assert id(model.neck.stride4.bias) in kept
    assert id(model.neck.stride4.weight) not in kept


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    settings = Settings(rate=1.0, warmup=10, last_rate=0.2)
    assert rate(settings, 0, 0.0) == pytest.approx(0.1)
    assert rate(settings, 100, 0.0) == 1.0
    assert rate(settings, 100, 0.5) == pytest.approx(0.6)
    assert rate(settings, 100, 1.0) == pytest.approx(0.2)


def test_the_average_follows_the_weights() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    average = Average(model, decay=0.9)
    torch.nn.init.ones_(model.weight)
    average.update(model, step=10_000)
    assert average.weights["weight"].item() == pytest.approx(0.1)
    with average.shown(model):
        assert model.weight.item() == pytest.approx(0.1)
    assert model.weight.item() == 1.0
    assert np.isclose(average.weights["weight"].item(), 0.1)
