"""T7: the WebSocket with malformed messages and broken connections, beside one healthy client, which loses nothing.

Messages are malformed, of wrong types, out of order, too long, compressed, no UTF-8, or in fragments; connections are
aborted at random points.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Close

from masklet.studio.messages import pack
from support.measured_process import report
from support.studio import Visitor, serve
from support.studio_requests import COMMANDS, draw_arguments
from support.studio_server import ServerProcess

SEED = 7
THREADS = 4
PER_CONNECTION = 40
CODES = frozenset({1000, 1002, 1003, 1005, 1007, 1008, 1009, 1012, 1013, *range(4000, 5000)})
"""Close codes that the server may use: 1002 for violations of RFC 6455, 1005 after a close frame without a code."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

Frame = bytes


def make_frame(kind: int, payload: bytes, *, final: bool = True, reserved: int = 0, masked: bool = True) -> Frame:
    """Return a frame of a client."""
    head = bytes([final << 7 | reserved << 4 | kind])
    length = len(payload)
    if length >= 1 << 16:
        sizes = b"\x7f" + struct.pack("!Q", length)
    else:
        sizes = bytes([length]) if length < 126 else b"\x7e" + struct.pack("!H", length)
    if not masked:
        return head + sizes + payload
    return head + bytes([sizes[0] | 128]) + sizes[1:] + bytes(4) + payload  # a mask of zeros


