"""Transfer: masks of a project are written in annotation formats, and annotations are read into it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

from PIL import Image

from masklet.errors import InputNotFound, SettingsError
from masklet.files.atomic import atomic_write, make_folder
from masklet.files.error_translation import translate_write_errors
from masklet.files.outputs import atomic_folder
from masklet.formats import Clip, FileFormat, Format, Output, find_formats
from masklet.formats.coco import COCO
from masklet.formats.csv_measurements import CSV_IMAGES
from masklet.formats.cutout_video import CUTOUT, PRORES
from masklet.formats.cvat import CVAT
from masklet.formats.cvat_images import CVAT_IMAGES
from masklet.formats.label_maps import PNG
from masklet.formats.labelme import LABELME
from masklet.formats.overlay_video import OVERLAY
from masklet.formats.yolo import YOLO
from masklet.masks.effects import WHITE, Background
from masklet.masks.rle_frame import RleFrame
from masklet.project.annotation_import import ImportedAnnotations, import_annotations
from masklet.project.image_names import group_by_label, name_images
from masklet.project.media import locate_medium, open_medium
from masklet.project.project import Project
from masklet.project.stored_frames import StoredFrames
from masklet.video.frame_folder import find_frame_files

__all__ = ["ImportedAnnotations", "export_project", "import_annotations"]

_IMAGES = "images"  # folder of the images of a project
_JPEG_QUALITY = 92


def _encode_yolo_classes(clip: Clip) -> dict[str, bytes]:
    """Encode the description of images, whose sizes are those of the files in `images/`."""
    return {name: content.partition(b"\n")[2] for name, content in YOLO.encode_shared(clip).items()}


_IMAGE_SETS: dict[str, Format] = {
    COCO.name: COCO,
    PNG.name: PNG,
    LABELME.name: LABELME,
    CVAT.name: CVAT_IMAGES,
    CSV_IMAGES.name: CSV_IMAGES,
    YOLO.name: replace(YOLO, encode_shared=_encode_yolo_classes),
}
"""Formats that hold several images, as they are written for images."""

Progress = Callable[[int, int], object]
"""`progress(done, total)` in frames of all formats. An exception that it raises ends the export."""


def export_project(
    project: Project,
    out: str | Path,
    formats: Sequence[str],
    *,
    media: Iterable[int] | None = None,
    background: Background = WHITE,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the masks of a project in one or several formats.

    A video is a folder with its name, with the files of each format as `masklet track` writes them: the frames that
    have cells, or all frames in formats that show images. All images are one folder `images`: COCO, YOLO, LabelMe, CVAT
    and PNG hold all of them under the names of their files, YOLO with copies of the images; formats that show images
    are an image per file; in the other formats each image has a folder of its own. Images and videos without cells are
    left out, except images that are marked as checked.

    Labels are the names of classes. In formats for several images an object whose label differs from that of the same
    object id in an earlier image has another id.

    Args:
        project: The project.
        out: The folder to write, which must not exist. It is removed again if the export fails.
        formats: Names of formats, see `masklet.formats.FORMATS`.
        media: The images and videos; None for all.
        background: What the format `background` shows behind the objects.
        progress: Called after each frame.

    Returns:
        The files and folders.

    Raises:
        PromptError: `unknown-object`. There is no such image or video.
        SettingsError: A format is unknown, or there is nothing to export.
        FormatError: A mask cannot be read, or an object id does not fit into the format.
        InputNotFound: A format shows images, and a file is missing.
        ResourceError: `output-exists`, or a file cannot be written.
    """
    forms = find_formats(formats)
    document = project.document
    with project.lock:
        selected = sorted(document.media() if media is None else {*media})
        kinds = {number: document.medium(number).kind for number in selected}
        videos = [StoredFrames.of(project, number) for number in selected if kinds[number] == "video"]
        images = [StoredFrames.of(project, number) for number in selected if kinds[number] == "image"]
    videos = [one for one in videos if len(one)]
    images = [one for one in images if len(one) or document.medium(one.medium).checked]
    if not videos and not images:
        raise SettingsError("bad-usage", "there is nothing to export; select images or videos with masks")
    target = Path(out)
    with atomic_folder(target) as folder:
        report = _Report(progress, sum(map(len, videos)) * len(forms) + len(images) * len(forms))
        written: list[Path] = []
        taken = {_IMAGES} if images else set()
        for frames in videos:
            name = _make_unique(locate_medium(project, frames.medium).stem, taken)
            written += _write_video(project, frames, forms, folder / name, background, report)
        if images:
            written += _ImageSet(project, images, background, report).write(folder / _IMAGES, forms)
    return [target / path.relative_to(folder) for path in written]


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


def _shows_images(form: Format) -> bool:
    return isinstance(form, FileFormat) and form.shows_images


