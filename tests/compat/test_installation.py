"""Programs that import `sam2` without a change: `install`, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys

sys.modules["hydra"] = None  # as if it were not installed
sys.modules["torch"] = None
import masklet.compat.sam2

masklet.compat.sam2.install()
masklet.compat.sam2.install()
import sam2
import sam2.sam2_image_predictor
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES, build_sam2
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2.utils.amg import mask_to_rle_pytorch
from sam2.utils.transforms import SAM2Transforms

assert sam2 is masklet.compat.sam2
assert sam2.sam2_image_predictor is sys.modules["masklet.compat.sam2.sam2_image_predictor"]
assert sam2.SAM2ImagePredictor is SAM2ImagePredictor
assert isinstance(build_sam2("nano", device="cpu"), SAM2Base)
try:
    import sam2.nothing
except ModuleNotFoundError as error:
    assert error.name == "sam2.nothing", error.name
else:
    raise AssertionError
import sam2_of_another_name
"""
TOO_LATE = """
import sam2

import masklet.compat.sam2

try:
    masklet.compat.sam2.install()
except RuntimeError as error:
    print(error)
"""


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_modules_of_sam2_are_those_of_the_replacement_without_hydra(tmp_path: Path) -> None:
    (tmp_path / "sam2_of_another_name.py").touch()
    (tmp_path / "sam2").mkdir()
    (tmp_path / "sam2" / "__init__.py").write_text("raise AssertionError")  # an installed package is not seen
    run(PROGRAM, tmp_path)


def test_a_package_that_is_imported_already_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "sam2.py").touch()
    out = run(TOO_LATE, tmp_path)
    assert f"the package sam2 is already imported, from {tmp_path / 'sam2.py'}" in out
    assert "call install() before that import" in out


def test_names_are_imported_from_the_package() -> None:
    import masklet.compat.sam2 as sam2

    assert callable(sam2.build_sam2)
    assert sam2.SAM2ImagePredictor.__name__ == "SAM2ImagePredictor"
    with pytest.raises(AttributeError, match="no attribute 'build_sam3'"):
        _ = sam2.build_sam3
