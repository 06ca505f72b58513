"""Detectors by name: text of classes, entries of Python modules, and models that are missing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from masklet.detectors import zero_shot
from masklet.detectors.classes import MAX_CLASSES, parse_classes
from masklet.detectors.load import load_detector, load_text_detector
from masklet.errors import BackendError, InputNotFound, MaskletError, PromptError, SettingsError
from support.gray_detector import GrayDetector
from support.gray_world import draw_boxes

ENTRY = "support.gray_detector:make_gray_detector"


def test_a_text_names_classes() -> None:
    assert parse_classes("cat, black dog ,cat,\n car") == ("cat", "black dog", "car")
    assert parse_classes(["cat", "a, b"]) == ("cat", "a, b")


@pytest.mark.parametrize("text", ["", "  ", ",", ", ,\n", []])
def test_a_text_without_classes_is_refused(text: Any) -> None:
    with pytest.raises(PromptError, match="names no class") as raised:
        parse_classes(text)
    assert raised.value.code == "bad-prompt"


@pytest.mark.parametrize("text", ["a\0b", "x" * 201, [3], [f"{number}" for number in range(MAX_CLASSES + 1)]])
def test_invalid_classes_are_refused(text: Any) -> None:
    with pytest.raises(PromptError):
        parse_classes(text)


def test_an_entry_of_a_module_makes_a_detector() -> None:
    detector = load_detector(ENTRY, "cup, plate")
    assert isinstance(detector, GrayDetector)
    assert detector(draw_boxes({160: (1, 2, 9, 8)})).labels == ("plate",)


def test_a_module_in_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_detector.py").write_text(
        "class Own:\n    def __init__(self, classes): self.classes = classes\n"
        "    def __call__(self, image): return [(0, 0, 5, 5)], self.classes[:1], [0.5]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert load_detector("own_detector:Own", "cat")(draw_boxes({})) == ([(0, 0, 5, 5)], ("cat",), [0.5])
    monkeypatch.delitem(sys.modules, "own_detector")


@pytest.mark.parametrize(
    ("name", "kind", "code", "message"),
    [
        ("no_such_module:x", InputNotFound, "input-not-found", "no Python module no_such_module"),
        ("support.no_such:x", InputNotFound, "input-not-found", "support.no_such"),
        ("support.gray_detector:missing", SettingsError, "bad-usage", "no function or class missing"),
        ("support.gray_detector:NOT_CALLABLE", SettingsError, "bad-usage", "no function or class NOT_CALLABLE"),
        ("support.gray_detector:make_failing_detector", BackendError, "detector-failed", "ValueError: no cat here"),
        ("builtins:len", BackendError, "bad-detections", "got int"),
    ],
)
def test_entries_that_are_no_detectors_are_refused(
    name: str, kind: type[MaskletError], code: str, message: str
) -> None:
    with pytest.raises(kind) as raised:
        load_detector(name, "cat")
    assert raised.value.code == code and message in raised.value.message


def test_a_module_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_detector.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match=r"broken_detector cannot be imported: ModuleNotFoundError.*no_such_library"):
        load_text_detector("broken_detector:x")


def pretend_installed(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """Let transformers and torch be installed or not."""
    find = importlib.util.find_spec
    monkeypatch.setattr(zero_shot, "find_spec", lambda name: find("json") if installed else None)


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_installed(monkeypatch, installed=False)
    with pytest.raises(BackendError, match="text prompts need transformers and torch") as raised:
        load_text_detector(str(tmp_path))
    assert raised.value.code == "backend-missing" and "pip install" in raised.value.hint


def test_a_missing_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend_installed(monkeypatch, installed=True)
    for name in (str(tmp_path / "missing"), "missing", "a/b/c", "hf:owner"):
        with pytest.raises(InputNotFound, match="there is no folder") as raised:
            load_text_detector(name)
        assert raised.value.code == "input-not-found"


@pytest.mark.parametrize("score", [0.0, -1.0, 1.5, float("nan")])
def test_scores_out_of_range_are_refused(score: float, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="score"):
        load_text_detector(str(tmp_path), min_score=score)
