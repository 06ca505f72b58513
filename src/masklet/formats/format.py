"""What a format is: files for every frame in a folder, or one file for all frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from masklet.masks.rle_frame import CodedFrame
from masklet.masks.tracked_frame import TrackedFrame

if TYPE_CHECKING:
    from masklet.video import Video


@dataclass(frozen=True, slots=True)
class Clip:
    """What is written of a video besides its masks.

    `name` is the video's, without folder and suffix, `size` its frames' (H, W). `object_ids` are all objects that any
    frame has, in order. `video` has the pictures and `path` the file, for timing and sound, of formats that show them.
    `names` are the pictures' own where the video is a folder of pictures.
    """

    name: str
    size: tuple[int, int]
    object_ids: tuple[int, ...]
    video: Video | None = None
    path: Path | None = None
    names: Sequence[str] | None = None

    def stem(self, index: int) -> str:
        """What a frame's files are called, without suffix: as its picture in a folder, else by its number."""
        return Path(self.names[index]).stem if self.names else f"{index:05d}"

    def picture(self, index: int) -> str:
        """What a frame's picture is called: as in its folder, or as if the video had been unpacked into one."""
        return self.names[index] if self.names else f"{self.name}/{index:05d}.jpg"


Reader = Callable[[Path], Iterator[TrackedFrame]]


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """A format with files of its own for every frame: `files` gives their names and contents, `shared` those that
    belong to no frame, both within `folder`."""

    name: str
    folder: str
    files: Callable[[CodedFrame, Clip], Mapping[str, bytes]]
    read: Reader
    shared: Callable[[Clip], Mapping[str, bytes]] = lambda clip: {}

    def place(self, out: Path) -> Path:
        """The folder of its files within an output."""
        return out / self.folder


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format with one file for all frames. `write` may go through the frames, sorted, several times.

    `read` is missing where the file holds no masks; one that shows `pictures` needs the clip's video.
    """

    name: str
    file: str
    write: Callable[[BinaryIO, Iterable[CodedFrame], Clip], None]
    read: Reader | None = None
    pictures: bool = False

    def place(self, out: Path) -> Path:
        """Its file within an output."""
        return out / self.file


Format = FolderFormat | FileFormat
