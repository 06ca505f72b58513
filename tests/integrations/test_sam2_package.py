"""The package `sam2` itself: its signatures and results are those that tests/compat has recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sam2")

from compat.call_log import CallLog, compare_logs

TESTS = Path(__file__).resolve().parents[1]
RECORDED = TESTS / "compat"
PROGRAM = """
import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from compat import record_reference

folder = Path(sys.argv[2])
record_reference.prepare_import()
(folder / "signatures.json").write_text(json.dumps(dict(record_reference.list_signatures("sam2"))))
record_reference.record_program().save(folder / "log.npz")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with what the package gives here, in a process whose PyTorch computes in float64."""
    made = tmp_path_factory.mktemp("sam2")
    subprocess.run([sys.executable, "-c", PROGRAM, TESTS, made], check=True)
    return made


def test_the_recorded_signatures_are_those_of_the_package(folder: Path) -> None:
    found = json.loads((folder / "signatures.json").read_text())
    assert found == json.loads((RECORDED / "signatures.json").read_text())


def test_the_recorded_results_are_those_of_the_package(folder: Path) -> None:
    found, recorded = CallLog.load(folder / "log.npz"), CallLog.load(RECORDED / "image_program.npz")
    assert found.facts.keys() == recorded.facts.keys()
    compare_logs(found, recorded, 1e-5)
