"""WebSocket of the studio: commands, replies, events, limits, and clients that are slow or send nonsense."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from masklet.http.websocket_protocol import TRY_LATER, WebSocketProtocol
from masklet.studio import connection, websocket
from masklet.studio.connection import MAX_CLIENTS, Client
from masklet.studio.messages import pack, unpack
from masklet.studio.server import Server
from support.studio import Visitor, ask, serve

HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def close_code(socket: ClientConnection) -> int:
    """Wait until the server closes the connection, and return the code."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            socket.recv(timeout=60)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


def test_each_command_has_one_reply(visitor: Visitor) -> None:
    with visitor.connect() as socket:
        for number in range(100):
            socket.send(json.dumps({"id": number, "command": "predict", "point": number}))
        replies = [json.loads(socket.recv(timeout=60)) for _ in range(100)]
    assert sorted(reply["reply"] for reply in replies) == [*range(100)]
    assert all(reply["arguments"] == {"point": reply["reply"]} for reply in replies)


def test_a_problem_has_a_code_and_does_not_close_the_connection(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    with visitor.connect() as socket:
        problem = ask(socket, "refuse")["problem"]
        assert problem == {
            "code": "bad-prompt",
            "detail": "the point lies outside; choose another",
            "retryable": False,
        }
        assert not caplog.records
        assert ask(socket, "fail")["problem"]["code"] == "internal"
        assert "ZeroDivisionError" in caplog.text
        assert ask(socket, "hello")["command"] == "hello"


@pytest.mark.parametrize(
    "request_", [[], 7, None, "x", {}, {"id": 1}, {"id": "1", "command": "x"}, {"id": True, "command": "x"},
                 {"id": 1.5, "command": "x"}, {"id": 1, "command": 2}, {"id": None, "command": "hello"}],
)  # fmt: skip
def test_a_request_without_id_or_command_is_a_problem(request_: object, visitor: Visitor) -> None:
    with visitor.connect() as socket:
        socket.send(json.dumps(request_))
        assert json.loads(socket.recv(timeout=60))["problem"]["code"] == "bad-request"
        assert ask(socket, "hello")


@pytest.mark.parametrize("number", ["1e999", "[1e999]", "[" * 900 + "]" * 900])
def test_an_id_that_is_not_a_number_is_not_repeated(number: str, visitor: Visitor) -> None:
    with visitor.connect() as socket:
        socket.send(f'{{"id": {number}, "command": "hello"}}')
        reply = json.loads(socket.recv(timeout=60))
    assert (reply["reply"], reply["problem"]["code"]) == (None, "bad-request")


def test_a_binary_command_has_a_reply(visitor: Visitor) -> None:
    with visitor.connect() as socket:
        socket.send(pack({"id": 5, "command": "paint"}, bytes(3 << 20)))
        reply = json.loads(socket.recv(timeout=60))
    assert (reply["reply"], reply["length"]) == (5, 3 << 20)


@pytest.mark.parametrize(
    ("message", "code"),
    [("{", 1007), ("", 1007), ('{"id": NaN}', 1007), ("[" * 100_000, 1007), (r'{"id": 1, "command": "\ud800"}', 1007),
     (b"", 1003), (b"\xff\xff\xff\xff", 1003), (pack({"id": 1, "command": "hello"}), 1003),
     (pack({"kind": "masks"}), 1003), ('"' + "x" * (1 << 20) + '"', 1009),
     ('"' + "ü" * (1 << 19) + '"', 1009)],
    ids=lambda value: repr(value[:12]) if isinstance(value, str | bytes) else None,
)  # fmt: skip
def test_what_is_not_a_message_closes_the_connection(message: str | bytes, code: int, visitor: Visitor) -> None:
    with visitor.connect() as socket:
        socket.send(message)
        assert close_code(socket) == code


def test_what_is_no_utf_8_before_a_close_frame_closes_the_connection(
    server: Server, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    own = f"Host: 127.0.0.1:{server.port}\r\nCookie: {visitor.cookie}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
        raw.sendall(f"GET /ws HTTP/1.1\r\n{own}{HANDSHAKE}\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 101")
        raw.sendall(b"\x81\x81\0\0\0\0\xff" + b"\x88\x80\0\0\0\0")
        assert raw.recv(4096).startswith(b"\x88") and raw.recv(4096) == b""
    assert not caplog.records


def test_a_binary_message_that_is_too_long_is_not_read(visitor: Visitor) -> None:
    with visitor.connect() as socket, pytest.raises(ConnectionClosed) as caught:
        socket.send(pack({"id": 5, "command": "paint"}, bytes(16 << 20)))
        socket.recv(timeout=60)
    # the connection may be reset before the close frame is read
    assert caught.value.rcvd is None or caught.value.rcvd.code == 1009


def test_a_message_may_have_a_mebibyte(visitor: Visitor) -> None:
    with visitor.connect(max_size=2 << 20) as socket:
        filler = "x" * ((1 << 20) - 40)
        assert ask(socket, "hello", a=filler)["arguments"] == {"a": filler}


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def test_sixteen_clients_may_connect_and_see_the_same_events(server: Server, visitor: Visitor) -> None:
    wait_until(lambda: len(server._site.clients) == 0)
    with ExitStack() as stack:
        sockets = [stack.enter_context(visitor.connect()) for _ in range(MAX_CLIENTS)]
        wait_until(lambda: len(server._site.clients) == MAX_CLIENTS)
        with visitor.connect() as one_too_many:
            assert close_code(one_too_many) == TRY_LATER
        sockets[3].send('{"id": 1, "command": "broadcast", "seq": 9}')
        for socket in sockets:
            assert json.loads(socket.recv(timeout=60)) == {"event": "changes", "seq": 9}
        sockets[0].close()
        wait_until(lambda: len(server._site.clients) < MAX_CLIENTS)
        with visitor.connect() as next_one:
            assert ask(next_one, "hello")


class Queue:
    """A client whose messages are read only at the end."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = Client(self.loop)

    def read(self) -> list[str | bytes | int]:
        """Return all messages, the last of which is the close code."""

        async def read_all() -> list[str | bytes | int]:
            messages = []
            while not isinstance(message := await self.client.next_message(), int):
                messages.append(message)
            return [*messages, message]

        self.client.close()
        try:
            return self.loop.run_until_complete(read_all())
        finally:
            self.loop.close()


def test_newer_masks_replace_waiting_ones_and_changes_are_never_lost() -> None:
    queue = Queue()
    for seq in range(3):
        queue.client.send_event({"event": "changes", "seq": seq})
        queue.client.send_binary({"kind": "masks", "seq": seq}, bytes(seq))
        queue.client.send_binary({"kind": "preview", "turn": seq})
        queue.client.send_event({"event": "progress", "run": 1, "done": seq})
        queue.client.send_event({"event": "progress", "run": 2, "done": seq})
        queue.client.send_event({"event": "busy", "what": seq})
    *messages, code = queue.read()
    texts = [json.loads(message) for message in messages if isinstance(message, str)]
    binary = [unpack(message) for message in messages if isinstance(message, bytes)]
    assert code == 1000
    assert [text["seq"] for text in texts if text["event"] == "changes"] == [0, 1, 2]
    assert [(text["run"], text["done"]) for text in texts if text["event"] == "progress"] == [(1, 2), (2, 2)]
    assert [text for text in texts if text["event"] == "busy"] == [{"event": "busy", "what": 2}]
    assert binary == [({"kind": "masks", "seq": 2}, bytes(2)), ({"kind": "preview", "turn": 2}, b"")]
    assert messages.index('{"event":"changes","seq":2}') < messages.index(pack({"kind": "masks", "seq": 2}, bytes(2)))


def test_lanes_replace_those_of_the_same_video_only() -> None:
    queue = Queue()
    for medium, frames in ((1, 5), (2, 5), (1, 6)):
        queue.client.send_binary({"kind": "lanes", "medium": medium, "frames": frames})
    headers = [unpack(message)[0] for message in queue.read() if isinstance(message, bytes)]
    assert [(header["medium"], header["frames"]) for header in headers] == [(2, 5), (1, 6)]


def test_the_close_code_follows_all_replies(visitor: Visitor) -> None:
    with visitor.connect() as socket:
        for number in range(20):
            socket.send(f'{{"id": {number}, "command": "hello", "a": "{"x" * 500_000}"}}')
        socket.send("{")
        assert close_code(socket) == 1007


def test_a_client_that_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_MAX_WAITING_BYTES", 10_000)
    queue = Queue()
    for _ in range(50):
        queue.client.send_binary({"kind": "masks"}, bytes(9000))
    queue.client.send_text("x" * 900)
    queue.client.send_text("x" * 900)
    queue.client.send_text("later")
    assert queue.read() == [TRY_LATER]


@pytest.fixture
def silent_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, socket.socket]]:
    """A server that waits a second for its clients, and a connection with an open WebSocket that sends nothing."""
    monkeypatch.setattr(websocket, "_SEND_TIMEOUT_S", 0.5)
    make_protocol = WebSocketProtocol.__init__

    def make_hasty(protocol: WebSocketProtocol, *arguments: Any, **options: Any) -> None:
        make_protocol(protocol, *arguments, **options)
        protocol.ping_interval, protocol.ping_timeout, protocol.close_timeout = 1.0, 1.0, 0.5

    monkeypatch.setattr(WebSocketProtocol, "__init__", make_hasty)
    with serve() as server, socket.socket() as raw:
        visitor = Visitor(server)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(60)
        raw.connect(("127.0.0.1", server.port))
        own = f"Host: 127.0.0.1:{server.port}\r\nCookie: {visitor.cookie}\r\n"
        raw.sendall(f"GET /ws HTTP/1.1\r\n{own}{HANDSHAKE}\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 101")
        wait_until(lambda: len(server._site.clients) == 1)
        yield server, raw


def test_a_client_without_a_pong_is_disconnected_with_1013(silent_client: tuple[Server, socket.socket]) -> None:
    _, raw = silent_client
    received = b""
    while part := raw.recv(4096):
        received += part
    assert received[-25:].startswith(b"\x88") and int.from_bytes(received[-23:-21], "big") == TRY_LATER


def test_the_connection_of_a_client_that_does_not_read_is_cut_off(
    silent_client: tuple[Server, socket.socket],
) -> None:
    server, _ = silent_client
    connections = server._server._server.server_state.connections
    (client,) = server._site.clients
    for _ in range(8):
        client.send_text("x" * (4 << 20))
    wait_until(lambda: not len(server._site.clients))
    wait_until(lambda: not connections)


def test_messages_from_many_threads_arrive_in_order(server: Server, visitor: Visitor) -> None:
    wait_until(lambda: len(server._site.clients) == 0)
    with visitor.connect() as socket:
        ask(socket, "hello")
        (client,) = server._site.clients

        def send(n: int) -> None:
            for k in range(200):
                client.send_text(f"[{n},{k}]")

        threads = [threading.Thread(target=send, args=(n,)) for n in range(5)]
        for thread in threads:
            thread.start()
        received = [json.loads(socket.recv(timeout=60)) for _ in range(1000)]
    for n in range(5):
        assert [k for m, k in received if m == n] == [*range(200)]


def test_random_messages_never_break_the_server(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    choice = random.Random(7)
    values = [None, True, -1, 2**70, 1.5, "", "x" * 300, [], {}, [[1, 2, 1]], "\u0000", "../../etc/passwd"]
    keys = ["id", "command", "medium", "points"]
    for _ in range(30):
        with visitor.connect() as socket, suppress(ConnectionClosed):
            for _ in range(10):
                request = {choice.choice(keys): choice.choice(values) for _ in range(4)}
                text = json.dumps(choice.choice([request, [request], choice.choice(values)]))
                if choice.random() < 0.1:
                    text = text[: choice.randrange(len(text) + 1)]
                socket.send(choice.choice([text, text, pack(request, choice.randbytes(9)), choice.randbytes(20)]))
    assert visitor.get("/").status == 200
    assert not caplog.records
