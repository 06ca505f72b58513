"""Inputs that failed once, in `tests/corpus/<kind>/<target>/`, are read or refused with a code.

A file that `scripts/fuzz` saves is added there together with its fix.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fuzzing.kinds import KINDS

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
MAX_BYTES = 400_000


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir() if path.is_dir()))
@pytest.mark.filterwarnings("ignore")
def test_failed_inputs_are_read_or_refused(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    with kind.open_targets(tmp_path) as opened:
        targets = {target.name: target for target in opened}
        for path in sorted((CORPUS / name).rglob("*")):
            if path.is_file():
                started = time.process_time()
                targets[path.parent.name].run(path.read_bytes())
                assert time.process_time() - started < 2 * kind.cpu_s, path


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < MAX_BYTES
