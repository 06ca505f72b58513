"""Segmentation of a set of images: masks from prompts or reference images, in files, which can be resumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from masklet.detectors.detections import Detector
from masklet.errors import SettingsError
from masklet.formats.image_layout import FrameMode
from masklet.image_sets.request import ImageSetRequest, SegmentedImage
from masklet.image_sets.request_checks import check_request
from masklet.image_sets.run import run_request
from masklet.images.spacing import Spacing
from masklet.masks.effects import WHITE, Background, check_background
from masklet.prompts import Prompts, group_by_object
from masklet.segmenter import Segmenter


def segment_images(
    model: Segmenter,
    images: Iterable[str | Path],
    prompts: Prompts | Mapping[str | Path, Prompts] | Detector,
    out: str | Path,
    formats: Sequence[str] = ("png",),
    *,
    references: bool = False,
    fill_holes: float = 0,
    remove_islands: float = 0,
    background: str | Background = WHITE,
    frames: FrameMode | None = None,
    spacing: tuple[float, float] | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Iterator[SegmentedImage]:
    """Segment a set of images and write the masks, image by image.

    An image that cannot be segmented has an `error` in its result and does not end the run. Formats that hold several
    images are written after the last image, so advance the iterator to its end. A run of several images that is
    interrupted or killed can be resumed: images that are finished are not segmented again.

    Args:
        model: The model.
        images: Image files. Their names are the names of the output files and must have distinct stems.
        prompts: What `EmbeddedImage.predict` takes, for every image, or a mapping from image to that, such as
            `read_prompts` returns. Images without a prompt are left out. With a detector, its objects are segmented.
        out: Output folder, created if missing.
        formats: Names of formats: `png`, `overlay`, `cutout`, `blur`, `blur_objects`, `spotlight`, `background`, `rle`
            and `npz` are a file per image; `coco`, `yolo`, `labelme`, `cvat` and `csv` hold all images.
        references: The prompted images are reference images, and their objects are found in all images.
        fill_holes: Largest area of holes to fill, see `Masks.postprocess`.
        remove_islands: Largest area of islands to remove.
        background: What the format `background` shows behind the objects.
        frames: How images are written beside `labelme`, `yolo`, `coco` and `cvat`: "copy", "link", "jpg", "png" or
            "none". By default they are copied for `labelme` and `yolo`.
        spacing: Width and height of a pixel in micrometres, for `csv`. By default what TIFF files state.
        resume: Continue an earlier run in the same folder.
        overwrite: Replace existing files.

    Returns:
        Iterator over the results, in the order of the images.

    Raises:
        SettingsError: A format is unknown, two images have the same stem, or a file would replace an image.
        PromptError: There is no prompt, or an argument is not a prompt.
        ResourceError: `output-exists`. A file or a run exists and neither `resume` nor `overwrite` is set.
        StateError: `resume-mismatch`. The earlier run had other settings.

    Example:
        >>> prompts = masklet.read_prompts("boxes.csv", images)
        >>> for image in masklet.segment_images(model, images, prompts, "labels", ["coco", "yolo"], resume=True):
        ...     print(image.path, image.error or image.masks.areas)
    """
    paths = [Path(image) for image in images]
    detector = prompts if callable(prompts) else None
    if detector and references:
        raise SettingsError("bad-usage", "references are found by prompts; pass prompts in place of a detector")
    by_image = {} if detector else _group_prompts(prompts, paths)
    request = ImageSetRequest(
        images=paths if references or detector else [path for path in paths if path in by_image],
        prompts=by_image,
        detector=detector,
        folder=Path(out),
        formats=[*dict.fromkeys(formats)],
        references=references,
        fill_holes=fill_holes,
        remove_islands=remove_islands,
        background=check_background(background),
        frames=frames,
        spacing=None if spacing is None else Spacing(*spacing),
        resume=resume,
        overwrite=overwrite,
    )
    check_request(request)
    return run_request(model, request)


def _group_prompts(prompts: Any, images: Sequence[Path]) -> dict[Path, dict[int, Any]]:
    """Return the prompts by image and object id."""
    if isinstance(prompts, Mapping) and prompts and all(isinstance(key, str | Path) for key in prompts):
        return {Path(image): group_by_object(value) for image, value in prompts.items()}
    by_object = group_by_object(prompts)
    return dict.fromkeys(images, by_object)
