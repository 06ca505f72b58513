"""Where graphs run: on the device that was named or not at all, with threads that fit the machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import masklet
from masklet.backends.onnx import KINDS, Session
from masklet.backends.onnx.session import Device, device_named, options, processors
from masklet.checkpoints import key_names, write_tensors
from masklet.errors import BackendError, CheckpointError, MaskletError, ResourceError, SettingsError
from masklet.onnx_graphs import write_graph
from support.networks import network

OTHERS = [name for name in KINDS if name != "cpu"]


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Any]]:
    """An onnxruntime that has every provider and whose sessions only note which they are given."""
    asked: list[Sequence[Any]] = []

    class Noted:
        def __init__(self, content: bytes, how: Any, providers: Sequence[Any], **_: Any) -> None:
            asked.append(providers)
            self.providers = [one if isinstance(one, str) else one[0] for one in providers]

        def get_providers(self) -> list[str]:
            return self.providers

        def get_inputs(self) -> list[Any]:
            return []

        get_outputs = get_inputs

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [kind.provider for kind in KINDS.values()])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Noted)
    return asked


@pytest.mark.parametrize("name", OTHERS)
def test_a_device_that_this_onnxruntime_lacks_is_refused_with_what_to_install(name: str) -> None:
    if KINDS[name].provider in onnxruntime.get_available_providers():
        pytest.skip(f"{name} is here")
    with pytest.raises(ResourceError) as caught:
        device_named(name)
    assert caught.value.code == "device-unavailable"
    assert KINDS[name].package in caught.value.hint


@pytest.mark.parametrize("name", OTHERS)
def test_loading_a_model_there_is_refused_too(name: str, tmp_path: Path) -> None:
    if KINDS[name].provider in onnxruntime.get_available_providers():
        pytest.skip(f"{name} is here")
    path = tmp_path / "nano.safetensors"
    write_tensors(path, key_names.to_released(network("nano").tensors))
    with pytest.raises(MaskletError) as caught:
        masklet.load(path, device=name)
    assert caught.value.code == "device-unavailable"


@pytest.mark.parametrize("name", ["gpu", "cuda:one", "cuda:-1", "cpu:1", "coreml:0", "CPU"])
def test_what_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        device_named(name)
    assert caught.value.code == "bad-usage"


def test_the_processor_is_the_device_where_none_is_named() -> None:
    assert device_named(None) == Device("cpu", 0)


@pytest.mark.parametrize(
    ("name", "providers"),
    [
        ("cuda:1", ["CUDAExecutionProvider", "CPUExecutionProvider"]),
        ("tensorrt", ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]),
        ("coreml", ["CoreMLExecutionProvider", "CPUExecutionProvider"]),
        ("directml:1", ["DmlExecutionProvider", "CPUExecutionProvider"]),
        ("openvino", ["OpenVINOExecutionProvider", "CPUExecutionProvider"]),
    ],
)
def test_a_device_that_is_named_comes_first(name: str, providers: list[str], everywhere: list[Sequence[Any]]) -> None:
    device = device_named(name)
    Session("graph", lambda: b"", device).load()
    (asked,) = everywhere
    assert [one if isinstance(one, str) else one[0] for one in asked] == providers
    assert asked[0][1].get("device_id", 0) == device.number
    assert str(device) == name


def test_a_provider_that_does_not_start_is_an_error_and_never_replaced(
    everywhere: list[Sequence[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session("graph", lambda: b"", device_named("cuda"))
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: ["CPUExecutionProvider"])
    with pytest.raises(ResourceError) as caught:
        session.load()
    assert caught.value.code == "device-unavailable"


@pytest.mark.parametrize(
    ("device", "said", "code"),
    [
        ("cuda:9", "CUDA failure 101: invalid device ordinal", "device-unavailable"),
        ("cuda", "CUDA failure 2: out of memory", "out-of-memory"),
        ("cpu", "BFCArena: Failed to allocate memory for requested buffer", "out-of-memory"),
        ("cpu", "no such thing", "onnx-broken"),
    ],
)
def test_a_session_that_cannot_be_made_says_why(
    device: str, said: str, code: str, everywhere: list[Sequence[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(onnxruntime, "InferenceSession", failing)
    with pytest.raises(MaskletError) as caught:
        Session("graph", lambda: b"", device_named(device)).load()
    assert caught.value.code == code


def test_there_are_as_many_threads_as_processors_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert processors() == options(Device()).intra_op_num_threads == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {4, 6}, raising=False)
    monkeypatch.setattr(Path, "read_text", lambda path: "max 100000")
    for none in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", none)
        assert processors() == 2
    monkeypatch.setattr(Path, "read_text", lambda path: "120000 100000")  # what a container may use
    assert processors() == 1


def graph(verb: Any = "memorize") -> Session:
    return Session(verb, partial(write_graph, verb, network("nano")))


def test_results_stay_where_they_are_and_go_on_as_inputs() -> None:
    encode, attend = graph("encode"), graph("attend")
    features = encode(images=np.zeros((1, 3, 64, 64)))
    assert all(isinstance(value, onnxruntime.OrtValue) for value in features.values())
    found = attend(
        stride16=features["stride16"],
        memories=np.zeros((2, 1, 64, 4, 4)),
        slots=np.zeros((2, 1)),
        pointers=np.zeros((2, 0, 128)),
        times=np.zeros((2, 0)),
    )
    assert found["attended"].shape() == [2, 128, 4, 4]


def test_a_graph_is_read_once_and_only_when_it_is_called() -> None:
    read: list[int] = []

    def content() -> bytes:
        read.append(1)
        return write_graph("encode", network("nano"))

    session = Session("encode", content)
    assert read == []
    for _ in range(2):
        session(images=np.zeros((1, 3, 64, 64)))
    assert read == [1]


def test_an_input_that_is_missing_is_named() -> None:
    with pytest.raises(CheckpointError, match="'stride16'"):
        graph()(logits=np.zeros((1, 1, 16, 16)))


def test_what_fails_while_a_graph_runs_is_one_of_our_errors() -> None:
    with pytest.raises(BackendError) as caught:
        graph("encode")(images=np.zeros((1, 3, 96, 96)))  # the graph is for 64
    assert caught.value.code == "onnx-failed"


def test_a_full_memory_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError("Error in execution: bfc_arena.cc: Failed to allocate memory for requested buffer")

    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", full)
    with pytest.raises(ResourceError) as caught:
        graph("encode")(images=np.zeros((1, 3, 64, 64)))
    assert caught.value.code == "out-of-memory"


def test_a_graph_with_a_name_that_is_no_text_is_refused() -> None:
    content = write_graph("memorize", network("nano")).replace(b"memory_encoder.image.weight", b"\xff" * 27, 1)
    with pytest.raises(CheckpointError) as caught:
        Session("memorize", lambda: content).load()
    assert caught.value.code == "onnx-broken"


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(CheckpointError) as caught:
        Session("junk", lambda: b"junk")()
    assert caught.value.code == "onnx-broken"


def test_devices_that_pytorch_does_not_know_run_on_onnxruntime(everywhere: list[Sequence[Any]], tmp_path: Path) -> None:
    path = tmp_path / "nano.safetensors"
    write_tensors(path, key_names.to_released(network("nano").tensors))
    assert type(masklet.load(path, device="openvino").backend).__name__ == "OnnxBackend"
