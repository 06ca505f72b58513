"""Tracking jobs of the command line: check the request, track, write each frame, and return a summary."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from masklet.cli import console
from masklet.cli.object_summary import summarize_objects
from masklet.cli.progress import show_job_progress
from masklet.cli.spacing_option import find_spacing
from masklet.cli.track_request import TrackRequest
from masklet.cli.tracking_warnings import TrackingWarnings
from masklet.errors import MaskletError, ResourceError, SettingsError, VideoError, warn
from masklet.files.image_files import IMAGE_TYPES
from masklet.files.outputs import output_exists
from masklet.formats import Clip, FolderFormat, Format, Output, name_frames
from masklet.formats.coco import COCO
from masklet.formats.format import check_formats
from masklet.formats.image_layout import FRAME_MODES
from masklet.formats.job_folder import FOLDER, find_created_folders, list_image_folders, list_new_folders, remove_job
from masklet.formats.label_maps import PNG
from masklet.formats.ytvis import YTVIS
from masklet.jobs import fingerprint
from masklet.jobs.frame_log import FILE_NAME, FrameLog
from masklet.jobs.track_job import TrackJob, run_job
from masklet.masks.label_map import check_object_ids
from masklet.masks.postprocessing import PostProcessing
from masklet.masks.rle_frame import RleFrame, list_object_ids
from masklet.memory.policies import policy_to_fields
from masklet.memory.recent_memory import RECENT_MEMORY
from masklet.segmenter import Segmenter
from masklet.tracking.auto_tracker import AutoTrackOptions
from masklet.tracking.schedule import Schedule
from masklet.tracking.traversal import plan_traversal
from masklet.video import VideoOptions, open_video
from masklet.video.frame_folder import find_frame_files, name_video
from masklet.video.image_sequence import ImageSequence
from masklet.views.view_fields import write_view


def run(request: TrackRequest) -> dict[str, Any]:
    """Track, write every format and return a summary. After an interrupt or error, print how to resume.

    Raises:
        MaskletError: The request, the video or the model is invalid, or the output cannot be written.
    """
    with console.print_warnings():
        video = _open(request)
        span = request.range
        prompted = [span.start] if request.auto_track else request.schedule
        traversal = plan_traversal(
            len(video), prompted, direction=span.direction, start=span.start, stop=span.stop, every=span.every
        )
        check_prompts(request.schedule, video.size, request.formats)
        check_formats(request.formats, video)
        _check_output(request)
        model = request.model.load()
        check_model(model, request.postprocessing)
        job = TrackJob(
            model.backend,
            video,
            request.schedule,
            traversal,
            request.postprocessing,
            request.policy.carry,
            request.auto_track,
            model.view,
            model.memory,
            with_edges=any(form.shows_edges for form in request.formats),
        )
        with _hint_at_resume(request):
            if request.overwrite:
                remove_job(request.out)
            with FrameLog(request.out / FOLDER, _describe(job, request), extends=_is_longer) as log:
                return _JobRun(job, log, request).finish()


def check_prompts(schedule: Schedule, size: tuple[int, int], formats: Sequence[Format]) -> None:
    """Check prompts before the model is loaded.

    Args:
        schedule: Prompts by frame and object id.
        size: Height and width of the frames.
        formats: The formats to write.

    Raises:
        PromptError: A prompt lies outside the frames.
        FormatError: One of `formats` cannot hold an object id.
    """
    for prompts in schedule.values():
        for prompt in prompts.values():
            prompt.check_fits(size)
        if PNG in formats:
            check_object_ids(prompts)


def check_model(model: Segmenter, postprocessing: PostProcessing) -> None:
    """Raise `SettingsError` if the model cannot be combined with the post-processing, in the names of the options."""
    if not (postprocessing.non_overlapping and postprocessing.in_memory):
        return
    if model.zoom:
        message = f"--apart with --remember-cleaned cannot be combined with a zoom of {model.zoom:g}; add --zoom 0"
        raise SettingsError("bad-usage", message)
    if model.memory.revises:
        message = f"--apart with --remember-cleaned cannot be combined with --memory {model.memory.name}; leave it out"
        raise SettingsError("bad-usage", message)


def _open(request: TrackRequest) -> Any:
    """Open the video; with `strict`, raise `VideoError` if it is truncated."""
    policy = request.policy
    try:
        options = VideoOptions(autorotate=policy.rotate, rescale=policy.rescale, value_range=policy.value_range)
        video = open_video(request.source, options)
    except VideoError as error:
        if error.context.get("kind") in IMAGE_TYPES:
            error.hint = f"masklet segment {request.source} segments an image"
        raise
    if policy.strict and video.truncated:
        raise VideoError("video-truncated", f"{request.source} is truncated after {len(video)} frames")
    if isinstance(video, ImageSequence):
        try:
            video.check_sizes()
        except VideoError as error:
            _hint_at_resizing(error)
            raise
    return video


class _JobRun:
    """One run of a job, from its start or from its first unfinished frame."""

    def __init__(self, job: TrackJob, log: FrameLog, request: TrackRequest) -> None:
        self._job, self._log, self._formats, self._strict = job, log, request.formats, request.policy.strict
        files = find_frame_files(str(request.source))
        object_ids = sorted({object_id for prompts in job.schedule.values() for object_id in prompts})
        self._clip = Clip(
            name=name_video(request.source),
            size=job.video.size,
            object_ids=tuple(object_ids),
            video=job.video,
            path=request.source,
            names=name_frames(files),
            labels=collect_prompt_labels(job.schedule),
            background=request.background,
            spacing_of=find_spacing(request.source, request.spacing, request.formats, job.video),
            files=files,
        )
        self._out, self._frames = request.out, request.frames
        self._output = Output(self._out, self._clip, self._frames)
        self._finished_before, self._started = len(log), time.monotonic()
        self._warnings = TrackingWarnings(job.schedule, automatic=job.auto_track is not None)

    def finish(self) -> dict[str, Any]:
        """Track the remaining frames, write the formats and return the summary."""
        error: VideoError | None = None
        try:
            self._track()
        except VideoError as caught:  # the rest of the video cannot be read: write the frames that are finished
            _hint_at_resizing(caught)
            if self._strict or not len(self._log):
                raise
            console.print_error(error := caught)
        seconds = time.monotonic() - self._started
        if self._job.auto_track:
            self._clip = replace(self._clip, object_ids=tuple(list_object_ids(self._log)))
            self._output = Output(self._out, self._clip, self._frames)
        self._warn_of_missing_edges()
        for form in self._formats:
            self._write(form, final=error is None)
        self._suggest_frames()
        return self._summarize(seconds, error)

    def _track(self) -> None:
        # Most formats need all object ids in advance, so with automatic tracking they are written at the end.
        live = [form for form in self._formats if isinstance(form, FolderFormat) and not self._job.auto_track]
        live = [form for form in live if self._make_note(form) not in self._log.notes]
        images = list_image_folders(form for form in self._formats if self._output.images_of(form))
        self._log.add_note(
            live=[self._name(form, form.log_name) for form in live],
            formats=[form.name for form in self._formats],
            created=list_new_folders(self._formats, self._out),
            image_folders=[folder for folder in images if not (self._out / folder).exists()],
        )
        for form in live:
            self._output.prepare(form)
        title = f"{_name_action(self._job.auto_track)} {self._clip.name}"
        self._warnings.note(self._log.read(frame for frame in self._job.traversal.order if frame in self._log))
        with show_job_progress(title, len(self._job.traversal), self._finished_before) as report:
            for frame in run_job(self._job, self._log):
                if self._strict and frame.corrupt:
                    raise VideoError("frame-corrupt", f"frame {frame.index} cannot be decoded completely")
                for form in live:
                    self._output.add(form, frame)  # before the log lists the frame as finished
                if frame.index in self._log:
                    self._log.revise(frame)
                else:
                    self._log.append(frame)
                    self._warnings.report(frame)
                report(len(self._log), len(frame.object_ids))

    def _write(self, form: Format, *, final: bool) -> None:
        """Write a format unless this run or an earlier one has written all of it."""
        notes, name = self._log.notes, self._name(form, form.log_name)
        always_live = isinstance(form, FolderFormat) and all(name in note["live"] for note in notes if "live" in note)
        is_written = self._make_note(form) in notes
        if isinstance(form, FolderFormat) and (is_written or always_live):
            self._restore(form)
        if is_written and (isinstance(form, FolderFormat) or self._is_complete(form)):
            if self._output.images_of(form):
                self._write_images(form, name)
            return
        if self._output.images_of(form):
            self._write_images(form, name)
        if not always_live:
            with console.progress(f"writing {self._output.path_of(form)}") as report:
                self._output.write(form, _ReportedFrames(self._log, report))
        if final:
            if not isinstance(form, FolderFormat):
                self._log.add_note(bytes={form.name: self._output.measure(form)})
            self._log.add_note(**self._make_note(form))

    def _write_images(self, form: Format, name: str) -> None:
        """Write the images of the frames, except those that an interrupted run has written."""
        is_started = {"images": name} in self._log.notes
        if not is_started:
            self._log.add_note(images=name)
        with console.progress(f"writing frames for {self._output.path_of(form)}") as report:
            self._output.write_images(form, self._log, skip_existing=is_started, progress=report)
        if isinstance(form, FolderFormat):
            self._remove_other_images(form)

    def _remove_other_images(self, form: FolderFormat) -> None:
        """Remove the images that earlier runs wrote in another mode, since tools read every image of the folder."""
        for mode in FRAME_MODES:
            name = f"{form.log_name}+{mode}"
            if {"images": name} in self._log.notes and name != self._name(form, form.log_name):
                Output(self._out, self._clip, mode).remove_images(form, self._log, keep=self._output)

    def _name(self, form: Format, name: str) -> str:
        """Return the name of a format and its images in notes: with other images, its files are others."""
        images = self._output.images_of(form)
        return f"{name}+{images.mode}" if images else name

    def _make_note(self, form: Format) -> dict[str, Any]:
        """Return the note that all of a format is written."""
        return {"wrote": self._name(form, form.name)}

    def _suggest_frames(self) -> None:
        """Say how to write the frames that COCO and YouTube-VIS files of a video file name."""
        forms = [form for form in self._formats if form in (COCO, YTVIS) and not self._output.images_of(form)]
        if forms and self._frames is None and self._clip.files is None:
            files = " and ".join(Path(self._output.path_of(form)).name for form in forms)
            console.say(f"the frames that {files} names are not written; --frames jpg --resume adds them")

    def _warn_of_missing_edges(self) -> None:
        """Warn of frames that an earlier run without mattes tracked, which stored no soft edges."""
        if any(form.shows_edges for form in self._formats):
            missing = sum(None in frame.edges for frame in self._log)
            if missing:
                message = f"{missing} frames were tracked without mattes, so their edges are smoothed from the masks"
                warn("edges-missing", f"{message}; --overwrite tracks them again, with soft edges")

    def _restore(self, form: FolderFormat) -> None:
        """Write the files of finished frames that were removed or changed since a run wrote them."""
        if self._finished_before or self._output.has_lost_files(form):
            with console.progress(f"checking {self._output.path_of(form)}") as report:
                self._output.restore(form, _ReportedFrames(self._log, report))

    def _is_complete(self, form: Format) -> bool:
        """Return whether the file that an earlier run wrote is there in its length."""
        now = self._output.measure(form)
        sizes = [note["bytes"].get(form.name) for note in self._log.notes if isinstance(note.get("bytes"), dict)]
        known = [size for size in sizes if size is not None]
        return now is not None and (not known or now == known[-1])

    def _summarize(self, seconds: float, error: MaskletError | None) -> dict[str, Any]:
        tracked = len(self._log) - self._finished_before
        return {
            "video": str(self._clip.path),
            "frames": len(self._log),
            "frames_finished_before": self._finished_before,
            "seconds": round(seconds, 3),
            "frames_per_second": round(tracked / seconds, 3) if seconds else None,
            "objects": summarize_objects(self._log, self._clip.object_ids),
            "warnings": self._warnings.to_records(),
            "corrupt_frames": [frame.index for frame in self._log if frame.corrupt],
            "truncated": self._job.video.truncated,
            "error": console.error_record(error) if error else None,
            "files": {form.name: str(self._output.path_of(form)) for form in self._formats},
        }


def _name_action(options: AutoTrackOptions | None) -> str:
    if options is None:
        return "tracking"
    return "tracking everything in" if options.detector is None else "tracking detected objects in"


def collect_prompt_labels(schedule: Schedule) -> dict[int, str]:
    """Collect the labels of the objects by object id."""
    prompts = (item for by_object in schedule.values() for item in by_object.items())
    return {object_id: prompt.label for object_id, prompt in prompts if prompt.label}


@dataclass(frozen=True, slots=True)
class _ReportedFrames:
    """The frames of a log. Iteration reports how many frames have been read."""

    log: FrameLog
    report: console.Progress

    def __iter__(self) -> Iterator[RleFrame]:
        for done, frame in enumerate(self.log, start=1):
            yield frame
            self.report(done, len(self.log))


def _hint_at_resizing(error: VideoError) -> None:
    if error.code in ("frames-inconsistent", "resolution-changed"):
        error.hint = "--on-resize scale resizes it to the size of the first frame"


def _describe(job: TrackJob, request: TrackRequest) -> dict[str, Any]:
    """Return all settings and inputs that the masks depend on. A resumed job must have the same ones."""
    policy = request.policy
    return {
        **({"watch": request.auto_track.to_json()} if request.auto_track else {}),
        **{name: value for name, value in write_view(job.view).items() if value},
        **({"memory": policy_to_fields(job.memory)} if job.memory != RECENT_MEMORY else {}),
        **({"value_range": [*policy.value_range]} if policy.value_range else {}),
        "video": fingerprint.fingerprint_source(request.source),
        "prompts": fingerprint.fingerprint_prompts(request.schedule),
        "model": {"name": job.backend.config.name, "weights": job.backend.identity, "size": job.backend.input_size},
        "dtype": request.model.dtype or "float32",
        "range": asdict(request.range),
        "cleaning": request.postprocessing.to_fields(),
        # `strict` is stored as false, so that a job can be resumed with or without it: it does not change the masks.
        "care": {"rotate": policy.rotate, "rescale": policy.rescale, "carry": policy.carry, "strict": False},
    }


def _is_longer(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a description is that of an earlier forward job, but with a later end of the range."""
    before, after = was.get("range"), now["range"]
    if not isinstance(before, dict) or not isinstance(before.get("stop"), int) or after["direction"] != "forward":
        return False
    same = {**was, "range": {**before, "stop": after["stop"]}} == now
    return same and (after["stop"] is None or after["stop"] > before["stop"])


