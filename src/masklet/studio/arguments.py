"""Arguments of commands: JSON values that are checked against the types of a function's parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from masklet.errors import MaskletError

MAX_NUMBER = 2**31 - 1
MAX_TEXT_LENGTH = 4096  # characters
MAX_ITEMS = 100_000  # of a list or an object
_SHOWN = 60  # characters of a value in a message
_SUFFIX = "_id"  # `object` and `class` are words of Python, so their parameters are `object_id` and `class_id`

Check = Callable[[Any, str], Any]


def read_arguments(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Check the arguments of a command, and return them as keyword arguments of a function.

    The names and types of its keyword-only parameters define the arguments. A parameter `object_id` takes the argument
    `object`. A parameter with a default is optional. The types are `int` (from 0 to 2³¹ − 1), `float` (finite), `bool`,
    `str` (up to 4,096 characters), `Literal`, `X | None`, `list[X]`, `dict[str, X]` (both up to 100,000 items),
    `tuple[X, Y]` and `TypedDict`, whose fields are all optional.

    Args:
        function: The function.
        arguments: The arguments as parsed from JSON.

    Raises:
        MaskletError: `bad-request`. An argument is missing, unknown, or has another type. The message begins with its
            JSON pointer.
    """
    parameters = _list_parameters(function)
    for name in arguments:
        if name not in parameters:
            raise _error(
                f"/{name:.{_SHOWN}}", f"is not an argument; the arguments are {', '.join(parameters) or 'none'}"
            )
    read = {}
    for name, (keyword, kind, is_required) in parameters.items():
        if name in arguments:
            read[keyword] = _read(kind, arguments[name], f"/{name}")
        elif is_required:
            raise _error(f"/{name}", "is missing")
    return read


@cache
def _list_parameters(function: Callable[..., Any]) -> dict[str, tuple[str, Any, bool]]:
    """Return the keyword-only parameters, by name of the argument: name, type, and whether it is required."""
    types = get_type_hints(function)
    return {
        name.removesuffix(_SUFFIX): (name, types[name], parameter.default is parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def _read(kind: Any, value: Any, pointer: str) -> Any:
    if kind in _PLAIN:
        return _PLAIN[kind](value, pointer)
    if is_typeddict(kind):
        return _read_fields(kind, value, pointer)
    return _READERS[get_origin(kind)](get_args(kind), value, pointer)


def _read_integer(value: Any, pointer: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise _error(pointer, f"must be a whole number from 0 to {MAX_NUMBER}", value)
    return value


def _read_number(value: Any, pointer: str) -> float:
    if type(value) not in (int, float) or not abs(value) <= MAX_NUMBER or not isfinite(value):
        raise _error(pointer, f"must be a number from −{MAX_NUMBER} to {MAX_NUMBER}", value)
    return float(value)


def _read_boolean(value: Any, pointer: str) -> bool:
    if type(value) is not bool:
        raise _error(pointer, "must be true or false", value)
    return value


def _read_text(value: Any, pointer: str) -> str:
    if type(value) is not str or len(value) > MAX_TEXT_LENGTH:
        raise _error(pointer, f"must be a text of at most {MAX_TEXT_LENGTH} characters", value)
    return value


def _read_literal(options: tuple[Any, ...], value: Any, pointer: str) -> Any:
    if type(value) not in {type(option) for option in options} or value not in options:
        raise _error(pointer, f"must be {' or '.join(map(str, options))}", value)
    return value


def _read_optional(options: tuple[Any, ...], value: Any, pointer: str) -> Any:
    if value is None:
        return None
    (kind,) = (option for option in options if option is not NoneType)
    return _read(kind, value, pointer)


def _read_list(options: tuple[Any, ...], value: Any, pointer: str) -> list[Any]:
    if type(value) is not list or len(value) > MAX_ITEMS:
        raise _error(pointer, f"must be a list of at most {MAX_ITEMS} items", value)
    return [_read(options[0], item, f"{pointer}/{position}") for position, item in enumerate(value)]


def _read_tuple(options: tuple[Any, ...], value: Any, pointer: str) -> tuple[Any, ...]:
    if type(value) is not list or len(value) != len(options):
        raise _error(pointer, f"must be a list of {len(options)} items", value)
    items = enumerate(zip(options, value, strict=True))
    return tuple(_read(kind, item, f"{pointer}/{position}") for position, (kind, item) in items)


def _read_dict(options: tuple[Any, ...], value: Any, pointer: str) -> dict[str, Any]:
    if type(value) is not dict or len(value) > MAX_ITEMS:
        raise _error(pointer, f"must be an object of at most {MAX_ITEMS} fields", value)
    return {
        _read_text(name, pointer): _read(options[1], item, f"{pointer}/{name:.{_SHOWN}}")
        for name, item in value.items()
    }


def _read_fields(kind: Any, value: Any, pointer: str) -> dict[str, Any]:
    types = _get_fields(kind)
    if type(value) is not dict:
        raise _error(pointer, "must be an object", value)
    for name in value:
        if name not in types:
            raise _error(f"{pointer}/{name:.{_SHOWN}}", f"is not a field; the fields are {', '.join(types)}")
    return {name: _read(types[name], item, f"{pointer}/{name}") for name, item in value.items()}


@cache
def _get_fields(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


_PLAIN: dict[Any, Check] = {int: _read_integer, float: _read_number, bool: _read_boolean, str: _read_text}
_READERS: dict[Any, Callable[[tuple[Any, ...], Any, str], Any]] = {
    Literal: _read_literal,
    Union: _read_optional,
    UnionType: _read_optional,
    list: _read_list,
    tuple: _read_tuple,
    dict: _read_dict,
}


def _error(pointer: str, message: str, *value: Any) -> MaskletError:
    got = f", got {_shorten(value[0])}" if value else ""
    return MaskletError("bad-request", f"{pointer} {message}{got}", pointer=pointer)


def _shorten(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if type(value) is int and abs(value) >= 10**_SHOWN:
        return "a longer number"
    text = {None: "null", True: "true", False: "false"}.get(value) if type(value) in (bool, NoneType) else repr(value)
    assert text is not None
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
