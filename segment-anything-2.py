"""The command line of the ailia sample segment-anything-2, flag for flag, over masklet. It needs no window.

python segment-anything-2.py --pos 500 375 -i truck.jpg
python segment-anything-2.py --pos 960 540 -v 0 -s webcam.mp4
python segment-anything-2.py -v demo
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

import masklet
from masklet import MaskletError, Prompt, Segmenter
from masklet.backend import Features
from masklet.cli.console import print_error, say
from masklet.cli.live_output import Recording
from masklet.cli.options import locate_model
from masklet.errors import SettingsError
from masklet.files.atomic import atomic_write
from masklet.files.translate import translate_write_errors
from masklet.masks import drawing, rle
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.tracking.disk_cache import DiskCache
from masklet.backend import MEMORY_SLOTS, Recall
from masklet.tracking.tracker import Tracker
from masklet.video import open_video

MODELS = {"hiera_t": "tiny", "hiera_s": "small", "hiera_b+": "base-plus", "hiera_l": "large"}
RESULT, CLIP = "output.png", "output.mp4"
CLICKS, DEMO_CLICKS = [(500, 375)], [(210, 350), (250, 220)]  # where nothing is prompted
IDLE = {"env_id": None, "env_list": False, "ftype": None, "profile": False, "memory_mode": None, "required": None}
RATE = 30  # pictures per second where the source does not tell


def main(words: Sequence[str] | None = None) -> int:
    """Run the sample; returns the exit status that `masklet` would end with."""
    options = _parser().parse_args(words)
    try:
        _check(options)
        if options.video is not None:
            _video(options)
        else:
            _pictures(options)
    except KeyboardInterrupt:
        return 130
    except MaskletError as error:
        if options.debug:
            raise
        print_error(error)
        return error.exit_status
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-i", "--input", nargs="+", default=["truck.jpg"], metavar="FILE", help="pictures, or a folder of them")
    add("-v", "--video", metavar="FILE|NUMBER|demo", help="a video, a camera, or the folder demo of frames")
    add("-s", "--savepath", default=RESULT, metavar="PATH", help="a file, or a folder for <name>_res.png")
    add("-p", "--pos", action="append", type=int, nargs=2, metavar=("X", "Y"), help="a point on the object")
    add("--neg", action="append", type=int, nargs=2, metavar=("X", "Y"), help="a point off the object")
    add("--box", type=int, nargs=4, metavar=("X1", "Y1", "X2", "Y2"), help="a box around the object")
    add("--mask", metavar="FILE", help="a picture that is white on the object")
    add("--num_mask_mem", type=int, default=7, choices=range(8), help="remembered frames, the prompted one included")
    add("--max_obj_ptrs_in_encoder", type=int, default=16, choices=range(17), help="remembered object pointers")
    add("-m", "--model_type", default="hiera_l", help=f"{', '.join(MODELS)}, or a checkpoint file")
    add("--version", default="2", choices=("2", "2.1"), help="which release's weights")
    add("--onnx", action="store_true", help="run on onnxruntime")
    add("--legacy", action="store_true", help="the sample's older graphs; masklet has one set")
    add("--auto", action="store_true", help="find everything in the picture")
    add("--points_per_side", type=int, default=32)
    add("--points_per_batch", type=int, default=64)
    add("--pred_iou_thresh", type=float, default=0.8)
    add("--stability_score_thresh", type=float, default=0.95)
    add("--box_nms_thresh", type=float, default=0.7)
    add("-b", "--benchmark", action="store_true", help="tell how long it takes")
    add("-bc", "--benchmark_count", type=int, default=5, metavar="N", help="how often a picture is done then")
    add("--debug", action="store_true", help="after an error, show where it was raised")
    for name, default in IDLE.items():
        flag = ["-e", "--env_id"] if name == "env_id" else [f"--{name}"]
        add(*flag, default=default, help=argparse.SUPPRESS, **({"action": "store_true"} if default is False else {}))
    return parser


def _check(options: argparse.Namespace) -> None:
    """What the sample refuses is refused; what concerns its own runtime is said to do nothing."""
    if options.legacy and (options.auto or options.mask):
        raise SettingsError("bad-usage", "--legacy goes with neither --auto nor --mask")
    if options.auto and options.video is not None:
        raise SettingsError("bad-usage", "--auto is for pictures; leave --video out")
    if options.model_type not in MODELS and not Path(options.model_type).exists():
        message = f"--model_type {options.model_type}: neither {', '.join(MODELS)} nor a file"
        raise SettingsError("bad-usage", message)
    for name in [*IDLE, "legacy"]:
        if getattr(options, name) not in (None, False):
            say(f"--{name} concerns the sample's own runtime and changes nothing here")


def _model(options: argparse.Namespace) -> Segmenter:
    release = "sam2.1" if options.version == "2.1" else "sam2"
    name = f"{release}-{MODELS[options.model_type]}" if options.model_type in MODELS else options.model_type
    return masklet.load(locate_model(name), runtime="onnx" if options.onnx else None)


def _prompt(options: argparse.Namespace, clicks: Sequence[tuple[int, int]]) -> Prompt:
    """What the flags say about the one object; `clicks` on it where they say nothing."""
    positive, negative = options.pos or [], options.neg or []
    if not (positive or negative or options.box or options.mask):
        positive = clicks
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


def _pictures(options: argparse.Namespace) -> None:
    model = _model(options)
    paths = [path for name in options.input for path in _files(Path(name))]
    for path in paths:
        image = masklet.read_image(path)
        drawn = _timed(options, lambda image=image: (_found if options.auto else _asked)(model, image, options))
        target = _target(options, path, len(paths))
        _save(drawn, target)
        say(f"saved at: {target}")


def _asked(model: Segmenter, image: Any, options: argparse.Namespace) -> Any:
    """The picture with the best mask of the prompt, and with the prompt."""
    prompt = _prompt(options, CLICKS)
    return _marked(model.segment(image, prompt).best.overlay(image), prompt)


def _found(model: Segmenter, image: Any, options: argparse.Namespace) -> Any:
    """The picture with everything in it, small things over large ones."""
    search = MaskGeneratorOptions(
        points_per_side=options.points_per_side,
        points_per_batch=options.points_per_batch,
        pred_iou_thresh=options.pred_iou_thresh,
        stability_score_thresh=options.stability_score_thresh,
        box_nms_thresh=options.box_nms_thresh,
    )
    found = sorted(model.generate_masks(image, search), key=lambda one: -one.area)
    say(f"found {len(found)} masks")
    return drawing.draw_overlay(image, (rle.decode(one.rle) for one in found), range(1, len(found) + 1))


def _video(options: argparse.Namespace) -> None:
    demo = options.video == "demo"
    source: Any = open_video(int(options.video) if options.video.isdecimal() else options.video)
    prompt = _prompt(options, DEMO_CLICKS if demo else CLICKS)
    prompt.normalize_points(source.size)  # before anything is written
    backend: Any = ShortMemory(_model(options).backend, options.num_mask_mem, options.max_obj_ptrs_in_encoder)
    tracker = Tracker(backend, disk_cache=DiskCache(0))
    target, started, count = Path(CLIP if options.savepath == RESULT else options.savepath), time.monotonic(), 0
    if target.exists() and Path(options.video).exists() and target.samefile(options.video):
        raise SettingsError("bad-usage", f"{target} would be written over while it is read; give another --savepath")
    with closing(Recording(target, source.size)) as recording:
        for frame in source:
            if frame.index == 0:
                tracker.prompt(0, {1: prompt}, frame.image)
            drawn = tracker.step(frame.index, frame.image).overlay(frame.image)
            drawn = drawn if frame.index else _marked(drawn, prompt)
            recording.add(drawn, frame.index / RATE if frame.time is None else frame.time)
            count += 1
            if demo:
                _save(drawn, Path(f"video_{frame.index}.png"))
    if options.benchmark:
        say(f"total processing time {1000 * (time.monotonic() - started):.0f} ms for {count} frames")
    say(f"saved at: {target}")


@dataclass(frozen=True)
class ShortMemory:
    """A backend that looks at fewer memories: `frames` maps, the prompted ones' shared place included, `pointers`."""

    backend: Any
    frames: int
    pointers: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def attend(self, features: Features, recalls: Sequence[Recall]) -> Features:
        """The features as objects see them, each with a part of its memories."""
        return self.backend.attend(features, [self._short(recall) for recall in recalls])

    def _short(self, recall: Recall) -> Recall:
        if not self.frames:
            return Recall()
        spatial = [
            (slot, memory) for slot, memory in recall.spatial if slot in (MEMORY_SLOTS - 1, *range(self.frames - 1))
        ]
        prompted = {id(memory) for slot, memory in recall.spatial if slot == MEMORY_SLOTS - 1}
        near = [(ago, memory) for ago, memory in recall.pointers if ago < self.pointers or id(memory) in prompted]
        horizon = max(1, min(recall.horizon, self.pointers - 1))
        return replace(recall, spatial=tuple(spatial), pointers=tuple(near if self.pointers else ()), horizon=horizon)


