"""Refusals of the whole server reach each tool in its own form: without a token, with too much, and when it is full."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from masklet.http.security import TokenAccess
from masklet.segmenter import Segmenter
from masklet.serve.app import OPEN_PATHS, build_app
from masklet.serve.limits import Limits
from masklet.serve.metrics import Metrics
from masklet.serve.protocols import load_protocol
from masklet.serve.service import Service
from support.gray_world import GrayWorld
from support.two_boxes import encode_base64

TOKEN = "a-token-of-enough-characters"
PATHS = {  # a request of each protocol that segments the image
    "x-anylabeling": ("/x-anylabeling/v1/predict", {"model": "masklet", "image": encode_base64(),
                      "params": {"marks": [{"type": "point", "data": [20, 12], "label": 1}]}}),
    "samapi": ("/sam/", {"type": "sam2_t", "b64img": encode_base64(), "bbox": [9, 7, 31, 21]}),
    "kserve": ("/kserve/v2/models/masklet/infer", {"inputs": [
        {"name": "image", "datatype": "BYTES", "shape": [1], "data": [encode_base64()]},
        {"name": "boxes", "datatype": "FP32", "shape": [1, 4], "data": [9, 7, 31, 21]}]}),
    "osam": ("/osam/api/generate", {"model": "sam2", "image": encode_base64(),
             "prompt": {"points": [[20, 12]], "point_labels": [1]}}),
}  # fmt: skip
MONAI = ("/monai-label/info/", None)


@contextmanager
def serve(limits: Limits | None = None) -> Iterator[tuple[TestClient, Service]]:
    service = Service(lambda: Segmenter(GrayWorld()), limits)
    protocols = {name: load_protocol(name) for name in (*PATHS, "monai-label")}
    app = build_app(service, TokenAccess((), TOKEN, OPEN_PATHS), Metrics(), protocols, set())
    with TestClient(app, "http://localhost") as client:
        while client.get("/health/ready").status_code != 200:
            pass
        yield client, service


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with serve() as (client, _):
        yield client


def read_message(name: str, response: Any) -> str:
    """Return the message of an error as the tool finds it."""
    if name == "x-anylabeling" and "error" in response:
        assert response["success"] is False
        return str(response["error"]["code"])
    return str(response["error"] if name == "kserve" else response["detail"])


@pytest.mark.parametrize("name", [*PATHS])
def test_the_token_may_be_in_the_header_of_x_anylabeling(client: TestClient, name: str) -> None:
    path, body = PATHS[name]
    refused = client.post(path, json=body)
    assert read_message(name, refused.json())
    assert refused.status_code == (200 if name == "x-anylabeling" else 401)
    for headers in ({"Token": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}):
        assert client.post(path, json=body, headers=headers).status_code == 200
    if name == "x-anylabeling":
        assert refused.json()["error"]["code"] == "UNAUTHORIZED"


def test_monai_label_needs_the_token_too(client: TestClient) -> None:
    assert client.get("/monai-label/info/").status_code == 401
    assert client.get("/monai-label/info/", headers={"Token": TOKEN}).json()["models"]


@pytest.mark.parametrize("name", [*PATHS])
def test_an_unknown_path_has_the_form_of_the_tool(client: TestClient, name: str) -> None:
    unknown = client.get(f"{load_protocol(name).PREFIX}/unknown", headers={"Token": TOKEN})
    assert read_message(name, unknown.json())


def test_what_is_too_large_has_the_form_of_the_tool() -> None:
    with serve(Limits(body_bytes=100, upload_bytes=200)) as (client, _):
        for name, (path, body) in PATHS.items():
            refused = client.post(path, json=body, headers={"Token": TOKEN})
            assert read_message(name, refused.json())
            assert refused.status_code == (200 if name == "x-anylabeling" else 413)


def test_a_full_server_says_when_to_ask_again() -> None:
    with serve(Limits(waiting=1)) as (client, service):

        async def occupy() -> None:
            with service.thread.admit():
                started.set()
                await ended.wait()

        async def make_events() -> tuple[asyncio.Event, asyncio.Event]:
            return asyncio.Event(), asyncio.Event()

        assert client.portal is not None
        started, ended = client.portal.call(make_events)
        task = client.portal.start_task_soon(occupy)
        client.portal.call(started.wait)
        for name, (path, body) in PATHS.items():
            response = client.post(path, json=body, headers={"Token": TOKEN})
            assert response.status_code == 503 and int(response.headers["retry-after"]) >= 1
            assert read_message(name, response.json())
        client.portal.call(ended.set)
        task.result()
        for path, body in PATHS.values():
            assert client.post(path, json=body, headers={"Token": TOKEN}).status_code == 200
