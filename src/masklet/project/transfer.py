"""Transfer: masks of a project are written in annotation formats, and annotations are read into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

from masklet.errors import InputNotFound, SettingsError, warn
from masklet.files.atomic import make_folder
from masklet.files.names import replace_surrogates
from masklet.files.outputs import atomic_folder
from masklet.formats import Clip, Format, Output, find_formats, name_frames
from masklet.formats.cutout_video import CUTOUT, PRORES
from masklet.formats.drawn_image import write_drawn_image
from masklet.formats.image_dataset import DATASET_FORMATS, IMAGES, ImageDataset
from masklet.formats.image_layout import FrameMode, check_frame_mode
from masklet.formats.matte import MATTE_PRORES
from masklet.masks.effects import WHITE, Background
from masklet.masks.rle_frame import RleFrame
from masklet.project.annotation_import import ImportedAnnotations, import_annotations
from masklet.project.image_names import name_images
from masklet.project.media import locate_medium, open_medium
from masklet.project.project import Project
from masklet.project.stored_frames import StoredFrames
from masklet.video.frame_folder import find_frame_files

__all__ = ["ImportedAnnotations", "export_project", "import_annotations"]

Progress = Callable[[int, int], object]
"""`progress(done, total)` in frames of all formats. An exception that it raises ends the export."""


def export_project(
    project: Project,
    out: str | Path,
    formats: Sequence[str],
    *,
    media: Iterable[int] | None = None,
    background: Background = WHITE,
    frames: FrameMode | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the masks of a project in one or several formats.

    A video is a folder with its name, with the files of each format as `masklet track` writes them: the frames that
    have cells, or all frames in formats that show images. All images are one folder `images`: COCO, YOLO, LabelMe, CVAT
    and PNG hold all of them under the names of their files; formats that show images are an image per file; in the
    other formats each image has a folder of its own. Images and videos without cells are left out, except images that
    are marked as checked.

    Beside COCO, YOLO, LabelMe, CVAT and YouTube-VIS files are the images and the frames that have cells, so that each
    output is a complete dataset.

    Labels are the names of classes. In formats for several images an object whose label differs from that of the same
    object id in an earlier image has another id.

    Args:
        project: The project.
        out: The folder to write, which must not exist. It is removed again if the export fails.
        formats: Names of formats, see `masklet.formats.FORMATS`.
        media: The images and videos; None for all.
        background: What the format `background` shows behind the objects.
        frames: How images and frames are written. By default image files are copied and frames of videos are JPEG, and
            images and videos whose files are missing are exported without them, with a warning.
        progress: Called after each frame.

    Returns:
        The files and folders.

    Raises:
        PromptError: `unknown-object`. There is no such image or video.
        SettingsError: A format or `frames` is unknown, or there is nothing to export.
        FormatError: A mask cannot be read, or an object id does not fit into the format.
        InputNotFound: A format shows images, or `frames` is given, and a file is missing.
        ImageError, VideoError: An image or a frame cannot be decoded.
        ResourceError: `output-exists`, or a file cannot be written.
    """
    forms = find_formats(formats)
    check_frame_mode(frames)
    document = project.document
    with project.lock:
        selected = sorted(document.media() if media is None else {*media})
        kinds = {number: document.medium(number).kind for number in selected}
        videos = [StoredFrames.of(project, number) for number in selected if kinds[number] == "video"]
        images = [StoredFrames.of(project, number) for number in selected if kinds[number] == "image"]
    videos = [one for one in videos if len(one)]
    options = _Options(background, frames)
    images = [one for one in images if len(one) or document.medium(one.medium).checked]
    if not videos and not images:
        raise SettingsError("bad-usage", "there is nothing to export; select images or videos with masks")
    target = Path(out)
    with atomic_folder(target) as folder:
        passes = len(forms) + (0 if frames == "none" else sum(form.images is not None for form in forms))
        report = _Report(progress, (sum(map(len, videos)) + len(images)) * passes)
        written: list[Path] = []
        taken = {IMAGES} if images else set()
        for video in videos:
            name = _make_unique(replace_surrogates(locate_medium(project, video.medium).stem), taken)
            written += _write_video(project, video, forms, folder / name, options, report)
        if images:
            written += _ImageSet(project, images, options, report).write(folder / IMAGES, forms)
    return [target / path.relative_to(folder) for path in written]


@dataclass(frozen=True, slots=True)
class _Options:
    """What formats show behind objects, and how images of frames are written."""

    background: Background
    frames: FrameMode | None

    def choose_frames(self, forms: Sequence[Format], missing: Path | None) -> FrameMode:
        """Return how images are written. Raises `InputNotFound` if they are requested and a file is missing."""
        if missing is None or self.frames == "none":
            return self.frames or "copy"
        if any(form.images for form in forms):
            if self.frames is not None:
                raise InputNotFound("input-not-found", f"{missing} does not exist", path=str(missing))
            warn("input-not-found", f"{missing} does not exist; annotations are exported without images")
        return "none"


