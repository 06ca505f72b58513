"""T1: damaged images are read, or refused with an error of images, within 2 s of CPU time and 1 GiB."""

from __future__ import annotations

import pytest

from fuzzing.run import run_kind
from masklet.errors import EXIT_STATUS


@pytest.mark.parametrize("count", [400, pytest.param(30_000, marks=pytest.mark.slow)])
def test_damaged_images(count: int) -> None:
    report = run_kind("images", count, seed=1)
    report.require_success()
    assert report.checks == count
    assert {*report.codes} > {"read", "image-broken", "image-truncated"}
    assert {*report.codes} - {"read"} <= EXIT_STATUS.keys()
