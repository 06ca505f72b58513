"""Command line of ailia's sample segment-anything-2, on masklet. All its flags are accepted; no window is opened.

python segment-anything-2.py --pos 500 375 -i truck.jpg
python segment-anything-2.py --pos 960 540 -v 0 -s webcam.mp4
python segment-anything-2.py -v demo
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

import masklet
from masklet import MaskletError, Prompt, ResourceError, Segmenter, SettingsError

MODELS = {"hiera_t": "tiny", "hiera_s": "small", "hiera_b+": "base-plus", "hiera_l": "large"}
IMAGE_OUTPUT, VIDEO_OUTPUT = "output.png", "output.mp4"
DEFAULT_POINTS, DEMO_POINTS = [(500, 375)], [(210, 350), (250, 220)]  # without a prompt
IGNORED = {"env_id": None, "env_list": False, "ftype": None, "profile": False, "memory_mode": None, "required": None}
DEFAULT_FPS = 30  # for sources without timestamps
BITS_PER_PIXEL = 1  # of recorded videos
TIME_BASE = Fraction(1, 1000)  # of recorded videos, in seconds
IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sample and return the exit status that `masklet` would return."""
    options = _make_parser().parse_args(arguments)
    try:
        _check_options(options)
        if options.video is not None:
            _track_video(options)
        else:
            _segment_images(options)
    except KeyboardInterrupt:
        return 130
    except MaskletError as error:
        if options.debug:
            raise
        say(f"error: {error.message} [{error.code}]")
        return error.exit_status
    return 0


def say(text: str) -> None:
    """Write a line to stderr."""
    print(text, file=sys.stderr)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-i", "--input", nargs="+", default=["truck.jpg"], metavar="FILE", help="images, or a folder of images")
    add("-v", "--video", metavar="FILE|NUMBER|demo", help="a video file, the number of a camera, or a folder of frames")
    add("-s", "--savepath", default=IMAGE_OUTPUT, metavar="PATH", help="output file, or a folder for <name>_res.png")
    add("-p", "--pos", action="append", type=int, nargs=2, metavar=("X", "Y"), help="a point on the object")
    add("--neg", action="append", type=int, nargs=2, metavar=("X", "Y"), help="a point off the object")
    add("--box", type=int, nargs=4, metavar=("X1", "Y1", "X2", "Y2"), help="a box around the object")
    add("--mask", metavar="FILE", help="an image that is white on the object")
    add("--num_mask_mem", type=int, default=7, choices=range(8), help="frames in memory, with the prompted one")
    add("--max_obj_ptrs_in_encoder", type=int, default=16, choices=range(17), help="object pointers in memory")
    add("-m", "--model_type", default="hiera_l", help=f"{', '.join(MODELS)}, or a checkpoint file")
    add("--version", default="2", choices=("2", "2.1"), help="release of the weights")
    add("--onnx", action="store_true", help="run on onnxruntime")
    add("--legacy", action="store_true", help="older graphs of the sample; masklet has one set of graphs")
    add("--auto", action="store_true", help="segment all objects of the image")
    add("--points_per_side", type=int, default=32)
    add("--points_per_batch", type=int, default=64)
    add("--pred_iou_thresh", type=float, default=0.8)
    add("--stability_score_thresh", type=float, default=0.95)
    add("--box_nms_thresh", type=float, default=0.7)
    add("-b", "--benchmark", action="store_true", help="report the processing time")
    add("-bc", "--benchmark_count", type=int, default=5, metavar="N", help="runs per image with --benchmark")
    add("--debug", action="store_true", help="show the traceback of an error")
    for name, default in IGNORED.items():
        flag = ["-e", "--env_id"] if name == "env_id" else [f"--{name}"]
        add(*flag, default=default, help=argparse.SUPPRESS, **({"action": "store_true"} if default is False else {}))
    return parser


