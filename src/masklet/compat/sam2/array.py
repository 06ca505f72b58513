"""What the predictors return in place of tensors: tensors of PyTorch, or `Array` where PyTorch is not installed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray


@cache
def has_torch() -> bool:
    """Return whether PyTorch is installed."""
    return find_spec("torch") is not None


def make_tensor(values: Any, device: Any = None) -> Any:
    """Convert an array of NumPy or of a backend to a tensor on a device, or to an `Array` without PyTorch."""
    if not has_torch():
        return values if isinstance(values, Array) else Array(np.asarray(values))
    import torch

    tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    if tensor.is_inference():
        tensor = tensor.clone()  # programs may change what they get
    return tensor if device is None else tensor.to(device)


def to_bfloat16(tensor: Any) -> Any:
    """Convert a tensor to bfloat16. An `Array`, which has no such numbers, stays as it is."""
    if not has_torch():
        return tensor
    import torch

    return tensor.to(torch.bfloat16)


def to_numpy(values: Any) -> NDArray[Any]:
    """Convert a tensor, an `Array` or whatever NumPy takes to an array of NumPy."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
    return np.asarray(values)


def concatenate(tensors: Sequence[Any]) -> Any:
    """Join tensors along their first axis."""
    if len(tensors) == 1:
        return tensors[0]
    if not has_torch():
        return Array(np.concatenate([to_numpy(tensor) for tensor in tensors]))
    import torch

    return torch.cat(list(tensors))


class Array:
    """An array with the methods of a tensor that programs call on results.

    Arithmetic, comparison and indexing are those of NumPy and return an `Array`.

    Attributes:
        values: The array of NumPy, which `numpy()` returns.
    """

    __array_priority__ = 100  # NumPy leaves operators to this class
    __hash__ = object.__hash__

    def __init__(self, values: Any) -> None:
        self.values: NDArray[Any] = np.asarray(values)

    def __repr__(self) -> str:
        return f"Array({self.values!r})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        converted = self.values if dtype is None else self.values.astype(dtype, copy=False)
        return converted.copy() if copy else converted

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Array]:
        return (Array(row) for row in self.values)

    def __getitem__(self, index: Any) -> Array:
        return Array(self.values[_unwrap(index)])

    def __setitem__(self, index: Any, values: Any) -> None:
        self.values[_unwrap(index)] = _unwrap(values)

    def __bool__(self) -> bool:
        return bool(self.values)

    def __int__(self) -> int:
        return int(self.values.item())

    def __float__(self) -> float:
        return float(self.values.item())

    def __index__(self) -> int:
        return operator.index(self.values.item())

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.values.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers, one of NumPy."""
        return self.values.dtype

    @property
    def device(self) -> str:
        """Device of the array."""
        return "cpu"

    def size(self, axis: int | None = None) -> Any:
        """Return the lengths of all axes, or of one."""
        return self.shape if axis is None else self.shape[axis]

    def dim(self) -> int:
        """Return the number of axes."""
        return self.values.ndim

    def numel(self) -> int:
        """Return the number of values."""
        return self.values.size

    def cpu(self) -> Array:
        """Return the array itself, which is in the memory of the CPU."""
        return self

    def detach(self) -> Array:
        """Return the array itself, which has no gradient."""
        return self

    def contiguous(self) -> Array:
        """Return the array with its values in order."""
        return Array(np.ascontiguousarray(self.values))

    def clone(self) -> Array:
        """Return a copy."""
        return Array(self.values.copy())

    def to(self, *args: Any, **kwargs: Any) -> Array:
        """Return the array, in another dtype if a dtype of NumPy is given. Devices have no effect."""
        dtype = next((value for value in (*args, *kwargs.values()) if isinstance(value, type | np.dtype)), None)
        return self if dtype is None else Array(self.values.astype(dtype))

    def numpy(self) -> NDArray[Any]:
        """Return the array of NumPy."""
        return self.values

    def tolist(self) -> Any:
        """Return nested lists of numbers."""
        return self.values.tolist()

    def item(self) -> Any:
        """Return the only value as a number."""
        return self.values.item()

    def squeeze(self, axis: int | None = None) -> Array:
        """Remove axes of length 1, or one axis if its length is 1."""
        if axis is None:
            return Array(self.values.squeeze())
        return Array(self.values.squeeze(axis)) if self.values.shape[axis] == 1 else self

    def unsqueeze(self, axis: int) -> Array:
        """Insert an axis of length 1."""
        return Array(np.expand_dims(self.values, axis))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Array:
        """Join the axes from `start_dim` to `end_dim`."""
        shape, stop = self.shape, end_dim % max(self.ndim, 1) + 1
        return Array(self.values.reshape(*shape[:start_dim], -1, *shape[stop:]))

    def reshape(self, *shape: Any) -> Array:
        """Return the values with other axes."""
        return Array(self.values.reshape(*shape))

    def permute(self, *axes: Any) -> Array:
        """Return the array with its axes in another order."""
        return Array(self.values.transpose(*axes))

    def sum(self, *args: Any, **kwargs: Any) -> Array:
        """Return the sum, of all values or along an axis."""
        return Array(self.values.sum(*args, **kwargs))

    def any(self, *args: Any, **kwargs: Any) -> Array:
        """Return whether any value is true."""
        return Array(self.values.any(*args, **kwargs))

    def all(self, *args: Any, **kwargs: Any) -> Array:
        """Return whether all values are true."""
        return Array(self.values.all(*args, **kwargs))

    def max(self, *args: Any, **kwargs: Any) -> Array:
        """Return the largest value."""
        return Array(self.values.max(*args, **kwargs))

    def min(self, *args: Any, **kwargs: Any) -> Array:
        """Return the smallest value."""
        return Array(self.values.min(*args, **kwargs))

    def mean(self, *args: Any, **kwargs: Any) -> Array:
        """Return the mean."""
        return Array(self.values.mean(*args, **kwargs))

    def argmax(self, *args: Any, **kwargs: Any) -> Array:
        """Return the position of the largest value."""
        return Array(self.values.argmax(*args, **kwargs))

    def sigmoid(self) -> Array:
        """Return the logistic function of the values."""
        return Array(1 / (1 + np.exp(-self.values)))

    def float(self) -> Array:
        """Return the array as float32."""
        return Array(self.values.astype(np.float32, copy=False))

    def bool(self) -> Array:
        """Return the array as booleans."""
        return Array(self.values.astype(np.bool_, copy=False))

    def int(self) -> Array:
        """Return the array as int32."""
        return Array(self.values.astype(np.int32, copy=False))


def _unwrap(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_unwrap, value))
    return value.values if isinstance(value, Array) else value


def _make_operator(name: str) -> Callable[..., Array]:
    def operate(self: Array, *others: Any) -> Any:
        result = getattr(self.values, name)(*map(_unwrap, others))
        return result if result is NotImplemented else Array(result)

    operate.__name__ = name
    return operate


_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
for _name in (*_BINARY, *(f"r{name}" for name in _BINARY), *_COMPARISONS, "neg", "invert", "abs"):
    setattr(Array, f"__{_name}__", _make_operator(f"__{_name}__"))
