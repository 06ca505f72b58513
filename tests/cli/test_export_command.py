"""`masklet export onnx`: the exported folder, its formats and layouts, and the command's output."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from masklet.checkpoints import key_names, write_released
from masklet.cli.main import main
from parity.inputs import frames
from support.networks import make_model

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "nano.pt"
    write_released(path, key_names.to_released(make_model("nano", calm=True).tensors))
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("nano.pt", "out", …)` → exit status, stdout, stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        status = main(["export", "onnx", *map(str, words)])
        assert status != 1
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_an_exported_folder_is_a_model_of_every_command(
    run: Run, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, image = tmp_path / "nano", tmp_path / "one.png"
    assert run(model, folder, "--size", 32)[0] == 0
    Image.fromarray(frames(1, 90, 160, 3)[0]).save(image)
    words = ["segment", image, "--point", "40,30", "--model", folder, "--out", tmp_path / "masks", "--json"]
    assert main([str(word) for word in words]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "nano"


def test_the_output_lists_files_and_sizes(run: Run, model: Path, tmp_path: Path) -> None:
    status, out, err = run(model, tmp_path / "nano", "--size", 32)
    names = [Path(line.split("  ")[0]).name for line in out.splitlines()]
    assert (status, err) == (0, "writing nano at 32 px in fp32\n")
    assert names == [
        "encode.onnx",
        "attend.onnx",
        "decode.onnx",
        "memorize.onnx",
        "attend_scaled.onnx",
        "tables.safetensors",
        "manifest.json",
    ]


def test_the_json_has_every_field(run: Run, model: Path, tmp_path: Path) -> None:
    record = json.loads(run(model, tmp_path / "nano", "--size", 32, "--precision", "fp16", "--json")[1])
    assert (record["model"], record["size"], record["precision"], record["layout"]) == ("nano", 32, "fp16", "masklet")
    assert all(Path(path).stat().st_size == size for path, size in record["files"].items())


def test_quantization_errors_are_a_table_of_graphs(run: Run, model: Path, tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    images.mkdir()
    Image.fromarray(frames(1, 90, 160, 3)[0]).save(images / "one.png")
    words = ("--size", 32, "--precision", "int8", "--pictures", images)
    status, out, _ = run(model, tmp_path / "nano", *words)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[7:]] == [
        "quantized",
        "encode",
        "attend",
        "decode",
        "memorize",
        "all",
    ]


def test_int8_of_efficientnet_lite_asks_for_calibration(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "lite.pt"
    write_released(path, key_names.to_released(make_model("lite-micro", calm=True).tensors))
    _, _, err = run(path, tmp_path / "lite", "--size", 64, "--precision", "int8")
    assert err.splitlines()[0].startswith("the trunk of lite-micro stays in float32; --calibrate")


@pytest.mark.parametrize(
    ("name", "size", "notes"),
    [("edgetam-micro", 128, ["the trunk of edgetam-micro stays in float32"]), ("efficienttam-micro", 64, [])],
)
def test_int8_of_edgetam_and_efficienttam_says_what_it_leaves_out(
    name: str, size: int, notes: list[str], run: Run, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}_plain.pt"
    write_released(path, key_names.to_released(make_model(name).tensors))
    status, _, err = run(path, tmp_path / "small", "--size", size, "--precision", "int8", "--variant", "plain")
    assert (status, err.splitlines()) == (0, [*notes, f"writing {name} at {size} px in int8"])


def test_info_and_verify_read_an_exported_folder(
    run: Run, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "nano"
    run(model, folder, "--size", 32, "--precision", "fp16")
    assert main(["models", "info", str(folder), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["architecture"], record["precision"], record["size"]) == ("nano", "fp16", 32)
    assert main(["models", "verify", str(folder)]) == 0
    assert "every file as its manifest says" in capsys.readouterr().out
    (folder / "attend.onnx").write_bytes((folder / "attend.onnx").read_bytes()[:-1])
    assert main(["models", "verify", str(folder)]) == 77
    assert "[hash-mismatch]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("layout", "files"),
    [
        ("sam2-onnx", ["decoder.onnx", "encoder.onnx", "metadata.json"]),
        ("samexporter", ["nano.decoder.onnx", "nano.encoder.onnx"]),
        (
            "ailia",
            [
                "image_encoder_nano_2.1.onnx",
                "mask_decoder_nano_2.1.onnx",
                "pretrained_weights.npz",
                "prompt_encoder_with_mask_nano_2.1.onnx",
            ],
        ),
    ],
)
def test_other_layouts_have_their_files(layout: str, files: list[str], run: Run, model: Path, tmp_path: Path) -> None:
    assert run(model, tmp_path / "out", "--size", 32, "--layout", layout)[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["none.pt", "out"], 66, "input-not-found"),
        (["sam9", "out"], 78, "unknown-model"),
        (["MODEL", "out", "--size", "100"], 78, "bad-size"),
        (["MODEL", "out", "--precision", "fp8"], 2, "bad-usage"),
        (["MODEL", "out", "--layout", "theirs"], 2, "bad-usage"),
        (["MODEL", "out", "--layout", "ailia", "--precision", "fp16"], 2, "bad-usage"),
        (["MODEL", "out", "--calibrate"], 2, "bad-usage"),
        (["MODEL", "out", "--precision", "int8", "--calibrate"], 2, "bad-usage"),
        (["MODEL", "out", "--precision", "int8", "--pictures", "none.png"], 66, "input-not-found"),
        (["MODEL", "MODEL"], 73, "output-exists"),
        (["MODEL"], 2, "bad-usage"),
    ],
)
def test_what_cannot_be_exported_ends_in_one_clear_line(
    words: list[str], status: int, code: str, run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = run(*(str(model) if word == "MODEL" else word for word in words))
    errors = [line for line in err.splitlines() if line.startswith("masklet: error: ")]
    assert (found, out, len(errors)) == (status, "", 1)
    assert errors[0].endswith(f"[{code}]")
    assert not (tmp_path / "out").exists()
