"""onnxruntime itself: which device it runs on, how many threads it gets, and graphs that are called like functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as faults

from masklet.checkpoints.hub import get_home
from masklet.errors import BackendError, CheckpointError, MaskletError, ResourceError, SettingsError

Value = Any  # onnxruntime.OrtValue: an array on a device
Input = Value | NDArray[Any]


class DeviceType(NamedTuple):
    """A kind of device: onnxruntime's name for what runs there, where its results stay, and what to install."""

    provider: str
    memory: str
    package: str


DEVICE_TYPES = {
    "cpu": DeviceType("CPUExecutionProvider", "cpu", "onnxruntime"),
    "cuda": DeviceType("CUDAExecutionProvider", "cuda", "onnxruntime-gpu"),
    "tensorrt": DeviceType("TensorrtExecutionProvider", "cuda", "onnxruntime-gpu and tensorrt"),
    "coreml": DeviceType("CoreMLExecutionProvider", "cpu", "onnxruntime (on a Mac)"),
    "directml": DeviceType("DmlExecutionProvider", "cpu", "onnxruntime-directml"),
    "openvino": DeviceType("OpenVINOExecutionProvider", "cpu", "onnxruntime-openvino"),
}
"""Every device by the name that users give it."""

_ALONE = {"cpu", "coreml", "openvino"}  # of these there is one
_FAULTS = (
    faults.EPFail,
    faults.Fail,
    faults.InvalidArgument,
    faults.InvalidGraph,
    faults.InvalidProtobuf,
    faults.NotImplemented,
    faults.RuntimeException,
    RuntimeError,  # what it says where it runs, and where a device is not as it should be
    UnicodeDecodeError,  # of a message with a name that is no text
)
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


class Device(NamedTuple):
    """Where graphs run: a kind, and which of several."""

    name: str = "cpu"
    index: int = 0

    @property
    def type(self) -> DeviceType:
        """What onnxruntime calls it."""
        return DEVICE_TYPES[self.name]

    def __str__(self) -> str:
        return f"{self.name}:{self.index}" if self.index else self.name


def parse_device(text: str | None) -> Device:
    """The device that a user means: a name of `DEVICE_TYPES`, perhaps with a number ("cuda:1"); by default the processor.

    Raises `SettingsError` for a name that is none, and `ResourceError` where this onnxruntime cannot run there.
    """
    name, _, number = (text or "cpu").partition(":")
    if name not in DEVICE_TYPES or not (number or "0").isdecimal() or (number and name in _ALONE):
        raise SettingsError(
            "bad-usage",
            f"device must be one of {', '.join(DEVICE_TYPES)}, perhaps with a number (cuda:1), got {text!r}",
        )
    device = Device(name, int(number or 0))
    if device.type.provider not in onnxruntime.get_available_providers():
        raise _unavailable(device, f"this onnxruntime has no {device.type.provider}")
    return device


class Session:
    """One graph on one device, loaded when it is first called. Its results stay on the device."""

    def __init__(self, name: str, read: Callable[[], bytes], device: Device | None = None) -> None:
        self.name, self._read, self._device = name, read, device or Device()
        self._session: Any = None

    def __call__(self, **inputs: Input) -> dict[str, Value]:
        """The graph's outputs by name. Inputs are arrays of the host or of the device; those of the host are made the
        kind of numbers that the graph takes."""
        session = self.load()
        try:
            return self._run(session, _Named(self.name, inputs))
        except _FAULTS as cause:
            raise _failed(self.name, cause) from cause

    def load(self) -> Any:
        """onnxruntime's session. Raises `CheckpointError` for a graph it refuses, `ResourceError` for the device."""
        if self._session is None:
            content, providers = self._read(), _providers(self._device)
            try:
                session = onnxruntime.InferenceSession(
                    content, make_session_options(self._device), providers, enable_fallback=0
                )
            except _FAULTS as cause:
                raise self._refused(cause) from cause
            if session.get_providers()[0] != self._device.type.provider:  # it left it out with no more than a warning
                raise _unavailable(self._device, "onnxruntime could not start it; its own messages are above")
            ends = (*session.get_inputs(), *session.get_outputs())
            if unknown := [f"{one.name} is {one.type}" for one in ends if one.type not in _DTYPES]:
                raise CheckpointError("onnx-broken", f"{self.name}: not a graph of a model: {unknown[0]}")
            session._model_bytes = None  # or the session keeps the file beside the weights
            self._session = session
        return self._session

    def _run(self, session: Any, given: Mapping[str, Input]) -> dict[str, Value]:
        values = {one.name: self._value(given[one.name], _DTYPES[one.type]) for one in session.get_inputs()}
        names = [one.name for one in session.get_outputs()]
        binding = session.io_binding()
        for name, value in values.items():  # which must live until the graph has run
            binding.bind_ortvalue_input(name, value)
        for name in names:
            binding.bind_output(name, self._device.type.memory, self._device.index)
        session.run_with_iobinding(binding)
        return _Named(self.name, zip(names, binding.get_outputs(), strict=True))

    def _refused(self, cause: Exception) -> MaskletError:
        if _is_full(cause):
            return _failed(self.name, cause)
        if self._device.name != "cpu" and isinstance(cause, RuntimeError | faults.EPFail):
            return _unavailable(self._device, _line(cause))
        return CheckpointError("onnx-broken", f"{self.name}: onnxruntime refuses it: {_line(cause)}")

    def _value(self, value: Input, dtype: type) -> Value:
        if not isinstance(value, np.ndarray):
            return value
        array: NDArray[Any] = np.ascontiguousarray(value, dtype)
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, self._device.type.memory, self._device.index)


