"""Overlays and cut-outs: every frame at its time, with its sound, its masks and its alpha."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.errors import ResourceError
from masklet.formats import save_masks
from masklet.formats.video_encoder import H264, Timing, VideoEncoder
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.video import Video, open_video

SIZE = (64, 96)
TIMES = [0, 512, 1024, 3072, 3584, 4096, 7168, 7680, 8192, 8704]  # in 1/12800 s: variable
UNIT = Fraction(1, 12_800)


def draw_image(index: int) -> NDArray[np.uint8]:
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    image = np.zeros((*SIZE, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 40 + 2 * columns, 60 + 2 * rows, 90 + 10 * index
    return image


def mask(index: int) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    return np.asarray((rows - 30) ** 2 + (columns - 30 - 3 * index) ** 2 <= 18**2)


def write_source(path: Path, sound: str | None = "aac", size: tuple[int, int] = SIZE) -> Path:
    """A clip of variable timing, with a stereo tone."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv444p"
        stream.codec_context.time_base = stream.time_base = UNIT
        audio: Any = output.add_stream(sound, rate=48_000, layout="stereo") if sound else None
        for index, time in enumerate(TIMES):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(draw_image(index)[: size[0], : size[1]]))
            frame.pts, frame.time_base = time, UNIT
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        for block in range(32 if audio else 0):
            wave = np.sin(np.arange(block * 1024, (block + 1) * 1024) / 20) * 8000
            part = av.AudioFrame.from_ndarray(np.repeat(wave.astype(np.int16), 2)[None], "s16", "stereo")
            part.sample_rate, part.pts, part.time_base = 48_000, block * 1024, Fraction(1, 48_000)
            output.mux(audio.encode(part))
        if audio:
            output.mux(audio.encode(None))
    return path


def tracked(indices: Sequence[int], video: Video) -> list[TrackedFrame]:
    return [
        TrackedFrame(i, video.times[i], Masks.from_binary(mask(i)[: video.size[0], : video.size[1]])) for i in indices
    ]


def exported(source: Path, out: Path, name: str, indices: Sequence[int] = range(len(TIMES))) -> Path:
    video: Any = open_video(source)
    (path,) = save_masks(tracked(indices, video), out, [name], video=video, path=source)
    return path


def decoded(path: Path, pixels: str = "rgb24", codec: str | None = None) -> list[tuple[Fraction, NDArray[np.uint8]]]:
    """Time and image of every frame."""
    with av.open(str(path)) as container:
        context: Any = av.CodecContext.create(codec, "r") if codec else container.streams.video[0].codec_context
        unit = container.streams.video[0].time_base
        assert unit is not None
        found = []
        for packet in container.demux(video=0):
            for frame in context.decode(packet if packet.size else None):
                found.append((frame.pts * unit, frame.to_ndarray(format=pixels)))
    return found


def sound_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("source") / "clip.mp4")


def test_an_overlay_has_every_frame_at_its_own_time(source: Path, tmp_path: Path) -> None:
    frames = decoded(exported(source, tmp_path, "overlay"))
    assert [time for time, _ in frames] == [time * UNIT for time in TIMES]


def test_an_overlay_has_the_sound_packet_by_packet(source: Path, tmp_path: Path) -> None:
    copied = sound_of(exported(source, tmp_path, "overlay"))
    assert copied == sound_of(source)[: len(copied)] and len(copied) > 30


def test_an_overlay_shows_the_masks_and_leaves_the_rest(source: Path, tmp_path: Path) -> None:
    for index, (_, image) in enumerate(decoded(exported(source, tmp_path, "overlay"))):
        wanted = Masks.from_binary(mask(index)).overlay(draw_image(index)).astype(float)
        assert np.abs(image - wanted).mean() < 4  # of 255: the source and the overlay are both compressed
        away = np.abs(image - draw_image(index).astype(float))[:, 85:]
        assert away.mean() < 4


def test_a_part_of_a_video_begins_at_time_0_with_its_own_sound(source: Path, tmp_path: Path) -> None:
    path = exported(source, tmp_path, "overlay", range(3, 8))
    assert [time for time, _ in decoded(path)] == [(time - TIMES[3]) * UNIT for time in TIMES[3:8]]
    packets, whole = sound_of(path), sound_of(source)
    first = whole.index(packets[0])
    assert first > 5 and whole[first : first + len(packets)] == packets


