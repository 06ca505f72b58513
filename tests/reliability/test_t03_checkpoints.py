"""T3: mutated and hostile checkpoints are read as they were written or refused, and run, open and write nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fuzzing.run import run_kind
from masklet.checkpoints import read_tensors
from masklet.errors import CheckpointError, InputNotFound
from support.hostile_checkpoints import Case, write_corpus

REFUSALS = (CheckpointError, InputNotFound)  # the latter for empty files


@pytest.mark.parametrize("count", [1_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_t3a_mutated_safetensors(count: int) -> None:
    report = run_kind("checkpoints", count, seed=3, targets=["safetensors"])
    report.require_success()
    assert report.codes["read"] and report.codes["checkpoint-corrupt"]


@pytest.mark.parametrize("count", [600, pytest.param(50_000, marks=pytest.mark.slow)])
def test_t3a_mutated_archives_and_pickles(count: int) -> None:
    report = run_kind("checkpoints", count, seed=3, targets=["torch", "pickle"])
    report.require_success()
    assert report.codes["checkpoint-corrupt"] and report.codes["unsafe-pickle"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[tuple[Case, Path]], Path]:
    """The hostile files, and the path of the canary that their code would create."""
    folder = tmp_path_factory.mktemp("hostile")
    return write_corpus(folder, folder / "canary"), folder / "canary"


def test_t3b_every_hostile_file_is_refused_with_its_code(hostile: tuple[list[tuple[Case, Path]], Path]) -> None:
    cases, canary = hostile
    assert len(cases) >= 45
    for case, path in cases:
        with pytest.raises(REFUSALS) as refusal:
            read_tensors(path)
        error = refusal.value
        assert (case.name, error.code) == (case.name, case.code)
        assert error.exit_status == (77 if error.code == "unsafe-pickle" else 65), case.name
        assert str(path) in error.message and "\n" not in error.message
        assert "weights_only=False" not in error.message + error.hint
    assert not canary.exists()


def test_t3b_hostile_files_run_write_and_connect_nothing(tmp_path: Path) -> None:
    audit = subprocess.run([sys.executable, "-c", AUDIT, tmp_path], capture_output=True, text=True, check=False)
    assert audit.stderr == "" and audit.returncode == 0
    result = json.loads(audit.stdout)
    assert result["detected"] == ["open", "os.system"]  # done on purpose at the end, to prove that the hook works
    assert result["files"] >= 45 and result["events"] == []
    assert result["megabytes"] < 200 + 3 * 17  # the largest file has 17


AUDIT = """
import codecs, json, os, pathlib, sys
sys.path.insert(0, "tests")
from support.hostile_checkpoints import write_corpus
from masklet.checkpoints import read_tensors, write_tensors
from masklet.errors import CheckpointError, InputNotFound
folder = pathlib.Path(sys.argv[1])
cases = write_corpus(folder, folder / "canary")
write_tensors(folder / "good.safetensors", read_tensors(folder / "good.pt"))
read_tensors(folder / "good.safetensors")
codecs.lookup("raw_unicode_escape")  # Python imports a codec on its first use
allowed, events, is_recording = {str(path) for _, path in cases}, [], True
def is_harmless(event, args):
    if event != "open" or args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        return False
    return isinstance(args[0], int) or str(args[0]) in allowed  # a number is a file that is already open
EVENTS = ("open", "exec", "compile", "import", "os.", "socket.", "subprocess.", "pickle.", "ctypes.", "shutil.")
def hook(event, args):
    if is_recording and event.startswith(EVENTS) and not is_harmless(event, args):
        events.append(event if event != "import" else f"import {args[0]}")
sys.addaudithook(hook)
for case, path in cases:
    try:
        read_tensors(path)
    except (CheckpointError, InputNotFound):
        pass
seen = list(events)
open(folder / "detected", "w").close()
os.system("true")
is_recording = False
status = pathlib.Path("/proc/self/status")  # getrusage would include the parent
lines = status.read_text().splitlines() if status.exists() else []
peak = next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)
print(json.dumps({"files": len(cases), "events": seen, "detected": events[len(seen):], "megabytes": peak}))
"""
