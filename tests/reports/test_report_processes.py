"""Reported fault 23: PyTorch in forked processes, and a tracker that two threads use."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import numpy as np
import pytest

from masklet.errors import StateError
from masklet.masks.masks import Masks
from masklet.prompts import click
from masklet.tracking.tracker import Tracker
from support.fake_backend import FakeBackend

TIMEOUT_S = 300.0
IMAGE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)

_FORK = """
    import os, sys
    import numpy as np
    import masklet

    runtime, use = sys.argv[1:]
    image = np.zeros((64, 64, 3), np.uint8)

    def segment():
        masklet.load(runtime=runtime, zoom=0).segment(image, masklet.box(9, 9, 50, 50))

    if runtime == "torch":
        import torch
        torch.set_num_threads(2)
    if use != "unused":
        segment()
    if os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
    if use == "one thread":
        torch.set_num_threads(1)
    try:
        segment()
        print("segmented", flush=True)
    except masklet.MaskletError as error:
        print(error.code, error.hint, flush=True)
    os._exit(0)  # as multiprocessing does; onnxruntime cannot end its threads in a fork
"""


without_forks = pytest.mark.skipif(sys.platform == "win32", reason="there are no forks")


@without_forks
@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "use", "result"),
    [
        ("torch", "used", "forked-process"),
        ("torch", "one thread", "segmented"),
        ("torch", "unused", "segmented"),
        ("onnx", "used", "segmented"),
    ],
)
def test_23_pytorch_is_refused_in_a_process_that_is_forked_after_its_use(runtime: str, use: str, result: str) -> None:
    if runtime == "torch":
        pytest.importorskip("torch")
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(_FORK), runtime, use]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout.split()[:1]) == (0, [result]), done.stderr
    if result == "forked-process":
        assert "spawn" in done.stdout and "set_num_threads(1)" in done.stdout


@without_forks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks in processes with threads
@pytest.mark.parametrize(("is_used", "threads", "refused"), [(True, 2, True), (True, 1, False), (False, 2, False)])
def test_23_the_guard_refuses_several_threads_in_forks(
    is_used: bool, threads: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    from masklet.backends.torch_fork import ForkGuard

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    guard = ForkGuard()
    if is_used:
        guard.check()
    if not (child := os.fork()):
        try:
            guard.check()
        except StateError as error:
            os._exit(7 if error.code == "forked-process" else 8)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (7 if refused else 0)
    guard.check()


class WaitingBackend(FakeBackend):
    """A backend whose encoder waits until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def encode(self, *args: object, **kwargs: object) -> list:  # type: ignore[type-arg]
        self.entered.set()
        assert self.gate.wait(TIMEOUT_S)
        return super().encode(*args, **kwargs)  # type: ignore[arg-type]


CALLS: dict[str, Callable[[Tracker], object]] = {
    "step": lambda tracker: tracker.step(1, IMAGE),
    "prompt": lambda tracker: tracker.prompt(1, {2: click(9, 9)}, IMAGE),
    "masks": lambda tracker: tracker.masks(0),
    "settle": lambda tracker: tracker.settle(0),
    "suggest": lambda tracker: tracker.suggest(),
    "remove_prompt": lambda tracker: tracker.remove_prompt(0, 1),
    "remove_object": lambda tracker: tracker.remove_object(1),
    "save": lambda tracker: tracker.save("never.session"),
}


@pytest.mark.parametrize("name", CALLS)
def test_23_a_tracker_that_another_thread_uses_is_busy(name: str) -> None:
    backend = WaitingBackend()
    tracker = Tracker(backend)
    tracker.prompt(0, {1: click(5, 5)}, IMAGE)
    backend.entered.clear()
    backend.gate.clear()
    stepped: list[Masks] = []
    thread = threading.Thread(target=lambda: stepped.append(tracker.step(1, IMAGE)))
    thread.start()
    assert backend.entered.wait(TIMEOUT_S)
    try:
        with pytest.raises(StateError, match=rf"^{name}\(\) is called while another thread") as caught:
            CALLS[name](tracker)
        assert caught.value.code == "tracker-busy" and caught.value.retryable
    finally:
        backend.gate.set()
        thread.join(TIMEOUT_S)
    assert stepped[0].object_ids == (1,) and tracker.object_ids == (1,)
    assert tracker.step(2, IMAGE).object_ids == (1,)


def test_23_a_tracker_is_free_after_an_error() -> None:
    tracker = Tracker(FakeBackend())
    with pytest.raises(StateError, match="prompt an object first"):
        tracker.step(0, IMAGE)
    thread = threading.Thread(target=lambda: tracker.prompt(0, {1: click(5, 5)}, IMAGE))
    thread.start()
    thread.join(TIMEOUT_S)
    assert tracker.object_ids == (1,)