def _marked(image: Any, prompt: Prompt) -> Any:
    """The picture with the prompt's points and box on it."""
    marked, colours = image.copy(), {1: (0, 255, 0), 0: (255, 0, 0)}
    corners = [
        tuple(point)
        for point, label in zip(prompt.points.astype(int).tolist(), prompt.labels, strict=True)
        if label > 1
    ]
    if corners:
        cv2.rectangle(marked, *corners, (2, 118, 2), 3)
    for point, label in zip(prompt.points.astype(int).tolist(), prompt.labels.tolist(), strict=True):
        if label in colours:
            cv2.drawMarker(marked, point, colours[label], cv2.MARKER_TILTED_CROSS, 30, 5, cv2.LINE_AA)
    return marked


def _timed(options: argparse.Namespace, work: Callable[[], Any]) -> Any:
    """What `work` gives; with --benchmark it is done several times, and their time told, without the first."""
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
    with atomic_write(target) as handle:
        Image.fromarray(drawn).save(handle, "PNG")


def _files(path: Path) -> list[Path]:
    from masklet.video.frame_folder import list_images

    return list_images(path) if path.is_dir() else [path]


def _target(options: argparse.Namespace, path: Path, count: int) -> Path:
    """Where the result of one picture goes: the file that was named, or `<name>_res.png` in a folder."""
    given = Path(options.savepath)
    if count == 1 and given.suffix:
        return given.with_suffix(".png")
    beside = path.parent.with_name(f"{path.parent.name}_results") if path.parent.name else Path("results")
    folder = beside if given.suffix else given
    with translate_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{path.stem}_res.png"


if __name__ == "__main__":
    raise SystemExit(main())
