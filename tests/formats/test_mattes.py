"""Mattes: soft alpha of each object with the timing and the color tags of the source."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from masklet.errors import FormatError, SettingsError
from masklet.formats import read_masks, save_masks
from masklet.jobs.frame_log import FrameLog
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.masks.rle_frame import RleFrame, encode_frame
from masklet.masks.soft_edges import decode_alpha, encode_edge
from masklet.masks.tracked_frame import TrackedFrame
from masklet.video import VideoOptions, open_video

SIZE = (48, 64)


class Source(NamedTuple):
    """A clip: container, unit of times, times in units, and color tags (primaries, transfer, matrix, range)."""

    suffix: str
    unit: Fraction
    times: Sequence[int]
    color: tuple[int, int, int, int]


NTSC = Source("mp4", Fraction(1, 30_000), [0, 1001, 2002, 3003], (1, 1, 1, 1))
VARIABLE = Source("mp4", Fraction(1, 12_800), [0, 512, 3072, 3584, 7168], (9, 16, 9, 1))
LATE = Source("mp4", Fraction(1, 30_000), [3003, 4004, 8008], (1, 1, 1, 2))
MILLISECONDS = Source("mkv", Fraction(1, 1000), [0, 33, 67, 100], (5, 6, 5, 1))
UNTAGGED = Source("mp4", Fraction(1, 25 * 512), [0, 512, 1024], (2, 2, 2, 0))
NAMES = {1: "bt709", 2: None, 5: "bt470bg", 6: "smpte170m", 9: "bt2020", 16: "smpte2084"}


def write_source(path: Path, source: Source) -> Path:
    options = {"video_track_timescale": str(source.unit.denominator), "movie_timescale": str(source.unit.denominator)}
    with av.open(str(path), "w", options=options if source.suffix == "mp4" else {}) as output:
        stream: Any = output.add_stream("libx264", rate=30, options={"crf": "1", "bf": "0"})
        context = stream.codec_context
        context.height, context.width, context.pix_fmt = *SIZE, "yuv420p"
        context.time_base = stream.time_base = source.unit
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = source.color
        for index, time in enumerate(source.times):
            image = np.full((*SIZE, 3), 60 + 20 * index, np.uint8)
            image[:, 32:] = 200, 60, 20
            matrix = {2: 5}.get(source.color[2], source.color[2])
            frame: Any = av.VideoFrame.from_ndarray(image).reformat(
                format="yuv420p", dst_colorspace=matrix, dst_color_range=source.color[3] or 1
            )
            frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = source.color
            frame.pts, frame.time_base = time, source.unit
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def logits_of(index: int) -> NDArray[np.float32]:
    """Logits that fall by one per pixel away from the edge of a disk."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    return np.asarray(12.3 - np.hypot(rows - 24, columns - 24 - 2 * index), np.float32)


def track(video: Any) -> list[TrackedFrame]:
    """Object 1 on every frame, and object 12 on the first one."""
    frames = []
    for index, time in enumerate(video.times):
        parts = [logits_of(index)] + ([-logits_of(index)] if not index else [])
        masks = Masks.from_logits(np.stack(parts), SIZE, object_ids=[1, 12][: len(parts)])
        frames.append(TrackedFrame(index, time, masks))
    return frames


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(1 / (1 + np.exp(-logits)))


def probe_with_ffprobe(path: Path) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_packets", "-of", "json", str(path)]
    record = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    stream = record["streams"][0]
    keys = {"primaries": "color_primaries", "transfer": "color_transfer", "matrix": "color_space"}
    tags = {name: None if stream.get(key) in (None, "unknown") else stream[key] for name, key in keys.items()}
    return {
        **tags,
        "range": {"tv": 1, "pc": 2}.get(stream.get("color_range"), 0),
        "unit": Fraction(stream["time_base"]),
        "start": stream.get("start_pts", 0),
        "times": [packet["pts"] for packet in record["packets"]],
    }


