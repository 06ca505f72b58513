"""Show a model each object once and let it follow: semi-supervised segmentation of clips, over any model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedClip, Clips
from masklet.errors import FormatError, InputNotFound, ResourceError, SettingsError, StateError, VideoError
from masklet.evaluate.click_simulator import simulate_box, simulate_click
from masklet.evaluate.predictions import PredictionFolder, PredictionLayout, write_frame
from masklet.files.atomic import atomic_write
from masklet.files.json_fields import read_fields
from masklet.files.lock import Lock
from masklet.files.outputs import remove_folder, remove_partial_folders
from masklet.files.translate import translate_write_errors
from masklet.masks.masks import Masks
from masklet.prompts import Prompt, mask
from masklet.segmenter import Segmenter
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.tracker import Tracker

if TYPE_CHECKING:
    from masklet.video import Video

Mask = NDArray[np.bool_]
Image = NDArray[np.uint8]

PREDICTIONS, RUN_FILE = "answers", "run.json"


@dataclass(frozen=True, slots=True)
class FirstPrompt:
    """How an object is shown on its first frame: by its `mask`, its `box`, or by so many `clicks`."""

    name: str
    clicks: int = 0

    @staticmethod
    def parse(text: str) -> FirstPrompt:
        """From `mask`, `box`, `1-click`, `3-click`, … Raises `SettingsError` for anything else."""
        number = re.fullmatch(r"([1-9]\d?)-clicks?", text)
        if number is None and text not in ("mask", "box"):
            raise SettingsError("bad-usage", f"objects are shown by mask, box, 1-click, 3-click, …, got {text!r}")
        return FirstPrompt(f"{number[1]}-click", int(number[1])) if number else FirstPrompt(text)


def predict_clips(
    model: Segmenter,
    clips: Clips,
    first_prompt: FirstPrompt,
    folder: Path,
    layout: PredictionLayout,
    *,
    restart: bool = False,
) -> Iterator[int]:
    """Answer every clip below `folder/answers`, as the benchmark's server takes it; counts the frames as it goes.

    A run that was interrupted goes on with the first clip that is not finished; `afresh` begins again instead. Raises
    `StateError`: `resume-mismatch` if `folder` holds the answers of another model, prompt or data set, `job-locked`
    while another process works there; `ResourceError` (`output-exists`) if `folder/answers` is of no run.
    """
    with _lock_folder(folder):
        _check_ownership(folder)
        remove_partial_folders(folder / PREDICTIONS)
        if restart:
            remove_folder(folder / PREDICTIONS)
            (folder / RUN_FILE).unlink(missing_ok=True)
        _check_run(folder, _describe_run(model, clips, first_prompt, layout))
        answers = PredictionFolder(folder / PREDICTIONS)
        todo = (clips[name] for name in clips.names if not answers.has_clip(name))
        frames = (frame for clip in todo for frame in predict_clip(model, clip, first_prompt, answers, layout))
        for done, _ in enumerate(frames, start=1):
            yield done


def predict_clip(
    model: Segmenter,
    clip: AnnotatedClip,
    first_prompt: FirstPrompt,
    predictions: PredictionFolder,
    layout: PredictionLayout,
) -> Iterator[int]:
    """Follow a clip's objects, frame by frame, and write those frames that its benchmark wants, all or none.

    In label maps each pixel goes to the object that is surest of it; in masks per object, objects may overlap.
    """
    wanted = set(clip.wanted)
    with predictions.write_clip(clip.name) as folder:
        for frame, masks in track_clip(model, clip, first_prompt):
            if frame in wanted:
                shown = masks.remove_overlap() if layout == "labels" else masks
                write_frame(folder, clip.frame_names[frame], shown, layout)
            yield frame


def track_clip(model: Segmenter, clip: AnnotatedClip, first_prompt: FirstPrompt) -> Iterator[tuple[int, Masks]]:
    """Every frame of a clip with the masks of the objects that were shown so far or are shown on it.

    An object is shown on the first frame on which it has a mask, and followed to the end; objects do not influence
    each other, so that following them together is following each alone. Before its first frame an object's mask is
    empty. Raises `FormatError` if the clip has no masks to begin with.
    """
    starts = clip.first_masks()
    object_ids = sorted(key for truths in starts.values() for key in truths)
    with closing(clip.video()) as video:
        tracker = Tracker(model.backend, length=len(clip), disk_cache=DiskCache(0), zoom=model.zoom)
        for frame, image in read_frames(video, range(len(clip))):
            if frame in starts:
                prompt_objects(tracker, frame, image, starts[frame], first_prompt)
            found = tracker.step(frame, image) if tracker.tracks else Masks.empty(image.shape[:2])
            yield frame, _add_absent_objects(found, object_ids)


def read_frames(video: Video, numbers: range) -> Iterator[tuple[int, Image]]:
    """The frames of a range by number. Raises `VideoError` (`frame-corrupt`) for one that could not be decoded."""
    for frame in video.frames(numbers):
        if frame.corrupt:
            raise VideoError("frame-corrupt", f"{video.name}: frame {frame.index} is corrupt; scores would be wrong")
        yield frame.index, frame.image


def prompt_objects(
    tracker: Tracker, frame: int, image: Image, ground_truths: Mapping[int, Mask], first_prompt: FirstPrompt
) -> None:
    """Prompt objects on a frame, each click where the mask of the earlier ones is most wrong."""
    if not first_prompt.clicks:
        prompt = mask if first_prompt.name == "mask" else simulate_box
        tracker.prompt(frame, {key: prompt(truth) for key, truth in ground_truths.items()}, image)
        return
    add_clicks(tracker, frame, image, ground_truths, {}, first_prompt.clicks)


def add_clicks(
    tracker: Tracker,
    frame: int,
    image: Image,
    ground_truths: Mapping[int, Mask],
    prompts: dict[int, Prompt],
    clicks: int,
) -> None:
    """Add so many clicks to the `prompts` of objects on a frame, each where its mask is most wrong by then.

    An object whose mask is right gets none; `prompts` are changed.
    """
    for _ in range(clicks):
        masks = _read_masks(tracker, frame)
        found = {key: simulate_click(truth, masks.get(key)) for key, truth in ground_truths.items()}
        new = {
            key: prompts[key] + click if key in prompts else click for key, click in found.items() if click is not None
        }
        if not new:
            return
        prompts.update(new)
        tracker.prompt(frame, new, image)


def _read_masks(tracker: Tracker, frame: int) -> dict[int, Mask]:
    """The masks that stand on a frame, of the objects that have an answer there."""
    answered = [key for key, track in tracker.tracks.items() if frame in track.results]
    if not answered:
        return {}
    masks = tracker.masks(frame)
    return {key: masks.of(key).binary[0] for key in answered}


def _add_absent_objects(masks: Masks, object_ids: list[int]) -> Masks:
    """Empty masks for the objects that have none yet, so that every object has a mask on every frame."""
    absent = [key for key in object_ids if key not in masks.object_ids]
    if not absent:
        return masks
    empty = Masks.from_binary(np.zeros((len(absent), *masks.size), bool), object_ids=absent)
    return Masks.join([masks, empty])


def _describe_run(model: Segmenter, clips: Clips, first: FirstPrompt, files: PredictionLayout) -> dict[str, str]:
    """Whatever decides the answers."""
    return {
        "weights": model.backend.identity,
        "size": str(model.input_size),
        "data": f"{clips.kind} {clips.split}",
        "prompt": first.name,
        "zoom": f"{model.zoom:g}",
        "files": files,
    }


def _check_ownership(folder: Path) -> None:
    """Raise `ResourceError` for answers that no run of ours wrote: they are neither gone on with nor removed."""
    answers = folder / PREDICTIONS
    with translate_write_errors(answers):
        empty = not os.path.lexists(answers) or (answers.is_dir() and not any(answers.iterdir()))
    if not empty and not _is_run(folder / RUN_FILE):
        message = f"{answers} has no record of a run ({RUN_FILE}) beside it; move it away or choose another folder"
        raise ResourceError("output-exists", message)


def _is_run(path: Path) -> bool:
    """Whether a file is the record of a run, as `_check_run` writes it."""
    if not path.is_file():
        return False
    try:
        return read_fields(path).names >= {"weights", "data", "prompt"}
    except (FormatError, InputNotFound):
        return False


def _check_run(folder: Path, identity: Mapping[str, str]) -> None:
    """Notes what is being answered, or refuses to mix it with something else."""
    path = folder / RUN_FILE
    if not path.is_file():
        with atomic_write(path) as handle:
            handle.write(json.dumps(identity, indent=1).encode())
        return
    before = {"zoom": "0", **read_fields(path).value}  # which answers of old do not say
    other = [key for key, value in identity.items() if before.get(key) != value]
    if other:
        what = f"{other[0]} {before.get(other[0])!r}, not {identity[other[0]]!r}"
        raise StateError("resume-mismatch", f"{folder} holds answers for {what}; choose another folder, or --overwrite")


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    with translate_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder / "lock")
    try:
        yield
    finally:
        lock.release()
