"""Image names: unique names of a project's images in exported files, and the images that such names mean."""

from __future__ import annotations

from itertools import count
from pathlib import PurePosixPath

from masklet.files.image_files import has_image_suffix
from masklet.files.names import replace_surrogates
from masklet.project.document import Document


def name_images(document: Document) -> dict[int, str]:
    """Return a file name in valid Unicode for each image, by number. No two have the same stem.

    It is the name of the image's file, after that of its folder where another image has the same stem,
    and before a number where that does not suffice.
    """
    media = document.media().items()
    paths = {number: PurePosixPath(replace_surrogates(one.path)) for number, one in media if one.kind == "image"}
    stems: dict[str, list[int]] = {}
    for number, path in paths.items():
        stems.setdefault(path.stem.lower(), []).append(number)
    names: dict[int, str] = {}
    taken: set[str] = set()
    for number, path in paths.items():
        is_alone = len(stems[path.stem.lower()]) == 1
        folder = path.parent.name
        plain = path.name if is_alone or folder in ("", "..") else f"{folder}_{path.name}"
        numbered = (f"{PurePosixPath(plain).stem}_{copy}{path.suffix}" for copy in count(2))
        name = plain
        while PurePosixPath(name).stem.lower() in taken:
            name = next(numbered)
        taken.add(PurePosixPath(name).stem.lower())
        names[number] = name
    return names


class ImageFinder:
    """Finds the images of a project that the names in an annotation file mean."""

    def __init__(self, document: Document) -> None:
        names = name_images(document)
        self._by_stem = {PurePosixPath(name).stem: number for number, name in names.items()}
        self._paths = {number: PurePosixPath(document.medium(number).path) for number in names}

    def find(self, name: str) -> int | None:
        """Return the image of a name, or None.

        Args:
            name: The name of an exported file, or the end of the image's path. The suffix may be that of another
                format or missing, as in the names of label files.
        """
        wanted = PurePosixPath(name.replace("\\", "/"))
        stem = wanted.stem if has_image_suffix(wanted) else wanted.name  # type: ignore[arg-type]
        if len(wanted.parts) == 1 and stem in self._by_stem:
            return self._by_stem[stem]
        matching = [
            number
            for number, path in self._paths.items()
            if path.stem == stem and path.parts[-len(wanted.parts) : -1] == wanted.parts[:-1]
        ]
        return matching[0] if len(matching) == 1 else self._by_stem.get(stem)
