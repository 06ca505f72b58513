"""T10: when a model call runs out of memory, smaller steps are tried before the run ends with exit status 75."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from masklet.cli import options
from masklet.cli.main import main
from masklet.errors import ResourceError
from masklet.low_memory import MemoryFallback, clear_at_low_memory
from masklet.prompts import Prompt, box, click
from masklet.prompts import mask as mask_prompt
from masklet.segmenter import Segmenter, load
from support.full_memory import FullMemory
from support.zygote import count_frames

SUPPORT = Path(__file__).parents[1] / "support"
OBJECTS, FRAMES, MIN_IOU = 9, 2, 0.999
RELEASED = "the memory is full: unused memory was released [low-memory]"
SMALLER = [
    f"the memory is full: the largest batch of objects or images is {size} from here on [low-memory]"
    for size in (8, 4, 2, 1)
]
CLEARED = "the memory is full: cached features were dropped; they are computed again when they are needed [low-memory]"

VIDEO = np.random.default_rng(0).integers(0, 255, (FRAMES, 48, 64, 3)).astype(np.uint8)
VIDEO[:, 10:30, 10:40] = 200


def make_prompts() -> dict[int, Prompt]:
    """Prompts of nine objects: boxes, clicks and masks."""
    given = np.zeros((48, 64), bool)
    given[12:30, 20:44] = True
    kinds = [box(10, 10, 40, 30), click(20, 20), mask_prompt(given)]
    return {number + 1: kinds[number % 3] for number in range(OBJECTS)}


def segment(model: Segmenter) -> NDArray[np.bool_]:
    """Segment two images, segment the last one again, and track a video: masks (N, H, W)."""
    prompts = make_prompts()
    images = model.embed([*VIDEO])
    found = [image.predict(prompts).binary for image in [*images, images[-1]]]
    found += [frame.masks.binary for frame in model.track(VIDEO, prompts)]
    return np.concatenate(found)


def run(model: Segmenter) -> tuple[NDArray[np.bool_], list[str]]:
    """Segment with a fallback that was not used yet; return the masks and the warnings about memory."""
    backend: Any = copy.copy(model.backend)
    backend.fallback = MemoryFallback()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        masks = segment(Segmenter(backend, model.view, model.memory))
    return masks, [str(one.message) for one in caught if "low-memory" in str(one.message)]


def least_iou(found: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> float:
    """The smallest IoU of two lists of masks; that of two empty masks is 1."""
    assert found.shape == wanted.shape
    both, either = ((found & wanted).sum(axis=(1, 2)), (found | wanted).sum(axis=(1, 2)))
    return float(np.where(either > 0, both / np.maximum(either, 1), 1.0).min())


@pytest.fixture(scope="module", params=["torch", "onnx"])
def model(request: pytest.FixtureRequest, checkpoint: Callable[[str, int], Path]) -> Segmenter:
    return load(checkpoint("sam2.1-micro", 1), runtime=request.param, input_size=64)


ONNX_BY_DEFAULT = pytest.mark.parametrize(
    "model", [pytest.param("torch", marks=pytest.mark.slow), "onnx"], indirect=True
)


@pytest.fixture(scope="module")
def wanted(model: Segmenter) -> NDArray[np.bool_]:
    """The masks of a run with enough memory."""
    masks, messages = run(model)
    assert not messages and masks.any(axis=(1, 2)).sum() > OBJECTS and not masks.all()
    return masks


@pytest.fixture
def full(model: Segmenter, monkeypatch: pytest.MonkeyPatch) -> FullMemory:
    return FullMemory(monkeypatch, model.backend.runtime)


@ONNX_BY_DEFAULT
@pytest.mark.parametrize("count", [1, pytest.param(75, marks=pytest.mark.slow)])
def test_a_call_that_fails_once_changes_no_mask(
    count: int, model: Segmenter, wanted: NDArray[np.bool_], full: FullMemory
) -> None:
    run(model)
    calls = full.calls
    numbers = range(1, calls + 1)
    for failing in random.Random(count).sample(numbers, min(count, calls)):
        full.calls, full.fails = 0, lambda call, batch, failing=failing: call == failing
        masks, messages = run(model)
        assert messages == [RELEASED] and np.array_equal(masks, wanted)


@pytest.mark.parametrize("room", [1, *(pytest.param(room, marks=pytest.mark.slow) for room in (2, 4, 8))])
def test_batches_become_as_small_as_they_must(
    room: int, model: Segmenter, wanted: NDArray[np.bool_], full: FullMemory
) -> None:
    full.fails = lambda call, batch: batch > room
    masks, messages = run(model)
    assert messages[:1] == [RELEASED] and f" is {room} from" in messages[-1]
    assert messages[1:] == [one for one in SMALLER if one in messages]
    assert least_iou(masks, wanted) >= MIN_IOU


class Hog:
    """A cache that takes all memory until it is cleared."""

    size = 1

    def clear(self) -> None:
        self.size = 0


@pytest.mark.slow
@pytest.mark.parametrize("count", [10])
def test_cached_features_are_dropped_last(
    count: int, model: Segmenter, wanted: NDArray[np.bool_], full: FullMemory
) -> None:
    run(model)
    for first in random.Random(count).sample(range(1, full.calls + 1), count):
        hog = Hog()
        clear_at_low_memory(hog)
        full.calls, full.fails = 0, lambda call, batch, first=first, hog=hog: call >= first and hog.size > 0
        masks, messages = run(model)
        assert messages[0] == RELEASED and messages[-1] == CLEARED and not hog.size
        assert messages[1:-1] == [one for one in SMALLER if one in messages]
        assert least_iou(masks, wanted) >= MIN_IOU


@pytest.mark.slow
@pytest.mark.parametrize("count", [3])
def test_dropped_features_of_images_and_videos_are_computed_again(
    count: int, model: Segmenter, full: FullMemory
) -> None:
    """With a zoom, the features of images can be dropped too."""
    zoomed = Segmenter(model.backend, load(zoom=2).view, model.memory)
    wanted = segment(zoomed)
    for first in random.Random(count).sample(range(1, full.calls + 1), count):
        hog = Hog()
        clear_at_low_memory(hog)
        full.calls, full.fails = 0, lambda call, batch, first=first, hog=hog: call >= first and hog.size > 0
        masks, messages = run(zoomed)
        assert messages[-1] == CLEARED and least_iou(masks, wanted) >= MIN_IOU


def test_the_steps_have_an_order() -> None:
    """A call that fails whatever is done is repeated after each step, with smaller batches."""
    attempts: list[list[int]] = []
    fallback, hog = MemoryFallback(), Hog()
    clear_at_low_memory(hog)

    def fail() -> None:
        attempts.append([rows.stop - rows.start for rows in fallback.split(20, 16)] + [hog.size])
        raise ResourceError("out-of-memory", f"attempt {len(attempts)}")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ResourceError, match="attempt 7"):
            fallback.run(fail)
    messages = [str(one.message) for one in caught if "low-memory" in str(one.message)]
    assert messages == [RELEASED, *SMALLER, CLEARED]
    assert [batches[0] for batches in attempts] == [16, 16, 8, 4, 2, 1, 1]
    assert [batches[-1] for batches in attempts] == [1, 1, 1, 1, 1, 1, 0]


def test_other_errors_are_raised_at_once() -> None:
    calls = []

    def fail(error: Exception) -> None:
        calls.append(error)
        raise error

    for error in (ValueError("x"), ResourceError("device-unavailable", "x")):
        with pytest.raises(type(error)) as caught:
            MemoryFallback().run(lambda error=error: fail(error))  # type: ignore[misc]
        assert caught.value is error
    assert len(calls) == 2


def test_a_memory_error_of_python_has_a_code_in_the_end() -> None:
    def fail() -> None:
        raise MemoryError

    with pytest.warns(match="low-memory"), pytest.raises(ResourceError, match="the memory is full") as caught:
        MemoryFallback().run(fail)
    assert caught.value.code == "out-of-memory" and caught.value.retryable


def test_failed_arrays_are_released_before_the_next_attempt() -> None:
    """The traceback of an exception refers to the local variables of the failed call."""
    alive: list[Any] = []

    class Array:
        def __init__(self) -> None:
            alive.append(id(self))

        def __del__(self) -> None:
            alive.remove(id(self))

    def fail() -> int:
        assert not alive
        array = Array()
        if len(seen) < 2:
            seen.append(array is None)
            raise ResourceError("out-of-memory", "full") from MemoryError()
        return 7

    seen: list[bool] = []
    with pytest.warns(match="low-memory"):
        assert MemoryFallback().run(fail) == 7
    assert len(seen) == 2


@ONNX_BY_DEFAULT
@pytest.mark.parametrize("count", [1, pytest.param(75, marks=pytest.mark.slow)])
def test_a_job_that_runs_out_of_memory_ends_with_75_and_resumes(
    count: int,
    model: Segmenter,
    full: FullMemory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for index, image in enumerate(np.concatenate([VIDEO, VIDEO])):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    monkeypatch.setattr(options.ModelOptions, "load", lambda self: model)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(model.backend, "fallback", MemoryFallback())
    words = ["track", str(tmp_path / "*.png"), "--box", "10,10,40,30", "--point", "20,20#2", "--format", "png,coco"]

    def read(out: Path) -> dict[str, bytes]:
        files = (path for path in sorted(out.rglob("*")) if path.is_file() and ".masklet" not in path.parts)
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}

    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    whole, calls = read(tmp_path / "whole"), full.calls
    chance = random.Random(count)
    firsts = range(1, calls + 1) if calls <= count else chance.sample(range(1, calls + 1), count)
    for first in firsts:
        out = tmp_path / f"out {first}"
        model.backend.fallback = MemoryFallback()  # type: ignore[attr-defined]
        full.calls, full.fails = 0, lambda call, batch, first=first: call >= first
        capsys.readouterr()
        assert main([*words, "--out", str(out)]) == 75
        error = capsys.readouterr().err
        assert "[out-of-memory]" in error and error.count(RELEASED) == 1 and error.count(CLEARED) == 1
        files = read(out) if out.exists() else {}
        assert all(whole[name] == content for name, content in files.items())
        assert sum(name.startswith("png/") for name in files) >= count_frames(out / ".masklet/journal.jsonl")
        full.fails = lambda call, batch: False
        model.backend.fallback = MemoryFallback()  # type: ignore[attr-defined]
        assert main([*words, "--out", str(out), *(["--resume"] if out.exists() else [])]) == 0
        assert read(out) == whole


_LIMITED = """
import resource, sys, warnings
import numpy as np
from masklet.prompts import box
from masklet.segmenter import load

