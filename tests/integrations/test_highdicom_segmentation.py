"""highdicom reads the DICOM segmentations that masklet writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from masklet.formats import save_masks
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.video import open_video
from support.stack_files import COUNT, draw_ball, write_series

hd = pytest.importorskip("highdicom")


def test_highdicom_reads_the_segments_at_their_places_in_the_patient(tmp_path: Path) -> None:
    source = write_series(tmp_path / "series")
    frames = []
    for index, ball in enumerate(draw_ball()):
        masks = Masks.from_binary(np.stack([ball, ~ball & (index > 3)]), object_ids=[2, 5], labels=["ball", None])
        frames.append(TrackedFrame(index, None, masks))
    (path,) = save_masks(frames, tmp_path / "out", ["dicom_seg"], video=open_video(source), path=source)
    seg = hd.seg.segread(path)
    assert [seg.get_segment_description(number).segment_label for number in (1, 2)] == ["ball", "object 5"]
    volume = seg.get_volume(segment_numbers=[1])
    assert np.array_equal(volume.array[::-1, ..., 0], draw_ball()), "highdicom begins with the last slice"
    assert np.allclose(volume.spacing, (2.5, 0.8, 0.7)) and np.allclose(volume.position, [1, 2, 10 + 2.5 * (COUNT - 1)])
    uids = [f"1.2.826.0.1.3680043.8.498.5.{index + 1}" for index in range(COUNT)]
    found = seg.get_pixels_by_source_instance(uids, segment_numbers=[2])
    assert [bool(one.any()) for one in found] == [False] * 4 + [True] * 2
