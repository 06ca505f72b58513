"""Reported faults of the command line: descriptors, unreadable paths, signals. Numbers are those of the reports."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masklet.checkpoints.hub import find_local
from masklet.cli.main import main
from masklet.errors import InputNotFound
from masklet.files.error_translation import translate_write_errors
from masklet.masks.masks import Masks
from support.gray_world import draw_boxes
from support.ordinary_user import can_be_stopped, run_commands

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs descriptors, permissions and signals of POSIX")
TIMEOUT_S = 120


def write_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)).save(path)
    return path


def shell(line: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell, in which $M is masklet."""
    environment = {**os.environ, "M": f"{sys.executable} -m masklet"}
    return subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, **more
    )


# 5: closed and broken descriptors


@pytest.mark.parametrize(
    "closed",
    ["2>&-", "<&- >&- 2>&-", *(pytest.param(text, marks=pytest.mark.slow) for text in ("<&-", ">&-", ">&- 2>&-"))],
)
def test_5_a_command_runs_with_closed_descriptors(closed: str, tmp_path: Path) -> None:
    target = tmp_path / "nano.pt"
    result = shell(f"$M models convert nano {target} {closed}")
    assert (result.returncode, result.stderr) == (0, "")
    assert target.read_bytes()[:2] == b"PK" and b"nano.pt" not in target.read_bytes()[-100:]


@pytest.mark.parametrize(
    ("redirect", "status", "code"),
    [(">/dev/full", 74, "[disk-full]"), ("1</dev/null", 74, "[output-failed]"), ("2>/dev/full", 0, "")],
)
def test_5_an_output_that_cannot_be_written_has_its_status(redirect: str, status: int, code: str) -> None:
    result = shell(f"$M models list {redirect}")
    assert result.returncode == status and code in result.stderr and "Traceback" not in result.stderr


def test_26_messages_that_cannot_be_written_do_not_end_a_job(tmp_path: Path) -> None:
    for number in range(2):
        write_image(tmp_path / f"frames/{number}.png")
    track = f"$M track {tmp_path}/frames --box 9,9,30,20 --input-size 64 --zoom 0 --out {tmp_path}/out"
    assert shell(f"{track} --format png 2>/dev/full").returncode == 0
    assert len([*(tmp_path / "out/png").iterdir()]) == 2


def test_26_a_disk_without_inodes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_files, f_favail, f_frsize, f_bavail = 10, 0, 4096, 4096

    monkeypatch.setattr(os, "statvfs", lambda path: Full())
    with pytest.raises(OSError, match="no more files can be made on the disk"), translate_write_errors(tmp_path / "a"):
        raise OSError(28, "No space left on device")


