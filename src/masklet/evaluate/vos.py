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
from masklet.evaluate.click_simulator import next_click, tight_box
from masklet.evaluate.predictions import Answers, Files, write_frame
from masklet.files.atomic import atomic_write
from masklet.files.json_fields import read_fields
from masklet.files.lock import Lock
from masklet.files.outputs import remove_folder, remove_unfinished
from masklet.files.translate import translate_write_errors
from masklet.masks.masks import Masks
from masklet.prompts import Prompt, mask
from masklet.segmenter import Segmenter
from masklet.tracking.disk_cache import History
from masklet.tracking.tracker import Tracker

if TYPE_CHECKING:
    from masklet.video import Video

Mask = NDArray[np.bool_]
Image = NDArray[np.uint8]

ANSWERS, RUN = "answers", "run.json"


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


def answer_clips(
    model: Segmenter, clips: Clips, first: FirstPrompt, folder: Path, files: Files, *, afresh: bool = False
) -> Iterator[int]:
    """Answer every clip below `folder/answers`, as the benchmark's server takes it; counts the frames as it goes.

    A run that was interrupted goes on with the first clip that is not finished; `afresh` begins again instead. Raises
    `StateError`: `resume-mismatch` if `folder` holds the answers of another model, prompt or data set, `job-locked`
    while another process works there; `ResourceError` (`output-exists`) if `folder/answers` is of no run.
    """
    with _held(folder):
        _check_owned(folder)
        remove_unfinished(folder / ANSWERS)
        if afresh:
            remove_folder(folder / ANSWERS)
            (folder / RUN).unlink(missing_ok=True)
        _check_run(folder, _identity(model, clips, first, files))
        answers = Answers(folder / ANSWERS)
        todo = (clips[name] for name in clips.names if not answers.has(name))
        frames = (frame for clip in todo for frame in answer_clip(model, clip, first, answers, files))
        for done, _ in enumerate(frames, start=1):
            yield done


def answer_clip(
    model: Segmenter, clip: AnnotatedClip, first: FirstPrompt, answers: Answers, files: Files
) -> Iterator[int]:
    """Follow a clip's objects, frame by frame, and write those frames that its benchmark wants, all or none.

    In label maps each pixel goes to the object that is surest of it; in masks per object, objects may overlap.
    """
    wanted = set(clip.wanted)
    with answers.writing(clip.name) as folder:
        for frame, masks in follow(model, clip, first):
            if frame in wanted:
                shown = masks.without_overlap() if files == "labels" else masks
                write_frame(folder, clip.frame_names[frame], shown, files)
            yield frame


def follow(model: Segmenter, clip: AnnotatedClip, first: FirstPrompt) -> Iterator[tuple[int, Masks]]:
    """Every frame of a clip with the masks of the objects that were shown so far or are shown on it.

    An object is shown on the first frame on which it has a mask, and followed to the end; objects do not influence
    each other, so that following them together is following each alone. Before its first frame an object's mask is
    empty. Raises `FormatError` if the clip has no masks to begin with.
    """
    starts = clip.first_masks()
    object_ids = sorted(key for truths in starts.values() for key in truths)
    with closing(clip.video()) as video:
        tracker = Tracker(model.backend, length=len(clip), history=History(0), zoom=model.zoom)
        for frame, image in pictures(video, range(len(clip))):
            if frame in starts:
                show(tracker, frame, image, starts[frame], first)
            found = tracker.step(frame, image) if tracker.tracks else Masks.empty(image.shape[:2])
            yield frame, _with_absent(found, object_ids)


def pictures(video: Video, numbers: range) -> Iterator[tuple[int, Image]]:
    """The frames of a range by number. Raises `VideoError` (`frame-corrupt`) for one that could not be decoded."""
    for frame in video.frames(numbers):
        if frame.corrupt:
            raise VideoError("frame-corrupt", f"{video.name}: frame {frame.index} is corrupt; scores would be wrong")
        yield frame.index, frame.image


def show(tracker: Tracker, frame: int, image: Image, truths: Mapping[int, Mask], first: FirstPrompt) -> None:
    """Prompt objects on a frame, each click where the mask of the earlier ones is most wrong."""
    if not first.clicks:
        prompt = mask if first.name == "mask" else tight_box
        tracker.prompt(frame, {key: prompt(truth) for key, truth in truths.items()}, image)
        return
    correct(tracker, frame, image, truths, {}, first.clicks)


def correct(
    tracker: Tracker, frame: int, image: Image, truths: Mapping[int, Mask], prompts: dict[int, Prompt], clicks: int
) -> None:
    """Add so many clicks to the `prompts` of objects on a frame, each where its mask is most wrong by then.

    An object whose mask is right gets none; `prompts` are changed.
    """
    for _ in range(clicks):
        masks = _masks_on(tracker, frame)
        found = {key: next_click(truth, masks.get(key)) for key, truth in truths.items()}
        new = {
            key: prompts[key] + click if key in prompts else click for key, click in found.items() if click is not None
        }
        if not new:
            return
        prompts.update(new)
        tracker.prompt(frame, new, image)


def _masks_on(tracker: Tracker, frame: int) -> dict[int, Mask]:
    """The masks that stand on a frame, of the objects that have an answer there."""
    answered = [key for key, track in tracker.tracks.items() if frame in track.answers]
    if not answered:
        return {}
    masks = tracker.masks(frame)
    return {key: masks.of(key).binary[0] for key in answered}


def _with_absent(masks: Masks, object_ids: list[int]) -> Masks:
    """Empty masks for the objects that have none yet, so that every object has a mask on every frame."""
    absent = [key for key in object_ids if key not in masks.object_ids]
    if not absent:
        return masks
    empty = Masks.from_binary(np.zeros((len(absent), *masks.size), bool), object_ids=absent)
    return Masks.join([masks, empty])


def _identity(model: Segmenter, clips: Clips, first: FirstPrompt, files: Files) -> dict[str, str]:
    """Whatever decides the answers."""
    return {
        "weights": model.backend.identity,
        "size": str(model.size),
        "data": f"{clips.kind} {clips.split}",
        "prompt": first.name,
        "zoom": f"{model.zoom:g}",
        "files": files,
    }


def _check_owned(folder: Path) -> None:
    """Raise `ResourceError` for answers that no run of ours wrote: they are neither gone on with nor removed."""
    answers = folder / ANSWERS
    with translate_write_errors(answers):
        empty = not os.path.lexists(answers) or (answers.is_dir() and not any(answers.iterdir()))
    if not empty and not _is_run(folder / RUN):
        message = f"{answers} has no record of a run ({RUN}) beside it; move it away or choose another folder"
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
    path = folder / RUN
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
def _held(folder: Path) -> Iterator[None]:
    with translate_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder / "lock")
    try:
        yield
    finally:
        lock.release()
