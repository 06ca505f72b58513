"""Audio of exported videos: every codec, rate and layout, streams of any length, damage, and a decoder that fails."""

from __future__ import annotations

import os
import signal
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from masklet.errors import MaskletWarning
from masklet.formats.audio import AudioCopier
from masklet.formats.audio_extraction import extract_audio
from support.sound_clips import damage_bytes, measure_sounds, write_sound_clip

Sounds = list[tuple[str, int, float, float]]


def extract(source: Path, start: float = 0, stop: float = 1.2) -> tuple[Sounds, list[tuple[str, str]]]:
    """Return the sounds as `measure_sounds` does, and the messages."""
    messages: list[tuple[str, str]] = []
    target = source.parent / "audio.mp4"
    extract_audio(source, target, start, stop, lambda *message: messages.append(message))
    return (measure_sounds(target) if target.exists() else []), [message for message in messages if message[0]]


@pytest.mark.parametrize(
    ("codec", "suffix", "copied"),
    [
        *((codec, "mkv", True) for codec in ("aac", "ac3", "eac3", "mp2", "libmp3lame", "flac", "libopus", "alac")),
        *((codec, "mkv", False) for codec in ("pcm_s24le", "pcm_f32le", "pcm_f64le", "wavpack", "tta")),
        *((codec, "mov", False) for codec in ("pcm_s8", "pcm_mulaw", "adpcm_ima_qt")),
    ],
)
def test_audio_is_copied_or_becomes_aac(codec: str, suffix: str, copied: bool, tmp_path: Path) -> None:
    path = write_sound_clip(tmp_path / f"clip.{suffix}", sounds=(codec,), sound_rate=48_000, layout="stereo")
    (sound,), messages = extract(path)
    assert (sound[0] == "aac") == (not copied or codec == "aac")
    assert (sound[1], messages) == (48_000, [])
    assert sound[3] == pytest.approx(1.2, abs=0.05)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(5512, 7350), (6000, 7350), (7350, 7350), (11_025, 11_025), (44_056, 44_100), (50_000, 64_000), (384_000, 96_000)],
)
def test_audio_of_any_rate_keeps_its_length(rate: int, expected: int, tmp_path: Path) -> None:
    path = write_sound_clip(
        tmp_path / "clip.avi", "mjpeg", pixel_format="yuvj420p", sounds=("pcm_u8",), sound_rate=rate
    )
    (sound,), messages = extract(path)
    assert (sound[:2], messages) == (("aac", expected), [])
    assert sound[3] == pytest.approx(1.2, abs=0.15)


@pytest.mark.parametrize("layout", ["2.1", "3.0", "quad", "5.1", "6.1", "7.1", "22.2", "3 channels"])
def test_audio_of_many_channels_becomes_stereo(layout: str, tmp_path: Path) -> None:
    path = write_sound_clip(tmp_path / "clip.mkv", sounds=("pcm_s16le",), sound_rate=48_000, layout=layout)
    (sound,), messages = extract(path)
    assert (sound[:2], messages) == (("aac", 48_000), [])
    with av.open(str(tmp_path / "audio.mp4")) as container:
        assert container.streams.audio[0].codec_context.layout.name == "stereo"


@pytest.mark.parametrize("codec", ["aac", "wavpack"])
@pytest.mark.parametrize(
    ("start", "seconds", "expected"), [(0.7, 0.3, (0.7, 1.0)), (0, 0.3, (0, 0.3)), (0, 5, (0, 1.2))]
)
def test_audio_that_starts_late_or_has_another_length_keeps_its_time(
    codec: str, start: float, seconds: float, expected: tuple[float, float], tmp_path: Path
) -> None:
    path = write_sound_clip(tmp_path / "clip.mkv", sounds=(codec,), sound_start=start, sound_seconds=seconds)
    (sound,), messages = extract(path)
    assert sound[2:] == pytest.approx(expected, abs=0.06)
    assert not messages


@pytest.mark.parametrize(("start", "seconds"), [(5, 1), (0, 0)])
def test_no_file_is_written_without_audio_in_the_part(start: float, seconds: float, tmp_path: Path) -> None:
    path = write_sound_clip(tmp_path / "clip.mkv", sounds=("aac",), sound_start=start, sound_seconds=seconds)
    assert extract(path) == ([], [])


def test_audio_before_the_first_frame_is_cut(tmp_path: Path) -> None:
    path = write_sound_clip(
        tmp_path / "clip.mkv", sounds=("pcm_s16le",), sound_start=-0.5, options={"avoid_negative_ts": "disabled"}
    )
    (sound,), messages = extract(path)
    assert sound[3] == pytest.approx(0.7, abs=0.15)
    assert not messages


def test_several_streams_are_written_and_cut_to_a_part(tmp_path: Path) -> None:
    path = write_sound_clip(tmp_path / "clip.mkv", sounds=("aac", "wavpack", "libopus"), sound_rate=48_000)
    sounds, messages = extract(path, 0.5, 0.9)
    assert ([name for name, *_ in sounds], messages) == (["aac", "aac", "opus"], [])
    assert [end for *_, end in sounds] == pytest.approx([0.4] * 3, abs=0.06)


