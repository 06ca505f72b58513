"""T6: every resource and command of the studio with malformed requests, and hostile connections.

The server never has a bug (status 5xx or the code `internal`), every refusal is a problem with a code, other clients
are served meanwhile, and the memory does not grow.
"""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from masklet.errors import EXIT_STATUS
from masklet.studio.studio import Studio
from support.measured_process import report
from support.studio import Visitor, serve
from support.studio_requests import (
    COMMANDS,
    LIVE_COMMANDS,
    OPTIONAL,
    RESOURCES,
    Arguments,
    break_arguments,
    damage_request,
    draw_arguments,
    draw_request,
    list_documented_commands,
    list_documented_resources,
    list_hostile_requests,
)
from support.studio_server import ServerProcess
from support.studio_session import open_session

SEED = 6
THREADS = 4
SILENCE_S = 0.5  # after which a malformed request that the server waits for is given up
MAX_GROWTH_MIB = 50
MAX_PROBE_S = 30.0  # machines are slow; the medians are in docs/reliability.md
ENDLESS = frozenset({"stop", "record"})  # of the live page: not sent with valid arguments


def test_the_table_has_every_command_and_resource(tmp_path: Path) -> None:
    documented = list_documented_commands("### Commands")
    assert COMMANDS.keys() | {"paint"} == documented.keys()
    assert LIVE_COMMANDS.keys() == list_documented_commands("## Live page").keys()
    assert [*RESOURCES] == list_documented_resources()
    with open_session(tmp_path) as session:
        assert isinstance(session.studio, Studio) and session.studio._handlers.keys() == documented.keys()
    for name, arguments in COMMANDS.items():
        named = documented[name] if name != "track" else documented["plan_tracking"]
        for argument in arguments:
            assert f"`{argument}`" in named or name in ("change_class", "add_class", "remove_class"), (name, argument)


class Probe:
    """A client that requests a file all the time, as a measure of how soon the server responds."""

    def __init__(self, server: ServerProcess) -> None:
        self._server, self._is_stopped = server, threading.Event()
        self.seconds: list[float] = []
        self.failures: list[object] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self.seconds or not self._is_stopped.wait(0.05):
            start = time.monotonic()
            try:
                status = self._server.visitor.get("/static/icon.svg").status
                if status != 200:
                    self.failures.append(status)
            except OSError as error:
                self.failures.append(error)
            self.seconds.append(time.monotonic() - start)

    def stop(self) -> None:
        """End the requests. Everyone must have been served."""
        self._is_stopped.set()
        self._thread.join(2 * MAX_PROBE_S)
        assert not self.failures and self.seconds and max(self.seconds) < MAX_PROBE_S, self.failures


