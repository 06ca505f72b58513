"""Log of the results of calls: of the reference when it is recorded, and of masklet when both are compared.

It needs only NumPy, since `record_reference.py` runs in the environment of the reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 1024  # of each array that is stored


class CallLog:
    """Results by the name of a call: the facts of each value, and a sample of each array."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.samples: dict[str, NDArray[Any]] = {}

    def call(self, name: str, function: Callable[[], Any]) -> Any:
        """Call a function and log its result, or its error."""
        try:
            result = function()
        except Exception as error:  # noqa: BLE001
            kinds = [kind.__name__ for kind in type(error).__mro__]
            self.facts[name] = {"error": kinds, "text": str(error)}
            return None
        self.value(name, result)
        return result

    def value(self, name: str, value: Any) -> None:
        """Log a value."""
        for path, leaf in _flatten(name, value):
            if isinstance(leaf, np.ndarray):
                self.facts[path] = {"shape": list(leaf.shape), "true": int(np.count_nonzero(leaf > 0))}
                flat = leaf.reshape(-1)
                self.samples[path] = flat[:: max(1, flat.size // MAX_VALUES)][:MAX_VALUES].astype(np.float32)
            else:
                self.facts[path] = {"value": leaf}

    def save(self, path: Path) -> None:
        """Write the log to an .npz file."""
        np.savez_compressed(path, facts=np.array(json.dumps(self.facts)), **self.samples)

    @staticmethod
    def load(path: Path) -> CallLog:
        """Read the log of `save`."""
        log = CallLog()
        with np.load(path) as stored:
            log.facts = json.loads(str(stored["facts"]))
            log.samples = {name: stored[name] for name in stored.files if name != "facts"}
        return log


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arrays and plain values of a nested result, with a path to each. Types are values too."""
    if hasattr(value, "detach") or isinstance(value, np.ndarray):
        kind = "tensor" if hasattr(value, "detach") else "array"
        yield f"{name}:type", f"{kind} {re.sub(r'^torch[.]', '', str(value.dtype))}"
        yield name, np.asarray(value.detach().cpu().numpy() if kind == "tensor" else value)
    elif isinstance(value, Mapping):
        yield f"{name}:keys", [str(key) for key in value]
        for key, item in value.items():
            yield from _flatten(f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        numbers = _as_numbers(value)
        if numbers is not None:
            yield f"{name}:type", f"{type(value).__name__} of numbers"
            yield name, numbers
            return
        yield f"{name}:type", f"{type(value).__name__} of {len(value)}"
        for index, item in enumerate(value):
            yield from _flatten(f"{name}.{index}", item)
    elif isinstance(value, float | np.floating):
        yield f"{name}:type", type(value).__name__
        yield name, np.array([value])
    else:
        yield name, value if isinstance(value, str | int | bool | None) else repr(type(value))


def _as_numbers(value: Any) -> NDArray[Any] | None:
    """Return nested lists of Python's numbers as an array."""
    flat = [*value]
    while flat and all(isinstance(item, list | tuple) for item in flat):
        flat = [inner for item in flat for inner in item]
    if not flat or not all(isinstance(item, int | float) for item in flat):
        return None
    try:
        return np.array(value, np.float64)
    except ValueError:
        return None


def compare_logs(found: CallLog, recorded: CallLog, tolerance: float, *, single: bool = True) -> None:
    """Compare every logged value with the recorded one.

    Args:
        found: Log of masklet.
        recorded: Log of the reference.
        tolerance: The largest difference of numbers, and the largest share of pixels that differ in a mask.
        single: The network computes in float32, so that all types are those of the reference.
    """
    assert found.facts
    for name, fact in found.facts.items():
        expected = recorded.facts[name]
        if "error" in expected:
            assert expected["error"][0] in fact.get("error", ()), (name, fact)
            assert fact["text"] == expected["text"] or not expected["text"], name
        elif "shape" in expected:
            assert fact.get("shape") == expected["shape"], (name, fact)
            is_mask = set(np.unique(recorded.samples[name])) <= {0.0, 1.0}
            difference = np.abs(found.samples[name] - recorded.samples[name]) if fact["shape"] else np.zeros(1)
            measured = difference.mean() if is_mask else difference.max(initial=0)
            assert measured <= tolerance, (name, measured)
            assert abs(fact["true"] - expected["true"]) <= 10 * tolerance * np.prod(fact["shape"]), name
        else:
            values = [fact.get("value"), expected["value"]]
            if name.endswith(":type") and not single:
                values = [str(value).replace("float64", "float32") for value in values]
            assert values[0] == values[1], (name, fact)
