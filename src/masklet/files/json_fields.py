"""JSON files, and fields whose types are checked when they are read.

Every error names the file and the place in it, such as `val.json, annotations 31: 'image_id' must be a whole number,
got None`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from masklet.errors import FormatError
from masklet.files.error_translation import translate_errors
from masklet.files.open_input import open_input

_SHOWN = 60  # characters of a value in a message
_ID_DIGITS = 19  # of an id with 64 bits


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises `InputNotFound`, or `FormatError` if it is not JSON."""
    with open_input(path) as handle:
        return parse_json(handle.read(), path)


def parse_json(text: bytes, name: object) -> Any:
    """Parse the content of a JSON file called `name`. Raises `FormatError`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as cause:
        reason = "it is nested too deeply" if isinstance(cause, RecursionError) else str(cause)
        raise FormatError("annotation-broken", f"{name}: not JSON ({reason})", path=str(name)) from cause


def read_fields(path: Path) -> Fields:
    """Read a JSON file that holds an object. Raises `InputNotFound`, or `FormatError` for anything else."""
    return Fields(read_json(path), path)


def name_errors(name: object) -> AbstractContextManager[None]:
    """Prepend a file's name, or a place in it, to the message of a `FormatError` that does not contain it."""
    return translate_errors(FormatError, into=lambda error: _add_name(error, str(name)))


class Fields:
    """A JSON object whose fields are checked when they are read.

    Args:
        value: The parsed value.
        name: Name of the file in error messages.
        place: Keys and positions that lead to the object in the file.

    Raises:
        FormatError: `annotation-broken`. The value is not an object, or a field does not have the requested type.
    """

    __slots__ = ("_name", "_place", "_value")

    def __init__(self, value: Any, name: object, place: tuple[object, ...] = ()) -> None:
        self._name, self._place = name, place
        if not isinstance(value, dict):
            raise self.error(f"expected an object with fields, got {_describe(value)}")
        self._value: dict[str, Any] = value

    def __contains__(self, name: str) -> bool:
        return name in self._value

    @property
    def value(self) -> dict[str, Any]:
        """The parsed object."""
        return self._value

    @property
    def names(self) -> set[str]:
        """The names of all fields."""
        return set(self._value)

    @property
    def source(self) -> str:
        """Name of the file in error messages."""
        return str(self._name)

    @property
    def place(self) -> str:
        """Name of the file and place in it, for error messages."""
        return ", ".join([str(self._name), *filter(None, [" ".join(map(str, self._place))])])

    def error(self, message: str) -> FormatError:
        """Make an error that names the file and the place in it."""
        return FormatError("annotation-broken", f"{self.place}: {message}", path=str(self._name))

    def get(self, name: str) -> Any:
        """Return the value of a field unchecked, or None if it is missing."""
        return self._value.get(name)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number, or the default if it is missing or null. 12.0 counts as one, as SA-V writes it."""
        value = default if self._value.get(name) is None else self._value[name]
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._type_error(name, "a whole number")
        return value

    def identifier(self, name: str) -> int | str:
        """Return an id: a whole number, also if it is written as 12.0 or "12", else text."""
        value = self._value.get(name)
        if not isinstance(value, str):
            return self.integer(name)
        is_whole = value.isascii() and value.isdecimal() and len(value) <= _ID_DIGITS and str(int(value)) == value
        return int(value) if is_whole else value

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number, or the default if it is missing or null."""
        value = default if self._value.get(name) is None else self._value[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**1023:
            raise self._type_error(name, "a number")
        return float(value)

    def text(self, name: str, default: str | None = None) -> str:
        """Return text, or the default if it is missing or null."""
        value = default if self._value.get(name) is None else self._value[name]
        if not isinstance(value, str):
            raise self._type_error(name, "text")
        return value

    def array(self, name: str) -> list[Any]:
        """Return a list."""
        value = self._value.get(name)
        if not isinstance(value, list):
            raise self._type_error(name, "a list")
        return value

    def integers(self, name: str) -> list[int]:
        """Return a list of whole numbers."""
        rows = {str(position): value for position, value in enumerate(self.array(name))}
        numbered = Fields(rows, self._name, (*self._place, name))
        return [numbered.integer(position) for position in rows]

    def arrays(self, name: str) -> list[list[Any]]:
        """Return a list of lists."""
        rows = self.array(name)
        wrong = next((number for number, row in enumerate(rows) if not isinstance(row, list)), None)
        if wrong is not None:
            raise self.error(f"{name!r} must be a list of lists, got {_describe(rows[wrong])} at {wrong}")
        return rows

    def object(self, name: str) -> Fields:
        """Return an object."""
        if not isinstance(self._value.get(name), dict):
            raise self._type_error(name, "an object")
        return Fields(self._value[name], self._name, (*self._place, name))

    def objects(self, name: str) -> Iterator[Fields]:
        """Iterate over a list of objects."""
        return (self.item(name, number) for number in range(len(self.array(name))))

    def item(self, name: str, number: int) -> Fields:
        """Return an object of a list of objects."""
        return Fields(self.array(name)[number], self._name, (*self._place, name, number))

    def entries(self, name: str) -> dict[str, Fields]:
        """Return an object whose fields are objects, by name."""
        inner = self.object(name)
        return {key: inner.object(key) for key in inner._value}

    def numbered(self, name: str) -> dict[int, Fields]:
        """Return an object whose fields are objects, by their names, which are whole numbers."""
        inner = self.object(name)
        invalid = next((key for key in inner.names if not key.isdecimal()), None)
        if invalid is not None:
            raise inner.error(f"a field must be named by a whole number, got {invalid[:_SHOWN]!r}")
        return {int(key): entry for key, entry in self.entries(name).items()}

    def _type_error(self, name: str, expected: str) -> FormatError:
        if name not in self._value:
            return self.error(f"no field {name!r}; it must be {expected}")
        return self.error(f"{name!r} must be {expected}, got {_describe(self._value[name])}")


def _describe(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _add_name(error: FormatError, name: str) -> FormatError:
    return error if name in error.message else FormatError(error.code, f"{name}: {error.message}", path=name)
