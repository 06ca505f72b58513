"""T11: clients that open, prompt, track and close all the time, a quarter of them killed, and one that does not read.

The server's memory, descriptors, threads and temporary files do not grow from the middle of the run on, and it does not
become slower. Servers that leak, or wait for slow clients, fail the test.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from support.measured_process import Usage, report
from support.studio_requests import COMMANDS
from support.studio_server import ServerProcess
from support.studio_session import VIDEO

SEED = 11
REPLY_TIMEOUT_S = 30.0  # a longer wait is a hang; 4 times as much on slow machines
SLOWNESS = 4
KILLED = 0.25
LATENCY_SLACK_S = 1.0  # machines are slow and busy
CYCLE_S = 1.0  # at least, so that the history of the project does not depend on the speed of the machine
STALLED_COMMANDS = 3000  # whose replies do not fit into the buffers of the network


@dataclass(frozen=True)
class Bounds:
    """Growth that is allowed from the end of the first third of the run on.

    Attributes:
        memory_mib: Memory in MiB.
        descriptors: Open files and sockets.
        threads: Threads.
        latency: Factor from the 99th percentile of the first third of the cycles to that of the last third.
        cpu: The same of the CPU time of a cycle.
        stall: Factor of the median of the second third, in which a client does not read.
        cycle_s: Seconds of a cycle at least.
        rest_s: Seconds for which the server is measured after each third.
    """

    memory_mib: float = 50
    descriptors: int = 2
    threads: int = 0
    latency: float = 1.5
    cpu: float = 1.5
    stall: float = 1.5
    cycle_s: float = CYCLE_S
    rest_s: float = 2.0


@dataclass
class Phase:
    """A part of the run: the cycles that ended in it, and the usage at its end, when no client is connected.

    Attributes:
        seconds: The seconds of each cycle that was not killed, in the order of their ends.
        killed: Number of killed cycles.
        cpu_s: Seconds of CPU that the server used.
        usage: The usage at its end.
    """

    seconds: list[float] = field(default_factory=list)
    killed: int = 0
    cpu_s: float = 0.0
    usage: Usage | None = None

    @property
    def cycles(self) -> int:
        """Number of cycles."""
        return len(self.seconds) + self.killed


class Worker:
    """A client that comes again and again.

    Args:
        server: The server.
        seed: Decides when it is killed.
    """

    def __init__(self, server: ServerProcess, seed: int) -> None:
        self._visitor, self._choice = server.visitor, random.Random(seed)
        self._left: list[int] = []  # objects of killed cycles
        self._ended: set[int] = set()  # runs
        self._numbers = itertools.count()

    def run_cycle(self) -> bool:
        """Open the project, prompt an object, track it, and remove it. Return false if the client was killed."""
        kill_at = self._choice.randrange(3) if self._choice.random() < KILLED else -1
        with self._visitor.connect(max_size=None, close_timeout=1) as connection:
            self._ask(connection, "hello")
            self._ask(connection, "show", medium=VIDEO, frame=0)
            if self._left:
                self._ask(connection, "remove_objects", medium=VIDEO, objects=self._left)
                self._left = []
            if kill_at == 0:
                return self._kill(connection)
            prompt = {"object": None, "points": [[10, 10, 1]], "box": None}
            object_id = self._ask(connection, "predict", medium=VIDEO, frame=0, **prompt)["object"]
            self._left = [object_id]
            if kill_at == 1:
                return self._kill(connection)
            self._ask(connection, "settle", medium=VIDEO)
            run = self._track(connection, object_id)
            if kill_at == 2:
                return self._kill(connection)
            if run not in self._ended:  # its end may arrive before the reply of `track`
                self._receive(connection, lambda event: run in self._ended)
            self._ask(connection, "remove_objects", medium=VIDEO, objects=[object_id])
            self._left = []
        return True

    def _track(self, connection: ClientConnection, object_id: int) -> int:
        while True:
            reply = self._ask(connection, "track", ("job-locked",), medium=VIDEO, objects=[object_id])
            if "problem" not in reply:
                return int(reply["run"])
            time.sleep(0.05)  # four tracks run already

    def _ask(self, connection: ClientConnection, command: str, accepted: tuple[str, ...] = (), **fields: Any) -> Any:
        number = next(self._numbers)
        connection.send(json.dumps({"id": number, "command": command, **fields}))
        reply = self._receive(connection, lambda event: event.get("reply") == number)
        assert "problem" not in reply or reply["problem"]["code"] in accepted, reply
        return reply

    def _receive(self, connection: ClientConnection, is_wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            message = connection.recv(timeout=SLOWNESS * REPLY_TIMEOUT_S)
            if not isinstance(message, str):
                continue
            event = json.loads(message)
            if event.get("event") == "progress" and event["state"] != "running":
                self._ended.add(event["run"])
            if is_wanted(event):
                return dict(event)

    def _kill(self, connection: ClientConnection) -> bool:
        connection.socket.shutdown(socket.SHUT_RDWR)
        return False


class StalledReader:
    """A client that sends commands and does not read the replies. It comes again when it is disconnected."""

    def __init__(self, server: ServerProcess, commands: int) -> None:
        self._visitor, self._is_stopped, self._is_stalled = server.visitor, threading.Event(), threading.Event()
        self._commands = commands
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._is_stalled.wait(SLOWNESS * REPLY_TIMEOUT_S)

    def stop(self) -> None:
        """Disconnect."""
        self._is_stopped.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        long_id = "1" * 4000  # the reply repeats it
        while not self._is_stopped.is_set():
            # it stops reading when a message waits
            with suppress(ConnectionClosed, OSError), self._visitor.connect(max_queue=1, close_timeout=0) as connection:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
                connection.send(json.dumps({"id": 0, "command": "show", **COMMANDS["show"]}))
                for _ in range(self._commands):
                    connection.send(f'{{"id": {long_id}, "command": "unknown"}}')
                self._is_stalled.set()
                while not self._is_stopped.wait(0.2):
                    connection.send(json.dumps({"id": 1, "command": "show", **COMMANDS["show"]}))
                connection.socket.shutdown(socket.SHUT_RDWR)


def run_phase(
    server: ServerProcess, workers: list[Worker], is_over: Callable[[int], bool], cycle_s: float, rest_s: float
) -> Phase:
    """Run cycles of at least `cycle_s` until a phase is over, and measure the server when the clients are gone."""
    phase, lock, errors = Phase(), threading.Lock(), list[BaseException]()

    def run(worker: Worker) -> None:
        try:
            while not errors and not is_over(phase.cycles):
                start = time.monotonic()
                is_complete = worker.run_cycle()
                seconds = time.monotonic() - start
                with lock:
                    if is_complete:
                        phase.seconds.append(seconds)
                    else:
                        phase.killed += 1
                time.sleep(max(0.0, cycle_s - seconds))
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    before = server.measure().cpu_s
    threads = [threading.Thread(target=run, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    phase.cpu_s = server.measure().cpu_s - before
    phase.usage = measure_at_rest(server, rest_s)
    return phase


def measure_at_rest(server: ServerProcess, seconds: float) -> Usage:
    """Return the least usage while runs end and connections are closed."""
    measured = []
    for _ in range(10):
        time.sleep(seconds / 10)
        measured.append(server.measure())
    return Usage(*(min(values) for values in zip(*measured, strict=True)))


def soak(
    server: ServerProcess,
    clients: int,
    is_over: Callable[[int], bool],
    bounds: Bounds,
    stalled_commands: int = STALLED_COMMANDS,
) -> None:
    """Run three phases and compare them. In the second one a client does not read.

    Args:
        server: The server.
        clients: Number of clients.
        is_over: Whether a phase is over after a number of cycles.
        bounds: The allowed growth.
        stalled_commands: Commands of the client that does not read.
    """
    workers = [Worker(server, SEED + number) for number in range(clients)]
    first = run_phase(server, workers, is_over, bounds.cycle_s, bounds.rest_s)
    reader = StalledReader(server, stalled_commands)
    try:
        second = run_phase(server, workers, is_over, bounds.cycle_s, 0)
    finally:
        reader.stop()
    last = run_phase(server, workers, is_over, bounds.cycle_s, bounds.rest_s)
    check(first, second, last, bounds)
    assert server.read_errors() == ""


def check(first: Phase, second: Phase, last: Phase, bounds: Bounds) -> None:
    """Check the growth from the first third of the run to the last one, and the times of the cycles."""
    before, after, phases = first.usage, last.usage, (first, second, last)
    assert before is not None and after is not None
    medians = [sorted(phase.seconds)[len(phase.seconds) // 2] for phase in phases]
    highest = [sorted(phase.seconds)[int(len(phase.seconds) * 0.99)] for phase in phases]
    cpu = [phase.cpu_s / phase.cycles for phase in phases]
    report(
        "T11",
        cycles=sum(phase.cycles for phase in phases),
        killed=sum(phase.killed for phase in phases),
        memory_mib=round(after.memory_mib - before.memory_mib, 1),
        descriptors=after.descriptors - before.descriptors,
        threads=after.threads - before.threads,
        files=after.files - before.files,
        median_s=[round(one, 2) for one in medians],
        p99_s=[round(one, 2) for one in highest],
        cpu_ms=[round(1000 * one) for one in cpu],
    )
    assert after.memory_mib - before.memory_mib <= bounds.memory_mib, "memory grows"
    assert after.descriptors - before.descriptors <= bounds.descriptors, "descriptors leak"
    assert after.threads - before.threads <= bounds.threads, "threads leak"
    assert after.files <= before.files, "temporary files leak"
    assert after.children <= before.children, "processes leak"
    assert highest[2] <= bounds.latency * highest[0] + LATENCY_SLACK_S, "cycles become slower"
    assert cpu[2] <= bounds.cpu * cpu[0], "cycles cost more"
    undisturbed = max(medians[0], medians[2])
    assert medians[1] <= bounds.stall * undisturbed + LATENCY_SLACK_S, "a client that does not read delays the others"


def count_to(cycles: int) -> Callable[[int], bool]:
    """Return a condition that ends a phase after a number of cycles."""
    return lambda done: done >= cycles


SMALL = Bounds(memory_mib=50, descriptors=2, threads=4, latency=3, cpu=3, stall=3, cycle_s=0, rest_s=0.3)
"""In a short run, pools of threads still grow, and times are those of few cycles."""


def test_a_few_cycles(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        soak(server, 3, count_to(4), SMALL, 500)
        assert server.close() == 0


@pytest.mark.slow
def test_8_clients_for_3_minutes(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        start, phases = time.monotonic(), itertools.count(1)
        ends: dict[int, float] = {}

        def is_over(done: int) -> bool:
            """End each phase after a minute, and at least 70 cycles."""
            if done == 0 and (not ends or time.monotonic() > ends[max(ends)]):
                ends[next(phases)] = time.monotonic() + 60
            return done >= 70 and time.monotonic() > ends[max(ends)]

        soak(server, 8, is_over, Bounds())
        assert time.monotonic() - start >= 180
        assert server.close() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [("memory", "memory grows"), ("descriptors", "descriptors leak"), ("threads", "threads leak"),
     ("files", "temporary files leak"), ("waits", "does not read")],
)  # fmt: skip
def test_a_leaking_server_fails_the_test(fault: str, message: str, tmp_path: Path) -> None:
    with ServerProcess(tmp_path, fault) as server, pytest.raises(AssertionError, match=message):
        soak(server, 4, count_to(12), SMALL)
