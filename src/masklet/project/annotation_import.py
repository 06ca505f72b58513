"""Annotation import: objects and masks of an annotation file become those of a project."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from masklet.errors import FormatError
from masklet.files.json_fields import Fields, read_json
from masklet.files.junk_files import skip_junk
from masklet.files.names import clean_file_name
from masklet.files.open_input import require_input
from masklet.formats import read_masks
from masklet.formats.coco_reader import list_image_folders, parse
from masklet.formats.cvat_reader import read_image_names
from masklet.formats.frame_files import list_frames
from masklet.formats.labelme_reader import is_labelme_folder
from masklet.formats.skipped import SkippedAnnotations
from masklet.masks.masks import Masks
from masklet.masks.tracked_frame import TrackedFrame
from masklet.project.action_log import Step
from masklet.project.cells import EMPTY_MASK, Cell, CellKey
from masklet.project.classes_of_labels import find_classes, make_color
from masklet.project.entries import ProjectObject, object_key
from masklet.project.image_names import ImageFinder
from masklet.project.project import Project


@dataclass(frozen=True, slots=True)
class ImportedAnnotations:
    """Result of `import_annotations`.

    Attributes:
        objects: New objects by image or video.
        step: The change.
    """

    objects: dict[int, tuple[int, ...]]
    step: Step


def import_annotations(project: Project, medium: int, path: str | Path) -> ImportedAnnotations:
    """Read annotations into a project as new objects, in one action.

    Of a video, masks belong to the frame of their index. A file or folder with masks of several images is read into all
    images of the project that it names, and one with a single image into `medium`. Objects keep their ids where they
    are free, and get new ones elsewhere. A label becomes the class of that name.

    Args:
        project: The project.
        medium: An image or video.
        path: A file or folder in any format that `masklet.formats.read_masks` reads.

    Raises:
        PromptError: `unknown-object`. There is no such image or video.
        InputNotFound: The file does not exist.
        FormatError: The file is broken, has no masks for the images, or is of frames or sizes that the medium does not
            have.
        ResourceError: The log cannot be written.
    """
    source = require_input(path)
    imports = _Import(project)
    if project.document.medium(medium).kind == "video":
        for frame in read_masks(source):
            imports.add(medium, frame.index, frame.masks, source)
    else:
        for number, masks in _match_images(project, medium, source):
            imports.add(number, 0, masks, source)
    return imports.finish(source)


def _match_images(project: Project, medium: int, source: Path) -> Iterator[tuple[int, Masks]]:
    """Yield the images that a file names, with their masks; `medium` for a file without a name that fits."""
    finder, names = ImageFinder(project.document), _read_names(source)
    single: TrackedFrame | None = None
    matched = frames = 0
    for position, frame in enumerate(read_masks(source)):
        single, frames = frame, frames + 1
        number = finder.find(names[position]) if position in names else None
        if number is not None:
            matched += 1
            yield number, frame.masks
    if matched == 0 and frames == 1 and single is not None:
        yield medium, single.masks
    elif matched == 0:
        message = f"{source} has {frames} images, none of which has the name of an image of the project"
        raise FormatError("annotation-broken", message, path=str(source))


def _read_names(source: Path) -> dict[int, str]:
    """Return the names of the images in a file or folder, by their position in `read_masks`; none if it has none."""
    if source.is_dir():
        folder = source / "labels" if (source / "labels").is_dir() else source
        suffix = ".txt" if folder != source else ".json" if is_labelme_folder(folder) else ".png"
        present = {entry.suffix.lower() for entry in skip_junk(folder.iterdir())}
        listed = list_frames(folder, suffix, exclude="classes.txt") if suffix in present else []
        return {position: file.stem for position, (_, file) in enumerate(listed)}
    if source.suffix.lower() == ".xml":
        return {position: name for position, name in enumerate(read_image_names(source)) if name}
    if source.suffix.lower() == ".json":
        content = read_json(source)
        if isinstance(content, dict) and "images" in content:
            parsed = parse(Fields(content, source), SkippedAnnotations(source), list_image_folders(source))
            rows = (clean_file_name(image.fields.get("file_name")) for image in parsed)
            return {position: name for position, name in enumerate(rows) if isinstance(name, str)}
    return {}


@dataclass(slots=True)
class _Import:
    """Cells and labels of an import, with the objects as the file numbers them."""

    project: Project
    cells: dict[CellKey, Cell] = field(default_factory=dict)
    labels: dict[tuple[int, int], str] = field(default_factory=dict)

    def add(self, medium: int, frame: int, masks: Masks, source: Path) -> None:
        """Add the masks of a frame. Raises `FormatError`."""
        entry = self.project.document.medium(medium)
        if not 0 <= frame < entry.frames:
            message = f"{source} has masks of frame {frame}, but {entry.path} has frames 0 to {entry.frames - 1}"
            raise FormatError("annotation-broken", message, path=str(source))
        if masks.size != entry.size and len(masks):
            message = f"{source} has masks of size {masks.size}, but {entry.path} has size {entry.size}"
            raise FormatError("annotation-broken", message, path=str(source))
        store = self.project.masks(medium)
        scores = masks.scores.clip(0, 1).tolist()
        rows = zip(masks.object_ids, masks.to_rle(), scores, masks.labels, strict=True)
        for object_id, code, score, label in rows:
            mask = store.add_counts(code["counts"])
            if mask == EMPTY_MASK:
                continue  # formats without empty masks do not have it either
            self.cells[medium, object_id, frame] = Cell(mask, score, "import")
            if label:
                self.labels.setdefault((medium, object_id), label)

    def finish(self, source: Path) -> ImportedAnnotations:
        """Make the change."""
        if not self.cells:
            raise FormatError("annotation-broken", f"{source} has no masks", path=str(source))
        with self.project.lock:  # no other object is added between the choice of the numbers and the change
            classes, entries = find_classes(self.project.document, self.labels.values())
            numbers = self._number_objects()
            for (medium, object_id), number in numbers.items():
                label = self.labels.get((medium, object_id))
                entry = ProjectObject("", None if label is None else classes[label], make_color(number))
                entries[object_key(medium, number)] = entry.to_json()
            cells = {
                (medium, numbers[medium, object_id], frame): cell
                for (medium, object_id, frame), cell in self.cells.items()
            }
            step = self.project.act("import_annotations", entries, cells)
        objects: dict[int, list[int]] = {}
        for (medium, _), number in numbers.items():
            objects.setdefault(medium, []).append(number)
        return ImportedAnnotations({medium: tuple(sorted(ids)) for medium, ids in objects.items()}, step)

    def _number_objects(self) -> dict[tuple[int, int], int]:
        """Return the numbers in the project, by medium and object of the file."""
        known: dict[int, set[int]] = {}
        numbers: dict[tuple[int, int], int] = {}
        for medium, object_id in dict.fromkeys((medium, object_id) for medium, object_id, _ in self.cells):
            taken = known.setdefault(medium, {*self.project.document.objects_of(medium)})
            is_free = object_id >= 1 and object_id not in taken
            numbers[medium, object_id] = number = object_id if is_free else max(taken, default=0) + 1
            taken.add(number)
        return numbers
