"""A small Hugging Face Hub for dataset repositories, on a port of this machine.

It keeps repositories, their commits and their files in memory and speaks the part of the Hub's HTTP
interface that `huggingface_hub` and `datasets` use to create, upload (regular files and LFS), list
and download. Nothing about it is scripted: what was committed is what is served.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_test"
USER = "tester"
LFS_SUFFIXES = (".parquet", ".arrow", ".bin", ".zip", ".gz")


@dataclass(frozen=True)
class Entry:
    """A file of a commit."""

    data: bytes
    lfs: bool = False

    @property
    def oid(self) -> str:
        if self.lfs:
            return hashlib.sha256(self.data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()

    def listing(self, path: str) -> dict[str, Any]:
        listed: dict[str, Any] = {"type": "file", "path": path, "oid": self.oid}
        listed["size"] = len(self.data)
        if self.lfs:
            listed["lfs"] = {"oid": self.oid, "size": len(self.data), "pointerSize": 130}
        return listed


@dataclass(frozen=True)
class Commit:
    """A commit: all files of the repository at that point."""

    oid: str
    message: str
    files: dict[str, Entry]


@dataclass
class Repo:
    """A dataset repository; the first commit holds .gitattributes, as on the Hub."""

    private: bool
    commits: list[Commit] = field(default_factory=list)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def commit(self, message: str, files: dict[str, Entry]) -> Commit:
        parent = self.commits[-1].oid if self.commits else ""
        listed = sorted((path, entry.oid) for path, entry in files.items())
        oid = hashlib.sha1(repr((parent, message, listed)).encode()).hexdigest()
        self.commits.append(Commit(oid, message, dict(files)))
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        if revision == "main":
            return self.head
        return next((c for c in self.commits if c.oid == revision), None)


@dataclass
class Fault:
    """An answer to give instead of the true one: ``status`` to the next ``times`` matches."""

    method: str
    part: str
    status: int
    times: int = 1


class HubServer:
    """The server; a context manager that listens on ``url`` while it is entered."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.before_commit: list[Callable[[], None]] = []
        self.lock = threading.RLock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def create(self, name: str, private: bool) -> Repo:
        repo = Repo(private)
        repo.commit("initial commit", {".gitattributes": Entry(b"*.parquet filter=lfs\n")})
        self.repos[name] = repo
        return repo

    def write(self, name: str, path: str, data: bytes) -> Commit:
        """Commit one file as another person would in the browser."""
        with self.lock:
            repo = self.repos[name]
            entry = Entry(data, path.endswith(LFS_SUFFIXES))
            return repo.commit(f"Update {path}", {**repo.head.files, path: entry})

    def files(self, name: str) -> dict[str, bytes]:
        """Return the bytes of every file at the head of a repository."""
        return {path: entry.data for path, entry in self.repos[name].head.files.items()}


class _Refused(Exception):
    def __init__(self, status: int, code: str = "", **headers: str) -> None:
        self.status = status
        self.headers = {"X-Error-Code": code, **headers} if code else headers
        super().__init__(code)


