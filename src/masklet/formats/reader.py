"""Reader of masks: detects the format of a file or folder and reads its frames."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

from masklet.errors import FormatError, PromptError
from masklet.files.image_files import has_image_suffix
from masklet.files.json_fields import Fields, name_errors, read_json
from masklet.files.junk_files import skip_junk
from masklet.files.open_input import require_input
from masklet.formats import (
    coco_reader,
    cvat_reader,
    label_maps,
    label_stack,
    labelme_reader,
    mots,
    npz,
    sa1b,
    yolo_reader,
    ytvis_reader,
)
from masklet.formats.format import Reader
from masklet.formats.frame_masks import ReadMask, build_frame
from masklet.formats.skipped import SkippedAnnotations
from masklet.masks.labels import read_label
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.video.stacks.detection import find_stack


def read_masks(path: str | Path) -> Iterator[TrackedFrame]:
    """Read the frames of a file or folder in any format that has masks.

    The format is detected from the suffix, for JSON from the fields, and for a folder from its files.

    Args:
        path: A file or folder.

    Returns:
        The frames, one at a time, in order.

    Raises:
        InputNotFound: The file does not exist.
        FormatError: The format is not supported, or the file is broken.
    """
    source = require_input(path)
    return _reader(source)(source)


def masks_at(path: str | Path, frame: int = 0) -> Masks:
    """Read the masks of one frame. For a file with a single frame, return that frame's masks.

    Raises `PromptError` (`unknown-frame`) if the file does not have the frame.
    """
    indices: list[int] = []
    last = None
    with closing(_generate(path)) as frames:  # a reader issues its warning when it is closed
        for last in frames:
            indices.append(last.index)
            if last.index == frame:
                return last.masks
    if last is not None and len(indices) == 1 and Path(path).is_file():
        return last.masks
    available = f"frames {indices[0]} to {indices[-1]}" if indices else "no frames"
    raise PromptError("unknown-frame", f"{path} has {available}, not {frame}")


def _generate(path: str | Path) -> Generator[TrackedFrame, None, None]:
    yield from read_masks(path)


def _reader(path: Path) -> Reader:
    if path.is_dir():
        return _folder_reader(path)
    suffix = path.suffix.lower()
    if find_stack(path) in ("tiff", "nifti"):
        return label_stack.read_stack
    if has_image_suffix(path) or suffix == ".npy":
        return label_maps.read_frames
    readers = {".npz": npz.read, ".xml": cvat_reader.read, ".txt": mots.read, ".json": _read_json}
    if suffix not in readers:
        message = f"{path}: unsupported; use images, .npy, .npz, .json, .xml, .txt, or a folder of them"
        raise FormatError("unsupported-format", message, path=str(path))
    return readers[suffix]


def _folder_reader(path: Path) -> Reader:
    entries = [*skip_junk(path.iterdir())]
    suffixes = {entry.suffix.lower() for entry in entries if entry.is_file()}
    if "labels" in {entry.name for entry in entries}:
        return yolo_reader.read
    if labelme_reader.is_labelme_folder(path):
        return labelme_reader.read
    if ".png" in suffixes:
        return label_maps.read_frames
    return label_maps.read_objects


def _read_json(path: Path) -> Iterator[TrackedFrame]:
    content = read_json(path)
    if isinstance(content, list) and content:
        return coco_reader.read_results(content, path)
    file = Fields(content, path)
    if "shapes" in file:
        return labelme_reader.read_file(file)
    if "images" in file:
        return coco_reader.read_frames(file)
    if "videos" in file:
        return ytvis_reader.read_frames(file)
    if {"image", "annotations"} <= file.names:
        return _read_sa1b(file)
    if {"size", "masks"} <= file.names:
        return _read_masks(file)
    message = (
        f"{path}: unsupported JSON file; masks are read from COCO, YouTube-VIS, LabelMe, SA-1B, and Masks.save files"
    )
    raise FormatError("unsupported-format", message, path=str(path))


def _read_sa1b(file: Fields) -> Iterator[TrackedFrame]:
    """Read one image of SA-1B, or a file written by `GeneratedMasks.save`."""
    skipped = SkippedAnnotations(file.source)
    size, masks = sa1b.parse(file, skipped)
    skipped.require_readable()
    skipped.warn()
    with name_errors(file.source):
        frame = build_frame(0, None, size, masks)
    yield frame


def _read_masks(file: Fields) -> Iterator[TrackedFrame]:
    """Read a file written by `Masks.save`."""
    if len(file.integers("size")) != 2:
        raise file.error("'size' must be [height, width]")
    height, width = file.integers("size")
    rows = file.objects("masks")
    masks = [_read_saved_mask(row) for row in rows]
    with name_errors(file.source):
        frame = build_frame(0, None, (height, width), masks)
    yield frame


def _read_saved_mask(row: Fields) -> ReadMask:
    with name_errors(row.place):
        label = read_label(row.get("label"))
    return ReadMask(row.integer("object_id"), row.number("score", 1.0), row.object("rle").value, label)
