"""Option groups: a dataclass parameter of a command that stands for one command-line option per field.

Groups are dataclasses without `__eq__` and `__repr__`, because generating these is a measurable part of the start of
the program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache, wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

Result = TypeVar("Result")


def expand_groups(command: Callable[..., Result]) -> Callable[..., Result]:
    """Replace each dataclass parameter of a command by the options that its fields declare.

    Typer reads the options of a command from its signature and has no option groups. The returned function has a flat
    signature; when it is called, it builds the dataclasses and calls `command` with them. A field is an option if its
    type is `Annotated` with `typer.Option`; any other field keeps its default. Unreadable files are errors of the
    command, which have their own codes, not of Typer, which calls them wrong usage.

    Args:
        command: A function whose parameters are Typer's, or dataclasses whose fields are.

    Returns:
        The function to register with Typer.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type] = {}
    flat: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        if is_dataclass(hints[name]):
            groups[name] = hints[name]
            flat += _options_of(hints[name])
        else:
            flat.append(parameter.replace(annotation=hints[name]))

    @wraps(command)
    def expanded(**values: Any) -> Result:
        for name, group in groups.items():
            options = {option.name: values.pop(option.name) for option in _options_of(group)}
            values[name] = group(**options)
        return command(**values)

    for parameter in flat:
        _skip_access_check(parameter.annotation)
    keyword_only = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in flat]
    expanded.__signature__ = Signature(keyword_only)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return expanded


def _skip_access_check(annotation: Any) -> None:
    """Let Typer accept a path that cannot be read."""
    for option in getattr(annotation, "__metadata__", ()):
        if hasattr(option, "readable"):
            option.readable = False


@cache
def _options_of(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])
        for field in fields(group)
        if get_origin(hints[field.name]) is Annotated
    ]