def _check_output(request: TrackRequest) -> None:
    """Raise `ResourceError` (`output-exists`) if there is output that the options do not allow to replace."""
    if request.overwrite:
        _check_source_remains(request)
        return
    if output_exists(request.out / FOLDER / FILE_NAME):
        if not request.resume:
            hint = "--resume continues it, --overwrite replaces it, --out writes elsewhere"
            raise ResourceError("output-exists", f"{request.out} contains a job", hint=hint)
        return
    with_images = [form for form in request.formats if _takes_images(form, request)]
    folders = [request.out / name for name in list_image_folders(with_images)]
    for place in [*(form.path_in(request.out) for form in request.formats), *folders]:
        if output_exists(place):
            hint = "--overwrite replaces it, --out writes elsewhere"
            raise ResourceError("output-exists", f"{place} exists and belongs to no job", hint=hint)


def _takes_images(form: Format, request: TrackRequest) -> bool:
    """Return whether images are written beside the file of a format."""
    return form.images is not None and (form.images.is_required if request.frames is None else request.frames != "none")


def _check_source_remains(request: TrackRequest) -> None:
    """Raise `SettingsError` if the frames are images that --overwrite would remove with an earlier job."""
    removed = {Path(os.path.realpath(folder)) for folder in find_created_folders(request.out)}
    for file in find_frame_files(str(request.source)) or [] if removed else []:
        if found := removed.intersection(Path(os.path.realpath(file)).parents):
            message = f"--overwrite removes {found.pop()}, which has the frames of {request.source}"
            raise SettingsError("bad-usage", f"{message}; write elsewhere with --out")


@contextmanager
def _hint_at_resume(request: TrackRequest) -> Iterator[None]:
    """Print how to resume a job that is interrupted, and add it as the hint of an error."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if _has_log(request):
            console.say(_resume_hint())
        raise
    except MaskletError as error:
        if not error.hint and error.code not in ("resume-mismatch", "job-locked") and _has_log(request):
            error.hint = _resume_hint()
        raise


def _has_log(request: TrackRequest) -> bool:
    return os.access(request.out / FOLDER / FILE_NAME, os.F_OK)


def _resume_hint() -> str:
    program, *words = sys.argv
    if "masklet" not in Path(program).parts[-2:] and Path(program).stem != "masklet":  # run by another program
        return "finished frames are saved; run the same command with --resume to continue"
    others = [word for word in words if word not in ("--resume", "--overwrite")]
    return f"finished frames are saved; continue with: {shlex.join(['masklet', *others, '--resume'])}"
