"""One's own data: folders of pictures with masks, of clips with label maps, or of label maps alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from masklet.datasets.annotation import Annotation, from_labels
from masklet.datasets.dataset import AnnotatedClip, AnnotatedImage, Clips, Dataset, Images
from masklet.datasets.frame_folders import clip_names, entries, label_clip, object_number, picture_files
from masklet.datasets.label_files import black_and_white, read_labels, read_object_masks
from masklet.datasets.labelme import read_labelme
from masklet.errors import FormatError
from masklet.files.image_files import has_image_suffix, natural_key
from masklet.images import read_image

LICENCE = "your own"
PICTURE_FOLDERS = ("images", "JPEGImages", "frames", "imgs", "pictures")
MASK_FOLDERS = ("masks", "Annotations", "annotations", "labels", "SegmentationObject")

Masks = Path | Mapping[int, Path]  # a label map, a LabelMe file, or a file per object


def open_pictures(pictures: Path, masks: Path) -> Images:
    """Pictures in one folder with their masks in another: the names without suffix say what belongs together.

    For `dog.jpg` the masks are `dog.png` (a label map; in black and white, one object), a folder `dog` of masks,
    `dog_1.png`, `dog_2.png`, … with an object each, or `dog.json` (LabelMe), which may lie in the same folder.
    Pictures without masks are left out. Raises `InputNotFound` for a missing folder, `FormatError` where there is
    nothing to pair.
    """
    found = _masks_in(masks, apart=masks != pictures)
    files = {stem: path for stem, path in picture_files(pictures).items() if stem in found}
    if not files:
        raise FormatError("dataset-broken", f"{masks}: no masks there that are named like a picture in {pictures}")
    build = partial(_picture, files, found)
    return Dataset("folder", pictures.name, pictures, LICENCE, tuple(sorted(files, key=natural_key)), build)


def open_clip_folders(root: Path) -> Clips:
    """Clips with label maps, as `<clip>/JPEGImages` and `<clip>/Annotations` or as `JPEGImages/<clip>` and so on.

    Folders may also be called as in `PICTURE_FOLDERS` and `MASK_FOLDERS`. Label maps that are black and white are of
    one object. Raises `InputNotFound` or `FormatError` naming what is missing.
    """
    pair = folder_pair(root)
    if pair is not None and any(path.is_dir() for path in pair[0].iterdir()):
        folders = {name: (pair[0] / name, pair[1] / name) for name in clip_names(*pair)}
    elif pair is not None:
        folders = {root.name: pair}
    else:
        pairs = {
            path.name: folder_pair(path) for path in sorted(entries(root), key=lambda path: natural_key(path.name))
        }
        folders = {name: pair for name, pair in pairs.items() if pair is not None}
    if not folders:
        message = f"{root}: no clips in it; a clip is a folder with JPEGImages (or frames) and Annotations (or masks)"
        raise FormatError("dataset-broken", message)
    return Dataset("clips", root.name, root, LICENCE, tuple(folders), partial(_clip, folders))


def open_label_tree(root: Path) -> Clips:
    """True masks alone, to score answers with: `<clip>/<frame>.png`, or `<clip>/<object>/<frame>.png`.

    Such clips have no frames to look at. Raises `InputNotFound` or `FormatError` naming what is missing.
    """
    names = clip_names(root, root)
    return Dataset("clips", root.name, root, LICENCE, names, partial(_truth, root))


def folder_pair(root: Path) -> tuple[Path, Path] | None:
    """The folders of pictures and of masks in `root`, if it has both."""
    pictures = next((root / name for name in PICTURE_FOLDERS if (root / name).is_dir()), None)
    masks = next((root / name for name in MASK_FOLDERS if (root / name).is_dir()), None)
    return (pictures, masks) if pictures and masks else None


def _masks_in(folder: Path, *, apart: bool) -> dict[str, Masks]:
    """What could be masks, by the name of their picture; PNGs only where they lie `apart` from pictures."""
    found: dict[str, Masks] = {}
    numbered: dict[str, dict[int, Path]] = {}
    for path in sorted(entries(folder), key=lambda path: natural_key(path.name)):
        if path.is_dir() and apart:
            found[path.name] = dict(enumerate(picture_files(path).values(), start=1))
        elif path.suffix.lower() == ".json":
            found[path.stem] = path
        elif apart and has_image_suffix(path):
            found.setdefault(path.stem, path)
            parts = re.fullmatch(r"(.+)_(\d+)", path.stem)
            if parts:
                numbered.setdefault(parts[1], {})[int(parts[2])] = path
    return {**numbered, **found}


def _picture(files: Mapping[str, Path], masks: Mapping[str, Masks], name: str) -> AnnotatedImage:
    return AnnotatedImage(name, partial(read_image, files[name]), partial(_annotation, masks[name]))


def _annotation(masks: Masks) -> Annotation:
    if not isinstance(masks, Path):
        return read_object_masks(masks)
    if masks.suffix.lower() == ".json":
        return read_labelme(masks)
    labels = read_labels(masks)
    return from_labels(labels, binary=black_and_white(labels))


def _clip(folders: Mapping[str, tuple[Path, Path]], name: str) -> AnnotatedClip:
    frames, labels = folders[name]
    return label_clip(name, frames, labels, binary=_one_object(picture_files(labels)))


def _one_object(maps: Mapping[str, Path]) -> bool:
    """Whether the first map that shows anything is black and white."""
    for path in maps.values():
        labels = read_labels(path)
        if labels.any():
            return black_and_white(labels)
    return False


def _truth(root: Path, name: str) -> AnnotatedClip:
    objects = {object_number(path): picture_files(path) for path in entries(root / name) if path.is_dir()}
    if not objects:
        masks = label_clip(name, root / name, root / name, binary=_one_object(picture_files(root / name)))
        return replace(masks, source=None)
    frames = sorted({stem for files in objects.values() for stem in files}, key=natural_key)
    annotations = {
        number: partial(read_object_masks, {key: files[stem] for key, files in objects.items() if stem in files})
        for number, stem in enumerate(frames)
    }
    return AnnotatedClip(name, None, tuple(frames), annotations)
