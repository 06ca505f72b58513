"""The package graph: layers, import cycles, heavy libraries, and docs/architecture.md compared with the imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import masklet

PACKAGE = Path(masklet.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
MAX_ROOT_MODULES = 12
HEAVY = {
    "torch": {"model", "backends", "synthetic", "train", "compat"},
    "onnxruntime": {"backends"},
    "av": {"video", "formats"},
}
LAZY = {("segmenter", "backends")}  # a runtime is imported when a model is loaded on it


def module_name(path: Path) -> str:
    """`masklet.model.hiera` for model/hiera.py, `masklet.model` for model/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(("masklet", *(parts[:-1] if parts[-1] == "__init__" else parts)))


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported_names(path: Path) -> set[str]:
    """Dotted names that a module imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@cache
def imported_modules(name: str) -> frozenset[str]:
    """The masklet modules that a module imports."""
    found = {_module_of(imported) for imported in imported_names(MODULES[name])}
    return frozenset(found - {name, None})  # type: ignore[arg-type]


def _module_of(name: str) -> str | None:
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def package_of(module: str) -> str:
    """`model` for masklet.model.hiera, `errors` for masklet.errors, `masklet` for the package itself."""
    return [*module.split("."), "masklet"][1] if module != "masklet" else "masklet"


@cache
def package_imports() -> dict[str, set[str]]:
    """Package → the packages and root modules that it imports."""
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        targets = graph.setdefault(package_of(module), set())
        targets.update(package_of(other) for other in imported_modules(module))
    return {name: targets - {name, "masklet"} for name, targets in graph.items()}


def listed_packages() -> dict[str, set[str]]:
    """The rows of the table of packages in docs/architecture.md: package → the packages that it imports."""
    table = ARCHITECTURE.partition("<!-- packages -->")[2].partition("<!-- end of packages -->")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\|$", table, flags=re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", imports)) for name, imports in rows}


def test_the_table_of_packages_equals_the_imports() -> None:
    assert listed_packages() == {name: imports for name, imports in package_imports().items() if name != "masklet"}


def test_a_package_imports_only_from_rows_above_its_own() -> None:
    above: set[str] = set()
    for name, imports in listed_packages().items():
        lower = {other for other in imports if (name, other) not in LAZY}
        assert lower <= above, f"{name} imports {sorted(lower - above)}, which the table lists below it"
        above.add(name)


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components with more than one member (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = [stack.pop()]
            while component[-1] != node:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def test_cycles_are_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_no_modules_import_each_other() -> None:
    graph = {name: set(imported_modules(name)) - {"masklet"} for name in MODULES if name != "masklet"}
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    for name, targets in graph.items():  # a module's own package only re-exports it
        graph[name] = {other for other in targets if other not in packages or not name.startswith(f"{other}.")}
    assert cycles(graph) == []


def test_no_packages_import_each_other() -> None:
    assert cycles(package_imports()) == []


def test_the_root_has_few_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= MAX_ROOT_MODULES


@pytest.mark.parametrize("name", sorted(MODULES))
def test_heavy_libraries_are_imported_only_where_they_belong(name: str) -> None:
    for imported in imported_names(MODULES[name]):
        allowed = HEAVY.get(imported.split(".")[0])
        assert allowed is None or package_of(name) in allowed, f"{name} imports {imported}"


def test_importing_masklet_loads_no_runtime_and_no_image_library() -> None:
    code = "import masklet, sys; print(*(m for m in ('torch', 'onnxruntime', 'cv2', 'av', 'PIL') if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == ""


def test_public_names_are_sorted_and_documented() -> None:
    assert list(masklet.__all__) == sorted(masklet.__all__)
    for name in masklet.__all__:
        assert getattr(masklet, name).__doc__, f"masklet.{name} has no docstring"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_begins_with_one_sentence(name: str) -> None:
    first = (ast.get_docstring(ast.parse(MODULES[name].read_text())) or "").split("\n\n")[0]
    assert first.endswith((".", ":")) and "?" not in first, f"{name}: {first!r}"


def test_tests_mirror_the_packages() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))}
    assert packages - folders == set()
    assert folders - packages <= {"parity", "pack", "platforms", "reliability", "reports"}


@pytest.mark.parametrize(
    "row",
    re.findall(
        r"^\| .* \| `([\w/.]+)`",
        ARCHITECTURE.partition("<!-- guesses -->")[2].partition("<!-- end of guesses -->")[0],
        flags=re.MULTILINE,
    ),
)
def test_every_file_of_the_index_exists(row: str) -> None:
    assert (PACKAGE / row).exists() or (ROOT / row).exists()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_functions_used_in_one_module_only_are_underscored(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text())
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    private = {
        one for one in own if not one.startswith("_") and one not in masklet.__all__ and not _used_elsewhere(name, one)
    }
    assert not private, f"{name}: {sorted(private)} are used in this module only; underscore them"


@cache
def _files_with_word() -> dict[str, set[str]]:
    """Word → the files of the repository that contain it."""
    roots = [ROOT / folder for folder in ("src", "tests", "tools", "scripts", "benchmarks", "examples", "docs")]
    found: dict[str, set[str]] = {}
    for path in (path for root in roots for path in root.rglob("*") if path.suffix in (".py", ".md", ".toml")):
        for word in set(re.findall(r"\w+", path.read_text())):
            found.setdefault(word, set()).add(str(path))
    return found


def _used_elsewhere(module: str, name: str) -> bool:
    return bool(_files_with_word().get(name, set()) - {str(MODULES[module])})


def test_the_path_of_a_prompt_has_eight_files_each_of_which_defines_its_function() -> None:
    text = ARCHITECTURE.partition("<!-- path -->")[2].partition("<!-- end of path -->")[0]
    steps = re.findall(r"^\d\. `(\w+)` in `([\w/.]+)`", text, flags=re.MULTILINE)
    files = [file for _, file in steps]
    assert len(files) == len(set(files)) == 8
    for function, file in steps:
        defined = {node.name for node in ast.walk(ast.parse((PACKAGE / file).read_text()))
                   if isinstance(node, ast.FunctionDef)}  # fmt: skip
        assert function in defined, (function, file)


def test_one_loop_drives_the_tracker() -> None:
    calling = {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text())
        for path in MODULES.values()
        if re.search(r"^(?!\s*>>>).*tracker\.step\(", path.read_text(), flags=re.MULTILINE)
    }
    # propagate() calls it in a function of its own, once per frame. Others are hooks that correct a frame, or are
    # called by programs that pass their frames one by one.
    hooks = {"tracking/auto_tracker.py", "evaluate/interactive.py"}
    one_by_one = {"serve/sessions.py", "integrations/cvat/shape_track.py"}
    assert set(calling) == {"tracking/propagate.py", *hooks, *one_by_one}
    for tree in calling.values():
        loops = (node for node in ast.walk(tree) if isinstance(node, ast.For | ast.While | ast.GeneratorExp))
        assert not any("tracker.step(" in ast.unparse(loop) for loop in loops)
