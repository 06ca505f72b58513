"""A file lock is held by one process at a time and released when the process ends."""

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


def start_holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_error_for_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    process = start_holder(tmp_path / "lock", 60)
    try:
        with pytest.raises(StateError, match=f"process {process.pid} on") as raised:
            Lock(tmp_path / "lock")
        assert raised.value.code == "job-locked"
    finally:
        process.kill()
        process.communicate()
    with Lock(tmp_path / "lock"):  # the holder has ended
        pass


def test_a_waiting_process_gets_the_lock_when_its_holder_has_ended(tmp_path: Path) -> None:
    process = start_holder(tmp_path / "lock", 0.5)
    with Lock(tmp_path / "lock", wait=True), pytest.raises(StateError):
        Lock(tmp_path / "lock")
    assert process.wait(120) == 9
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
