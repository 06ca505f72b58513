"""Datasets that try to make masklet read, write or delete files outside of their folder and of `--out`.

Each is given to the real commands: they end with a status of their own, and nothing outside of `--out` changes.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.cli.main import main
from masklet.datasets.mose import open_mose
from masklet.errors import FormatError
from masklet.evaluate.predictions import PredictionFolder
from masklet.synthetic.engine.real_samples import open_real_clips, open_real_images
from masklet.synthetic.pack import Asset, encode_webp, write_pack
from support import dataset_layouts
from support.gray_world import draw_boxes

FRAMES = [f"{frame:05d}" for frame in range(4)]
LONG = "x" * 300


@pytest.fixture
def model(checkpoint: Callable[..., Path]) -> Sequence[str]:
    return ["--model", str(checkpoint("sam2.1-micro")), "--device", "cpu", "--size", "64"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in, with files that are nobody's business."""
    for name in ("precious.txt", "a/loot.part/precious.txt", "a/b/.loot.part/precious.txt", "private/precious.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    dataset_layouts.write_image(tmp_path / "private/secret.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str | Path) -> int:
    status = main([*map(str, words)])
    assert status not in (1, 70)
    return status


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder with its bytes."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: None if path.is_dir() else path.read_bytes() for name, path in paths.items()}


def loot(folder: Path) -> None:
    """Label maps that are their own frames, in a folder that a hostile clip name leads to."""
    dataset_layouts.write_label_maps(folder, {name: dataset_layouts.make_labels(0, 6) for name in FRAMES})


def youtube_vos(root: Path, name: str) -> None:
    dataset_layouts.write_youtube_vos(root)
    shutil.rmtree(root / "valid_all_frames")
    loot(root / "loot")
    objects = {"1": {"category": "cat", "frames": FRAMES}, "2": {"category": "cat", "frames": FRAMES}}
    dataset_layouts.write_json(root / "valid/meta.json", {"videos": {name: {"objects": objects}}})


def lvos(root: Path, name: str) -> None:
    dataset_layouts.write_lvos(root)
    loot(root / "loot")
    ranges = {key: {"frame_range": {"start": "00000", "end": "00003", "frame_nums": 4}} for key in ("1", "2")}
    dataset_layouts.write_json(root / "val/val_meta.json", {"videos": {name: {"objects": ranges}}})


def sav(root: Path, name: str) -> None:
    dataset_layouts.write_sav_val(root)
    dataset_layouts.write_frames(root.parent / "loot", FRAMES)
    for frame in FRAMES:
        dataset_layouts.write_label_map(root.parent / f"loot/000/{frame}.png", dataset_layouts.make_labels(0, value=1))
    dataset_layouts.write_lines(root / "sav_val.txt", name)


def davis(root: Path, name: str) -> None:
    """The frames lie where the name `..` leads to."""
    dataset_layouts.write_davis(root)
    dataset_layouts.write_frames(root / "JPEGImages", FRAMES)
    dataset_layouts.write_label_maps(
        root / "Annotations", {frame: dataset_layouts.make_labels(0, 6) for frame in FRAMES}
    )
    loot(root / "loot")
    dataset_layouts.write_lines(root / "ImageSets/2017/val.txt", name)


ELSEWHERE = ["../../loot", "./../../loot", "..", ".", "/tmp", "..\\loot", "C:loot", "clip/", "a\0b"]


