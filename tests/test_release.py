"""Scripts of a release: the summary of the audit, the oldest versions, and the workflow."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import masklet

ROOT = Path(__file__).resolve().parents[1]
AUDIT = runpy.run_path(str(ROOT / "scripts" / "audit.py"))
OLDEST = runpy.run_path(str(ROOT / "scripts" / "oldest_versions.py"))
PYPROJECT = (ROOT / "pyproject.toml").read_text()
SAFE: dict[str, Any] = {"name": "av", "version": "18.1.0", "vulns": []}
SKIPPED = {"name": "numpy", "skip_reason": "not found on PyPI"}
ADVISORY = {"id": "CVE-2026-1", "fix_versions": ["1.2"]}


@pytest.mark.parametrize(
    ("packages", "status", "lines"),
    [
        ([SAFE], 0, ["no known vulnerabilities in 1 packages"]),
        ([SAFE, SKIPPED], 1, ["numpy was not checked: not found on PyPI"]),
        ([{**SAFE, "vulns": [ADVISORY]}], 1, ["av 18.1.0: CVE-2026-1, fixed in 1.2"]),
        ([{**SAFE, "vulns": [{**ADVISORY, "fix_versions": []}]}], 1, ["av 18.1.0: CVE-2026-1, fixed in no version"]),
    ],
)
def test_the_audit_lists_what_it_found(packages: list[Any], status: int, lines: list[str]) -> None:
    assert AUDIT["summarize"](json.dumps({"dependencies": packages, "fixes": []})) == (status, lines)


@pytest.mark.parametrize("report", ["", "{}", "null", json.dumps({"dependencies": [SKIPPED, SKIPPED]})])
def test_the_audit_says_that_the_service_cannot_be_reached(report: str) -> None:
    status, lines = AUDIT["summarize"](report)
    assert status == 69
    assert lines == ["the advisory service cannot be reached; no package was checked, try again later"]


def test_every_dependency_has_an_oldest_and_a_newest_tested_version() -> None:
    oldest = [Requirement(line) for line in OLDEST["list_oldest"](PYPROJECT)]
    pins = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    newest = {pin.name: next(iter(pin.specifier)).version for pin in pins}
    assert len(oldest) == 11
    for one in oldest:
        bound = next(iter(one.specifier)).version
        assert Requirement(f"{one.name}>={bound}").specifier.contains(newest[one.name.lower()])


def test_a_dependency_without_a_lower_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="the dependency numpy is not of the form NAME>=VERSION"):
        OLDEST["list_oldest"]('[project]\ndependencies = ["av>=17.1", "numpy"]\n')


def test_the_workflow_runs_scripts_that_exist_and_pins_its_actions() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    scripts = re.findall(r"run: ((?:scripts|\.ci)/[\w-]+)", text)
    assert {"scripts/audit", ".ci/run", "scripts/test-oldest", "scripts/build-release", "scripts/sbom"} == {*scripts}
    assert all((ROOT / script).stat().st_mode & 0o100 for script in scripts)
    actions = re.findall(r"uses: (\S+)", text)
    assert len(actions) == 6 and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in actions)
    [pattern] = re.findall(r"'s/(.*)/\\1/p' src/masklet/__init__\.py", text)
    found = re.search(pattern.replace(r"\(", "(").replace(r"\)", ")"), Path(masklet.__file__).read_text(), re.MULTILINE)
    assert found and found[1] == masklet.__version__
