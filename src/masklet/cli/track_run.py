"""A tracking job as the command line runs it: checked first, written frame by frame, summed up at the end."""

from __future__ import annotations

import shlex
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from masklet.cli import console
from masklet.cli.object_summary import object_records
from masklet.cli.options import loaded
from masklet.cli.overwrite import FOLDER, clear, created_by
from masklet.cli.progress import meter
from masklet.errors import MaskletError, MaskletWarning, ResourceError, SettingsError, VideoError
from masklet.files.outputs import output_exists
from masklet.formats import Clip, FolderFormat, Format, Output
from masklet.formats.label_maps import PNG
from masklet.jobs import fingerprint
from masklet.jobs.frame_log import NAME, Journal
from masklet.jobs.track_job import Job, finish
from masklet.masks.label_map import check_ids
from masklet.masks.postprocessing import Cleaning
from masklet.masks.rle_frame import CodedFrame, objects
from masklet.segmenter import Segmenter
from masklet.tracking.auto_tracker import Watch
from masklet.tracking.propagate import Schedule
from masklet.tracking.traversal import walk_through
from masklet.video import VideoOptions, open_video
from masklet.video.frame_folder import name_of, pictures_of
from masklet.video.image_sequence import Pictures


@dataclass(frozen=True, slots=True)
class Range:
    """Which frames are visited, and in which order."""

    direction: Literal["forward", "backward", "both"]
    start: int
    stop: int | None
    every: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """Which model runs, and how; None is what `load` chooses."""

    model: str
    size: int | None
    device: str | None
    dtype: str | None
    zoom: float | None = None

    def load(self) -> Segmenter:
        """The model, downloaded if need be."""
        return loaded(**asdict(self))