@pytest.mark.parametrize("layout", [youtube_vos, lvos, sav, davis])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_clip_whose_name_leads_elsewhere_is_refused(
    layout: Callable[[Path, str], None],
    name: str,
    home: Path,
    model: Sequence[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    layout(home / "set", name)
    before = contents(home)
    for words in (["vos"], ["vos", "--overwrite"], ["interactive"]):
        assert run("evaluate", *words, "set", "--out", "a/b/eval", *model) == 65
        message = capsys.readouterr().err
        assert "[dataset-broken]" in message
        assert "the name" in message or layout is davis  # whose lists of 2016 begin names with a slash
        assert contents(home) == before, "nothing is created, changed or deleted"


@pytest.mark.parametrize("layout", [youtube_vos, lvos])
def test_an_empty_clip_name_is_refused(layout: Callable[[Path, str], None], home: Path, model: Sequence[str]) -> None:
    layout(home / "set", "")
    before = contents(home)
    assert run("evaluate", "vos", "set", "--out", "a/b/eval", *model) == 65
    assert contents(home) == before


@pytest.mark.parametrize("layout", [youtube_vos, lvos, sav, davis])
def test_a_clip_name_that_no_file_can_have_is_reported(
    layout: Callable[[Path, str], None], home: Path, model: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    layout(home / "set", LONG)
    before = contents(home)
    assert run("evaluate", "vos", "set", "--out", "a/b/eval", *model) == 66
    assert "no file can have the name" in capsys.readouterr().err
    assert contents(home) == before


def test_scoring_refuses_such_names_too(home: Path) -> None:
    youtube_vos(home / "set", "../../loot")
    loot(home / "results/loot")
    before = contents(home)
    assert run("evaluate", "score", "results", "set", "--out", "a/b/eval") == 65
    assert contents(home) == before


def test_a_list_of_mose_is_checked(home: Path) -> None:
    dataset_layouts.write_mose(home / "set")
    loot(home / "set/loot")
    dataset_layouts.write_lines(home / "list.txt", "0a", "../../loot")
    with pytest.raises(FormatError, match=r"list\.txt: the name '../../loot' holds a slash"):
        open_mose(home / "set", listing=home / "list.txt")
    dataset_layouts.write_lines(home / "list.txt", "0a")
    assert open_mose(home / "set", listing=home / "list.txt").names == ("0a",)


def test_a_tar_of_sa_1b_is_checked(home: Path, model: Sequence[str]) -> None:
    root = dataset_layouts.write_sa1b(home / "set")
    tar = root / "sa_000001.tar"
    content = tar.read_bytes().replace(b"./sa_7.", b"./sa_\\.", 1)
    header = bytearray(content[:512])
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    tar.write_bytes(bytes(header) + content[512:])
    assert run("evaluate", "images", "set", "--out", "eval", *model) == 65


@pytest.mark.parametrize("name", ["../private/secret.png", "/{home}/private/secret.png", "a/../../private/secret.png"])
def test_an_image_outside_of_a_coco_dataset_is_not_read(
    name: str, home: Path, model: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = dataset_layouts.write_coco(home / "set")
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = name.format(home=str(home).lstrip("/"))
    (home / "set/a").mkdir()
    file.write_text(json.dumps(content))
    before = contents(home)
    assert run("evaluate", "images", "set", "--out", "eval", *model) == 65
    assert "the name" in capsys.readouterr().err
    assert contents(home) == before, "no report is written"


@pytest.mark.parametrize("name", ["x" * 5000, "/".join(["x" * 200] * 30), "/".join(["x" * 200] * 20)])
def test_a_coco_name_that_no_file_can_have_is_reported(name: str, home: Path, model: Sequence[str]) -> None:
    file = dataset_layouts.write_coco(home / "set")
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = name
    file.write_text(json.dumps(content))
    assert run("evaluate", "images", "set", "--out", "eval", *model) == 66


@pytest.mark.parametrize("name", [7, None, ["a.jpg"], {}])
def test_a_coco_name_that_is_no_text_is_refused(name: Any, home: Path, model: Sequence[str]) -> None:
    file = dataset_layouts.write_coco(home / "set")
    content = json.loads(file.read_text())
    content["images"][0]["file_name"] = name
    file.write_text(json.dumps(content))
    assert run("evaluate", "images", "set", "--out", "eval", *model) == 65


def test_an_index_of_labelled_images_names_files_below_it(home: Path) -> None:
    index = home / "set/index.json"
    row = {"image": "../private/secret.png", "mask": "m.png", "exhaustive": True, "source": "a", "objects": []}
    for images, clips in (([row], []), ([{**row, "image": "m.png", "mask": "/etc/m.png"}], []), ([], [{"clip": ".."}])):
        dataset_layouts.write_json(index, {"images": images, "clips": clips})
        with pytest.raises(FormatError, match=r"index\.json: the name"):
            open_real_clips(index, 32, 1, 0) if clips else open_real_images(index, 32, 0)


def test_a_mask_of_a_prompt_file_lies_beside_it(
    home: Path, model: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset_layouts.write_frames(home / "clip", FRAMES)
    for name in ("job/masks/first.png", "private/first.png"):
        dataset_layouts.write_label_map(home / name, dataset_layouts.make_labels(0))
    words = ["track", "clip", "--prompts", "job/p.json", "--format", "npz", *model]
    for name in ("../private/first.png", str(home / "private/first.png")):
        dataset_layouts.write_json(home / "job/p.json", {"prompts": [{"mask": name}]})
        assert run(*words, "--out", "refused") == 65
        assert "the name" in capsys.readouterr().err and not (home / "refused").exists()
    dataset_layouts.write_json(home / "job/p.json", {"prompts": [{"mask": "masks/first.png"}]})
    assert run(*words, "--out", "out") == 0


@pytest.mark.usefixtures("gray_world")
def test_a_pack_proposes_nothing_outside_of_its_folder(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = draw_boxes({80: (20, 5, 50, 35)})
    for number in range(20):
        asset = Asset("photograph", "..", f"../loot{number}/a.png", "MIT", "me", (pixels.shape[0], pixels.shape[1]))
        if not asset.held_out:
            break
    write_pack(home / "pack", "all", [(asset, encode_webp(pixels, 90))])
    before = contents(home)
    assert run("data", "propose", "pack", "--out", "a/b/proposals") == 65
    assert "the name" in capsys.readouterr().err
    assert {name: content for name, content in contents(home).items() if "proposals" not in name} == before


def test_predictions_are_neither_written_nor_read_outside_their_folder(home: Path) -> None:
    predictions, before = PredictionFolder(home / "a/b/answers"), contents(home)
    for name in ("../../loot", "./../../loot", "..", ""):
        for use in (predictions.has_clip, predictions.open_clip, lambda name: predictions.write_clip(name).__enter__()):
            with pytest.raises(FormatError, match="the name"):
                use(name)
    assert contents(home) == before


@pytest.mark.parametrize("words", [[], ["--overwrite"]])
def test_predictions_of_no_run_are_neither_used_nor_removed(
    words: list[str], home: Path, model: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset_layouts.write_davis(home / "set")
    (home / "out/predictions/bear").mkdir(parents=True)
    (home / "out/predictions/bear/precious.txt").write_text("mine")
    assert run("evaluate", "vos", "set", "--out", "out", *words, *model) == 73
    assert "has no record of a run (run.json) beside it" in capsys.readouterr().err
    assert (home / "out/predictions/bear/precious.txt").read_text() == "mine"


def test_beginning_anew_removes_nothing_through_a_link(home: Path, model: Sequence[str]) -> None:
    dataset_layouts.write_davis(home / "set")
    words = ["evaluate", "vos", "set", "--out", "out", "--workers", "1", *model]
    assert run(*words) == 0
    shutil.rmtree(home / "out/predictions")
    (home / "out/predictions").symlink_to(home / "private")
    before = contents(home / "private")
    assert run(*words, "--overwrite") == 73
    assert contents(home / "private") == before


@pytest.mark.usefixtures("gray_world")
def test_beginning_anew_leaves_files_that_lay_in_a_folder_before_the_first_job(home: Path) -> None:
    dataset_layouts.write_frames(home / "clip", FRAMES)
    (home / "out/png").mkdir(parents=True)
    (home / "out/png/precious.txt").write_text("mine")
    words = ["track", "clip", "--point", "5,5", "--format", "png,sav", "--out", "out", "--overwrite"]
    for _ in range(3):
        assert run(*words) == 0
        assert (home / "out/png/precious.txt").read_text() == "mine"
    assert run(*words[:5], "npz", *words[6:]) == 0
    assert (home / "out/png/precious.txt").read_text() == "mine" and not (home / "out/sav").exists()


def test_datasets_behind_links_are_read_as_before(home: Path, model: Sequence[str]) -> None:
    dataset_layouts.write_davis(home / "disk/davis")
    dataset_layouts.write_coco(home / "disk/coco")
    (home / "davis").symlink_to(home / "disk/davis")
    (home / "coco").mkdir()
    (home / "coco/instances.json").symlink_to(home / "disk/coco/instances.json")
    (home / "coco/images").symlink_to(home / "disk/coco/images")
    clip = home / "disk/davis/JPEGImages/480p/bear"
    clip.rename(home / "disk/bear")
    clip.symlink_to(home / "disk/bear")
    (home / "disk/out").mkdir()
    (home / "out").symlink_to(home / "disk/out")
    assert run("evaluate", "vos", "davis", "--out", "out", "--workers", "1", *model) == 0
    assert (home / "disk/out/predictions/bear/00003.png").is_file()
    assert run("evaluate", "vos", "davis", "--out", "out", "--workers", "1", "--overwrite", *model) == 0
    assert run("evaluate", "images", "coco", "--out", "images", *model) == 0


POINT = ["--point", "5,5"]
INPUTS = [
    ["segment", f"{LONG}.png", *POINT],
    ["segment", "a.png", "--mask", LONG],
    ["segment", "a.png", *POINT, "--model", LONG],
    ["track", LONG, *POINT],
    ["track", f"{LONG}/*.png", *POINT],
    ["track", "clip", "--prompts", LONG],
    ["track", "clip", "--mask", LONG],
    ["everything", f"{LONG}.png"],
    ["models", "info", LONG],
    ["models", "verify", LONG],
    ["models", "convert", LONG, "o.pt"],
    ["data", "synthesize", LONG, "o"],
    ["data", "propose", LONG],
    ["data", "keep", LONG],
    ["evaluate", "images", LONG],
    ["evaluate", "vos", LONG],
    ["evaluate", "interactive", LONG],
    ["evaluate", "score", "davis", LONG],
    ["evaluate", "score", LONG, "davis"],
    ["evaluate", "images", "coco", "--list", LONG],
    ["export", "onnx", LONG, "o"],
    ["train", "nano-images", "--data", LONG, "--out", "o"],
    ["train", "nano-images", "--data", "coco", "--refuse", LONG, "--out", "o"],
]
OUTPUTS = [
    ["segment", "a.png", *POINT, "--out", LONG],
    ["segment", "a.png", *POINT, "--out", LONG, "--overwrite"],
    ["track", "clip", *POINT, "--out", LONG],
    ["track", "clip", *POINT, "--out", LONG, "--overwrite"],
    ["track", "clip", *POINT, "--out", LONG, "--resume"],
    ["track", "clip", *POINT, "--out", "y/" * 2500],
    ["everything", "a.png", "--out", LONG],
    ["everything", "clip", "--out", LONG],
    ["webcam", "0", *POINT, "--no-preview", "--out", LONG],
    ["webcam", "0", *POINT, "--no-preview", "--record", f"{LONG}.mp4"],
    ["data", "propose", "a.png", "--out", LONG],
    ["evaluate", "images", "coco", "--out", LONG],
    ["evaluate", "vos", "davis", "--out", LONG],
    ["evaluate", "vos", "davis", "--out", LONG, "--overwrite"],
    ["evaluate", "interactive", "davis", "--out", LONG],
    ["evaluate", "score", "davis", "davis", "--out", LONG],
    ["export", "onnx", "nano", LONG],
    ["export", "onnx", "nano", LONG, "--overwrite"],
    ["train", "nano-images", "--data", "coco", "--out", LONG],
]


@pytest.mark.parametrize(
    ("words", "status"),
    [*((words, 66) for words in INPUTS), *((words, 73) for words in OUTPUTS)],
    ids=lambda value: " ".join(word.replace(LONG, "LONG")[:20] for word in value) if isinstance(value, list) else "",
)
def test_a_path_that_is_too_long_is_reported(
    words: list[str], status: int, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((*dataset_layouts.SIZE, 3), 90, np.uint8)).save(home / "a.png")
    dataset_layouts.write_frames(home / "clip", FRAMES)
    dataset_layouts.write_coco(home / "coco")
    dataset_layouts.write_davis(home / "davis")
    assert run(*words) == status
    assert os.strerror(errno.ENAMETOOLONG) in capsys.readouterr().err


def test_a_checkpoint_is_not_written_to_a_path_that_is_too_long(home: Path, model: Sequence[str]) -> None:
    for words in ([], ["--overwrite"]):
        assert run("models", "convert", model[1], f"{LONG}.pt", *words) == 73


def test_results_named_after_an_image_may_get_too_long_a_name(home: Path, model: Sequence[str]) -> None:
    image = dataset_layouts.write_image(home / f"{'n' * 250}.png")
    for words in (["segment", str(image), *POINT], ["everything", str(image)]):
        assert run(*words, "--format", "overlay", "--out", "out", *model) == 73
