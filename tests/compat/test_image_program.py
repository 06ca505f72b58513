"""Results of the package `sam2` 1.1.0, call by call, compared with those of its replacement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compat import image_program
from compat.call_log import CallLog, compare_logs
from support.recorded import load_shapes
from support.torchless import Torchless

TESTS = Path(__file__).resolve().parents[1]
IN_FLOAT32, IN_FLOAT64 = 1e-3, 2e-5  # largest differences

TORCHLESS_PROGRAM = """
import sys
from pathlib import Path

sys.path.insert(0, {tests!r})
from compat import image_program
from compat.call_log import CallLog
from compat.test_image_program import build, make_api

log, model = CallLog(), build(runtime="onnx")
for run in {parts!r}:
    getattr(image_program, run)(make_api(), model, log)
log.save(Path({path!r}))
"""


def make_api() -> SimpleNamespace:
    from masklet.compat.sam2.array import make_tensor
    from masklet.compat.sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
    from masklet.compat.sam2.sam2_image_predictor import SAM2ImagePredictor
    from masklet.compat.sam2.utils import amg

    return SimpleNamespace(
        SAM2ImagePredictor=SAM2ImagePredictor,
        SAM2AutomaticMaskGenerator=SAM2AutomaticMaskGenerator,
        amg=amg,
        fix=lambda predictor: predictor,
        tensor=make_tensor,
    )


def build(**options: Any) -> Any:
    from masklet.compat.sam2.build_sam import build_sam2

    model = build_sam2(image_program.CONFIG, device="cpu", **options)
    model.load_state_dict(image_program.make_weights(load_shapes()[image_program.CONFIG]))
    return model


@pytest.fixture(scope="module")
def recorded() -> CallLog:
    return CallLog.load(Path(__file__).parent / "image_program.npz")


@pytest.fixture(scope="module")
def torchless() -> Iterator[Torchless]:
    process = Torchless(absent=("torch", "torchvision", "scipy", "pycocotools"))
    yield process
    process.close()


def select(recorded: CallLog, *prefixes: str) -> set[str]:
    return {name for name in recorded.facts if name.startswith(prefixes)}


def run_torchless(process: Torchless, folder: Path, *parts: str) -> CallLog:
    path = folder / "log.npz"
    done = process.execute(TORCHLESS_PROGRAM.format(tests=str(TESTS), parts=parts, path=str(path)))
    assert done.status == 0, done.err
    return CallLog.load(path)


@pytest.mark.slow
def test_without_pytorch_every_call_of_the_image_predictor_gives_the_recorded_result(
    recorded: CallLog, torchless: Torchless, tmp_path: Path
) -> None:
    found = run_torchless(torchless, tmp_path, "run_predictor", "run_utilities")
    others = select(recorded, "generator.", "raw.")
    assert found.facts.keys() == recorded.facts.keys() - others
    compare_logs(found, recorded, IN_FLOAT32)


@pytest.mark.slow
def test_without_pytorch_the_mask_generator_gives_the_recorded_masks(
    recorded: CallLog, torchless: Torchless, tmp_path: Path
) -> None:
    found = run_torchless(torchless, tmp_path, "run_generator")
    assert found.facts.keys() == select(recorded, "generator.")
    compare_logs(found, recorded, IN_FLOAT32)


@pytest.mark.slow
def test_every_call_gives_the_recorded_result_in_float64(recorded: CallLog) -> None:
    pytest.importorskip("torch")
    found, model = CallLog(), build(dtype="float64")
    image_program.run_predictor(make_api(), model, found)
    image_program.run_generator(make_api(), model, found)
    image_program.run_utilities(make_api(), model, found)
    raw = build(dtype="float64", apply_postprocessing=False)
    image_program.run_without_postprocessing(make_api(), raw, found)
    assert found.facts.keys() == recorded.facts.keys()
    compare_logs(found, recorded, IN_FLOAT64, single=False)


@pytest.mark.slow
def test_without_postprocessing_an_unstable_single_mask_is_returned(recorded: CallLog) -> None:
    found = CallLog()
    image_program.run_without_postprocessing(make_api(), build(runtime="onnx", apply_postprocessing=False), found)
    compare_logs(found, recorded, IN_FLOAT32)
    assert recorded.facts["raw.single.0"]["true"] != recorded.facts["single.0"]["true"]  # the rule changes something


def test_a_difference_is_found(recorded: CallLog) -> None:
    for name, change in (("click.1", 0.01), ("boxes.0", 1.0)):
        found = CallLog()
        found.facts, found.samples = {name: recorded.facts[name]}, {name: recorded.samples[name] + change}
        with pytest.raises(AssertionError, match=name):
            compare_logs(found, recorded, IN_FLOAT32)