def _write_video(
    project: Project, frames: StoredFrames, forms: Sequence[Format], out: Path, background: Background, report: _Report
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
            if any(map(_shows_images, forms)):
                raise
        clip = Clip(
            path.stem, frames.size, frames.object_ids, video, path, _name_frames(path),  # type: ignore[arg-type]
            frames.labels, background,
        )  # fmt: skip
        output = Output(out, clip)
        for form in forms:
            everything = replace(frames, indices=range(len(frames.times))) if _shows_images(form) else frames
            output.write(form, _ReportedFrames(everything, report, len(frames) / len(everything)))
            report.end(len(frames))
    return [output.path_of(form) for form in forms]


def _name_frames(path: Path) -> list[str] | None:
    """Return the names of the files of a folder of frames, or None for a video file."""
    files = find_frame_files(str(path)) if path.is_dir() else None
    unique = files is not None and len({file.stem for file in files}) == len(files)
    return [file.name for file in files] if files and unique else None


class _ImageSet:
    """Images of a project, which are the frames of one clip, in the order of their numbers."""

    def __init__(
        self, project: Project, images: Sequence[StoredFrames], background: Background, report: _Report
    ) -> None:
        self._project, self._images, self._background, self._report = project, images, background, report
        names = name_images(project.document)
        self._names = [names[one.medium] for one in images]
        labels = {(one.medium, key): one.labels.get(key) for one in images for key in one.object_ids}
        self._numbers = group_by_label(labels)
        self._labels = {self._numbers[key]: label for key, label in labels.items() if label}

    def __iter__(self) -> Iterator[RleFrame]:
        """Iterate over the images as frames 0, 1, …, with the object ids of the set."""
        for index, one in enumerate(self._images):
            frame = one.read(0)
            numbers = tuple(self._numbers[one.medium, key] for key in frame.object_ids)
            yield replace(frame, index=index, object_ids=numbers)

    def write(self, out: Path, forms: Sequence[Format]) -> list[Path]:
        """Write the images in all formats and return the files and folders."""
        written = []
        for form in forms:
            if form.name in _IMAGE_SETS:
                written.append(self._write_set(out, _IMAGE_SETS[form.name]))
            elif _shows_images(form):
                written.append(self._draw(out / form.name, form.name))
            else:
                written += self._write_each(out, form)
            self._report.end(len(self._images))
        return written

    def _write_set(self, out: Path, form: Format) -> Path:
        sizes = {one.size for one in self._images}
        clip = Clip(
            _IMAGES, max(sizes), tuple(sorted({*self._numbers.values()})), names=self._names, labels=self._labels
        )
        output = Output(out, clip)
        output.write(form, _ReportedFrames(self, self._report))
        if form.name == YOLO.name:
            self._copy_images(output.path_of(form) / "images")
        return output.path_of(form)

    def _write_each(self, out: Path, form: Format) -> Iterator[Path]:
        for one, name in zip(self._images, self._names, strict=True):
            clip = Clip(Path(name).stem, one.size, one.object_ids, names=[name], labels=one.labels)
            output = Output(out / Path(name).stem, clip)
            output.write(form, [one.read(0)])
            yield output.path_of(form)

    def _draw(self, folder: Path, name: str) -> Path:
        """Draw each image with its masks as a format does with the frames of a video."""
        make_folder(folder)
        for done, (one, file) in enumerate(zip(self._images, self._names, strict=True), start=1):
            image, masks = open_medium(self._project, one.medium), one.read(0).decode().masks
            if name in (CUTOUT.name, PRORES.name):
                with atomic_write(folder / f"{Path(file).stem}.png") as handle:
                    Image.fromarray(masks.cutout(image)).save(handle, "PNG")  # type: ignore[arg-type]
            else:
                drawn = (
                    masks.overlay(image)  # type: ignore[arg-type]
                    if name == OVERLAY.name
                    else masks.apply_effect(image, name, background=self._background)  # type: ignore[arg-type]
                )
                with atomic_write(folder / f"{Path(file).stem}.jpg") as handle:
                    Image.fromarray(drawn).save(handle, "JPEG", quality=_JPEG_QUALITY)
            self._report.note(done)
        return folder

    def _copy_images(self, folder: Path) -> None:
        make_folder(folder)
        for one, name in zip(self._images, self._names, strict=True):
            with translate_write_errors(folder / name):
                shutil.copyfile(locate_medium(self._project, one.medium), folder / name)


def _make_unique(name: str, taken: set[str]) -> str:
    """Return a name that is not in `taken`, and add it."""
    numbered = (f"{name}_{number}" for number in count(2))
    unique = next(one for one in chain([name], numbered) if one not in taken)
    taken.add(unique)
    return unique
