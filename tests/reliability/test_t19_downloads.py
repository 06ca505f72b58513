"""T19: a download from a faulty server leaves the complete file, or none.

Each fault alone is in `checkpoints/test_download.py`.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from masklet.checkpoints.download import RemoteFile, RetryPolicy, download
from masklet.errors import MaskletError
from support.faulty_server import (
    Behavior,
    fail_with,
    ignore_range,
    redirect_to,
    send_correctly,
    send_half,
    send_half_and_stall,
    send_late,
    send_login_page,
    send_longer_file,
    send_longer_without_length,
    send_nothing,
    send_without_length,
    send_wrong_byte,
    send_wrong_range,
    serve,
)

CONTENT = np.random.default_rng(1).bytes(50_000)
SUM = hashlib.sha256(CONTENT).hexdigest()
POLICY = RetryPolicy(timeout_s=0.3, max_attempts=3, pause_s=0.01)
FAULTS: list[Behavior] = [
    *(send_half, send_half_and_stall, send_nothing, send_late, send_wrong_byte, send_longer_file),
    *(send_longer_without_length, send_without_length, send_wrong_range, send_login_page, ignore_range),
    *(fail_with(404), fail_with(500), fail_with(503), redirect_to("http://192.0.2.1/x"), redirect_to("file:///x")),
]
CODES = {"download-failed", "network-unavailable", "hash-mismatch"}


@pytest.mark.parametrize("count", [4, pytest.param(240, marks=pytest.mark.slow)])
def test_a_file_exists_only_if_its_hash_is_right(count: int, tmp_path: Path) -> None:
    """Servers fail up to three times in a row, in the middle of files of earlier attempts, and then work."""
    chance, seen = random.Random(count), set[str]()
    for number in range(count):
        path = tmp_path / str(number) / "model.pt"
        path.parent.mkdir()
        if chance.random() < 0.5:
            part = bytearray(CONTENT[: chance.randint(0, len(CONTENT))])
            if part and chance.random() < 0.3:
                part[chance.randrange(len(part))] ^= 1
            path.with_name("model.pt.part").write_bytes(part)
        script = [*chance.choices(FAULTS, k=chance.randint(1, 3))]
        with serve(CONTENT, *script, *([send_correctly] if chance.random() < 0.7 else [])) as server:
            remote = RemoteFile(f"{server.url}/model.pt", len(CONTENT), SUM, "copy it from another machine")
            for _ in range(3):
                try:
                    assert download(remote, path, retry_policy=POLICY) == path
                    seen.add("complete")
                except MaskletError as error:
                    assert error.code in CODES and not path.exists(), script
                    seen.add(error.code)
                    continue
                assert hashlib.sha256(path.read_bytes()).hexdigest() == SUM
                assert {one.name for one in path.parent.iterdir()} == {"model.pt", ".model.pt.lock"}
                break
    assert "complete" in seen and (count < 100 or seen >= {"download-failed", "hash-mismatch"})
