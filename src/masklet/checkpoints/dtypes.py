"""Which kinds of numbers a checkpoint may hold, what files call them, and how they become numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ByteArray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Dtype:
    """One kind of number. `stored` is how its bytes are seen; bfloat16, which numpy lacks, is seen as uint16."""

    name: str
    storage_dtype: np.dtype[Any]
    torch_storage: str  # PyTorch's name of an array of them
    safetensors_name: str  # safetensors' name
    is_floating: bool = False

    @property
    def itemsize(self) -> int:
        """Bytes per number."""
        return self.storage_dtype.itemsize

    def decode(self, raw: ByteArray) -> NDArray[Any]:
        """The numbers in `raw`: a view, but bfloat16 is widened, exactly, to float32, and booleans are made 0 or 1."""
        numbers = raw.view(self.storage_dtype)
        if self.name == "bfloat16":
            return (numbers.astype("<u4") << 16).view("<f4")
        return numbers != 0 if self.name == "bool" else numbers


def _format(name: str, stored: str, storage: str, code: str) -> Dtype:
    return Dtype(name, np.dtype(stored), f"torch.{storage}Storage", code, is_floating="float" in name)


DTYPES = (
    _format("float32", "<f4", "Float", "F32"),
    _format("float16", "<f2", "Half", "F16"),
    _format("bfloat16", "<u2", "BFloat16", "BF16"),
    _format("float64", "<f8", "Double", "F64"),
    _format("int64", "<i8", "Long", "I64"),
    _format("int32", "<i4", "Int", "I32"),
    _format("int16", "<i2", "Short", "I16"),
    _format("int8", "i1", "Char", "I8"),
    _format("uint8", "u1", "Byte", "U8"),
    _format("bool", "u1", "Bool", "BOOL"),
)
DTYPES_BY_TORCH_STORAGE = {known.torch_storage: known for known in DTYPES}
DTYPES_BY_SAFETENSORS_NAME = {known.safetensors_name: known for known in DTYPES}
DTYPES_BY_NAME = {known.name: known for known in DTYPES}
