"""Which kinds of numbers a checkpoint may hold, what files call them, and how they become numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """One kind of number. `stored` is how its bytes are seen; bfloat16, which numpy lacks, is seen as uint16."""

    name: str
    stored: np.dtype[Any]
    storage: str  # PyTorch's name of an array of them
    code: str  # safetensors' name
    floating: bool = False

    @property
    def size(self) -> int:
        """Bytes per number."""
        return self.stored.itemsize

    def decode(self, raw: Bytes) -> NDArray[Any]:
        """The numbers in `raw`: a view, but bfloat16 is widened, exactly, to float32, and booleans are made 0 or 1."""
        numbers = raw.view(self.stored)
        if self.name == "bfloat16":
            return (numbers.astype("<u4") << 16).view("<f4")
        return numbers != 0 if self.name == "bool" else numbers


def _format(name: str, stored: str, storage: str, code: str) -> NumberFormat:
    return NumberFormat(name, np.dtype(stored), f"torch.{storage}Storage", code, floating="float" in name)


NUMBER_FORMATS = (
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
BY_STORAGE = {known.storage: known for known in NUMBER_FORMATS}
BY_CODE = {known.code: known for known in NUMBER_FORMATS}
BY_NAME = {known.name: known for known in NUMBER_FORMATS}