@dataclass(frozen=True)
class _Reply:
    body: bytes = b"{}"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def _json(value: Any, status: int = 200) -> _Reply:
    return _Reply(json.dumps(value).encode(), status, {"Content-Type": "application/json"})


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            target = urlsplit(self.path)
            with hub.lock:
                hub.requests.append((self.command, target.path))
                try:
                    reply = _route(hub, self, unquote(target.path), target.query, body)
                except _Refused as refused:
                    note = json.dumps({"error": f"refused: {refused or refused.status}"}).encode()
                    reply = _Reply(note, refused.status, refused.headers)
            self.send_response(reply.status)
            length = {"Content-Length": str(len(reply.body))}
            for name, value in {**length, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_HEAD = do_POST = do_PUT = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: ``hub.requests`` is the log."""

    return Handler


def _route(
    hub: HubServer, request: BaseHTTPRequestHandler, path: str, query: str, body: bytes
) -> _Reply:
    for fault in hub.faults:
        if fault.times and fault.method == request.command and fault.part in path:
            fault.times -= 1
            raise _Refused(fault.status, "Injected")
    known = request.headers.get("Authorization") == f"Bearer {TOKEN}"
    top, _, rest = path.lstrip("/").partition("/")
    if top == "lfs":
        return _store_blob(hub, request.command, rest, body)
    if path == "/api/validate-yaml":
        return _json({"errors": [], "warnings": []})
    if path == "/api/whoami-v2" and known:
        return _json({"name": USER, "type": "user", "orgs": [], "auth": {"type": "access_token"}})
    if path == "/api/repos/create" and known:
        return _create(hub, json.loads(body))
    parts = path.strip("/").split("/")
    api = parts[0] == "api"
    parts = parts[1:] if api else parts
    if parts[0] != "datasets" or len(parts) < 3:
        raise _Refused(404 if known else 401)
    name = f"{parts[1]}/{parts[2].removesuffix('.git')}"
    repo = hub.repos.get(name)
    if repo is None or (repo.private and not known):
        raise _Refused(404 if known else 401, "RepoNotFound")
    if request.command in ("POST", "PUT") and "paths-info" not in parts and not known:
        raise _Refused(403)
    if api:
        return _api(hub, name, repo, parts[3:], query, body)
    if parts[3:] == ["info", "lfs", "objects", "batch"]:
        return _batch(hub, json.loads(body))
    if parts[3:4] == ["resolve"]:
        return _resolve(repo, parts[4], "/".join(parts[5:]), request.headers.get("Range"))
    raise _Refused(404, "EntryNotFound")


def _create(hub: HubServer, asked: dict[str, Any]) -> _Reply:
    name = f"{asked.get('organization') or USER}/{asked['name']}"
    url = {"url": f"{hub.url}/datasets/{name}", "name": name}
    if name in hub.repos:
        return _json(url, 409)
    hub.create(name, private=asked.get("visibility") == "private" or bool(asked.get("private")))
    return _json(url)


def _api(
    hub: HubServer, name: str, repo: Repo, parts: list[str], query: str, body: bytes
) -> _Reply:
    verb = parts[0] if parts else "revision"
    if verb == "preupload":
        return _preupload(repo, json.loads(body))
    if verb == "commit":
        return _commit(hub, name, repo, body)
    if verb == "refs":
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.oid}
        return _json({"branches": [main], "tags": [], "converts": []})
    commit = repo.at(parts[1] if len(parts) > 1 else "main")
    if commit is None:
        raise _Refused(404, "RevisionNotFound")
    if verb == "revision":
        return _json(_info(name, repo, commit))
    if verb == "tree":
        return _tree(commit, "/".join(parts[2:]), "recursive=true" in query.lower())
    if verb == "paths-info":
        paths = _paths(body)
        return _json([commit.files[p].listing(p) for p in paths if p in commit.files])
    raise _Refused(404, "EntryNotFound")


def _paths(body: bytes) -> list[str]:
    text = body.decode()
    if text.startswith("{"):
        return list(json.loads(text)["paths"])
    return parse_qs(text).get("paths", [])


def _info(name: str, repo: Repo, commit: Commit) -> dict[str, Any]:
    return {
        "id": name,
        "sha": commit.oid,
        "private": repo.private,
        "lastModified": "2026-01-01T00:00:00.000Z",
        "tags": [],
        "siblings": [{"rfilename": path} for path in sorted(commit.files)],
    }


def _tree(commit: Commit, folder: str, recursive: bool) -> _Reply:
    prefix = f"{folder}/" if folder else ""
    below = {p: e for p, e in commit.files.items() if p.startswith(prefix)}
    if folder and not below:
        raise _Refused(404, "EntryNotFound")
    listed: dict[str, dict[str, Any]] = {}
    for path, entry in sorted(below.items()):
        names = path.removeprefix(prefix).split("/")
        for depth in range(1, len(names)):
            parent = prefix + "/".join(names[:depth])
            if recursive or depth == 1:
                oid = hashlib.sha1(parent.encode()).hexdigest()
                listed[parent] = {"type": "directory", "path": parent, "oid": oid, "size": 0}
        if recursive or len(names) == 1:
            listed[path] = entry.listing(path)
    return _json(list(listed.values()))


def _preupload(repo: Repo, asked: dict[str, Any]) -> _Reply:
    files = []
    for file in asked["files"]:
        lfs = file["path"].endswith(LFS_SUFFIXES)
        answer = {"path": file["path"], "shouldIgnore": False}
        answer["uploadMode"] = "lfs" if lfs else "regular"
        if file["path"] in repo.head.files:
            answer["oid"] = repo.head.files[file["path"]].oid
        files.append(answer)
    return _json({"files": files})


def _batch(hub: HubServer, asked: dict[str, Any]) -> _Reply:
    objects = []
    for wanted in asked["objects"]:
        answer = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in hub.blobs:
            put, verify = f"{hub.url}/lfs/{wanted['oid']}", f"{hub.url}/lfs/verify"
            answer["actions"] = {"upload": {"href": put}, "verify": {"href": verify}}
        objects.append(answer)
    return _json({"transfer": "basic", "objects": objects})


def _store_blob(hub: HubServer, method: str, oid: str, body: bytes) -> _Reply:
    if method == "PUT":
        if hashlib.sha256(body).hexdigest() != oid:
            raise _Refused(400)
        hub.blobs[oid] = body
    elif json.loads(body)["oid"] not in hub.blobs:
        raise _Refused(404)
    return _Reply()


def _commit(hub: HubServer, name: str, repo: Repo, body: bytes) -> _Reply:
    while hub.before_commit:
        hub.before_commit.pop()()
    lines = [json.loads(line) for line in body.decode().splitlines() if line.strip()]
    files = dict(repo.head.files)
    summary = ""
    for line in lines:
        value = line["value"]
        if line["key"] == "header":
            summary = value["summary"]
            if value.get("parentCommit", repo.head.oid) != repo.head.oid:
                raise _Refused(412)
        elif line["key"] == "file":
            files[value["path"]] = Entry(base64.b64decode(value["content"]))
        elif line["key"] == "lfsFile":
            files[value["path"]] = Entry(hub.blobs[value["oid"]], lfs=True)
        elif line["key"] == "deletedFile":
            del files[value["path"]]
        else:
            raise _Refused(400)
    commit = repo.commit(summary, files)
    url = f"{hub.url}/datasets/{name}/commit/{commit.oid}"
    return _json({"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""})


def _resolve(repo: Repo, revision: str, path: str, wanted: str | None) -> _Reply:
    commit = repo.at(revision)
    if commit is None:
        raise _Refused(404, "RevisionNotFound")
    if path not in commit.files:
        raise _Refused(404, "EntryNotFound", **{"X-Repo-Commit": commit.oid})
    entry = commit.files[path]
    headers = {"ETag": f'"{entry.oid}"', "X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
    if not wanted:
        return _Reply(entry.data, 200, headers)
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    size = len(entry.data)
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return _Reply(entry.data[start:stop], 206, headers)
