"""Detection of stacks: which files and folders are opened as stacks, by content."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Literal

from PIL import Image

from masklet.files.error_translation import translate_read_errors
from masklet.files.file_type import HEAD_BYTES, detect_file_type
from masklet.files.image_files import has_image_suffix, sort_naturally
from masklet.files.junk_files import skip_junk
from masklet.files.open_input import open_input
from masklet.images.tiff import TiffFile

StackKind = Literal["tiff", "nifti", "dicom"]
_NIFTI_HEAD = 352  # bytes that have the signature
_INDEX_FILE = "dicomdir"


def find_stack(source: Path) -> StackKind | None:
    """Return the kind of the stack at a path, or None if it is no stack.

    A TIFF file is one if it has several images; a folder if it has DICOM files and no images.

    Raises:
        InputNotFound: The file or folder cannot be read.
    """
    if source.is_dir():
        return "dicom" if list_series(source) else None
    if not source.is_file():
        return None
    with open_input(source) as handle:
        head = handle.read(HEAD_BYTES)
    kind = detect_file_type(head)
    if kind == "a DICOM file":
        return "dicom"
    if _is_nifti(source, head):
        return "nifti"
    return "tiff" if kind == "TIFF" and _has_several_images(source) else None


def list_series(source: Path) -> list[Path]:
    """List the DICOM files of a folder in natural order, without those in its folders.

    Other files are left out. The list is empty for a folder with image files, and for anything that is not a folder.
    """
    if not source.is_dir():
        return []
    with translate_read_errors(source):
        entries = [path for path in skip_junk(source.iterdir()) if path.name.lower() != _INDEX_FILE]
    if any(map(has_image_suffix, entries)):
        return []
    return [path for path in sort_naturally(entries) if path.is_file() and _is_dicom(path)]


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            return detect_file_type(handle.read(HEAD_BYTES)) == "a DICOM file"
    except OSError:
        return False


def _is_nifti(path: Path, head: bytes) -> bool:
    if path.name.lower().endswith(".nii.gz"):
        try:
            with open_input(path) as handle, gzip.open(handle) as content:
                head = content.read(_NIFTI_HEAD)
        except (OSError, EOFError, zlib.error):
            return False
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def _has_several_images(path: Path) -> bool:
    try:
        with open_input(path) as handle:
            tags = TiffFile(handle).tag_v2
            return bool(getattr(tags, "next", 0)) or "images=" in str(tags.get(270, ""))[:64]
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, Image.DecompressionBombError):
        return False
