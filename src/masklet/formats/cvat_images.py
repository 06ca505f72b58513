"""CVAT XML for images: a mask per object, with the object id as its group."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import BinaryIO
from xml.sax.saxutils import escape, quoteattr

from masklet.files.names import replace_non_xml
from masklet.formats.cvat import CVAT
from masklet.formats.format import Clip, FileFormat
from masklet.formats.image_layout import ImageLayout
from masklet.masks import rle
from masklet.masks.cvat_shapes import encode_runs
from masklet.masks.rle_frame import RleFrame, RleMask


def write(handle: BinaryIO, frames: Iterable[RleFrame], clip: Clip) -> None:
    """Write the images of a clip, which may have several sizes, with their masks. Empty masks are left out."""
    handle.write(_head(sum(1 for _ in frames), clip).encode())
    for frame in frames:
        height, width = frame.size
        name = quoteattr(replace_non_xml(PurePosixPath(clip.image_name(frame.index)).name))
        handle.write(f'<image id="{frame.index}" name={name} width="{width}" height="{height}">\n'.encode())
        for mask in frame:
            handle.write(_element(mask, clip.class_of(mask.object_id)).encode())
        handle.write(b"</image>\n")
    handle.write(b"</annotations>\n")


CVAT_IMAGES = FileFormat(CVAT.name, CVAT.file, write, CVAT.read, images=ImageLayout("images"))


def _head(count: int, clip: Clip) -> str:
    labels = "".join(
        f"<label><name>{escape(name)}</name><type>mask</type><attributes></attributes></label>\n"
        for name in clip.number_classes()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta>\n<task>\n'
        f"<name>{escape(replace_non_xml(clip.name))}</name>\n<size>{count}</size>\n<mode>annotation</mode>\n"
        f"<labels>\n{labels}</labels>\n</task>\n</meta>\n"
    )


def _element(mask: RleMask, label: str) -> str:
    """Return a mask as the runs along the rows of its box, background first; "" if it is empty."""
    left, top, right, bottom = rle.compute_box(mask.rle)
    if left == right:
        return ""
    runs = encode_runs(rle.decode(mask.rle)[top:bottom, left:right])
    return (
        f'<mask label={quoteattr(label)} source="auto" occluded="0" rle="{", ".join(map(str, runs))}" '
        f'left="{left}" top="{top}" width="{right - left}" height="{bottom - top}" z_order="0" '
        f'group_id="{mask.object_id}"></mask>\n'
    )
