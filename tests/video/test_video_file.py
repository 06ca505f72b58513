"""Video files give exactly their frames, by number and with their times, and bad files only our errors."""

from __future__ import annotations

import contextlib
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

from masklet.errors import InputNotFound, MaskletError, MaskletWarning, PromptError, SettingsError, VideoError
from masklet.video import VideoOptions, open_video
from masklet.video.video_file import VideoFile
from support.clips import make_numbered_image, read_number, set_display_matrix, write_clip
from support.image_files import damage

HERE = VideoOptions(isolated=False)
"""In this process: a decoder process of their own costs most tests a fraction of a second for nothing."""

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
def opened() -> Iterator[Callable[..., VideoFile]]:
    """`opened(path)`: the file as a video, closed after the test."""
    videos: list[VideoFile] = []

    def make(path: Path, options: VideoOptions = HERE) -> VideoFile:
        video = open_video(path, options)
        assert isinstance(video, VideoFile)
        videos.append(video)
        return video

    yield make
    for video in videos:
        video.close()


def numbers(video: Any) -> list[int]:
    return [read_number(frame.image) for frame in video]


def code(call: Callable[[], Any]) -> str:
    with pytest.raises(MaskletError) as caught:
        call()
    return caught.value.code


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_comes_once_in_order_and_is_counted(name: str, clip: Any, opened: Any) -> None:
    video = opened(clip(name))
    frames = list(video)
    assert [read_number(frame.image) for frame in frames] == list(range(25))
    assert [frame.index for frame in frames] == list(range(25))
    assert len(video) == 25
    assert not any(frame.corrupt for frame in frames)
    assert not video.truncated


@pytest.mark.parametrize("name", CLIPS)
def test_any_frame_is_the_one_that_comes_in_order(name: str, clip: Any, opened: Any) -> None:
    video = opened(clip(name))
    images = [frame.image for frame in video]
    places = list(range(25)) * 2
    random.Random(name).shuffle(places)
    for place in places:
        assert np.array_equal(video[place], images[place]), place


@pytest.mark.parametrize("name", CLIPS)
def test_times_ascend_by_a_tenth_of_a_second(name: str, clip: Any, opened: Any) -> None:
    video = opened(clip(name))
    times = [frame.time for frame in video]
    assert tuple(times) == video.times
    assert np.allclose(np.diff(times), 0.1, atol=0.001)  # Matroska and FLV round to milliseconds


@pytest.mark.parametrize("name", ["h264.mp4", "h264.avi"])
def test_a_range_is_walked_in_its_order(name: str, clip: Any, opened: Any) -> None:
    video = opened(clip(name))
    for indices in (range(3, 20, 4), range(24, -1, -1), range(20, 2, -3), range(5, 5)):
        frames = list(video.frames(indices))
        assert [frame.index for frame in frames] == list(indices)
        assert [read_number(frame.image) for frame in frames] == list(indices)


