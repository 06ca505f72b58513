"""Mirror of the Hugging Face Hub on the loopback interface, with repositories of files in memory."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

Repositories = dict[str, dict[str, bytes]]
"""`owner/name` → path in the repository → content."""

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ("main", "v1", COMMIT)
GATED = "owner/gated"  # exists and needs permission


class HubMirror(ThreadingHTTPServer):
    """Serves the parts of the hub's protocol that downloads need. `requests` lists methods and paths."""

    daemon_threads = True

    def __init__(self, repositories: Repositories) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def downloads(self) -> list[str]:
        """The files that were downloaded, in order."""
        gets = (line.partition("/resolve/")[2] for line in self.requests if line.startswith("GET"))
        return [path.partition("/")[2] for path in gets if path]


class _Handler(BaseHTTPRequestHandler):
    server: HubMirror

    def do_HEAD(self) -> None:
        self._respond()

    def do_GET(self) -> None:
        self._respond()

    def log_message(self, *_: object) -> None:
        pass

    def _respond(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        match path.strip("/").split("/"):
            case ["api", "models", owner, name, kind, revision] if kind in ("revision", "tree"):
                self._send_listing(f"{owner}/{name}", kind, revision)
            case ["api", "models", owner, name]:
                self._send_listing(f"{owner}/{name}", "revision", "main")
            case [owner, name, "resolve", revision, *rest]:
                self._send_file(f"{owner}/{name}", revision, "/".join(rest))
            case _:
                self._refuse(404, "")

    def _send_listing(self, repository: str, kind: str, revision: str) -> None:
        if not self._check(repository, revision):
            return
        files = self.server.repositories[repository]
        if kind == "tree":
            body: object = [
                {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for path, content in files.items()
            ]
        else:
            body = {"id": repository, "sha": COMMIT, "siblings": [{"rfilename": path} for path in files]}
        self._send(json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _send_file(self, repository: str, revision: str, path: str) -> None:
        if not self._check(repository, revision):
            return
        content = self.server.repositories[repository].get(path)
        if content is None:
            self._refuse(404, "EntryNotFound")
        else:
            self._send(content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def _check(self, repository: str, revision: str) -> bool:
        if repository == GATED:
            self._refuse(403, "GatedRepo")
        elif repository not in self.server.repositories:
            self._refuse(401, "RepoNotFound")
        elif revision not in REVISIONS:
            self._refuse(404, "RevisionNotFound")
        else:
            return True
        return False

    def _refuse(self, status: int, code: str) -> None:
        self._send(b"", {"X-Error-Code": code, "X-Error-Message": code}, status)

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def serve_hub(repositories: Repositories) -> Iterator[HubMirror]:
    """Run a mirror for the block."""
    server = HubMirror(repositories)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
