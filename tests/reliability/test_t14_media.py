"""T14: images and videos of every sort, compared with OpenCV: number, order, geometry, and colors to 40 dB.

Masks have the size of what is displayed. A third of the cases is in the default suite.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fuzzing.kinds.images import make_gradient
from masklet import click, read_image
from masklet.errors import ImageError, VideoError
from masklet.segmenter import Segmenter
from masklet.video import VideoOptions, open_video
from support.clips import read_number, set_display_matrix, write_clip
from support.fake_backend import FakeBackend
from support.image_files import png

MIN_PSNR_DB = 40.0
IN_PROCESS = VideoOptions(isolated=False)
Pixels = NDArray[Any]

pytestmark = pytest.mark.filterwarnings("ignore::masklet.errors.MaskletWarning")


def sample(cases: list[Any]) -> list[Any]:
    """Mark two thirds of the cases as slow."""
    return [
        pytest.param(*case, id=case[0], marks=[pytest.mark.slow] if place % 3 else [])
        for place, case in enumerate(cases)
    ]


def measure_psnr(first: Pixels, second: Pixels) -> float:
    """Return the peak signal-to-noise ratio of 8-bit images in decibels."""
    error = float(np.mean((first.astype(np.float64) - second) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def require_same(found: Pixels, expected: Pixels) -> None:
    """Check size and colors."""
    assert found.shape == expected.shape
    assert measure_psnr(found, expected) >= MIN_PSNR_DB


def read_with_opencv(path: Path) -> Pixels:
    """Read an image as RGB (H, W, 3) by the rules of masklet: alpha on black, 16 bits by their high byte."""
    flags = cv2.IMREAD_UNCHANGED if path.suffix != ".jpg" else cv2.IMREAD_COLOR
    image: Any = cv2.imread(str(path), flags)
    assert image is not None, f"OpenCV cannot read {path}"
    image = image >> 8 if image.dtype == np.uint16 else image
    image = image * np.uint8(255) if image.dtype == bool else image
    if image.ndim == 2:
        return np.repeat(image[:, :, None], 3, axis=2)
    if image.shape[2] == 4:
        image = np.round(image[:, :, :3] * (image[:, :, 3:] / 255.0)).astype(np.uint8)
    return np.ascontiguousarray(image[:, :, ::-1])


# --- images ----------------------------------------------------------------------------------------------------------


def encode(mode: str, suffix: str, size: tuple[int, int] = (48, 64), **options: Any) -> Callable[[Path], None]:
    """Return a function that writes an image of a mode of Pillow."""

    def write(path: Path) -> None:
        image = Image.fromarray(make_gradient(size))
        if mode in ("RGBA", "LA"):
            image.putalpha(Image.fromarray(make_gradient(size)[..., 1]))
            image = image.convert(mode)
        elif mode.startswith("I;16"):
            deep = make_gradient(size)[..., 0].astype(np.uint16) * 257
            image = Image.frombytes(mode, deep.shape[::-1], deep.astype(">u2" if mode[-1] == "B" else "<u2").tobytes())
        elif mode == "P+tRNS":
            image = image.quantize(16)
            options["transparency"] = 3
        else:
            image = image.quantize(16) if mode == "P" else image.convert(mode)
        image.save(path, **options)

    return write


def encode_turned(orientation: int, quality: int | None = None) -> Callable[[Path], None]:
    """Return a function that writes an image with an orientation of EXIF."""

    def write(path: Path) -> None:
        exif = Image.Exif()
        exif[274] = orientation
        options: dict[str, Any] = {"quality": 97, "subsampling": 0} if path.suffix == ".jpg" else {}
        Image.fromarray(make_gradient()).save(path, exif=exif, **({"lossless": True} | options))

    return write


def write_16_bit_colors(path: Path) -> None:
    """Write a PNG with 16 bits for each color."""
    values = make_gradient().astype(">u2") * 257
    path.write_bytes(png(64, 48, 16, 2, values.tobytes()))


IMAGES = [
    *((f"EXIF {turn}.{suffix}", encode_turned(turn)) for suffix in ("jpg", "png", "webp") for turn in range(1, 9)),
    ("1 bit.png", encode("1", "png")),
    ("gray.png", encode("L", "png")),
    ("gray.tif", encode("L", "tif")),
    ("gray and alpha.png", encode("LA", "png")),
    ("palette.png", encode("P", "png")),
    ("palette with a transparent color.png", encode("P+tRNS", "png")),
    ("alpha.png", encode("RGBA", "png")),
    ("alpha.webp", encode("RGBA", "webp", lossless=True, exact=True)),
    ("CMYK.jpg", encode("CMYK", "jpg", quality=97)),
    ("16 bits.png", encode("I;16", "png")),
    ("16 bits.tif", encode("I;16", "tif")),
    ("16 bits, big-endian.tif", encode("I;16B", "tif")),
    ("16 bits, colors.png", write_16_bit_colors),
    ("1 × 1.png", encode("RGB", "png", (1, 1))),
    ("1 × 8192.png", encode("RGB", "png", (1, 8192))),
    ("8192 × 1.bmp", encode("RGB", "bmp", (8192, 1))),
    ("481 × 641.jpg", encode("RGB", "jpg", (481, 641), quality=97, subsampling=0)),
    ("481 × 641.webp", encode("RGB", "webp", (481, 641), lossless=True)),
]


@pytest.mark.parametrize(("name", "write"), sample(IMAGES))
def test_an_image_is_read_as_opencv_reads_it(name: str, write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / name
    write(path)
    image = read_image(path)
    require_same(image, read_with_opencv(path) if "EXIF" not in name else read_upright(path))
    height, width = image.shape[:2]
    masks = Segmenter(FakeBackend()).embed(image, warn=False).predict(click(width / 2, height / 2))
    assert masks.binary.shape[1:] == (height, width)


def read_upright(path: Path) -> Pixels:
    """Read a JPEG with OpenCV, which turns it, or turn what OpenCV reads of another format."""
    if path.suffix == ".jpg":
        return read_with_opencv(path)
    image = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION))[:, :, ::-1]
    turn = int(path.name.split()[1][0])
    turned = {
        1: image, 2: image[:, ::-1], 3: image[::-1, ::-1], 4: image[::-1],
        5: image.swapaxes(0, 1), 6: np.rot90(image, -1), 7: image[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(image),
    }  # fmt: skip
    return np.ascontiguousarray(turned[turn])


def test_a_float_image_is_refused_without_a_range(tmp_path: Path) -> None:
    Image.fromarray(make_gradient()[..., 0].astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "a.tif")
    assert caught.value.code == "float-needs-range"


# --- videos ----------------------------------------------------------------------------------------------------------

FRAMES = 12
GROUPS = {"g": "6", "bf": "2"}
LOSSLESS = {"qp": "0"}
TURNS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def clip(**options: Any) -> Callable[[Path], None]:
    """Return a function that writes a clip of numbered frames."""
    return lambda path: write_clip(path, **{"frames": FRAMES, **options}) and None


def turned(degrees: int) -> Callable[[Path], None]:
    """Return a function that writes a clip with a display matrix."""
    return lambda path: set_display_matrix(write_clip(path, FRAMES), TURNS[degrees]) and None


def with_edit_list(path: Path) -> None:
    """Write a clip whose edit list hides its first five frames."""
    write_clip(path, FRAMES, options={"g": "12", "bf": "0"}, container={"use_editlist": "1"})
    data = bytearray(path.read_bytes())
    position = data.index(b"elst") + 16
    scale = struct.unpack(">I", data[(mdhd := data.index(b"mdhd") + 16) : mdhd + 4])[0]
    data[position : position + 4] = struct.pack(">I", scale * 5 // 10)
    path.write_bytes(data)


def with_more_frames_stated(path: Path) -> None:
    """Write an AVI file that states 431 frames."""
    write_clip(path, FRAMES, "mjpeg")
    data = bytearray(path.read_bytes())
    position = data.index(b"strh") + 40
    data[position : position + 4] = struct.pack("<I", 431)
    path.write_bytes(data)


VIDEOS = [
    ("plain.mp4", clip(), range(FRAMES)),
    *((f"turned by {degrees}.mp4", turned(degrees), range(FRAMES)) for degrees in TURNS),
    ("bidirectional frames.mkv", clip(options=GROUPS), range(FRAMES)),
    ("open groups.mp4", clip(options={**GROUPS, "x264-params": "open-gop=1:b-pyramid=2"}), range(FRAMES)),
    ("variable rate.mp4", clip(times=[0, 1, 5, 6, 20, 21, 22, 50, 51, 60, 61, 80]), range(FRAMES)),
    ("gap.mkv", clip(times=[*range(6), *range(60, 66)]), range(FRAMES)),
    ("late start.mkv", clip(times=range(30, 42)), range(FRAMES)),
    ("edit list.mp4", with_edit_list, range(5, FRAMES)),
    ("no presentation times.avi", clip(options=GROUPS), range(FRAMES)),
    ("10 bits.mkv", clip(codec="ffv1", pix_fmt="yuv420p10le"), range(FRAMES)),
    ("no subsampling.mp4", clip(pix_fmt="yuv444p", options=LOSSLESS), range(FRAMES)),
    ("full range.mkv", clip(codec="mjpeg"), range(FRAMES)),
    ("interlaced.ts", clip(codec="mpeg2video", options={"flags": "+ildct+ilme"}), range(FRAMES)),
    ("VP9.webm", clip(codec="libvpx-vp9", options={"cpu-used": "8", "deadline": "realtime"}), range(FRAMES)),
    ("HEVC.mp4", clip(codec="libx265", options={"x265-params": "log-level=none:keyint=6"}), range(FRAMES)),
    ("odd size.mkv", clip(codec="ffv1", size=(47, 121), pix_fmt="bgr0"), range(FRAMES)),
    ("wide pixels.mkv", clip(sample_aspect_ratio=Fraction(2, 1)), range(FRAMES)),
    ("one frame.mp4", clip(frames=[9]), [9]),
    ("431 frames stated.avi", with_more_frames_stated, range(FRAMES)),
]


def read_video_with_opencv(path: Path) -> list[Pixels]:
    """Read the frames of a video with OpenCV, which turns them but leaves pixels as they are."""
    capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    assert capture.isOpened()
    while (found := capture.read())[0]:
        frames.append(np.ascontiguousarray(found[1][:, :, ::-1]))
    capture.release()
    return frames


@pytest.mark.parametrize(("name", "write", "numbers"), sample(VIDEOS))
def test_a_video_is_read_as_opencv_reads_it(
    name: str, write: Callable[[Path], None], numbers: Any, tmp_path: Path
) -> None:
    path = tmp_path / name
    write(path)
    with open_video(path, IN_PROCESS) as video:
        frames = [frame.image for frame in video]
        times = video.times
        size = video.size
    assert len(frames) == len(numbers)
    assert list(times) == sorted(set(times))
    if "turned" not in name:
        assert [read_number(image) for image in frames] == list(numbers)
    others = read_video_with_opencv(path)
    assert len(others) == len(frames) or name in ("431 frames stated.avi", "edit list.mp4")
    for image, other in zip(frames, others[-len(frames) :], strict=True):
        if "wide" in name:  # OpenCV does not make pixels square
            assert (image.shape[0], image.shape[1] // 2) == other.shape[:2]
        elif "interlaced" not in name:  # which OpenCV 4.14 cannot convert
            require_same(image, other)
    tracked = [*Segmenter(FakeBackend()).track(np.stack(frames[:2]), click(3, 3))]
    assert all(frame.masks.binary.shape[1:] == size for frame in tracked)


def write_cover_art(path: Path) -> None:
    """Write an audio file with a cover image."""
    import av

    with av.open(str(path), "w") as output:
        sound: Any = output.add_stream("aac", rate=8000, layout="mono")
        cover: Any = output.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt, cover.disposition = (
            32,
            32,
            "yuvj420p",
            av.stream.Disposition.attached_pic,
        )
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        tone.sample_rate = 8000
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        output.mux([*cover.encode(image), *cover.encode(None), *sound.encode(tone), *sound.encode(None)])


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    write_cover_art(tmp_path / "song.mp4")
    with pytest.raises(VideoError) as caught, open_video(tmp_path / "song.mp4", IN_PROCESS) as video:
        list(video)
    assert caught.value.code == "no-video-stream"
