"""Results of the video predictor of the package `sam2` 1.1.0, call by call, compared with those of its replacement."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from compat import image_program, video_program
from compat.call_log import CallLog
from masklet.compat.sam2.array import make_tensor
from masklet.compat.sam2.build_sam import build_sam2_video_predictor
from masklet.compat.sam2.utils import misc
from support.recorded import load_shapes

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "corrections": {
        "hydra_overrides_extra": ["++model.add_all_frames_to_correct_as_cond=true", "++model.non_overlap_masks=true"]
    },
    "raw": {"apply_postprocessing": False},
}
ROUNDED = ("net.click.maskmem_features", "net.tracked.", "net.resized", "net.apart")
"""Memories of `track_step`, which masklet rounds to bfloat16, and what is predicted from them."""
OWN_TEXTS = ("error.remove_strict", "error.box", "error.mask", "misc.no_area")
"""Errors whose kind alone is that of the reference."""


@pytest.fixture(scope="module")
def recorded() -> CallLog:
    return CallLog.load(Path(__file__).parent / "video_program.npz")


def build(**options: Any) -> Any:
    overrides = [f"++model.image_size={video_program.IMAGE_SIZE}", *options.pop("hydra_overrides_extra", [])]
    predictor = build_sam2_video_predictor(
        image_program.CONFIG, device="cpu", hydra_overrides_extra=overrides, **options
    )
    predictor.load_state_dict(image_program.make_weights(load_shapes()[image_program.CONFIG]))
    return predictor


def compare(
    found: CallLog, recorded: CallLog, tolerance: float, prefix: str = "", *, exact_types: bool = False
) -> None:
    """Compare every logged value with the recorded one."""
    for name, fact in found.facts.items():
        expected = recorded.facts[prefix + name]
        if "error" in expected:
            assert expected["error"][0] in fact.get("error", ()), (name, fact)
            assert name in OWN_TEXTS or fact["text"].startswith(expected["text"]), (name, fact["text"])
        elif "shape" in expected:
            assert fact["shape"] == expected["shape"], name
            difference = np.abs(found.samples[name] - recorded.samples[prefix + name])
            allowed = max(tolerance, 0.05) if name.startswith(ROUNDED) else tolerance
            assert difference.max(initial=0) <= allowed, (name, difference.max())
            assert abs(fact["true"] - expected["true"]) <= allowed * np.prod(fact["shape"]), name
        elif name != "misc.components.1:type" and (
            not name.endswith(":type") or exact_types or "int" in expected["value"]
        ):  # the areas of the CUDA extension are int32; those of its stand-in in the recording are not
            assert fact == expected, name


def test_every_prompt_gives_the_recorded_result_in_float64(recorded: CallLog, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    log = CallLog()
    video_program.start(build(dtype="float64"), log, video_program.write_frames(tmp_path))
    video_program.thin(log)
    compare(log, recorded, 2e-5, "default.")


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_call_gives_the_recorded_result_in_float64(variant: str, recorded: CallLog, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    log = CallLog()
    video_program.run(build(dtype="float64", **VARIANTS[variant]), log, video_program.write_frames(tmp_path))
    compare(log, recorded, 2e-5, f"{variant}.")
    assert {f"{variant}.{name}" for name in log.facts} == {k for k in recorded.facts if k.startswith(f"{variant}.")}


@pytest.mark.slow
def test_the_networks_and_helpers_give_the_recorded_results_in_float64(recorded: CallLog, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    log = CallLog()
    api = SimpleNamespace(tensor=make_tensor, misc=misc)
    video_program.run_rest(api, build(dtype="float64"), log, video_program.write_frames(tmp_path))
    compare(log, recorded, 2e-5)
    assert log.facts.keys() == {name for name in recorded.facts if name.split(".")[0] not in VARIANTS}


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_every_call_has_the_recorded_types_and_close_values_in_float32(
    runtime: str, recorded: CallLog, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    predictor, log, rest = build(runtime=runtime), CallLog(), CallLog()
    video_program.run(predictor, log, video_program.write_frames(tmp_path))
    compare(log, recorded, 2e-2, "default.", exact_types=True)
    video_program.run_rest(SimpleNamespace(tensor=make_tensor, misc=misc), predictor, rest, tmp_path)
    compare(rest, recorded, 2e-2, exact_types=True)
