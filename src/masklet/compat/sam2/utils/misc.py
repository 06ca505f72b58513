"""Helpers with the names and arguments of `sam2.utils.misc`: frames of videos, holes of masks, points and boxes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from masklet.backend import IMAGE_MEAN, IMAGE_STD
from masklet.compat.sam2.array import make_tensor, to_numpy
from masklet.compat.sam2.video_frames import FileReader, FolderReader, Normalization, VideoFrames
from masklet.errors import VideoError
from masklet.masks.connected_components import fill_holes_and_remove_islands, label_components
from masklet.masks.postprocessing import VIDEO_FILL_LOGIT
from masklet.video import open_video

_VIDEO_SUFFIXES = (".mp4", ".MP4")
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".JPG", ".JPEG")


def load_video_frames(
    video_path: Any,
    image_size: int,
    offload_video_to_cpu: bool,
    img_mean: tuple[float, float, float] = IMAGE_MEAN,
    img_std: tuple[float, float, float] = IMAGE_STD,
    async_loading_frames: bool = False,
    compute_device: Any = None,
) -> tuple[Any, int, int]:
    """Open a video for the model.

    Frames are read when they are asked for, so a long video takes no more memory than a short one.

    Args:
        video_path: Path of a folder of JPEG files that are named by numbers, path of an MP4 file, or its content. Not
            in the reference: an array (T, H, W, 3) uint8 RGB or a tensor (T, 3, H, W).
        image_size: Side of the square, in pixels, that frames are resized to: those of a folder by Pillow's bicubic
            filter, those of a file by FFmpeg's, those of an array by antialiased bilinear interpolation.
        offload_video_to_cpu: Give frames on the CPU.
        img_mean: Mean of each channel, of values in [0, 1].
        img_std: Standard deviation of each channel.
        async_loading_frames: Has no effect.
        compute_device: Device of the frames; by default the CPU.

    Returns:
        The frames, and the height and width of the video in pixels.

    Raises:
        NotImplementedError: `video_path` is something else.
        RuntimeError: The folder has no JPEG files.
    """
    device = None if offload_video_to_cpu else compute_device
    if isinstance(video_path, bytes) or _is_video_file(video_path):
        return load_video_frames_from_video_file(
            video_path, image_size, offload_video_to_cpu, img_mean, img_std, compute_device=compute_device
        )
    if isinstance(video_path, str) and Path(video_path).is_dir():
        return load_video_frames_from_jpg_images(
            video_path, image_size, offload_video_to_cpu, img_mean, img_std, compute_device=compute_device
        )
    if not hasattr(video_path, "shape"):
        raise NotImplementedError(
            "Only MP4 video and JPEG folder are supported at this moment. "
            f"Pass an array (T, H, W, 3) for anything else, got {video_path!r:.80}"
        )
    video = open_video(video_path)
    frames = VideoFrames(video.__getitem__, len(video), Normalization(image_size, img_mean, img_std), device)
    return frames, *video.size


def load_video_frames_from_jpg_images(
    video_path: str,
    image_size: int,
    offload_video_to_cpu: bool,
    img_mean: tuple[float, float, float] = IMAGE_MEAN,
    img_std: tuple[float, float, float] = IMAGE_STD,
    async_loading_frames: bool = False,
    compute_device: Any = None,
) -> tuple[Any, int, int]:
    """Open a folder of JPEG files, which are ordered by the numbers in their names. See `load_video_frames`.

    Raises:
        ValueError: The name of a file is not a number.
    """
    if not isinstance(video_path, str) or not Path(video_path).is_dir():
        raise NotImplementedError(
            f"Only JPEG frames in a folder are supported at this moment, got {video_path!r:.80}; extract the frames of "
            "a video to a folder, as 00000.jpg and so on"
        )
    files = [path for path in Path(video_path).iterdir() if path.suffix in _IMAGE_SUFFIXES]
    if not files:
        raise RuntimeError(f"no images found in {video_path}")
    read = FolderReader(sorted(files, key=_read_number), image_size)
    device = None if offload_video_to_cpu else compute_device
    return VideoFrames(read, len(read), Normalization(image_size, img_mean, img_std), device), *read.size


def load_video_frames_from_video_file(
    video_path: Any,
    image_size: int,
    offload_video_to_cpu: bool,
    img_mean: tuple[float, float, float] = IMAGE_MEAN,
    img_std: tuple[float, float, float] = IMAGE_STD,
    compute_device: Any = None,
) -> tuple[Any, int, int]:
    """Open a video file, given by its path or its content. See `load_video_frames`."""
    read = FileReader(video_path if isinstance(video_path, bytes) else os.fspath(video_path), image_size)
    device = None if offload_video_to_cpu else compute_device
    return VideoFrames(read, len(read), Normalization(image_size, img_mean, img_std), device), *read.size


def get_connected_components(mask: Any) -> tuple[Any, Any]:
    """Label the 8-connected components of masks.

    Args:
        mask: Masks (N, 1, H, W), in which every value but zero belongs to a component.

    Returns:
        Labels from 1 on, and the area in pixels of each pixel's component, both int32 (N, 1, H, W) and 0 where the mask
        is 0.
    """
    labels, areas = [], []
    for one in to_numpy(mask)[:, 0] != 0:
        numbered = label_components(one)
        counts = np.bincount(numbered.ravel()).astype(np.int32)
        counts[0] = 0
        labels.append(numbered)
        areas.append(counts[numbered])
    device = getattr(mask, "device", None)
    return tuple(make_tensor(np.stack(parts)[:, None], device) for parts in (labels, areas))


def fill_holes_in_mask_scores(mask: Any, max_area: int) -> Any:
    """Fill small holes of masks, on every device.

    Args:
        mask: Logits (N, 1, h, w).
        max_area: The largest area of a hole that is filled, in pixels of these logits.

    Returns:
        New logits of the same shape and dtype, 0.1 in filled holes.
    """
    assert max_area > 0, f"max_area must be positive, got {max_area}"
    filled = [fill_holes_and_remove_islands(one, max_area, fill_logit=VIDEO_FILL_LOGIT) for one in to_numpy(mask)[:, 0]]
    device = getattr(mask, "device", None)
    return make_tensor(np.reshape(filled, mask.shape), device)


def mask_to_box(masks: Any) -> Any:
    """Return the bounding boxes of masks.

    Args:
        masks: Masks (B, 1, H, W) bool.

    Returns:
        Boxes (B, 1, 4) xyxy int32 of the first and last pixels; (W, H, −1, −1) for an empty mask.
    """
    values = to_numpy(masks).astype(bool)
    height, width = values.shape[-2:]
    sides = []
    for axis, length in ((-2, width), (-1, height)):
        line = values.any(axis=axis)
        numbers = np.arange(length)
        sides.append((np.where(line, numbers, length).min(axis=-1), np.where(line, numbers, -1).max(axis=-1)))
    (left, right), (top, bottom) = sides
    device = getattr(masks, "device", None)
    return make_tensor(np.stack([left, top, right, bottom], axis=-1).astype(np.int32), device)


def concat_points(old_point_inputs: dict[str, Any] | None, new_points: Any, new_labels: Any) -> dict[str, Any]:
    """Append points (B, P, 2) and labels (B, P) to those of `old_point_inputs`, if there are any."""
    if old_point_inputs is None:
        return {"point_coords": new_points, "point_labels": new_labels}
    device = getattr(new_points, "device", None)
    pairs = {"point_coords": new_points, "point_labels": new_labels}
    return {
        name: make_tensor(np.concatenate([to_numpy(old_point_inputs[name]), to_numpy(new)], axis=1), device)
        for name, new in pairs.items()
    }


def _is_video_file(video_path: Any) -> bool:
    return isinstance(video_path, str) and video_path.endswith(_VIDEO_SUFFIXES)


def _read_number(path: Path) -> int:
    try:
        return int(path.stem)
    except ValueError:
        raise VideoError(
            "frames-inconsistent", f"{path}: the names of frames must be numbers, such as 00000.jpg; rename it"
        ) from None
