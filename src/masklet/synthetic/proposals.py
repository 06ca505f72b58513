"""Proposals of masks for images without annotations, and the COCO dataset of the proposals that a person keeps.

    images/NAME        the images
    found/NAME.json    the proposals for each image, numbered from 1, in the format of SA-1B
    sheets/NAME.png    the image, and a numbered tile for each proposal
    keep.txt           a line for each image, to be filled in: `NAME: 1 church, 4 tree, 7`
    annotations.json   the kept proposals; with the images a COCO dataset for training

A model's own scores do not separate correct from wrong masks well enough to train on (`docs/log.md`), so a person
selects them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from masklet.datasets.frame_folders import list_entries
from masklet.errors import FormatError, SettingsError
from masklet.files.atomic import atomic_write
from masklet.files.error_translation import translate_write_errors
from masklet.files.image_files import IMAGE_SUFFIXES, select_images
from masklet.files.json_fields import read_fields
from masklet.files.names import check_relative
from masklet.files.open_input import open_input, require_input
from masklet.formats import sa1b
from masklet.images import read_image
from masklet.masks import rle
from masklet.masks.connected_components import fill_holes_and_remove_islands
from masklet.masks.iou import mask_iou, masks_to_boxes
from masklet.masks.nms import suppress_overlaps
from masklet.predict.embedded_image import EmbeddedImage
from masklet.predict.generated_masks import GeneratedMask, GeneratedMasks
from masklet.predict.mask_generator import MaskGeneratorOptions
from masklet.prompts import box
from masklet.segmenter import Segmenter
from masklet.synthetic.coco_writer import IMAGES, LabeledImage, write_annotations
from masklet.synthetic.keep_list import KEEP_LIST, can_be_listed, read_keep_list
from masklet.synthetic.pack import INDEX, open_pack
from masklet.synthetic.proposal_sheet import draw_sheet

PROPOSALS, SHEETS = "found", "sheets"
GENERATOR_OPTIONS = MaskGeneratorOptions(points_per_side=16)
DUPLICATE_IOU = 0.8  # proposals with a larger IoU are duplicates
SPECK_SHARE = 0.01  # holes and islands with a smaller share of the mask are removed


@dataclass(frozen=True, slots=True)
class UnlabeledImage:
    """An image without annotations.

    Attributes:
        name: Name of the image. Its files in the folder of proposals are named after it.
        read: Returns the bytes of the image file.
        license: License of the image if it is known.
    """

    name: str
    read: Callable[[], bytes]
    license: str = ""


def find_images(sources: Iterable[Path], outlined: Collection[str] = ()) -> list[UnlabeledImage]:
    """Find the images to propose masks for.

    Args:
        sources: Image files, folders of images, and packs, of which the photographs for training are taken.
        outlined: Names of photographs of packs to leave out, because they have outlines.

    Raises:
        InputNotFound: A source does not exist.
        FormatError: A folder has no images, or a pack is broken.
        SettingsError: Two images have the same name, or a name cannot be written in the keep list.
    """
    images = [image for source in sources for image in _find_in_source(require_input(source), outlined)]
    names: set[str] = set()
    for image in images:
        if image.name in names:
            raise SettingsError("bad-usage", f"two images are named {image.name!r}; rename one")
        if not can_be_listed(image.name):
            raise SettingsError("bad-usage", f"{image.name!r} cannot be written into {KEEP_LIST}; rename the image")
        names.add(image.name)
    return images


def propose_masks(segmenter: Segmenter, image: NDArray[np.uint8], most: int = 16) -> GeneratedMasks:
    """Propose masks of the objects in an image.

    Each mask of the mask generator is proposed, and also the prediction for its box, which a model with zoom makes in
    a crop of the object.

    Args:
        segmenter: The model.
        image: RGB image (H, W, 3) uint8.
        most: Number of proposals at most.

    Returns:
        The proposals in the order of the mask generator, without duplicates.
    """
    generated = segmenter.generate_masks(image, GENERATOR_OPTIONS)
    embedded = segmenter.embed(image, lazy=True, warn=False)
    candidates = [
        _replace_mask(proposal, mask)
        for proposal in generated
        for mask in (_predict_from_box(embedded, proposal), rle.decode(proposal.rle))
    ]
    candidates = [candidate for candidate in candidates if candidate.area]

    def compare(index: int, others: NDArray[np.int64]) -> NDArray[np.float64]:
        return _compute_ious(candidates[index], [candidates[other] for other in others])

    selected = suppress_overlaps(-np.arange(len(candidates)), DUPLICATE_IOU, compare)
    return GeneratedMasks(generated.size, tuple(candidates[index] for index in selected[:most]))


def write_proposals(folder: Path, image: UnlabeledImage, segmenter: Segmenter, most: int = 16) -> int:
    """Propose masks for an image and write them with the sheet, unless an earlier call has.

    Args:
        folder: The folder of proposals.
        image: The image.
        segmenter: The model.
        most: Number of proposals at most.

    Returns:
        The number of proposals.

    Raises:
        ImageError: The image cannot be decoded.
        InputNotFound: The image file cannot be read.
        ResourceError: A file cannot be written.
        SettingsError: The folder has another image of the same name.
    """
    target, content = _make_path(folder, PROPOSALS, image.name, ".json"), image.read()
    with translate_write_errors(target):
        is_done = target.exists()
    if is_done:
        if _read_bytes(_make_path(folder, IMAGES, image.name)) != content:
            raise SettingsError("bad-usage", f"{folder} has another image named {image.name!r}; rename one")
        return len(_read_proposals(target)["annotations"])
    pixels = read_image(content)
    proposals = propose_masks(segmenter, pixels, most)
    _write_bytes(_make_path(folder, IMAGES, image.name), content)
    _write_bytes(_make_path(folder, SHEETS, image.name, ".png"), _encode_png(draw_sheet(pixels, proposals)))
    annotation = proposals.to_annotation(image.name)
    annotation["image"]["license"] = image.license
    _write_bytes(target, json.dumps(annotation).encode())  # written last: its existence means that the image is done
    return len(proposals)


def write_selected_proposals(folder: Path) -> tuple[int, int]:
    """Write the proposals in the keep list as a COCO dataset, and return the numbers of images and objects.

    Raises:
        InputNotFound: There is no keep list.
        FormatError: The list is broken or empty, or names an image or a proposal that does not exist.
        ResourceError: The annotations cannot be written.
    """
    path = require_input(folder / KEEP_LIST)
    images = [_select_proposals(folder, name, objects) for name, objects in read_keep_list(folder).items() if objects]
    if not images:
        message = f"{path}: no proposal is listed; write numbers after the names of the images"
        raise FormatError("annotation-broken", message)
    return write_annotations(folder, images)


def _find_in_source(source: Path, outlined: Collection[str]) -> list[UnlabeledImage]:
    if (source / INDEX).is_file():
        pack = open_pack(source)
        photographs = [asset for asset in pack.of("photograph") if asset.name not in outlined]
        return [UnlabeledImage(asset.name, partial(pack.read, asset), asset.license) for asset in photographs]
    if not source.is_dir():
        return [UnlabeledImage(source.name, partial(_read_bytes, source))]
    files = select_images(list_entries(source))
    if not files:
        raise FormatError("dataset-broken", f"{source}: no images in it ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return [UnlabeledImage(file.name, partial(_read_bytes, file)) for file in files]


def _compute_ious(proposal: GeneratedMask, others: Sequence[GeneratedMask]) -> NDArray[np.float64]:
    """Compute the IoU of a mask with others, 0 where the areas exclude more than `DUPLICATE_IOU`.

    Two masks are decoded at a time, because many large masks would need much memory.
    """
    mask = rle.decode(proposal.rle)[None]
    areas = np.array([other.area for other in others], np.float64)
    is_near = np.minimum(areas, proposal.area) > DUPLICATE_IOU * np.maximum(areas, proposal.area)
    return np.array(
        [
            mask_iou(mask, rle.decode(other.rle)[None])[0, 0] if near else 0.0
            for near, other in zip(is_near, others, strict=True)
        ]
    )


def _predict_from_box(embedded: EmbeddedImage, proposal: GeneratedMask) -> NDArray[np.bool_]:
    """Predict the mask (H, W) for the box of a proposal."""
    return np.asarray(embedded.predict(box(*proposal.box)).best.binary[0])


def _replace_mask(proposal: GeneratedMask, mask: NDArray[np.bool_]) -> GeneratedMask:
    """Return the proposal with another mask (H, W), whose small holes and islands are removed."""
    speck = SPECK_SHARE * np.count_nonzero(mask)
    clean = fill_holes_and_remove_islands(np.where(mask, np.float32(1), np.float32(-1)), speck, speck) > 0
    left, top, right, bottom = masks_to_boxes([clean])[0].tolist()
    area = int(np.count_nonzero(clean))
    return replace(proposal, rle=rle.encode(clean), area=area, box=(left, top, right, bottom))


def _select_proposals(folder: Path, name: str, objects: Mapping[int, str]) -> LabeledImage:
    """Return an image with its kept proposals; `objects` are names by number."""
    content = _find_proposals(folder, name)
    if content is None or content["image"]["file_name"] != name:
        message = f"{folder / KEEP_LIST}: there are no proposals for {name!r}; names end at the last colon of a line"
        raise FormatError("annotation-broken", message)
    masks = [entry["segmentation"] for entry in content["annotations"]]
    missing = next((number for number in objects if not 1 <= number <= len(masks)), None)
    if missing is not None:
        message = f"{folder / KEEP_LIST}: {name} has proposals 1 to {len(masks)}, not {missing}"
        raise FormatError("annotation-broken", message)
    image = content["image"]
    labels = [(label, masks[number - 1]) for number, label in objects.items()]
    return LabeledImage(name, (image["height"], image["width"]), labels, image["license"])


def _find_proposals(folder: Path, name: str) -> dict[str, Any] | None:
    """Read the proposals for an image, None if there are none or the name is not valid."""
    try:
        target = _make_path(folder, PROPOSALS, name, ".json")
    except FormatError:
        return None
    return _read_proposals(target) if target.is_file() else None


def _read_proposals(path: Path) -> dict[str, Any]:
    file = read_fields(path)
    sa1b.parse(file)
    _ = [file.object("image").text(key) for key in ("file_name", "license")]
    return file.value


def _make_path(folder: Path, kind: str, name: str, suffix: str = "") -> Path:
    """Return the path of a file of an image. Raises `FormatError` for a name that leads out of the folder."""
    return folder / kind / f"{check_relative(name, folder)}{suffix}"


def _encode_png(image: NDArray[np.uint8]) -> bytes:
    done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return encoded.tobytes()


def _read_bytes(path: Path) -> bytes:
    with open_input(path) as handle:
        return handle.read()


def _write_bytes(path: Path, content: bytes) -> None:
    with translate_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as handle:
        handle.write(content)