@dataclass(frozen=True, slots=True)
class Care:
    """What is done about a video that is not as it should be. `rotate` obeys the rotation that a file asks for,
    `rescale` brings frames of another size to the first one's, `carry` gives frames that cannot be decoded the masks
    before them, `strict` takes neither those nor a video without its end."""

    rotate: bool = True
    rescale: bool = False
    carry: bool = False
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for."""

    source: Path
    schedule: Schedule
    range: Range
    runtime: Runtime
    cleaning: Cleaning
    care: Care
    out: Path
    formats: list[Format]
    resume: bool
    overwrite: bool
    watch: Watch | None = None  # instead of a schedule: everything is to be found

    def __post_init__(self) -> None:
        if self.resume and self.overwrite:
            message = "--resume goes on with what is there, --overwrite replaces it; choose one"
            raise SettingsError("bad-usage", message)


def run(wishes: Wishes) -> dict[str, Any]:
    """Track, write everything, and tell what came of it. After an interrupt or a fault a line says how to go on."""
    with _warnings_told():
        video = _opened(wishes)
        prompted = [wishes.range.start] if wishes.watch else wishes.schedule
        walk = walk_through(len(video), prompted, **asdict(wishes.range))
        check_prompts(wishes.schedule, video.size, wishes.formats)
        _check_free(wishes)
        model = wishes.runtime.load()
        care, watch = wishes.care, wishes.watch
        job = Job(model.backend, video, wishes.schedule, walk, wishes.cleaning, care.carry, watch, model.zoom)
        with _way_on(wishes):
            if wishes.overwrite:
                clear(wishes.out)
            with Journal(wishes.out / FOLDER, _description(job, wishes)) as journal:
                return _Run(job, journal, wishes).done()


def check_prompts(schedule: Schedule, size: tuple[int, int], formats: Sequence[Format]) -> None:
    """Raises `PromptError` for prompts outside pictures of `size`, `FormatError` for ids that one of `formats` cannot
    hold: before the model is loaded."""
    for prompts in schedule.values():
        for prompt in prompts.values():
            prompt.within(size)
        if PNG in formats:
            check_ids(prompts)


def _opened(wishes: Wishes) -> Any:
    """The video, found fit for being tracked as strictly as is wished."""
    care = wishes.care
    video = open_video(wishes.source, VideoOptions(autorotate=care.rotate, rescale=care.rescale))
    if care.strict and video.truncated:
        raise VideoError("video-truncated", f"{wishes.source} breaks off after {len(video)} frames")
    if isinstance(video, Pictures):
        try:
            video.check_sizes()
        except VideoError as error:
            _hint_at_resizing(error)
            raise
    return video


class _Run:
    """One start of a job."""

    def __init__(self, job: Job, journal: Journal, wishes: Wishes) -> None:
        self._job, self._journal, self._formats, self._strict = job, journal, wishes.formats, wishes.care.strict
        object_ids = sorted({object_id for prompts in job.schedule.values() for object_id in prompts})
        self._clip = Clip(
            name=name_of(wishes.source),
            size=job.video.size,
            object_ids=tuple(object_ids),
            video=job.video,
            path=wishes.source,
            names=_names(pictures_of(str(wishes.source)) or []),
        )
        self._out = wishes.out
        self._output = Output(self._out, self._clip)
        self._before, self._started = len(journal), time.monotonic()

    def done(self) -> dict[str, Any]:
        """Do what is left to do; tell what there is."""
        stopped: VideoError | None = None
        try:
            self._track()
        except VideoError as error:  # the video cannot be read any further: what was finished until there stays
            _hint_at_resizing(error)
            if self._strict or not len(self._journal):
                raise
            console.print_error(stopped := error)
        seconds = time.monotonic() - self._started
        if self._job.watch:
            self._clip = replace(self._clip, object_ids=tuple(objects(self._journal)))
            self._output = Output(self._out, self._clip)
        for form in self._formats:
            self._write(form, final=stopped is None)
        return self._record(seconds, stopped)

    def _track(self) -> None:
        # Most formats must know all objects beforehand; what is found on the way is written in the end.
        live = [form for form in self._formats if isinstance(form, FolderFormat) and not self._job.watch]
        self._journal.note(
            live=[form.name for form in live],
            formats=[form.name for form in self._formats],
            created=created_by(self._formats, self._out),
        )
        for form in live:
            self._output.prepare(form)
        title = f"{'everything in' if self._job.watch else 'tracking'} {self._clip.name}"
        with meter(title, len(self._job.walk), self._before) as report:
            for frame in finish(self._job, self._journal):
                if self._strict and frame.corrupt:
                    raise VideoError("frame-corrupt", f"frame {frame.index} cannot be decoded, or only in part")
                for form in live:
                    self._output.add(form, frame)  # before the journal says so
                self._journal.append(frame)
                report(len(self._journal), len(frame.object_ids))

    def _write(self, form: Format, *, final: bool) -> None:
        """Write what is not there yet of a format."""
        notes = self._journal.notes
        always = all(form.name in note["live"] for note in notes if "live" in note)
        if {"wrote": form.name} in notes and self._output.place(form).exists():
            return
        if not isinstance(form, FolderFormat) or not always:
            with console.progress(f"writing {self._output.place(form)}") as report:
                self._output.write(form, _Watched(self._journal, report))
        if final:
            self._journal.note(wrote=form.name)

    def _record(self, seconds: float, stopped: MaskletError | None) -> dict[str, Any]:
        fresh = len(self._journal) - self._before
        return {
            "video": str(self._clip.path),
            "frames": len(self._journal),
            "frames_finished_before": self._before,
            "seconds": round(seconds, 3),
            "frames_per_second": round(fresh / seconds, 3) if seconds else None,
            "objects": object_records(self._journal, self._clip.object_ids),
            "corrupt_frames": [frame.index for frame in self._journal if frame.corrupt],
            "truncated": self._job.video.truncated,
            "error": console.error_record(stopped) if stopped else None,
            "files": {form.name: str(self._output.place(form)) for form in self._formats},
        }


@dataclass(frozen=True, slots=True)
class _Watched:
    """The frames of a journal, with a report of how many have been gone through."""

    journal: Journal
    report: console.Progress

    def __iter__(self) -> Iterator[CodedFrame]:
        for done, frame in enumerate(self.journal, start=1):
            yield frame
            self.report(done, len(self.journal))


def _hint_at_resizing(error: VideoError) -> None:
    if error.code in ("frames-inconsistent", "resolution-changed"):
        error.hint = "--on-resize scale brings it to the first one's size"


def _names(pictures: list[Path]) -> list[str] | None:
    """What pictures are called, where their names tell them apart."""
    return (
        [path.name for path in pictures]
        if pictures and len({path.stem for path in pictures}) == len(pictures)
        else None
    )


def _description(job: Job, wishes: Wishes) -> dict[str, Any]:
    """Everything that decides the masks."""
    return {
        **({"watch": wishes.watch.told()} if wishes.watch else {}),
        **({"zoom": job.zoom} if job.zoom else {}),
        "video": fingerprint.of_source(wishes.source),
        "prompts": fingerprint.of_prompts(wishes.schedule),
        "model": {"name": job.backend.config.name, "weights": job.backend.identity, "size": job.backend.size},
        "dtype": wishes.runtime.dtype or "float32",
        "range": asdict(wishes.range),
        "cleaning": asdict(wishes.cleaning),
        "care": asdict(replace(wishes.care, strict=False)),  # which decides whether there are masks, not which
    }


def _check_free(wishes: Wishes) -> None:
    """Raises `ResourceError` (`output-exists`) where something is in the way that the user has not said to replace."""
    if wishes.overwrite:
        return
    if output_exists(wishes.out / FOLDER / NAME):
        if not wishes.resume:
            hint = "--resume goes on with it, --overwrite starts anew, --out writes elsewhere"
            raise ResourceError("output-exists", f"{wishes.out} holds a job already", hint=hint)
        return
    for form in wishes.formats:
        place = form.place(wishes.out)
        if output_exists(place):
            hint = "--overwrite writes over it, --out writes elsewhere"
            raise ResourceError("output-exists", f"{place} exists and is of no job", hint=hint)


@contextmanager
def _way_on(wishes: Wishes) -> Iterator[None]:
    """Whatever stops a job that has begun, the user learns how to go on with it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if (wishes.out / FOLDER / NAME).exists():
            console.say(_advice())
        raise
    except MaskletError as error:
        if not error.hint and error.code not in ("resume-mismatch", "job-locked"):
            error.hint = _advice()
        raise


def _advice() -> str:
    program, *words = sys.argv
    if "masklet" not in Path(program).parts[-2:] and Path(program).stem != "masklet":  # called by another program
        return "what is finished is kept; run the same with --resume to go on"
    kept = [word for word in words if word not in ("--resume", "--overwrite")]
    return f"what is finished is kept; go on with: {shlex.join(['masklet', *kept, '--resume'])}"


@contextmanager
def _warnings_told() -> Iterator[None]:
    """Warnings of ours in the words of the command line."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", MaskletWarning)
        before = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, MaskletWarning):
                console.say(f"masklet: warning: {message}")
            else:
                before(message, category, *rest, **more)

        warnings.showwarning = show
        yield
