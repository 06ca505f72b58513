"""Models of the Hugging Face Hub, from a local mirror."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import masklet
from masklet.checkpoints import key_names, write_released, write_tensors
from masklet.checkpoints.hub import find_or_pull
from masklet.checkpoints.hugging_face import looks_like_repository
from masklet.checkpoints.weights import load_weights, read_merged
from masklet.cli.main import main
from masklet.errors import BackendError, CheckpointError, InputNotFound, MaskletError, ResourceError, SettingsError
from parity.inputs import weights
from support.hub_mirror import COMMIT, HubMirror, serve_hub
from support.recorded import load_shapes

constants = pytest.importorskip("huggingface_hub.constants")

TOY = {"model.safetensors": b"weights", "config.json": b"{}", "other.bin": b"unused", "README.md": b"text"}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubMirror]:
    repositories = {
        "owner/transformers": dict(TOY),
        "owner/single": {"README.md": b"text", "weights/best.pt": b"checkpoint"},
        "owner/many": {"a.pt": b"first", "b.pt": b"second"},
        "owner/empty": {"README.md": b"text"},
        "owner/adapter": {"adapter_config.json": b"{}", "adapter_model.safetensors": b"updates", "optimizer.pt": b"x"},
    }
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("MASKLET_HOME", str(tmp_path / "home"))
    with serve_hub(repositories) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_a_folder_of_transformers_is_downloaded_without_other_files(mirror: HubMirror) -> None:
    folder = find_or_pull("hf:owner/transformers")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert sorted(mirror.downloads) == ["config.json", "model.safetensors"]
    assert find_or_pull("hf:owner/transformers") == folder
    assert len(mirror.downloads) == 2


def test_an_adapter_is_downloaded_without_other_files(mirror: HubMirror) -> None:
    folder = find_or_pull("hf:owner/adapter")
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


@pytest.mark.parametrize("revision", ["", "@main", "@v1", f"@{COMMIT}"])
def test_the_only_checkpoint_of_a_repository_is_downloaded(mirror: HubMirror, revision: str) -> None:
    path = find_or_pull(f"hf:owner/single{revision}")
    assert path.name == "best.pt" and path.read_bytes() == b"checkpoint"
    requests = [line for line in mirror.requests if "/resolve/" in line]
    assert all(f"/resolve/{revision[1:] or 'main'}/" in line or COMMIT in line for line in requests) and requests


def test_a_file_of_a_repository_is_downloaded_by_its_path(mirror: HubMirror) -> None:
    assert find_or_pull("hf:owner/many/b.pt").read_bytes() == b"second"
    assert find_or_pull("hf:owner/single/weights/best.pt@v1").read_bytes() == b"checkpoint"


@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        ("hf:owner/none", InputNotFound, "input-not-found"),
        ("hf:owner/single@v9", InputNotFound, "input-not-found"),
        ("hf:owner/single/none.pt", InputNotFound, "input-not-found"),
        ("hf:owner/gated", ResourceError, "download-failed"),
        ("hf:owner/many", SettingsError, "bad-usage"),
        ("hf:owner/empty", CheckpointError, "checkpoint-unknown-format"),
        ("hf:owner", SettingsError, "bad-usage"),
        ("hf:owner/..name/x/../y", SettingsError, "bad-usage"),
        ("hf:owner/na--me", SettingsError, "bad-usage"),
        ("hf:", SettingsError, "bad-usage"),
    ],
)
def test_errors_of_the_hub_have_codes_and_one_line(
    mirror: HubMirror, model: str, kind: type[MaskletError], code: str
) -> None:
    with pytest.raises(kind) as error:
        find_or_pull(model)
    assert error.value.code == code and model in error.value.message and "\n" not in error.value.message


def test_the_error_of_several_checkpoints_shows_how_to_name_one(mirror: HubMirror) -> None:
    with pytest.raises(SettingsError) as error:
        find_or_pull("hf:owner/many@v1")
    assert "a.pt, b.pt" in error.value.message and "hf:owner/many/a.pt@v1" in error.value.hint


def test_a_hub_that_cannot_be_reached_is_reported(mirror: HubMirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's attempts
    for model in ("hf:owner/transformers", "hf:owner/many/a.pt"):
        with pytest.raises(ResourceError) as error:
            find_or_pull(model)
        assert error.value.code == "network-unavailable" and "HF_ENDPOINT" in error.value.hint


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(BackendError) as error:
        find_or_pull("hf:owner/name")
    assert error.value.code == "backend-missing" and "huggingface_hub" in error.value.hint


@pytest.mark.parametrize(
    ("name", "expected"),
    [("owner/name", True), ("facebook/sam2.1-hiera-tiny", True), ("a/b/c", False), ("name", False), ("a/b.pt", False)],
)
def test_names_of_repositories_are_recognized(name: str, expected: bool) -> None:
    assert looks_like_repository(name) is expected


def publish_micro(mirror: HubMirror, tmp_path: Path) -> dict[str, np.ndarray]:
    """Put sam2.1-micro on the mirror, as transformers and as the publisher save it."""
    tensors = {name: np.asarray(value) for name, value in weights(load_shapes()["sam2.1-micro"], 1).items()}
    write_tensors(tmp_path / "model.safetensors", key_names.to_transformers(tensors))
    write_released(tmp_path / "micro.pt", tensors)
    mirror.repositories["owner/micro"] = {
        "model.safetensors": (tmp_path / "model.safetensors").read_bytes(),
        "config.json": b"{}",
        "micro.pt": (tmp_path / "micro.pt").read_bytes(),
    }
    return tensors


def test_a_model_of_the_hub_is_loaded(mirror: HubMirror, tmp_path: Path) -> None:
    tensors = publish_micro(mirror, tmp_path)
    models = [
        masklet.load("hf:owner/micro@v1", device="cpu", input_size=64),
        masklet.from_pretrained("owner/micro/micro.pt", revision=COMMIT, device="cpu", input_size=64),
    ]
    identity = key_names.compute_identity(tensors)
    assert [model.backend.identity for model in models] == [identity] * 2
    assert [model.config.name for model in models] == ["sam2.1-micro"] * 2


def test_the_commands_for_models_take_models_of_the_hub(
    mirror: HubMirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_micro(mirror, tmp_path)
    assert main(["models", "pull", "hf:owner/micro/micro.pt"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.read_bytes() == mirror.repositories["owner/micro"]["micro.pt"]
    assert main(["models", "info", "hf:owner/micro", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["architecture"] == "sam2.1-micro"
    assert main(["models", "pull", "hf:owner/micro", "--mirror", mirror.url]) == 2
    assert "HF_ENDPOINT" in capsys.readouterr().err


def test_an_adapter_finds_its_base_on_the_hub(mirror: HubMirror, tmp_path: Path) -> None:
    tensors = publish_micro(mirror, tmp_path)
    module = "sam_mask_decoder.transformer.layers.0.self_attn.q_proj"
    out, inner = tensors[f"{module}.weight"].shape
    folder = tmp_path / "adapter"
    folder.mkdir()
    updates = {f"{module}.lora_A.weight": np.ones((1, inner)), f"{module}.lora_B.weight": np.ones((out, 1))}
    write_tensors(folder / "adapter_model.safetensors", {f"base_model.model.{n}": v for n, v in updates.items()})
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "base_model_name_or_path": "owner/micro"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    found = read_merged(folder)
    name = str(key_names.rename_key(f"{module}.weight", "released", "transformers"))
    np.testing.assert_allclose(found.tensors[name], tensors[f"{module}.weight"] + 1, atol=1e-6)
    assert load_weights(folder).config.name == "sam2.1-micro"
