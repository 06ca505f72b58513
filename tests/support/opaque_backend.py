"""Backend whose arrays only the backend can read: any other use of them is an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from masklet.backend import Decoded, Features, Memory, Predictions, Query, Recall

_SPECIAL_METHODS = """
    getitem setitem delitem iter next len contains reversed bool int float complex index round trunc floor ceil bytes
    array array_ufunc array_function array_interface array_priority buffer dlpack torch_function
    eq ne lt le gt ge hash neg pos abs invert
    add sub mul truediv floordiv mod divmod pow matmul and or xor lshift rshift
    radd rsub rmul rtruediv rfloordiv rmod rdivmod rpow rmatmul rand ror rxor rlshift rrshift
    iadd isub imul itruediv ifloordiv imod ipow imatmul iand ior ixor ilshift irshift
    copy deepcopy reduce_ex
"""


class ArrayUseError(AssertionError):
    """Code above the backend used an array of the backend."""


class OpaqueArray:
    """Array that raises on indexing, iteration, arithmetic, comparison, conversion, and access to its attributes."""

    __slots__ = ("__weakref__", "_array")

    def __init__(self, array: Any) -> None:
        object.__setattr__(self, "_array", array)

    def __repr__(self) -> str:
        return "OpaqueArray()"

    def __getattribute__(self, name: str) -> Any:
        if name in ("__class__", "__weakref__"):
            return object.__getattribute__(self, name)
        raise ArrayUseError(f"{name} of a backend's array")

    def __setattr__(self, name: str, value: Any) -> None:
        raise ArrayUseError(f"{name} of a backend's array")


def _forbid(name: str) -> Any:
    def use(*arguments: Any, **keywords: Any) -> NoReturn:
        raise ArrayUseError(f"__{name}__ of a backend's array")

    return use


for _name in _SPECIAL_METHODS.split():
    setattr(OpaqueArray, f"__{_name}__", _forbid(_name))


class OpaqueBackend:
    """`Backend` around another one, whose arrays are `OpaqueArray`.

    Args:
        backend: The backend that computes. Attributes that the protocol does not have are read from it.
    """

    def __init__(self, backend: Any) -> None:
        self.inner = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Features]:
        return [_wrap(features) for features in self.inner.encode(images)]

    def attend(self, features: Features, recalls: Sequence[Recall]) -> Features:
        return _wrap(self.inner.attend(_unwrap(features), [_unwrap_recall(recall) for recall in recalls]))

    def decode(self, features: Features, queries: Sequence[Query], *, hide: bool = False) -> Decoded:
        unwrapped = [query._replace(mask=_unwrap(query.mask)) for query in queries]
        return _wrap(self.inner.decode(_unwrap(features), unwrapped, hide=hide))

    def use_masks(self, features: Features, masks: Sequence[NDArray[np.bool_]]) -> Decoded:
        return _wrap(self.inner.use_masks(_unwrap(features), masks))

    def select(self, decoded: Decoded, picks: Sequence[tuple[int, int | None]]) -> list[Decoded]:
        return [_wrap(one) for one in self.inner.select(_unwrap(decoded), picks)]

    def memorize(self, features: Features, decoded: Sequence[Decoded], prompted: Sequence[bool]) -> list[Memory]:
        memories = self.inner.memorize(_unwrap(features), [_unwrap(one) for one in decoded], prompted)
        return [_wrap(memory) for memory in memories]

    def fetch(self, decoded: Sequence[Decoded | None]) -> Predictions:
        return self.inner.fetch([_unwrap(one) for one in decoded])

    def fetch_candidates(self, decoded: Decoded) -> Predictions:
        return self.inner.fetch_candidates(_unwrap(decoded))

    def store(self, arrays: Sequence[OpaqueArray]) -> list[NDArray[Any]]:
        return self.inner.store([_unwrap(array) for array in arrays])

    def restore(self, arrays: Sequence[NDArray[Any]]) -> list[OpaqueArray]:
        return [OpaqueArray(array) for array in self.inner.restore(arrays)]


def _wrap(value: Any) -> Any:
    """Wrap the arrays of a record."""
    if value is None:
        return None
    return type(value)(*map(_wrap, value)) if isinstance(value, tuple) else OpaqueArray(value)


def _unwrap(value: Any) -> Any:
    """Unwrap the arrays of a record. Other values, such as the mask of a prompt, are returned as they are."""
    if type(value) is OpaqueArray:
        return object.__getattribute__(value, "_array")
    return type(value)(*map(_unwrap, value)) if isinstance(value, tuple) else value


def _unwrap_recall(recall: Recall) -> Recall:
    spatial, pointers = (
        tuple((n, _unwrap(memory)) for n, memory in part) for part in (recall.spatial, recall.pointers)
    )
    return Recall(spatial, pointers, recall.horizon, recall.scales)
