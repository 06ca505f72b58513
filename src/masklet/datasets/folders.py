"""Custom datasets: folders of images with masks, of clips with label maps, or of label maps alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from masklet.datasets.annotation import Annotation, annotation_from_label_map
from masklet.datasets.dataset import AnnotatedClip, AnnotatedImage, Clips, Dataset, Images
from masklet.datasets.frame_folders import list_clips, list_entries, list_images, parse_object_id, read_label_clip
from masklet.datasets.label_files import is_black_and_white, read_labels, read_object_masks
from masklet.datasets.labelme import read_labelme
from masklet.errors import FormatError
from masklet.files.image_files import has_image_suffix, natural_key, select_images
from masklet.images import read_image

LICENSE = "your own"
IMAGE_FOLDERS = ("images", "JPEGImages", "frames", "imgs", "pictures")
MASK_FOLDERS = ("masks", "Annotations", "annotations", "labels", "SegmentationObject")

Masks = Path | Mapping[int, Path]  # a label map, a LabelMe file, or a file per object


def open_image_folders(images: Path, masks: Path) -> Images:
    """Open images in one folder whose masks are in another, paired by name without suffix.

    The masks of `dog.jpg` are `dog.png` (a label map, or a black-and-white mask of one object), a folder `dog`,
    `dog_1.png`, `dog_2.png`, … with an object each, or `dog.json` (LabelMe), which may be in the same folder. Images
    without masks are skipped. Raises `InputNotFound` for a missing folder, `FormatError` if there are no pairs.
    """
    image_files = list_images(images)
    masks_by_name = _find_masks(masks, image_files, separate=masks != images)
    files = {stem: path for stem, path in image_files.items() if stem in masks_by_name}
    if not files:
        raise FormatError("dataset-broken", f"{masks}: no masks with the names of images in {images}")
    build = partial(_build_image, files, masks_by_name)
    return Dataset("folder", images.name, images, LICENSE, tuple(sorted(files, key=natural_key)), build)


def open_clip_folders(root: Path) -> Clips:
    """Open clips with label maps: `<clip>/JPEGImages` and `<clip>/Annotations`, or `JPEGImages/<clip>` and so on.

    Folders may have any name in `IMAGE_FOLDERS` and `MASK_FOLDERS`. Black-and-white label maps have one object. Raises
    `InputNotFound` or `FormatError` with the missing file.
    """
    pair = find_folder_pair(root)
    if pair is not None and any(path.is_dir() for path in list_entries(pair[0])):
        folders = {name: (pair[0] / name, pair[1] / name) for name in list_clips(*pair)}
    elif pair is not None:
        folders = {root.name: pair}
    else:
        pairs = {
            path.name: find_folder_pair(path)
            for path in sorted(list_entries(root), key=lambda path: natural_key(path.name))
        }
        folders = {name: pair for name, pair in pairs.items() if pair is not None}
    if not folders:
        message = f"{root}: no clips in it; a clip is a folder with JPEGImages (or frames) and Annotations (or masks)"
        raise FormatError("dataset-broken", message)
    return Dataset("clips", root.name, root, LICENSE, tuple(folders), partial(_read_clip, folders))


def open_label_tree(root: Path) -> Clips:
    """Open ground-truth masks without frames: `<clip>/<frame>.png`, or `<clip>/<object>/<frame>.png`.

    Raises `InputNotFound` or `FormatError` with the missing file.
    """
    names = list_clips(root, root)
    return Dataset("clips", root.name, root, LICENSE, names, partial(_read_label_tree, root))


def find_folder_pair(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of images and masks in `root`, or None if one is missing."""
    folders = {path.name.lower(): path for path in list_entries(root) if path.is_dir()} if root.is_dir() else {}
    images, masks = (
        next((folders[name.lower()] for name in names if name.lower() in folders), None)
        for names in (IMAGE_FOLDERS, MASK_FOLDERS)
    )
    return (images, masks) if images and masks else None


def _find_masks(folder: Path, images: Mapping[str, Path], *, separate: bool) -> dict[str, Masks]:
    """Find the masks of images by the name of the image. Image files are masks only in a folder `separate` from them.

    `dog_1.png` is a mask of `dog.jpg` only if no numbered file of that name is the mask of another image, `dog_2.jpg`.
    """
    masks_by_name: dict[str, Masks] = {}
    numbered: dict[str, dict[int, Path]] = {}
    series: set[str] = set()
    for path in sorted(list_entries(folder), key=lambda path: natural_key(path.name)):
        if path.is_dir():
            files = select_images(list_entries(path)) if separate and path.name in images else []
            if files:
                masks_by_name[path.name] = dict(enumerate(list_images(path).values(), start=1))
        elif path.suffix.lower() == ".json":
            masks_by_name[path.stem] = path
        elif separate and has_image_suffix(path):
            masks_by_name.setdefault(path.stem, path)
            parts = re.fullmatch(r"(.+)_(\d{1,9})", path.stem)
            if parts and path.stem in images:
                series.add(parts[1])
            elif parts:
                files_by_number = numbered.setdefault(parts[1], {})
                number = int(parts[2])
                files_by_number[number if number not in files_by_number else max(files_by_number) + 1] = path
    return {**{name: files for name, files in numbered.items() if name not in series}, **masks_by_name}


def _build_image(files: Mapping[str, Path], masks: Mapping[str, Masks], name: str) -> AnnotatedImage:
    return AnnotatedImage(name, partial(read_image, files[name]), partial(_read_annotation, masks[name], files[name]))


def _read_annotation(masks: Masks, image: Path) -> Annotation:
    if not isinstance(masks, Path):
        return read_object_masks(masks)
    if masks.suffix.lower() == ".json":
        return read_labelme(masks, image)
    labels = read_labels(masks)
    return annotation_from_label_map(labels, binary=is_black_and_white(labels))


def _read_clip(folders: Mapping[str, tuple[Path, Path]], name: str) -> AnnotatedClip:
    frames, labels = folders[name]
    return read_label_clip(name, frames, labels, binary=_has_one_object(list_images(labels)))


def _has_one_object(maps: Mapping[str, Path]) -> bool:
    """Return whether the first label map that is not empty is black and white."""
    for path in maps.values():
        labels = read_labels(path)
        if labels.any():
            return is_black_and_white(labels)
    return False


def _read_label_tree(root: Path, name: str) -> AnnotatedClip:
    objects = {parse_object_id(path): list_images(path) for path in list_entries(root / name) if path.is_dir()}
    if not objects:
        masks = read_label_clip(name, root / name, root / name, binary=_has_one_object(list_images(root / name)))
        return replace(masks, source=None)
    frames = sorted({stem for files in objects.values() for stem in files}, key=natural_key)
    annotations = {
        number: partial(read_object_masks, {key: files[stem] for key, files in objects.items() if stem in files})
        for number, stem in enumerate(frames)
    }
    return AnnotatedClip(name, None, tuple(frames), annotations)
