"""onnxruntime sessions: devices, threads, and graphs that are called like functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from masklet.checkpoints.hub import get_home
from masklet.errors import BackendError, CheckpointError, MaskletError, ResourceError, SettingsError


@runtime_checkable
class Value(Protocol):
    """An array on a device, such as `onnxruntime.OrtValue`."""

    def numpy(self) -> NDArray[Any]:
        """Copy the array to the host."""

    def shape(self) -> Sequence[int]:
        """Return the sizes of the array's dimensions."""


Array = Value | NDArray[Any]
"""An array on a device or on the host."""


class DeviceType(NamedTuple):
    """A type of device: its execution provider, the memory that outputs are bound to, and the package to install."""

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
"""Types of devices by the names that `device=` takes."""

_WITHOUT_INDEX = {"cpu", "coreml", "openvino"}
_ORT_ERRORS = (
    errors.EPFail,
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NotImplemented,
    errors.RuntimeException,
    MemoryError,  # raised by Python bindings for std::bad_alloc
    RuntimeError,  # raised while a graph runs, and for a device that cannot be started
    UnicodeDecodeError,  # raised for a message that quotes a name that is not UTF-8
)
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


class Device(NamedTuple):
    """A device that graphs run on: the name of its type, and its number among several."""

    name: str = "cpu"
    device_id: int = 0

    @property
    def type(self) -> DeviceType:
        """The type of the device."""
        return DEVICE_TYPES[self.name]

    def __str__(self) -> str:
        return f"{self.name}:{self.device_id}" if self.device_id else self.name


def parse_device(text: str | None) -> Device:
    """Parse the name of a device: a key of `DEVICE_TYPES`, with an optional index ("cuda:1"). None is the CPU.

    Raises:
        SettingsError: The name is unknown (`bad-usage`).
        ResourceError: The installed onnxruntime has no provider for the device (`device-unavailable`).
    """
    name, _, index = (text or "cpu").partition(":")
    if name not in DEVICE_TYPES or not (index or "0").isdecimal() or (index and name in _WITHOUT_INDEX):
        raise SettingsError(
            "bad-usage",
            f"device must be one of {', '.join(DEVICE_TYPES)}, with an optional index (cuda:1), got {text!r}",
        )
    device = Device(name, int(index or 0))
    if device.type.provider not in onnxruntime.get_available_providers():
        raise _unavailable_error(device, f"the installed onnxruntime has no {device.type.provider}")
    return device


class Session:
    """One graph on one device, loaded at the first call. Its outputs stay on the device."""

    def __init__(self, name: str, read: Callable[[], bytes], device: Device | None = None) -> None:
        """Create a session.

        Args:
            name: Name of the graph in error messages.
            read: Returns the ONNX file; called once, at the first use.
            device: The device that runs the graph. Default: the CPU.
        """
        self.name, self._read, self._device = name, read, device or Device()
        self._session: Any = None

    def __call__(self, **inputs: Array) -> dict[str, Value]:
        """Run the graph.

        Args:
            inputs: Arrays by name, on the host or on the device. Host arrays are converted to the graph's dtypes.

        Returns:
            Outputs by name, on the device.

        Raises:
            CheckpointError: The graph cannot be loaded or lacks a tensor (`onnx-broken`).
            BackendError: The graph fails while it runs (`onnx-failed`).
            ResourceError: The device is not available or its memory is full.
        """
        session = self.load()
        try:
            return self._run(session, _NamedTensors(self.name, inputs))
        except _ORT_ERRORS as cause:
            raise _run_error(self.name, cause) from cause

    def load(self) -> Any:
        """Return onnxruntime's session, which is created at the first call.

        Raises:
            CheckpointError: onnxruntime rejects the graph (`onnx-broken`).
            ResourceError: The device cannot be started, or its memory is full.
        """
        if self._session is None:
            content, providers = self._read(), _list_providers(self._device)
            try:
                session = onnxruntime.InferenceSession(
                    content, make_session_options(self._device), providers, enable_fallback=0
                )
            except _ORT_ERRORS as cause:
                raise self._load_error(cause) from cause
            if session.get_providers()[0] != self._device.type.provider:  # onnxruntime dropped it with a warning
                raise _unavailable_error(self._device, "onnxruntime could not start it; its own messages are above")
            tensors = (*session.get_inputs(), *session.get_outputs())
            if unknown := [f"{tensor.name} is {tensor.type}" for tensor in tensors if tensor.type not in _DTYPES]:
                raise CheckpointError("onnx-broken", f"{self.name}: not a graph of a model: {unknown[0]}")
            session._model_bytes = None  # frees the file, of which the session has its own copy
            self._session = session
        return self._session

    def _run(self, session: Any, inputs: Mapping[str, Array]) -> dict[str, Value]:
        values = {entry.name: self._to_value(inputs[entry.name], _DTYPES[entry.type]) for entry in session.get_inputs()}
        names = [output.name for output in session.get_outputs()]
        binding = session.io_binding()
        for name, value in values.items():  # `values` keeps the inputs alive until the graph has run
            binding.bind_ortvalue_input(name, value)
        for name in names:
            binding.bind_output(name, self._device.type.memory, self._device.device_id)
        session.run_with_iobinding(binding)
        return _NamedTensors(self.name, zip(names, binding.get_outputs(), strict=True))

    def _load_error(self, cause: Exception) -> MaskletError:
        if _is_memory_error(cause):
            return _run_error(self.name, cause)
        if self._device.name != "cpu" and isinstance(cause, RuntimeError | errors.EPFail):
            return _unavailable_error(self._device, _first_line(cause))
        return CheckpointError("onnx-broken", f"{self.name}: onnxruntime rejects the graph: {_first_line(cause)}")

    def _to_value(self, value: Array, dtype: type) -> Value:
        if not isinstance(value, np.ndarray):
            return value
        array: NDArray[Any] = np.ascontiguousarray(value, dtype)
        copy: Value = onnxruntime.OrtValue.ortvalue_from_numpy(array, self._device.type.memory, self._device.device_id)
        return copy