@pytest.mark.parametrize("codec", ["mp2", "ac3", "flac", "libopus", "aac", "pcm_s24le", "wavpack", "tta"])
def test_damaged_files_raise_no_error(codec: str, tmp_path: Path) -> None:
    path = write_sound_clip(tmp_path / "clip.mkv", sounds=(codec,), sound_rate=48_000, layout="stereo")
    whole = path.read_bytes()
    for share in (0.001, 0.01, 0.05):
        path.write_bytes(damage_bytes(whole, share, 0.1, 1))
        _, messages = extract_only(path)
        assert {code for code, _ in messages} <= {"audio-damaged", "audio-missing"}
    path.write_bytes(whole[: len(whole) // 2])
    extract_only(path)


def extract_only(source: Path) -> tuple[Path, list[tuple[str, str]]]:
    messages: list[tuple[str, str]] = []
    extract_audio(source, source.parent / "audio.mp4", 0, 9, lambda *message: messages.append(message))
    return source.parent / "audio.mp4", [message for message in messages if message[0]]


def test_a_gap_of_damaged_audio_becomes_silence(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    rate, unit = 48_000, Fraction(1, 48_000)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("pcm_s24le", rate=rate, layout="stereo")
        for block in (*range(20), *range(60, 80)):
            frame = av.AudioFrame.from_ndarray(np.full((1, 2048), 1 << 28, np.int32), "s32", "stereo")
            frame.sample_rate, frame.time_base, frame.pts = rate, unit, block * 1024
            output.mux(stream.encode(frame))
    (sound,), _ = extract(path, 0, 9)
    assert sound[3] == pytest.approx(80 * 1024 / rate, abs=0.05)


def test_samples_that_are_not_numbers_are_skipped(tmp_path: Path) -> None:
    path = write_sound_clip(tmp_path / "clip.mkv", sounds=("pcm_f64le",), sound_rate=48_000, layout="stereo")
    data = path.read_bytes()
    path.write_bytes(data[:20_000] + struct.pack("<100d", *[float("nan")] * 100) + data[20_800:])
    (sound,), _ = extract(path)
    assert sound[3] == pytest.approx(1.2, abs=0.1)


def test_the_formats_of_frames_may_change(tmp_path: Path) -> None:
    parts = [
        write_sound_clip(tmp_path / f"{rate}.ts", sounds=("mp2",), sound_rate=rate, layout=layout, container="mpegts")
        for rate, layout in ((48_000, "stereo"), (32_000, "mono"))
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    (sound,), _ = extract(path, 0, 9)
    assert sound[3] == pytest.approx(2.6, abs=0.2)


def test_parts_of_joined_recordings_have_their_own_audio(tmp_path: Path) -> None:
    one = write_sound_clip(tmp_path / "one.ts", sounds=("aac", "mp2"), sound_rate=48_000, container="mpegts")
    path = tmp_path / "thrice.ts"
    path.write_bytes(one.read_bytes() * 3)
    sounds, messages = extract(path, 1.4, 3.2)
    assert [end for *_, end in sounds] == pytest.approx([1.8] * 2, abs=0.06)
    assert not messages


@pytest.fixture
def target(tmp_path: Path) -> Any:
    with av.open(str(tmp_path / "target.mp4"), "w") as container:
        yield container


HUNG = "import time; time.sleep(60)"
CRASHED = f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})"


@pytest.mark.skipif(os.name != "posix", reason="ends a process with a signal")
@pytest.mark.parametrize(("program", "reason"), [(HUNG, "hung"), (CRASHED, "crashed"), ("print('[1]')", "crashed")])
def test_a_decoder_that_fails_leaves_the_audio_out(
    program: str, reason: str, tmp_path: Path, target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_sound_clip(tmp_path / "clip.mp4", sounds=("aac",))
    monkeypatch.setattr("masklet.formats.audio._CHILD_PROGRAM", program)
    monkeypatch.setattr("masklet.formats.audio._TIMEOUT_S", 0.5 if program == HUNG else 60.0)
    with pytest.warns(MaskletWarning, match=f"audio is left out: its decoder {reason}") as caught:
        copier = AudioCopier(path, target, 0, 1.2)
    assert [warning.message.code for warning in caught] == ["audio-missing"]  # type: ignore[union-attr]
    copier.write_until(9)
    copier.close()


def test_a_missing_folder_for_temporary_files_leaves_the_audio_out(
    tmp_path: Path, target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_sound_clip(tmp_path / "clip.mp4", sounds=("aac",))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.warns(MaskletWarning, match="the audio is left out"):
        AudioCopier(path, target, 0, 1.2).close()


def test_temporary_files_are_removed(tmp_path: Path, target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr("masklet.formats.audio.can_start_child", lambda: False)
    path = write_sound_clip(tmp_path / "clip.mp4", sounds=("aac",))
    with AudioCopier(path, target, 0, 1.2) as copier:
        assert list(folder.iterdir())
        copier.write_until(1)
    assert not list(folder.iterdir())