def _check_options(options: argparse.Namespace) -> None:
    """Refuse what the sample refuses, and report the flags of its own runtime, which have no effect."""
    if options.legacy and (options.auto or options.mask):
        raise SettingsError("bad-usage", "--legacy cannot be used with --auto or --mask")
    if options.auto and options.video is not None:
        raise SettingsError("bad-usage", "--auto is for images; leave --video out")
    if options.model_type not in MODELS and not Path(options.model_type).exists():
        message = f"--model_type must be one of {', '.join(MODELS)}, or a file, got {options.model_type}"
        raise SettingsError("bad-usage", message)
    for name in [*IGNORED, "legacy"]:
        if getattr(options, name) not in (None, False):
            say(f"--{name} is an option of the sample's own runtime and has no effect")


def _load_model(options: argparse.Namespace) -> Segmenter:
    release = "sam2.1" if options.version == "2.1" else "sam2"
    name = f"{release}-{MODELS[options.model_type]}" if options.model_type in MODELS else options.model_type
    return masklet.load(name, runtime="onnx" if options.onnx else None)


def _make_prompt(options: argparse.Namespace, default: Sequence[tuple[int, int]]) -> Prompt:
    """Make the prompt of the object from the flags; without flags, positive points at `default`."""
    positive, negative = options.pos or [], options.neg or []
    if not (positive or negative or options.box or options.mask):
        positive = default
    parts = []
    if options.box:
        parts.append(masklet.box(*options.box))
    if positive or negative:
        parts.append(masklet.clicks([*positive, *negative], [1] * len(positive) + [0] * len(negative)))
    if options.mask:
        parts.append(masklet.mask(masklet.read_mask(options.mask)))
    prompt = parts[0]
    for part in parts[1:]:
        prompt = prompt + part
    return prompt


def _segment_images(options: argparse.Namespace) -> None:
    model = _load_model(options)
    paths = [path for name in options.input for path in _list_files(Path(name))]
    for path in paths:
        image = masklet.read_image(path)
        draw = _draw_all if options.auto else _draw_prompted
        drawn = _run_timed(options, lambda draw=draw, image=image: draw(model, image, options))
        target = _choose_output(options, path, len(paths))
        _save(drawn, target)
        say(f"saved at: {target}")


def _draw_prompted(model: Segmenter, image: Any, options: argparse.Namespace) -> Any:
    """Draw the best mask of the prompt, and the prompt."""
    prompt = _make_prompt(options, DEFAULT_POINTS)
    return _draw_prompt(model.segment(image, prompt).best.overlay(image), prompt)


def _draw_all(model: Segmenter, image: Any, options: argparse.Namespace) -> Any:
    """Draw the masks of all objects, small ones over large ones."""
    generator_options = masklet.MaskGeneratorOptions(
        points_per_side=options.points_per_side,
        points_per_batch=options.points_per_batch,
        pred_iou_thresh=options.pred_iou_thresh,
        stability_score_thresh=options.stability_score_thresh,
        box_nms_thresh=options.box_nms_thresh,
    )
    generated = model.generate_masks(image, generator_options)
    say(f"found {len(generated)} masks")
    return generated.overlay(image)


def _track_video(options: argparse.Namespace) -> None:
    demo = options.video == "demo"
    source: Any = masklet.open_video(int(options.video) if options.video.isdecimal() else options.video)
    prompt = _make_prompt(options, DEMO_POINTS if demo else DEFAULT_POINTS)
    prompt.normalize_points(source.size)  # refuses points outside before anything is written
    target = Path(VIDEO_OUTPUT if options.savepath == IMAGE_OUTPUT else options.savepath)
    if target.exists() and Path(options.video).exists() and target.samefile(options.video):
        raise SettingsError(
            "bad-usage", f"{target} is also the input, which would be overwritten; choose another --savepath"
        )
    model = _load_model(options)
    memory = ShortMemory(model.memory, options.num_mask_mem, options.max_obj_ptrs_in_encoder)
    tracker, started, count = replace(model, memory=memory).tracker(), time.monotonic(), 0
    with closing(Recording(target, source.size)) as recording:
        for frame in source:
            if frame.index == 0:
                tracker.prompt(0, {1: prompt}, frame.image)
            drawn = tracker.step(frame.index, frame.image).overlay(frame.image)
            drawn = drawn if frame.index else _draw_prompt(drawn, prompt)
            recording.add(drawn, frame.index / DEFAULT_FPS if frame.time is None else frame.time)
            count += 1
            if demo:
                _save(drawn, Path(f"video_{frame.index}.png"))
    if options.benchmark:
        say(f"total processing time {1000 * (time.monotonic() - started):.0f} ms for {count} frames")
    say(f"saved at: {target}")


