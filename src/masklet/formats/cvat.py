"""CVAT XML for videos: a track per object with a polygon per frame."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import BinaryIO
from xml.sax.saxutils import escape, quoteattr

from masklet.files.names import replace_non_xml
from masklet.formats.cvat_reader import read
from masklet.formats.format import Clip, FileFormat
from masklet.formats.image_layout import ImageLayout
from masklet.masks import rle
from masklet.masks.polygons import trace_mask
from masklet.masks.rle_frame import RleFrame


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write a polygon per object and frame, each as a key frame, since CVAT tracks have no masks.

    A hidden object repeats its last polygon, marked as outside. Frames before its first appearance have none.
    """
    handle.write(_head(frames, clip).encode())
    for object_id in clip.object_ids:
        label = quoteattr(clip.class_of(object_id))
        handle.write(f'<track id="{object_id}" label={label} source="auto">\n'.encode())
        last = ""
        for frame in frames:
            mask = frame.of(object_id)
            points = _points(mask.rle) if mask else ""
            last = points or last
            if last:
                handle.write(
                    f'<polygon frame="{frame.index}" keyframe="1" outside="{0 if points else 1}" occluded="0" '
                    f'points="{last}" z_order="0"></polygon>\n'.encode()
                )
        handle.write(b"</track>\n")
    handle.write(b"</annotations>\n")


CVAT = FileFormat("cvat", "cvat.xml", write, read, images=ImageLayout("images", pattern="frame_{:06d}.png"))


def _points(code: dict[str, object]) -> str:
    return ";".join(f"{x:.1f},{y:.1f}" for x, y in trace_mask(rle.decode(code)).tolist())


def _head(frames: Iterable[RleFrame], clip: Clip) -> str:
    """Return the header. `start_frame`, `stop_frame` and `step` give the tracked frames."""
    first, last, step, count = None, 0, 0, 0
    for frame in frames:
        step = 0 if first is None else math.gcd(step, frame.index - last)
        first = frame.index if first is None else first
        last, count = frame.index, count + 1
    height, width = clip.size
    labels = "".join(
        f"<label><name>{escape(name)}</name><type>polygon</type><attributes></attributes></label>\n"
        for name in clip.number_classes()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>\n<task>\n'
        f"<name>{escape(replace_non_xml(clip.name))}</name>\n<size>{count}</size>\n<mode>interpolation</mode>\n"
        f"<start_frame>{first or 0}</start_frame>\n<stop_frame>{last}</stop_frame>\n"
        f"<frame_filter>step={step or 1}</frame_filter>\n"
        f"<labels>\n{labels}</labels>\n"
        f"<original_size><width>{width}</width><height>{height}</height></original_size>\n</task>\n</meta>\n"
    )