@contextmanager
def watch(server: ServerProcess, row: str) -> Iterator[Counter[str]]:
    """Check the server during and after a block, which counts its requests by result."""
    counts: Counter[str] = Counter()
    server.visitor.get("/")
    before, probe = server.measure(), Probe(server)
    try:
        yield counts
    finally:
        probe.stop()
    after = server.measure()
    waited = sorted(probe.seconds)
    figures = {"median_ms": round(1000 * waited[len(waited) // 2]), "max_ms": round(1000 * waited[-1])}
    growth = after.memory_mib - before.memory_mib
    report(row, requests=sum(counts.values()), growth_mib=round(growth, 1), **figures, results=dict(counts))
    assert growth < MAX_GROWTH_MIB
    assert server.read_errors() == ""
    assert server.visitor.get("/").status == 200


def check_problem(status: int, kind: str, body: bytes) -> str:
    """Check a response, and return its code, or its status if it is no refusal."""
    assert 200 <= status < 500 or b'"code":"overloaded"' in body, (status, body[:300])
    if status < 400:
        return str(status)
    assert kind == "application/problem+json", (status, kind, body[:300])
    return check_fields(json.loads(body), status)


def check_fields(problem: dict[str, Any], status: int | None = None) -> str:
    """Check the fields of a problem, and return its code."""
    assert problem["code"] != "internal" and isinstance(problem["detail"], str) and len(problem["detail"]) < 20_000
    assert problem["retryable"] in (True, False)
    if status is None:
        assert problem["code"] in EXIT_STATUS, problem
    else:
        assert problem["status"] == status and problem["title"]
    return str(problem["code"])


class Exchange:
    """Requests of one client, on one connection while the server keeps it open."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._socket: socket.socket | None = None

    def send(self, data: bytes, method: str = "GET", timeout_s: float = 60.0) -> str:
        """Send bytes, and return the code or status of the response; "no response" if there is none."""
        raw = self._socket or socket.create_connection(("127.0.0.1", self._server.port), timeout=60)
        raw.settimeout(timeout_s)
        self._socket = None
        try:
            with suppress(ConnectionError):
                raw.sendall(data)
            response = HTTPResponse(raw, method=method)
            response.begin()
            body = response.read()
        except (HTTPException, OSError):  # it was closed, or waits for the rest of the request
            raw.close()
            return "no response"
        if response.will_close or timeout_s < 60 or response.status == 101:
            raw.close()
        else:
            self._socket = raw
        head_only = method == "HEAD" or response.status == 101
        kind = response.headers.get_content_type()
        return str(response.status) if head_only else check_problem(response.status, kind, body)

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()


def own_headers(server: ServerProcess) -> dict[str, str]:
    return {"Host": f"127.0.0.1:{server.port}", "Cookie": server.cookie}


def send_requests(server: ServerProcess, count: int) -> None:
    """Send requests that are HTTP."""

    def send(seed: int) -> Counter[str]:
        choice, exchange, results = random.Random(seed), Exchange(server), Counter[str]()
        for _ in range(count // THREADS):
            data, method = draw_request(choice, own_headers(server))
            # a length that is too large makes the server wait for the rest
            timeout_s = SILENCE_S if b"Content-Length: 1" in data or b"Content-Length: 9" in data else 60.0
            results[exchange.send(data, method, timeout_s)] += 1
        exchange.close()
        return results

    with watch(server, "T6 requests") as counts, ThreadPoolExecutor(THREADS) as threads:
        for results in threads.map(send, range(SEED, SEED + THREADS)):
            counts += results
    assert counts["200"] and counts["not-found"] and counts["bad-request"] and counts["method-not-allowed"]


def send_damaged(server: ServerProcess, count: int) -> None:
    """Send requests that are hardly HTTP, each on a connection of its own."""

    def send(seed: int) -> Counter[str]:
        choice, results = random.Random(seed), Counter[str]()
        for _ in range(count // (4 * THREADS)):
            data = damage_request(choice, draw_request(choice, own_headers(server))[0])
            method = "HEAD" if re.match(rb"\s*HEAD ", data) else "GET"
            results[Exchange(server).send(data, method, timeout_s=SILENCE_S)] += 1
        return results

    with watch(server, "T6 damaged requests") as counts, ThreadPoolExecutor(4 * THREADS) as threads:
        for results in threads.map(send, range(SEED, SEED + 4 * THREADS)):
            counts += results
    assert counts["bad-request"]


def send_hostile(server: ServerProcess, names: Sequence[str] = ()) -> None:
    """Send the requests that are hostile by size or framing, or those of some names."""
    with watch(server, "T6 hostile requests") as counts:
        for name, data in list_hostile_requests(own_headers(server)).items():
            if not names or name in names:
                timeout_s = SILENCE_S if name in ("HTTP/0.9", "huge chunk") else 60.0  # the server waits for the rest
                counts[Exchange(server).send(data, timeout_s=timeout_s)] += 1
    assert counts["bad-request"] and counts["body-too-large"]


def send_commands(server: ServerProcess, path: str, table: dict[str, Arguments], per_command: int, stride: int) -> None:
    """Send every command with every fault of its arguments, every `stride`th of them, and with random arguments."""
    choice = random.Random(SEED)
    with watch(server, f"T6 commands of {path}") as counts:
        for name, valid in table.items():
            faults = [*break_arguments(valid)]
            systematic = [fault for fault in faults if fault[0] != "wrong"] + faults[1::stride]
            drawn = [("drawn", draw_arguments(choice, valid)) for _ in range(per_command)]
            requests = [] if name in ENDLESS else [("valid", valid), *drawn]
            counts.update(send_command(server.visitor, path, name, [*systematic, *requests]))
    assert counts["valid"] and counts["bad-request"] > len(table)


def send_command(visitor: Visitor, path: str, name: str, requests: list[tuple[str, Arguments]]) -> Counter[str]:
    results: Counter[str] = Counter()
    is_live = path != "/ws"
    with visitor.connect(path, max_size=None) as connection:
        window = 32  # requests that wait for their replies
        replies: dict[int, dict[str, Any]] = {}
        for number, (_, arguments) in enumerate(requests):
            text = json.dumps({"id": number, "command": name, **arguments})
            if len(text) > 1 << 20:
                continue
            connection.send(text)
            while number - len(replies) > window:
                receive_reply(connection, replies)
        while len(replies) < len(requests):
            receive_reply(connection, replies)
    for number, (kind, arguments) in enumerate(requests):
        reply = replies[number]
        code = check_fields(reply["problem"]) if "problem" in reply else "valid"
        results[code] += 1
        missing = COMMANDS.get(name, {}).keys() - arguments.keys() - OPTIONAL if not is_live else set()
        if kind == "unknown" or (kind == "missing" and missing):
            assert code == "bad-request", (name, arguments, reply)
    return results


def receive_reply(connection: ClientConnection, replies: dict[int, dict[str, Any]]) -> None:
    """Receive messages up to the next reply."""
    while True:
        message = connection.recv(timeout=120)
        if isinstance(message, str) and "reply" in (reply := json.loads(message)):
            assert reply["reply"] not in replies, "a command has one reply"
            replies[reply["reply"]] = reply
            return


def hold_connections(server: ServerProcess, count: int) -> list[socket.socket]:
    """Open connections with the start of a request line, of headers, or of a body that is refused."""
    own = "".join(f"{name}: {value}\r\n" for name, value in own_headers(server).items())
    starts = ("GET / HT", f"GET / HTTP/1.1\r\n{own}A: ", f"POST /none HTTP/1.1\r\n{own}Content-Length: 999\r\n\r\n")
    held = []
    for number in range(count):
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        raw.sendall(starts[number % 3].encode())
        held.append(raw)
    return held


def test_requests(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        send_requests(server, 80)
        send_damaged(server, 32)
        send_hostile(server, ("1 MiB header", "two lengths", "huge length", "long WebSocket address"))
        send_commands(server, "/ws", COMMANDS, 0, 60)
        held = hold_connections(server, 6)
        assert server.visitor.get("/").status == 200
        for raw in held:
            raw.close()
        assert server.close() == 0


@pytest.mark.slow
def test_20_000_requests_100_per_command_and_50_slow_connections(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        send_requests(server, 20_000)
        send_damaged(server, 2_000)
        send_hostile(server)
        send_commands(server, "/ws", COMMANDS, 100, 1)
        send_commands(server, "/live/1/ws", LIVE_COMMANDS, 100, 1)
        with watch(server, "T6 slow connections") as counts:
            held = hold_connections(server, 50)
            start = time.monotonic()
            while held and time.monotonic() - start < 120:
                held = [raw for raw in held if is_open(raw)]
                time.sleep(0.5)
            counts["closed"] = 50 - len(held)
        assert not held
        assert server.close() == 0


def is_open(raw: socket.socket) -> bool:
    """Send another byte, and return whether the server keeps the connection open."""
    try:
        raw.sendall(b"a")
        raw.settimeout(0.001)
        while raw.recv(4096):
            pass
    except TimeoutError:
        return True
    except OSError:
        pass
    raw.close()
    return False


def test_a_bug_and_a_refusal_without_a_code_fail_the_test(caplog: pytest.LogCaptureFixture) -> None:
    with serve() as server, pytest.raises(AssertionError, match="internal"):
        send_command(Visitor(server), "/ws", "fail", [("valid", {})])
    with pytest.raises(AssertionError):
        check_problem(400, "text/plain", b"Invalid HTTP request received.")
    with pytest.raises(AssertionError):
        check_problem(503, "application/problem+json", b'{"status": 503, "code": "busy", "title": "a", "detail": ""}')
    assert "ZeroDivisionError" in caplog.text