@dataclass(frozen=True)
class ShortMemory:
    """A memory policy that recalls at most `frames` maps, with the prompted one, and the last `pointers` pointers."""

    policy: Any
    frames: int
    pointers: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.policy, name)

    def select(self, past: Any, frame: int, direction: int) -> Any:
        """Select a part of the memories that the policy selects."""
        selected = self.policy.select(past, frame, direction)
        slots = [(slot, t) for slot, t in selected.slots if t in past.prompted or slot < self.frames - 1]
        near = [(ago, t) for ago, t in selected.pointers if t in past.prompted or ago < self.pointers]
        return selected._replace(
            slots=tuple(slots if self.frames else ()),
            pointers=tuple(near if self.frames and self.pointers else ()),
            horizon=max(1, min(selected.horizon, self.pointers - 1)),
        )


class Recording:
    """A video file with the time of each frame."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self._path = path
        with _writing(path):
            self._container = av.open(str(path), "w")
        self._stream: Any = self._container.add_stream("mpeg4", rate=DEFAULT_FPS)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt, self._stream.codec_context.time_base = "yuv420p", TIME_BASE
        self._stream.bit_rate = BITS_PER_PIXEL * DEFAULT_FPS * size[0] * size[1]

    def add(self, image: Any, seconds: float) -> None:
        """Append an image (H, W, 3) uint8 RGB."""
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = round(seconds / TIME_BASE), TIME_BASE
        with _writing(self._path):
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write the end of the file."""
        with _writing(self._path):
            self._container.mux(self._stream.encode())
            self._container.close()


def _draw_prompt(image: Any, prompt: Prompt) -> Any:
    """Draw the points and the box of a prompt on a copy of the image."""
    drawn, colors = image.copy(), {1: (0, 255, 0), 0: (255, 0, 0)}
    corners = [
        tuple(point)
        for point, label in zip(prompt.points.astype(int).tolist(), prompt.labels, strict=True)
        if label > 1
    ]
    if corners:
        cv2.rectangle(drawn, *corners, (2, 118, 2), 3)
    for point, label in zip(prompt.points.astype(int).tolist(), prompt.labels.tolist(), strict=True):
        if label in colors:
            cv2.drawMarker(drawn, point, colors[label], cv2.MARKER_TILTED_CROSS, 30, 5, cv2.LINE_AA)
    return drawn


def _run_timed(options: argparse.Namespace, work: Callable[[], Any]) -> Any:
    """Run `work` and return its result. With --benchmark, repeat it and report times; the average omits the first."""
    times = []
    for _ in range(max(2, options.benchmark_count) if options.benchmark else 1):
        started = time.monotonic()
        result = work()
        times.append(1000 * (time.monotonic() - started))
    if options.benchmark:
        for each in times:
            say(f"  processing time {each:.0f} ms")
        say(f"  average time {np.mean(times[1:]):.0f} ms")
    return result


def _save(drawn: Any, target: Path) -> None:
    with _writing(target):
        Image.fromarray(drawn).save(target, "PNG")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise `ResourceError` if a file or folder cannot be written."""
    try:
        yield
    except OSError as cause:
        raise ResourceError("output-unwritable", f"{path}: cannot be written: {cause.strerror}") from cause


def _list_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)


def _choose_output(options: argparse.Namespace, path: Path, count: int) -> Path:
    """Choose the output of one of `count` images: the file of --savepath, or `<name>_res.png` in a folder."""
    given = Path(options.savepath)
    if count == 1 and given.suffix:
        return given.with_suffix(".png")
    default = path.parent.with_name(f"{path.parent.name}_results") if path.parent.name else Path("results")
    folder = default if given.suffix else given
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{path.stem}_res.png"


if __name__ == "__main__":
    raise SystemExit(main())
