"""T20: the same job gives the same bytes: with onnxruntime for any number of threads, with PyTorch for the same one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from masklet.cli import options
from masklet.segmenter import load
from support.track_runs import read_outputs, track


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("runtime", "threads", "stop"),
    [
        ("onnx", (1, 2), 2),
        pytest.param("onnx", (1, 2) * 2, 24, marks=pytest.mark.slow),
        pytest.param("torch", (1,) * 4, 24, marks=pytest.mark.slow),
        pytest.param("torch", (2,) * 4, 24, marks=pytest.mark.slow),
    ],
)
def test_a_job_gives_the_same_bytes_again(
    runtime: str,
    threads: tuple[int, ...],
    stop: int,
    frames: Path,
    tmp_path: Path,
    checkpoint: Callable[[str, int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    path, before = checkpoint("sam2.1-micro", 1), torch.get_num_threads()
    words = [frames, "--box", "10,10,40,40", "--point", "60,30#2", "--stop", str(stop)]
    runs = []
    for number, count in enumerate(threads):
        monkeypatch.setenv("OMP_NUM_THREADS", str(count))  # onnxruntime's number of threads
        torch.set_num_threads(count)
        model = load(path, runtime=runtime, input_size=64)
        monkeypatch.setattr(options.ModelOptions, "load", lambda self, model=model: model)
        out = tmp_path / str(number)
        assert track(*words, "--format", "png,coco,npz,yolo,overlay", "--out", out) == 0
        runs.append(read_outputs(out))
    torch.set_num_threads(before)
    assert len(runs[0]) > stop and all(run == runs[0] for run in runs)