class _NamedTensors(dict[str, Any]):
    """Inputs or outputs of a graph by name. A missing name raises `CheckpointError`."""

    def __init__(self, graph: str, values: Any) -> None:
        super().__init__(values)
        self._graph = graph

    def __missing__(self, name: str) -> Any:
        raise CheckpointError("onnx-broken", f"{self._graph}: not a graph of a model: it has no tensor {name!r}")


def describe_graph(name: str, content: bytes) -> dict[str, dict[str, Any]]:
    """List the inputs and outputs of a graph as onnxruntime reads them.

    Args:
        name: Name of the graph in error messages.
        content: The ONNX file.

    Returns:
        `inputs` and `outputs`: a `shape` and a `dtype` by tensor name. A string in a shape names a free dimension.

    Raises:
        CheckpointError: onnxruntime rejects the graph (`onnx-broken`).
    """
    options = make_session_options(Device())
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(content, options, [DEVICE_TYPES["cpu"].provider])
    except _ORT_ERRORS as cause:
        raise CheckpointError("onnx-broken", f"{name}: onnxruntime rejects the graph: {_first_line(cause)}") from cause
    tensors = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    return {
        kind: {entry.name: {"shape": entry.shape, "dtype": np.dtype(_DTYPES[entry.type]).name} for entry in entries}
        for kind, entries in tensors.items()
    }


def to_numpy(value: Array) -> NDArray[Any]:
    """Copy a value to the host as a NumPy array, if it is not one already."""
    return value if isinstance(value, np.ndarray) else np.asarray(value.numpy())


def make_session_options(device: Device) -> Any:
    """Make onnxruntime's session options: one operator at a time on all processors, without spinning threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count_processors()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")  # spinning would slow down the next graph
    options.log_severity_level = 3  # errors only; they are raised as well
    if device.name == "directml":  # required by its provider
        options.enable_mem_pattern = False
    return options


def count_processors() -> int:
    """Count the processors that this process may use.

    `OMP_NUM_THREADS` decides, which PyTorch reads as well; without it the CPU affinity and the container's CPU quota.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads):
        return int(threads)
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not available on every platform
        count = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no container, or no limit
        return count


def _list_providers(device: Device) -> Sequence[Any]:
    """List the execution providers. Operators that the device lacks run on the CPU, for TensorRT first on CUDA."""
    options: dict[str, Any] = {"device_id": device.device_id} if device.name not in _WITHOUT_INDEX else {}
    fallback = [] if device.name == "cpu" else [DEVICE_TYPES["cpu"].provider]
    if device.name == "tensorrt":  # building an engine takes minutes, so engines are cached
        cache = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(get_home() / "tensorrt")}
        return [(device.type.provider, options | cache), (DEVICE_TYPES["cuda"].provider, options), *fallback]
    return [(device.type.provider, options), *fallback]


def _unavailable_error(device: Device, reason: str) -> ResourceError:
    return ResourceError(
        "device-unavailable",
        f"no device {device.name!r} here: {reason}",
        hint=f"install {device.type.package}, or use device='cpu'",
    )


def _is_memory_error(cause: Exception) -> bool:
    return isinstance(cause, MemoryError) or any(word in str(cause).lower() for word in ("alloc", "out of memory"))


def _run_error(name: str, cause: Exception) -> MaskletError:
    if _is_memory_error(cause):
        return ResourceError(
            "out-of-memory",
            f"the device's memory is full: {name}: {_first_line(cause)}",
            hint="choose a smaller input size or model, or fewer objects",
        )
    return BackendError("onnx-failed", f"{name}: onnxruntime failed: {_first_line(cause)}")


def _first_line(cause: Exception) -> str:
    return (str(cause).strip() or type(cause).__name__).splitlines()[0]
