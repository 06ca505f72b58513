"""Tracker of prompted objects in a video or a stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import wraps
from itertools import count, islice
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from masklet.backend import NO_PROMPT, Backend, Decoded, Recall, describe
from masklet.errors import PromptError, SettingsError, StateError, VideoError
from masklet.masks.masks import Masks, format_object_ids
from masklet.masks.postprocessing import NO_POSTPROCESSING, PostProcessing
from masklet.memory.policy import MemoryPolicy
from masklet.memory.recent_memory import RECENT_MEMORY
from masklet.predict.mask_checks import check_masks
from masklet.predict.prompt_prediction import VIDEO_RULES, PromptedObject, predict_prompts
from masklet.predict.result_masks import build_masks
from masklet.predict.sam2_arguments import refuse_sam2_arguments
from masklet.prompts import Prompt, Prompts, group_by_object
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.hypotheses import choose_hypotheses, start_record
from masklet.tracking.object_track import ObjectResult, ObjectTrack
from masklet.tracking.outdated_results import compute_basis, select_outdated
from masklet.tracking.session_writer import Session, write_session
from masklet.views.encoded_frame import EncodedFrame, FeatureCache
from masklet.views.view import WHOLE_VIEW, Region, View, group_by_region

Image = Any  # (H, W, 3) uint8 RGB
P = ParamSpec("P")
R = TypeVar("R")

_SUGGESTION_DISTANCE = 5  # frames: masks this close to a prompt are not suggested


class Frames(Protocol):
    """Images by frame number, such as a `Video`."""

    def __getitem__(self, index: int) -> Image: ...


def check_settings(view: View, memory: MemoryPolicy, postprocessing: PostProcessing) -> None:
    """Check that settings of a tracker can be combined.

    Raises:
        SettingsError: Non-overlapping memories are combined with a view of parts of the frame or with several
            hypotheses.
    """
    if not (postprocessing.non_overlapping and postprocessing.in_memory):
        return
    advice = "leave out one of them, non_overlapping or in_memory"
    if view.has_regions:
        raise SettingsError("bad-usage", f"{view} cannot be combined with non-overlapping memories; {advice}")
    if memory.revises:
        raise SettingsError("bad-usage", f"{memory.name} cannot be combined with non-overlapping memories; {advice}")


def _exclusive(method: Callable[Concatenate[Tracker, P], R]) -> Callable[Concatenate[Tracker, P], R]:
    """Decorate a method of the tracker so that it raises `StateError` while another thread runs one."""

    @wraps(method)
    def run(self: Tracker, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not self._lock.acquire(blocking=False):
            message = f"{method.__name__}() is called while another thread uses the tracker; share a lock between them"
            raise StateError("tracker-busy", message)
        try:
            return method(self, *args, **kwargs)
        finally:
            self._lock.release()

    return run


class Tracker:
    """Tracker of prompted objects in a video or a stream.

    Frames come in any order. A frame is passed as its number and its image, (H, W, 3) uint8 RGB, or as its number alone
    where the tracker has a video. Memory does not grow with the number of frames.

    One thread at a time may call its methods; in others they raise `StateError` (`tracker-busy`) meanwhile.

    Args:
        backend: Backend with the model, `Segmenter.backend`.
        video: The video, or None for a stream.
        length: Number of frames, so that short clips are tracked as by the reference implementation; None if it is not
            known.
        disk_cache: Cache for memories and results of distant frames, which corrections recall. With `DiskCache(0)` they
            recall only prompted frames and the last ones.
        postprocessing: Hole filling, removal of islands, and separation of objects; whether it also changes memories.
        view: Rule that places the part of a frame in which each object is predicted.
        memory: Rules that select the memories which a frame recalls.

    Raises:
        SettingsError: Non-overlapping memories are combined with a view of parts of the frame or with several
            hypotheses.

    Example:
        >>> tracker = model.tracker(masklet.open_video("dog.mp4"))
        >>> tracker.prompt(0, {1: box(260, 60, 420, 300)})
        >>> masks = [tracker.step(frame) for frame in range(10)]
        >>> tracker.prompt(5, {1: click(390, 200)})  # correct frame 5, then track again
        >>> tracker.save("dog.session")
    """

    def __init__(
        self,
        backend: Backend,
        video: Frames | None = None,
        *,
        length: int | None = None,
        disk_cache: DiskCache | None = None,
        postprocessing: PostProcessing = NO_POSTPROCESSING,
        view: View = WHOLE_VIEW,
        memory: MemoryPolicy = RECENT_MEMORY,
    ) -> None:
        self.backend = backend
        self.video = video
        self.length = length
        self.disk_cache = DiskCache() if disk_cache is None else disk_cache
        self.postprocessing = postprocessing
        check_settings(view, memory, postprocessing)
        self.view, self.memory = view, memory
        self.tracks: dict[int, ObjectTrack] = {}
        self.size: tuple[int, int] | None = None
        self.stamps = count(1)
        self._features = FeatureCache(backend)
        self._frame: EncodedFrame | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        view = f", {self.view}" if self.view.has_regions else ""
        return f"Tracker({describe(self.backend)}{view}, object_ids={format_object_ids(self.object_ids)})"

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects, in the order in which they were first prompted."""
        return tuple(self.tracks)

    @refuse_sam2_arguments("tracker.prompt(frame, {}, image)")
    @_exclusive
    def prompt(self, frame: int, prompts: Prompts, image: Image | None = None) -> Masks:
        """Prompt new or known objects on any frame.

        A prompt replaces the earlier one of the same object on the same frame, but starts from the mask found so far.
        Tracking does not overwrite a prompted mask, and every other frame recalls it. On a frame that was tracked
        before, a prompt is a correction, which uses the object's memories. A mask alone is used as it is. A label in a
        prompt becomes the label of its object.

        Args:
            frame: Number of the frame.
            prompts: What `EmbeddedImage.predict` takes: a prompt of object 1, a list of prompts of objects 1, 2, …, or
                a mapping from object id to prompt. Coordinates are pixels of the frame, (x, y).
            image: Image of the frame, (H, W, 3) uint8 RGB. Not needed with a video, or on the last frame.

        Returns:
            The masks of all objects on the frame. Their `warnings` are about the prompted objects.

        Raises:
            PromptError: A point lies outside the frame, a mask has other proportions, or an argument is not a prompt.
            StateError: The image is missing.
            VideoError: The image has another size than earlier frames.
        """
        by_object = group_by_object(prompts, f"tracker.prompt({frame if isinstance(frame, int) else 0}, {{}}, image)")
        opened = self._open(frame, image)
        for prompt in by_object.values():
            prompt.check_fits(opened.size)  # before any object changes
        objects = {key: self._find_prompted(frame, key, prompt) for key, prompt in by_object.items()}
        tracks = {key: self.tracks.get(key) or self._create_track(key) for key in by_object}
        for region, predicted in predict_prompts(opened, self.view, VIDEO_RULES, objects):
            results = self._postprocess(frame, predicted, [one.select(self.backend) for one in predicted.values()])
            memories = self.backend.memorize(opened.encode(region), results, [True] * len(results))
            for key, decoded, memory in zip(predicted, results, memories, strict=True):
                earlier = tracks[key].results.get(frame)
                direction = earlier.direction if earlier else 0
                result = ObjectResult(decoded, direction, 0, next(self.stamps), region)
                record = start_record(self.backend, self.memory, result, opened.size)
                tracks[key].add_prompted(frame, by_object[key], result, memory, record)
        self.tracks |= tracks
        masks = self.masks(frame)
        return replace(masks, warnings=check_masks(masks, by_object, frame))

    @_exclusive
    def step(self, frame: int, image: Image | None = None, *, direction: int = 1) -> Masks:
        """Track all objects to a frame.

        Objects whose result would be the same as before are not computed again.

        Args:
            frame: Number of the frame.
            image: Image of the frame, (H, W, 3) uint8 RGB. Not needed with a video.
            direction: 1 to track forward, from earlier frames, −1 to track backward, from later ones.

        Returns:
            The masks of all objects on the frame.

        Raises:
            StateError: There is no object, or the image is missing.
            SettingsError: `direction` is neither 1 nor −1.
            VideoError: The image has another size than earlier frames.
        """
        if direction not in (1, -1):
            raise SettingsError("bad-usage", f"direction must be 1 or -1, got {direction!r:.60}")
        if not self.tracks:
            raise StateError("no-prompts", "nothing to track; prompt an object first")
        outdated = select_outdated(self.tracks, frame, direction, dependent=self._memories_depend_on_others)
        if outdated or image is not None:
            self._track(frame, outdated, self._open(frame, image), direction)
        for track in self.tracks.values():
            if frame in track.prompts:
                track.results[frame] = track.results[frame]._replace(direction=direction)
            track.spill(frame, direction)
        masks = self.masks(frame)
        for track, uncertainty in zip(self.tracks.values(), masks.uncertainty.tolist(), strict=True):
            track.note_uncertainty(frame, uncertainty)
        return masks

    @_exclusive
    def suggest(self) -> tuple[int, int] | None:
        """Suggest the frame to annotate next.

        Returns:
            Frame and object id of the mask with the highest uncertainty more than 5 frames away from the object's
            prompts; None if there is none.
        """
        uncertain = [
            (uncertainty, -frame, key)
            for key, track in self.tracks.items()
            for frame, uncertainty in track.uncertainties.items()
            if all(abs(frame - prompted) > _SUGGESTION_DISTANCE for prompted in track.prompts)
        ]
        return (-max(uncertain)[1], max(uncertain)[2]) if uncertain else None

    @_exclusive
    def masks(self, frame: int) -> Masks:
        """Return the masks of all objects on a frame. An object without a result there is hidden.

        Raises:
            StateError: No object was ever prompted.
        """
        if self.size is None:
            raise StateError("no-prompts", "nothing to show; prompt an object first")
        results = [track.results.get(frame) for track in self.tracks.values()]
        masks = build_masks(
            self.backend,
            self.size,
            self.tracks,
            [one and one.decoded for one in results],
            [one and one.region for one in results],
            [track.label for track in self.tracks.values()],
        )
        return self.postprocessing.separate(self.postprocessing.fill_and_remove(masks))

    @_exclusive
    def settle(self, frame: int, direction: int = 1) -> list[int]:
        """Make the best hypothesis of each object on a frame the result of the frames that led to it.

        It changes results only with a memory policy that keeps several hypotheses. With other results a frame is
        tracked again if it is visited again.

        Args:
            frame: The last frame that was tracked.
            direction: Direction in which it was tracked.

        Returns:
            The frames on which a mask changed, sorted.
        """
        return sorted({t for track in self.tracks.values() for t in track.settle(frame, direction, self.stamps)})

    @_exclusive
    def remove_prompt(self, frame: int, object_id: int) -> None:
        """Remove an object's prompt on a frame. An object that loses its last prompt is removed.

        Raises:
            PromptError: There is no such object, or it has no prompt on the frame.
        """
        track = self._get_track(object_id)
        if track.prompts.pop(frame, None) is None:
            raise PromptError("unknown-frame", f"object {object_id} has no prompt on frame {frame}")
        track.forget(frame)
        if not track.prompts:
            self.remove_object(object_id)

    @_exclusive
    def remove_object(self, object_id: int) -> None:
        """Remove an object. The masks of other objects do not change.

        Raises:
            PromptError: There is no such object.
        """
        track = self._get_track(object_id)
        del self.tracks[object_id]
        track.results.clear()
        track.recent.clear()

    @_exclusive
    def save(self, path: str | Path) -> None:
        """Write prompts, masks, memories and the identity of the model to a session file, atomically.

        `Segmenter.resume` reads it.

        Args:
            path: The file, which is replaced if it exists.

        Raises:
            ResourceError: The file cannot be written.
            SettingsError: The view or the memory policy is not one of masklet's.
        """
        session = Session(
            self.backend, self.tracks, self.size, self.length, self.postprocessing, self.view, self.memory,
            next(self.stamps),
        )  # fmt: skip
        write_session(Path(path), session)

    def _get_track(self, object_id: int) -> ObjectTrack:
        if object_id not in self.tracks:
            raise PromptError("unknown-object", f"no object {object_id}; the objects are {list(self.tracks) or 'none'}")
        return self.tracks[object_id]

    def _create_track(self, object_id: int) -> ObjectTrack:
        return ObjectTrack.create(object_id, self.backend, self.disk_cache, self.memory, self.length)

    def _find_prompted(self, frame: int, object_id: int, prompt: Prompt) -> PromptedObject:
        """Return an object to predict: with its mask on the frame, and on a tracked frame with its memories."""
        track = self.tracks.get(object_id)
        earlier = track.results.get(frame) if track else None
        if track is None or earlier is None:
            return PromptedObject(prompt)
        recall = Recall()
        if earlier.direction:
            recall = track.list_hypotheses(frame, earlier.direction)[0].recall()
        return PromptedObject(prompt, earlier.find_mask(self.backend, self._opened.size), recall)

    def _track(self, frame: int, tracks: Mapping[int, ObjectTrack], opened: EncodedFrame, direction: int) -> None:
        """Track objects to a frame, those in one region of it in one call of each network."""

        def follow(key: int) -> Region:
            if not self.view.has_regions:
                return None
            nearest = tracks[key].results[tracks[key].nearest_frame(frame, direction)]
            return self.view.follow(nearest.find_mask(self.backend, opened.size), opened.size)

        for region, group in group_by_region(tracks, follow):
            features = opened.encode(region)
            dependent = self._memories_depend_on_others
            bases = [
                compute_basis(self.tracks, track, frame, direction, dependent=dependent) for track in group.values()
            ]
            hypotheses = [track.list_hypotheses(frame, direction) for track in group.values()]
            recalls = [one.recall() for of_object in hypotheses for one in of_object]
            attended = self.backend.attend(features, recalls)
            decoded = self.backend.decode(attended, [NO_PROMPT] * len(recalls), hide=True)
            chosen = choose_hypotheses(self.backend, self.memory, decoded, hypotheses, region, opened.size)
            picks = [pick for of_object in chosen for pick in of_object.picks]
            results = self._postprocess(frame, group, self.backend.select(decoded, picks))
            memories = self.backend.memorize(features, results, [False] * len(results))
            rows = zip(results, memories, strict=True)
            for track, basis, of_object in zip(group.values(), bases, chosen, strict=True):
                (best, *others), stored = zip(*islice(rows, len(of_object.picks)), strict=True)
                result = ObjectResult(best, direction, basis, next(self.stamps), region, tuple(others))
                track.add_tracked(frame, result, stored, of_object.records)

    @property
    def _memories_depend_on_others(self) -> bool:
        return self.postprocessing.in_memory and self.postprocessing.non_overlapping

    def _postprocess(self, frame: int, keys: Iterable[int], results: list[Decoded]) -> list[Decoded]:
        """Post-process the results of objects `keys` on a frame as they are written to memory."""
        if not self.postprocessing.in_memory:
            return results
        own_keys = {*keys}
        others = [track.results[frame].decoded for key, track in self.tracks.items()
                  if key not in own_keys and frame in track.prompts]  # fmt: skip
        logits = self.backend.fetch([*results, *others]).logits
        processed = self.postprocessing.process_for_memory(logits[: len(results)], [*logits[len(results) :]])
        restored = self.backend.restore([one[None, None] for one in processed])
        return [result._replace(logits=one) for result, one in zip(results, restored, strict=True)]

    def _open(self, frame: int, image: Image | None) -> EncodedFrame:
        """Make a frame the current one. Once it is encoded, its image does not change."""
        if self._frame is not None and self._frame.index == frame and (image is None or self._frame.is_encoded):
            return self._frame
        given = image is not None
        image = self._read_image(frame) if image is None else image
        image = image.copy() if self.view.has_regions else image  # regions are cut out of it later
        opened = EncodedFrame(self.backend, image, self._features, frame)
        if self.size is not None and opened.size != self.size:
            message = f"frame {frame} has size {opened.size}, the frames before it {self.size}"
            raise VideoError("resolution-changed", message)
        if given:
            self._features.clear()  # another image may have been given for this frame before
        self.size, self._frame = opened.size, opened
        return opened

    @property
    def _opened(self) -> EncodedFrame:
        assert self._frame is not None, "a frame was opened"
        return self._frame

    def _read_image(self, frame: int) -> Image:
        if self.video is None:
            message = f"the tracker has no image of frame {frame}; pass its image, or give the tracker a video"
            raise StateError("frame-missing", message)
        return self.video[frame]
