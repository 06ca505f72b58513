"""The package holds together as docs/architecture.md draws it: layers, lonely libraries, a light import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import masklet

PACKAGE = Path(masklet.__file__).parent
LAYERS = [
    {"errors", "files", "notices"},
    {
        "prompts",
        "masks",
        "rle",
        "components",
        "drawing",
        "interpolation",
        "labelmap",
        "overlap",
        "polygons",
        "cleaning",
        "resampling",
        "window",
    },
    {"images", "video", "camera", "config", "memory", "history"},
    {"backend", "checkpoints", "downloads", "releases"},
    {"model"},
    {"graphs"},
    {"torch_backend", "onnx_backend"},
    {
        "track",
        "tracker",
        "fingerprint",
        "propagate",
        "walk",
        "coded",
        "session",
        "segmenter",
        "embedded",
        "closer",
        "automatic",
        "watching",
        "findings",
        "formats",
        "journal",
        "job",
    },
    {"export", "data", "train", "evaluate"},
    {"cli", "__main__"},
]
LONELY = {
    "torch": {"model", "torch_backend", "export", "data", "train"},
    "onnxruntime": {"onnx_backend"},
    "av": {"video", "formats"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """`model` for model/hiera.py, `masks` for masks.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({node.module} | {f"{node.module}.{alias.name}" for alias in node.names})
    return names


def layer(name: str) -> int:
    found = [rank for rank, members in enumerate(LAYERS) if name in members]
    assert found, f"{name} has no layer: give it one in LAYERS and docs/architecture.md"
    return found[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_its_own_layer_and_below(path: Path) -> None:
    if part(path) == "__init__":
        return
    for name in imports(path):
        pieces = name.split(".")
        if pieces[0] == "masklet" and len(pieces) > 1 and (PACKAGE / pieces[1]).with_suffix("").name in _parts():
            lazily_chosen = part(path) == "segmenter" and pieces[1] in {"torch_backend", "onnx_backend"}
            assert lazily_chosen or layer(pieces[1]) <= layer(part(path)), f"{path.name} imports {name} from above"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_only_where_they_belong(path: Path) -> None:
    for name in imports(path):
        homes = LONELY.get(name.split(".")[0])
        assert homes is None or part(path) in homes, f"{path.name} imports {name}"


def test_importing_masklet_loads_no_runtime_and_no_picture_library() -> None:
    code = "import masklet, sys; print(*(m for m in ('torch', 'onnxruntime', 'cv2', 'av', 'PIL') if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == ""


def test_public_names_are_sorted_and_documented() -> None:
    assert list(masklet.__all__) == sorted(masklet.__all__)
    for name in masklet.__all__:
        assert getattr(masklet, name).__doc__, f"masklet.{name} has no docstring"


def _parts() -> set[str]:
    return {part(path) for path in MODULES} - {"__init__"}