# 4, 14, 19: paths that cannot be read or written


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Paths by their fault."""
    write_image(tmp_path / "ok.png")
    for number in range(2):
        write_image(tmp_path / f"frames/{number}.png")
    for name in ("locked", "closed", "frozen"):
        write_image(tmp_path / name / "a.png")
    locked, unreadable = tmp_path / "locked", write_image(tmp_path / "unreadable.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop").symlink_to("loop")
    modes = {locked: 0, tmp_path / "closed": 0o111, tmp_path / "frozen": 0o555, unreadable: 0}
    for path, mode in modes.items():
        path.chmod(mode)
    yield {
        "in a locked folder": locked / "a.png",
        "locked": locked,
        "not listed": tmp_path / "closed",
        "unreadable": unreadable,
        "pipe": tmp_path / "pipe.png",
        "loop": tmp_path / "loop",
        "below a file": tmp_path / "ok.png/x",
        "long": tmp_path / ("x" * 300),
        "long path": Path(str(tmp_path) + "/" + "y" * 200 + ("/" + "y" * 200) * 25),
    }
    for path in modes:
        path.chmod(0o755)


INPUTS = {
    "segment": ["segment", "X", "--point", "20,15"],
    "segment --mask": ["segment", "ok.png", "--mask", "X"],
    "segment --prompts": ["segment", "ok.png", "--prompts", "X"],
    "segment --references": ["segment", "ok.png", "--references", "X"],
    "segment --model": ["segment", "ok.png", "--point", "20,15", "--model", "X"],
    "segment --background": ["segment", "ok.png", "--point", "20,15", "--format", "background", "--background", "X"],
    "track": ["track", "X", "--point", "20,15"],
    "track --mask": ["track", "frames", "--mask", "X"],
    "track --prompts": ["track", "frames", "--prompts", "X"],
    "track --project": ["track", "--project", "X"],
    "everything": ["everything", "X", "--points-per-side", "2"],
    "webcam --mask": ["webcam", "0", "--no-preview", "--mask", "X"],
    "models info": ["models", "info", "X"],
    "models verify": ["models", "verify", "X"],
    "models convert": ["models", "convert", "X", "new.pt"],
    "models import-trunk": ["models", "import-trunk", "X", "new.safetensors"],
    "data synthesize": ["data", "synthesize", "X", "new"],
    "data propose": ["data", "propose", "X"],
    "data propose --marked": ["data", "propose", "ok.png", "--marked", "X"],
    "data keep": ["data", "keep", "X"],
    "evaluate images": ["evaluate", "images", "X"],
    "evaluate vos": ["evaluate", "vos", "X"],
    "evaluate interactive": ["evaluate", "interactive", "X"],
    "evaluate score": ["evaluate", "score", "X", "frames"],
    "evaluate score ground truth": ["evaluate", "score", "frames", "X"],
    "export onnx": ["export", "onnx", "X", "new"],
    "export onnx --pictures": ["export", "onnx", "nano", "new", "--precision", "int8", "--pictures", "X"],
    "export project": ["export", "project", "X"],
}
OUTPUTS = {
    "segment --out": ["segment", "ok.png", "--point", "20,15", "--out", "X"],
    "track --out": ["track", "frames", "--point", "20,15", "--out", "X"],
    "track --out --resume": ["track", "frames", "--point", "20,15", "--resume", "--out", "X"],
    "track --out --overwrite": ["track", "frames", "--point", "20,15", "--overwrite", "--format", "coco", "--out", "X"],
    "everything --out": ["everything", "ok.png", "--points-per-side", "2", "--out", "X"],
    "everything video --out": ["everything", "frames", "--points-per-side", "2", "--out", "X"],
    "webcam --record": ["webcam", "0", "--no-preview", "--point", "20,15", "--record", "X"],
    "webcam --out": ["webcam", "0", "--no-preview", "--point", "20,15", "--out", "X"],
    "studio --project": ["studio", "ok.png", "--no-browser", "--project", "X"],
    "models convert": ["models", "convert", "nano", "X/new.pt"],
    "data propose --out": ["data", "propose", "ok.png", "--out", "X"],
    "export onnx": ["export", "onnx", "nano", "X", "--input-size", "64"],
}
COMMON_FAULTS = {"in a locked folder", "long"}


def check_paths(paths: dict[str, Path], folder: Path) -> None:
    """Run every command with every path and check that none is a bug or wrong usage."""
    cases = [
        (f"{name}: {fault}", [word.replace("X", str(path)) for word in command], statuses)
        for commands, statuses in ((INPUTS, {65, 66}), (OUTPUTS, {65, 66, 69, 73}))
        for name, command in commands.items()
        for fault, path in paths.items()
        if not (commands is OUTPUTS and fault == "not listed")  # files can be made in such a folder
    ]
    results = run_commands(*(command for _, command, _ in cases), folder=folder)
    wrong = [
        f"{case} → {status} {text[-200:]}"
        for (case, _, statuses), (status, text) in zip(cases, results, strict=True)
        if status not in statuses
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.skipif(not can_be_stopped(), reason="root ignores permissions")
def test_4_14_19_a_path_that_cannot_be_used_is_an_input_or_output_error(paths: dict[str, Path], tmp_path: Path) -> None:
    check_paths({fault: path for fault, path in paths.items() if fault in COMMON_FAULTS}, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not can_be_stopped(), reason="root ignores permissions")
def test_4_14_19_no_path_is_a_bug(paths: dict[str, Path], tmp_path: Path) -> None:
    check_paths({fault: path for fault, path in paths.items() if fault not in COMMON_FAULTS}, tmp_path)


# 18, 24: signals


def test_18_a_signal_that_is_ignored_stays_ignored() -> None:
    code = "import os, signal; from masklet.cli import main; main.main(['models', 'pull', 'nano']); "
    code += "print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    assert shell(f"trap '' HUP; {sys.executable} -c \"{code}\"").stdout.endswith("True\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_17_18_a_signal_during_the_imports_has_its_status(number: int, status: int) -> None:
    code = (
        "import sys, threading, os; from masklet.cli import main\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'masklet.cli.track': os.kill(os.getpid(), int(sys.argv[1]))\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.exit(main.main(['models', 'list']))"
    )
    words = [sys.executable, "-c", code, str(int(number))]
    result = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert result.returncode == status and "Traceback" not in result.stderr


@pytest.mark.slow
def test_24_tests_of_signals_pass_in_the_background() -> None:
    file = Path(__file__).parents[1] / "cli/test_main.py"
    result = shell(f"{sys.executable} -m pytest -q -p no:cacheprovider {file} -k signal_ends_a_download & wait $!")
    assert result.returncode == 0, result.stdout


# messages: P2 5, 7, 9 and P3 of the user audit


def test_p2_5_a_hint_is_part_of_an_error_in_python() -> None:
    with pytest.raises(InputNotFound, match="masklet models pull sam2-tiny"):
        find_local("sam2-tiny")


@pytest.mark.usefixtures("gray_world")
def test_p2_7_warnings_are_lines_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        Image.fromarray(np.full((40, 60, 4), 128, np.uint8)).save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--out", str(tmp_path / "out")]
    for words in (
        ["segment", *paths, "--point", "3,3"],
        ["everything", *paths, "--points-per-side", "2", "--overwrite"],
    ):
        assert main(words) == 0, capsys.readouterr().err
        lines = [line for line in capsys.readouterr().err.splitlines() if "alpha-composited" in line]
        assert lines and all(line.startswith("masklet: warning: ") for line in lines)
        assert len(set(lines)) == len(lines)


@pytest.mark.usefixtures("gray_world")
def test_p2_9_an_error_in_a_batch_names_its_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.png")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "b.png")
    words = ["segment", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--point", "40,40"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 3
    assert f"masklet: error: {tmp_path / 'b.png'}: (40, 40) lies outside" in capsys.readouterr().err


@pytest.mark.usefixtures("gray_world")
@pytest.mark.parametrize("command", ["segment", "track"])
def test_p2_8_a_mask_of_another_image_is_not_stretched(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "images" / "0.png")
    Image.new("L", (10, 10), 255).save(tmp_path / "mask.png")
    words = (command, tmp_path / "images", "--mask", tmp_path / "mask.png", "--out", tmp_path / "out")
    assert main([*map(str, words)]) == 65
    assert "a mask of 10 × 10 pixels does not fit an image of 60 × 40" in capsys.readouterr().err


def test_p3_an_error_about_the_kind_of_a_file_names_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = write_image(tmp_path / "a.png")
    assert main(["track", str(image), "--point", "3,3", "--out", str(tmp_path / "out")]) == 65
    assert f"hint: masklet segment {image}" in capsys.readouterr().err
    (tmp_path / "clip.mp4").write_bytes(b"video")
    assert main(["webcam", str(tmp_path / "clip.mp4")]) == 2
    assert f"masklet track {tmp_path / 'clip.mp4'}" in capsys.readouterr().err


@pytest.mark.usefixtures("gray_world")
@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        (
            "segment",
            ["--point", "10,10#x"],
            "'#x' is not understood; after the coordinates write # and a number from 1",
        ),
        ("segment", ["--point", "10,10#-1"], "'#-1' is not understood"),
        ("segment", ["--point", "10,10@-3"], "'@-3' is not understood"),
        ("track", ["--box", "1,1,9,9#1@2"], "'#1' is not understood; after the coordinates write @ and a frame from 0"),
        ("track", ["--point", "10;10#1"], "--point takes 2 numbers separated by commas"),
        ("segment", ["--mask", "EMPTY"], "has no object; mark it in the file or use another file"),
        ("track", ["--mask", "EMPTY"], "has no object on frame 0; choose another frame or use another file"),
        ("segment", ["--negative", "10,10"], "object 1 has only negative clicks; mark it by a positive click"),
        ("segment", ["--point", "9,9", "--negative", "10,10#2"], "object 2 has only negative clicks"),
        ("track", ["--negative", "10,10"], "object 1 has only negative clicks"),
        ("everything", ["--pred-iou-thresh", "3"], "pred_iou_thresh must be at most 1"),
        ("everything", ["--stability-score-thresh", "1.5"], "stability_score_thresh must be at most 1"),
        ("segment", ["--mask", "NOTES"], "as MOTS has them"),
    ],
)
def test_p3_errors_name_the_wrong_part(
    command: str, words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    image = write_image(tmp_path / "images" / "0.png")
    empty, notes = tmp_path / "empty.png", tmp_path / "notes.txt"
    Image.new("L", (60, 40)).save(empty)
    notes.write_text("hello world\n")
    files = {"EMPTY": str(empty), "NOTES": str(notes)}
    source = image if command == "everything" else tmp_path / "images"
    status = main([command, str(source), *(files.get(word, word) for word in words), "--out", str(tmp_path / "out")])
    assert status in (2, 65)
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.usefixtures("gray_world")
def test_p3_a_negative_click_may_follow_on_a_later_frame(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.fromarray(draw_boxes({200: (2, 2, 30, 30)})).save(tmp_path / "images" / f"{number}.png")
    words = ("--point", "9,9", "--negative", "50,35@1", "--out", str(tmp_path / "out"))
    assert main(["track", str(tmp_path / "images"), *words]) == 0


def test_p3_everything_lists_image_formats_for_what_is_neither(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.jpg").write_text("hello world\n")
    assert main(["everything", str(tmp_path / "text.jpg")]) == 65
    assert "hint: images are JPEG, PNG, WebP, TIFF or BMP files" in capsys.readouterr().err


def test_p3_presets_are_listed_without_pytorch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from masklet.cli.main import main; sys.exit(main(['train', 'list']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and "finetune-decoder  sam2.1-tiny" in done.stdout, done.stderr


def test_p3_masks_are_shown_in_jupyter() -> None:
    masks = Masks.from_binary(draw_boxes({200: (2, 2, 30, 30)})[None, ..., 0] > 0)
    with Image.open(io.BytesIO(masks._repr_png_())) as image:
        assert image.format == "PNG" and image.size == (60, 40)
        assert image.getpixel((50, 35)) == (0, 0, 0) and image.getpixel((15, 15)) != (0, 0, 0)
    assert Masks.from_binary(np.zeros((0, 4, 6), bool))._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", ["segment", "track"])
def test_p3_names_of_prompts_fit_into_80_columns_of_the_help(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    assert main([command, "--help"]) == 0
    place = "[@FRAME]" if command == "track" else ""
    assert f"X0,Y0,X1,Y1{place}[#ID]" in capsys.readouterr().out


def test_p3_the_example_without_masklet_states_its_arguments() -> None:
    example = Path(__file__).parents[2] / "examples" / "plain_onnx.py"
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1 and done.stderr.startswith(
        "An exported model without masklet: `python plain_onnx.py DIR"
    )
    assert "Traceback" not in done.stderr