class _Report:
    """Counts frames; a format may iterate over them several times."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total = progress, total
        self._before = self._done = 0

    def note(self, done: int) -> None:
        """Note the number of frames that the present format has read."""
        if self._progress and self._before + done > self._done:
            self._done = min(self._before + done, self._total)
            self._progress(self._done, self._total)

    def end(self, frames: int) -> None:
        """Note that a format has written all of its frames."""
        self.note(frames)
        self._before += frames

    def note_image(self, done: int, total: int) -> None:
        """Note the number of images that are written for the present format, of `total`."""
        self.note(done)


@dataclass(frozen=True, slots=True)
class _ReportedFrames:
    """Frames of which some are counted."""

    frames: Iterable[RleFrame]
    report: _Report
    share: float = 1.0

    def __iter__(self) -> Iterator[RleFrame]:
        for done, frame in enumerate(self.frames, start=1):
            yield frame
            self.report.note(int(done * self.share))


def _write_video(
    project: Project, frames: StoredFrames, forms: Sequence[Format], out: Path, options: _Options, report: _Report
) -> list[Path]:
    """Write a video in all formats and return the files and folders."""
    path = locate_medium(project, frames.medium)
    with ExitStack() as stack:
        video = None
        try:
            video = open_medium(project, frames.medium)
            stack.enter_context(video)  # type: ignore[arg-type]
            frames = replace(frames, times=video.times)  # type: ignore[union-attr]
        except InputNotFound:
            if any(form.shows_images for form in forms):
                raise
        files = find_frame_files(str(path)) if path.is_dir() else None
        clip = Clip(
            replace_surrogates(path.stem), frames.size, frames.object_ids, video, path, _name_frames(files),  # type: ignore[arg-type]
            frames.labels, options.background, files,
        )  # fmt: skip
        output = Output(out, clip, options.choose_frames(forms, missing=path if video is None else None))
        for form in forms:
            if options.frames != "none" and form.images:
                output.write_images(form, frames, progress=report.note_image)
                report.end(len(frames))
            is_complete = video is not None and (form.shows_images or form.shows_edges)
            everything = replace(frames, indices=range(len(frames.times))) if is_complete else frames
            output.write(form, _ReportedFrames(everything, report, len(frames) / len(everything)))
            report.end(len(frames))
    return [output.path_of(form) for form in forms]


class _ImageSet:
    """Images of a project, which are the frames of one clip, in the order of their numbers."""

    def __init__(self, project: Project, images: Sequence[StoredFrames], options: _Options, report: _Report) -> None:
        self._project, self._images, self._options, self._report = project, images, options, report
        names = name_images(project.document)
        self._names = [names[one.medium] for one in images]
        self._files = [locate_medium(project, one.medium) for one in images]

    def __iter__(self) -> Iterator[RleFrame]:
        """Iterate over the images as frames 0, 1, …"""
        return (replace(one.read(0), index=index) for index, one in enumerate(self._images))

    def write(self, out: Path, forms: Sequence[Format]) -> list[Path]:
        """Write the images in all formats and return the files and folders."""
        written = []
        frames = self._options.choose_frames(forms, next((file for file in self._files if not file.exists()), None))
        for form in forms:
            if form.name in DATASET_FORMATS:
                written.append(self._write_set(out, DATASET_FORMATS[form.name], frames))
            elif form.shows_images:
                written.append(self._draw(out / form.name, form.name))
            else:
                written += self._write_each(out, form, frames)
                self._report.end(len(self._images) if form.images and self._options.frames != "none" else 0)
            self._report.end(len(self._images))
        return written

    def _write_set(self, out: Path, form: Format, frames: FrameMode) -> Path:
        labels = {(index, key): one.labels.get(key) for index, one in enumerate(self._images) for key in one.object_ids}
        largest = max(one.size for one in self._images)
        dataset = ImageDataset(IMAGES, self._names, self._files, self, labels, largest)
        output = dataset.open_output(out, frames)
        if self._options.frames != "none" and form.images:
            output.write_images(form, dataset, progress=self._report.note_image)
            self._report.end(len(self._images))
        output.write(form, _ReportedFrames(dataset, self._report))
        return output.path_of(form)

    def _write_each(self, out: Path, form: Format, frames: FrameMode) -> Iterator[Path]:
        for one, name, file in zip(self._images, self._names, self._files, strict=True):
            clip = Clip(Path(name).stem, one.size, one.object_ids, names=[name], labels=one.labels, files=[file])
            output = Output(out / Path(name).stem, clip, frames)
            output.write_images(form, [one.read(0)])
            output.write(form, [one.read(0)])
            yield output.path_of(form)

    def _draw(self, folder: Path, name: str) -> Path:
        """Draw each image with its masks as a format does with the frames of a video."""
        make_folder(folder)
        for done, (one, file) in enumerate(zip(self._images, self._names, strict=True), start=1):
            image, masks = open_medium(self._project, one.medium), one.read(0).decode().masks
            drawn = CUTOUT.name if name in (PRORES.name, MATTE_PRORES.name) else name
            target = folder / f"{Path(file).stem}{'.png' if drawn == CUTOUT.name else '.jpg'}"
            write_drawn_image(target, drawn, masks, image, self._options.background)  # type: ignore[arg-type]
            self._report.note(done)
        return folder


def _name_frames(files: Sequence[Path] | None) -> list[str] | None:
    """Name frames by their image files in valid Unicode, as archives need it; None if the names are not unique."""
    return name_frames([file.with_name(replace_surrogates(file.name)) for file in files] if files else None)


def _make_unique(name: str, taken: set[str]) -> str:
    """Return a name that is not in `taken`, and add it."""
    numbered = (f"{name}_{number}" for number in count(2))
    unique = next(one for one in chain([name], numbered) if one not in taken)
    taken.add(unique)
    return unique
