"""Files of Label Studio's tasks: addresses, tokens, signed addresses of cloud storage, and what is refused."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from masklet.masks.brush_rle import decode_brush
from masklet.serve.protocols import label_studio
from masklet.serve.sources import Sources
from support.tool_protocols import SIDE, draw, encode_png, make_mask, open_protocol

BOX = (8, 16, 24, 48)
PNG = base64.b64decode(encode_png(draw({100: BOX})))
CONFIG = """
<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="tag" toName="image"><Label value="cat"/></BrushLabels>
  <KeyPointLabels name="tag2" toName="image" smart="true"><Label value="cat"/></KeyPointLabels>
</View>
"""
POINT = {"type": "keypointlabels", "value": {"x": 20, "y": 30, "keypointlabels": ["cat"]}, "is_positive": 1}
PERSONAL = "header.payload.signature"


class FakeLabelStudio(ThreadingHTTPServer):
    """Server with uploads, tokens and signed addresses, as Label Studio's, that records requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url, self.requests, self.accepted = f"http://127.0.0.1:{self.server_port}", [], {}
        self.redirect = f"{self.url}/storage/dog.png?signature=1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, body))
        self._respond(200 if body == {"refresh": PERSONAL} else 401, b'{"access": "short-lived"}')

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Authorization")))
        path = urlsplit(self.path).path
        if path.startswith("/data/") and self.headers.get("Authorization") not in self.server.accepted:
            self._respond(401, b"")
        elif path.endswith("/presign/"):
            self.send_response(303)
            self.send_header("Location", self.server.redirect)
            self.end_headers()
        else:
            self._respond(200, PNG)

    def _respond(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextmanager
def serve_fake():
    server = FakeLabelStudio()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def studio():
    with serve_fake() as server:
        yield server


def set_up(client, url, token):
    body = {"project": "1.1", "schema": CONFIG, "hostname": url, "access_token": token}
    assert client.post("/setup", json=body).status_code == 200


def predict(client, address):
    body = {"tasks": [{"id": 7, "data": {"image": address}}], "label_config": CONFIG, "project": "1.1",
            "params": {"context": {"result": [POINT]}}}  # fmt: skip
    return client.post("/predict", json=body)


def check(response):
    assert response.status_code == 200, response.text
    (item,) = response.json()["results"][0]["result"]
    assert (decode_brush(item["value"]["rle"], (SIDE, SIDE)) == make_mask(BOX)).all()


def test_uploads_are_read_once_with_the_address_and_the_token_of_setup(studio):
    studio.accepted = {"Token abc": True}
    with open_protocol(label_studio, Sources(addresses=(studio.url,))) as client:
        set_up(client, f"{studio.url}/", "abc")
        check(predict(client, "/data/upload/1/dog.png"))
        check(predict(client, "/data/upload/1/dog.png"))
        assert studio.requests == [("/data/upload/1/dog.png", "Token abc")]
        set_up(client, studio.url, "wrong")
        response = predict(client, f"{studio.url}/data/upload/1/cat.png")
        assert response.status_code == 503 and "status 401" in response.json()["error"]


def test_a_personal_access_token_of_the_environment_is_exchanged_once(studio, monkeypatch):
    studio.accepted = {"Bearer short-lived": True}
    monkeypatch.setenv("LABEL_STUDIO_URL", studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", PERSONAL)
    with open_protocol(label_studio, Sources(addresses=(studio.url,))) as client:
        set_up(client, "http://elsewhere.example:8080", "abc")
        check(predict(client, "/data/upload/1/dog.png"))
        check(predict(client, "/data/upload/2/dog.png"))
    assert [path for path, _ in studio.requests] == [
        "/api/token/refresh/",
        "/data/upload/1/dog.png",
        "/data/upload/2/dog.png",
    ]


def test_cloud_storage_is_signed_by_label_studio(studio):
    with open_protocol(label_studio, Sources(addresses=(studio.url,))) as client:
        set_up(client, studio.url, "abc")
        check(predict(client, "s3://bucket/some dog.png"))
    (signed, _), (storage, _) = studio.requests
    assert urlsplit(signed).path == "/tasks/7/presign/" and storage == "/storage/dog.png?signature=1"
    (uri,) = parse_qs(urlsplit(signed).query)["fileuri"]
    assert base64.b64decode(uri) == b"s3://bucket/some dog.png"


def test_a_redirect_to_an_address_that_is_not_allowed_is_refused(studio):
    with serve_fake() as other, open_protocol(label_studio, Sources(addresses=(studio.url,))) as client:
        studio.redirect = f"{other.url}/storage/dog.png"
        set_up(client, studio.url, "abc")
        response = predict(client, "s3://bucket/dog.png")
        assert response.status_code == 422 and "not allowed" in response.json()["error"]
        assert other.requests == []


def test_the_token_is_sent_to_label_studio_only(studio):
    with serve_fake() as other, open_protocol(label_studio, Sources(addresses=(studio.url, other.url))) as client:
        set_up(client, studio.url, "abc")
        check(predict(client, f"{other.url}/dog.png"))
        assert other.requests == [("/dog.png", None)]


def test_addresses_that_setup_announces_are_read_only_if_the_operator_allows_them(studio):
    with open_protocol(label_studio) as client:
        set_up(client, studio.url, "abc")
        for address in ("/data/upload/1/dog.png", f"{studio.url}/dog.png", "s3://bucket/dog.png"):
            response = predict(client, address)
            assert response.status_code == 422 and "not allowed" in response.json()["error"]
    assert studio.requests == []


def test_names_of_files_are_read_below_the_root_only(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dog.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    with open_protocol(label_studio, Sources(tmp_path / "data")) as client:
        check(predict(client, "dog.png"))
        for name in ("../secret.png", "link.png", str(tmp_path / "data" / "dog.png"), "missing.png"):
            assert predict(client, name).status_code in (404, 422)
