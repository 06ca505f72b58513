"""Annotation formats as records: one or more files per frame in a folder, or one file for all frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from masklet.formats.image_layout import FrameImages, ImageLayout
from masklet.images.spacing import Spacing
from masklet.masks.effects import WHITE, Background
from masklet.masks.labels import UNLABELED, number_classes
from masklet.masks.rle_frame import RleFrame
from masklet.masks.tracked_frame import TrackedFrame

if TYPE_CHECKING:
    from masklet.video import Video


@dataclass(frozen=True, slots=True)
class Clip:
    """Properties of a video that formats write beside its masks.

    Attributes:
        name: Name of the video, without folder and suffix.
        size: (H, W) of its frames.
        object_ids: Ids of all objects of the video, ascending.
        video: The video, for formats that show its images.
        path: The video file, for frame times and audio.
        names: File names of the frames, if the video is a folder of images.
        labels: Labels of the objects that have one, by object id. An object has one label in all frames.
        background: What the format `background` shows behind the objects.
        files: The image files of the frames, if the video is a folder of images.
        images: The images that are written beside the annotations; None if none are written.
        spacing_of: Returns the width and height of a pixel of a frame in micrometres, or None if they are not known.
    """

    name: str
    size: tuple[int, int]
    object_ids: tuple[int, ...]
    video: Video | None = None
    path: Path | None = None
    names: Sequence[str] | None = None
    labels: Mapping[int, str] = field(default_factory=dict)
    background: Background = WHITE
    files: Sequence[Path] | None = None
    images: FrameImages | None = None
    spacing_of: Callable[[int], Spacing | None] = lambda index: None

    def number_classes(self, first: int = 0) -> dict[str, int]:
        """Number the classes of the objects from `first`, in the order of the object ids.

        Each label is a class. Objects without a label are of the last class, `UNLABELED`.
        """
        return number_classes((self.labels.get(object_id) for object_id in self.object_ids or (0,)), first)

    def class_of(self, object_id: int) -> str:
        """Return the class of an object, its label or else `UNLABELED`."""
        return self.labels.get(object_id, UNLABELED)

    def stem(self, index: int) -> str:
        """Return the base name of a frame's files: that of its image in a folder, else the frame's index."""
        return Path(self.names[index]).stem if self.names else f"{index:05d}"

    def image_name(self, index: int) -> str:
        """Return the name of a frame's image, relative to the format's folder or that of its file.

        If images are not written, it is the name in the folder of images, or as if the video were extracted into one.
        """
        if self.images:
            return self.images.path(index, self.stem(index))
        return self.names[index] if self.names else f"{self.name}/{index:05d}.jpg"


Reader = Callable[[Path], Iterator[TrackedFrame]]


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """A format with one or more files per frame.

    Attributes:
        name: Name on the command line.
        folder: Name of the folder.
        encode_frame: Returns the files of one frame, by name within the folder.
        read: Reads the frames of the folder, or None if its files have no masks that can be read.
        encode_shared: Returns the files that belong to no frame.
        revision: Number that grows when the files change, so that a resumed job does not mix files of two versions.
        images: Where images of the frames belong; None if the format has none.
        shows_edges: The soft edges of the masks are needed.
    """

    name: str
    folder: str
    encode_frame: Callable[[RleFrame, Clip], Mapping[str, bytes]]
    read: Reader | None
    encode_shared: Callable[[Clip], Mapping[str, bytes]] = lambda clip: {}
    revision: int = 1
    images: ImageLayout | None = None
    shows_edges: bool = False
    shows_images: ClassVar[bool] = False

    @property
    def log_name(self) -> str:
        """Name in the notes of jobs, which tells revisions apart."""
        return self.name if self.revision == 1 else f"{self.name}-{self.revision}"

    def path_in(self, out: Path) -> Path:
        """Return the folder of the format's files in the output folder `out`."""
        return out / self.folder


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format with one file for all frames.

    Attributes:
        name: Name on the command line.
        file: Name of the file.
        write: Writes the frames, which are sorted and may be iterated several times.
        read: Reads the frames, or None if the file has no masks.
        shows_images: The clip's video is needed.
        images: Where images of the frames belong, relative to the folder of the file; None if the format has none.
        check: Raises an error if the format cannot be written for a video, or if a library is missing.
    """

    name: str
    file: str
    write: Callable[[BinaryIO, Iterable[RleFrame], Clip], None]
    read: Reader | None = None
    shows_images: bool = False
    images: ImageLayout | None = None
    check: Callable[[Any], None] = lambda video: None
    shows_edges: ClassVar[bool] = False

    @property
    def log_name(self) -> str:
        """Name in the notes of jobs."""
        return self.name

    def path_in(self, out: Path) -> Path:
        """Return the format's file in the output folder `out`."""
        return out / self.file


OpenFile = Callable[[int], AbstractContextManager[BinaryIO]]
"""Opens the file of an object for writing, by object id. It is in place after the block."""


@dataclass(frozen=True, slots=True)
class ObjectFilesFormat:
    """A format with one file per object for all frames, in a folder. It is not read.

    Attributes:
        name: Name on the command line.
        folder: Name of the folder.
        suffix: Suffix of the files.
        write: Writes the frames, which are sorted and may be iterated several times.
        shows_images: The clip's video is needed.
        shows_edges: The soft edges of the masks are needed.
    """

    name: str
    folder: str
    suffix: str
    write: Callable[[OpenFile, Iterable[RleFrame], Clip], None]
    shows_images: bool = False
    shows_edges: bool = False
    images: ClassVar[ImageLayout | None] = None
    read: ClassVar[Reader | None] = None

    @property
    def log_name(self) -> str:
        """Name in the notes of jobs."""
        return self.name

    def path_in(self, out: Path) -> Path:
        """Return the folder of the format's files in the output folder `out`."""
        return out / self.folder

    def file_of(self, object_id: int, out: Path) -> Path:
        """Return the file of an object in the output folder `out`."""
        return self.path_in(out) / f"{name_object(object_id)}{self.suffix}"


Format = FolderFormat | FileFormat | ObjectFilesFormat


def check_formats(forms: Iterable[Format], video: Any) -> None:
    """Check that formats can be written for a video, or without one, before it is tracked.

    Raises:
        SettingsError: A format needs another kind of video.
        BackendError: A library is missing.
    """
    for form in forms:
        if isinstance(form, FileFormat):
            form.check(video)


def name_object(object_id: int) -> str:
    """Return the base name of the file or folder of an object."""
    return f"object_{object_id:04d}"


def name_frames(files: Sequence[Path] | None) -> list[str] | None:
    """Return the names of the image files of a folder of frames.

    None if there are no files, or if two have the same stem, so that outputs are numbered instead.
    """
    unique = files is not None and len({file.stem for file in files}) == len(files)
    return [file.name for file in files] if files and unique else None


def locate_images(form: Format, out: Path) -> Path:
    """Return the folder in the output folder `out` to which the names of a format's images are relative."""
    return form.path_in(out) if isinstance(form, FolderFormat) else out
