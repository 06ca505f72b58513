"""Masks out of whatever file or folder they are in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from masklet.errors import FormatError, PromptError
from masklet.files.image_files import has_image_suffix
from masklet.files.json_fields import Fields, name_errors, read_fields
from masklet.files.open_input import require_input
from masklet.formats import coco, cvat_reader, label_maps, labelme, mots, npz, sa1b, yolo, ytvis
from masklet.formats.format import Reader
from masklet.formats.frame_masks import ReadMask, frame_of
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame


def read(path: str | Path) -> Iterator[TrackedFrame]:
    """The frames of a file or folder in any format that has masks, one at a time, in order.

    The format is told by the name's suffix, for JSON by what it holds, for a folder by what is in it. Raises
    `InputNotFound`, and `FormatError` (`unsupported-format`, `annotation-broken`, `bad-rle`).
    """
    place = require_input(path)
    return _reader(place)(place)


def masks_at(path: str | Path, frame: int = 0) -> Masks:
    """The masks of one frame; of a file that is not a video's, its masks, whatever frame they are meant for.

    Raises `PromptError` (`unknown-frame`) where the file does not have the frame.
    """
    seen: list[int] = []
    last = None
    for last in read(path):
        seen.append(last.index)
        if last.index == frame:
            return last.masks
    if last is not None and len(seen) == 1 and Path(path).is_file():
        return last.masks
    held = f"frames {seen[0]} to {seen[-1]}" if seen else "no frames"
    raise PromptError("unknown-frame", f"{path} holds {held}, not {frame}")


def _reader(path: Path) -> Reader:
    if path.is_dir():
        return _folder_reader(path)
    suffix = path.suffix.lower()
    if has_image_suffix(path) or suffix == ".npy":
        return label_maps.read_frames
    readers = {".npz": npz.read, ".xml": cvat_reader.read, ".txt": mots.read, ".json": _read_json}
    if suffix not in readers:
        message = f"{path}: masks are read from pictures, .npy, .npz, .json, .xml and .txt, or a folder of them"
        raise FormatError("unsupported-format", message, path=str(path))
    return readers[suffix]


def _folder_reader(path: Path) -> Reader:
    names = {entry.name for entry in path.iterdir()}
    suffixes = {Path(name).suffix.lower() for name in names if not name.startswith(".")}
    if "labels" in names:
        return yolo.read
    if ".png" in suffixes:
        return label_maps.read_frames
    if ".json" in suffixes:
        return labelme.read
    return label_maps.read_objects


def _read_json(path: Path) -> Iterator[TrackedFrame]:
    file = read_fields(path)
    if "shapes" in file:
        return labelme.read_file(file)
    if "images" in file:
        return coco.read_frames(file)
    if "videos" in file:
        return ytvis.read_frames(file)
    if {"image", "annotations"} <= file.names:
        return _read_findings(file)
    if {"size", "masks"} <= file.names:
        return _read_masks(file)
    message = (
        f"{path} is none of the JSON files that hold masks: COCO, YouTube-VIS, LabelMe, SA-1B, or saved by Masks.save"
    )
    raise FormatError("unsupported-format", message, path=str(path))


def _read_findings(file: Fields) -> Iterator[TrackedFrame]:
    """One image of SA-1B, or what `Findings.save` writes."""
    size, masks = sa1b.parse(file)
    with name_errors(file.source):
        frame = frame_of(0, None, size, masks)
    yield frame


def _read_masks(file: Fields) -> Iterator[TrackedFrame]:
    """What `Masks.save` writes."""
    if len(file.integers("size")) != 2:
        raise file.error("'size' must be [height, width]")
    height, width = file.integers("size")
    rows = file.objects("masks")
    masks = [ReadMask(row.integer("object_id"), row.number("score", 1.0), row.object("rle").value) for row in rows]
    with name_errors(file.source):
        frame = frame_of(0, None, (height, width), masks)
    yield frame
