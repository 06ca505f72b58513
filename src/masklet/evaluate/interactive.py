"""Let a simulated user correct the worst frame, again and again: interactive segmentation of clips, over any model.

Offline, the user looks through the whole clip, corrects the worst frame, and the clip is done anew; online, the user
watches once and corrects where the mask gets bad, and nothing that was seen is changed (SAM 2, appendix E.1.2).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedClip
from masklet.evaluate.j_and_f import JAndF, compute_j_and_f
from masklet.evaluate.vos import add_clicks, read_frames
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.prompts import Prompt
from masklet.segmenter import Segmenter
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.tracker import Tracker

if TYPE_CHECKING:
    from masklet.video import Video

Mask = NDArray[np.bool_]
OnFrame = Callable[[], object]
Mode = Literal["offline", "online"]

CLICKS_PER_FRAME = 3  # per frame that is prompted
MAX_ROUNDS = 8  # frames that are prompted
MIN_IOU = 0.75  # online, a frame whose IoU is below is corrected
FIND_FRAME_S, CLICK_S, WATCH_FRAME_S = 1.0, 1.5, 30 / 300  # a frame, a point, one frame of a clip


@dataclass(frozen=True, slots=True)
class ObjectRounds:
    """One object of a clip: J and F after 1, 2, … prompted frames, and the frames that were prompted last.

    J and F are means over the annotated frames from the object's first on. `worst` is the frame with the lowest J after
    the last round, and its mask as a run-length code.
    """

    clip: str
    object_id: int
    frames: int
    rounds: tuple[JAndF, ...]
    prompted: tuple[int, ...]
    worst: tuple[int, Mapping[str, Any]] | None = None

    def estimate_user_seconds(self, mode: Mode) -> tuple[float, ...]:
        """How long a user would take for 1, 2, … prompted frames: to watch, to find a frame and to click on it."""
        watching = WATCH_FRAME_S * self.frames
        prompting = FIND_FRAME_S + CLICKS_PER_FRAME * CLICK_S
        counts = range(1, len(self.rounds) + 1)
        return tuple((watching + prompting) * n if mode == "offline" else watching + prompting * n for n in counts)


def evaluate_clip(
    model: Segmenter, clip: AnnotatedClip, mode: Mode, rounds: int = MAX_ROUNDS, on_frame: OnFrame = lambda: None
) -> list[ObjectRounds]:
    """The rounds of every object of one clip, by object id.

    An object's clip starts where the object first appears. Objects that start together are followed together, which
    changes nothing, since objects do not influence each other. `tick` is called after every frame of every round.
    Raises what the clip's readers raise.
    """
    play = _run_offline if mode == "offline" else _run_online
    results: list[ObjectRounds] = []
    with closing(clip.video()) as video:
        for start, truths in clip.first_masks().items():
            results += play(model, _ClipPart(clip, video, start, tuple(truths), on_frame), rounds)
    return sorted(results, key=lambda result: result.object_id)


def compute_area_under_curve(values: Sequence[float]) -> float:
    """The mean height of the line through values at 1, 2, … prompted frames."""
    if len(values) == 1:
        return values[0]
    return (sum(values) - (values[0] + values[-1]) / 2) / (len(values) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class _ClipPart:
    """What is played: a clip from the frame on which some objects, `keys`, appear together."""

    clip: AnnotatedClip
    video: Video
    start: int
    keys: tuple[int, ...]
    on_frame: OnFrame

    @property
    def frames(self) -> range:
        return range(self.start, len(self.clip))

    def create_tracker(self, model: Segmenter, history: DiskCache | None = None) -> Tracker:
        return Tracker(model.backend, length=len(self.frames), disk_cache=history, zoom=model.zoom)

    def read_masks(self, frame: int, keys: Iterable[int]) -> dict[int, Mask]:
        annotation = self.clip.annotation(frame)
        return {key: annotation.mask(key) for key in keys}


class _ScoreLog:
    """J and F of some objects by frame, and after each round."""

    def __init__(self, part: _ClipPart) -> None:
        self.part = part
        self.scores: dict[int, dict[int, JAndF]] = {key: {} for key in part.keys}
        self.rles: dict[int, dict[int, Mapping[str, Any]]] = {key: {} for key in part.keys}
        self.rounds: dict[int, list[JAndF]] = {key: [] for key in part.keys}
        self.prompted: dict[int, list[int]] = {key: [] for key in part.keys}

    def record(self, frame: int, masks: Masks) -> dict[int, float]:
        """Compares the masks of an annotated frame with the truth; gives J of each object."""
        annotation = self.part.clip.annotation(frame)
        for key in self.part.keys:
            found = masks.of(key).binary[0]
            self.scores[key][frame] = compute_j_and_f(annotation.mask(key), found, annotation.void)
            self.rles[key][frame] = rle.encode(found)
        return {key: scores[frame].j for key, scores in self.scores.items()}

    def end_round(self) -> None:
        """Sums up what was noted since the last round."""
        for key, scores in self.scores.items():
            j, f = np.mean(list(scores.values()), axis=0).tolist()
            self.rounds[key].append(JAndF(j, f))

    def find_worst_frame(self, key: int) -> int:
        """The frame with the lowest J of an object, the first of equals."""
        scores = self.scores[key]
        return min(scores, key=lambda frame: scores[frame].j)

    def build_results(self) -> list[ObjectRounds]:
        name, length = self.part.clip.name, len(self.part.frames)
        worst = {key: self.find_worst_frame(key) for key in self.part.keys}
        return [
            ObjectRounds(
                name,
                key,
                length,
                tuple(self.rounds[key]),
                tuple(self.prompted[key]),
                (worst[key], self.rles[key][worst[key]]),
            )
            for key in self.part.keys
        ]


def _run_offline(model: Segmenter, part: _ClipPart, rounds: int) -> list[ObjectRounds]:
    """Every round corrects each object's worst frame of the round before and goes through the clip anew."""
    log, tracker = _ScoreLog(part), part.create_tracker(model)
    prompts: dict[int, dict[int, Prompt]] = defaultdict(dict)  # by frame and object; earlier clicks are kept
    due = dict.fromkeys(part.keys, part.start)
    for _ in range(rounds):
        for frame in sorted(set(due.values())):
            keys = [key for key in part.keys if due[key] == frame]
            add_clicks(
                tracker, frame, part.video[frame], part.read_masks(frame, keys), prompts[frame], CLICKS_PER_FRAME
            )
            for key in keys:
                log.prompted[key].append(frame)
        for frame, image in read_frames(part.video, part.frames):
            masks = tracker.step(frame, image)
            if frame in part.clip.annotations:
                log.record(frame, masks)
            part.on_frame()
        log.end_round()
        due = {key: log.find_worst_frame(key) for key in part.keys}
    return log.build_results()