def probe_with_pyav(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        times = [packet.pts for packet in container.demux(stream) if packet.size]
        context = stream.codec_context
        matrix = int(context.colorspace)
        return {
            "primaries": NAMES[int(context.color_primaries)],
            "transfer": NAMES[int(context.color_trc)],
            "matrix": {9: "bt2020nc"}.get(matrix, NAMES.get(matrix)),
            "range": int(context.color_range),
            "unit": stream.time_base,
            "start": stream.start_time or 0,
            "times": times,
        }


@pytest.mark.parametrize("source", [NTSC, VARIABLE, LATE, MILLISECONDS, UNTAGGED])
def test_a_matte_has_the_timing_and_color_tags_of_its_source(source: Source, tmp_path: Path) -> None:
    path = write_source(tmp_path / f"clip.{source.suffix}", source)
    video = open_video(path, VideoOptions(isolated=False))
    folders = save_masks(track(video), tmp_path / "out", ["matte_prores", "matte_mp4"], video=video, path=path)
    for probe in (probe_with_pyav, probe_with_ffprobe) if shutil.which("ffprobe") else (probe_with_pyav,):
        wanted = probe(path)
        assert wanted["times"] == [*source.times] and wanted["unit"] == source.unit
        assert wanted["primaries"] == NAMES[source.color[0]] and wanted["transfer"] == NAMES[source.color[1]]
        for folder in folders:
            found = probe(next(folder.glob("object_0001.*")))
            if folder.name == "matte_prores":  # ProRes has limited range
                assert found.pop("range") in (0, 1)
                assert found == {name: value for name, value in wanted.items() if name != "range"}
            else:
                assert found == wanted


def test_each_object_has_a_matte_of_every_frame(tmp_path: Path) -> None:
    path = write_source(tmp_path / "clip.mp4", NTSC)
    video = open_video(path, VideoOptions(isolated=False))
    formats = ["matte_prores", "matte_mp4", "matte_png", "matte_exr"]
    prores, mp4, png, exr = save_masks(track(video), tmp_path / "out", formats, video=video, path=path)
    assert [file.name for file in sorted(prores.iterdir())] == ["object_0001.mov", "object_0012.mov"]
    for number, logits in ((1, logits_of(2)), (12, np.full(SIZE, -100.0))):
        image = cv2.imread(str(png / f"object_{number:04d}/frame_000002.png"), cv2.IMREAD_UNCHANGED)
        assert image is not None and image.dtype == np.uint16 and image.shape == SIZE
        assert np.array_equal(image > 32_767, logits > 0)
        half = decode(exr / f"object_{number:04d}/frame_000002.exr", "grayf32le")[0]
        assert np.abs(half - image / 65_535).max() < 1e-3
        gray = decode(mp4 / f"object_{number:04d}.mp4", "gray")[2]
        assert np.abs(gray / 255.0 - image / 65_535).max() < 0.03
        alpha = decode(prores / f"object_{number:04d}.mov", "rgba64le")[2][..., 3]
        assert np.abs(alpha / 65_535.0 - image / 65_535).max() < 0.01
    soft = cv2.imread(str(png / "object_0001/frame_000000.png"), cv2.IMREAD_UNCHANGED)
    assert soft is not None and len(np.unique(soft)) > 8
    edge = np.abs(logits_of(0)) < 0.5
    assert np.abs(soft[edge] / 65_535 - sigmoid(logits_of(0)[edge])).max() < 1 / 512


def test_a_prores_matte_has_the_colors_of_the_video(tmp_path: Path) -> None:
    path = write_source(tmp_path / "clip.mp4", VARIABLE)
    video = open_video(path, VideoOptions(isolated=False))
    (folder,) = save_masks(track(video), tmp_path / "out", ["matte_prores"], video=video, path=path)
    inside = logits_of(1) > 2
    image = decode(folder / "object_0001.mov", "rgba64le")[1]
    assert np.abs(image[inside][:, :3] / 257 - video[1][inside]).mean() < 2


def decode(path: Path, layout: str) -> list[NDArray[Any]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format=layout) for frame in container.decode(video=0)]


def test_alpha_is_the_sigmoid_at_the_edge_and_the_mask_away_from_it() -> None:
    logits = cv2.resize(np.random.default_rng(3).normal(0, 2, (12, 16)).astype(np.float32), (64, 48))
    mask = logits > 0
    alpha = decode_alpha(mask, encode_edge(mask, logits))
    assert np.array_equal(alpha > 0.5, mask) and not np.any(alpha == 0.5)
    kernel = np.ones((3, 3), np.uint8)
    inner, outer = (cv2.erode(mask.astype(np.uint8), kernel), cv2.dilate(mask.astype(np.uint8), kernel))
    nearest = (outer > 0) & ~(inner > 0)
    assert np.abs(alpha - sigmoid(logits))[nearest].max() <= 2 / 512
    far = cv2.dilate(nearest.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
    assert far.any() and np.array_equal(alpha[far], mask[far])


@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_without_an_edge_is_its_alpha(value: int) -> None:
    mask = np.full(SIZE, bool(value))
    assert np.array_equal(decode_alpha(mask, encode_edge(mask, np.full(SIZE, value - 0.5))), mask)
    assert np.array_equal(decode_alpha(mask, None), mask)


def test_a_mask_without_logits_has_an_antialiased_edge() -> None:
    mask = logits_of(0) > 0
    alpha = decode_alpha(mask, None)
    assert np.array_equal(alpha > 0.5, mask) and len(np.unique(alpha)) > 4


@pytest.mark.parametrize("edge", ["", "{}", "c-jFPOaK4?", encode_edge(logits_of(3) > 0, logits_of(3))])
def test_an_edge_of_another_mask_is_refused(edge: str) -> None:
    with pytest.raises(FormatError, match="soft edge"):
        decode_alpha(logits_of(3) > 5, edge)


def test_edges_are_stored_in_the_log_of_a_job(tmp_path: Path) -> None:
    masks = Masks.from_logits(np.stack([logits_of(0), logits_of(4)]), SIZE)
    frame = encode_frame(TrackedFrame(0, None, masks), with_edges=True)
    with FrameLog(tmp_path, {}) as log:
        log.append(frame)
    with FrameLog(tmp_path, {}) as log:
        (stored,) = log
    assert stored == frame and None not in stored.edges
    first = next(iter(stored))
    assert np.array_equal(decode_alpha(rle.decode(first.rle), first.edge) > 0.5, logits_of(0) > 0)
    assert encode_frame(TrackedFrame(0, None, masks)) == RleFrame(
        0, None, SIZE, frame.object_ids, frame.scores, frame.object_scores, frame.counts
    )


def test_mattes_that_need_the_video_say_so_and_are_not_read(tmp_path: Path) -> None:
    frames = [TrackedFrame(0, None, Masks.from_logits(logits_of(0)[None], SIZE))]
    with pytest.raises(SettingsError, match="pass the video"):
        save_masks(frames, tmp_path, ["matte_prores"])
    (folder,) = save_masks(frames, tmp_path, ["matte_mp4"])
    assert len(decode(folder / "object_0001.mp4", "gray")) == 1
    with pytest.raises(FormatError):
        list(read_masks(folder))
    assert io.BytesIO((folder / "object_0001.mp4").read_bytes()).read(8)[4:] == b"ftyp"
