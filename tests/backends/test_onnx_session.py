"""onnxruntime sessions run on the requested device or not at all, with as many threads as the process may use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import masklet
from masklet.backends.onnx import DEVICE_TYPES, Session
from masklet.backends.onnx.session import Device, count_processors, make_session_options, parse_device
from masklet.checkpoints import key_names, write_tensors
from masklet.errors import BackendError, CheckpointError, MaskletError, ResourceError, SettingsError
from masklet.onnx_graphs import GraphName, write_graph
from support.networks import make_model

OTHER_DEVICES = [name for name in DEVICE_TYPES if name != "cpu"]


@pytest.fixture
def requested_providers(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Any]]:
    """An onnxruntime with every provider, whose sessions only record the providers that they are given."""
    requested: list[Sequence[Any]] = []

    class RecordingSession:
        def __init__(self, content: bytes, options: Any, providers: Sequence[Any], **_: Any) -> None:
            requested.append(providers)
            self.providers = [one if isinstance(one, str) else one[0] for one in providers]

        def get_providers(self) -> list[str]:
            return self.providers

        def get_inputs(self) -> list[Any]:
            return []

        get_outputs = get_inputs

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [one.provider for one in DEVICE_TYPES.values()])
    monkeypatch.setattr(onnxruntime, "InferenceSession", RecordingSession)
    return requested


@pytest.mark.parametrize("name", OTHER_DEVICES)
def test_a_device_without_a_provider_is_refused_with_the_package_to_install(name: str) -> None:
    if DEVICE_TYPES[name].provider in onnxruntime.get_available_providers():
        pytest.skip(f"{name} is available")
    with pytest.raises(ResourceError) as caught:
        parse_device(name)
    assert caught.value.code == "device-unavailable"
    assert DEVICE_TYPES[name].package in caught.value.hint


@pytest.mark.parametrize("name", OTHER_DEVICES)
def test_loading_a_model_on_such_a_device_is_refused(name: str, tmp_path: Path) -> None:
    if DEVICE_TYPES[name].provider in onnxruntime.get_available_providers():
        pytest.skip(f"{name} is available")
    path = tmp_path / "nano.safetensors"
    write_tensors(path, key_names.to_released(make_model("nano").tensors))
    with pytest.raises(MaskletError) as caught:
        masklet.load(path, device=name)
    assert caught.value.code == "device-unavailable"


@pytest.mark.parametrize("name", ["gpu", "cuda:one", "cuda:-1", "cpu:1", "coreml:0", "CPU"])
def test_an_unknown_device_name_is_refused(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_device(name)
    assert caught.value.code == "bad-usage"


def test_the_default_device_is_the_cpu() -> None:
    assert parse_device(None) == Device("cpu", 0)


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
def test_the_requested_device_comes_first(
    name: str, providers: list[str], requested_providers: list[Sequence[Any]]
) -> None:
    device = parse_device(name)
    Session("graph", lambda: b"", device).load()
    (requested,) = requested_providers
    assert [one if isinstance(one, str) else one[0] for one in requested] == providers
    assert requested[0][1].get("device_id", 0) == device.device_id
    assert str(device) == name


def test_a_provider_that_does_not_start_is_an_error(
    requested_providers: list[Sequence[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session("graph", lambda: b"", parse_device("cuda"))
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: ["CPUExecutionProvider"])
    with pytest.raises(ResourceError) as caught:
        session.load()
    assert caught.value.code == "device-unavailable"


@pytest.mark.parametrize(
    ("device", "message", "code"),
    [
        ("cuda:9", "CUDA failure 101: invalid device ordinal", "device-unavailable"),
        ("cuda", "CUDA failure 2: out of memory", "out-of-memory"),
        ("cpu", "BFCArena: Failed to allocate memory for requested buffer", "out-of-memory"),
        ("cpu", "no such thing", "onnx-broken"),
    ],
)
def test_a_session_that_cannot_be_created_has_a_code_for_the_reason(
    device: str, message: str, code: str, requested_providers: list[Sequence[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(onnxruntime, "InferenceSession", failing)
    with pytest.raises(MaskletError) as caught:
        Session("graph", lambda: b"", parse_device(device)).load()
    assert caught.value.code == code


def test_the_number_of_threads_is_omp_num_threads_or_the_number_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert count_processors() == make_session_options(Device()).intra_op_num_threads == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {4, 6}, raising=False)
    monkeypatch.setattr(Path, "read_text", lambda path: "max 100000")
    for none in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", none)
        assert count_processors() == 2
    monkeypatch.setattr(Path, "read_text", lambda path: "120000 100000")  # the CPU quota of a container
    assert count_processors() == 1


def make_session(name: GraphName = "memorize") -> Session:
    return Session(name, partial(write_graph, name, make_model("nano")))


def test_outputs_stay_on_the_device_and_serve_as_inputs() -> None:
    encode, attend = make_session("encode"), make_session("attend")
    features = encode(images=np.zeros((1, 3, 64, 64)))
    assert all(isinstance(value, onnxruntime.OrtValue) for value in features.values())
    outputs = attend(
        stride16=features["stride16"],
        memories=np.zeros((2, 1, 64, 4, 4)),
        slots=np.zeros((2, 1)),
        pointers=np.zeros((2, 0, 128)),
        times=np.zeros((2, 0)),
    )
    assert outputs["attended"].shape() == [2, 128, 4, 4]


def test_a_graph_is_read_once_at_the_first_call() -> None:
    read: list[int] = []

    def content() -> bytes:
        read.append(1)
        return write_graph("encode", make_model("nano"))

    session = Session("encode", content)
    assert read == []
    for _ in range(2):
        session(images=np.zeros((1, 3, 64, 64)))
    assert read == [1]


def test_a_missing_input_is_named() -> None:
    with pytest.raises(CheckpointError, match="'stride16'"):
        make_session()(logits=np.zeros((1, 1, 16, 16)))


def test_a_graph_that_fails_raises_a_backend_error() -> None:
    with pytest.raises(BackendError) as caught:
        make_session("encode")(images=np.zeros((1, 3, 96, 96)))  # the graph is for 64
    assert caught.value.code == "onnx-failed"


def test_a_full_memory_has_a_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError("Error in execution: bfc_arena.cc: Failed to allocate memory for requested buffer")

    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", full)
    with pytest.raises(ResourceError) as caught:
        make_session("encode")(images=np.zeros((1, 3, 64, 64)))
    assert caught.value.code == "out-of-memory"


def test_a_graph_with_a_name_that_is_not_utf_8_is_refused() -> None:
    content = write_graph("memorize", make_model("nano")).replace(b"memory_encoder.image.weight", b"\xff" * 27, 1)
    with pytest.raises(CheckpointError) as caught:
        Session("memorize", lambda: content).load()
    assert caught.value.code == "onnx-broken"


def test_bytes_that_are_not_a_graph_are_refused() -> None:
    with pytest.raises(CheckpointError) as caught:
        Session("invalid", lambda: b"invalid")()
    assert caught.value.code == "onnx-broken"


def test_devices_that_pytorch_does_not_know_run_on_onnxruntime(
    requested_providers: list[Sequence[Any]], tmp_path: Path
) -> None:
    path = tmp_path / "nano.safetensors"
    write_tensors(path, key_names.to_released(make_model("nano").tensors))
    assert type(masklet.load(path, device="openvino").backend).__name__ == "OnnxBackend"
