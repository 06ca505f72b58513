"""Dtypes of checkpoint tensors: their names in PyTorch and safetensors files and their decoding to numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ByteArray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Dtype:
    """A number format that a checkpoint may contain.

    Attributes:
        name: Its name in PyTorch and numpy, such as "float32".
        storage_dtype: The numpy dtype of its bytes. bfloat16, which numpy lacks, is stored as uint16.
        torch_storage: The class of a PyTorch storage of this dtype, such as "torch.FloatStorage".
        safetensors_name: Its name in safetensors files, such as "F32".
        is_floating: Whether values can be NaN or infinite.
    """

    name: str
    storage_dtype: np.dtype[Any]
    torch_storage: str
    safetensors_name: str
    is_floating: bool = False

    @property
    def itemsize(self) -> int:
        """Bytes per value."""
        return self.storage_dtype.itemsize

    def decode(self, raw: ByteArray) -> NDArray[Any]:
        """Decode bytes to values.

        Returns:
            A view of `raw`, except for bfloat16, which is widened exactly to float32, and for bool.
        """
        values = raw.view(self.storage_dtype)
        if self.name == "bfloat16":
            return (values.astype("<u4") << 16).view("<f4")
        return values != 0 if self.name == "bool" else values


def _make_dtype(name: str, storage_dtype: str, torch_prefix: str, safetensors_name: str) -> Dtype:
    torch_storage = f"torch.{torch_prefix}Storage"
    return Dtype(name, np.dtype(storage_dtype), torch_storage, safetensors_name, is_floating="float" in name)


DTYPES = (
    _make_dtype("float32", "<f4", "Float", "F32"),
    _make_dtype("float16", "<f2", "Half", "F16"),
    _make_dtype("bfloat16", "<u2", "BFloat16", "BF16"),
    _make_dtype("float64", "<f8", "Double", "F64"),
    _make_dtype("int64", "<i8", "Long", "I64"),
    _make_dtype("int32", "<i4", "Int", "I32"),
    _make_dtype("int16", "<i2", "Short", "I16"),
    _make_dtype("int8", "i1", "Char", "I8"),
    _make_dtype("uint8", "u1", "Byte", "U8"),
    _make_dtype("bool", "u1", "Bool", "BOOL"),
)
DTYPES_BY_TORCH_STORAGE = {dtype.torch_storage: dtype for dtype in DTYPES}
DTYPES_BY_SAFETENSORS_NAME = {dtype.safetensors_name: dtype for dtype in DTYPES}
DTYPES_BY_NAME = {dtype.name: dtype for dtype in DTYPES}
