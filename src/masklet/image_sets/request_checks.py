"""Checks of a request to segment a set of images, before the model is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from masklet.errors import ResourceError, SettingsError
from masklet.files.outputs import output_exists
from masklet.formats.job_folder import FOLDER, find_created_folders
from masklet.image_sets.image_files import FORMATS, SHARED_FORMATS, list_files
from masklet.image_sets.request import ImageSetRequest
from masklet.jobs.frame_log import FILE_NAME


def check_request(request: ImageSetRequest) -> None:
    """Check a request before the model is loaded.

    Raises:
        SettingsError: A format is unknown, two images have the same stem, a file would replace an image, or settings
            exclude each other.
        ResourceError: `output-exists`. There is output that the request does not allow to replace.
    """
    if unknown := [name for name in request.formats if name not in FORMATS]:
        raise SettingsError("bad-usage", f"unknown format {unknown[0]!r}; formats are {', '.join(FORMATS)}")
    if request.resume and request.overwrite:
        message = "--resume continues an earlier run and --overwrite replaces it; choose one"
        raise SettingsError("bad-usage", message)
    shared = [name for name in request.formats if name in SHARED_FORMATS]
    if request.multimask and shared:
        message = f"the format {shared[0]} has one mask for each object; write the candidates as png, rle or npz"
        raise SettingsError("bad-usage", message)
    check_stems(request.images)
    _check_inputs_remain(request)
    _check_output(request)


def check_stems(images: Iterable[Path]) -> None:
    """Raise `SettingsError` if two images have the same stem: output files are named after it."""
    stems: dict[str, Path] = {}
    for image in images:
        if image.stem in stems:
            message = f"{str(stems[image.stem])!r} and {str(image)!r} would be written to the same files; rename one"
            raise SettingsError("bad-usage", message)
        stems[image.stem] = image


def is_logged(request: ImageSetRequest) -> bool:
    """Return whether finished images are logged. A single image has nothing to resume."""
    return len(request.images) > 1 or request.resume


def _check_inputs_remain(request: ImageSetRequest) -> None:
    """Raise `SettingsError` if the masks of an image would replace one of the images or the file of a format."""
    inputs = {_resolve_folder(image) for image in (*request.images, *request.prompts)}
    shared = {SHARED_FORMATS[name].path_in(request.folder): name for name in request.formats if name in SHARED_FORMATS}
    for image in request.images:
        for file in list_files(image, request.folder, request.formats).values():
            if file in shared:
                message = f"the masks of {str(image)!r} and the format {shared[file]} would be written to {str(file)!r}"
                raise SettingsError("bad-usage", f"{message}; rename the image")
            if _resolve_folder(file) in inputs:
                message = f"the masks of {str(image)!r} would replace the image {str(file)!r}"
                raise SettingsError("bad-usage", f"{message}; write to another folder with --out")


def _resolve_folder(file: Path) -> Path:
    """Return the absolute path of a file without symbolic links to folders. A link to a file keeps its own name."""
    return Path(os.path.realpath(file.parent), file.name)


def _check_output(request: ImageSetRequest) -> None:
    if request.overwrite:
        _check_overwriting(request)
        return
    if is_logged(request) and output_exists(request.folder / FOLDER / FILE_NAME):
        if not request.resume:
            hint = "--resume continues it, --overwrite replaces it, --out writes elsewhere"
            raise ResourceError("output-exists", f"{request.folder} contains an earlier run", hint=hint)
        return
    check_free(SHARED_FORMATS[name].path_in(request.folder) for name in request.formats if name in SHARED_FORMATS)


def _check_overwriting(request: ImageSetRequest) -> None:
    """Raise `SettingsError` if images are in a folder that an earlier run created and that would be removed."""
    folders = {Path(os.path.realpath(folder)) for folder in find_created_folders(request.folder)}
    for image in (*request.images, *request.prompts):
        if not folders.isdisjoint(Path(os.path.realpath(image)).parents):
            message = f"--overwrite would remove {str(image)!r}, which an earlier run wrote"
            raise SettingsError("bad-usage", f"{message}; write to another folder with --out")


def check_free(paths: Iterable[Path]) -> None:
    """Raise `ResourceError` (`output-exists`) if one of the paths exists."""
    for path in paths:
        if output_exists(path):
            raise ResourceError(
                "output-exists", f"{path} exists", hint="--overwrite replaces it, --out writes elsewhere"
            )
