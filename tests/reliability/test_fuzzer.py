"""The fuzzer notices every way to break the promise, reproduces its inputs, and saves them; and runs of all kinds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from fuzzing.kinds import KINDS
from fuzzing.mutation import mutate_bytes, mutate_json, mutate_text
from fuzzing.reduce import reduce_input
from fuzzing.run import run_kind

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("exception", "ZeroDivisionError in faulty.py:_raise"),
        ("bug", "MaskletError in"),
        ("wrong", "1 is not 2"),
        ("slow", "slow: 0.5"),
        ("open", "side effect: open /dev/null"),
        ("crash", "ended by SIGABRT"),
        pytest.param("hang", "ended by SIGXCPU", marks=pytest.mark.slow),
        pytest.param("memory", "memory: ", marks=pytest.mark.slow),
    ],
)
def test_each_fault_is_a_failure(fault: str, message: str, tmp_path: Path) -> None:
    report = run_kind("faulty", 1, targets=[fault])
    (failure,) = report.failures
    assert message in failure.message
    assert report.checks == 1 and failure.content
    assert failure.content in b"mutated"  # reduced, where another check tells whether it fails alike
    report.save(tmp_path)
    saved = tmp_path / "faulty" / fault / failure.file_name
    assert saved.read_bytes() == failure.content and message in saved.with_suffix(".txt").read_text()
    with pytest.raises(AssertionError, match="1 failures"):
        report.require_success()


@pytest.mark.slow
def test_a_run_continues_after_a_crash() -> None:
    report = run_kind("faulty", 6, targets=["crash", "exception"])
    assert report.checks == 6
    assert len(report.failures) >= 2


@pytest.mark.parametrize("mutate", [mutate_bytes, mutate_text, mutate_json])
def test_a_seed_reproduces_its_inputs(mutate: object) -> None:
    content = b'{"a": [1, 2.5, "x"], "b": {"c": null}}'
    drawn = [[mutate(content, Random(seed)) for seed in range(50)] for _ in range(2)]  # type: ignore[operator]
    assert drawn[0] == drawn[1]
    assert len({*drawn[0]}) > 30


def test_inputs_are_reduced_to_what_fails() -> None:
    assert reduce_input(b"x" * 500 + b"bad" + b"y" * 300, lambda content: b"bad" in content) == b"bad"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["mutation", "hypothesis"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_bounded_run(kind: str, engine: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "fuzzing",
            kind,
            "--count",
            "300",
            "--seed",
            "7",
            "--engine",
            engine,
            "--save",
            tmp_path,
        ],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith(f"{kind}: ") and " 0 failures" in result.stdout


def test_an_unknown_kind_is_named() -> None:
    command = [sys.executable, "-m", "fuzzing", "sounds"]
    result = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2 and "unknown kind 'sounds'" in result.stderr
