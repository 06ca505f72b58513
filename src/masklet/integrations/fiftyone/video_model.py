"""VideoModel: tracking of the videos of a FiftyOne dataset, from labels of some frames or automatically."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import fiftyone as fo

from masklet.integrations.fiftyone.base_model import BaseModel, Output
from masklet.integrations.fiftyone.labels import list_indices, read_prompts
from masklet.masks.tracked_frame import TrackedFrame
from masklet.prompts import Prompt
from masklet.segmenter import Segmenter
from masklet.tracking.auto_tracker import AutoTrackOptions
from masklet.tracking.traversal import Direction
from masklet.video import Video, open_video


class VideoModel(BaseModel):
    """Model that tracks objects through videos.

    With `prompt_field`, a field of frames such as `"frames.detections"`, labels are prompts on the frames that have
    them. Labels of one object on several frames have the same `index`; a label without one is an object of its own.
    Without `prompt_field` everything is tracked. Frames get detections whose `index` is the object id, and whose
    `instance` links the detections of an object. A clip of a clips view is tracked on its own.

    Args:
        model: The model. By default the embedded one is loaded.
        output: "detections" with instance masks, or one "segmentation" of each frame.
        mask_targets: Name of each value of a segmentation. By default values are object ids.
        direction: "forward" from the first prompted frame, "backward" from the last one, or "both" ways.
        options: Options of automatic tracking, which is used without prompts.

    Example:
        >>> from masklet.integrations.fiftyone import VideoModel
        >>> dataset.apply_model(VideoModel(), label_field="tracks", prompt_field="frames.detections")
    """

    media_type = "video"

    def __init__(
        self,
        model: Segmenter | None = None,
        *,
        output: Output = "detections",
        mask_targets: Mapping[int, str] | None = None,
        direction: Direction = "forward",
        options: AutoTrackOptions | None = None,
    ) -> None:
        super().__init__(model, output=output, mask_targets=mask_targets)
        self._direction, self._options = direction, options

    def predict(self, arg: Any, sample: Any = None) -> dict[int, Any]:
        """Return the label of each frame by its number, from 1.

        Args:
            arg: A reader of FiftyOne, which is not used: the file of the sample is read.
            sample: The sample.

        Raises:
            PromptError: A frame's field holds no prompts, or one is invalid.
            VideoError: The file cannot be read.
        """
        first, last = _find_support(sample)
        with open_video(sample.filepath) as video:
            instances: dict[int, Any] = defaultdict(fo.Instance)
            return {
                frame.index + 1: self._to_label(frame.masks, {key: instances[key] for key in frame.masks.object_ids})
                for frame in self._track(video, sample, first - 1, last)
            }

    def _track(self, video: Video, sample: Any, start: int, stop: int | None) -> Iterator[TrackedFrame]:
        """Track from frame `start`, counted from 0, up to `stop`."""
        if self.prompt_field is None:
            return self.segmenter.auto_track(video, self._options, start=start, stop=stop)
        frames = range(start, len(video) if stop is None else stop)
        prompts = _read_schedule(sample, self.prompt_field, video.size, frames)
        if not prompts:
            return iter(())
        return self.segmenter.track(video, prompts, direction=self._direction, start=start, stop=stop)


def _read_schedule(sample: Any, field: str, size: tuple[int, int], frames: range) -> dict[int, dict[int, Prompt]]:
    """Read the prompts of a sample's frames by frame, counted from 0, and object.

    A label without an index is an object of its own, so that its id differs from those of other frames.
    """
    labels = {number - 1: frame[field] for number, frame in sample.frames.items() if number - 1 in frames}
    taken = {index for label in labels.values() for index in list_indices(label)}
    schedule: dict[int, dict[int, Prompt]] = {}
    for frame, label in sorted(labels.items()):
        prompts = read_prompts(label, size, taken=taken)
        if prompts:
            schedule[frame] = prompts
            taken |= {*prompts}
    return schedule


def _find_support(sample: Any) -> tuple[int, int | None]:
    """Return the first and the last frame of a sample, from 1; the last is None for a whole video."""
    support = sample["support"] if sample.has_field("support") else None
    return (1, None) if support is None else (int(support[0]), int(support[1]))
