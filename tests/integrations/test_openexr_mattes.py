"""OpenEXR reads the mattes that masklet writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from masklet.formats import save_masks
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame

OpenEXR = pytest.importorskip("OpenEXR")


def test_openexr_reads_alpha_as_half_floats(tmp_path: Path) -> None:
    rows, columns = np.ogrid[:48, :65]
    logits = np.asarray(12.3 - np.hypot(rows - 24, columns - 30), np.float32)
    frame = TrackedFrame(7, None, Masks.from_logits(logits[None], (48, 65)))
    (folder,) = save_masks([frame], tmp_path, ["matte_exr"])
    with OpenEXR.File(str(folder / "object_0001/frame_000007.exr"), separate_channels=True) as file:
        alpha = file.channels()["Y"].pixels
    assert alpha.dtype == np.float16 and alpha.shape == (48, 65)
    assert np.array_equal(alpha > 0.5, logits > 0) and alpha.min() == 0 and alpha.max() == 1
    near = np.abs(logits) < 0.5
    assert np.abs(alpha[near] - 1 / (1 + np.exp(-logits[near]))).max() < 1 / 256
