"""A server on this machine that answers as the Hugging Face hub does, as far as models go."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 4096  # bytes; from here on a file is named by its sha256, as in LFS


@dataclass
class FakeHub:
    """What the server knows, and what it was asked.

    Attributes
    ----------
    repos : dict
        Files by repository.
    gated : set of str
        Repositories that need a token.
    cuts : list of int
        Each breaks one download of a large file off after so many bytes.
    asked : list of str
        Method, path and first byte of every request.
    """

    repos: dict[str, dict[str, bytes]]
    gated: set[str] = field(default_factory=set)
    cuts: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Run the server in a thread; sets ``hub.url``."""

    class Handler(_Handler):
        known = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    known: FakeHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.known.asked.append(f"{self.command} /{path} {self._first_byte()}")
        api = path.startswith("api/models/")
        repo = "/".join(path.removeprefix("api/models/").split("/")[:2])
        rest = path.removeprefix("api/models/").removeprefix(repo).strip("/").split("/", 2)
        if repo not in self.known.repos:
            return self._refuse(401, "RepoNotFound")
        if len(rest) > 1 and rest[1] not in ("main", COMMIT):
            return self._refuse(404, "RevisionNotFound")
        if repo in self.known.gated and "Authorization" not in self.headers:
            return self._refuse(403, "GatedRepo")
        if api:
            listing = self._tree(repo) if rest[0] == "tree" else self._info(repo)
            return self._send(json.dumps(listing).encode(), {"Content-Type": "application/json"})
        name = rest[2]
        if name not in self.known.repos[repo]:
            return self._refuse(404, "EntryNotFound")
        return self._send_file(self.known.repos[repo][name])

    def _first_byte(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])

    def _info(self, repo: str) -> dict[str, object]:
        files = self.known.repos[repo].items()
        return {
            "_id": "1",
            "id": repo,
            "modelId": repo,
            "sha": COMMIT,
            "private": False,
            "gated": False,
            "tags": [],
            "siblings": [
                {"rfilename": n, "size": len(c), "blobId": _git_hash(c)} for n, c in files
            ],
        }

    def _tree(self, repo: str) -> list[dict[str, object]]:
        return [
            {"type": "file", "path": n, "size": len(c), "oid": _git_hash(c)}
            | ({"lfs": _lfs(c)} if len(c) >= LARGE else {})
            for n, c in self.known.repos[repo].items()
        ]

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send_file(self, content: bytes) -> None:
        etag = hashlib.sha256(content).hexdigest() if len(content) >= LARGE else _git_hash(content)
        first = self._first_byte()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        cut = None
        if self.command == "GET" and len(content) >= LARGE and self.known.cuts:
            cut = self.known.cuts.pop(0)
        self._send(content[first:], headers, status=206 if first else 200, cut=cut)

    def _send(
        self, body: bytes, headers: dict[str, str], *, status: int = 200, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _lfs(content: bytes) -> dict[str, object]:
    return {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
