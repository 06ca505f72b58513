"""Sample index: equal to the index of all packets, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.video import open_video, sample_index
from masklet.video.demuxer import Demuxer
from masklet.video.options import VideoOptions
from masklet.video.packet_index import PacketIndex, index_packets
from masklet.video.sample_index import index_samples
from support.clips import read_number, write_clip

FRAMES = 60


@pytest.fixture(autouse=True)
def every_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Index short clips too."""
    monkeypatch.setattr(sample_index, "MIN_SAMPLES", 1)
    monkeypatch.setattr(sample_index, "_COMPARED", 5)


def index_both(path: Path) -> tuple[PacketIndex | None, PacketIndex]:
    """Return the index from the tables and that from all packets."""
    demuxer = Demuxer(path, VideoOptions(), lambda: None)
    try:
        found = index_samples(demuxer)
        demuxer.restart()
        return found, index_packets(demuxer.packets(), demuxer.is_shown)
    finally:
        demuxer.close()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("plain.mp4", {"options": {"bf": "0", "g": "10"}}),
        ("b_frames.mp4", {"options": {"bf": "3", "g": "12"}}),
        ("b_frames.mov", {"options": {"bf": "2", "g": "7"}}),
        ("late.mp4", {"options": {"bf": "2"}, "times": range(30, 30 + FRAMES)}),
        ("varying.mp4", {"options": {"bf": "2"}, "times": [t + t // 7 for t in range(FRAMES)]}),
        ("negative.mp4", {"options": {"bf": "3"}, "container": {"movflags": "negative_cts_offsets"}}),
        ("early_tables.mp4", {"options": {"bf": "3"}, "container": {"movflags": "faststart"}}),
        ("no_edit_list.mp4", {"options": {"bf": "3"}, "container": {"use_editlist": "0"}}),
        ("mpeg4.mp4", {"codec": "mpeg4"}),
    ],
)
def test_the_index_equals_that_of_all_packets(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    found, expected = index_both(write_clip(tmp_path / name, FRAMES, **settings))
    assert found is not None and len(found) == FRAMES
    assert found.frame_times == expected.frame_times and found.packet_count == expected.packet_count
    assert found.key_frame_times == expected.key_frame_times and found.seek_times == expected.seek_times
    assert found.is_regular and expected.is_regular and not expected.is_damaged


def test_frames_are_those_of_the_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "b_frames.mp4", FRAMES, options={"bf": "3", "g": "12"})
    with open_video(path, VideoOptions(isolated=False)) as video:
        assert [read_number(video[frame]) for frame in (59, 0, 31, 32, 12)] == [59, 0, 31, 32, 12]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("fragments.mp4", {"container": {"movflags": "frag_keyframe+empty_moov"}}),
        ("other.mkv", {}),
        ("other.webm", {"codec": "libvpx"}),
    ],
)
def test_other_files_have_none(tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    found, expected = index_both(write_clip(tmp_path / name, FRAMES, **settings))
    assert found is None and len(expected) == FRAMES


def test_a_file_that_is_cut_off_has_none(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "cut.mp4", FRAMES, container={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[:-500])
    assert index_both(path)[0] is None


def test_tables_that_differ_from_the_packets_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "b_frames.mp4", FRAMES, options={"bf": "3", "g": "12"})
    monkeypatch.setattr(sample_index, "_read_delays", lambda handle, track, count: np.zeros(FRAMES, np.int64))
    assert index_both(path)[0] is None


def test_damaged_tables_are_not_used(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "b_frames.mp4", FRAMES, options={"bf": "3"})
    content = path.read_bytes()
    for name in (b"ctts", b"stsz", b"tkhd", b"stbl"):
        position = content.index(name)
        for change in (b"\xff" * 8, b"\0" * 8):
            path.write_bytes(content[: position + 8] + change + content[position + 16 :])
            try:
                demuxer = Demuxer(path, VideoOptions(), lambda: None)
            except Exception:  # noqa: BLE001 - FFmpeg refuses it
                continue
            try:
                found = index_samples(demuxer)
                demuxer.restart()
                expected = index_packets(demuxer.packets(), demuxer.is_shown)
                assert found is None or found.frame_times == expected.frame_times
            finally:
                demuxer.close()
