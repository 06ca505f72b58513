"""Video files: every frame by index and time, orientation, damaged and hostile files, and the decoder process."""

from __future__ import annotations

import os
import random
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fuzzing.kinds.videos import REFERENCES
from masklet.errors import InputNotFound, MaskletError, MaskletWarning, PromptError, SettingsError, VideoError
from masklet.video import VideoOptions, open_video
from masklet.video.video_file import VideoFile
from support.clips import make_numbered_image, read_number, set_display_matrix, write_clip

IN_PROCESS = VideoOptions(isolated=False)
"""Most tests decode in this process, which saves a fraction of a second for each."""

GROUPS = {"g": "10", "bf": "2"}
CLIPS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": GROUPS},
    "h264.mkv": {"options": GROUPS},
    "h264.ts": {"options": GROUPS},
    "h264.mov": {"options": GROUPS},
    "h264.flv": {"options": GROUPS},
    "open-groups.mp4": {"options": {**GROUPS, "x264-params": "open-gop=1:b-pyramid=2"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=10:bframes=2:open-gop=1"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "10", "cpu-used": "8", "deadline": "realtime"}},
    "vp8.webm": {"codec": "libvpx", "options": {"g": "10", "cpu-used": "8", "deadline": "realtime"}},
    "mjpeg.avi": {"codec": "mjpeg"},
    "mpeg4.avi": {"codec": "mpeg4", "options": GROUPS},
    "h264.avi": {"options": GROUPS},  # without presentation times
    "mpeg2.ts": {"codec": "mpeg2video", "options": GROUPS},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": GROUPS},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`clip("h264.mp4")`: 25 numbered frames at 10 per second."""
    folder = tmp_path_factory.mktemp("clips")

    def make(name: str) -> Path:
        path = folder / name
        return path if path.exists() else write_clip(path, 25, **CLIPS[name])

    return make


@pytest.fixture
def open_clip() -> Iterator[Callable[..., VideoFile]]:
    """`open_clip(path)`: the file as a video, which is closed after the test."""
    videos: list[VideoFile] = []

    def make(path: Path, options: VideoOptions = IN_PROCESS) -> VideoFile:
        video = open_video(path, options)
        assert isinstance(video, VideoFile)
        videos.append(video)
        return video

    yield make
    for video in videos:
        video.close()


def read_numbers(video: Any) -> list[int]:
    """Read the number that each frame shows."""
    return [read_number(frame.image) for frame in video]


def get_error_code(call: Callable[[], Any]) -> str:
    """Call a function and return the code of its error."""
    with pytest.raises(MaskletError) as caught:
        call()
    return caught.value.code


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_comes_once_and_in_order(name: str, clip: Any, open_clip: Any) -> None:
    video = open_clip(clip(name))
    frames = list(video)
    assert [read_number(frame.image) for frame in frames] == list(range(25))
    assert [frame.index for frame in frames] == list(range(25))
    assert len(video) == 25
    assert not any(frame.corrupt for frame in frames)
    assert not video.truncated


@pytest.mark.parametrize("name", CLIPS)
def test_random_access_gives_the_same_frames_as_iteration(name: str, clip: Any, open_clip: Any) -> None:
    video = open_clip(clip(name))
    images = [frame.image for frame in video]
    indices = list(range(25)) * 2
    random.Random(name).shuffle(indices)
    for index in indices:
        assert np.array_equal(video[index], images[index]), index


@pytest.mark.parametrize("name", CLIPS)
def test_times_ascend_by_a_tenth_of_a_second(name: str, clip: Any, open_clip: Any) -> None:
    video = open_clip(clip(name))
    times = [frame.time for frame in video]
    assert tuple(times) == video.times
    assert np.allclose(np.diff(times), 0.1, atol=0.001)  # Matroska and FLV round to milliseconds


@pytest.mark.parametrize("name", ["h264.mp4", "h264.avi"])
def test_a_range_is_read_in_its_order(name: str, clip: Any, open_clip: Any) -> None:
    video = open_clip(clip(name))
    for indices in (range(3, 20, 4), range(24, -1, -1), range(20, 2, -3), range(5, 5)):
        frames = list(video.frames(indices))
        assert [frame.index for frame in frames] == list(indices)
        assert [read_number(frame.image) for frame in frames] == list(indices)


def test_a_descending_range_keeps_few_frames_in_memory(
    clip: Any, open_clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("masklet.video.video_file._MAX_BUFFER_BYTES", 3 * 48 * 128 * 4)  # four frames
    assert [read_number(f.image) for f in open_clip(clip("h264.mp4")).frames(range(24, -1, -1))] == list(
        range(24, -1, -1)
    )


@pytest.mark.parametrize("index", [25, -1, 10**9])
@pytest.mark.parametrize("name", ["h264.mp4", "h264.avi"])
def test_an_index_out_of_range_is_refused(name: str, index: int, clip: Any, open_clip: Any) -> None:
    video = open_clip(clip(name))
    with pytest.raises(PromptError) as caught:
        video[index]
    assert caught.value.code == "unknown-frame"
    assert read_number(video[3]) == 3


def test_a_range_beyond_the_end_is_refused_at_the_end(clip: Any, open_clip: Any) -> None:
    frames = open_clip(clip("h264.mp4")).frames(range(23, 27))
    assert [frame.index for frame in islice(frames, 2)] == [23, 24]
    assert get_error_code(lambda: next(frames)) == "unknown-frame"


def test_random_access_does_not_disturb_an_iteration(clip: Any, open_clip: Any) -> None:
    video, seen = open_clip(clip("h264.mp4")), []
    for frame in video:
        seen.append(read_number(frame.image))
        assert read_number(video[frame.index // 2]) == frame.index // 2
    assert seen == list(range(25))


def test_two_iterations_do_not_disturb_each_other(clip: Any, open_clip: Any) -> None:
    video = open_clip(clip("h264.mp4"))
    pairs = [(read_number(one.image), read_number(other.image)) for one, other in zip(video, video, strict=True)]
    assert pairs == [(index, index) for index in range(25)]


def test_a_few_frames_are_prefetched(clip: Any, open_clip: Any) -> None:
    video, requested = open_clip(clip("h264.mp4")), []
    decode = video._decoder.read_frame
    video._decoder.read_frame = lambda index: requested.append(index) or decode(index)
    frames = iter(video)
    next(frames)
    deadline = time.monotonic() + 2
    while len(requested) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert 3 <= len(requested) <= 7  # one taken, four in the queue, one or two in progress


def test_a_closed_iteration_ends_its_thread(clip: Any, open_clip: Any) -> None:
    frames = iter(open_clip(clip("h264.mp4")))
    next(frames)
    frames.close()
    deadline = time.monotonic() + 2
    while any(thread.name == "masklet-prefetch" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.name == "masklet-prefetch" for thread in threading.enumerate())


def test_changing_an_image_does_not_change_later_ones(clip: Any, open_clip: Any) -> None:
    video = open_clip(clip("h264.mp4"))
    for frame in video:
        assert read_number(frame.image) == frame.index
        frame.image[:] = 7


def test_a_clip_of_one_frame_is_read(tmp_path: Path, open_clip: Any) -> None:
    assert read_numbers(open_clip(write_clip(tmp_path / "one.mp4", [9]))) == [9]


def test_a_with_block_closes_the_video(clip: Any) -> None:
    with open_video(clip("h264.mp4"), IN_PROCESS) as video:
        assert read_number(video[5]) == 5
    assert list(video) == []


def test_a_closed_video_gives_no_frames(clip: Any, open_clip: Any) -> None:
    for options in (IN_PROCESS, VideoOptions()):
        video = open_clip(clip("h264.mp4"), options)
        video.close()
        assert list(video) == []
        assert get_error_code(lambda video=video: video[0]) == "unknown-frame"


# --- times -----------------------------------------------------------------------------------------------------------

UNEVEN = [0, 1, 5, 6, 20, 21, 22, 50]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_variable_frame_rates_keep_every_time(suffix: str, tmp_path: Path, open_clip: Any) -> None:
    video = open_clip(write_clip(tmp_path / f"uneven.{suffix}", 8, times=UNEVEN))
    assert read_numbers(video) == list(range(8))
    assert np.allclose(np.array(video.times) - video.times[0], np.array(UNEVEN) / 10, atol=0.001)
    assert [read_number(video[index]) for index in (6, 1, 7, 4)] == [6, 1, 7, 4]


def test_a_first_frame_after_time_0_keeps_its_time(tmp_path: Path, open_clip: Any) -> None:
    video = open_clip(write_clip(tmp_path / "late.mkv", 3, times=[30, 31, 32]))
    assert np.allclose(video.times, [3.0, 3.1, 3.2])


def test_an_edit_list_hides_frames(tmp_path: Path, open_clip: Any) -> None:
    path = write_clip(tmp_path / "edited.mp4", 20, options={"g": "10", "bf": "0"}, container={"use_editlist": "1"})
    data = bytearray(path.read_bytes())
    position = data.index(b"elst") + 4 + 4 + 4 + 4  # after the version, number of edits and duration: the media time
    scale = struct.unpack(">I", data[(mdhd := data.index(b"mdhd") + 16) : mdhd + 4])[0]
    data[position : position + 4] = struct.pack(">I", scale * 5 // 10)
    path.write_bytes(data)
    video = open_clip(path)
    assert read_numbers(video) == list(range(5, 20))
    assert len(video) == 15
    assert read_number(video[7]) == 12


def test_frames_of_joined_streams_with_descending_times_are_counted(clip: Any, tmp_path: Path, open_clip: Any) -> None:
    path = tmp_path / "twice.ts"
    path.write_bytes(clip("mpeg2.ts").read_bytes() * 2)
    with pytest.warns(MaskletWarning, match="pts-irregular"):
        video = open_clip(path)
    found = read_numbers(video)
    assert found[:25] == list(range(25))
    assert found[-20:] == list(range(5, 25))
    assert len(video) == len(found)
    assert [read_number(video[index]) for index in (len(found) - 1, 3)] == [24, 3]


# --- geometry --------------------------------------------------------------------------------------------------------

ROTATIONS: dict[str, tuple[tuple[int, int, int, int], Callable[[Any], Any]]] = {
    "by 90": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "by 180": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "by 270": ((0, -1, 1, 0), lambda image: np.rot90(image)),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    "transversed": ((0, -1, -1, 0), lambda image: image[::-1, ::-1].swapaxes(0, 1)),
}


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_video_is_rotated_by_its_display_matrix(rotation: str, tmp_path: Path, open_clip: Any) -> None:
    matrix, expected = ROTATIONS[rotation]
    path = write_clip(tmp_path / "a.mp4", 3)
    upright = [frame.image for frame in open_clip(path)]
    video = open_clip(set_display_matrix(path, matrix))
    assert video.size == expected(upright[0]).shape[:2]
    for frame in video:
        assert np.array_equal(frame.image, expected(upright[frame.index]))
        assert frame.image.flags.c_contiguous


def test_rotation_can_be_disabled(tmp_path: Path, open_clip: Any) -> None:
    path = set_display_matrix(write_clip(tmp_path / "a.mp4", 3), (0, 1, -1, 0))
    assert read_numbers(open_clip(path, VideoOptions(isolated=False, autorotate=False))) == [0, 1, 2]


def test_an_unusual_rotation_becomes_the_nearest_right_angle(tmp_path: Path, open_clip: Any) -> None:
    path = set_display_matrix(write_clip(tmp_path / "a.mp4", 3), (0.95, 0.31, -0.31, 0.95))
    with pytest.warns(MaskletWarning, match="rotation-unusual"):
        assert read_numbers(open_clip(path)) == [0, 1, 2]


@pytest.mark.parametrize(("aspect", "width"), [("2/1", 256), ("1/2", 64), ("16/11", 186), ("1/1", 128)])
def test_pixels_are_made_square_by_scaling_the_width(aspect: str, width: int, tmp_path: Path, open_clip: Any) -> None:
    path = write_clip(tmp_path / "a.mkv", 3, sample_aspect_ratio=Fraction(aspect))
    video = open_clip(path)
    assert video.size == (48, width)
    assert read_numbers(video) == [0, 1, 2]


def test_odd_sizes_are_unchanged(tmp_path: Path, open_clip: Any) -> None:
    path = write_clip(tmp_path / "odd.mkv", 3, "ffv1", size=(47, 121), pix_fmt="bgr0")
    assert np.array_equal(open_clip(path)[2], make_numbered_image(2, (47, 121)))


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p10le", "yuv420p", "yuv422p"])
def test_all_pixel_formats_give_the_same_colors(pixels: str, tmp_path: Path, open_clip: Any) -> None:
    video = open_clip(write_clip(tmp_path / "a.mkv", 3, "ffv1", pix_fmt=pixels))
    expected = make_numbered_image(2).astype(int)
    for y, x in ((5, 5), (5, 24), (40, 10), (40, 100)):  # black, white, red, gray
        assert np.abs(video[2][y, x] - expected[y, x]).max() <= 1


def test_tagged_color_spaces_are_decoded(tmp_path: Path, open_clip: Any) -> None:
    video = open_clip(write_clip(tmp_path / "a.mkv", 2, "ffv1", pix_fmt="yuv444p", colorspace=1, color_range=1))
    untagged = open_clip(write_clip(tmp_path / "b.mkv", 2, "ffv1", pix_fmt="yuv444p"))
    assert not np.array_equal(video[0], untagged[0])


def test_transparency_is_composited_on_black(tmp_path: Path, open_clip: Any) -> None:
    import av

    path = tmp_path / "transparent.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "bgra"
        pixels = np.full((16, 16, 4), (200, 100, 50, 51), np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, "rgba").reformat(format="bgra")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    assert open_clip(path)[0][5, 5].tolist() == [40, 20, 10]


# --- damage ----------------------------------------------------------------------------------------------------------


def write_two_sizes(folder: Path) -> Path:
    """Write a transport stream that continues with larger frames."""
    one = write_clip(folder / "one.ts", 8, "mpeg2video")
    other = write_clip(folder / "two.ts", 8, "mpeg2video", size=(96, 160), times=range(20, 28))
    path = folder / "joined.ts"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    return path


@pytest.mark.filterwarnings("ignore::masklet.errors.MaskletWarning")
def test_a_change_of_size_ends_the_video_with_an_error(tmp_path: Path, open_clip: Any) -> None:
    seen = []
    with pytest.raises(VideoError, match=r"\(96, 160\)") as caught:
        for frame in open_clip(write_two_sizes(tmp_path)):
            seen.append(read_number(frame.image))
    assert caught.value.code == "resolution-changed"
    assert seen[:7] == list(range(7))


@pytest.mark.filterwarnings("ignore::masklet.errors.MaskletWarning")
def test_frames_of_another_size_can_be_scaled_to_the_first(tmp_path: Path, open_clip: Any) -> None:
    video = open_clip(write_two_sizes(tmp_path), VideoOptions(isolated=False, rescale=True))
    frames = list(video)
    assert {frame.image.shape for frame in frames} == {(48, 128, 3)}
    assert read_number(frames[-1].image) == 7


@pytest.mark.parametrize("isolated", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_frames_are_scaled_to_a_given_size_after_the_rotation(tmp_path: Path, open_clip: Any, isolated: bool) -> None:
    path = set_display_matrix(write_clip(tmp_path / "a.mp4", 3), (0, 1, -1, 0))
    video = open_clip(path, VideoOptions(isolated=isolated, scale_to=(64, 40)))
    image, original = video[2], open_clip(path)[2]
    assert video.size == image.shape[:2] == (64, 40)
    rows, columns = np.arange(64) * 2 + 1, np.arange(40) * 48 // 40
    assert np.median(np.abs(image.astype(int) - original[rows][:, columns])) <= 2


def find_frames(avi: bytearray) -> list[tuple[int, int]]:
    """Find the start and end of each frame in an AVI file."""
    position, found = avi.index(b"movi") + 4, []
    while avi[position : position + 4] == b"00dc":
        length = struct.unpack("<I", avi[position + 4 : position + 8])[0]
        found.append((position + 8, position + 8 + length))
        position += 8 + length + length % 2
    return found


def test_a_broken_frame_keeps_its_index_and_is_corrupt(clip: Any, tmp_path: Path, open_clip: Any) -> None:
    data = bytearray(clip("mjpeg.avi").read_bytes())
    start, end = find_frames(data)[6]
    data[start:end] = bytes(end - start)
    path = tmp_path / "damaged.avi"
    path.write_bytes(data)
    video = open_clip(path)
    with pytest.warns(MaskletWarning, match="frame-corrupt"):
        frames = list(video)
    assert [frame.index for frame in frames if frame.corrupt] == [6]
    assert [read_number(frame.image) for frame in frames] == [*range(6), 5, *range(7, 25)]
    assert read_number(video[6]) == 5
    assert read_number(video[7]) == 7


def test_a_truncated_file_warns(clip: Any, tmp_path: Path, open_clip: Any) -> None:
    path = tmp_path / "cut.mkv"
    path.write_bytes(clip("h264.mkv").read_bytes()[:-500])
    with pytest.warns(MaskletWarning, match="video-truncated"):
        open_clip(path)


def test_the_error_of_an_mp4_without_index_names_the_cause(clip: Any, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    data = clip("h264.mp4").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match="cut off before its index") as caught:
        open_video(path, IN_PROCESS)
    assert caught.value.code == "video-no-frames"


def test_garbage_at_the_end_is_ignored_with_a_warning(clip: Any, tmp_path: Path, open_clip: Any) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(clip("h264.mp4").read_bytes() + bytes(range(256)) * 10)
    with pytest.warns(MaskletWarning, match="video-truncated"):
        assert read_numbers(open_clip(path)) == list(range(25))


def test_frames_are_counted_whatever_the_file_states(clip: Any, tmp_path: Path, open_clip: Any) -> None:
    data = bytearray(clip("mjpeg.avi").read_bytes())
    position = data.index(b"strh") + 8 + 32  # of the length in the stream's header
    data[position : position + 4] = struct.pack("<I", 431)
    path = tmp_path / "wrong-length.avi"
    path.write_bytes(data)
    with pytest.warns(MaskletWarning, match="431") as caught:
        video = open_clip(path)
    assert any("frame-count-mismatch" in str(warning.message) for warning in caught)
    assert len(video) == 25


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("suffix", ["", ".mp4"])
def test_files_that_reference_others_are_refused_and_open_none(name: str, suffix: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary.ts"
    os.mkfifo(canary)  # opening it would block for ever
    path = tmp_path / (name + suffix)
    path.write_text(REFERENCES[name].format(canary=canary))
    with pytest.raises(VideoError) as caught:
        open_video(path, IN_PROCESS)
    assert (caught.value.code, caught.value.exit_status) == ("reference-file-refused", 77)


def test_ffmpeg_opens_no_referenced_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check of the first bytes, the restrictions of FFmpeg refuse them as well."""
    monkeypatch.setattr("masklet.video.demuxer.check_content", lambda handle, name: "an unknown type of file")
    canary = tmp_path / "canary.ts"
    os.mkfifo(canary)
    for name, text in REFERENCES.items():
        path = tmp_path / name
        path.write_text(text.format(canary=canary))
        assert get_error_code(lambda path=path: open_video(path, IN_PROCESS)) == "unsupported-format"


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1/a.mp4", "rtsp://camera/1", "concat:a.ts|b.ts", "subfile,,start,0,end,9,,:a.mp4", "file:a.mp4"],
)
def test_addresses_are_refused(address: str) -> None:
    assert get_error_code(lambda: open_video(address)) == "reference-file-refused"


def test_missing_and_empty_files_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe")
    codes = {"none.mp4": "input-not-found", "empty.mp4": "input-empty", "pipe": "input-unreadable"}
    for name, expected in codes.items():
        with pytest.raises(InputNotFound) as caught:
            open_video(tmp_path / name, IN_PROCESS)
        assert caught.value.code == expected


@pytest.mark.parametrize(
    ("content", "file_type"),
    [
        (b"hello world, this is text\n" * 9, "a text file"),
        (b"%PDF-1.7\n" + bytes(99), "a PDF"),
        (bytes(500), "unknown"),
    ],
)
def test_the_error_of_another_file_names_its_type(content: bytes, file_type: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=file_type) as caught:
        open_video(path, IN_PROCESS)
    assert caught.value.code == "unsupported-format"


def test_an_image_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(VideoError, match="read_image"):
        open_video(tmp_path / "a.png", IN_PROCESS)


def test_a_file_of_only_audio_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(VideoError, match="only audio") as caught:
        open_video(path, IN_PROCESS)
    assert caught.value.code == "no-video-stream"


def test_a_video_without_decodable_frame_is_refused(clip: Any, tmp_path: Path) -> None:
    data = bytearray(clip("mjpeg.avi").read_bytes())
    for start, end in find_frames(data):
        data[start:end] = bytes(end - start)
    path = tmp_path / "dead.avi"
    path.write_bytes(data)
    with pytest.raises(VideoError, match="0 of 25 packets") as caught:
        open_video(path, IN_PROCESS)
    assert caught.value.code == "video-no-frames"


def test_a_video_that_states_more_frames_than_it_has_bytes_is_refused(clip: Any, tmp_path: Path) -> None:
    data = bytearray(clip("h264.mp4").read_bytes())
    start = data.index(b"stsz") - 4
    length = int.from_bytes(data[start : start + 4], "big")
    count = 1_000_000  # frames of 100 bytes
    data[start : start + length] = struct.pack(">I4s3I", 20, b"stsz", 0, 100, count) + struct.pack(
        f">I4s{length - 28}x", length - 20, b"free"
    )
    for name, values in ((b"stts", (1, count, 1024)), (b"stsc", (1, 1, count, 1))):
        struct.pack_into(f">{len(values)}I", data, data.index(name) + 8, *values)
    path = tmp_path / "claim.mp4"
    path.write_bytes(data.replace(b"ctts", b"free").replace(b"stss", b"free"))
    with pytest.raises(VideoError, match="more than it has bytes") as caught:
        open_video(path, IN_PROCESS)
    assert caught.value.code == "video-no-frames"


def test_an_unknown_codec_is_reported(clip: Any, tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    path.write_bytes(clip("h264.mp4").read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoError, match="no decoder") as caught:
        open_video(path, IN_PROCESS)
    assert (caught.value.code, caught.value.exit_status) == ("codec-unavailable", 69)


def test_frames_larger_than_max_pixels_are_refused(clip: Any) -> None:
    options = VideoOptions(isolated=False, max_pixels=128 * 48 - 1)
    assert get_error_code(lambda: open_video(clip("h264.mp4"), options)) == "too-many-pixels"


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mov"])
def test_frames_whose_size_only_the_codec_states_are_refused(suffix: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / f"large.{suffix}", 3, "mjpeg")
    options = VideoOptions(isolated=False, max_pixels=128 * 48 - 1)
    assert get_error_code(lambda: open_video(path, options)) == "too-many-pixels"


@pytest.mark.parametrize("source", [np.zeros((9, 9, 3), np.uint8), 1.5, b"bytes", {"a": 1}, None, True])
def test_a_source_of_another_type_is_refused(source: Any) -> None:
    assert get_error_code(lambda: open_video(source)) == "unsupported-format"


# --- the decoder process ---------------------------------------------------------------------------------------


def test_an_isolated_decoder_gives_the_same_frames(clip: Any, open_clip: Any) -> None:
    for name in ("h264.mp4", "h264.avi"):
        isolated, local = open_clip(clip(name), VideoOptions()), open_clip(clip(name))
        assert (len(isolated), isolated.size, isolated.times) == (len(local), local.size, local.times)
        for one, other in zip(isolated, local, strict=True):
            assert np.array_equal(one.image, other.image)
            assert (one.index, one.time, one.corrupt) == (other.index, other.time, other.corrupt)
        assert np.array_equal(isolated[7], local[7])


def test_an_isolated_decoder_raises_the_same_errors(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\na.ts\n")
    with pytest.raises(VideoError, match=r"list\.m3u8") as caught:
        open_video(path)
    assert caught.value.code == "reference-file-refused"


@pytest.mark.skipif(os.name != "posix", reason="stops the process with a signal")
def test_a_hung_decoder_is_killed(clip: Any, open_clip: Any) -> None:
    video = open_clip(clip("h264.mp4"), VideoOptions(frame_timeout_s=0.5))
    process = video._decoder._process
    os.kill(process.pid, signal.SIGSTOP)
    start = time.monotonic()
    assert get_error_code(lambda: video[20]) == "decoder-timeout"
    assert time.monotonic() - start < 30
    assert process.poll() == -signal.SIGKILL


@pytest.mark.skipif(os.name != "posix", reason="kills the process with a signal")
def test_a_crashed_decoder_is_an_error(clip: Any, open_clip: Any) -> None:
    video = open_clip(clip("h264.mp4"), VideoOptions())
    os.kill(video._decoder._process.pid, signal.SIGSEGV)
    with pytest.raises(VideoError, match="SIGSEGV") as caught:
        list(video)
    assert caught.value.code == "decoder-crashed"


@pytest.mark.parametrize(
    "program",
    [
        "os.write(1, b'\\xff' * 4); time.sleep(9)",
        'os.write(1, struct.pack(\'>I\', 44) + b\'{"kind": "times", "bytes": 99999999999999999}\'); time.sleep(9)',
    ],
)
def test_a_decoder_with_an_invalid_response_is_stopped(
    program: str, clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("masklet.video.decoder_client._CHILD_PROGRAM", f"import os, struct, time; {program}")
    assert get_error_code(lambda: open_video(clip("h264.mp4"), VideoOptions(open_timeout_s=5))) == "decoder-crashed"


@pytest.mark.skipif(os.name != "posix", reason="interrupts with a signal")
def test_an_interrupted_request_does_not_spoil_the_next(clip: Any, open_clip: Any) -> None:
    video = open_clip(clip("h264.mp4"), VideoOptions())
    decoder, read = video._decoder, video._decoder._read

    def read_with_interrupt(length: int) -> bytearray:
        if length > 1000:
            read(100)  # a part of the frame
            raise KeyboardInterrupt
        return bytearray(read(length))

    decoder._read = read_with_interrupt
    with pytest.raises(KeyboardInterrupt):
        video[3]
    decoder._read = read
    assert read_number(video[7]) == 7


def test_a_decoder_that_hangs_while_opening_is_killed(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("masklet.video.decoder_client._CHILD_PROGRAM", "import time; time.sleep(60)")
    start = time.monotonic()
    assert get_error_code(lambda: open_video(clip("h264.mp4"), VideoOptions(open_timeout_s=0.5))) == "decoder-timeout"
    assert time.monotonic() - start < 50


@pytest.mark.skipif(sys.platform != "linux", reason="reads the states of processes in /proc")
def test_a_decoder_that_waits_for_a_processor_has_more_time(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("masklet.video.decoder_client._CHILD_PROGRAM", "import time; time.sleep(60)")
    uses = [(False, 7.0), (True, 7.0), (True, 7.04), (True, 7.06), (False, 7.0)]  # at the start, and at each timeout
    left = iter(uses)
    monkeypatch.setattr("masklet.video.child_process._read_cpu_use", lambda pid: next(left))
    assert get_error_code(lambda: open_video(clip("h264.mp4"), VideoOptions(open_timeout_s=0.06))) == "decoder-timeout"
    assert list(left) == [(False, 7.0)]  # the fourth one had used its time


def test_a_decoder_in_an_endless_loop_is_killed(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("masklet.video.decoder_client._CHILD_PROGRAM", "while True: pass")
    assert get_error_code(lambda: open_video(clip("h264.mp4"), VideoOptions(open_timeout_s=0.3))) == "decoder-timeout"


def test_signs_of_life_keep_a_slow_decoder_alive(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = (
        "sys.stdout.buffer.write(struct.pack('>I', 17) + b'{\"kind\": \"alive\"}'); sys.stdout.flush(); time.sleep(.3)"
    )
    slow = f"import struct, sys, time\nfor _ in range(5): {alive}\nsys.exit(3)"
    monkeypatch.setattr("masklet.video.decoder_client._CHILD_PROGRAM", slow)
    assert get_error_code(lambda: open_video(clip("h264.mp4"), VideoOptions(open_timeout_s=1.8))) == "decoder-crashed"


@pytest.mark.skipif(os.name != "posix", reason="checks a process by its id")
def test_a_dropped_video_ends_its_process(clip: Any) -> None:
    video = open_video(clip("h264.mp4"))
    assert isinstance(video, VideoFile)
    process = video._decoder._process
    del video
    assert process.poll() is not None


def test_a_frozen_program_gets_an_error_with_advice(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(SettingsError, match="isolated=False"):
        open_video(clip("h264.mp4"))


# --- real files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "length", "size"), [("05_default_juggle.mp4", 247, (720, 1280))])
def test_a_real_clip_is_read_completely(
    name: str, length: int, size: tuple[int, int], shared: Path, open_clip: Any
) -> None:
    video = open_clip(shared / "media" / name)
    assert (len(video), video.size) == (length, size)
    in_order = {frame.index: frame.image for frame in islice(video, 60) if frame.index in {0, 31, 59}}
    assert all(np.array_equal(video[index], in_order[index]) for index in (59, 0, 31))
