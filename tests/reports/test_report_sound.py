"""Reports A1 to A4 and defect 2: a fault of the sound never ends an overlay."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.sound_clips import find_avi_chunks, measure_sounds, write_sound_clip
from support.tracked_overlays import save_overlay, track_overlay, use_fake_backend


@pytest.fixture(autouse=True)
def fake_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_backend(monkeypatch)


def test_a1_a_sound_track_without_a_decoder_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_sound_clip(
        tmp_path / "two.mov", sounds=("aac", "aac"), sound_rate=48_000, layout="stereo"
    ).read_bytes()
    last = data.rfind(b"stsd")  # an iPhone's second track has a codec that FFmpeg does not decode
    path = tmp_path / "iphone.mov"
    path.write_bytes(data[:last] + data[last:].replace(b"mp4a", b"apac").replace(b"esds", b"dapa"))

    status, times = track_overlay(path)

    assert (status, len(times)) == (0, 12)
    assert [codec for codec, *_ in measure_sounds(tmp_path / "out-iphone.mov/overlay.mp4")] == ["aac"]
    assert "iphone.mov: audio stream 2 is left out" in capsys.readouterr().err


@pytest.mark.parametrize("rate", [4000, 37_800, 192_000])
def test_a2_sound_at_a_rate_that_aac_does_not_have_is_resampled(
    rate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rate.avi"
    write_sound_clip(path, "mjpeg", pixel_format="yuvj420p", sounds=("pcm_u8",), sound_rate=rate)

    assert len(save_overlay(path, monkeypatch)) == 12
    (sound,) = measure_sounds(tmp_path / "out-rate.avi/overlay.mp4")
    assert sound[:2] == ("aac", {4000: 7350, 37_800: 44_100, 192_000: 96_000}[rate])
    assert sound[3] == pytest.approx(1.2, abs=0.1)


def test_a3_damaged_sound_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "adpcm.avi"
    write_sound_clip(path, "mjpeg", frames=30, pixel_format="yuvj420p", sounds=("adpcm_ms",), sound_rate=22_050)
    data = bytearray(path.read_bytes())
    for start, _ in find_avi_chunks(data, b"01wb")[3:8]:
        data[start] = 0xFF  # a predictor that does not exist
    path.write_bytes(data[: find_avi_chunks(data, b"00dc")[17][0] - 8])

    status, times = track_overlay(path)

    assert (status, len(times)) == (3, 17)
    assert measure_sounds(tmp_path / "out-adpcm.avi/overlay.mp4")[0][3] == pytest.approx(1.7, abs=0.2)
    assert "damaged packets of audio stream 1 are left out" in capsys.readouterr().err


def test_a4_sound_times_that_go_back_are_corrected(tmp_path: Path) -> None:
    one = write_sound_clip(
        tmp_path / "one.ts", "mpeg2video", frames=25, rate=25, sounds=("mp2",), sound_rate=48_000, container="mpegts"
    )
    path = tmp_path / "twice.ts"
    path.write_bytes(one.read_bytes() * 2)

    status, times = track_overlay(path)

    assert (status, len(times)) == (0, 50)
    _, _, start, end = measure_sounds(tmp_path / "out-twice.ts/overlay.mp4")[0]
    assert end - start == pytest.approx(2, abs=0.1)
    assert end == pytest.approx(times[-1] + 0.04, abs=0.1)


@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_defect_2_the_sound_of_a_flash_video_without_index_is_copied(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_sound_clip(tmp_path / "clip.flv", "flv", sounds=(codec,))

    assert len(save_overlay(path, monkeypatch)) == 12
    assert measure_sounds(tmp_path / "out-clip.flv/overlay.mp4")[0][3] == pytest.approx(1.2, abs=0.1)
