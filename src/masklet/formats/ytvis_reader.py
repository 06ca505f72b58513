"""YouTube-VIS reader: the objects of the first video of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from masklet.errors import FormatError
from masklet.files.json_fields import Fields, name_errors, read_fields
from masklet.formats.coco_reader import encode_segmentation, is_crowd, name_category, read_categories
from masklet.formats.frame_masks import MAX_FRAMES, ReadMask, build_frame, check_size
from masklet.formats.object_numbers import count_from_one
from masklet.formats.skipped import SkippedAnnotations
from masklet.masks import rle
from masklet.masks.labels import read_label
from masklet.masks.tracked_frame import TrackedFrame


def read(path: Path) -> Iterator[TrackedFrame]:
    """Read the frames of the first video of a YouTube-VIS file.

    An object is an annotation by its `id`; ids that begin below 1 are raised to begin at 1, and an annotation whose id
    is missing, is text or is that of another annotation gets a free number. The label of an object is the name of its
    category, except `UNLABELED`. Annotations that cannot be read are skipped with a warning; if none can be read, the
    first error is raised. Raises `FormatError`.
    """
    return read_frames(read_fields(path))


def read_frames(file: Fields) -> Iterator[TrackedFrame]:
    """Read the frames of a parsed file."""
    skipped = SkippedAnnotations(file.source)
    return skipped.report(_read_frames(file, skipped))


class _Video(NamedTuple):
    video_id: int | str
    size: tuple[int, int]
    indices: Sequence[int]
    times: list[float | None]


class _Track(NamedTuple):
    """An object: its id, its label, and its segmentation or null and score on every frame."""

    object_id: int | str | None
    label: str | None
    segmentations: list[Any]
    scores: list[float | None]
    place: str


def _read_frames(file: Fields, skipped: SkippedAnnotations) -> Iterator[TrackedFrame]:
    video = _parse_video(file)
    categories = read_categories(file)
    tracks: list[_Track] = []
    for number in range(len(file.array("annotations"))):
        try:
            row = file.item("annotations", number)
            if row.identifier("video_id") != video.video_id:
                skipped.add("of other videos")
            elif is_crowd(row.get("iscrowd")):
                skipped.add("of crowds")
            else:
                tracks.append(_parse_track(row, len(video.indices), categories))
        except FormatError as error:
            skipped.add_broken(error)
    numbers = _number_tracks(tracks)
    for position, index in enumerate(video.indices):
        masks: list[ReadMask] = []
        for number, track in zip(numbers, tracks, strict=True):
            if track.segmentations[position]:  # an empty list of polygons is as null
                with skipped.catch(), name_errors(track.place):
                    masks.append(_read_mask(number, track, position, video.size))
        with name_errors(file.source):
            frame = build_frame(index, video.times[position], video.size, masks)
        yield frame


def _parse_video(file: Fields) -> _Video:
    """Parse the first video. What is missing is taken from its other fields and its annotations."""
    video = next(file.objects("videos"), None)
    if video is None:
        raise file.error("it has no video")
    rows = [row for row in file.array("annotations") if isinstance(row, dict)]
    lists = [video.get("file_names"), video.get("frame_indices"), *(row.get("segmentations") for row in rows)]
    known = (len(value) for value in lists if isinstance(value, list) and value)
    length = video.integer("length", next(known, None))
    if not 0 <= length <= MAX_FRAMES:
        raise video.error(f"'length' must be 0 to {MAX_FRAMES} frames, got {length}")
    indices = range(length) if video.get("frame_indices") is None else video.integers("frame_indices")
    if len(indices) != length:
        raise video.error(f"'frame_indices' must be a list of {length} numbers, got {len(indices)}")
    codes = (code for codes in lists[2:] if isinstance(codes, list) for code in codes if isinstance(code, dict))
    sizes = (code.get("size") for code in codes)
    code_size = next((size for size in sizes if isinstance(size, list) and len(size) == 2), [None, None])
    size = video.integer("height", code_size[0]), video.integer("width", code_size[1])
    with name_errors(video.place):
        check_size(size)
    return _Video(video.identifier("id"), size, indices, _numbers(video, "times", length))


def _parse_track(row: Fields, length: int, categories: Mapping[int | str, str]) -> _Track:
    segmentations = row.array("segmentations")
    if len(segmentations) != length:
        raise row.error(f"'segmentations' must have {length} entries, one per frame, got {len(segmentations)}")
    with name_errors(row.place):
        label = read_label(name_category(row, categories))
    object_id = None if row.get("id") is None else row.identifier("id")
    return _Track(object_id, label, segmentations, _numbers(row, "scores", length), row.place)


def _number_tracks(tracks: Sequence[_Track]) -> list[int]:
    ids = count_from_one(track.object_id for track in tracks if isinstance(track.object_id, int))
    new_numbers = count(max(ids.values(), default=0) + 1)
    numbers: list[int] = []
    for track in tracks:
        number = ids.get(track.object_id) if isinstance(track.object_id, int) else None
        numbers.append(next(new_numbers) if number is None or number in numbers else number)
    return numbers


def _read_mask(number: int, track: _Track, position: int, size: tuple[int, int]) -> ReadMask:
    score = track.scores[position]
    code = encode_segmentation(track.segmentations[position], size)
    found, _ = rle.read_runs(code)
    if found != size:
        raise FormatError("annotation-broken", f"the mask has size {found} (H, W), its video {size}")
    return ReadMask(number, 1.0 if score is None else score, code, track.label)


def _numbers(row: Fields, name: str, length: int) -> list[float | None]:
    """Read a list with a number or null per frame."""
    if row.get(name) is None:
        return [None] * length
    values = row.array(name)
    is_valid = all(value is None or (isinstance(value, int | float) and abs(value) < 2**1023) for value in values)
    if len(values) != length or not is_valid:
        raise row.error(f"{name!r} must be a list of {length} numbers")
    return [None if value is None else float(value) for value in values]
