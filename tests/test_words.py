"""Retired words stay out of identifiers, docstrings, help texts, error messages and documentation."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ("src/masklet", "tests", "tools", "scripts", "benchmarks", "examples")
RECORDS = ("docs/log.md", "docs/decisions/", "docs/attribution/", "benchmarks/results/", "tests/old_version/")
RECORDED_CODE = ("tests/parity/inputs.py", "tests/studio/browser/newcomer_script.py", "tests/test_words.py")
OLD_NAMES = re.compile(r"<!-- old names -->.*?<!-- end of old names -->", re.DOTALL)  # CHANGELOG's table

# A word of docs/architecture.md's glossary took the place of each of these.
RETIRED = {
    "picture": "image",
    "wish": "request, options",
    "told": "given, reported",
    "looked": "cropped, searched",
    "watcher": "automatic tracker",
    "watching": "automatic tracking",
    "findings": "generated masks",
    "doubt": "uncertainty",
    "surest": "highest score",
    "shelf": "cache",
    "answer": "prediction, result, response",
    "clicker": "click simulator",
    "truth": "ground truth",
}
RETIRED_IDENTIFIERS = {
    *RETIRED,
    "notebook",  # tracker; in prose it is a notebook of Jupyter
    *("said", "asked", "kept", "gone", "sure", "closer", "coded", "walk", "leg", "care", "due", "stands", "apart"),
    *("wishes", "tell", "tells", "lean", "drill", "drills", "answers", "answered", "doubts", "pictures"),
}
INFLECTIONS = re.compile(r"(?:s|es|ed|ful)?$")


def words_of(identifier: str) -> list[str]:
    """`PictureReader` and `picture_reader` as ["picture", "reader"]."""
    joined = re.sub(r"ground_?truth", "reference", identifier, flags=re.IGNORECASE)
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", joined)
    return [word.lower() for word in re.split(r"[^A-Za-z]+", spaced) if word]


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that a module defines: functions, classes, parameters, variables, attributes."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name, line
        elif isinstance(node, ast.arg):
            yield node.arg, line
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, line
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, line


def prose(text: str) -> Iterator[tuple[str, int]]:
    """Comments and every string with a space in it: docstrings, help texts, messages."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string, token.start[0]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value, node.lineno


def retired_in(text: str) -> Iterator[str]:
    """The retired words in a piece of prose."""
    plain = re.sub(r"ground[-_\s]truths?", "", re.sub(r"https?://\S+|--[a-z][\w-]*", "", text), flags=re.IGNORECASE)
    for word in re.findall(r"[A-Za-z]+", plain):
        lower = word.lower()
        if any(lower == old or (lower.startswith(old) and INFLECTIONS.fullmatch(lower, len(old))) for old in RETIRED):
            yield word


def code_files() -> list[Path]:
    found = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if not str(path.relative_to(ROOT)).startswith((*RECORDS, *RECORDED_CODE))]


def documents() -> list[Path]:
    found = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*/README.md"))]
    return [path for path in found if not str(path.relative_to(ROOT)).startswith(RECORDS)]


@pytest.mark.parametrize("path", code_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_has_no_retired_word(path: Path) -> None:
    text = path.read_text()
    found = [
        f"{path.name}:{line}: {name}"
        for name, line in [*identifiers(ast.parse(text)), (path.stem, 1)]
        if not RETIRED_IDENTIFIERS.isdisjoint(words_of(name))
    ]
    found += [
        f"{path.name}:{line}: {word!r} in {piece[:60]!r}" for piece, line in prose(text) for word in retired_in(piece)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_has_no_retired_word(path: Path) -> None:
    found = [
        f"{path.name}:{number}: {word}"
        for number, line in enumerate(OLD_NAMES.sub("", path.read_text()).splitlines(), start=1)
        for word in retired_in(line)
    ]
    assert not found, "\n".join(found)
