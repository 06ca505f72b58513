"""One process at a time holds a lock, and nobody keeps it after the end."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from masklet.errors import StateError
from masklet.files.lock import Lock

HOLD = """
import pathlib, sys, time
from masklet.files.lock import Lock
Lock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(float(sys.argv[2]))
import os; os._exit(9)
"""


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_lock_that_is_held_names_its_holder(tmp_path: Path) -> None:
    process = holder(tmp_path / "lock", 60)
    try:
        with pytest.raises(StateError, match=f"process {process.pid} on") as raised:
            Lock(tmp_path / "lock")
        assert raised.value.code == "job-locked"
    finally:
        process.kill()
        process.communicate()
    with Lock(tmp_path / "lock"):  # the holder is dead
        pass


def test_who_waits_gets_the_lock_once_its_holder_has_ended(tmp_path: Path) -> None:
    process = holder(tmp_path / "lock", 0.5)
    with Lock(tmp_path / "lock", wait=True), pytest.raises(StateError):
        Lock(tmp_path / "lock")
    assert process.wait(10) == 9
    process.communicate()


def test_a_lock_is_held_until_the_block_ends(tmp_path: Path) -> None:
    order: list[str] = []

    def wait() -> None:
        with Lock(tmp_path / "lock", wait=True):
            order.append("other")

    with Lock(tmp_path / "lock"):
        other = threading.Thread(target=wait)
        other.start()
        time.sleep(0.2)
        order.append("first")
    other.join(10)
    assert order == ["first", "other"]
