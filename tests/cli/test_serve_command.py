"""`masklet serve` as a command: what it prints, refuses, and does at Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from masklet.cli import serve_run, server_options
from masklet.cli.main import main
from masklet.serve.protocols import PROTOCOLS
from masklet.serve.server import ApiServer
from support.api_server import ApiClient, encode_png

TOKEN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def quick(gray_world: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use a network that is no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(server_options.TOKEN_VARIABLE, raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[ApiServer], object]], None]:
    """Call a function with the server when it is ready, and end it then as Ctrl-C does."""

    def prepare(work: Callable[[ApiServer], object]) -> None:
        show = serve_run._show

        def show_and_end(server: ApiServer, *arguments: Any) -> None:
            show(server, *arguments)
            work(server)
            raise KeyboardInterrupt

        monkeypatch.setattr(serve_run, "_show", show_and_end)

    return prepare


def serve(*words: str) -> int:
    return main(["serve", "--port", "0", *words])


def test_it_serves_until_ctrl_c(visit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = []

    def use(server: ApiServer) -> None:
        client = ApiClient(server.port, "")
        key = client.send_image(encode_png())
        found.extend(client.ask("/v1/predict", {"image": key, "objects": [{"points": [[15, 10]]}]})["masks"])

    visit(use)
    assert serve("--json") == 0 and len(found) == 1
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record["address"] == f"http://127.0.0.1:{record['port']}/" and record["protocols"] == {}
    assert "without a token" in captured.err and "finishing requests" in captured.err


def test_protocols_limits_and_the_token_are_passed_on(visit: Any, tmp_path: Path) -> None:
    seen = []

    def use(server: ApiServer) -> None:
        seen.append([*server.prefixes])
        limits = server.service.limits
        assert (limits.pixels, limits.waiting, limits.body_bytes, limits.drain_s) == (2_500_000, 3, 1_000_000, 1)
        assert ApiClient(server.port, "").get("/v1/model").code == "unauthorized"
        assert ApiClient(server.port, TOKEN).get("/v1/model").status == 200
        assert ApiClient(server.port, TOKEN).get("/v1/model", Host="gpu.example").status == 200
        assert ApiClient(server.port, TOKEN).get("/v1/model", Host="other.example").code == "host-refused"
        assert ApiClient(server.port, "").get("/health/ready", Host="10.0.0.3").status == 200

    visit(use)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    words = ["--max-pixels", "2.5", "--max-waiting", "3", "--max-body", "1", "--drain", "1", "--root", str(tmp_path)]
    access = ["--host", "0.0.0.0", "--allow-host", "gpu.example", "--token-file", "token"]
    assert serve("--protocol", "all", *words, *access) == 0
    assert seen == [[*PROTOCOLS]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--protocol", "telnet"], "protocols are label-studio"),
        (["--host", "0.0.0.0"], "lets other machines connect"),
        (["--allow-host", "a b"], "a host is a name"),
        (["--allow-url", "ftp://a"], "an address must be"),
    ],
)
def test_wrong_usage_is_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(*words) == 2 and message in capsys.readouterr().err


def test_missing_inputs_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve("--root", "none") == 66 and "none does not exist" in capsys.readouterr().err
    assert serve("--token-file", "none") == 66
    assert serve("--model", "none.pt") != 0


def test_without_the_extra_the_error_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith(("fastapi", "masklet.serve"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert serve() == 69 and 'pip install ".[serve]"' in capsys.readouterr().err
