"""Samples of labeled images and clips, and their objects in a bank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from masklet.errors import FormatError, InputNotFound
from masklet.synthetic.engine.asset_bank import AssetBank
from masklet.synthetic.engine.real_objects import add_real_objects
from masklet.synthetic.engine.real_samples import open_real_clips, open_real_images, read_labeled_image
from support.tiny_pack import ground

SIZE = 64


def make_labels(shift: int = 0) -> NDArray[np.uint8]:
    """Make a label map: two squares with the labels 1 and 2, and a strip of ignored pixels (255)."""
    result = np.zeros((120, 160), np.uint8)
    result[20:90, 20 + shift : 90 + shift] = 1
    result[30:100, 100:150] = 2
    result[:10] = 255
    return result


def save(path: Path, pixels: NDArray[np.uint8], palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([value for number in range(256) for value in (number, 255 - number, 7)])
    image.save(path)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = []
    for number in range(3):
        save(tmp_path / f"images/{number}.jpg", ground(number)[:120, :160])
        save(tmp_path / f"masks/{number}.png", make_labels(), palette=number == 1)
        row = {"image": f"images/{number}.jpg", "mask": f"masks/{number}.png", "exhaustive": number == 0, "source": "a"}
        rows.append({**row, "objects": [[1, "cat"], [2, "street"]]})
    for frame in range(6):
        save(tmp_path / f"clip/frames/{frame:05d}.jpg", ground(frame)[:120, :160])
        if frame != 2:
            save(tmp_path / f"clip/masks/{frame:05d}.png", make_labels(frame))
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"images": rows, "clips": [{"clip": "clip"}]}))
    return path


def test_a_sample_has_the_given_size(index: Path) -> None:
    sample = open_real_images(index, SIZE, seed=1).sample(0)
    assert sample.image.shape == (SIZE, SIZE, 3) and sample.masks.shape[1:] == (SIZE, SIZE)


def test_the_same_number_gives_the_same_sample(index: Path) -> None:
    first, second = (open_real_images(index, SIZE, seed=1).sample(5) for _ in range(2))
    assert np.array_equal(first.image, second.image) and np.array_equal(first.masks, second.masks)


def test_ignored_pixels_are_no_object(index: Path) -> None:
    images = open_real_images(index, SIZE, seed=1)
    assert all(len(images.sample(number).kinds) <= 2 for number in range(20))


def test_scenery_is_a_region_and_other_objects_are_instances(index: Path) -> None:
    kinds = {kind for number in range(20) for kind in open_real_images(index, SIZE, 1).sample(number).kinds}
    assert kinds == {"instance", "region"}


def test_a_sample_is_exhaustive_if_its_image_is(index: Path) -> None:
    images = open_real_images(index, SIZE, seed=1)
    assert {images.sample(number).exhaustive for number in range(30)} == {True, False}


def test_masks_match_the_image_in_every_crop(tmp_path: Path) -> None:
    # The object is the bright part of the image, so mask and brightness agree in every crop.
    mask = make_labels()
    image = np.where(mask[..., None] == 1, 220, 30).astype(np.uint8).repeat(3, 2)
    save(tmp_path / "a.png", image)
    save(tmp_path / "m.png", (mask == 1).astype(np.uint8))
    row = {"image": "a.png", "mask": "m.png", "exhaustive": True, "source": "a", "objects": [[1, "cat"]]}
    (tmp_path / "index.json").write_text(json.dumps({"images": [row]}))
    for number in range(20):
        sample = open_real_images(tmp_path / "index.json", SIZE, 0).sample(number)
        differs = sample.masks[0] != (sample.image[..., 0] > 125)
        assert differs.mean() < 0.03  # the image and the mask are resampled in different ways


def test_the_labels_of_a_palette_file_are_its_indices(index: Path) -> None:
    folder = index.parent
    _, plain = read_labeled_image(folder / "images/0.jpg", folder / "masks/0.png")
    _, palette = read_labeled_image(folder / "images/1.jpg", folder / "masks/1.png")
    assert np.array_equal(plain, palette)


def test_a_clip_has_labeled_frames_only(index: Path) -> None:
    clips = open_real_clips(index, SIZE, 3, seed=1)
    for number in range(10):
        clip = clips.sample(number)
        assert clip.frames.shape == (3, SIZE, SIZE, 3) and clip.visible[0].any()


def test_too_few_labeled_frames_are_an_error(index: Path) -> None:
    with pytest.raises(FormatError, match="6 labeled frames"):
        open_real_clips(index, SIZE, 6, seed=1)  # one of the six has no mask


def test_the_error_names_a_missing_image(index: Path) -> None:
    (index.parent / "images/1.jpg").unlink()
    with pytest.raises(InputNotFound, match=r"1\.jpg"):
        open_real_images(index, SIZE, 1)


def test_the_error_names_a_label_map_of_another_size(index: Path) -> None:
    save(index.parent / "masks/0.png", make_labels()[:50])
    with pytest.raises(FormatError, match=r"0\.png.*must be equal"):
        read_labeled_image(index.parent / "images/0.jpg", index.parent / "masks/0.png")


@pytest.mark.parametrize("content", ["{", "[]", '{"images": []}', '{"images": [{"image": "a"}]}'])
def test_a_broken_index_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(FormatError, match=r"index\.json"):
        open_real_images(tmp_path / "index.json", SIZE, 1)


def test_images_and_objects_are_added_to_a_bank(index: Path) -> None:
    bank = add_real_objects(AssetBank({}, (), ()), open_real_images(index, SIZE, 1))
    assert len(bank.photographs) == 3
    assert len(bank.sprites["real"]) == 3  # the cats; the streets are scenery


def test_several_sets_can_be_added_to_a_bank(index: Path) -> None:
    real = open_real_images(index, SIZE, 1)
    bank = add_real_objects(add_real_objects(AssetBank({}, (), ()), real), real)
    assert len(bank.photographs) == len(bank.sprites["real"]) == 6


def test_objects_at_the_border_are_left_out(tmp_path: Path) -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[:80, :80] = 1
    save(tmp_path / "a.png", ground(1)[:120, :160])
    save(tmp_path / "m.png", mask)
    row = {"image": "a.png", "mask": "m.png", "exhaustive": True, "source": "a", "objects": [[1, "cat"]]}
    (tmp_path / "index.json").write_text(json.dumps({"images": [row]}))
    assert add_real_objects(AssetBank({}, (), ()), open_real_images(tmp_path / "index.json", SIZE, 1)).sprites == {}


def test_the_shared_images_give_samples(shared: Path) -> None:
    sample = open_real_images(shared / "real" / "index.json", 128, seed=1).sample(0)
    assert sample.masks.any((1, 2)).all()
