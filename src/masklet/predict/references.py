"""Reference images: objects that are marked on a few images are found in others, without prompts.

A reference image is remembered as a prompted frame of a video is, and another image recalls it as a frame does. The
memory policy decides what that is: `ReferenceMemory` recalls memory maps of prompted images only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from masklet.backend import NO_PROMPT, Backend, Decoded, Memory, Recall
from masklet.errors import StateError
from masklet.images import read_image
from masklet.images.image_source import ImageSource
from masklet.masks.masks import Masks, format_object_ids
from masklet.memory.memory_bank import MemoryBank
from masklet.memory.reference_memory import ReferenceMemory
from masklet.predict.mask_checks import check_found, check_masks
from masklet.predict.prompt_prediction import VIDEO_RULES, PromptedObject, predict_prompts
from masklet.predict.result_masks import build_masks
from masklet.predict.sam2_arguments import refuse_sam2_arguments
from masklet.prompts import Prompts, group_by_object
from masklet.views.encoded_frame import EncodedFrame, FeatureCache
from masklet.views.found_mask import FoundMask
from masklet.views.view import WHOLE_VIEW, Region, View, group_by_region


class References:
    """Objects that are marked on reference images and found in other images.

    Every image is independent of the others; their order has no effect, and they may have different sizes. An object is
    first searched for in the whole image, and with a zoom again in a crop around what was found. An object whose object
    score is not positive is hidden.

    Args:
        backend: Backend with the model, `Segmenter.backend`.
        view: Rule that places the part of an image in which an object is predicted.
    """

    def __init__(self, backend: Backend, view: View = WHOLE_VIEW) -> None:
        self._backend, self._view = backend, view
        self._objects: dict[int, _KnownObject] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return the number of reference images."""
        return self._count

    def __repr__(self) -> str:
        return f"References({self._count} images, object_ids={format_object_ids(self.object_ids)})"

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of the objects, in the order in which they were first marked."""
        return tuple(self._objects)

    @refuse_sam2_arguments("references.add(image, {})")
    def add(self, image: ImageSource, prompts: Prompts) -> Masks:
        """Add a reference image, on which any of the objects are marked.

        Args:
            image: Whatever `read_image` takes.
            prompts: What `EmbeddedImage.predict` takes. A mask alone is used as it is. A label becomes the label of its
                object. An object without a prompt on this image is not learned from it; `absent()` states that it is
                not there.

        Returns:
            The masks of the prompted objects on this image.

        Raises:
            PromptError: A point lies outside the image, a mask has other proportions, or an argument is not a prompt.
            InputNotFound: The file does not exist.
            ImageError: The image cannot be read.
        """
        by_object = group_by_object(prompts, "references.add(image, {})")
        frame = self._open(image)
        for prompt in by_object.values():
            prompt.check_fits(frame.size)  # before any object changes
        objects = {key: PromptedObject(prompt) for key, prompt in by_object.items()}
        found: dict[int, _FoundObject] = {}
        for region, predicted in predict_prompts(frame, self._view, VIDEO_RULES, objects):
            batch = {key: _FoundObject(one.select(self._backend), region) for key, one in predicted.items()}
            self._remember(batch, region, frame)
            found |= batch
        for key, prompt in by_object.items():
            self._objects[key].label = prompt.label or self._objects[key].label
        found = {key: found[key] for key in by_object}
        self._count += 1
        masks = self._build_masks(found, frame)
        return replace(masks, warnings=check_masks(masks, by_object))

    def segment(self, image: ImageSource) -> Masks:
        """Find the objects in an image.

        Args:
            image: Whatever `read_image` takes.

        Returns:
            One mask per object, in the order of `object_ids`. An object that is not found is hidden: its mask is empty.

        Raises:
            StateError: There is no reference image.
            InputNotFound: The file does not exist.
            ImageError: The image cannot be read.
        """
        if not self._objects:
            raise StateError("no-prompts", "there is no reference image; mark objects with references.add(image, …)")
        frame = self._open(image)
        found = self._search(frame, dict.fromkeys(self._objects))
        regions = {key: self._follow(one, frame) for key, one in found.items()}
        found |= self._search(frame, {key: region for key, region in regions.items() if region is not None})
        masks = self._build_masks(found, frame)
        return replace(masks, warnings=check_found(masks))

    def _open(self, image: ImageSource) -> EncodedFrame:
        return EncodedFrame(self._backend, read_image(image), FeatureCache(self._backend))

    def _follow(self, found: _FoundObject, frame: EncodedFrame) -> Region:
        """Place the region in which an object is searched for again; None if that is the whole image."""
        mask = FoundMask.of(self._backend, found.decoded, found.region, frame.size)
        return self._view.follow(mask, frame.size)

    def _remember(self, found: Mapping[int, _FoundObject], region: Region, frame: EncodedFrame) -> None:
        """Remember objects in their region of a reference image, and in the whole image."""
        backend, number = self._backend, self._count
        results = [one.decoded for one in found.values()]
        in_region = self._memorize(frame, region, results)
        if region is not None:
            masks = [region.paste_mask(one, frame.size) for one in backend.fetch(results).logits]
            used = backend.use_masks(frame.encode(None), masks)
            results = backend.select(used, [(row, None) for row in range(len(results))])
        in_image = in_region if region is None else self._memorize(frame, None, results)
        for key, one, other in zip(found, in_region, in_image, strict=True):
            known = self._objects.setdefault(key, _KnownObject())
            known.in_region.remember(number, one, prompted=True)
            known.in_image.remember(number, other, prompted=True)

    def _memorize(self, frame: EncodedFrame, region: Region, results: list[Decoded]) -> list[Memory]:
        return self._backend.memorize(frame.encode(region), results, [True] * len(results))

    def _search(self, frame: EncodedFrame, regions: Mapping[int, Region]) -> dict[int, _FoundObject]:
        """Search for objects, each in its region of an image."""
        backend, found = self._backend, dict[int, _FoundObject]()
        for region, group in group_by_region(regions, regions.__getitem__):
            recalls = [self._objects[key].recall(region, self._count) for key in group]
            decoded = backend.decode(frame.attend(region, recalls), [NO_PROMPT] * len(group), hide=True)
            rows = backend.select(decoded, [(row, None) for row in range(len(group))])
            found |= {key: _FoundObject(one, region) for key, one in zip(group, rows, strict=True)}
        return found

    def _build_masks(self, found: Mapping[int, _FoundObject], frame: EncodedFrame) -> Masks:
        decoded, regions = [one.decoded for one in found.values()], [one.region for one in found.values()]
        labels = [self._objects[key].label for key in found]
        return build_masks(self._backend, frame.size, found, decoded, regions, labels)


@dataclass(slots=True)
class _KnownObject:
    """Memories of one object on reference images: of the whole images, and of the regions that the view placed."""

    in_image: MemoryBank = field(default_factory=lambda: MemoryBank(ReferenceMemory()))
    in_region: MemoryBank = field(default_factory=lambda: MemoryBank(ReferenceMemory()))
    label: str | None = None

    def recall(self, region: Region, image: int) -> Recall:
        """Return the memories that a region of an image recalls."""
        return (self.in_image if region is None else self.in_region).recall(image)


class _FoundObject(NamedTuple):
    """Result of one object in a region of an image."""

    decoded: Decoded
    region: Region