def _run_online(model: Segmenter, part: _ClipPart, rounds: int) -> list[ObjectRounds]:
    """Every round is one pass with one more frame to prompt: where the mask first gets bad, and so on."""
    log = _ScoreLog(part)
    for allowed in range(1, rounds + 1):
        log.prompted = _run_online_pass(model, part, allowed, log)
        log.end_round()
    return log.build_results()


def _run_online_pass(model: Segmenter, part: _ClipPart, allowed: int, log: _ScoreLog) -> dict[int, list[int]]:
    """Watch once, prompting at most so many frames of each object; which they were."""
    tracker = part.create_tracker(model, DiskCache(0))
    prompted: dict[int, list[int]] = {key: [] for key in part.keys}
    for frame, image in read_frames(part.video, part.frames):
        bad = list(part.keys) if frame == part.start else []
        masks = tracker.step(frame, image) if tracker.tracks else None
        if masks is not None and frame in part.clip.annotations:
            j = log.record(frame, masks)
            bad = [key for key in part.keys if j[key] < MIN_IOU and len(prompted[key]) < allowed]
        if bad:
            add_clicks(tracker, frame, image, part.read_masks(frame, bad), {}, CLICKS_PER_FRAME)
            log.record(frame, tracker.step(frame, image))
            for key in bad:
                prompted[key].append(frame)
        part.on_frame()
    return prompted
