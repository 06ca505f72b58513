"""T11 of `masklet serve`: clients that open, prompt, track and end sessions all the time, a quarter of them killed.

One client does not read. The server's memory, descriptors, threads and temporary files do not grow from the middle of
the run on, and it does not become slower. Servers that leak, or wait for slow clients, fail the test.
"""

from __future__ import annotations

import itertools
import json
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from test_t11_soak import KILLED, SEED, SLOWNESS, SMALL, Bounds, check, count_to, run_phase
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from support.api_server import ApiProcess, encode_png
from support.gray_world import draw_boxes

REPLY_TIMEOUT_S = 30.0
FRAMES = [encode_png(draw_boxes({100: (5 + step, 5, 20 + step, 20)})) for step in range(5)]
STALLED_REQUESTS = 3000  # whose replies do not fit into the buffers of the network


class Worker:
    """A client that comes again and again.

    Args:
        server: The server.
        seed: Decides when it is killed.
    """

    def __init__(self, server: ApiProcess, seed: int) -> None:
        self._client, self._choice = server.client, random.Random(seed)
        self._numbers = itertools.count()
        self._left: list[str] = []  # sessions of killed cycles

    def run_cycle(self) -> bool:
        """Open a session, prompt, track, correct and delete it. Return false if the client was killed."""
        kill_at = self._choice.randrange(3) if self._choice.random() < KILLED else -1
        for session in self._left:
            self._client.request("DELETE", f"/v1/videos/{session}")
        self._left = [self._client.open_frames(FRAMES)]
        with self._client.connect(max_size=None, close_timeout=1) as connection:
            image = encode_png(draw_boxes({self._choice.randrange(1, 255): (3, 3, 30, 30)}))
            connection.send(image)
            key = self._receive(connection, None)["image"]
            self._ask(connection, "predict", image=key, objects=[{"points": [[10, 10]]}])
            prompt = {"session": self._left[0], "objects": [{"points": [[10, 10]]}]}
            self._ask(connection, "prompt", frame=0, **prompt)
            number = self._send(connection, "propagate", session=self._left[0])
            if kill_at == 0:
                return self._kill(connection)
            while "done" not in self._receive(connection, number):
                if kill_at == 1:
                    return self._kill(connection)
            self._ask(connection, "prompt", frame=3, **prompt)
            if kill_at == 2:
                return self._kill(connection)
            self._ask(connection, "delete", session=self._left.pop())
        return True

    def _ask(self, connection: ClientConnection, operation: str, **fields: Any) -> Any:
        return self._receive(connection, self._send(connection, operation, **fields))

    def _send(self, connection: ClientConnection, operation: str, **fields: Any) -> int:
        number = next(self._numbers)
        connection.send(json.dumps({"id": number, "op": operation, **fields}))
        return number

    def _receive(self, connection: ClientConnection, number: int | None) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(connection.recv(timeout=SLOWNESS * REPLY_TIMEOUT_S))
        assert reply["re"] == number and "problem" not in reply, reply
        return reply

    def _kill(self, connection: ClientConnection) -> bool:
        connection.socket.shutdown(socket.SHUT_RDWR)
        return False


class StalledReader:
    """A client that sends requests and does not read the replies. It comes again when it is disconnected."""

    def __init__(self, server: ApiProcess, requests: int) -> None:
        self._client, self._requests = server.client, requests
        self._is_stopped, self._is_stalled = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._is_stalled.wait(SLOWNESS * REPLY_TIMEOUT_S)

    def stop(self) -> None:
        """Disconnect."""
        self._is_stopped.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._is_stopped.is_set():
            # it stops reading when a message waits
            with suppress(ConnectionClosed, OSError), self._client.connect(max_queue=1, close_timeout=0) as connection:
                sender = threading.Thread(target=self._send, args=(connection,), daemon=True)
                sender.start()
                sender.join(1.0)  # by then the server reads no further requests
                self._is_stalled.set()
                self._is_stopped.wait()
                connection.socket.shutdown(socket.SHUT_RDWR)
                sender.join(10)

    def _send(self, connection: ClientConnection) -> None:
        request = f'{{"id": {"1" * 4000}, "op": "unknown"}}'  # the reply repeats the id
        with suppress(ConnectionClosed, OSError):
            for _ in range(self._requests):
                connection.send(request)


def soak(
    server: ApiProcess, clients: int, is_over: Callable[[int], bool], bounds: Bounds, requests: int = STALLED_REQUESTS
) -> None:
    """Run three phases and compare them. In the second one a client does not read."""
    workers: list[Any] = [Worker(server, SEED + number) for number in range(clients)]
    process: Any = server
    first = run_phase(process, workers, is_over, bounds.cycle_s, bounds.rest_s)
    reader = StalledReader(server, requests)
    try:
        second = run_phase(process, workers, is_over, bounds.cycle_s, 0)
    finally:
        reader.stop()
    last = run_phase(process, workers, is_over, bounds.cycle_s, bounds.rest_s)
    check(first, second, last, bounds)
    assert server.read_errors() == ""


def test_a_few_cycles(tmp_path: Path) -> None:
    with ApiProcess(tmp_path) as server:
        soak(server, 3, count_to(4), SMALL, 500)
        assert server.close() == 0


@pytest.mark.slow
def test_8_clients_for_30_seconds(tmp_path: Path) -> None:
    with ApiProcess(tmp_path) as server:
        phases, ends = itertools.count(1), dict[int, float]()

        def is_over(done: int) -> bool:
            """End each phase after 10 seconds, and at least 40 cycles."""
            if done == 0 and (not ends or time.monotonic() > ends[max(ends)]):
                ends[next(phases)] = time.monotonic() + 10
            return done >= 40 and time.monotonic() > ends[max(ends)]

        soak(server, 8, is_over, Bounds(cycle_s=0.2, latency=3, threads=4))
        assert server.close() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [("memory", "memory grows"), ("descriptors", "descriptors leak"), ("threads", "threads leak"),
     ("files", "temporary files leak"), ("waits", "does not read|become slower")],
)  # fmt: skip
def test_a_leaking_server_fails_the_test(fault: str, message: str, tmp_path: Path) -> None:
    with ApiProcess(tmp_path, fault) as server, pytest.raises(AssertionError, match=message):
        soak(server, 4, count_to(12), SMALL)