def test_walking_backward_holds_only_a_part(clip: Any, opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("masklet.video.video_file._CHUNK", 3 * 48 * 128 * 4)  # four frames
    assert [read_number(f.image) for f in opened(clip("h264.mp4")).frames(range(24, -1, -1))] == list(range(24, -1, -1))


@pytest.mark.parametrize("index", [25, -1, 10**9])
@pytest.mark.parametrize("name", ["h264.mp4", "h264.avi"])
def test_frames_that_do_not_exist_are_unknown(name: str, index: int, clip: Any, opened: Any) -> None:
    video = opened(clip(name))
    with pytest.raises(PromptError) as caught:
        video[index]
    assert caught.value.code == "unknown-frame"
    assert read_number(video[3]) == 3


def test_a_range_beyond_the_end_is_refused_there(clip: Any, opened: Any) -> None:
    frames = opened(clip("h264.mp4")).frames(range(23, 27))
    assert [frame.index for frame in islice(frames, 2)] == [23, 24]
    assert code(lambda: next(frames)) == "unknown-frame"


def test_asking_for_a_frame_while_walking_does_not_disturb_the_walk(clip: Any, opened: Any) -> None:
    video, seen = opened(clip("h264.mp4")), []
    for frame in video:
        seen.append(read_number(frame.image))
        assert read_number(video[frame.index // 2]) == frame.index // 2
    assert seen == list(range(25))


def test_two_walks_at_once_do_not_disturb_each_other(clip: Any, opened: Any) -> None:
    video = opened(clip("h264.mp4"))
    pairs = [(read_number(one.image), read_number(other.image)) for one, other in zip(video, video, strict=True)]
    assert pairs == [(place, place) for place in range(25)]


def test_decoding_runs_ahead_but_not_far(clip: Any, opened: Any) -> None:
    video, asked = opened(clip("h264.mp4")), []
    decode = video._decoder.read_frame
    video._decoder.read_frame = lambda index: asked.append(index) or decode(index)
    frames = iter(video)
    next(frames)
    deadline = time.monotonic() + 2
    while len(asked) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert 3 <= len(asked) <= 7  # one taken, four waiting, one or two in hand


def test_a_walk_that_is_given_up_ends_its_thread(clip: Any, opened: Any) -> None:
    frames = iter(opened(clip("h264.mp4")))
    next(frames)
    frames.close()
    deadline = time.monotonic() + 2
    while any(thread.name == "masklet-ahead" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.name == "masklet-ahead" for thread in threading.enumerate())


def test_images_may_be_written_to_without_changing_later_ones(clip: Any, opened: Any) -> None:
    video = opened(clip("h264.mp4"))
    for frame in video:
        assert read_number(frame.image) == frame.index
        frame.image[:] = 7


def test_one_frame_is_a_video(tmp_path: Path, opened: Any) -> None:
    assert numbers(opened(write_clip(tmp_path / "one.mp4", [9]))) == [9]


def test_a_with_block_closes_the_video(clip: Any) -> None:
    with open_video(clip("h264.mp4"), HERE) as video:
        assert read_number(video[5]) == 5
    assert list(video) == []


def test_a_closed_video_gives_no_frames(clip: Any, opened: Any) -> None:
    for options in (HERE, VideoOptions()):
        video = opened(clip("h264.mp4"), options)
        video.close()
        assert list(video) == []
        assert code(lambda video=video: video[0]) == "unknown-frame"


# --- times -----------------------------------------------------------------------------------------------------------

UNEVEN = [0, 1, 5, 6, 20, 21, 22, 50]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_variable_frame_rates_keep_every_time(suffix: str, tmp_path: Path, opened: Any) -> None:
    video = opened(write_clip(tmp_path / f"uneven.{suffix}", 8, times=UNEVEN))
    assert numbers(video) == list(range(8))
    assert np.allclose(np.array(video.times) - video.times[0], np.array(UNEVEN) / 10, atol=0.001)
    assert [read_number(video[place]) for place in (6, 1, 7, 4)] == [6, 1, 7, 4]


def test_a_late_start_is_kept(tmp_path: Path, opened: Any) -> None:
    video = opened(write_clip(tmp_path / "late.mkv", 3, times=[30, 31, 32]))
    assert np.allclose(video.times, [3.0, 3.1, 3.2])


def test_an_edit_list_hides_frames(tmp_path: Path, opened: Any) -> None:
    path = write_clip(tmp_path / "edited.mp4", 20, options={"g": "10", "bf": "0"}, container={"use_editlist": "1"})
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 4 + 4 + 4 + 4  # version, number of edits, duration: the start within the media
    scale = struct.unpack(">I", data[(tkhd := data.index(b"mdhd") + 16) : tkhd + 4])[0]
    data[place : place + 4] = struct.pack(">I", scale * 5 // 10)
    path.write_bytes(data)
    video = opened(path)
    assert numbers(video) == list(range(5, 20))
    assert len(video) == 15
    assert read_number(video[7]) == 12


def test_joined_streams_whose_times_go_back_are_counted(clip: Any, tmp_path: Path, opened: Any) -> None:
    path = tmp_path / "twice.ts"
    path.write_bytes(clip("mpeg2.ts").read_bytes() * 2)
    with pytest.warns(MaskletWarning, match="pts-irregular"):
        video = opened(path)
    found = numbers(video)
    assert found[:25] == list(range(25))
    assert found[-20:] == list(range(5, 25))
    assert len(video) == len(found)
    assert [read_number(video[place]) for place in (len(found) - 1, 3)] == [24, 3]


# --- geometry --------------------------------------------------------------------------------------------------------

TURNS: dict[str, tuple[tuple[int, int, int, int], Callable[[Any], Any]]] = {
    "by 90": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "by 180": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "by 270": ((0, -1, 1, 0), lambda image: np.rot90(image)),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upended": ((1, 0, 0, -1), lambda image: image[::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
    "transversed": ((0, -1, -1, 0), lambda image: image[::-1, ::-1].swapaxes(0, 1)),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_video_is_turned_as_its_file_asks(turn: str, tmp_path: Path, opened: Any) -> None:
    matrix, expected = TURNS[turn]
    path = write_clip(tmp_path / "a.mp4", 3)
    upright = [frame.image for frame in opened(path)]
    video = opened(set_display_matrix(path, matrix))
    assert video.size == expected(upright[0]).shape[:2]
    for frame in video:
        assert np.array_equal(frame.image, expected(upright[frame.index]))
        assert frame.image.flags.c_contiguous


def test_turning_can_be_left_out(tmp_path: Path, opened: Any) -> None:
    path = set_display_matrix(write_clip(tmp_path / "a.mp4", 3), (0, 1, -1, 0))
    assert numbers(opened(path, VideoOptions(isolated=False, autorotate=False))) == [0, 1, 2]


def test_an_odd_rotation_becomes_the_nearest_right_angle(tmp_path: Path, opened: Any) -> None:
    path = set_display_matrix(write_clip(tmp_path / "a.mp4", 3), (0.95, 0.31, -0.31, 0.95))
    with pytest.warns(MaskletWarning, match="rotation-unusual"):
        assert numbers(opened(path)) == [0, 1, 2]


@pytest.mark.parametrize(("aspect", "width"), [("2/1", 256), ("1/2", 64), ("16/11", 186), ("1/1", 128)])
def test_pixels_are_made_square_sideways(aspect: str, width: int, tmp_path: Path, opened: Any) -> None:
    path = write_clip(tmp_path / "a.mkv", 3, sample_aspect_ratio=Fraction(aspect))
    video = opened(path)
    assert video.size == (48, width)
    assert numbers(video) == [0, 1, 2]


def test_odd_sizes_are_kept(tmp_path: Path, opened: Any) -> None:
    path = write_clip(tmp_path / "odd.mkv", 3, "ffv1", size=(47, 121), pix_fmt="bgr0")
    assert np.array_equal(opened(path)[2], make_numbered_image(2, (47, 121)))


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p10le", "yuv420p", "yuv422p"])
def test_other_pixel_formats_give_the_same_colours(pixels: str, tmp_path: Path, opened: Any) -> None:
    video = opened(write_clip(tmp_path / "a.mkv", 3, "ffv1", pix_fmt=pixels))
    expected = make_numbered_image(2).astype(int)
    for y, x in ((5, 5), (5, 24), (40, 10), (40, 100)):  # black, white, red, grey
        assert np.abs(video[2][y, x] - expected[y, x]).max() <= 1


def test_high_definition_colours_are_decoded_as_tagged(tmp_path: Path, opened: Any) -> None:
    video = opened(write_clip(tmp_path / "a.mkv", 2, "ffv1", pix_fmt="yuv444p", colorspace=1, color_range=1))
    untagged = opened(write_clip(tmp_path / "b.mkv", 2, "ffv1", pix_fmt="yuv444p"))
    assert not np.array_equal(video[0], untagged[0])


def test_transparency_is_put_on_black(tmp_path: Path, opened: Any) -> None:
    import av

    path = tmp_path / "clear.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "bgra"
        clear = np.full((16, 16, 4), (200, 100, 50, 51), np.uint8)
        frame = av.VideoFrame.from_ndarray(clear, "rgba").reformat(format="bgra")
        output.mux([*stream.encode(frame), *stream.encode(None)])
    assert opened(path)[0][5, 5].tolist() == [40, 20, 10]


# --- damage ----------------------------------------------------------------------------------------------------------


def joined_sizes(folder: Path) -> Path:
    """A transport stream that goes on with larger frames."""
    one = write_clip(folder / "one.ts", 8, "mpeg2video")
    other = write_clip(folder / "two.ts", 8, "mpeg2video", size=(96, 160), times=range(20, 28))
    path = folder / "joined.ts"
    path.write_bytes(one.read_bytes() + other.read_bytes())
    return path


@pytest.mark.filterwarnings("ignore::masklet.errors.MaskletWarning")
def test_a_change_of_size_ends_the_video_with_an_error(tmp_path: Path, opened: Any) -> None:
    seen = []
    with pytest.raises(VideoError, match=r"\(96, 160\)") as caught:
        for frame in opened(joined_sizes(tmp_path)):
            seen.append(read_number(frame.image))
    assert caught.value.code == "resolution-changed"
    assert seen[:7] == list(range(7))


@pytest.mark.filterwarnings("ignore::masklet.errors.MaskletWarning")
def test_frames_of_another_size_can_be_scaled_to_the_first(tmp_path: Path, opened: Any) -> None:
    video = opened(joined_sizes(tmp_path), VideoOptions(isolated=False, rescale=True))
    frames = list(video)
    assert {frame.image.shape for frame in frames} == {(48, 128, 3)}
    assert read_number(frames[-1].image) == 7


def pieces(avi: bytearray) -> list[tuple[int, int]]:
    """Where each picture of an AVI lies."""
    place, found = avi.index(b"movi") + 4, []
    while avi[place : place + 4] == b"00dc":
        length = struct.unpack("<I", avi[place + 4 : place + 8])[0]
        found.append((place + 8, place + 8 + length))
        place += 8 + length + length % 2
    return found


def test_a_lost_frame_keeps_its_number_and_is_marked(clip: Any, tmp_path: Path, opened: Any) -> None:
    data = bytearray(clip("mjpeg.avi").read_bytes())
    start, end = pieces(data)[6]
    data[start:end] = bytes(end - start)
    path = tmp_path / "hurt.avi"
    path.write_bytes(data)
    video = opened(path)
    with pytest.warns(MaskletWarning, match="frame-corrupt"):
        frames = list(video)
    assert [frame.index for frame in frames if frame.corrupt] == [6]
    assert [read_number(frame.image) for frame in frames] == [*range(6), 5, *range(7, 25)]
    assert read_number(video[6]) == 5
    assert read_number(video[7]) == 7


@pytest.mark.parametrize("name", ["h264.mkv", "h264.ts", "vp9.webm", "mjpeg.avi"])
@pytest.mark.filterwarnings("ignore::masklet.errors.MaskletWarning")
def test_a_truncated_file_gives_what_decodes_and_says_so(name: str, clip: Any, tmp_path: Path, opened: Any) -> None:
    data, found = clip(name).read_bytes(), []
    path = tmp_path / name
    for percent in range(20, 100, 4):
        end = len(data) * percent // 100
        path.write_bytes(data[: end + (end % 188 == 0)])
        try:
            video = opened(path)
        except VideoError as error:
            assert error.code == "video-no-frames"
            continue
        frames = list(video)
        assert video.truncated, percent
        assert len(video) == len(frames)
        sound = [read_number(frame.image) for frame in frames[:-2]]
        assert sound == list(range(len(sound)))
        found.append(len(frames))
    assert found == sorted(found)
    assert found[-1] >= 20


def test_a_truncated_file_warns(clip: Any, tmp_path: Path, opened: Any) -> None:
    path = tmp_path / "cut.mkv"
    path.write_bytes(clip("h264.mkv").read_bytes()[:-500])
    with pytest.warns(MaskletWarning, match="video-truncated"):
        opened(path)


def test_an_mp4_without_its_index_names_the_cause(clip: Any, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    data = clip("h264.mp4").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match="cut off before its index") as caught:
        open_video(path, HERE)
    assert caught.value.code == "video-no-frames"


def test_garbage_at_the_end_is_noticed_and_left_out(clip: Any, tmp_path: Path, opened: Any) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(clip("h264.mp4").read_bytes() + bytes(range(256)) * 10)
    with pytest.warns(MaskletWarning, match="video-truncated"):
        assert numbers(opened(path)) == list(range(25))


def test_frames_are_counted_not_promised(clip: Any, tmp_path: Path, opened: Any) -> None:
    data = bytearray(clip("mjpeg.avi").read_bytes())
    place = data.index(b"strh") + 8 + 32  # the length that the stream's header claims
    data[place : place + 4] = struct.pack("<I", 431)
    path = tmp_path / "boast.avi"
    path.write_bytes(data)
    with pytest.warns(MaskletWarning, match="431") as caught:
        video = opened(path)
    assert any("frame-count-mismatch" in str(warning.message) for warning in caught)
    assert len(video) == 25


@pytest.mark.filterwarnings("ignore::masklet.errors.MaskletWarning")
@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "h264.ts", "vp9.webm", "h264.avi"])
def test_damaged_files_raise_only_our_errors_and_quickly(name: str, clip: Any, tmp_path: Path) -> None:
    data, rng, slowest = clip(name).read_bytes(), random.Random(name), 0.0
    path = tmp_path / name
    for _ in range(40):
        path.write_bytes(damage(data, rng))
        start = time.monotonic()
        with contextlib.suppress(MaskletError), open_video(path, HERE) as video:
            assert len(list(video)) == len(video)
        slowest = max(slowest, time.monotonic() - start)
    assert slowest < 10


# --- refusals --------------------------------------------------------------------------------------------------------

REFERENCES = {
    "list.ffconcat": "ffconcat version 1.0\nfile {canary}\n",
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{canary}\n#EXT-X-ENDLIST\n",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 96\n",
    "list.mpd": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">{canary}</MPD>',
    "list.pls": "[playlist]\nFile1={canary}\n",
    "list.asx": "<asx version=\"3.0\"><entry><ref href='{canary}'/></entry></asx>",
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("suffix", ["", ".mp4"])
def test_files_that_refer_to_others_are_refused_and_open_none(name: str, suffix: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary.ts"
    os.mkfifo(canary)  # opening it would wait for ever
    path = tmp_path / (name + suffix)
    path.write_text(REFERENCES[name].format(canary=canary))
    with pytest.raises(VideoError) as caught:
        open_video(path, HERE)
    assert (caught.value.code, caught.value.exit_status) == ("reference-file-refused", 77)


def test_the_reader_itself_refuses_references_and_open_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without our look at the first bytes nothing else is opened."""
    monkeypatch.setattr("masklet.video.demuxer.check_content", lambda handle, name: "an unknown kind of file")
    canary = tmp_path / "canary.ts"
    os.mkfifo(canary)
    for name, text in REFERENCES.items():
        path = tmp_path / name
        path.write_text(text.format(canary=canary))
        assert code(lambda path=path: open_video(path, HERE)) == "unsupported-format"


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1/a.mp4", "rtsp://camera/1", "concat:a.ts|b.ts", "subfile,,start,0,end,9,,:a.mp4", "file:a.mp4"],
)
def test_addresses_are_not_paths(address: str) -> None:
    assert code(lambda: open_video(address)) == "reference-file-refused"


def test_missing_empty_and_odd_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe")
    wanted = {"none.mp4": "input-not-found", "empty.mp4": "input-empty", "pipe": "input-unreadable"}
    for name, expected in wanted.items():
        with pytest.raises(InputNotFound) as caught:
            open_video(tmp_path / name, HERE)
        assert caught.value.code == expected


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"hello world, this is text\n" * 9, "a text file"),
        (b"%PDF-1.7\n" + bytes(99), "a PDF"),
        (bytes(500), "unknown"),
    ],
)
def test_other_files_are_refused_by_what_they_are(content: bytes, named: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=named) as caught:
        open_video(path, HERE)
    assert caught.value.code == "unsupported-format"


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(VideoError, match="read_image"):
        open_video(tmp_path / "a.png", HERE)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(VideoError, match="only audio") as caught:
        open_video(path, HERE)
    assert caught.value.code == "no-video-stream"


def test_a_video_of_which_no_frame_decodes_is_refused(clip: Any, tmp_path: Path) -> None:
    data = bytearray(clip("mjpeg.avi").read_bytes())
    for start, end in pieces(data):
        data[start:end] = bytes(end - start)
    path = tmp_path / "dead.avi"
    path.write_bytes(data)
    with pytest.raises(VideoError, match="0 of 25 packets") as caught:
        open_video(path, HERE)
    assert caught.value.code == "video-no-frames"


def test_an_unknown_codec_is_unavailable(clip: Any, tmp_path: Path) -> None:
    path = tmp_path / "odd.mp4"
    path.write_bytes(clip("h264.mp4").read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoError, match="no decoder") as caught:
        open_video(path, HERE)
    assert (caught.value.code, caught.value.exit_status) == ("codec-unavailable", 69)


def test_frames_larger_than_allowed_are_refused(clip: Any) -> None:
    options = VideoOptions(isolated=False, max_pixels=128 * 48 - 1)
    assert code(lambda: open_video(clip("h264.mp4"), options)) == "too-many-pixels"


@pytest.mark.parametrize("source", [np.zeros((9, 9, 3), np.uint8), 1.5, b"bytes", {"a": 1}, None, True])
def test_what_is_no_video_is_refused(source: Any) -> None:
    assert code(lambda: open_video(source)) == "unsupported-format"


# --- the decoder's own process ---------------------------------------------------------------------------------------


def test_an_isolated_decoder_gives_the_same_frames(clip: Any, opened: Any) -> None:
    for name in ("h264.mp4", "h264.avi"):
        alone, here = opened(clip(name), VideoOptions()), opened(clip(name))
        assert (len(alone), alone.size, alone.times) == (len(here), here.size, here.times)
        for one, other in zip(alone, here, strict=True):
            assert np.array_equal(one.image, other.image)
            assert (one.index, one.time, one.corrupt) == (other.index, other.time, other.corrupt)
        assert np.array_equal(alone[7], here[7])


def test_an_isolated_decoder_refuses_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\na.ts\n")
    with pytest.raises(VideoError, match=r"list\.m3u8") as caught:
        open_video(path)
    assert caught.value.code == "reference-file-refused"


@pytest.mark.skipif(os.name != "posix", reason="stops the process with a signal")
def test_a_hung_decoder_is_killed(clip: Any, opened: Any) -> None:
    video = opened(clip("h264.mp4"), VideoOptions(frame_timeout_s=0.5))
    process = video._decoder._process
    os.kill(process.pid, signal.SIGSTOP)
    start = time.monotonic()
    assert code(lambda: video[20]) == "decoder-timeout"
    assert time.monotonic() - start < 3
    assert process.poll() == -signal.SIGKILL


@pytest.mark.skipif(os.name != "posix", reason="kills the process with a signal")
def test_a_crashed_decoder_is_an_error(clip: Any, opened: Any) -> None:
    video = opened(clip("h264.mp4"), VideoOptions())
    os.kill(video._decoder._process.pid, signal.SIGSEGV)
    with pytest.raises(VideoError, match="SIGSEGV") as caught:
        list(video)
    assert caught.value.code == "decoder-crashed"


@pytest.mark.parametrize(
    "nonsense",
    [
        "os.write(1, b'\\xff' * 4); time.sleep(9)",
        'os.write(1, struct.pack(\'>I\', 44) + b\'{"kind": "times", "bytes": 99999999999999999}\'); time.sleep(9)',
    ],
)
def test_a_decoder_that_answers_nonsense_is_stopped(nonsense: str, clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("masklet.video.decoder_client._CHILD_PROGRAM", f"import os, struct, time; {nonsense}")
    assert code(lambda: open_video(clip("h264.mp4"), VideoOptions(open_timeout_s=5))) == "decoder-crashed"


@pytest.mark.skipif(os.name != "posix", reason="interrupts with a signal")
def test_an_interrupted_request_does_not_spoil_the_next(clip: Any, opened: Any) -> None:
    video = opened(clip("h264.mp4"), VideoOptions())
    decoder, seen = video._decoder, video._decoder._read

    def interrupted(length: int) -> bytearray:
        if length > 1000:
            seen(100)  # of a frame
            raise KeyboardInterrupt
        return bytearray(seen(length))

    decoder._read = interrupted
    with pytest.raises(KeyboardInterrupt):
        video[3]
    decoder._read = seen
    assert read_number(video[7]) == 7


def test_a_decoder_that_hangs_while_opening_is_killed(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("masklet.video.decoder_client._CHILD_PROGRAM", "import time; time.sleep(60)")
    start = time.monotonic()
    assert code(lambda: open_video(clip("h264.mp4"), VideoOptions(open_timeout_s=0.5))) == "decoder-timeout"
    assert time.monotonic() - start < 5


def test_signs_of_life_keep_a_slow_decoder_alive(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = (
        "sys.stdout.buffer.write(struct.pack('>I', 17) + b'{\"kind\": \"alive\"}'); sys.stdout.flush(); time.sleep(.3)"
    )
    slow = f"import struct, sys, time\nfor _ in range(5): {alive}\nsys.exit(3)"
    monkeypatch.setattr("masklet.video.decoder_client._CHILD_PROGRAM", slow)
    assert code(lambda: open_video(clip("h264.mp4"), VideoOptions(open_timeout_s=1.8))) == "decoder-crashed"


@pytest.mark.skipif(os.name != "posix", reason="looks for a process by its number")
def test_a_dropped_video_ends_its_process(clip: Any) -> None:
    video = open_video(clip("h264.mp4"))
    assert isinstance(video, VideoFile)
    process = video._decoder._process
    del video
    assert process.poll() is not None


def test_a_program_without_python_says_what_to_do(clip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(SettingsError, match="isolated=False"):
        open_video(clip("h264.mp4"))


# --- real files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "length", "size"), [("05_default_juggle.mp4", 247, (720, 1280))])
def test_a_real_clip_is_read_whole(name: str, length: int, size: tuple[int, int], shared: Path, opened: Any) -> None:
    video = opened(shared / "media" / name)
    assert (len(video), video.size) == (length, size)
    in_order = {frame.index: frame.image for frame in islice(video, 60) if frame.index in {0, 31, 59}}
    assert all(np.array_equal(video[place], in_order[place]) for place in (59, 0, 31))
