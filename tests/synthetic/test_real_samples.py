"""Real labelled pictures and clips become the same samples as composed ones."""

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


def labels(shift: int = 0) -> NDArray[np.uint8]:
    """Object 1 a square, object 2 another, 255 a strip that is to be ignored."""
    result = np.zeros((120, 160), np.uint8)
    result[20:90, 20 + shift : 90 + shift] = 1
    result[30:100, 100:150] = 2
    result[:10] = 255
    return result


def save(path: Path, picture: NDArray[np.uint8], palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture)
    if palette:
        image.putpalette([value for number in range(256) for value in (number, 255 - number, 7)])
    image.save(path)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = []
    for number in range(3):
        save(tmp_path / f"images/{number}.jpg", ground(number)[:120, :160])
        save(tmp_path / f"masks/{number}.png", labels(), palette=number == 1)
        row = {"image": f"images/{number}.jpg", "mask": f"masks/{number}.png", "exhaustive": number == 0, "source": "a"}
        rows.append({**row, "objects": [[1, "cat"], [2, "street"]]})
    for frame in range(6):
        save(tmp_path / f"clip/frames/{frame:05d}.jpg", ground(frame)[:120, :160])
        if frame != 2:
            save(tmp_path / f"clip/masks/{frame:05d}.png", labels(frame))
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"images": rows, "clips": [{"clip": "clip"}]}))
    return path


def test_a_view_has_the_size_asked_for(index: Path) -> None:
    sample = open_real_images(index, SIZE, seed=1).sample(0)
    assert sample.image.shape == (SIZE, SIZE, 3) and sample.masks.shape[1:] == (SIZE, SIZE)


def test_the_same_number_gives_the_same_view(index: Path) -> None:
    first, second = (open_real_images(index, SIZE, seed=1).sample(5) for _ in range(2))
    assert np.array_equal(first.image, second.image) and np.array_equal(first.masks, second.masks)


def test_ignored_pixels_are_no_object(index: Path) -> None:
    pictures = open_real_images(index, SIZE, seed=1)
    assert all(len(pictures.sample(number).kinds) <= 2 for number in range(20))


def test_scenery_is_a_region_and_things_are_instances(index: Path) -> None:
    kinds = {kind for number in range(20) for kind in open_real_images(index, SIZE, 1).sample(number).kinds}
    assert kinds == {"instance", "region"}


def test_a_sample_is_as_exhaustive_as_its_picture(index: Path) -> None:
    pictures = open_real_images(index, SIZE, seed=1)
    assert {pictures.sample(number).exhaustive for number in range(30)} == {True, False}


def test_masks_follow_the_picture_when_it_is_cut_and_mirrored(tmp_path: Path) -> None:
    # The object is the bright part of the picture: wherever a view puts it, mask and brightness agree.
    mask = labels()
    picture = np.where(mask[..., None] == 1, 220, 30).astype(np.uint8).repeat(3, 2)
    save(tmp_path / "a.png", picture)
    save(tmp_path / "m.png", (mask == 1).astype(np.uint8))
    row = {"image": "a.png", "mask": "m.png", "exhaustive": True, "source": "a", "objects": [[1, "cat"]]}
    (tmp_path / "index.json").write_text(json.dumps({"images": [row]}))
    for number in range(20):
        sample = open_real_images(tmp_path / "index.json", SIZE, 0).sample(number)
        differs = sample.masks[0] != (sample.image[..., 0] > 125)
        assert differs.mean() < 0.03  # one pixel along the border of the object: it is resampled in another way


def test_palette_files_give_their_indices(index: Path) -> None:
    folder = index.parent
    _, plain = read_labeled_image(folder / "images/0.jpg", folder / "masks/0.png")
    _, palette = read_labeled_image(folder / "images/1.jpg", folder / "masks/1.png")
    assert np.array_equal(plain, palette)


def test_a_clip_has_only_labelled_frames(index: Path) -> None:
    clips = open_real_clips(index, SIZE, 3, seed=1)
    for number in range(10):
        clip = clips.sample(number)
        assert clip.frames.shape == (3, SIZE, SIZE, 3) and clip.visible[0].any()


def test_too_few_labelled_frames_are_refused(index: Path) -> None:
    with pytest.raises(FormatError, match="6 labeled frames"):
        open_real_clips(index, SIZE, 6, seed=1)  # one of the six has no mask


def test_a_missing_picture_is_named(index: Path) -> None:
    (index.parent / "images/1.jpg").unlink()
    with pytest.raises(InputNotFound, match=r"1\.jpg"):
        open_real_images(index, SIZE, 1)


def test_a_label_map_of_another_size_is_named(index: Path) -> None:
    save(index.parent / "masks/0.png", labels()[:50])
    with pytest.raises(FormatError, match=r"0\.png.*must be equal"):
        read_labeled_image(index.parent / "images/0.jpg", index.parent / "masks/0.png")


@pytest.mark.parametrize("content", ["{", "[]", '{"images": []}', '{"images": [{"image": "a"}]}'])
def test_a_broken_index_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "index.json").write_text(content)
    with pytest.raises(FormatError, match=r"index\.json"):
        open_real_images(tmp_path / "index.json", SIZE, 1)


def test_real_objects_and_pictures_enrich_a_bank(index: Path) -> None:
    bank = add_real_objects(AssetBank({}, (), ()), open_real_images(index, SIZE, 1))
    assert len(bank.photographs) == 3
    assert len(bank.sprites["real"]) == 3  # the cats; the streets are scenery


def test_a_bank_is_enriched_by_one_set_after_another(index: Path) -> None:
    real = open_real_images(index, SIZE, 1)
    bank = add_real_objects(add_real_objects(AssetBank({}, (), ()), real), real)
    assert len(bank.photographs) == len(bank.sprites["real"]) == 6


def test_objects_cut_by_the_border_are_not_taken(tmp_path: Path) -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[:80, :80] = 1
    save(tmp_path / "a.png", ground(1)[:120, :160])
    save(tmp_path / "m.png", mask)
    row = {"image": "a.png", "mask": "m.png", "exhaustive": True, "source": "a", "objects": [[1, "cat"]]}
    (tmp_path / "index.json").write_text(json.dumps({"images": [row]}))
    assert add_real_objects(AssetBank({}, (), ()), open_real_images(tmp_path / "index.json", SIZE, 1)).sprites == {}


def test_the_shared_pictures_can_be_seen(shared: Path) -> None:
    sample = open_real_images(shared / "real" / "index.json", 128, seed=1).sample(0)
    assert sample.masks.any((1, 2)).all()
