"""T12: the memory of a job does not grow with the length of the video."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.clips import write_clip
from support.track_runs import track

MAX_GROWTH = 32 << 20


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("short", "long"), [(5, 30), pytest.param(500, 3000, marks=pytest.mark.slow, id="3,000 frames")]
)
def test_memory_does_not_grow_with_the_length_of_the_video(short: int, long: int, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    sizes = {}
    for count in (short // 5, short, long):  # the first run loads the libraries
        clip = write_clip(tmp_path / f"{count}.mp4", count)
        assert track(clip, "--point", "5,5", "--format", "png,coco", "--out", tmp_path / f"out {count}") == 0
        sizes[count] = psutil.Process().memory_info().rss
    print(f"{sizes[short] >> 20} MiB after {short} frames, {sizes[long] >> 20} MiB after {long}")
    assert sizes[long] - sizes[short] <= MAX_GROWTH
