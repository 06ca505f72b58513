"""Follows objects through frames: which were prompted, what was answered, what to recall. No array is touched here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar

from masklet.backend import NO_PROMPT, Backend, Decoded, Features, Memory, build_query, describe
from masklet.errors import PromptError, SettingsError, StateError, VideoError
from masklet.masks.masks import Masks, format_object_ids
from masklet.masks.postprocessing import NO_POSTPROCESSING, PostProcessing
from masklet.predict.crop import (
    ZOOM_PASSES,
    Crop,
    change_crop,
    check_zoom,
    crop_around,
    full_crop,
    include_points,
    paste_masks,
    positive_points,
    prompt_box,
    widen_crop,
)
from masklet.prompts import Prompt, Prompts, group_by_object, refuse_sam2_arguments
from masklet.tracking.disk_cache import DiskCache, SpilledDict, numbers
from masklet.tracking.memory_bank import MemoryBank, find_unreachable
from masklet.tracking.object_track import ObjectResult, ObjectTrack

Image = Any  # (H, W, 3) uint8 RGB; whoever needs its numbers is below the seam

Value = TypeVar("Value")

NEAR = 5  # frames: a prompt this close says enough about a doubtful mask


class Frames(Protocol):
    """What a tracker needs of a video, so that earlier frames can be prompted again."""

    def __getitem__(self, index: int) -> Image: ...


class Tracker:
    """Objects in a video or a stream. Frames come in any order; memory does not grow with their number.

    A frame is given as an image (H, W, 3) uint8 RGB with its number, or by its number alone where the tracker has a
    `video`. `length` is the number of frames where it is known and short clips should be answered as the reference
    implementation does; a stream leaves it out. `history` keeps what corrections in the past need, on disk; with
    `DiskCache(0)` nothing is kept, and a correction recalls only prompted frames and those just tracked. `cleaning` says
    what is done to masks after the network, and whether the cleaned ones are remembered; by default nothing is done.

    With a `zoom` each object is seen, answered and remembered in a window that goes with it, so many times as long as
    the object: what is small becomes visible, and every object costs an encoding of its own. A window grows while its
    object is not found. Raises `SettingsError` for a zoom below 1, or where objects are to be remembered apart.
    """

    def __init__(
        self,
        backend: Backend,
        video: Frames | None = None,
        *,
        length: int | None = None,
        disk_cache: DiskCache | None = None,
        postprocessing: PostProcessing = NO_POSTPROCESSING,
        zoom: float = 0.0,
    ) -> None:
        self.backend = backend
        self.video = video
        self.length = length
        self.disk_cache = DiskCache() if disk_cache is None else disk_cache
        self.postprocessing = postprocessing
        self.zoom = check_zoom_options(zoom, postprocessing)
        self.tracks: dict[int, ObjectTrack] = {}
        self.size: tuple[int, int] | None = None
        self._stamps = count(1)
        self._frame: _Frame | None = None

    def __repr__(self) -> str:
        zoom = f", zoom {self.zoom:g}" if self.zoom else ""
        return f"Tracker({describe(self.backend)}{zoom}, object_ids={format_object_ids(self.object_ids)})"

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The objects, in the order in which they were first prompted."""
        return tuple(self.tracks)

    @refuse_sam2_arguments("tracker.prompt(frame, {}, image)")
    def prompt(self, frame: int, prompts: Prompts, image: Image | None = None) -> Masks:
        """Prompt objects, new or known, on any frame, and see all objects' masks there.

        `prompts` are what `EmbeddedImage.predict` takes: one prompt of object 1, several of objects 1, 2, …, or
        `{object_id: prompt}`.

        A prompt replaces the earlier one of the same object on the same frame but starts from the mask found so far.
        It stands: tracking never overwrites it and every other frame recalls it. On a frame that was already tracked
        it is a correction, which sees the object's memories. A mask alone is taken as it is given.

        Raises `PromptError` for prompts that lie outside the picture and for anything that is no prompt, `StateError`
        where the image is missing.
        """
        named = group_by_object(prompts, f"tracker.prompt({frame if isinstance(frame, int) else 0}, {{}}, image)")
        self._open(frame, image)
        for prompt in named.values():
            prompt.normalize_points(self._size)  # before any object changes
        order = dict.fromkeys((*self.tracks, *named))
        given = {key: prompt for key, prompt in named.items() if not prompt.point_count}
        asked = {key: prompt for key, prompt in named.items() if key not in given}
        for window, together in _by_window(given, lambda key: self._around(frame, key, given[key])):
            self._settle(frame, together, window, self._adopted(together, window))
        whole: Mapping[int, Prompt] = {}
        for window, together in _by_window(asked, lambda key: self._around(frame, key, asked[key])):
            self._settle(frame, together, window, self._asked(frame, together, window))
            whole = together if window is None else whole
        for _ in range(ZOOM_PASSES if whole else 0):
            for window, together in _by_window(whole, lambda key: self._around(frame, key, whole[key])):
                if window is not None:  # where something was found in the whole picture: looked at closer
                    self._settle(frame, together, window, self._asked(frame, together, window))
        self.tracks = {key: self.tracks[key] for key in order}  # as they were said, however they were grouped
        return self.masks(frame)

    def step(self, frame: int, image: Image | None = None, *, direction: int = 1) -> Masks:
        """Track every object to `frame`, walking forward (`step` 1) or backward (−1), and give their masks.

        Objects whose answer would come out the same are not computed again.
        """
        if not self.tracks:
            raise StateError("no-prompts", "nothing to track; prompt an object first")
        due = self._due(frame, direction)
        if due:
            self._open(frame, image)
        for window, together in _by_window(due, lambda key: self._view(due[key], frame, direction)):
            self._track(frame, together, window, direction)
        for track in self.tracks.values():
            if frame in track.prompts:
                track.results[frame] = track.results[frame]._replace(direction=direction)
            self._trim(track, frame, direction)
        masks = self.masks(frame)
        for track, doubt in zip(self.tracks.values(), masks.uncertainty.tolist(), strict=True):
            track.note_uncertainty(frame, doubt)
        return masks

    def suggest(self) -> tuple[int, int] | None:
        """The frame and the object whose mask is most in doubt, far enough from what was prompted: annotate it next."""
        doubtful = [
            (doubt, -frame, key)
            for key, track in self.tracks.items()
            for frame, doubt in track.uncertainties.items()
            if all(abs(frame - prompted) > NEAR for prompted in track.prompts)
        ]
        return (-max(doubtful)[1], max(doubtful)[2]) if doubtful else None

    def masks(self, frame: int) -> Masks:
        """The masks of all objects on `frame` as they stand; an object without an answer there is hidden."""
        if self.size is None:
            raise StateError("no-prompts", "nothing to show; prompt an object first")
        answers = [track.results.get(frame) for track in self.tracks.values()]
        if not answers:
            return Masks.empty(self.size)
        logits, iou, score = self.backend.fetch([None if answer is None else answer.decoded for answer in answers])
        found = Masks.from_logits(logits, self.size, scores=iou, object_ids=self.object_ids, object_scores=score)
        found = self.postprocessing.fill_and_remove(found)
        windows = [None if answer is None else answer.crop for answer in answers]
        return self.postprocessing.separate(paste_masks(found, windows))

    def remove_prompt(self, frame: int, object_id: int) -> None:
        """Take an object's prompt on `frame` back; an object that loses its last prompt is removed."""
        track = self._known(object_id)
        if track.prompts.pop(frame, None) is None:
            raise PromptError("unknown-frame", f"object {object_id} has no prompt on frame {frame}")
        track.bank.forget(frame)
        del track.results[frame]
        if not track.prompts:
            self.remove_object(object_id)

    def remove_object(self, object_id: int) -> None:
        """Forget an object; the others' masks do not change."""
        track = self._known(object_id)
        del self.tracks[object_id]
        track.results.clear()
        track.recent.clear()

    def save(self, path: str | Path) -> None:
        """Write everything to one file, whole or not at all: prompts, masks, memories and which model they are of."""
        from masklet.tracking.session_file import write_session

        write_session(self, Path(path))

    def _known(self, object_id: int) -> ObjectTrack:
        if object_id not in self.tracks:
            raise PromptError("unknown-object", f"no object {object_id}; there are {list(self.tracks) or 'none'}")
        return self.tracks[object_id]

    def _around(self, frame: int, key: int, prompt: Prompt) -> Crop | None:
        """Where an object is looked at: where the prompt says it is, else where it was found so far; None: everywhere.

        So too where the window would be most of the picture, or the prompt would say nothing of it.
        """
        box = prompt_box(prompt, self._size) if self.zoom else None
        if self.zoom and box is None and prompt.point_count and key in self.tracks:
            before = self.tracks[key].results.get(frame)
            box = before and self._box(before, positive_points(prompt) if before.crop is None else None)
        window = None if box is None else crop_around(include_points(box, prompt), self._size, self.zoom)
        return window if window and window.to_crop(prompt, self._size) else None

    def _adopted(self, prompts: Mapping[int, Prompt], window: Crop | None) -> Decoded:
        told = [self._told(prompt, window).mask for prompt in prompts.values()]
        return self.backend.use_masks(self._features(window), [mask for mask in told if mask is not None])

    def _asked(self, frame: int, prompts: Mapping[int, Prompt], window: Crop | None) -> Decoded:
        """Decode clicks and boxes, each from the mask found so far and, on a tracked frame, with memories; in a window
        once more from the mask found there."""
        recalls, queries = [], []
        for key, prompt in prompts.items():
            track = self.tracks.get(key) or self.create_track(key)
            before = track.results.get(frame)
            tracked = before is not None and before.direction != 0
            bank = track.bank if tracked else MemoryBank()
            recalls.append(bank.recall(frame, before.direction if before and tracked else 1, length=self.length))
            told = self._told(prompt, window)
            mask = told.mask if told.mask is not None or before is None else self._seen(before, window)
            size = self._size if window is None else window.size
            queries.append(
                build_query(told.normalize_points(size), told.labels, mask, ambiguous=prompt.point_count <= 1)
            )
        seen = self.backend.attend(self._features(window), recalls)
        decoded = self.backend.decode(seen, queries, hide=True)
        if window is None or all(prompt.mask is not None for prompt in prompts.values()):
            return decoded
        again = [
            query if prompt.mask is not None else query._replace(mask=decoded.at(row).logits)
            for row, (query, prompt) in enumerate(zip(queries, prompts.values(), strict=True))
        ]
        return self.backend.decode(seen, again, hide=True)

    def _told(self, prompt: Prompt, window: Crop | None) -> Prompt:
        """A prompt on the picture as one on the window."""
        if window is None:
            return prompt
        told = window.to_crop(prompt, self._size)
        assert told is not None, "a prompt says something of the window that is chosen for it"
        return told

    def _seen(self, answer: ObjectResult, window: Crop | None) -> Any:
        """The logits of an answer as they look in another window than theirs."""
        if answer.crop == window:
            return answer.decoded.logits
        return change_crop(self.backend.fetch([answer.decoded]).logits[0], answer.crop, window, self._size)

    def _box(self, answer: ObjectResult, on: Any = None) -> Any:
        """The box of the mask of an answer, or of what is clicked of it, in the picture; None of an empty one."""
        window = answer.crop or full_crop(self._size)
        return window.find_box(self.backend.fetch([answer.decoded]).logits[0], on)

    def _view(self, track: ObjectTrack, frame: int, step: int) -> Crop | None:
        """Where an object is looked for on `frame`: where it was on the nearest frame, or wider if it was not found."""
        if not self.zoom:
            return None
        answer = track.results[track.nearest_recalled(frame, step)]
        box = self._box(answer)
        if box is None:
            return widen_crop(answer.crop, self._size)
        return crop_around(box, self._size, self.zoom, answer.crop)

    def _settle(self, frame: int, prompts: Mapping[int, Prompt], window: Crop | None, decoded: Decoded) -> None:
        """Prompted answers stand and are memorized at once."""
        decoded = self._cleaned(frame, prompts, decoded)
        memories = self.backend.memorize(self._features(window), decoded, [True] * len(prompts))
        for row, (key, prompt) in enumerate(prompts.items()):
            track = self.tracks.setdefault(key, self.create_track(key))
            before = track.results.get(frame)
            track.prompts[frame] = prompt
            track.bank.remember(frame, memories[row], prompted=True)
            step = before.direction if before else 0
            track.results[frame] = ObjectResult(decoded.at(row), step, 0, next(self._stamps), window)

    def _track(self, frame: int, due: Mapping[int, ObjectTrack], window: Crop | None, step: int) -> None:
        features = self._features(window)
        bases = [self._basis(track, frame, step) for track in due.values()]
        recalls = [track.bank.recall(frame, step, length=self.length) for track in due.values()]
        seen = self.backend.attend(features, recalls)
        decoded = self._cleaned(frame, due, self.backend.decode(seen, [NO_PROMPT] * len(due), hide=True))
        memories = self.backend.memorize(features, decoded, [False] * len(due))
        for row, track in enumerate(due.values()):
            track.bank.remember(frame, memories[row])
            track.results[frame] = ObjectResult(decoded.at(row), step, bases[row], next(self._stamps), window)

    def _due(self, frame: int, step: int) -> dict[int, ObjectTrack]:
        """The objects whose answer on `frame` might come out another one. Objects that are kept apart are answered
        together; what was prompted stands."""
        unprompted = {key: track for key, track in self.tracks.items() if frame not in track.prompts}
        due = {key: track for key, track in unprompted.items() if not self._stands(track, frame, step)}
        return unprompted if due and self._together else due

    def _stands(self, track: ObjectTrack, frame: int, step: int) -> bool:
        """Whether a tracked answer would come out the same again."""
        answer = track.results.get(frame)
        return answer is not None and answer.direction == step and answer.basis == self._basis(track, frame, step)

    def _basis(self, track: ObjectTrack, frame: int, step: int) -> int:
        """A number for all that an answer on `frame` depends on; while it stays the same, so does the answer."""
        if not self._together:
            return track.basis(frame, step)
        return hash(tuple((key, one.basis(frame, step)) for key, one in self.tracks.items()))

    @property
    def _together(self) -> bool:
        """Whether what is remembered of one object depends on the others."""
        return self.postprocessing.in_memory and self.postprocessing.non_overlapping

    def _cleaned(self, frame: int, keys: Iterable[int], decoded: Decoded) -> Decoded:
        """What is remembered of the objects `keys`, which were decoded on `frame`."""
        if not self.postprocessing.in_memory:
            return decoded
        asked = {*keys}
        others = [track.results[frame].decoded for key, track in self.tracks.items()
                  if key not in asked and frame in track.prompts]  # fmt: skip
        own, *standing = (self.backend.fetch([one]).logits for one in (decoded, *others))
        logits = self.postprocessing.process_for_memory(own, [one[0] for one in standing])
        return decoded._replace(logits=self.backend.restore([logits[:, None]])[0])

    def _trim(self, track: ObjectTrack, frame: int, step: int) -> None:
        """Put away what a walk past `frame` does not recall; what was prompted stays at hand."""
        for shelf in (track.recent, track.results):
            for other in find_unreachable(shelf.in_memory, frame, step):
                if other not in track.prompts:
                    shelf.spill(other)

    def _open(self, frame: int, image: Image | None) -> None:
        """Look at a frame; it is encoded when something is asked of it, and stands from then on."""
        if self._frame is not None and self._frame.index == frame and (image is None or self._frame.encoded):
            return
        picture = self._image(frame) if image is None else image
        size = (int(picture.shape[0]), int(picture.shape[1]))
        if self.size is not None and size != self.size:
            raise VideoError("resolution-changed", f"frame {frame} has size {size}, the frames before it {self.size}")
        self.size = size
        self._frame = _Frame(frame, picture.copy() if self.zoom else picture)  # windows are cut out of it later

    @property
    def _size(self) -> tuple[int, int]:
        assert self.size is not None, "a frame was opened"
        return self.size

    def _features(self, window: Crop | None) -> Features:
        """The features of the open frame, or of a window of it."""
        assert self._frame is not None, "a frame is opened before anything is asked of it"
        picture, encoded = self._frame.picture, self._frame.encoded
        if window not in encoded:
            for other in encoded.keys() - {None}:  # one window at a time: each takes as much room as a picture
                del encoded[other]
            encoded[window] = self.backend.encode([picture if window is None else window.cut(picture)])[0]
        return encoded[window]

    def _image(self, frame: int) -> Image:
        if self.video is None:
            raise StateError(
                "frame-missing", f"frame {frame} is not at hand; pass its image, or give the tracker a video"
            )
        return self.video[frame]

    def create_track(self, object_id: int) -> ObjectTrack:
        """An object without prompts, not yet among the tracks."""
        return ObjectTrack(
            recent=SpilledDict(self.disk_cache, (object_id, "memory"), self._pack_memory, self._unpack_memory),
            results=SpilledDict(self.disk_cache, (object_id, "answer"), self._pack_answer, self._unpack_answer),
        )

    def _pack_memory(self, memory: Memory) -> list[Any]:
        return self.backend.store(memory)

    def _unpack_memory(self, arrays: list[Any]) -> Memory:
        return Memory(*self.backend.restore(arrays))

    def _pack_answer(self, answer: ObjectResult) -> list[Any]:
        return [*self.backend.store(answer.decoded[:4]), numbers((*answer[1:4], *(answer.crop or ())))]

    def _unpack_answer(self, arrays: list[Any]) -> ObjectResult:
        step, basis, stamp, *window = arrays[4].tolist()
        return ObjectResult(
            Decoded(*self.backend.restore(arrays[:4])), step, basis, stamp, Crop(*window) if window else None
        )


def check_zoom_options(zoom: float, postprocessing: PostProcessing) -> float:
    """`zoom` if objects can be followed so that are cleaned so; 0 is none. Raises `SettingsError`."""
    if zoom and postprocessing.non_overlapping and postprocessing.in_memory:
        raise SettingsError("bad-usage", "objects that are zoomed at cannot be remembered apart; leave one out")
    return check_zoom(zoom)


@dataclass(slots=True)
class _Frame:
    """The frame that is looked at, and what of it is encoded: the picture, and the window that was asked for last."""

    index: int
    picture: Image
    encoded: dict[Crop | None, Features] = field(default_factory=dict)


def _by_window(
    objects: Mapping[int, Value], view: Callable[[int], Crop | None]
) -> Iterator[tuple[Crop | None, dict[int, Value]]]:
    """The objects of each window: they are answered together."""
    views = {key: view(key) for key in objects}
    for window in dict.fromkeys(views.values()):
        yield window, {key: one for key, one in objects.items() if views[key] == window}