@pytest.mark.parametrize(("sound", "suffix"), [("pcm_s16le", "mkv"), ("libopus", "mkv"), (None, "mp4")])
def test_sound_that_mp4_cannot_hold_becomes_aac(sound: str | None, suffix: str, tmp_path: Path) -> None:
    source = write_source(tmp_path / f"clip.{suffix}", sound)
    with av.open(str(exported(source, tmp_path, "overlay"))) as container:
        names = [stream.codec_context.name for stream in container.streams.audio]
        assert names == {"pcm_s16le": ["aac"], "libopus": ["opus"], None: []}[sound]
        seconds = sum(frame.samples for frame in container.decode(audio=0)) / 48_000 if names else 0.0
    assert not names or abs(seconds - 32 * 1024 / 48_000) < 0.05


def test_an_image_of_odd_sides_is_padded_by_one_pixel(tmp_path: Path) -> None:
    source = write_source(tmp_path / "odd.mp4", None, (61, 95))
    _, image = decoded(exported(source, tmp_path, "overlay"))[0]
    assert image.shape == (62, 96, 3)


def test_frames_without_times_come_25_per_second(tmp_path: Path) -> None:
    video: Any = open_video(np.stack([draw_image(index) for index in range(3)]))
    (path,) = save_masks(tracked(range(3), video), tmp_path, ["overlay"], video=video)
    assert [time for time, _ in decoded(path)] == [Fraction(index, 25) for index in range(3)]


@pytest.mark.parametrize(
    ("name", "codec", "tolerance"), [("cutout", "libvpx-vp9", Fraction(1, 1000)), ("prores", None, Fraction(0))]
)
def test_a_cutout_has_the_masks_as_alpha(
    name: str, codec: str | None, tolerance: Fraction, source: Path, tmp_path: Path
) -> None:
    frames = decoded(exported(source, tmp_path, name), "rgba", codec)
    assert len(frames) == len(TIMES)
    for index, (time, image) in enumerate(frames):
        assert abs(time - TIMES[index] * UNIT) <= tolerance  # WebM counts milliseconds
        found, wanted = image[..., 3] > 127, mask(index)
        assert (found & wanted).sum() / (found | wanted).sum() > 0.98
        inside = mask(index) & (np.abs(image[..., :3] - draw_image(index).astype(float)).max(axis=2) > 24)
        assert inside.sum() < 10  # colors are the image's
        assert image[:, 92:, :3].max() < 20 or index > 7  # and what is cut away is gone


def test_effect_videos_show_the_effect_with_times_and_sound(source: Path, tmp_path: Path) -> None:
    for name in ("blur_objects", "spotlight"):
        frames = decoded(path := exported(source, tmp_path, name, range(2, 5)))
        assert [time for time, _ in frames] == [(time - TIMES[2]) * UNIT for time in TIMES[2:5]]
        assert sound_of(path)
        for index, (_, image) in enumerate(frames, start=2):
            wanted = Masks.from_binary(mask(index)).apply_effect(draw_image(index), name).astype(float)
            assert np.abs(image - wanted).mean() < 4


def test_a_background_video_shows_the_given_color_and_image(tmp_path: Path) -> None:
    video: Any = open_video(np.stack([draw_image(index) for index in range(2)]))
    frames = tracked(range(2), video)
    stripes = np.zeros((32, 48, 3), np.uint8)
    stripes[:16] = 200
    for background, top, bottom in (("#0a141e", (10, 20, 30), (10, 20, 30)), (stripes, (200,) * 3, (0,) * 3)):
        (path,) = save_masks(frames, tmp_path, ["background"], video=video, background=background)
        for index, (_, image) in enumerate(decoded(path)):
            assert np.abs(image[5:20, 80:] - np.array(top, float)).max() < 6
            assert np.abs(image[45:, 80:] - np.array(bottom, float)).max() < 6
            assert np.abs(image[25:35, 20:40] - draw_image(index)[25:35, 20:40].astype(float)).max() < 20


@pytest.mark.parametrize("name", ["overlay", "cutout", "prores"])
def test_the_same_masks_give_the_same_file(name: str, source: Path, tmp_path: Path) -> None:
    first, second = (exported(source, tmp_path / part, name).read_bytes() for part in "ab")
    assert first == second


class Full(io.BytesIO):
    """A file on a disk that gets full."""

    def write(self, data: Any) -> int:
        if self.tell() > 2000:
            raise ResourceError("disk-full", "the disk is full")
        return super().write(data)


def test_a_full_disk_ends_encoding_with_its_own_error() -> None:
    with (
        pytest.raises(ResourceError, match="full"),
        VideoEncoder(Full(), H264, SIZE, Timing(UNIT, Fraction(25))) as out,
    ):
        for time in range(300):
            out.add(np.random.default_rng(time).integers(0, 255, (*SIZE, 3)).astype(np.uint8), 512 * time)
