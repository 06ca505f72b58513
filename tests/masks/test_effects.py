"""Effects on images: exact pixels of small arrays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from masklet.errors import ImageError, SettingsError
from masklet.masks import effects
from masklet.masks.masks import Masks

SIZE = (40, 60)
RED, BLUE = (200, 10, 20), (0, 40, 240)


def half() -> np.ndarray:
    """A mask of the left half."""
    return np.broadcast_to(np.arange(60) < 30, SIZE).copy()


def two_colors() -> np.ndarray:
    """Red in the mask of `half`, blue elsewhere."""
    return np.where(half()[..., None], RED, BLUE).astype(np.uint8)


def hard(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, 255, 0).astype(np.uint8)


def test_alpha_is_smoothed_by_a_pixel_on_each_side_of_the_edge():
    alpha = effects.make_alpha([half(), np.zeros(SIZE, bool)], SIZE)
    assert alpha[7, 28:32].tolist() == [255, 191, 64, 0]


def test_alpha_of_logits_is_soft_at_the_edge_only():
    logits = np.where(half(), 0.5, -0.5)  # uncertain everywhere: a sigmoid of .62 and .38
    alpha = effects.make_alpha_of_logits([logits], SIZE)
    assert set(alpha[:, :27].ravel()) == {255} and set(alpha[:, 33:].ravel()) == {0}
    assert alpha[7, 28:32].tolist() == [183, 143, 112, 72]  # 255, 159, 96, 0 before smoothing


def test_a_blurred_background_keeps_the_objects_and_their_colors_out_of_it():
    blurred = effects.blur_background(two_colors(), hard(half()), strength=0.5)
    assert (blurred == two_colors()).all()  # the background has one color, so that nothing changes


def test_the_background_is_blurred_beside_an_unchanged_object():
    image = two_colors()
    image[:, 45:] = 255
    blurred = effects.blur_background(image, hard(half()), strength=0.1)
    assert (blurred[:, :30] == image[:, :30]).all()
    assert blurred[20, 44].tolist() != list(BLUE) and blurred[20, 45].tolist() != [255, 255, 255]
    assert blurred[20, 32].tolist() == list(BLUE)


def test_a_wide_blur_on_a_reduced_image_is_near_that_on_the_whole_image():
    image = np.random.default_rng(0).integers(0, 256, (90, 130, 3)).astype(np.uint8)
    alpha = np.zeros((90, 130), np.uint8)
    whole = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 9, borderType=cv2.BORDER_REFLECT)
    assert abs(effects.blur_background(image, alpha, strength=0.1) - whole).max() < 6


def test_an_object_that_fills_the_image_stays_as_it_is():
    full = np.full(SIZE, 255, np.uint8)
    assert (effects.blur_background(two_colors(), full) == two_colors()).all()


def test_no_pixel_of_a_blurred_object_remains():
    image = two_colors()
    image[::2, :30] = 0  # stripes
    alpha = effects.make_alpha([half()], SIZE)
    blurred = effects.blur_objects(image, alpha)
    assert blurred[:, :28].std(axis=0).max() < 5  # the stripes have 100
    assert blurred[:, 29].std(axis=0).max() < 5  # at the soft edge too
    assert (blurred[:, 40:] == image[:, 40:]).all()


def test_a_large_object_is_blurred_by_more_than_a_small_one():
    image = np.where((np.arange(400) // 20 % 2)[None, :, None], 255, 0).repeat(400, 0).repeat(3, 2).astype(np.uint8)
    large, small = np.zeros((2, 400, 400), np.uint8)
    large[50:350, 50:350] = small[195:205, 195:205] = 255
    contrast = [np.ptp(effects.blur_objects(image, alpha)[200, 195:205].astype(int)) for alpha in (large, small)]
    assert contrast[0] < 5 < contrast[1]


def test_a_spotlight_darkens_the_background():
    lit = effects.spotlight(two_colors(), hard(half()))
    assert lit[5, 5].tolist() == list(RED)
    assert lit[5, 50].tolist() == [0, 12, 72]


def test_a_background_is_replaced_by_a_color():
    replaced = effects.replace_background(two_colors(), hard(half()), (1, 2, 3))
    assert replaced[5, 5].tolist() == list(RED)
    assert replaced[5, 50].tolist() == [1, 2, 3]


def test_an_image_covers_the_background_and_loses_its_sides():
    stripes = np.zeros((20, 90, 3), np.uint8)  # as high as the image after doubling, and three times as wide
    stripes[:, 30:60] = 100
    behind = effects.fit_background(stripes, SIZE)
    assert behind.shape == (*SIZE, 3)
    assert (behind[:, 1:-1] == 100).all()
    tall = np.zeros((90, 30, 3), np.uint8)
    tall[:, :, 1] = np.arange(90)[:, None]
    assert abs(effects.fit_background(tall, SIZE)[[0, 20, 39], 30, 1].astype(int) - [35, 45, 54]).max() <= 1


@pytest.mark.parametrize(
    ("given", "color"),
    [("white", (255, 255, 255)), ("#00b140", (0, 177, 64)), ("#0008", (0, 0, 0)), ([1, 2, 3], (1, 2, 3))],
)
def test_a_background_is_a_color(given: object, color: tuple[int, int, int]):
    assert effects.check_background(given) == color  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["wite", "", (1, 2), (1, 2, 256), 7, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_another_background_is_refused(given: object):
    with pytest.raises(SettingsError, match="a background is a color"):
        effects.check_background(given)  # type: ignore[arg-type]


def test_masks_apply_every_effect_to_their_union():
    left, image = np.arange(60) < 10, two_colors()
    masks = Masks.from_binary(np.stack([half() & left, half() & ~left]))
    image[::2] //= 2
    for name in effects.EFFECTS:
        changed = masks.apply_effect(image, name, background="black")
        assert changed.shape == image.shape and changed.dtype == np.uint8
        assert (changed[:, :25] == image[:, :25]).all() == (name != "blur_objects")
    assert masks.apply_effect(image, "background", background="black")[5, 50].tolist() == [0, 0, 0]
    assert masks.apply_effect(image, "spotlight")[5, 50].tolist() == [0, 12, 72]


def test_masks_refuse_unknown_effects_and_images_of_another_size():
    masks = Masks.from_binary(half())
    with pytest.raises(SettingsError, match="effects are blur, blur_objects, spotlight, background"):
        masks.apply_effect(two_colors(), "sepia")
    with pytest.raises(ImageError):
        masks.apply_effect(two_colors()[1:], "blur")
