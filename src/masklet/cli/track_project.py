"""Tracking of a project on the command line: every object through all frames that are not tracked yet."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from masklet.cli import console
from masklet.cli.console import print_warnings
from masklet.cli.options import ModelOptions
from masklet.cli.progress import show_job_progress
from masklet.cli.track_run import check_model
from masklet.cli.tracking_warnings import WarningLines
from masklet.errors import PromptError, StateError
from masklet.masks.postprocessing import PostProcessing
from masklet.project.media import open_medium
from masklet.project.project import Project
from masklet.project.tracking import TrackingPlan, plan_tracking, run_tracking
from masklet.segmenter import Segmenter


def track_project(
    folder: Path, media: Sequence[int], model: ModelOptions, postprocessing: PostProcessing
) -> dict[str, Any]:
    """Track the objects of a project and return a summary. The frames that are tracked are saved at an interrupt.

    Args:
        folder: The project.
        media: The videos; none for all.
        model: Options of the model.
        postprocessing: Post-processing of masks.

    Raises:
        MaskletError: The project, a video or the model is invalid, or there is nothing to track.
    """
    with print_warnings(), Project.open(folder, create=False) as project:
        plans = _plan(project, media)
        records: list[dict[str, Any]] = []
        if any(plan.objects for plan in plans):
            loaded = model.load()
            check_model(loaded, postprocessing)
            records = [_track(loaded, project, plan, postprocessing) for plan in plans if plan.objects]
        frames, seconds = (sum(record[name] for record in records) for name in ("frames", "seconds"))
        return {
            "project": str(folder),
            "videos": records,
            "frames": frames,
            "seconds": round(seconds, 3),
            "frames_per_second": round(frames / seconds, 3) if seconds else None,
        }


def _plan(project: Project, media: Sequence[int]) -> list[TrackingPlan]:
    """Plan the videos. Raises `StateError` (`no-prompts`) if no object can be tracked in any of them."""
    document = project.document
    known = document.media()
    videos = [number for number in media or known if number in known and known[number].kind == "video"]
    if wrong := [number for number in media if number not in videos]:
        listed = [number for number, one in known.items() if one.kind == "video"] or "none"
        raise PromptError("unknown-object", f"--medium {wrong[0]}: the videos of {project.folder} are {listed}")
    if not any(plan_tracking(document, number).objects for number in videos):
        message = (
            f"nothing to track; no object of {project.folder} has a mask to start from: mark one in masklet studio"
        )
        raise StateError("no-prompts", message)
    return [plan_tracking(document, number, missing_only=True) for number in videos]


def _track(model: Segmenter, project: Project, plan: TrackingPlan, postprocessing: PostProcessing) -> dict[str, Any]:
    entry = project.document.medium(plan.medium)
    started, done, warnings = time.monotonic(), 0, WarningLines()
    video = open_medium(project, plan.medium)
    assert not hasattr(video, "dtype"), "it is a video"
    title = f"tracking {entry.path}"
    with closing(video), _hint_at_continuing(), show_job_progress(title, plan.visit_count, 0) as report:
        for done, frame in enumerate(run_tracking(model, video, project, plan, postprocessing=postprocessing), start=1):
            report(done, len(frame.masks))
            warnings.report(frame.warnings)
    return {
        "medium": plan.medium,
        "path": entry.path,
        "frames": done,
        "seconds": round(time.monotonic() - started, 3),
        "objects": plan.to_json()["objects"],
        "warnings": warnings.to_records(),
    }


@contextmanager
def _hint_at_continuing() -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        console.say("tracked frames are saved; run the same command to continue")
        raise
