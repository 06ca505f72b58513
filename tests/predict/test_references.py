"""Reference images: their memories, the images in which objects are found, labels, and the view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from masklet.backend import Decoded, Features, Memory, Recall
from masklet.errors import PromptError, StateError
from masklet.masks.crop import Crop
from masklet.memory.reference_memory import ReferenceMemory
from masklet.predict.references import References
from masklet.prompts import absent, box, click, mask
from masklet.tracking.tracker import Tracker
from masklet.views.zoom_view import ZoomView
from parity.inputs import frames
from support.fake_backend import FakeBackend
from support.gray_world import GrayWorld, draw_boxes


def test_an_image_recalls_the_maps_of_all_reference_images_and_no_pointers() -> None:
    images, backend = frames(5, 30, 40, 1), FakeBackend()
    references = References(backend)
    for image in images[:3]:
        references.add(image, click(5, 5))
    references.add(images[3], {2: click(9, 9)})
    backend.calls.clear()
    references.segment(images[4])
    assert backend.methods() == ["encode", "attend", "decode"]  # the image itself is not remembered
    (first, second) = dict(backend.calls)["attend"]
    assert ([slot for slot, _ in first[0]], first[1]) == ([6, 6, 6], [])
    assert ([slot for slot, _ in second[0]], second[1]) == ([6], [])


def test_masks_equal_those_of_a_tracker_with_the_reference_policy() -> None:
    images = frames(4, 48, 64, 1)
    references, tracker = References(FakeBackend()), Tracker(FakeBackend(), memory=ReferenceMemory())
    for number, prompts in enumerate(({1: box(5, 5, 30, 30), 2: click(40, 30)}, {2: click(20, 20)})):
        references.add(images[number], prompts)
        tracker.prompt(number, prompts, images[number])
    found = references.segment(images[3])
    assert (found.low_res == tracker.step(3, images[3]).low_res).all()
    references.segment(images[2])
    assert (references.segment(images[3]).low_res == found.low_res).all()  # other images have no effect


def test_objects_are_found_in_images_of_any_size_by_all_references() -> None:
    references = References(GrayWorld())
    marked = references.add(
        draw_boxes({50: (0, 0, 8, 8), 90: (20, 20, 40, 30)}), {7: click(4, 4, label="bolt"), 3: click(30, 25)}
    )
    assert (marked.object_ids, marked.labels, marked.areas.tolist()) == ((7, 3), ("bolt", None), [64, 200])
    references.add(draw_boxes({60: (5, 5, 15, 15)}), {7: box(4, 4, 16, 16)})
    references.add(draw_boxes({70: (0, 0, 30, 30)}), {3: mask(draw_boxes({1: (2, 2, 9, 9)})[..., 0] == 1)})
    assert (len(references), references.object_ids) == (3, (7, 3))
    image = np.pad(
        draw_boxes({50: (0, 0, 4, 4), 60: (10, 10, 20, 20), 70: (30, 0, 35, 10)}), ((0, 20), (0, 10), (0, 0))
    )
    found = references.segment(image)
    assert (found.size, found.object_ids, found.labels) == ((60, 70), (7, 3), ("bolt", None))
    assert found.areas.tolist() == [16 + 100, 50]
    assert references.segment(draw_boxes({200: (0, 0, 9, 9)})).areas.tolist() == [0, 0]


def test_an_object_with_a_score_that_is_not_positive_is_hidden() -> None:
    references = References(FakeBackend())
    references.add(np.zeros((30, 40, 3), np.uint8), {1: click(5, 5), 2: absent()})
    results = [references.segment(image) for image in frames(30, 30, 40, 1)]
    visible = np.array([masks.visible for masks in results])
    assert visible.any() and not visible.all()
    assert not np.array([masks.areas for masks in results])[~visible].any()


class SizedWorld(GrayWorld):
    """Gray world whose memories are the sizes of the images that they are of, and which lists recalled sizes."""

    recalled: list[tuple[tuple[int, ...], list[tuple[int, ...]]]]

    def attend(self, features: Features, recalls: Sequence[Recall]) -> Features:
        sizes = [tuple(memory.features) for recall in recalls for _, memory in recall.spatial]
        self.recalled = [*getattr(self, "recalled", []), (features.stride4.shape, sizes)]
        return super().attend(features, recalls)

    def memorize(self, features: Features, decoded: Sequence[Decoded], prompted: Sequence[bool]) -> list[Memory]:
        memories = super().memorize(features, decoded, prompted)
        return [memory._replace(features=features.stride4.shape) for memory in memories]


def test_with_a_zoom_an_object_is_searched_for_again_in_a_crop_around_it() -> None:
    backend = SizedWorld()
    references = References(backend, ZoomView(2))
    first = draw_boxes({50: (4, 4, 8, 8)})
    first[20:30, 40:50] = 60
    references.add(first, {1: click(5, 5)})
    image = np.zeros((100, 100, 3), np.uint8)
    image[20:40, 30:50] = 50
    image[80:, 80:] = 60
    backend.recalled.clear()
    found = references.segment(image)
    assert backend.recalled == [((100, 100), [(40, 60)]), ((40, 40), [(32, 32)])]  # like with like
    assert found.crops == (Crop(20, 10, 60, 50),)
    assert found.low_res.shape == (1, 40, 40)
    assert found.boxes.tolist() == [[30, 20, 50, 40]] and found.areas.tolist() == [400]
    assert references.segment(np.zeros((100, 100, 3), np.uint8)).crops == (None,)


def test_an_invalid_prompt_adds_nothing() -> None:
    references, image = References(GrayWorld()), draw_boxes({50: (0, 0, 8, 8)})
    with pytest.raises(StateError, match=r"no reference image; mark objects with references\.add"):
        references.segment(image)
    with pytest.raises(PromptError, match="lies outside the image"):
        references.add(image, {1: click(4, 4), 2: click(400, 4)})
    with pytest.raises(PromptError, match=r"write references\.add\(image, click\(4, 4\)\)"):
        references.add(image, [4, 4])  # type: ignore[arg-type]
    assert (len(references), references.object_ids) == (0, ())
