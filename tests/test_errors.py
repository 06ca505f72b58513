"""Errors have stable codes, built-in base classes and exit statuses."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path

import pytest

from masklet import errors
from masklet.errors import EXIT_STATUS, RETRYABLE, MaskletError

PACKAGE = Path(errors.__file__).parent
SOURCES = {path: path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "errors.py"}
STATUSES = {2, 65, 66, 69, 70, 73, 74, 75, 77, 78}
CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, MaskletError)]


@pytest.mark.parametrize("code", EXIT_STATUS)
def test_every_code_is_raised_and_has_a_known_status(code: str) -> None:
    assert any(f'"{code}"' in text for text in SOURCES.values()), f"nothing raises {code}"
    assert EXIT_STATUS[code] in STATUSES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_code_that_is_raised_is_in_the_table(path: Path) -> None:
    raised = re.findall(r"\b(?:\w*Error|InputNotFound|fault)\(\s*\"([a-z0-9-]+)\"\s*,", SOURCES[path])
    assert [code for code in raised if code not in EXIT_STATUS] == []


def test_retryable_codes_are_codes() -> None:
    assert set(EXIT_STATUS) >= RETRYABLE


@pytest.mark.parametrize("error", [c for c in CLASSES if c is not MaskletError])
def test_every_class_has_a_builtin_base_class(error: type[MaskletError]) -> None:
    assert len(error.__mro__) > 4
    assert issubclass(error, (ValueError, OSError, RuntimeError))
    assert error.__doc__


def test_an_error_has_a_code_values_and_an_exit_status() -> None:
    error = errors.PromptError("bad-prompt", "no", hint="try", point=(1, 2))
    assert (str(error), error.code, error.hint) == ("no\nhint: try", "bad-prompt", "try")
    assert (error.message, error.context) == ("no", {"point": (1, 2)})
    assert error.exit_status == 65
    assert not error.retryable


def test_an_error_is_pickled_with_all_its_attributes() -> None:
    error = pickle.loads(pickle.dumps(errors.InputNotFound("input-not-found", "no", hint="try", path="x")))
    assert isinstance(error, FileNotFoundError)
    assert (error.message, error.code, error.hint, error.context) == ("no", "input-not-found", "try", {"path": "x"})
