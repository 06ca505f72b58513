"""Interactive protocol for clips: a simulated user corrects masks with clicks, frame by frame, with any model.

Offline, the user views the whole clip, corrects its worst frame, and the clip is tracked again. Online, the user views
the clip once and corrects a frame as soon as its mask is bad; earlier frames do not change (SAM 2, appendix E.1.2).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from masklet.datasets.dataset import AnnotatedClip
from masklet.evaluate.j_and_f import JAndF, compute_j_and_f
from masklet.evaluate.vos import add_clicks, name_clip
from masklet.masks import rle
from masklet.masks.masks import Masks
from masklet.prompts import Prompt
from masklet.segmenter import Segmenter
from masklet.tracking.propagate import need_nothing, propagate
from masklet.tracking.tracker import Tracker
from masklet.tracking.traversal import VisitedFrame, visit_in_order

if TYPE_CHECKING:
    from masklet.video import Frame, Video

Mask = NDArray[np.bool_]
OnFrame = Callable[[], object]
Mode = Literal["offline", "online"]

CLICKS_PER_FRAME = 3  # on each prompted frame
MAX_ROUNDS = 8  # prompted frames of an object
MIN_IOU = 0.75  # online, frames below this IoU are corrected
FIND_FRAME_S, CLICK_S, WATCH_FRAME_S = 1.0, 1.5, 30 / 300  # a user's time per prompted frame, click, frame of the clip


@dataclass(frozen=True, slots=True)
class ObjectRounds:
    """Scores of one object of a clip after 1, 2, … prompted frames.

    Attributes:
        clip: The name of the clip.
        object_id: The id of the object in the ground truth.
        frames: The number of frames from the object's first frame on.
        rounds: J and F after each round, each the mean over the annotated frames from the object's first frame on.
        prompted: The prompted frames in their order.
        worst: The frame with the lowest J after the last round, and its mask as an RLE.
    """

    clip: str
    object_id: int
    frames: int
    rounds: tuple[JAndF, ...]
    prompted: tuple[int, ...]
    worst: tuple[int, Mapping[str, Any]] | None = None

    def estimate_user_seconds(self, mode: Mode) -> tuple[float, ...]:
        """Estimate a user's time for 1, 2, … prompted frames in seconds: to view the clip, find the frame and click."""
        watch_s = WATCH_FRAME_S * self.frames
        prompt_s = FIND_FRAME_S + CLICKS_PER_FRAME * CLICK_S
        counts = range(1, len(self.rounds) + 1)
        return tuple((watch_s + prompt_s) * n if mode == "offline" else watch_s + prompt_s * n for n in counts)


def evaluate_clip(
    model: Segmenter, clip: AnnotatedClip, mode: Mode, rounds: int = MAX_ROUNDS, on_frame: OnFrame = lambda: None
) -> list[ObjectRounds]:
    """Evaluate a model on every object of one clip with a simulated user.

    An object's clip starts on the frame on which the object first appears. Objects that start on the same frame are
    tracked together, which does not change their masks.

    Args:
        model: The model to evaluate.
        clip: The clip and its ground truth.
        mode: `offline` or `online`.
        rounds: The maximum number of prompted frames.
        on_frame: Called after every frame of every round.

    Returns:
        The scores of each object, in the order of object ids.

    Raises:
        MaskletError: The clip or its annotation cannot be read.
    """
    run = _run_offline if mode == "offline" else _run_online
    results: list[ObjectRounds] = []
    with name_clip(clip), closing(clip.video()) as video:
        for start, masks in clip.first_masks().items():
            results += run(model, _ClipPart(clip, video, start, tuple(masks), on_frame), rounds)
    return sorted(results, key=lambda result: result.object_id)


def compute_area_under_curve(values: Sequence[float]) -> float:
    """Compute the area under values at 1, 2, … prompted frames, divided by its width."""
    if len(values) == 1:
        return values[0]
    return (sum(values) - (values[0] + values[-1]) / 2) / (len(values) - 1)


@dataclass(frozen=True, slots=True, eq=False)
class _ClipPart:
    """The part of a clip from the frame `start` on, where the objects `keys` appear."""

    clip: AnnotatedClip
    video: Video
    start: int
    keys: tuple[int, ...]
    on_frame: OnFrame

    @property
    def frames(self) -> range:
        return range(self.start, len(self.clip))

    def create_tracker(self, model: Segmenter) -> Tracker:
        return Tracker(model.backend, length=len(self.frames), view=model.view, memory=model.memory)

    def visits(self) -> Iterator[VisitedFrame]:
        return visit_in_order(self.video.frames(self.frames))

    def read_masks(self, frame: int, keys: Iterable[int]) -> dict[int, Mask]:
        annotation = self.clip.annotation(frame)
        return {key: annotation.mask(key) for key in keys}


