"""Arguments of commands: JSON values that are checked against the types of a function's parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from masklet.errors import MaskletError

MAX_NUMBER = 2**31 - 1
MAX_TEXT_LENGTH = 4096  # characters
MAX_ITEMS = 100_000  # of a list or an object
_SHOWN = 60  # characters of a value in a message
_SUFFIX = "_id"  # `object` and `class` are words of Python, so their parameters are `object_id` and `class_id`

Read = Callable[[Any], Any]


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
            known = ", ".join(parameters) or "none"
            raise _error((name,), f"is not an argument; the arguments are {known}")
    read = {}
    for name, (keyword, read_value, is_required) in parameters.items():
        if name in arguments:
            try:
                read[keyword] = read_value(arguments[name])
            except _Invalid as invalid:
                raise _error((name, *reversed(invalid.path)), invalid.message) from None
        elif is_required:
            raise _error((name,), "is missing")
    return read


class _Invalid(Exception):
    """A value of another type, and the keys and positions that lead to it, from the innermost one."""

    def __init__(self, message: str, *path: object) -> None:
        self.message, self.path = message, [*path]


@cache
def _list_parameters(function: Callable[..., Any]) -> dict[str, tuple[str, Read, bool]]:
    """Return the keyword-only parameters, by name of the argument: name, reader, and whether it is required."""
    types = get_type_hints(function)
    return {
        name.removesuffix(_SUFFIX): (name, _make_reader(types[name]), parameter.default is parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }


def _make_reader(kind: Any) -> Read:
    """Return a function that checks a value of a type, and returns it or raises `_Invalid`."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if is_typeddict(kind):
        return _make_field_reader(kind)
    return _MAKERS[get_origin(kind)](*get_args(kind))


def _read_integer(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise _Invalid(f"must be a whole number from 0 to {MAX_NUMBER}, got {_shorten(value)}")
    return value


def _read_number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= MAX_NUMBER:  # NaN is not
        raise _Invalid(f"must be a number from −{MAX_NUMBER} to {MAX_NUMBER}, got {_shorten(value)}")
    return float(value)


def _read_boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _Invalid(f"must be true or false, got {_shorten(value)}")
    return value


def _read_text(value: Any) -> str:
    if type(value) is not str or len(value) > MAX_TEXT_LENGTH:
        raise _Invalid(f"must be a text of at most {MAX_TEXT_LENGTH} characters, got {_shorten(value)}")
    return value


def _make_literal_reader(*options: Any) -> Read:
    expected = {(type(option), option) for option in options}

    def read(value: Any) -> Any:
        if type(value) not in (int, str) or (type(value), value) not in expected:
            raise _Invalid(f"must be {' or '.join(map(str, options))}, got {_shorten(value)}")
        return value

    return read


def _make_optional_reader(*options: Any) -> Read:
    (read,) = (_make_reader(option) for option in options if option is not NoneType)
    return lambda value: None if value is None else read(value)


def _make_list_reader(kind: Any) -> Read:
    read_item = _make_reader(kind)

    def read(value: Any) -> list[Any]:
        if type(value) is not list or len(value) > MAX_ITEMS:
            raise _Invalid(f"must be a list of at most {MAX_ITEMS} items, got {_shorten(value)}")
        items: list[Any] = []
        try:
            for item in value:
                items.append(read_item(item))
        except _Invalid as invalid:
            invalid.path.append(len(items))
            raise
        return items

    return read


def _make_tuple_reader(*kinds: Any) -> Read:
    readers = [_make_reader(kind) for kind in kinds]

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(readers):
            raise _Invalid(f"must be a list of {len(readers)} items, got {_shorten(value)}")
        items: list[Any] = []
        try:
            for read_item, item in zip(readers, value, strict=True):
                items.append(read_item(item))
        except _Invalid as invalid:
            invalid.path.append(len(items))
            raise
        return tuple(items)

    return read


def _make_dict_reader(_: Any, kind: Any) -> Read:
    read_item = _make_reader(kind)

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict or len(value) > MAX_ITEMS:
            raise _Invalid(f"must be an object of at most {MAX_ITEMS} fields, got {_shorten(value)}")
        return {_read_text(name): _read_at(name, read_item, item) for name, item in value.items()}

    return read


def _make_field_reader(kind: Any) -> Read:
    readers = {name: _make_reader(one) for name, one in get_type_hints(kind).items()}

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Invalid(f"must be an object, got {_shorten(value)}")
        for name in value:
            if name not in readers:
                raise _Invalid(f"is not a field; the fields are {', '.join(readers)}", name)
        return {name: _read_at(name, readers[name], item) for name, item in value.items()}

    return read


def _read_at(name: str, read: Read, value: Any) -> Any:
    try:
        return read(value)
    except _Invalid as invalid:
        invalid.path.append(name)
        raise


_PLAIN: dict[Any, Read] = {int: _read_integer, float: _read_number, bool: _read_boolean, str: _read_text}
_MAKERS: dict[Any, Callable[..., Read]] = {
    Literal: _make_literal_reader,
    Union: _make_optional_reader,
    UnionType: _make_optional_reader,
    list: _make_list_reader,
    tuple: _make_tuple_reader,
    dict: _make_dict_reader,
}


def _error(path: tuple[object, ...], message: str) -> MaskletError:
    pointer = "".join(f"/{part!s:.{_SHOWN}}" for part in path)
    return MaskletError("bad-request", f"{pointer} {message}", pointer=pointer)


def _shorten(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if type(value) is int and abs(value) >= 10**_SHOWN:
        return "a longer number"
    text = {None: "null", True: "true", False: "false"}.get(value) if type(value) in (bool, NoneType) else repr(value)
    assert text is not None
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