class _Named(dict[str, Any]):
    """What a graph is given or gives, by name."""

    def __init__(self, graph: str, values: Any) -> None:
        super().__init__(values)
        self._graph = graph

    def __missing__(self, name: str) -> Any:
        raise CheckpointError("onnx-broken", f"{self._graph}: not a graph of a model: what is {name!r}?")


def describe_graph(name: str, content: bytes) -> dict[str, dict[str, Any]]:
    """`inputs` and `outputs` of a graph as onnxruntime sees them: shape and dtype by name, where a word in a shape is a
    length that may be any. Raises `CheckpointError` for a graph that it refuses."""
    quick = make_session_options(Device())
    quick.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(content, quick, [DEVICE_TYPES["cpu"].provider])
    except _FAULTS as cause:
        raise CheckpointError("onnx-broken", f"{name}: onnxruntime refuses it: {_line(cause)}") from cause
    found = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    return {
        kind: {one.name: {"shape": one.shape, "dtype": np.dtype(_DTYPES[one.type]).name} for one in ones}
        for kind, ones in found.items()
    }


def to_numpy(value: Any) -> NDArray[Any]:
    """An array as numpy, wherever it is."""
    return value if isinstance(value, np.ndarray) else np.asarray(value.numpy())


def make_session_options(device: Device) -> Any:
    """How sessions run: one operator at a time on all processors, which then sleep instead of waiting busily."""
    found = onnxruntime.SessionOptions()
    found.intra_op_num_threads = count_processors()
    found.inter_op_num_threads = 1
    found.add_session_config_entry("session.force_spinning_stop", "1")  # or the next graph has to share the processors
    found.log_severity_level = 3  # faults only; they are raised as well
    if device.name == "directml":  # as onnxruntime demands of it
        found.enable_mem_pattern = False
    return found


def count_processors() -> int:
    """How many processors this process may use: as OMP_NUM_THREADS says, which PyTorch heeds as well, or by its
    affinity and the container it runs in."""
    wish = os.environ.get("OMP_NUM_THREADS", "")
    if wish.isdecimal() and int(wish):
        return int(wish)
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not everywhere
        count = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no container, or one without a limit
        return count


def _providers(device: Device) -> Sequence[Any]:
    """onnxruntime's list: what the device lacks runs on the processor, or for TensorRT first on CUDA."""
    chosen: dict[str, Any] = {"device_id": device.index} if device.name not in _ALONE else {}
    last = [] if device.name == "cpu" else [DEVICE_TYPES["cpu"].provider]
    if device.name == "tensorrt":  # what it makes of a graph takes it minutes, so it is kept
        kept = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(get_home() / "tensorrt")}
        return [(device.type.provider, chosen | kept), (DEVICE_TYPES["cuda"].provider, chosen), *last]
    return [(device.type.provider, chosen), *last]


def _unavailable(device: Device, why: str) -> ResourceError:
    return ResourceError(
        "device-unavailable",
        f"no device {device.name!r} here: {why}",
        hint=f"install {device.type.package}, or use device='cpu'",
    )


def _is_full(cause: Exception) -> bool:
    return any(word in str(cause).lower() for word in ("alloc", "out of memory"))


def _failed(name: str, cause: Exception) -> MaskletError:
    if _is_full(cause):
        return ResourceError(
            "out-of-memory",
            f"the device's memory is full: {name}: {_line(cause)}",
            hint="choose a smaller size or model, or fewer objects",
        )
    return BackendError("onnx-failed", f"{name}: onnxruntime failed: {_line(cause)}")


def _line(cause: Exception) -> str:
    return str(cause).strip().splitlines()[0]
