"""Promptable segmentation of images and videos with SAM 2, SAM 2.1, EdgeTAM and EfficientTAM.

Names are loaded on first use, so that importing the package loads no runtime and no image library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

_HOMES = {
    "AnnotatedClip": "datasets.dataset",
    "AnnotatedImage": "datasets.dataset",
    "Annotation": "datasets.annotation",
    "AutoTrackOptions": "tracking.auto_tracker",
    "BackendError": "errors",
    "CameraOptions": "video.cameras",
    "CheckpointError": "errors",
    "Dam4SamMemory": "memory.dam4sam",
    "Dataset": "datasets.dataset",
    "DetectedObjects": "detectors.detected_objects",
    "Detections": "detectors.detections",
    "Detector": "detectors.detections",
    "DiskCache": "tracking.disk_cache",
    "EmbeddedImage": "predict.embedded_image",
    "FormatError": "errors",
    "Frame": "video",
    "GeneratedMask": "predict.generated_masks",
    "GeneratedMasks": "predict.generated_masks",
    "ImageError": "errors",
    "InputNotFound": "errors",
    "LiveVideo": "video",
    "MaskGeneratorOptions": "predict.mask_generator",
    "MaskWarning": "errors",
    "MaskletError": "errors",
    "MaskletWarning": "errors",
    "Masks": "masks.masks",
    "MemoryPolicy": "memory.policy",
    "ObjectDetection": "masks.object_detection",
    "PostProcessing": "masks.postprocessing",
    "Prompt": "prompts",
    "PromptError": "errors",
    "Prompts": "prompts",
    "References": "predict.references",
    "ResourceError": "errors",
    "Sam2LongMemory": "memory.sam2long",
    "SamuraiMemory": "memory.samurai",
    "SegmentedImage": "image_sets.request",
    "Segmenter": "segmenter",
    "SettingsError": "errors",
    "StateError": "errors",
    "TiledView": "views.tiled_view",
    "TrackedFrame": "masks.tracked_frame",
    "Tracker": "tracking.tracker",
    "Video": "video",
    "VideoError": "errors",
    "VideoOptions": "video",
    "absent": "prompts",
    "box": "prompts",
    "camera": "video",
    "click": "prompts",
    "clicks": "prompts",
    "from_pretrained": "segmenter",
    "load": "segmenter",
    "load_detector": "detectors.load",
    "mask": "prompts",
    "open_clips": "datasets.layouts",
    "open_images": "datasets.layouts",
    "open_video": "video",
    "read_image": "images",
    "read_mask": "masks.mask_reader",
    "read_masks": "formats",
    "read_prompts": "image_sets.image_prompts",
    "save_masks": "formats",
    "segment_images": "image_sets.segment_images",
    "stream": "video",
}

__all__ = [
    "AnnotatedClip",
    "AnnotatedImage",
    "Annotation",
    "AutoTrackOptions",
    "BackendError",
    "CameraOptions",
    "CheckpointError",
    "Dam4SamMemory",
    "Dataset",
    "DetectedObjects",
    "Detections",
    "Detector",
    "DiskCache",
    "EmbeddedImage",
    "FormatError",
    "Frame",
    "GeneratedMask",
    "GeneratedMasks",
    "ImageError",
    "InputNotFound",
    "LiveVideo",
    "MaskGeneratorOptions",
    "MaskWarning",
    "MaskletError",
    "MaskletWarning",
    "Masks",
    "MemoryPolicy",
    "ObjectDetection",
    "PostProcessing",
    "Prompt",
    "PromptError",
    "Prompts",
    "References",
    "ResourceError",
    "Sam2LongMemory",
    "SamuraiMemory",
    "SegmentedImage",
    "Segmenter",
    "SettingsError",
    "StateError",
    "TiledView",
    "TrackedFrame",
    "Tracker",
    "Video",
    "VideoError",
    "VideoOptions",
    "absent",
    "box",
    "camera",
    "click",
    "clicks",
    "from_pretrained",
    "load",
    "load_detector",
    "mask",
    "open_clips",
    "open_images",
    "open_video",
    "read_image",
    "read_mask",
    "read_masks",
    "read_prompts",
    "save_masks",
    "segment_images",
    "stream",
]

if TYPE_CHECKING:
    from masklet.datasets.annotation import Annotation
    from masklet.datasets.dataset import AnnotatedClip, AnnotatedImage, Dataset
    from masklet.datasets.layouts import open_clips, open_images
    from masklet.detectors.detected_objects import DetectedObjects
    from masklet.detectors.detections import Detections, Detector
    from masklet.detectors.load import load_detector
    from masklet.errors import (
        BackendError,
        CheckpointError,
        FormatError,
        ImageError,
        InputNotFound,
        MaskletError,
        MaskletWarning,
        MaskWarning,
        PromptError,
        ResourceError,
        SettingsError,
        StateError,
        VideoError,
    )
    from masklet.formats import read_masks, save_masks
    from masklet.image_sets.image_prompts import read_prompts
    from masklet.image_sets.request import SegmentedImage
    from masklet.image_sets.segment_images import segment_images
    from masklet.images import read_image
    from masklet.masks.mask_reader import read_mask
    from masklet.masks.masks import Masks
    from masklet.masks.object_detection import ObjectDetection
    from masklet.masks.postprocessing import PostProcessing
    from masklet.masks.tracked_frame import TrackedFrame
    from masklet.memory.dam4sam import Dam4SamMemory
    from masklet.memory.policy import MemoryPolicy
    from masklet.memory.sam2long import Sam2LongMemory
    from masklet.memory.samurai import SamuraiMemory
    from masklet.predict.embedded_image import EmbeddedImage
    from masklet.predict.generated_masks import GeneratedMask, GeneratedMasks
    from masklet.predict.mask_generator import MaskGeneratorOptions
    from masklet.predict.references import References
    from masklet.prompts import Prompt, Prompts, absent, box, click, clicks, mask
    from masklet.segmenter import Segmenter, from_pretrained, load
    from masklet.tracking.auto_tracker import AutoTrackOptions
    from masklet.tracking.disk_cache import DiskCache
    from masklet.tracking.tracker import Tracker
    from masklet.video import Frame, LiveVideo, Video, VideoOptions, camera, open_video, stream
    from masklet.video.cameras import CameraOptions
    from masklet.views.tiled_view import TiledView


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'masklet' has no attribute {name!r}")
    value = getattr(import_module(f"masklet.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
