"""`masklet segment`: the files it writes, its output and its exit statuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.cli.main import main
from masklet.formats import masks_at
from masklet.masks.crop import Crop
from support.dataset_layouts import write_json
from support.gray_world import draw_boxes

pytest.importorskip("torch")


@pytest.fixture
def model(checkpoint: Callable[[str, int], Path]) -> str:
    return str(checkpoint("sam2.1-micro", 1))


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "one.png", tmp_path / "two.jpg"]
    for seed, path in enumerate(paths):
        Image.fromarray(np.random.RandomState(seed).randint(0, 256, (60, 80, 3), np.uint8)).save(path)
    return [str(path) for path in paths]


@pytest.fixture
def folder(tmp_path: Path, gray_world: None) -> Path:
    """A folder of three images of gray boxes, with files that are not images."""
    folder = tmp_path / "photos"
    (folder / "deeper.png").mkdir(parents=True)
    for number, name in enumerate(("b2.png", "b10.png", "a.PNG")):
        image = draw_boxes({50: (number, 0, number + 8, 8), 90: (20, 20, 30 + number, 30)})
        Image.fromarray(image).save(folder / name)
    for name in ("notes.txt", ".hidden.png", "Thumbs.db"):
        (folder / name).write_text("not an image")
    return folder


def run(*words: str | Path) -> int:
    status = main(["segment", *map(str, words)])
    assert status != 1
    return status


def read_json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_every_format_is_written_for_every_image(
    model: str, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "masks"
    formats = "png,overlay,cutout,rle,npz"
    assert run(*images, "--point", "40,30", "--model", model, "--out", str(out), "--format", formats, "--json") == 0
    summary = read_json(capsys)
    assert [Path(record["picture"]).name for record in summary["pictures"]] == ["one.png", "two.jpg"]
    for record in summary["pictures"]:
        assert sorted(record["files"]) == sorted(formats.split(","))
        mask = np.asarray(Image.open(record["files"]["png"]))
        assert mask.shape == (60, 80)
        assert (mask > 0).sum() == record["objects"][0]["area"]
        assert Image.open(record["files"]["cutout"]).mode == "RGBA"


def test_effects_are_written_as_images(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, columns = np.mgrid[:60, :80]
    image = np.dstack([2 * rows, 3 * columns, 255 - rows - columns]).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "smooth.png")
    words = (tmp_path / "smooth.png", "--point", "40,30", "--model", model, "--out", tmp_path / "out", "--json")
    effects = ("--format", "npz,blur,blur_objects,spotlight,background", "--background", "#0a141e")
    assert run(*words, *effects) == 0
    files = read_json(capsys)["pictures"][0]["files"]
    masks = masks_at(files.pop("npz"))
    assert 0 < masks.areas[0] < 4800
    for name, file in files.items():
        wanted = masks.apply_effect(image, name, background=(10, 20, 30)).astype(float)
        assert abs(np.asarray(Image.open(file)) - wanted).mean() < 6  # JPEG
    assert run(*words, "--format", "background", "--background", "reddish", "--overwrite") == 2


def test_a_background_is_an_image_file(model: str, images: list[str], tmp_path: Path) -> None:
    Image.new("RGB", (7, 5), (200, 0, 0)).save(tmp_path / "red.png")
    words = (images[0], "--point", "40,30", "--model", model, "--out", tmp_path / "out", "--format", "png,background")
    assert run(*words, "--background", tmp_path / "red.png") == 0
    outside = np.asarray(Image.open(tmp_path / "out" / "one.png")) == 0
    image = np.asarray(Image.open(tmp_path / "out" / "one.background.jpg")).astype(float)
    assert np.median(image[outside], axis=0) == pytest.approx(
        [200, 0, 0], abs=40
    )  # the mask is noise, and JPEG smooths it


def test_objects_have_the_ids_of_their_prompts(
    model: str, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--box", "5,5,40,40#4", "--point", "60,20#9", "--negative", "2,2#4")
    assert run(images[0], *words, "--model", model, "--out", str(tmp_path / "m"), "--json") == 0
    assert [one["id"] for one in read_json(capsys)["pictures"][0]["objects"]] == [4, 9]


def test_multimask_gives_three_candidates(
    model: str, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--point", "40,30", "--multimask", "--format", "rle", "--out", str(tmp_path / "m"), "--json")
    assert run(images[0], *words, "--model", model) == 0
    assert len(read_json(capsys)["pictures"][0]["objects"]) == 3


def test_with_zoom_masks_have_the_resolution_of_the_crop(
    model: str, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (images[0], "--box", "30,20,46,36", "--model", model, "--format", "npz", "--json")
    assert run(*words, "--zoom", "2", "--out", str(tmp_path / "m")) == 0
    file = read_json(capsys)["pictures"][0]["files"]["npz"]
    assert np.load(file)["crops"].tolist() == [[22, 12, 54, 44]]  # its side is twice that of the box
    assert masks_at(file).crops == (Crop(22, 12, 54, 44),)
    assert run(*words, "--zoom", "0.5", "--out", str(tmp_path / "n")) == 2


def test_a_written_mask_is_a_valid_prompt(model: str, images: list[str], tmp_path: Path) -> None:
    out = tmp_path / "m"
    assert run(images[0], "--point", "40,30", "--model", model, "--out", str(out), "--format", "png") == 0
    again = ("--mask", str(out / "one.png"), "--model", model, "--out", str(tmp_path / "n"))
    assert run(images[0], *again) == 0


def test_existing_output_is_replaced_only_with_overwrite(model: str, images: list[str], tmp_path: Path) -> None:
    words = (images[0], "--point", "40,30", "--model", model, "--out", str(tmp_path / "m"))
    assert run(*words) == 0
    assert run(*words) == 73
    assert run(*words, "--overwrite") == 0


def test_an_invalid_image_does_not_stop_the_others(
    model: str, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"<html>")
    words = ("--point", "40,30", "--model", model, "--out", str(tmp_path / "m"), "--json")
    assert run(str(tmp_path / "bad.png"), *images, *words) == 3
    records = read_json(capsys)["pictures"]
    assert records[0]["error"]["code"] == "unsupported-format"
    assert all("files" in record for record in records[1:])


def test_the_summary_lists_objects_and_files(
    model: str, images: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(images[0], "--point", "40,30", "--model", model, "--out", str(tmp_path / "m")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "object 1" in lines[0]
    assert "one.png" in lines[1]


def test_a_decompression_bomb_is_refused_by_its_header(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(bomb)
    assert run(str(bomb), "--point", "1,1", "--model", model, "--out", str(tmp_path / "m")) == 65
    assert "[too-many-pixels]" in capsys.readouterr().err


def test_the_images_of_a_folder_are_segmented_in_natural_order(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(draw_boxes({50: (0, 0, 9, 9)})).save(tmp_path / "single.png")
    words = [folder, tmp_path / "single.png", "--point", "5,5", "--format", "png", "--out", tmp_path / "out", "--json"]
    assert run(*words) == 0
    summary = read_json(capsys)
    assert [Path(record["picture"]).name for record in summary["pictures"]] == [
        "a.PNG",
        "b2.png",
        "b10.png",
        "single.png",
    ]
    assert summary["skipped"] == 0
    names = sorted(path.name for path in (tmp_path / "out").glob("[!.]*"))
    assert names == ["a.png", "b10.png", "b2.png", "single.png"]


def test_an_unreadable_image_of_a_folder_does_not_stop_the_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "b5.jpg").write_bytes(b"<html>")
    assert run(folder, "--point", "5,5", "--out", tmp_path / "out", "--json") == 3
    records = read_json(capsys)["pictures"]
    assert [Path(record["picture"]).name for record in records if "error" in record] == ["b5.jpg"]
    assert len(records) == 4


@pytest.mark.usefixtures("gray_world")
def test_a_folder_without_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("text")
    assert run(tmp_path / "empty", "--point", "5,5", "--out", tmp_path / "out") == 65
    assert "contains no images; the suffixes of images are .bmp, " in capsys.readouterr().err


def test_images_with_equal_stems_are_refused_by_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(draw_boxes({})).save(folder / "b2.jpg")
    assert run(folder, "--point", "5,5", "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert str(folder / "b2.jpg") in error and str(folder / "b2.png") in error
    assert not (tmp_path / "out").exists()


def test_an_image_that_is_given_twice_is_segmented_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(folder)
    (folder / "c.png").symlink_to("b2.png")  # an image of its own, by its name
    words = ["photos/b10.png", "photos", folder / "a.PNG", "link/b2.png", "photos/../photos/b10.png"]
    assert run(*words, "--point", "5,5", "--out", tmp_path / "out", "--json") == 0
    names = [record["picture"] for record in read_json(capsys)["pictures"]]
    assert names == [str(Path("photos", name)) for name in ("b10.png", "a.PNG", "b2.png", "c.png")]


def test_masks_never_replace_the_images_themselves(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(folder)
    before = {path.name: path.read_bytes() for path in folder.glob("b*.png")}
    for out in (folder, tmp_path / "link"):
        assert run(folder, "--point", "5,5", "--out", out, "--overwrite") == 2
        assert "would replace the image" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.glob("b*.png")} == before


def test_each_image_gets_its_prompts_from_a_file_and_those_of_the_options(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"image": "b10.png", "object": 2, "box": [18, 18, 34, 32]},
        {"image": "photos/a.PNG", "object": 3, "points": [[4, 4, 1], [25, 25, 0]]},
        {"image": "a.PNG", "points": [[25, 25, 1]]},
    ]
    words = [folder, "--prompts", write_json(tmp_path / "prompts.json", {"prompts": rows}), "--format", "rle", "--json"]
    assert run(*words, "--out", tmp_path / "file") == 0
    summary = read_json(capsys)
    assert summary["skipped"] == 1
    found = {
        (Path(record["picture"]).name, one["id"]): one["area"]
        for record in summary["pictures"]
        for one in record["objects"]
    }
    assert found == {("a.PNG", 3): 64, ("a.PNG", 1): 120, ("b10.png", 2): 110}
    assert run(*words, "--out", tmp_path / "both", "--point", "4,4#9") == 0
    summary = read_json(capsys)
    ids = {Path(record["picture"]).name: [one["id"] for one in record["objects"]] for record in summary["pictures"]}
    assert ids == {"a.PNG": [3, 1, 9], "b2.png": [9], "b10.png": [2, 9]}
    assert summary["skipped"] == 0


def test_the_number_of_skipped_images_is_printed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_json(tmp_path / "prompts.json", [{"image": "b2.png", "points": [[4, 4, 1]]}])
    assert run(folder, "--prompts", file, "--out", tmp_path / "out") == 0
    assert "skipped 2 of 3 images, which have no prompt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "c.png", "points": [[4, 4, 1]]}, "the input does not have an image 'c.png'"),
        ({"image": "other/a.PNG", "points": [[4, 4, 1]]}, "the input does not have an image 'other/a.PNG'"),
        ({"image": "../photos/a.PNG", "points": [[4, 4, 1]]}, "prompt 0: the name '../photos/a.PNG' has the part '..'"),
        ({"image": 3, "points": [[4, 4, 1]]}, "prompt 0: the name 3 is not text"),
        ({"frame": 0, "points": [[4, 4, 1]]}, "prompt 0: an image has no frames"),
        ({"points": [[4, 4, 1]]}, "prompt 0 names no image"),
        ({"image": "a.PNG"}, "prompt 0 has no points, box or mask"),
        ({"image": "a.PNG", "colour": 1}, "unknown field 'colour'; known fields are image, object, points,"),
        ({"image": "a.PNG", "object": 0, "points": [[4, 4, 1]]}, "objects are numbered from 1, got object 0"),
    ],
)
def test_an_invalid_entry_of_a_prompt_file_is_refused(
    row: dict[str, Any], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_json(tmp_path / "prompts.json", {"prompts": [row]})
    assert run(folder, "--prompts", file, "--out", tmp_path / "out") == 65
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_labels_are_part_of_records_and_printed_lines(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"image": "a.PNG", "points": [[4, 4, 1]]}, {"image": "b2.png", "box": [0, 0, 9, 9], "label": "sky"}]
    file = write_json(tmp_path / "prompts.json", rows)
    options = ["--point", "25,25#3", "--label", "big #1 dog#3", "--format", "png", "--overwrite"]
    words = [folder, "--prompts", file, *options, "--out", tmp_path / "out"]
    assert run(*words, "--json") == 0
    labels = {
        (Path(record["picture"]).name, one["id"]): one.get("label")
        for record in read_json(capsys)["pictures"]
        for one in record["objects"]
    }
    dog = "big #1 dog"
    assert labels == {
        ("a.PNG", 1): None,
        ("a.PNG", 3): dog,
        ("b2.png", 1): "sky",
        ("b2.png", 3): dog,
        ("b10.png", 3): dog,
    }
    assert run(*words) == 0
    assert "  object 3 (big #1 dog)  score" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--label", "dog"], 2, "--label 'dog': object 1 has no prompt"),
        (["--point", "4,4#2", "--label", "dog"], 2, "--label 'dog': object 1 has no prompt; write #ID"),
        (["--point", "4,4", "--label", "dog#0"], 2, "objects are numbered from 1"),
        (["--point", "4,4", "--label", "dog", "--label", "cat#1"], 2, "'cat#1': object 1 has the label 'dog'"),
        (["--point", "4,4", "--label", ""], 2, "--label is empty"),
        (["--point", "4,4", "--label", "a\nb"], 65, "a label must be"),
    ],
)
def test_a_label_without_a_prompt_or_name_is_refused(
    words: list[str], status: int, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, *words, "--out", tmp_path / "out") == status
    assert message in capsys.readouterr().err


def test_prompts_of_one_object_from_file_and_options_must_fit_together(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_json(tmp_path / "prompts.json", [{"image": "b2.png", "box": [0, 0, 9, 9]}])
    assert run(folder, "--prompts", file, "--box", "1,1,9,9", "--out", tmp_path / "out") == 65
    assert f"all of these prompts are for object 1 of {folder / 'b2.png'}" in capsys.readouterr().err


def test_objects_of_reference_images_are_found_in_the_other_images(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(draw_boxes({200: (0, 0, 9, 9)})).save(folder / "none.png")
    (tmp_path / "set").mkdir()
    Image.fromarray(draw_boxes({90: (1, 1, 20, 20)})).save(tmp_path / "set/reference.png")
    rows = [
        {"image": "b2.png", "points": [[4, 4, 1]], "label": "sky"},
        {"image": "reference.png", "object": 2, "box": [0, 0, 22, 22]},
    ]
    file = write_json(tmp_path / "set/prompts.json", rows)
    words = [folder, "--references", file, "--label", "card#2", "--format", "png", "--out", tmp_path / "out"]
    assert run(*words, "--json") == 0
    records = {Path(record["picture"]).name: record for record in read_json(capsys)["pictures"]}
    assert {name: record["reference"] for name, record in records.items()} == {
        "a.PNG": False,
        "b2.png": True,
        "b10.png": False,
        "none.png": False,
    }
    found = {
        name: [(one["id"], one["label"], one["area"]) for one in record["objects"]] for name, record in records.items()
    }
    assert found == {
        "a.PNG": [(1, "sky", 64), (2, "card", 120)],
        "b2.png": [(1, "sky", 64)],
        "b10.png": [(1, "sky", 64), (2, "card", 110)],
        "none.png": [(1, "sky", 0), (2, "card", 0)],
    }
    assert run(*words, "--overwrite") == 0
    printed = capsys.readouterr()
    assert f"{folder / 'none.png'}  object 2 (card)  score 1.00  empty" in printed.out
    assert printed.err.splitlines()[-2:] == [
        "object 1 (sky) found in 3 of 4 images",
        "object 2 (card) found in 2 of 4 images",
    ]


@pytest.mark.parametrize(
    ("rows", "words", "status", "message"),
    [
        ([], [], 2, "prompts.json has no prompts"),
        ([{"image": "c.png", "points": [[4, 4, 1]]}], [], 65, "has an image 'c.png'"),
        ([{"image": "b2.png", "points": [[4, 400, 1]]}], [], 65, "lies outside the image"),
        ([{"image": "b2.png", "points": [[4, 4, 1]]}], ["--box", "1,1,9,9"], 2, "--box cannot be combined"),
        ([{"image": "b2.png", "points": [[4, 4, 1]]}], ["--prompts", "a.json"], 2, "--prompts cannot be combined"),
        ([{"image": "b2.png", "points": [[4, 4, 1]]}], ["--multimask"], 2, "leave it out with --references"),
        ([{"image": "b2.png", "points": [[4, 4, 1]]}], ["--label", "dog#2"], 2, "object 2 has no prompt"),
        (
            [{"image": name, "box": [0, 0, 9, 9], "label": name} for name in ("b2.png", "b10.png")],
            [],
            65,
            "object 1 has the labels 'b2.png' and 'b10.png'",
        ),
    ],
)
def test_wrong_references_are_refused_before_anything_is_written(
    rows: list[Any],
    words: list[str],
    status: int,
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write_json(tmp_path / "prompts.json", rows)
    assert run(folder, "--references", file, *words, "--out", tmp_path / "out") == status
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["one.png", "--point", "40,30", "--model", "MISSING.pt"], 66, "input-not-found"),
        (["nowhere.png", "--point", "40,30"], 66, "input-not-found"),
        (["one.png"], 2, "bad-usage"),
        (["one.png", "--point", "40"], 2, "bad-usage"),
        (["one.png", "--point", "40,30@3"], 2, "bad-usage"),
        (["one.png", "--point", "40,30#99999999999999999999999999"], 2, "bad-usage"),
        (["one.png", "--prompts", "MISSING.json"], 66, "input-not-found"),
        (["one.png", "--point", "40,300"], 65, "bad-prompt"),
        (["one.png", "--box", "30,30,10,50"], 65, "bad-prompt"),
        (["one.png", "--point", "40,30", "--format", "gif"], 2, "bad-usage"),
        (["one.png", "--point", "40,30", "--size", "1000"], 78, "bad-size"),
        (["one.png", "--pont", "40,30"], 2, "bad-usage"),
        (["one.png", "--point", "40,30", "--model", "one.png"], 65, "checkpoint-unknown-format"),
        (["one.png", "--point", "40,30", "--model", "sam2.1-huge"], 78, "unknown-model"),
    ],
)
def test_wrong_input_ends_with_one_error(
    words: list[str],
    status: int,
    code: str,
    model: str,
    images: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    more = [] if "--model" in words else ["--model", model]
    assert run(*words, *more) == status
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("masklet: error: ")]
    assert len(errors) == 1
    assert errors[0].endswith(f"[{code}]")
