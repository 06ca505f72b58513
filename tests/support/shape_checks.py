"""Type checks of calls for jaxtyping's import hook: shapes of arrays, and of the arrays in a backend's records."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from beartype import beartype
from jaxtyping import jaxtyped

from masklet.backend import Candidates, Decoded, Features, Memory

Function = TypeVar("Function", bound=Callable[..., Any])


def check(function: Function) -> Function:
    """Decorate a function so that each call compares its arguments and its result with their types."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError:  # a class that is not complete yet, as in its own methods, which take no records
        return beartype(function)
    function.__annotations__ = {name: _replace_records(hint) for name, hint in hints.items()}
    return beartype(function)


class _RecordMeta(type):
    """Type of the instances of `record` whose arrays have the shapes of its fields.

    Sizes of the same name are equal within a record. Values on onnxruntime's devices are not checked.
    """

    record: Any

    def __instancecheck__(cls, value: object) -> bool:
        if not isinstance(value, cls.record):
            return False
        fields = [(hint, getattr(value, name)) for name, hint in get_type_hints(cls.record).items()]
        with jaxtyped("context"):
            return all(isinstance(x, hint) for hint, x in fields if isinstance(x, np.ndarray | torch.Tensor))


_RECORD_TYPES = {
    record: _RecordMeta(record.__name__, (), {"record": record}) for record in (Features, Candidates, Decoded, Memory)
}


def _replace_records(hint: Any) -> Any:
    """Replace the records in a type, since beartype 0.23 does not support generic named tuples."""
    origin, arguments = get_origin(hint), tuple(map(_replace_records, get_args(hint)))
    record = hint if origin is None else origin
    if isinstance(record, Hashable) and record in _RECORD_TYPES:
        return _RECORD_TYPES[record]
    if origin in (Union, UnionType):
        return reduce(or_, arguments)
    return origin[arguments] if origin in (list, tuple, Sequence) else hint
