"""The command line: its output on stdout and stderr, and its exit statuses, of which 1 is none."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masklet.checkpoints import read_tensors, write_released, write_tensors
from masklet.checkpoints.hub import get_embedded_path, get_release_path
from masklet.checkpoints.releases import RELEASES, Release
from masklet.cli import models
from masklet.cli.console import escape_unprintable
from masklet.cli.main import main
from masklet.cli.options import locate_model
from masklet.errors import EXIT_STATUS
from parity.inputs import weights
from support.faulty_server import send_correctly, send_half_and_stall, serve
from support.hostile_checkpoints import make_checkpoint, pickle_text
from support.recorded import load_shapes

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKLET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("models", "list")` → exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(argument) for argument in arguments])
        assert status != 1
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "micro.pt"
    write_released(path, weights(load_shapes()["sam2.1-micro"], 1))
    return path


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    path = tmp_path / "evil.pt"
    path.write_bytes(make_checkpoint(b"\x80\x02cposix\nsystem\n" + pickle_text("true") + b"\x85R."))
    return path


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "masklet", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_help_lists_the_commands(run: Run) -> None:
    for arguments in ((), ("--help",), ("-h",)):
        status, out, err = run(*arguments)
        assert (status, err) == (0, "") and "models" in out


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from masklet.cli.main import main
main(["--help"])
heavy = {"numpy", "torch", "cv2", "av", "PIL", "onnxruntime", "safetensors"}
sys.stderr.write(str(heavy & set(sys.modules)))"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr == "set()"


def test_version_prints_the_version(run: Run) -> None:
    status, out, _ = run("--version")
    assert status == 0 and re.fullmatch(r"masklet \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize(
    "arguments", [["modls"], ["models"], ["models", "pul"], ["models", "pull"], ["models", "list", "--jsn"], ["--nope"]]
)
def test_wrong_usage_is_one_line_and_a_hint(run: Run, arguments: list[str]) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert re.fullmatch(
        r"masklet: error: .+ \[bad-usage\]\nhint: masklet.* --help lists the commands and options\n", err
    )


def test_a_misspelt_command_is_corrected(run: Run) -> None:
    assert "'models'" in run("modles", "list")[2]


def test_with_json_an_error_is_one_object_on_stdout(run: Run, evil: Path) -> None:
    for arguments, code in (
        (["models", "info", evil, "--json"], "unsafe-pickle"),
        (["models", "info", "none.pt", "--json"], "input-not-found"),
        (["models", "verify", "sam9", "--json"], "unknown-model"),
        (["models", "pull", "--json"], "bad-usage"),
    ):
        status, out, err = run(*arguments)
        error = json.loads(out)["error"]
        assert (error["code"], error["exit_status"], status) == (code, EXIT_STATUS[code], EXIT_STATUS[code])
        assert f"[{code}]" in err and error["message"] in err


def test_control_characters_in_names_do_not_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\nb\u202e.pt"
    path.write_bytes(b"")
    _, _, err = run("models", "info", path)
    assert "a\\x1b[31m\\nb\\u202e.pt is empty" in err
    assert escape_unprintable("grüße \udcff") == "grüße \\udcff"


def test_an_unsafe_checkpoint_has_its_status(run: Run, evil: Path) -> None:
    status, out, err = run("models", "verify", evil)
    assert (status, out) == (77, "") and "posix.system" in err and err.count("\n") == 2


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_an_internal_error_is_one_line_and_with_debug_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "print_table", raising(RuntimeError("oh\nno")))
    status, out, err = run("models", "list")
    assert (status, out) == (70, "") and "RuntimeError: oh\\nno [internal]" in err and "Traceback" not in err
    for arguments in (("--debug", "models", "list"), ("models", "list", "--debug")):
        status, _, err = run(*arguments)
        assert status == 70 and "Traceback" in err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (MemoryError(), 75),
        (OSError(errno.ENOSPC, "No space left on device"), 74),
        (SystemExit(143), 143),
        (EOFError(), 130),
        (RecursionError("deep"), 70),
        (OSError(5, "Input/output error"), 70),
    ],
)
def test_every_other_exception_has_its_status(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int
) -> None:
    monkeypatch.setattr(models, "print_table", raising(error))
    assert run("models", "list")[:2] == (status, "")


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_download_and_keeps_the_finished_part(own_home: Path, number: int, status: int) -> None:
    release = RELEASES["sam2.1-tiny"]
    with serve(bytes(release.size_bytes // 100), send_half_and_stall) as server:
        server.content = b"\1" * release.size_bytes
        running = start("models", "pull", "sam2.1-tiny", "--mirror", server.url)
        part = get_release_path(release).with_name(f"{release.file}.part")
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        running.send_signal(number)
        _, err = running.communicate(timeout=120)
    assert running.returncode == status and "Traceback" not in err
    assert ("masklet: interrupted" in err) == (number == signal.SIGINT)
    assert part.stat().st_size > 0 and not get_release_path(release).exists()


@pytest.mark.skipif(os.name != "posix", reason="needs pipes that break")
def test_a_closed_stdout_ends_the_command_without_a_message(micro: Path) -> None:
    for arguments in (["models", "list"], ["models", "list", "--json"], ["--help"], ["models", "info", micro]):
        running = start(*arguments)
        assert running.stdout and running.stderr
        running.stdout.close()
        assert (running.wait(30), running.stderr.read()) == (141, "")


def test_list_shows_which_models_are_downloaded(run: Run, own_home: Path) -> None:
    tiny, small = (get_release_path(RELEASES[f"sam2.1-{size}"]) for size in ("tiny", "small"))
    tiny.parent.mkdir(parents=True)
    with tiny.open("wb") as handle:
        handle.truncate(RELEASES["sam2.1-tiny"].size_bytes)
    small.write_bytes(b"cut off")
    status, out, err = run("models", "list")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert (status, err) == (0, "") and list(lines) == ["name", "nano", *RELEASES]
    assert re.search(r"5\.9 M +12 MB +built in", lines["nano"])
    assert re.search(r"39\.0 M +156 MB +here +.*sam2\.1_hiera_tiny\.pt$", lines["sam2.1-tiny"])
    assert "wrong size" in lines["sam2.1-small"] and "not here" in lines["sam2-large"]


def test_list_as_json_has_every_field(run: Run) -> None:
    records = json.loads(run("models", "list", "--json")[1])
    assert [record["name"] for record in records] == ["nano", *RELEASES]
    assert {"name", "parameters", "bytes", "state", "path", "url", "sha256"} == set(records[0])


def test_pull_of_the_embedded_model_prints_its_path(run: Run) -> None:
    status, out, _ = run("models", "pull", "nano")
    assert (status, Path(out.strip())) == (0, get_embedded_path())


def test_convert_stores_the_requested_number_format(run: Run, micro: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.safetensors"
    assert run("models", "convert", micro, half, "--dtype", "float16")[0] == 0
    assert json.loads(run("models", "info", half, "--json")[1])["dtype"] == "float16"


def test_info_prints_the_facts_of_a_file(run: Run, micro: Path) -> None:
    status, out, _ = run("models", "info", micro, "--json")
    record = json.loads(out)
    assert status == 0
    assert record["architecture"] == "sam2.1-micro" and record["release"] is None
    assert (record["tensors"], record["parameters"], record["dtype"]) == (411, 13287106, "float32")
    assert (record["format"], record["names"], record["path"]) == ("torch", "released", str(micro))
    plain = run("models", "info", micro)[1]
    assert all(str(value) in plain for value in record.values() if value is not None)


def test_info_of_a_fine_tuned_file_shows_what_does_not_fit(run: Run, micro: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {f"module.sam.{name}": torch.from_numpy(value.copy()) for name, value in read_tensors(micro).items()}
    del tensors["module.sam.no_mem_embed"], tensors["module.sam.maskmem_tpos_enc"]
    tensors |= {f"module.sam.head.{k}": torch.ones(1) for k in range(4)}
    tensors["module.sam.no_obj_ptr"] = torch.ones(1, 7)
    torch.save({"model_ema": tensors, "epoch": 12, "steps": {"train": 34567890}}, tmp_path / "tuned.pt")
    status, out, err = run("models", "info", tmp_path / "tuned.pt", "--json")
    record = json.loads(out)
    assert (status, err) == (0, "")
    assert (record["family"], record["architecture"], record["variant"]) == ("SAM 2.1", "sam2.1-micro", None)
    assert record["wrapping"] == "model_ema → module → sam"
    assert record["training"] == "epoch 12, steps of train 34567890"
    assert record["missing"] == "2: maskmem_tpos_enc, no_mem_embed"
    assert record["extra"] == "4: head.0, head.1, head.2, …"
    assert record["other shapes"] == "1: no_obj_ptr"
    assert len(run("models", "info", tmp_path / "tuned.pt")[1].splitlines()) <= 24
    status, _, err = run("models", "verify", tmp_path / "tuned.pt")
    assert status == 65 and "2 keys missing (maskmem_tpos_enc, no_mem_embed); 4 keys unexpected" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "family", "options", "variant", "tensors"),
    [
        ("edgetam-micro", "EdgeTAM", [], None, 650),
        ("efficienttam-micro", "EfficientTAM", [], "plain", 359),
        ("efficienttam-micro", "EfficientTAM", ["--variant", "2"], "2", 359),
    ],
)
def test_info_of_the_relatives_of_sam2(
    run: Run,
    checkpoint: Callable[[str, int], Path],
    name: str,
    family: str,
    options: list[str],
    variant: str | None,
    tensors: int,
) -> None:
    status, out, err = run("models", "info", checkpoint(name, 1), "--json", *options)
    record = json.loads(out)
    assert status == 0 and ("variant-unknown" in err) is (variant == "plain")
    assert (record["family"], record["variant"], record["tensors"]) == (family, variant, tensors)
    assert record["architecture"] == (f"{name}-2" if options else name)
    assert (record["missing"], record["extra"], record["other shapes"]) == (None, None, None)


def test_list_marks_a_size_that_is_not_published(run: Run, own_home: Path) -> None:
    path = get_release_path(RELEASES["edgetam"])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    (line,) = [line for line in run("models", "list")[1].splitlines() if line.startswith("edgetam")]
    assert re.search(r"13\.9 M +\? +here ", line)


def test_info_of_a_folder_of_transformers_and_of_an_adapter(run: Run, micro: Path, tmp_path: Path) -> None:
    folder, adapter = tmp_path / "folder", tmp_path / "adapter"
    for path in (folder, adapter):
        path.mkdir()
    run("models", "convert", micro, folder / "model.safetensors", "--names", "transformers")
    record = json.loads(run("models", "info", folder, "--json")[1])
    assert (record["architecture"], record["names"], record["sha256"]) == ("sam2.1-micro", "transformers", None)
    assert record["bytes"] == (folder / "model.safetensors").stat().st_size
    module = "base_model.model.memory_attention.layers.0.self_attn.q_proj"
    updates = {f"{module}.lora_A.weight": np.ones((1, 256)), f"{module}.lora_B.weight": np.ones((256, 1))}
    write_tensors(adapter / "adapter_model.safetensors", updates)
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "lora_alpha": 1}')
    record = json.loads(run("models", "info", adapter, "--base", folder, "--json")[1])
    assert record["wrapping"] == f"LoRA adapter {adapter} of" and record["missing"] is None
    merged = tmp_path / "merged.pt"
    assert run("models", "convert", adapter, merged, "--base", folder)[0] == 0
    name = "memory_attention.layers.0.self_attn.q_proj.weight"
    np.testing.assert_allclose(read_tensors(merged)[name], read_tensors(micro)[name] + 1, atol=1e-6)
    status, _, err = run("models", "info", adapter)
    assert status == 2 and "[bad-usage]" in err and "--base" in err


def test_info_of_a_release_that_is_missing_shows_how_to_download_it(run: Run) -> None:
    status, _, err = run("models", "info", "sam2-tiny")
    assert status == 66 and "hint: masklet models pull sam2-tiny" in err


def test_pull_prints_the_path_and_nothing_else_on_stdout(
    run: Run, micro: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = micro.read_bytes()
    release = made(content)
    monkeypatch.setitem(RELEASES, release.name, release)
    with serve(content, send_correctly) as server:
        status, out, err = run("models", "pull", release.name, "--mirror", server.url)
        assert (status, out) == (0, f"{get_release_path(release)}\n") and err == "downloading toy (53 MB)\n"
        assert json.loads(run("models", "pull", "toy", "--json")[1]) == {
            "name": "toy",
            "path": str(get_release_path(release)),
        }
        assert len(server.ranges) == 1
    assert run("models", "verify", "toy")[1] == f"{get_release_path(release)}: the released toy, byte for byte\n"
    assert json.loads(run("models", "info", "toy", "--json")[1])["release"] == "toy"


def test_a_model_that_a_command_needs_is_downloaded(
    micro: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = micro.read_bytes()
    monkeypatch.setitem(RELEASES, "toy", made(content))
    own_home.mkdir()
    with serve(content, send_correctly) as server:
        (own_home / "mirror.txt").write_text(server.url)
        paths = [locate_model(name) for name in ("toy", "toy", str(micro))]
        assert paths == [get_release_path(RELEASES["toy"])] * 2 + [micro]
        assert len(server.ranges) == 1
    assert capsys.readouterr() == ("", "downloading toy (53 MB)\n")


def made(content: bytes) -> Release:
    import hashlib

    return Release("toy", "https://example.org", "toy.pt", len(content), 7, hashlib.sha256(content).hexdigest())


def test_verify_of_another_file_under_a_released_name_fails(run: Run, micro: Path, tmp_path: Path) -> None:
    path = tmp_path / "sam2_hiera_tiny.pt"
    path.write_bytes(micro.read_bytes())
    status, out, err = run("models", "verify", path)
    assert (status, out) == (77, "") and "[hash-mismatch]" in err and path.exists()


def test_verify_of_an_own_file_reports_that_it_is_intact(run: Run, micro: Path) -> None:
    status, out, _ = run("models", "verify", micro)
    assert status == 0 and "not a released file, but intact: sam2.1-micro, 411 tensors" in out
    assert json.loads(run("models", "verify", micro, "--json")[1])["release"] is None


def test_verify_finds_a_damaged_file(run: Run, micro: Path, tmp_path: Path) -> None:
    content = bytearray(micro.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.pt").write_bytes(content)
    status, _, err = run("models", "verify", tmp_path / "a.pt")
    assert status == 65 and "[checkpoint-corrupt]" in err


@pytest.mark.parametrize("names", ["released", "transformers"])
def test_a_checkpoint_converted_twice_is_equal(run: Run, micro: Path, tmp_path: Path, names: str) -> None:
    converted, restored = tmp_path / "converted.safetensors", tmp_path / "restored.pt"
    assert run("models", "convert", micro, converted, "--names", names)[:2] == (0, f"{converted}\n")
    assert json.loads(run("models", "info", converted, "--json")[1])["names"] == names
    assert run("models", "convert", converted, restored)[0] == 0
    before, after = read_tensors(micro), read_tensors(restored)
    assert set(before) == set(after) and all(np.array_equal(before[name], after[name]) for name in before)


def test_convert_replaces_a_file_only_with_overwrite(run: Run, micro: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.pt"
    output.write_text("dear")
    status, _, err = run("models", "convert", micro, output)
    assert status == 73 and "hint: --overwrite" in err and output.read_text() == "dear"
    assert run("models", "convert", micro, output, "--overwrite")[0] == 0
    assert set(read_tensors(output)) == set(read_tensors(micro))


@pytest.mark.parametrize("arguments", [["out.bin"], ["out.pt", "--names", "transformers"], ["out.pt", "--names", "x"]])
def test_convert_refuses_names_and_suffixes_it_cannot_write(
    run: Run, micro: Path, tmp_path: Path, arguments: list[Any]
) -> None:
    status, _, err = run("models", "convert", micro, tmp_path / arguments[0], *arguments[1:])
    assert status == 2 and "[bad-usage]" in err
    assert not (tmp_path / arguments[0]).exists()


def test_convert_refuses_tensors_of_another_network(run: Run, micro: Path, tmp_path: Path) -> None:
    write_released(tmp_path / "more.pt", {**read_tensors(micro), "surprise": np.ones(3, np.float32)})
    write_released(tmp_path / "other.pt", {"layer.weight": np.ones(3, np.float32)})
    for name in ("more.pt", "other.pt"):
        status, _, err = run("models", "convert", tmp_path / name, tmp_path / "out.pt")
        assert status == 65 and "[checkpoint-mismatch]" in err
    assert not (tmp_path / "out.pt").exists()


def test_a_folder_that_cannot_be_written_has_its_status(run: Run, micro: Path, tmp_path: Path) -> None:
    status, _, err = run("models", "convert", micro, tmp_path / "none" / "out.pt")
    assert status == 73 and "[output-unwritable]" in err
