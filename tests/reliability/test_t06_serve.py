"""T6 of `masklet serve`: every operation with malformed requests, and hostile connections.

The server never has a bug (status 500 or the code `internal`), every refusal is a problem with a documented code, other
clients are served meanwhile, and the memory does not grow.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_t06_http import MAX_GROWTH_MIB, SEED, SILENCE_S, THREADS, Exchange, check_fields, check_problem

from masklet.errors import EXIT_STATUS
from support.api_requests import JSON_OPERATIONS, OTHER_OPERATIONS, SOCKET_OPERATIONS, draw, fill, list_broken
from support.api_server import TOKEN, ApiProcess, encode_png
from support.gray_world import draw_boxes
from support.measured_process import report
from support.studio_requests import damage_request, list_hostile_requests

FRAMES = [encode_png(draw_boxes({100: (5 + step, 5, 20 + step, 20)})) for step in range(4)]
GUIDE = (Path(__file__).resolve().parents[2] / "docs/serving.md").read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    folder = tmp_path_factory.mktemp("serve")
    (folder / "root/clip").mkdir(parents=True)
    (folder / "root/clip/0.png").write_bytes(FRAMES[0])
    with ApiProcess(folder) as server:
        yield server
        assert server.read_errors() == ""
        assert server.close() == 0


def own_headers(server: ApiProcess) -> dict[str, str]:
    return {"Host": f"127.0.0.1:{server.port}", "Authorization": f"Bearer {TOKEN}"}


@contextmanager
def watch(server: ApiProcess, row: str) -> Iterator[tuple[dict[str, str], Counter[str]]]:
    """Open a session, check the server after a block, which counts its requests by result, and end the session."""
    names = {"KEY": server.client.send_image(encode_png()), "SESSION": server.client.open_frames(FRAMES)}
    prompt = {"frame": 0, "objects": [{"points": [[10, 10]]}]}
    server.client.ask(f"/v1/videos/{names['SESSION']}/prompts", prompt)
    before, counts = server.measure(), Counter[str]()
    yield names, counts
    growth = server.measure().memory_mib - before.memory_mib
    report(row, requests=sum(counts.values()), growth_mib=round(growth, 1), results=dict(counts))
    assert growth < MAX_GROWTH_MIB and server.read_errors() == ""
    assert server.client.ask("/v1/predict", {"image": server.client.send_image(encode_png()), **prompt_of(prompt)})
    server.client.request("DELETE", f"/v1/videos/{names['SESSION']}")


def prompt_of(record: dict[str, Any]) -> dict[str, Any]:
    return {"objects": record["objects"]}


def send_broken(server: ApiProcess, stride: int) -> None:
    """Send every operation with every fault of its fields, every `stride`th of them."""
    with watch(server, "T6 serve, fields") as (names, counts):
        exchange, own = Exchange(server), own_headers(server)  # type: ignore[arg-type]
        lines = "".join(f"{name}: {value}\r\n" for name, value in own.items())
        for operation, valid in JSON_OPERATIONS.items():
            path = fill(operation, names).split(" ")[1]
            for record in [valid, *list_broken(valid)[::stride]]:
                body = json.dumps(fill(record, names)).encode()
                head = f"POST {path} HTTP/1.1\r\n{lines}Content-Type: application/json\r\n"
                code = exchange.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                counts[code] += 1
                if code == "201":  # `open` without a fault
                    counts["sessions"] += 1
        exchange.close()
    assert counts["bad-request"] and counts["200"]
    assert not {code for code in counts if not code.isdecimal() and code != "sessions" and f"`{code}`" not in GUIDE} - {
        *EXIT_STATUS
    }


def send_drawn(server: ApiProcess, count: int, *, damaged: bool) -> None:
    """Send random requests, well-formed ones or hardly HTTP."""
    with watch(server, f"T6 serve, {'damaged' if damaged else 'drawn'} requests") as (names, counts):

        def send(seed: int) -> Counter[str]:
            choice, results = random.Random(seed), Counter[str]()
            exchange = Exchange(server)  # type: ignore[arg-type]
            for _ in range(count // THREADS):
                data, method = draw(choice, names, own_headers(server))
                if damaged:
                    data, exchange = damage_request(choice, data), Exchange(server)  # type: ignore[arg-type]
                    method = "HEAD" if data.lstrip().startswith(b"HEAD ") else "GET"
                results[exchange.send(data, method, SILENCE_S if damaged else 60.0)] += 1
            exchange.close()
            return results

        with ThreadPoolExecutor(THREADS) as threads:
            for results in threads.map(send, range(SEED, SEED + THREADS)):
                counts.update(results)
    assert counts["bad-request"]


def send_hostile(server: ApiProcess, names: tuple[str, ...] = ()) -> None:
    """Send the requests that are hostile by size or framing, or those of some names."""
    with watch(server, "T6 serve, hostile requests") as (_, counts):
        for name, data in list_hostile_requests(own_headers(server)).items():
            if not names or name in names:
                data = data.replace(b"/imports/2?name=a.json", b"/v1/images")
                timeout_s = SILENCE_S if name in ("HTTP/0.9", "huge chunk") else 60.0  # the server waits for the rest
                counts[Exchange(server).send(data, timeout_s=timeout_s)] += 1  # type: ignore[arg-type]
    assert counts["bad-request"] and counts["body-too-large"]


def send_operations(server: ApiProcess, stride: int) -> None:
    """Send every operation of the WebSocket with every fault of its fields, every `stride`th of them."""
    with watch(server, "T6 serve, operations") as (names, counts), server.client.connect(max_size=None) as socket:
        for operation, valid in SOCKET_OPERATIONS.items():
            for number, fields in enumerate([valid, *list_broken(valid)[::stride]]):
                socket.send(json.dumps({"id": number, "op": operation, **fill(fields, names)}))
                reply = json.loads(socket.recv(timeout=60))
                while "frame" in reply and operation == "propagate":
                    reply = json.loads(socket.recv(timeout=60))
                assert reply["re"] == number
                counts[check_fields(reply["problem"], reply["problem"]["status"]) if "problem" in reply else "200"] += 1
    assert counts["bad-request"] and counts["200"]


def test_the_table_has_every_operation(server: ApiProcess) -> None:
    document = json.loads(server.client.get("/openapi.json").body)
    documented = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    listed = {name.partition("?")[0].replace("KEY", "{key}").replace("SESSION", "{session}")
              .replace("objects/9", "objects/{object_id}").replace("prompts/0/9", "prompts/{frame}/{object_id}")
              .replace("frames/0", "frames/{frame}").replace("videos/none", "videos/{session}")
              for name in [*JSON_OPERATIONS, *OTHER_OPERATIONS]}  # fmt: skip
    assert documented == listed - {"GET /v1/ws", "GET /openapi.json"}


def test_requests(server: ApiProcess) -> None:
    send_broken(server, 25)
    send_drawn(server, 60, damaged=False)
    send_drawn(server, 20, damaged=True)
    send_hostile(server, ("1 MiB header", "two lengths", "huge length", "long WebSocket address"))
    send_operations(server, 40)


@pytest.mark.slow
def test_1_000_requests_and_every_fault(server: ApiProcess) -> None:
    send_broken(server, 1)
    send_drawn(server, 800, damaged=False)
    send_drawn(server, 200, damaged=True)
    send_hostile(server)
    send_operations(server, 1)


def test_a_bug_fails_the_test() -> None:
    with pytest.raises(AssertionError):
        check_problem(
            500, "application/problem+json", b'{"status": 500, "code": "internal", "title": "", "detail": ""}'
        )