def size(name):
    return int(dict(line.split(":", 1) for line in open("/proc/self/status"))[name].split()[0]) << 10

import torch

torch.backends.mkldnn.enabled = False
model, room, out = load(sys.argv[1], runtime="torch", input_size=512), int(sys.argv[2]), sys.argv[3]
image = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
prompts = {number: box(10 + number, 10, 80, 60) for number in range(1, 33)}
embedded = model.embed(image)
embedded.predict({1: prompts[1]})
if room:
    resource.setrlimit(resource.RLIMIT_AS, (size("VmSize") + room, resource.RLIM_INFINITY))
before = size("VmSize")
masks = embedded.predict(prompts).binary
np.savez(out, masks=np.packbits(masks), growth=size("VmPeak") - before)
"""


@pytest.mark.slow
def test_a_limit_of_the_address_space_changes_no_mask(checkpoint: Callable[[str, int], Path], tmp_path: Path) -> None:
    """With PyTorch, since onnxruntime reserves memory in advance.

    oneDNN, which computes PyTorch's convolutions, is switched off: it ends the process when it gets no memory.
    """

    def predict(room: int) -> tuple[NDArray[np.uint8], int, str]:
        words = [str(checkpoint("sam2.1-micro", 1)), str(room), str(tmp_path / "masks.npz")]
        done = subprocess.run([sys.executable, "-c", _LIMITED, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with np.load(tmp_path / "masks.npz") as file:
            return file["masks"], int(file["growth"]), done.stderr

    wanted, growth, _ = predict(0)
    masks, _, error = predict(growth // 3)
    assert RELEASED in error and SMALLER[0] in error
    both, either = (np.unpackbits(one).sum() for one in (masks & wanted, masks | wanted))
    assert both / either >= MIN_IOU