class _ScoreLog:
    """Scores of several objects by frame and by round."""

    def __init__(self, part: _ClipPart) -> None:
        self.part = part
        self.scores: dict[int, dict[int, JAndF]] = {key: {} for key in part.keys}
        self.rles: dict[int, dict[int, Mapping[str, Any]]] = {key: {} for key in part.keys}
        self.rounds: dict[int, list[JAndF]] = {key: [] for key in part.keys}
        self.prompted: dict[int, list[int]] = {key: [] for key in part.keys}

    def record(self, frame: int, masks: Masks) -> dict[int, float]:
        """Score the masks of an annotated frame and return J of each object."""
        annotation = self.part.clip.annotation(frame)
        for key in self.part.keys:
            predicted = masks.of(key).binary[0]
            self.scores[key][frame] = compute_j_and_f(annotation.mask(key), predicted, annotation.void)
            self.rles[key][frame] = rle.encode(predicted)
        return {key: scores[frame].j for key, scores in self.scores.items()}

    def end_round(self) -> None:
        """Average the current scores of all frames as the result of a round."""
        for key, scores in self.scores.items():
            j, f = np.mean(list(scores.values()), axis=0).tolist()
            self.rounds[key].append(JAndF(j, f))

    def find_worst_frame(self, key: int) -> int:
        """Return the frame with the lowest J of an object, the first of equal ones."""
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
    """Correct the worst frame of each object in every round and track the whole clip again."""
    log, tracker = _ScoreLog(part), part.create_tracker(model)
    prompts: dict[int, dict[int, Prompt]] = defaultdict(dict)  # by frame and object; clicks of all rounds
    pending = dict.fromkeys(part.keys, part.start)
    for _ in range(rounds):
        for frame in sorted(set(pending.values())):
            keys = [key for key in part.keys if pending[key] == frame]
            add_clicks(
                tracker, frame, part.video[frame], part.read_masks(frame, keys), prompts[frame], CLICKS_PER_FRAME
            )
            for key in keys:
                log.prompted[key].append(frame)
        for tracked in propagate(tracker, part.visits(), on_corrupt="raise"):
            if tracked.index in part.clip.annotations:
                log.record(tracked.index, tracked.masks)
            part.on_frame()
        for frame in tracker.settle(part.frames[-1]):
            if frame in part.clip.annotations:
                log.record(frame, tracker.masks(frame))
        log.end_round()
        pending = {key: log.find_worst_frame(key) for key in part.keys}
    return log.build_results()


def _run_online(model: Segmenter, part: _ClipPart, rounds: int) -> list[ObjectRounds]:
    """Make one pass through the clip per round, and prompt one frame more in each: the next one with a bad mask."""
    log = _ScoreLog(part)
    for max_prompted in range(1, rounds + 1):
        log.prompted = _run_online_pass(model, part, max_prompted, log)
        log.end_round()
    return log.build_results()


def _run_online_pass(model: Segmenter, part: _ClipPart, max_prompted: int, log: _ScoreLog) -> dict[int, list[int]]:
    """Track the clip once, prompt at most `max_prompted` frames of each object, and return these frames."""
    tracker = part.create_tracker(model)
    prompted: dict[int, list[int]] = {key: [] for key in part.keys}

    def correct(frame: int, decoded: Frame, masks: Masks) -> Masks:
        bad = list(part.keys) if frame == part.start else []
        if len(masks) and frame in part.clip.annotations:
            j = log.record(frame, masks)
            bad = [key for key in part.keys if j[key] < MIN_IOU and len(prompted[key]) < max_prompted]
        if not bad:
            return masks
        add_clicks(tracker, frame, decoded.image, part.read_masks(frame, bad), {}, CLICKS_PER_FRAME)
        corrected = tracker.step(frame, decoded.image)
        log.record(frame, corrected)
        for key in bad:
            prompted[key].append(frame)
        return corrected

    for _ in propagate(tracker, part.visits(), after=correct, on_corrupt="raise", needed=need_nothing):
        part.on_frame()
    return prompted
