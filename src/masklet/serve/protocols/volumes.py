"""Volumes of NIfTI files that clients send: reading them, prompts on their slices, and their masks."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from masklet.errors import PromptError, VideoError
from masklet.files.error_translation import translate_write_errors
from masklet.files.json_fields import Fields
from masklet.formats.format import Clip
from masklet.formats.label_stack import write_nifti
from masklet.masks.rle_frame import RleFrame, encode_frame
from masklet.masks.tracked_frame import TrackedFrame
from masklet.prompts import Prompt, box, clicks
from masklet.serve.service import Service
from masklet.serve.sessions import VideoSession
from masklet.video.stacks.detection import find_stack

OBJECT = 1  # the id of the object, and its value in the mask
_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class VolumePrompts:
    """Prompts of one object.

    Attributes:
        by_slice: The prompts by slice.
        slices: The slices that the mask may cover.
    """

    by_slice: Mapping[int, Prompt]
    slices: range


def read_volume_prompts(params: Fields, shape: Shape, dimension: int) -> VolumePrompts:
    """Read the prompts of MONAI Label's parameters.

    Args:
        params: `foreground` and `background`, lists of voxels [x, y, z]; `roi`, six numbers x0, x1, y0, y1, z0, z1 as
            3D Slicer sends them, a box on the slice `slice`, or on the middle one; it also limits the slices.
        shape: Voxels of the volume along x, y and z.
        dimension: 2 to segment the slice of the first prompt only, 3 for the volume.

    Raises:
        PromptError: `no-prompts`, or `bad-prompt`: A voxel lies outside the volume, or only background is marked.
    """
    points: dict[int, list[tuple[float, float, int]]] = {}
    for name, label in (("foreground", 1), ("background", 0)):
        for number, voxel in enumerate(params.arrays(name) if params.get(name) else []):
            x, y, z = _read_voxel(voxel, f"{name} {number}", shape)
            points.setdefault(z, []).append((x + 0.5, y + 0.5, label))  # a voxel's number means its center
    prompts = {z: clicks([(x, y) for x, y, _ in rows], [label for *_, label in rows]) for z, rows in points.items()}
    slices = range(shape[2])
    if params.get("roi"):
        z, corners, slices = _read_roi(params, shape)
        prompts[z] = corners + prompts[z] if z in prompts else corners
    marked = [z for z, prompt in prompts.items() if prompt.marks_object]
    if not marked:
        raise PromptError("no-prompts", "nothing is marked; send foreground voxels [[x, y, z]] or a roi of 6 numbers")
    if dimension == 2:
        return VolumePrompts({marked[0]: prompts[marked[0]]}, range(marked[0], marked[0] + 1))
    outside = [z for z in prompts if z not in slices]
    if outside:
        raise PromptError("bad-prompt", f"the prompt on slice {outside[0]} lies outside the roi's slices {slices}")
    return VolumePrompts(prompts, slices)


async def segment_volume(service: Service, session: VideoSession, prompts: VolumePrompts) -> bytes:
    """Segment a volume, and return its mask as a compressed NIfTI file of 0 and `OBJECT`.

    Args:
        service: The service.
        session: The session of the volume, whose earlier prompts are forgotten.
        prompts: The prompts. Other slices are tracked in both directions.
    """
    if OBJECT in session.object_ids:
        await session.remove_object(OBJECT)
    frames: dict[int, RleFrame] = {}
    for z in sorted(prompts.by_slice, key=lambda z: (not prompts.by_slice[z].marks_object, z)):
        masks = await session.prompt(z, {OBJECT: prompts.by_slice[z]})
        frames[z] = await service.run_in_thread(encode_frame, TrackedFrame(z, None, masks.of(OBJECT)))
    if len(prompts.slices) > 1:
        tracked = session.propagate(start=prompts.slices.start, stop=prompts.slices.stop, direction="both")
        async with aclosing(tracked):
            async for frame in tracked:
                frames[frame.index] = await service.run_in_thread(encode_frame, frame)
    return await service.run_in_thread(_write_labels, [frames[z] for z in sorted(frames)], session)


def unpack_nifti(source: BinaryIO, path: Path, max_bytes: int) -> None:
    """Write a NIfTI file, which may be compressed, to an uncompressed file.

    Raises:
        VideoError: `too-many-pixels`. It has more than `max_bytes` when it is unpacked. `unsupported-format`. The
            compressed data is damaged, or it is no NIfTI file.
        ResourceError: It cannot be written.
    """
    is_compressed = source.read(2) == _GZIP
    source.seek(0)
    reader: Any = gzip.GzipFile(fileobj=source, mode="rb") if is_compressed else source
    written = 0
    try:
        with translate_write_errors(path), path.open("wb") as target:
            while part := _read_part(reader):
                written += len(part)
                if written > max_bytes:
                    raise VideoError(
                        "too-many-pixels", f"the volume has more than {max_bytes} bytes; send a smaller one"
                    )
                target.write(part)
        if not written or find_stack(path) != "nifti":
            raise VideoError("unsupported-format", "the file must be NIfTI, .nii or .nii.gz; convert it first")
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _read_part(reader: Any) -> bytes:
    try:
        return bytes(reader.read(_CHUNK_BYTES))
    except (OSError, EOFError, zlib.error) as cause:
        raise VideoError("unsupported-format", f"the compressed volume is damaged: {cause}") from cause


def _read_voxel(value: list[Any], name: str, shape: Shape) -> Shape:
    numbers = Fields({"voxel": value}, name).integers("voxel")
    if len(numbers) != 3 or any(not 0 <= number < side for number, side in zip(numbers, shape, strict=True)):
        raise PromptError("bad-prompt", f"{name}: {numbers[:4]} is no voxel of a volume of {shape}")
    return numbers[0], numbers[1], numbers[2]


def _read_roi(params: Fields, shape: Shape) -> tuple[int, Prompt, range]:
    """Return the slice of the box, the box, and the slices that the region covers."""
    values = {str(number): value for number, value in enumerate(params.array("roi"))}
    numbers = [Fields(values, "roi").number(name) for name in values]
    if len(numbers) != 6:
        raise PromptError("bad-prompt", f"roi must be x0, x1, y0, y1, z0, z1, got {len(numbers)} numbers")
    (x0, x1), (y0, y1), (z0, z1) = (
        np.clip(sorted(numbers[axis * 2 : axis * 2 + 2]), 0, side - 1).tolist() for axis, side in enumerate(shape)
    )
    slices = range(int(z0), int(z1) + 1)
    z = params.integer("slice", -1)
    z = z if z in slices else (slices.start + slices.stop - 1) // 2
    return z, box(x0, y0, x1 + 1, y1 + 1), slices


def _write_labels(frames: Sequence[RleFrame], session: VideoSession) -> bytes:
    """Return masks as a NIfTI file with the place in space of the session's volume."""
    assert session.size is not None
    content = io.BytesIO()
    write_nifti(content, frames, Clip("volume", session.size, (OBJECT,), video=session.video))
    return content.getvalue()
