"""`examples/plain_onnx.py` runs an exported model without masklet; `docs/onnx.md` lists every name it needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import masklet
from masklet import click
from masklet.export import export_onnx
from masklet.onnx_graphs import GRAPH_WRITERS
from support.networks import make_model

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "plain_onnx.py"
IMAGE = ROOT / "examples" / "cat.jpg"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "nano"
    export_onnx(make_model("nano", 256, calm=True), folder)
    return folder


def test_it_has_at_most_40_lines_and_does_not_import_masklet() -> None:
    tree = ast.parse(EXAMPLE.read_text())
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert set(imported) - set(sys.stdlib_module_names) == {"numpy", "onnxruntime", "PIL"}
    assert len(EXAMPLE.read_text().splitlines()) <= 40


@pytest.mark.parametrize(("x", "y"), [(230, 150), (40, 250)])
def test_it_gives_the_mask_that_masklet_gives(x: int, y: int, exported: Path, tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLE, exported, IMAGE, x, y, tmp_path / "mask.png"]
    subprocess.run([str(word) for word in command], check=True)
    found = np.asarray(Image.open(tmp_path / "mask.png"))
    (expected,) = masklet.load(exported, zoom=0).segment(IMAGE, click(x, y)).binary
    assert found.shape == expected.shape and expected.any()
    assert (found & expected).sum() / (found | expected).sum() > 0.97  # Pillow resizes 8-bit integers


def test_every_tensor_name_of_a_graph_and_of_a_table_is_documented(exported: Path) -> None:
    text = (ROOT / "docs" / "onnx.md").read_text()
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    graphs = json.loads((exported / "manifest.json").read_text())["graphs"]
    for graph in GRAPH_WRITERS:
        names = [*graphs[graph]["inputs"], *graphs[graph]["outputs"]]
        assert [name for name in names if f"`{name}`" not in rows[graph]] == []
    assert {"no_memory", "mask_weight", "no_pointer"} <= set(rows) and "`mask_bias`" in text


def test_every_device_and_layout_is_documented() -> None:
    from masklet.backends.onnx import DEVICE_TYPES
    from masklet.export import LAYOUTS

    text = (ROOT / "docs" / "onnx.md").read_text()
    assert [name for name in (*DEVICE_TYPES, *LAYOUTS) if f"| `{name}`" not in text] == []
