"""T7 of `masklet serve`: its WebSocket with malformed messages and broken connections, beside a healthy client."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from test_t07_websocket import (
    BINARY,
    CLOSE,
    CODES,
    CONTINUATION,
    PER_CONNECTION,
    PING,
    SEED,
    TEXT,
    THREADS,
    Frame,
    RawClient,
    make_frame,
    split,
)

from support.api_requests import SOCKET_OPERATIONS, fill
from support.api_server import TOKEN, ApiProcess, encode_png
from support.measured_process import report
from support.studio_requests import draw_arguments

EXTRA = f"Authorization: Bearer {TOKEN}\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with ApiProcess(tmp_path_factory.mktemp("serve")) as server:
        yield server
        assert server.read_errors() == ""
        assert server.close() == 0


def connect(server: ApiProcess) -> RawClient:
    return RawClient(server, "a=b", EXTRA, path="/v1/ws")


def draw_message(choice: random.Random, names: dict[str, str]) -> tuple[bool, list[Frame]]:
    """Draw the frames of a message, and return them after whether the server should end the connection then."""
    operation, valid = choice.choice([*SOCKET_OPERATIONS.items()])
    number = choice.choice([1, 2, 7, -1, 2**70, None, "1", 1.5, [], True])
    request: object = {"id": number, "op": operation, **fill(draw_arguments(choice, valid), names)}
    if choice.random() < 0.2:
        request = choice.choice([[], 0, "x", None, {}, {"id": 1}, {"op": "predict"}, [request], {"id": 1, "op": 2}])
    text = json.dumps(request).encode()
    makers = [
        (30, False, lambda: [make_frame(TEXT, text)]),
        (10, False, lambda: split(choice, TEXT, text)),
        (3, False, lambda: [make_frame(BINARY, choice.choice([b"", b"x", encode_png(), encode_png()[:90]]))]),
        (3, False, lambda: [make_frame(PING, choice.randbytes(choice.choice([0, 125])))]),
        (2, True, lambda: [make_frame(TEXT, text[: choice.randrange(len(text))] + b"{")]),
        (2, True, lambda: [make_frame(TEXT, text + choice.choice([b"\xff", b"\xc3", b"\xed\xa0\x80"]))]),
        (1, True, lambda: [make_frame(TEXT, text, reserved=choice.choice([1, 2, 4, 7]))]),
        (1, True, lambda: [make_frame(choice.choice([3, 7, 11, 15]), text)]),
        (1, True, lambda: [make_frame(PING, bytes(126))]),
        (1, True, lambda: [make_frame(CONTINUATION, text)]),
        (1, True, lambda: [make_frame(TEXT, b"{", final=False), make_frame(TEXT, text)]),
        (1, True, lambda: [make_frame(TEXT, text, masked=False)]),
        (1, True, lambda: [b"\x81\xff" + struct.pack("!Q", choice.choice([65 << 20, 1 << 62, 2**64 - 1]))]),
        (1, True, lambda: [make_frame(CLOSE, choice.choice([b"", b"\x03", b"\x03\xe7", b"\x03\xe8\xff"]))]),
    ]  # fmt: skip
    _, ends, make = choice.choices(makers, [weight for weight, _, _ in makers])[0]
    return ends, make()


class HealthyClient:
    """A client that predicts all the time, and checks that it gets every reply, in order and with the same masks."""

    def __init__(self, server: ApiProcess) -> None:
        self._client, self._is_stopped = server.client, threading.Event()
        self.replies, self.error = 0, ""
        self._thread = threading.Thread(target=self._run_safely, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the client, which must have had no error."""
        self._is_stopped.set()
        self._thread.join(180)
        assert not self._thread.is_alive() and not self.error and self.replies, self.error

    def _run_safely(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - reported by `stop`
            self.error = repr(error)

    def _run(self) -> None:
        key = self._client.send_image(encode_png())
        first = None
        with self._client.connect(max_size=None) as connection:
            while not self.replies or not self._is_stopped.wait(0.02):
                request = {"id": self.replies, "op": "predict", "image": key, "objects": [{"points": [[15, 10]]}]}
                connection.send(json.dumps(request))
                reply = json.loads(connection.recv(timeout=120))
                if reply.get("problem", {}).get("code") == "overloaded":
                    continue
                assert reply.pop("re") == self.replies and "problem" not in reply, reply
                first = first or reply
                assert reply == first
                self.replies += 1


def send_messages(server: ApiProcess, count: int) -> Counter[str]:
    """Send messages, each client until a connection should end or it has sent `PER_CONNECTION`."""
    names = {"KEY": server.client.send_image(encode_png()), "SESSION": server.client.open_frames([encode_png()] * 3)}

    def send(seed: int) -> Counter[str]:
        choice, results, remaining = random.Random(seed), Counter[str](), count // THREADS
        while remaining > 0:
            client = connect(server)
            for _ in range(min(PER_CONNECTION, remaining)):
                remaining -= 1
                results["messages"] += 1
                ends, frames = draw_message(choice, names)
                for frame in frames:
                    client.send(frame)
                if ends:
                    break
            client.finish()
            results[f"closed with {client.code}"] += 1
            assert client.code is None or client.code in CODES, client.code
        return results

    with ThreadPoolExecutor(THREADS) as threads:
        results = sum(threads.map(send, range(SEED, SEED + THREADS)), Counter[str]())
    server.client.request("DELETE", f"/v1/videos/{names['SESSION']}")
    return results


def abort_connections(server: ApiProcess, count: int) -> None:
    """Reset connections at random points of the handshake, of a frame, and between messages."""
    choice = random.Random(SEED)
    for number in range(count):
        if number % 4 == 0:
            with suppress(ConnectionError), socket.create_connection(("127.0.0.1", server.port), timeout=60) as raw:
                head = f"GET /v1/ws HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{EXTRA}\r\n".encode()
                raw.sendall(head[: choice.randrange(1, len(head))])
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            continue
        client = connect(server)
        for _ in range(choice.randrange(4)):
            client.send(make_frame(BINARY, encode_png()))
        data = b"".join(split(choice, BINARY, encode_png()))
        client.send(data[: choice.randrange(len(data))])
        client.abort()


def attack(server: ApiProcess, messages: int, aborts: int) -> None:
    """Send messages and abort connections beside a healthy client."""
    healthy = HealthyClient(server)
    try:
        results = send_messages(server, messages)
        abort_connections(server, aborts)
    finally:
        healthy.stop()
    report("T7 serve", aborts=aborts, healthy_replies=healthy.replies, **dict(sorted(results.items())))
    assert results["messages"] == messages and results["closed with 1002"]


def test_messages_and_aborts(server: ApiProcess) -> None:
    attack(server, 160, 4)


@pytest.mark.slow
def test_4_000_messages_and_100_aborts(server: ApiProcess) -> None:
    attack(server, 4_000, 100)


def test_the_end_of_the_server_closes_connections(tmp_path: Path) -> None:
    with ApiProcess(tmp_path) as server:
        client = connect(server)
        assert server.close() == 0
        client.finish()
        assert client.code == 1012
