"""Composed datasets: layouts, resumption, and the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from masklet.cli.main import main
from masklet.datasets.layouts import open_images
from masklet.errors import ResourceError
from masklet.masks import rle
from masklet.synthetic.engine.asset_bank import load_bank
from masklet.synthetic.engine.clips import ClipComposer
from masklet.synthetic.engine.dataset_writers import build_sav_annotation, write_sav
from masklet.synthetic.engine.samples import Clip
from masklet.synthetic.engine.synthesize import Recipe, synthesize
from masklet.synthetic.pack import Pack
from masklet.synthetic.rendering.render_cache import load_meshes
from support.tiny_pack import tiny_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return tiny_pack(tmp_path_factory.mktemp("tiny"))


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def make_clip(visible: Sequence[bool]) -> Clip:
    """Make a clip with an object of 40 × 40 pixels that is visible on some frames."""
    masks = np.zeros((len(visible), 1, 64, 48), bool)
    for frame, is_visible in enumerate(visible):
        masks[frame, 0, 4:44, 2:42] = is_visible
    frames = np.broadcast_to(np.uint8(90), (len(visible), 64, 48, 3)).copy()
    return Clip(frames, masks, ("instance",))


def test_a_davis_set_has_the_composed_clips(pack: Pack, tmp_path: Path) -> None:
    synthesize(pack, tmp_path / "set", Recipe("davis", size=48, frames=3, seed=2), count=2)
    composer = ClipComposer(load_bank(pack), load_meshes(pack), 48, 3, 2)
    names = (tmp_path / "set/ImageSets/2017/train.txt").read_text().split()
    assert len(names) == 2
    for number, name in enumerate(names):
        clip = composer.sample(number)
        for frame in range(3):
            labels = np.asarray(Image.open(tmp_path / f"set/Annotations/480p/{name}/{frame:05d}.png"))
            image = np.asarray(Image.open(tmp_path / f"set/JPEGImages/480p/{name}/{frame:05d}.jpg"))
            assert all(np.array_equal(labels == n + 1, mask) for n, mask in enumerate(clip.masks[frame]))
            assert np.abs(image.astype(int) - clip.frames[frame]).mean() < 6  # JPEG at quality 95


def test_davis_annotations_have_a_palette(pack: Pack, tmp_path: Path) -> None:
    synthesize(pack, tmp_path / "set", Recipe("davis", size=48, frames=2), count=1)
    image = Image.open(next((tmp_path / "set/Annotations").rglob("*.png")))
    assert image.mode == "P" and image.getpalette()[3:6] == [128, 0, 0]  # type: ignore[index]


def test_sav_has_the_masks_of_every_fourth_frame(tmp_path: Path) -> None:
    write_sav(tmp_path, "a", make_clip([True] * 4 + [False] * 4 + [True]))
    record = json.loads((tmp_path / "a_manual.json").read_text())
    assert [rle.decode(frame[0]).sum() for frame in record["masklet"]] == [1600, 0, 1600]
    assert record["video_frame_count"] == 9


def test_the_statistics_of_sav_are_computed_from_the_masks() -> None:
    annotation = build_sav_annotation("a", make_clip([True, False, True, True]).masks, 16)
    assert annotation["masklet_size_abs"] == [1600.0]
    assert annotation["masklet_size_rel"] == [1600 / (64 * 48)]
    assert annotation["masklet_size_bucket"] == ["medium"]
    assert annotation["masklet_visibility_changes"] == [2]
    assert (annotation["video_height"], annotation["video_width"]) == (64.0, 48.0)


def test_a_first_appearance_is_no_change_of_visibility() -> None:
    annotation = build_sav_annotation("a", make_clip([False, True]).masks, 8)
    assert annotation["masklet_visibility_changes"] == [0]
    assert annotation["masklet_first_appeared_frame"] == [1.0]


def test_the_statistics_equal_those_of_a_released_sav_file(shared: Path) -> None:
    released = json.loads((shared / "media" / "sav_000001_manual.json").read_text())
    masks = np.stack([rle.decode_all(frame) for frame in released["masklet"]])
    computed = build_sav_annotation("a", masks, 483)
    for key in ("masklet_size_abs", "masklet_size_rel", "video_duration"):
        assert computed[key] == pytest.approx(released[key]), key
    for key in ("masklet_visibility_changes", "masklet_first_appeared_frame", "masklet_size_bucket", "masklet_num"):
        assert computed[key] == released[key], key
    assert computed["masklet"][0] == released["masklet"][0]


def test_a_sav_video_has_every_frame(tmp_path: Path) -> None:
    write_sav(tmp_path, "a", make_clip([True] * 9))
    video = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    assert len(frames) == 9 and frames[0].shape == (64, 48, 3)
    assert abs(float(np.mean(frames)) - 90) < 3


def test_an_sa1b_set_has_consistent_annotations(pack: Pack, tmp_path: Path) -> None:
    synthesize(pack, tmp_path / "set", Recipe("sa1b", size=48, seed=1), count=3)
    for number in range(3):
        record = json.loads((tmp_path / f"set/sa_{number}.json").read_text())
        for annotation in record["annotations"]:
            mask = rle.decode(annotation["segmentation"])
            [[x, y]] = annotation["point_coords"]
            left, top, width, height = annotation["bbox"]
            assert mask.sum() == annotation["area"] and mask[int(y), int(x)]
            assert mask[top : top + height, left : left + width].sum() == annotation["area"]
        assert (tmp_path / f"set/{record['image']['file_name']}").is_file()


def test_a_resumed_set_has_the_same_files(pack: Pack, tmp_path: Path) -> None:
    recipe = Recipe("sa1b", size=48, seed=1)
    synthesize(pack, tmp_path / "whole", recipe, count=4)
    synthesize(pack, tmp_path / "parts", recipe, count=2)
    (tmp_path / "parts/sa_1.json").unlink()
    synthesize(pack, tmp_path / "parts", recipe, count=4)
    assert read_files(tmp_path / "parts") == read_files(tmp_path / "whole")


def test_a_folder_with_another_recipe_is_an_error(pack: Pack, tmp_path: Path) -> None:
    synthesize(pack, tmp_path / "set", Recipe("sa1b", size=48), count=1)
    with pytest.raises(ResourceError, match="another recipe"):
        synthesize(pack, tmp_path / "set", Recipe("sa1b", size=64), count=1)


def test_a_folder_with_other_files_is_not_changed(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(ResourceError, match="not empty"):
        synthesize(pack, tmp_path, Recipe("sa1b", size=48), count=1)
    assert read_files(tmp_path) == {"diary.txt": b"mine"}


def test_progress_counts_to_the_end(pack: Pack, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    synthesize(
        pack, tmp_path / "set", Recipe("sa1b", size=48), 3, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_the_command_composes_a_set(pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "synthesize", str(pack.root), str(tmp_path / "set"), "--format", "sa1b", "--count", "2"]
    assert main([*words, "--size", "48", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["count"] == 2 and record["layout"] == "sa1b" and len(read_files(tmp_path / "set")) == 5


def test_the_error_for_a_missing_pack_names_the_build_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "synthesize", str(tmp_path / "none"), str(tmp_path / "set")]) == 66
    assert "python -m tools.pack build" in capsys.readouterr().err


@pytest.fixture
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose with PyTorch from few shapes and canvases, which takes less time."""
    pytest.importorskip("torch")
    from masklet.synthetic.engine import single_sample
    from masklet.synthetic.engine.tensor_bank import build_tensor_bank

    monkeypatch.setattr(single_sample, "build_tensor_bank", lambda bank: build_tensor_bank(bank, shapes=8, canvases=4))


