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


def run(*words: str) -> int:
    status = main(["segment", *words])
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
    found = np.load(read_json(capsys)["pictures"][0]["files"]["npz"])["low_res"][0]
    assert found.shape == (60, 80)
    assert (found[:12] == -10).all()  # outside the crop, whose side is 32 pixels
    assert (found[12:44, 22:54] != -10).all()
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


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["one.png", "--point", "40,30", "--model", "MISSING.pt"], 66, "input-not-found"),
        (["nowhere.png", "--point", "40,30"], 66, "input-not-found"),
        (["one.png"], 2, "bad-usage"),
        (["one.png", "--point", "40"], 2, "bad-usage"),
        (["one.png", "--point", "40,30@3"], 2, "bad-usage"),
        (["one.png", "--point", "40,300"], 65, "bad-prompt"),
        (["one.png", "--box", "30,30,10,50"], 65, "bad-prompt"),
        (["one.png", "--point", "40,30", "--format", "gif"], 2, "bad-usage"),
        (["one.png", "--point", "40,30", "--size", "1000"], 78, "bad-size"),
        (["one.png", "one.png", "--point", "40,30"], 2, "bad-usage"),
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
