"""Segmentation of images by the command line: progress, warnings, and a record for each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from masklet.cli import console
from masklet.cli.console import print_warnings
from masklet.cli.tracking_warnings import print_warning
from masklet.errors import MaskletError
from masklet.image_sets.request import ImageSetRequest, SegmentedImage
from masklet.image_sets.request_checks import check_request, is_logged
from masklet.image_sets.run import run_request

if TYPE_CHECKING:
    from masklet.masks.masks import Masks
    from masklet.masks.object_detection import ObjectDetection
    from masklet.segmenter import Segmenter

__all__ = ["check", "print_warnings", "run"]


def check(request: ImageSetRequest) -> None:
    """Check a request before the model is loaded. See `check_request`."""
    check_request(request)


def run(segmenter: Segmenter, request: ImageSetRequest, *, skipped: int, load_seconds: float, as_json: bool) -> int:
    """Segment the images, print the results and return the exit status.

    Args:
        segmenter: The model.
        request: The request, which was checked.
        skipped: Number of images that are left out, for the summary.
        load_seconds: Time of loading the model, for the summary.
        as_json: Print the summary as JSON.

    Raises:
        MaskletError: The only image, or a reference image, cannot be read or does not fit its prompts, or output cannot
            be written.
    """
    with print_warnings(), _hint_at_resume(request):
        records = _segment(segmenter, request)
    if as_json:
        summary = {"model": segmenter.config.name, "load_seconds": round(load_seconds, 3)}
        console.print_json({**summary, "skipped": skipped, "pictures": records})
    else:
        _print_records(records, skipped=skipped, count_found=request.references)
        if request.detector is not None:
            _report_detected(records)
    return console.PARTLY_DONE if any("error" in record for record in records) else 0


def _segment(segmenter: Segmenter, request: ImageSetRequest) -> list[dict[str, Any]]:
    records, count = [], len(request.images)
    with console.progress("segmenting", unit="images") as progress:
        for done, result in enumerate(run_request(segmenter, request), start=1):
            records.append(_describe(result, only=count == 1))
            progress(done, count)
    return records


@contextmanager
def _hint_at_resume(request: ImageSetRequest) -> Iterator[None]:
    """Say how to resume a run that is interrupted after its first image, and add it as the hint of an error."""
    hint = "finished images are saved; run the same command with --resume to continue"
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if is_logged(request):
            console.say(hint)
        raise
    except MaskletError as error:
        if not error.hint and error.code in ("disk-full", "out-of-memory") and is_logged(request):
            error.hint = hint
        raise


def _describe(result: SegmentedImage, *, only: bool) -> dict[str, Any]:
    """Print the error or the warnings of an image, and return its record."""
    path, detections = str(result.path), {one.object_id: one for one in result.detections}
    if result.error is not None:
        return console.record_failed_image(path, result.error, only=only)
    assert result.masks is not None, "an image has masks or an error"
    for warning in () if result.resumed else result.masks.warnings:
        print_warning(warning, None if only else path)
    return {
        "picture": path,
        "size": list(result.masks.size),
        **({} if result.reference is None else {"reference": result.reference}),
        **({"resumed": True} if result.resumed else {}),
        "encode_seconds": round(result.encode_seconds, 4),
        "decode_seconds": round(result.decode_seconds, 4),
        "objects": [
            _describe_object(object_mask, detections.get(object_mask.object_ids[0])) for object_mask in result.masks
        ],
        "warnings": [warning.to_record() for warning in result.masks.warnings],
        "files": {name: str(file) for name, file in result.files.items()},
    }


def _describe_object(object_mask: Masks, detection: ObjectDetection | None) -> dict[str, Any]:
    """Return the record of one mask."""
    label = object_mask.labels[0]
    return {
        "id": object_mask.object_ids[0],
        **({} if label is None else {"label": label}),
        "score": round(float(object_mask.scores[0]), 4),
        **({} if detection is None else {"detection": _describe_detection(detection)}),
        "visible": bool(object_mask.visible[0]),
        "area": int(object_mask.areas[0]),
        "box": object_mask.boxes[0].tolist(),
    }


def _describe_detection(detection: ObjectDetection) -> dict[str, Any]:
    return {"score": round(detection.score, 4), "box": [round(edge, 2) for edge in detection.box]}


def _report_detected(records: Sequence[dict[str, Any]]) -> None:
    """Print, on standard error, in how many images each class was found."""
    finished = [record for record in records if "error" not in record]
    counts = Counter(item["label"] for record in finished for item in record["objects"])
    found = Counter(label for record in finished for label in {item["label"] for item in record["objects"]})
    for label, count in counts.items():
        console.say(f"{label}: {count} in {found[label]} of {len(finished)} images")
    if empty := sum(not record["objects"] for record in finished):
        console.say(f"nothing found in {empty} of {len(finished)} images; a lower --detect-score finds more")


def _print_records(records: Sequence[dict[str, Any]], *, skipped: int, count_found: bool) -> None:
    """Print the records and, on standard error, how many images were skipped, failed, or show each object."""
    finished = [record for record in records if "error" not in record]
    for record in finished:
        _print_record(record)
    if resumed := sum("resumed" in record for record in records):
        console.say(f"{resumed} of {len(records)} images were finished before")
    if skipped:
        console.say(f"skipped {skipped} of {len(records) + skipped} images, which have no prompt")
    if failed := [record["picture"] for record in records if "error" in record]:
        console.say(f"{len(failed)} of {len(records)} images failed: {', '.join(failed)}")
    if count_found:
        objects = [item for record in finished for item in record["objects"]]
        found = Counter(_name(item) for item in objects if item["area"])
        for name in dict.fromkeys(map(_name, objects)):
            console.say(f"{name} found in {found[name]} of {len(finished)} images")


def _print_record(record: dict[str, Any]) -> None:
    """Print one line per object and one with the files."""
    height, width = record["size"]
    for item in record["objects"]:
        cells = [
            record["picture"],
            _name(item),
            f"score {item['score']:.2f}",
            *([f"detection {item['detection']['score']:.2f}"] if "detection" in item else []),
            f"{100 * item['area'] / (height * width):.1f} % of the image" if item["area"] else "empty",
            f"box {', '.join(f'{side:g}' for side in item['box'])}",
        ]
        console.print_line("  ".join(cells))
    encode, decode = record["encode_seconds"], record["decode_seconds"]
    note = f"encode {encode:.2f} s, decode {decode:.2f} s" if encode else f"{decode:.2f} s"
    note = "finished before" if "resumed" in record else note
    console.print_line(f"  → {', '.join(record['files'].values())}  ({note})")


def _name(item: dict[str, Any]) -> str:
    """Return the object id and the label of an object's record."""
    return f"object {item['id']}" + (f" ({item['label']})" if "label" in item else "")
