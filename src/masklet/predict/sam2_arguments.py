"""Arguments of SAM 2's predictors, refused with the equivalent call of masklet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar

from masklet.errors import PromptError
from masklet.prompts import EXAMPLE, Prompt, write_prompt

P = ParamSpec("P")
R = TypeVar("R")

_SAM2_NAMES = ("point_coords", "points", "point_labels", "labels", "box", "boxes", "bbox", "mask_input",
               "multimask_output")  # fmt: skip


def refuse_sam2_arguments(call: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a method that takes prompts, so that the arguments of SAM 2's predictors raise `PromptError`.

    Args:
        call: The correct call with `{}` in place of the prompts.
    """

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        parameters = signature(method).parameters
        max_positional = sum(parameter.kind is not Parameter.KEYWORD_ONLY for parameter in parameters.values())
        first = list(parameters).index("prompts")

        @wraps(method)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            if len(args) > max_positional or any(name in kwargs for name in _SAM2_NAMES):
                raise _sam2_arguments_error(call, args[first:], kwargs)
            return method(*args, **kwargs)

        return checked

    return decorate


def _sam2_arguments_error(call: str, args: Sequence[Any], named: Mapping[str, Any]) -> PromptError:
    """Make the error for points, labels and boxes that are passed separately, with the equivalent call."""
    given = dict(
        zip(("points", "labels", "box"), [value for value in args if not isinstance(value, int)], strict=False)
    )
    for name, short_name in (("point_coords", "points"), ("point_labels", "labels"), ("bbox", "box"), ("boxes", "box")):
        if name in named:
            given[short_name] = named[name]
    given.update({name: named[name] for name in ("points", "labels", "box") if name in named})
    points, corners = given.get("points"), given.get("box")
    parts = [] if corners is None else [write_prompt(corners)]
    if points is not None:
        parts.append("prompt" if isinstance(points, Prompt) else write_prompt(points, given.get("labels")))
    options = "".join([
        f", multimask={named['multimask_output']!r}" if isinstance(named.get("multimask_output"), bool) else "",
        ", refine=masks" if named.get("mask_input") is not None else "",
    ])  # fmt: skip
    passed = ", ".join(name for name in _SAM2_NAMES if name in named) or "points and labels as separate arguments"
    written = call.format((" + ".join(parts) or EXAMPLE) + options)
    return PromptError("bad-prompt", f"{call.partition('(')[0]} takes prompts, not {passed}; write {written}")
