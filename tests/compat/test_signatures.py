"""Signatures of the package `sam2` 1.1.0 (`record_reference.py`), compared with those of its replacement."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compat.record_reference import list_signatures

RECORDED: dict[str, list[list[str]]] = json.loads((Path(__file__).parent / "signatures.json").read_text())
DEFAULTS = {"device(type='cuda')": "None"}  # without PyTorch there is no device; None is the model's


@pytest.fixture(scope="module")
def found() -> dict[str, list[list[str]]]:
    return dict(list_signatures("masklet.compat.sam2"))


OPTIONAL = {("sam2_video_predictor.SAM2VideoPredictor.init_state", "video_path")}  # a stream has no video


def drop_additions(parameters: list[list[str]]) -> list[list[str]]:
    """Drop parameters that can only be given by name and have a default."""
    return [one for one in parameters if one[1] != "KEYWORD_ONLY" or not one[2]]


@pytest.mark.parametrize("name", RECORDED)
def test_a_function_has_the_parameters_kinds_and_defaults_of_the_package(
    name: str, found: dict[str, list[list[str]]]
) -> None:
    parameters = drop_additions(found[name])
    assert [one[:2] for one in parameters] == [one[:2] for one in RECORDED[name]]
    for (parameter, _, default), (_, _, recorded) in zip(parameters, RECORDED[name], strict=True):
        optional = (name, parameter) in OPTIONAL
        assert default == DEFAULTS.get(recorded, recorded) or optional, parameter


def test_the_camera_predictor_is_built_with_the_parameters_of_the_fork(found: dict[str, list[list[str]]]) -> None:
    from compat.record_reference import describe
    from masklet.compat.sam2.build_sam import build_sam2_camera_predictor

    assert drop_additions(describe(build_sam2_camera_predictor)) == RECORDED["build_sam.build_sam2_video_predictor"]