@pytest.mark.usefixtures("few_shapes")
@pytest.mark.parametrize("layout", ["davis", "sa1b"])
def test_a_set_composed_with_pytorch_is_reproducible(pack: Pack, tmp_path: Path, layout: str) -> None:
    recipe = Recipe(layout, size=64, frames=3, seed=3, device="cpu")  # type: ignore[arg-type]
    for name in ("one", "again"):
        synthesize(pack, tmp_path / name, recipe, 3)
    assert read_files(tmp_path / "one") == read_files(tmp_path / "again")
    annotations = [record.read()[1] for record in open_images(tmp_path / "one")]
    assert any(annotation.mask(key).any() for annotation in annotations for key in annotation.object_ids)


@pytest.mark.usefixtures("few_shapes")
def test_samples_composed_with_pytorch_have_no_duplicate_targets(pack: Pack) -> None:
    from masklet.synthetic.engine.single_sample import SingleSampleComposer

    bank = load_bank(pack)
    composer = SingleSampleComposer("cpu", bank, 64, 3)
    sampled = [
        *(composer.sample_image(number).masks for number in range(4)),
        *(composer.sample_clip(number, frames=2).masks.swapaxes(0, 1) for number in range(4)),
    ]
    for masks in sampled:
        assert len({mask.tobytes() for mask in masks}) == len(masks) > 0
    assert max(map(len, sampled)) > 1


def test_an_unknown_device_is_an_error(pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    assert main(["data", "synthesize", str(pack.root), str(tmp_path / "set"), "--device", "gpu"]) == 69
    assert "device-unavailable" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
