"""T5: invalid annotations, RLE, prompts and projects are refused with a code, within 1 s of CPU time and 200 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fuzzing.run import run_kind

MAX_CPU_S = 1.0
MAX_GROWTH_MB = 200


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_annotations(count: int) -> None:
    report = run_kind("annotations", count, seed=5)
    report.require_success()
    assert report.codes["read"] and report.codes["annotation-broken"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["prompts", "logs"])
def test_mutated_prompts_and_logs(kind: str) -> None:
    run_kind(kind, 5_000, seed=5).require_success()


@pytest.mark.slow
def test_mutations_that_hypothesis_draws() -> None:
    targets = ["coco", "foreign-coco", "foreign-labelme", "cvat-video", "rle", "saved-json"]
    run_kind("annotations", 10_000, seed=5, engine="hypothesis", targets=targets).require_success()


DEEP = 100_000


def make_coco(segmentation: str, height: int = 60, width: int = 80) -> str:
    """Make a COCO file with one annotation."""
    image = f'{{"id": 1, "height": {height}, "width": {width}, "file_name": "a.jpg"}}'
    row = f'{{"id": 1, "image_id": 1, "category_id": 1, "segmentation": {segmentation}}}'
    return f'{{"images": [{image}], "annotations": [{row}], "categories": []}}'


LARGE = {
    "an RLE of 10⁹ pixels": make_coco('{"size": [32000, 32000], "counts": [1024000000]}', 32_000, 32_000),
    "an RLE of 3 million runs": make_coco('{"size": [60, 80], "counts": [%s4800]}' % ("0," * 3_000_000)),
    "a million polygons": make_coco(f"[{','.join(['[0,0,9,0,9,9]'] * 1_000_000)}]"),
    "a polygon of a million vertices": make_coco(f"[[{','.join(['0,0,79,59,3,50'] * 333_333)}]]"),
    "deep JSON": "[" * DEEP,
    "deep objects": '{"images":' * DEEP,
    "a deep segmentation": make_coco("[" * DEEP + "]" * DEEP),
    "deep shapes": '{"shapes":' + "[" * DEEP + "]" * DEEP + "}",
}
CHILD = """
import json, os, sys, time, warnings
from pathlib import Path
from masklet.errors import MaskletError
from masklet.formats import read_masks
warnings.simplefilter("ignore")
def peak_mb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) >> 10
for path in sys.argv[1:]:
    if not os.fork():  # in a process of its own, so that its memory is measured
        before, started = peak_mb(), time.process_time()
        try:
            list(read_masks(path))
            code = "read"
        except MaskletError as error:
            code = error.code
        spent, grown, started = time.process_time() - started, peak_mb() - before, time.process_time()
        try:
            json.loads(Path(path).read_text())
        except RecursionError:
            pass
        print(json.dumps([code, spent, grown, time.process_time() - started]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_files_take_neither_time_nor_memory(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(len(LARGE))]
    for path, content in zip(paths, LARGE.values(), strict=True):
        path.write_text(content)
    result = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, paths)], capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == len(LARGE)
    for name, line in zip(LARGE, lines, strict=True):
        code, seconds, grown, parsing_seconds = json.loads(line)
        assert code == ("read" if "runs" in name else "annotation-broken"), name
        # CPU time grows by a multiple beside other work, and that of parsing JSON of 13 MB with it
        assert seconds < max(MAX_CPU_S, 4 * parsing_seconds), f"{name}: {seconds} s, {parsing_seconds} s of parsing"
        assert grown < MAX_GROWTH_MB, f"{name}: {grown} MB"
