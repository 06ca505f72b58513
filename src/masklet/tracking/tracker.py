"""Tracker of prompted objects in a video or a stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from masklet.backend import NO_PROMPT, Backend, Decoded, Features, describe
from masklet.errors import PromptError, StateError, VideoError
from masklet.masks.masks import Masks, format_object_ids
from masklet.masks.postprocessing import NO_POSTPROCESSING, PostProcessing
from masklet.predict.crop import ZOOM_PASSES, Crop, paste_masks
from masklet.predict.sam2_arguments import refuse_sam2_arguments
from masklet.prompts import Prompt, Prompts, group_by_object
from masklet.tracking.disk_cache import DiskCache
from masklet.tracking.frame_features import FrameFeatures
from masklet.tracking.memory_bank import find_unreachable
from masklet.tracking.object_crop import check_zoom_options, crop_for_prompt, crop_for_search, group_by_crop
from masklet.tracking.object_track import ObjectResult, ObjectTrack
from masklet.tracking.outdated_results import compute_basis, select_outdated
from masklet.tracking.prompt_decoder import decode_prompts, use_mask_prompts
from masklet.tracking.session_writer import Session, write_session

Image = Any  # (H, W, 3) uint8 RGB

_SUGGESTION_DISTANCE = 5  # frames: masks this close to a prompt are not suggested


class Frames(Protocol):
    """Images by frame number, such as a `Video`."""

    def __getitem__(self, index: int) -> Image: ...


class Tracker:
    """Tracker of prompted objects in a video or a stream.

    Frames come in any order. A frame is passed as its number and its image, (H, W, 3) uint8 RGB, or as its number alone
    where the tracker has a video. Memory does not grow with the number of frames.

    Args:
        backend: Backend with the model, `Segmenter.backend`.
        video: The video, or None for a stream.
        length: Number of frames, so that short clips are tracked as by the reference implementation; None if it is not
            known.
        disk_cache: Cache for memories and results of distant frames, which corrections recall. With `DiskCache(0)` they
            recall only prompted frames and the last ones.
        postprocessing: Hole filling, removal of islands, and separation of objects; whether it also changes memories.
        zoom: Predict and remember each object in a crop of `zoom` × its size, which moves with it. Each object costs an
            encoding per frame. The crop grows while its object is not found. 0 disables it.

    Raises:
        SettingsError: The zoom is below 1, or is combined with non-overlapping memories.

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
        self.stamps = count(1)
        self._frame: FrameFeatures | None = None

    def __repr__(self) -> str:
        zoom = f", zoom {self.zoom:g}" if self.zoom else ""
        return f"Tracker({describe(self.backend)}{zoom}, object_ids={format_object_ids(self.object_ids)})"

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects, in the order in which they were first prompted."""
        return tuple(self.tracks)

    @refuse_sam2_arguments("tracker.prompt(frame, {}, image)")
    def prompt(self, frame: int, prompts: Prompts, image: Image | None = None) -> Masks:
        """Prompt new or known objects on any frame.

        A prompt replaces the earlier one of the same object on the same frame, but starts from the mask found so far.
        Tracking does not overwrite a prompted mask, and every other frame recalls it. On a frame that was tracked
        before, a prompt is a correction, which uses the object's memories. A mask alone is used as it is.

        Args:
            frame: Number of the frame.
            prompts: What `EmbeddedImage.predict` takes: a prompt of object 1, a list of prompts of objects 1, 2, …, or
                a mapping from object id to prompt. Coordinates are pixels of the frame, (x, y).
            image: Image of the frame, (H, W, 3) uint8 RGB. Not needed with a video, or on the last frame.

        Returns:
            The masks of all objects on the frame.

        Raises:
            PromptError: A point lies outside the frame, or an argument is not a prompt.
            StateError: The image is missing.
            VideoError: The image has another size than earlier frames.
        """
        by_object = group_by_object(prompts, f"tracker.prompt({frame if isinstance(frame, int) else 0}, {{}}, image)")
        self._open(frame, image)
        for prompt in by_object.values():
            prompt.normalize_points(self._size)  # before any object changes
        order = dict.fromkeys((*self.tracks, *by_object))
        masks = {key: prompt for key, prompt in by_object.items() if not prompt.point_count}
        others = {key: prompt for key, prompt in by_object.items() if key not in masks}
        for crop, group in group_by_crop(masks, lambda key: self._crop_for_prompt(frame, key, masks[key])):
            decoded = use_mask_prompts(self.backend, self._encode(crop), group, crop, self._size)
            self._add_prompted(frame, group, crop, decoded)
        in_full_frame: Mapping[int, Prompt] = {}
        for crop, group in group_by_crop(others, lambda key: self._crop_for_prompt(frame, key, others[key])):
            self._decode_prompts(frame, group, crop)
            in_full_frame = group if crop is None else in_full_frame
        for _ in range(ZOOM_PASSES if in_full_frame else 0):
            for crop, group in group_by_crop(
                in_full_frame, lambda key: self._crop_for_prompt(frame, key, in_full_frame[key])
            ):
                if crop is not None:  # the mask on the full frame places it
                    self._decode_prompts(frame, group, crop)
        self.tracks = {key: self.tracks[key] for key in order}  # in the order of prompts, not in that of their groups
        return self.masks(frame)

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
            VideoError: The image has another size than earlier frames.
        """
        if not self.tracks:
            raise StateError("no-prompts", "nothing to track; prompt an object first")
        outdated = select_outdated(self.tracks, frame, direction, dependent=self._memories_depend_on_others)
        if outdated:
            self._open(frame, image)
        for crop, group in group_by_crop(outdated, lambda key: self._crop_for_search(outdated[key], frame, direction)):
            self._track(frame, group, crop, direction)
        for track in self.tracks.values():
            if frame in track.prompts:
                track.results[frame] = track.results[frame]._replace(direction=direction)
            self._spill(track, frame, direction)
        masks = self.masks(frame)
        for track, uncertainty in zip(self.tracks.values(), masks.uncertainty.tolist(), strict=True):
            track.note_uncertainty(frame, uncertainty)
        return masks

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

    def masks(self, frame: int) -> Masks:
        """Return the masks of all objects on a frame. An object without a result there is hidden.

        Raises:
            StateError: No object was ever prompted.
        """
        if self.size is None:
            raise StateError("no-prompts", "nothing to show; prompt an object first")
        results = [track.results.get(frame) for track in self.tracks.values()]
        if not results:
            return Masks.empty(self.size)
        logits, iou, score = self.backend.fetch([None if result is None else result.decoded for result in results])
        masks = Masks.from_logits(logits, self.size, scores=iou, object_ids=self.object_ids, object_scores=score)
        masks = self.postprocessing.fill_and_remove(masks)
        crops = [None if result is None else result.crop for result in results]
        return self.postprocessing.separate(paste_masks(masks, crops))

    def remove_prompt(self, frame: int, object_id: int) -> None:
        """Remove an object's prompt on a frame. An object that loses its last prompt is removed.

        Raises:
            PromptError: There is no such object, or it has no prompt on the frame.
        """
        track = self._get_track(object_id)
        if track.prompts.pop(frame, None) is None:
            raise PromptError("unknown-frame", f"object {object_id} has no prompt on frame {frame}")
        track.bank.forget(frame)
        del track.results[frame]
        if not track.prompts:
            self.remove_object(object_id)

    def remove_object(self, object_id: int) -> None:
        """Remove an object. The masks of other objects do not change.

        Raises:
            PromptError: There is no such object.
        """
        track = self._get_track(object_id)
        del self.tracks[object_id]
        track.results.clear()
        track.recent.clear()

    def save(self, path: str | Path) -> None:
        """Write prompts, masks, memories and the identity of the model to a session file, atomically.

        `Segmenter.resume` reads it.

        Args:
            path: The file, which is replaced if it exists.

        Raises:
            ResourceError: The file cannot be written.
        """
        session = Session(
            self.backend, self.tracks, self.size, self.length, self.postprocessing, self.zoom, next(self.stamps)
        )
        write_session(Path(path), session)

    def _get_track(self, object_id: int) -> ObjectTrack:
        if object_id not in self.tracks:
            raise PromptError("unknown-object", f"no object {object_id}; the objects are {list(self.tracks) or 'none'}")
        return self.tracks[object_id]

    def _create_track(self, object_id: int) -> ObjectTrack:
        return ObjectTrack.create(object_id, self.backend, self.disk_cache)

    def _crop_for_prompt(self, frame: int, key: int, prompt: Prompt) -> Crop | None:
        track = self.tracks.get(key)
        result = track.results.get(frame) if track and self.zoom else None
        return crop_for_prompt(self.backend, prompt, result, self._size, self.zoom)

    def _crop_for_search(self, track: ObjectTrack, frame: int, direction: int) -> Crop | None:
        if not self.zoom:
            return None
        result = track.results[track.nearest_recalled(frame, direction)]
        return crop_for_search(self.backend, result, self._size, self.zoom)

    def _decode_prompts(self, frame: int, prompts: Mapping[int, Prompt], crop: Crop | None) -> None:
        """Decode clicks and boxes in one crop and add their results."""
        features = self._encode(crop)
        decoded = decode_prompts(self.backend, features, prompts, self.tracks, frame, crop, self._size, self.length)
        self._add_prompted(frame, prompts, crop, decoded)

    def _add_prompted(self, frame: int, prompts: Mapping[int, Prompt], crop: Crop | None, decoded: Decoded) -> None:
        """Add the results of prompts, and memorize them at once."""
        decoded = self._postprocess(frame, prompts, decoded)
        selected = self.backend.select(decoded, [(row, None) for row in range(len(prompts))])
        memories = self.backend.memorize(self._encode(crop), selected, [True] * len(prompts))
        for row, (key, prompt) in enumerate(prompts.items()):
            track = self.tracks.setdefault(key, self._create_track(key))
            earlier = track.results.get(frame)
            track.prompts[frame] = prompt
            track.bank.remember(frame, memories[row], prompted=True)
            direction = earlier.direction if earlier else 0
            track.results[frame] = ObjectResult(selected[row], direction, 0, next(self.stamps), crop)

    def _track(self, frame: int, tracks: Mapping[int, ObjectTrack], crop: Crop | None, direction: int) -> None:
        """Track objects to a frame in one crop."""
        features = self._encode(crop)
        dependent = self._memories_depend_on_others
        bases = [compute_basis(self.tracks, track, frame, direction, dependent=dependent) for track in tracks.values()]
        recalls = [track.bank.recall(frame, direction, length=self.length) for track in tracks.values()]
        conditioned = self.backend.attend(features, recalls)
        decoded = self.backend.decode(conditioned, [NO_PROMPT] * len(tracks), hide=True)
        decoded = self._postprocess(frame, tracks, decoded)
        selected = self.backend.select(decoded, [(row, None) for row in range(len(tracks))])
        memories = self.backend.memorize(features, selected, [False] * len(tracks))
        for row, track in enumerate(tracks.values()):
            track.bank.remember(frame, memories[row])
            track.results[frame] = ObjectResult(selected[row], direction, bases[row], next(self.stamps), crop)

    @property
    def _memories_depend_on_others(self) -> bool:
        return self.postprocessing.in_memory and self.postprocessing.non_overlapping

    def _postprocess(self, frame: int, keys: Iterable[int], decoded: Decoded) -> Decoded:
        """Post-process the results of objects `keys` on a frame as they are written to memory."""
        if not self.postprocessing.in_memory:
            return decoded
        own_keys = {*keys}
        others = [track.results[frame].decoded for key, track in self.tracks.items()
                  if key not in own_keys and frame in track.prompts]  # fmt: skip
        logits_of_keys, *prompted = (self.backend.fetch([output]).logits for output in (decoded, *others))
        logits = self.postprocessing.process_for_memory(logits_of_keys, [output[0] for output in prompted])
        return decoded._replace(logits=self.backend.restore([logits[:, None]])[0])

    def _spill(self, track: ObjectTrack, frame: int, direction: int) -> None:
        """Move memories and results that later frames do not recall to the disk cache, except on prompted frames."""
        for values in (track.recent, track.results):
            for other in find_unreachable(values.in_memory, frame, direction):
                if other not in track.prompts:
                    values.spill(other)

    def _open(self, frame: int, image: Image | None) -> None:
        """Make a frame the current one. Once it is encoded, its image does not change."""
        if self._frame is not None and self._frame.index == frame and (image is None or self._frame.is_encoded):
            return
        image = self._read_image(frame) if image is None else image
        size = (int(image.shape[0]), int(image.shape[1]))
        if self.size is not None and size != self.size:
            raise VideoError("resolution-changed", f"frame {frame} has size {size}, the frames before it {self.size}")
        self.size = size
        self._frame = FrameFeatures(frame, image.copy() if self.zoom else image)  # crops are cut out of it later

    @property
    def _size(self) -> tuple[int, int]:
        assert self.size is not None, "a frame was opened"
        return self.size

    def _encode(self, crop: Crop | None) -> Features:
        """Return the features of the current frame, or of a crop of it."""
        assert self._frame is not None, "a frame was opened"
        return self._frame.encode(self.backend, crop)

    def _read_image(self, frame: int) -> Image:
        if self.video is None:
            message = f"the tracker has no image of frame {frame}; pass its image, or give the tracker a video"
            raise StateError("frame-missing", message)
        return self.video[frame]
