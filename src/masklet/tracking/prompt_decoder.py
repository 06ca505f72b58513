"""Decoding of prompts on a frame of a video, with the earlier masks and memories of their objects."""

from __future__ import annotations

from collections.abc import Mapping

from masklet.backend import Backend, Decoded, Features, build_query
from masklet.predict.crop import Crop
from masklet.prompts import Prompt
from masklet.tracking.memory_bank import MemoryBank
from masklet.tracking.object_crop import logits_in_crop, prompt_in_crop
from masklet.tracking.object_track import ObjectTrack


def use_mask_prompts(
    backend: Backend, features: Features, prompts: Mapping[int, Prompt], crop: Crop | None, size: tuple[int, int]
) -> Decoded:
    """Use the masks of prompts as they are, in a crop of a frame of `size` (H, W); None is the full frame."""
    masks = [prompt_in_crop(prompt, crop, size).mask for prompt in prompts.values()]
    return backend.use_masks(features, [mask for mask in masks if mask is not None])


def decode_prompts(
    backend: Backend,
    features: Features,
    prompts: Mapping[int, Prompt],
    tracks: Mapping[int, ObjectTrack],
    frame: int,
    crop: Crop | None,
    size: tuple[int, int],
    length: int | None,
) -> Decoded:
    """Decode clicks and boxes on a frame, each from the object's mask so far and, on a tracked frame, with memories.

    In a crop, prompts without a mask are decoded a second time, with the mask of the first decoding.

    Args:
        backend: Backend with the model.
        features: Features of the crop, without memories.
        prompts: Prompts by object id, in pixels of the frame.
        tracks: Objects that were prompted before, by object id.
        frame: Number of the frame.
        crop: Crop of the frame; None is the full frame.
        size: The frame's (H, W).
        length: Number of frames of the video, if it is known.
    """
    recalls, queries = [], []
    for key, prompt in prompts.items():
        track = tracks.get(key)
        earlier = track.results.get(frame) if track else None
        tracked = earlier is not None and earlier.direction != 0
        bank = track.bank if track and tracked else MemoryBank()
        recalls.append(bank.recall(frame, earlier.direction if earlier and tracked else 1, length=length))
        mapped = prompt_in_crop(prompt, crop, size)
        mask = mapped.mask
        if mask is None and earlier is not None:
            mask = logits_in_crop(backend, earlier, crop, size)
        points = mapped.normalize_points(size if crop is None else crop.size)
        queries.append(build_query(points, mapped.labels, mask, ambiguous=prompt.point_count <= 1))
    conditioned = backend.attend(features, recalls)
    decoded = backend.decode(conditioned, queries, hide=True)
    if crop is None or all(prompt.mask is not None for prompt in prompts.values()):
        return decoded
    selected = backend.select(decoded, [(row, None) for row in range(len(queries))])
    refined_queries = [
        query if prompt.mask is not None else query._replace(mask=selected[row].logits)
        for row, (query, prompt) in enumerate(zip(queries, prompts.values(), strict=True))
    ]
    return backend.decode(conditioned, refined_queries, hide=True)