def split(choice: random.Random, kind: int, payload: bytes) -> list[Frame]:
    """Return a message in fragments, with pings between them."""
    cuts = sorted(choice.randrange(len(payload) + 1) for _ in range(choice.choice([1, 2, 9])))
    parts = [payload[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    frames = []
    for position, part in enumerate(parts):
        final = position == len(parts) - 1
        frames.append(make_frame(kind if position == 0 else CONTINUATION, part, final=final))
        if not final and choice.random() < 0.3:
            frames.append(make_frame(PING, choice.randbytes(5)))
    return frames


def draw_text(choice: random.Random) -> bytes:
    """Draw a request that may have wrong types, wrong arguments, or the id of another one."""
    name, valid = choice.choice([*COMMANDS.items()])
    number = choice.choice([1, 1, 2, 7, -1, 2**70, None, "1", 1.5, [], True])
    request: Any = {"id": number, "command": name, **draw_arguments(choice, valid)}
    if choice.random() < 0.3:
        request = choice.choice(
            [[], 0, "x", None, {}, {"id": 1}, {"command": "hello"}, [request], {"id": 1, "command": 2}]
        )
    return json.dumps(request).encode()


def draw_message(choice: random.Random) -> tuple[bool, list[Frame]]:
    """Draw the frames of a message, and return them after whether the server should end the connection then."""
    text = draw_text(choice)
    header = {"id": 1, "command": "paint", "medium": 1, "frame": 0, "object": None, "size": [40, 60]}
    makers: list[tuple[float, bool, Callable[[], list[Frame]]]] = [
        (30, False, lambda: [make_frame(TEXT, text)]),
        (10, False, lambda: split(choice, TEXT, text)),
        (5, False, lambda: [make_frame(BINARY, pack(header, choice.randbytes(choice.choice([0, 3, 4, 40, 4000]))))]),
        (3, False, lambda: split(choice, BINARY, pack(header, struct.pack("<2i", 2000, 400)))),
        (3, False, lambda: [make_frame(PING, choice.randbytes(choice.choice([0, 125]))), make_frame(PONG, b"?")]),
        (2, True, lambda: [make_frame(TEXT, text[: choice.randrange(len(text))])]),
        (2, True, lambda: [make_frame(TEXT, text + choice.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80"]))]),
        (1, True, lambda: split(choice, TEXT, text[:-1] + b"\xc3")),
        (1, True, lambda: [make_frame(BINARY, choice.randbytes(choice.choice([0, 1, 4, 9, 900])))]),
        (1, True, lambda: [make_frame(BINARY, b"\xff\xff\xff\xff" + text)]),
        (1, True, lambda: [make_frame(TEXT, text, reserved=choice.choice([1, 2, 4, 7]))]),  # 4: compressed
        (1, True, lambda: [make_frame(TEXT, b"\x78\x9c" + bytes(2000), reserved=4)]),
        (1, True, lambda: [make_frame(choice.choice([3, 7, 11, 15]), text)]),
        (1, True, lambda: [make_frame(PING, bytes(126))]),
        (1, True, lambda: [make_frame(PING, b"", final=False)]),
        (1, True, lambda: [make_frame(CONTINUATION, text)]),
        (1, True, lambda: [make_frame(TEXT, b"{", final=False), make_frame(TEXT, text)]),
        (1, True, lambda: [make_frame(TEXT, text, masked=False)]),
        (1, True, lambda: [b"\x81\xff" + struct.pack("!Q", choice.choice([17 << 20, 1 << 62, 2**64 - 1]))]),
        (1, True, lambda: [make_frame(CLOSE, choice.choice([b"", b"\x03", b"\x03\xe7", b"\x03\xe8\xff"]))]),
        (0.2, True, lambda: [make_frame(TEXT, b'"' + b"x" * (1 << 20) + b'"')]),
    ]  # fmt: skip
    _, ends, make = choice.choices(makers, [weight for weight, _, _ in makers])[0]
    return ends, make()


class RawClient:
    """A connection that sends whatever bytes it is given.

    Attributes:
        code: The code with which the server closed the connection; None if it was reset.
        events: Number of text messages that were received.
    """

    def __init__(self, server: Any, cookie: str, extension: str = "", path: str = "/ws") -> None:
        self.code: int | None = None
        self.events = 0
        self._buffer = b""
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=120)
        own = f"Host: 127.0.0.1:{server.port}\r\nCookie: {cookie}\r\nSec-WebSocket-Key: {'A' * 22}==\r\n{extension}"
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{own}{upgrade}\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.socket.recv(4096)
            assert part, head
            head += part
        self.head, _, self._buffer = head.partition(b"\r\n\r\n")
        assert self.head.startswith(b"HTTP/1.1 101"), head

    def send(self, frame: bytes) -> None:
        """Send bytes. What the server has sent is read meanwhile, so that it is no slow client."""
        self._send(frame)
        self.socket.setblocking(False)
        with suppress(BlockingIOError, ConnectionError):
            while part := self.socket.recv(1 << 20):
                self._buffer += part
                self._parse()
        self.socket.settimeout(120)

    def wait_for_events(self, count: int) -> None:
        """Read until so many text messages were received."""
        while self.events < count:
            part = self.socket.recv(1 << 20)
            assert part, "the connection is closed"
            self._buffer += part
            self._parse()

    def finish(self, patience_s: float = 120) -> None:
        """Send a close frame, and read until the connection ends, or for as long as the patience lasts."""
        self.send(make_frame(CLOSE, b"\x03\xe8"))
        self.socket.settimeout(patience_s)
        with suppress(ConnectionError, TimeoutError if patience_s < 1 else ConnectionError):
            while part := self.socket.recv(1 << 20):
                self._buffer += part
                self._parse()
        self._parse()
        self.socket.close()

    def abort(self) -> None:
        """Reset the connection."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _send(self, frame: bytes) -> None:
        self.socket.settimeout(120)
        with suppress(ConnectionError):
            self.socket.sendall(frame)

    def _parse(self) -> None:
        while len(self._buffer) >= 2:
            kind, length, start = self._buffer[0] & 15, self._buffer[1], 2
            if length >= 126:
                size = 2 if length == 126 else 8
                length, start = int.from_bytes(self._buffer[2 : 2 + size], "big"), 2 + size
            if len(self._buffer) < start + length:
                return
            payload, self._buffer = self._buffer[start : start + length], self._buffer[start + length :]
            self.events += kind == TEXT
            if kind == PING:
                self._send(make_frame(PONG, payload))
            if kind == CLOSE and self.code is None:
                self.code = Close.parse(payload).code
            if kind == TEXT and (problem := json.loads(payload).get("problem")):
                assert problem["code"] != "internal", problem


class HealthyClient:
    """A client that adds and removes objects all the time, and checks that it gets every reply and every change."""

    def __init__(self, visitor: Visitor, pause_s: float = 0.02) -> None:
        self._visitor, self._is_stopped, self._pause_s = visitor, threading.Event(), pause_s
        self.commands, self.error = 0, ""
        self._thread = threading.Thread(target=self._run_safely, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the client, which must have had no error."""
        self._is_stopped.set()
        self._thread.join(180)
        assert not self._thread.is_alive() and not self.error and self.commands, self.error

    def _run_safely(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - reported by `stop`
            self.error = repr(error)

    def _run(self) -> None:
        with self._visitor.connect(max_size=None) as connection:
            connection.send('{"id": 0, "command": "hello"}')
            replies, seqs = 0, list[int]()
            first = 0
            acknowledged: set[int] = set()
            while True:
                message = connection.recv(timeout=120)
                if not isinstance(message, str):
                    continue
                event = json.loads(message)
                if event.get("event") == "changes":
                    seqs.append(event["seq"])
                if "reply" not in event:
                    continue
                assert event["reply"] == replies and "problem" not in event, event
                first = first or event["seq"]
                acknowledged.add(event["seq"])
                replies += 1
                self.commands = replies
                if self._is_stopped.is_set():
                    break
                time.sleep(self._pause_s)
                request = {"id": replies, "command": "add_object", "medium": 4, "fields": {"name": "healthy"}}
                connection.send(json.dumps(request))
            last = event["seq"]
            while seqs and seqs[-1] < last:
                message = connection.recv(timeout=120)
                if isinstance(message, str) and json.loads(message).get("event") == "changes":
                    seqs.append(json.loads(message)["seq"])
            known = [seq for seq in seqs if seq > first]
            assert known == [*range(first + 1, known[-1] + 1 if known else 0)], "a change is missing"
            assert {seq for seq in acknowledged if seq > first} <= {*known}


def send_messages(server: ServerProcess, count: int) -> Counter[str]:
    """Send messages, each client until a connection should end or it has sent `PER_CONNECTION`."""

    def send(seed: int) -> Counter[str]:
        choice, results, remaining = random.Random(seed), Counter[str](), count // THREADS
        while remaining > 0:
            client = RawClient(server, server.cookie)
            for _ in range(min(PER_CONNECTION, remaining)):
                remaining -= 1
                results["messages"] += 1
                ends, frames = draw_message(choice)
                for frame in frames:
                    client.send(frame)
                if ends:
                    break
            if choice.random() < 0.2:  # bytes that may be the start of a frame, for whose end the server waits
                client.send(choice.randbytes(30))
                client.finish(0.1)
            else:
                client.finish()
            results[f"closed with {client.code}"] += 1
            assert client.code is None or client.code in CODES, client.code
        return results

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(send, range(SEED, SEED + THREADS)), Counter[str]())


def abort_connections(server: ServerProcess, count: int) -> None:
    """Reset connections at random points of the handshake, of a frame, and between messages."""
    choice = random.Random(SEED)
    for number in range(count):
        if number % 4 == 0:
            with suppress(ConnectionError), socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
                head = f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nCookie: {server.cookie}\r\n\r\n".encode()
                raw.sendall(head[: choice.randrange(1, len(head))])
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            continue
        client = RawClient(server, server.cookie)
        for _ in range(choice.randrange(6)):
            client.send(make_frame(TEXT, json.dumps({"id": 1, "command": "show", **COMMANDS["show"]}).encode()))
        data = b"".join(split(choice, BINARY, pack({"id": 1, "command": "paint"}, bytes(choice.choice([9, 90_000])))))
        client.send(data[: choice.randrange(len(data))])
        client.abort()


def attack(server: ServerProcess, messages: int, aborts: int) -> None:
    """Send messages and abort connections beside a healthy client."""
    healthy = HealthyClient(server.visitor)
    try:
        results = send_messages(server, messages)
        abort_connections(server, aborts)
    finally:
        healthy.stop()
    report("T7", aborts=aborts, healthy_commands=healthy.commands, **dict(sorted(results.items())))
    assert results["messages"] == messages and results["closed with 1002"]
    assert server.read_errors() == ""


def test_messages_and_aborts(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        attack(server, 100, 4)
        assert server.close() == 0


@pytest.mark.slow
def test_20_000_messages_and_200_aborts(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        attack(server, 20_000, 200)
        assert server.close() == 0


def test_compression_is_not_negotiated() -> None:
    """So that there is no compression bomb."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    with serve() as server:
        client = RawClient(server, Visitor(server).cookie, offer)
        assert b"extensions" not in client.head.lower()
        client.send(make_frame(TEXT, b"\xca\x00\x00\x00", reserved=4))
        client.finish()
        assert client.code == 1002


def test_a_message_in_fragments_is_one_message() -> None:
    with serve() as server:
        client = RawClient(server, Visitor(server).cookie)
        for frame in split(random.Random(SEED), TEXT, b'{"id": 1, "command": "hello"}'):
            client.send(frame)
        for _ in range(3):
            client.send(make_frame(PING, b"a"))
        client.wait_for_events(1)
        client.finish()
        assert (client.code, client.events) == (1000, 1)


@pytest.mark.parametrize("fault", ["a lost reply", "a lost change", "a closed connection"])
def test_a_client_that_loses_something_fails_the_test(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Commands:
        seq = 0

        async def handle(self, client: Any, command: str, arguments: Any) -> Any:
            Commands.seq += 1
            if Commands.seq == 5 and fault == "a closed connection":
                client.close()
            if Commands.seq != 5 or fault != "a lost change":
                client.send_event({"event": "changes", "seq": Commands.seq})
            if Commands.seq == 5 and fault == "a lost reply":
                return {"seq": Commands.seq, "problem": {"code": "internal"}}
            return {"seq": Commands.seq}

        def connect(self, client: Any) -> None: ...
        def disconnect(self, client: Any) -> None: ...

    monkeypatch.setattr("support.studio.RecordedCommands", lambda clients: Commands())
    with serve() as server:
        healthy = HealthyClient(Visitor(server))
        while healthy.commands < 9 and not healthy.error:
            time.sleep(0.01)
        with pytest.raises(AssertionError):
            healthy.stop()
