"""W&B's server as far as a run needs it: GraphQL, the file stream and files, on loopback.

It keeps a run's history as the real one does: lines at the offsets that the client names. It has no
contents of artifacts, no accounts and no pages: what a page shows cannot be seen here.
"""

import gzip
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789" * 4
ENTITY = {"id": "entity-1", "name": "me"}
HISTORY, EVENTS, SUMMARY = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json"
STREAM = re.compile(r"/files/[^/]+/[^/]+/([^/]+)/file_stream")


@dataclass
class ServedRun:
    """What was sent of one run: `lines` of each streamed file by their offset, and its files."""

    variables: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, dict[int, str]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows of the history in order."""
        lines = self.lines.get(HISTORY, {})
        return [json.loads(lines[offset]) for offset in sorted(lines)]


@dataclass
class FakeWandb:
    """The server's state; `unknown` names the operations that it had no answer for."""

    url: str = ""
    runs: dict[str, ServedRun] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)  # and reports, by their ids
    unknown: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    refuses: bool = False  # the key

    def environment(self) -> dict[str, str]:
        """Return what lets W&B's client use this server."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "WANDB_MODE": "online"}

    def answer(self, query: str, values: dict[str, Any]) -> dict[str, Any]:
        """Answer a GraphQL operation."""
        for word, method in (
            ("upsertBucket", self._upsert),
            ("RunResumeStatus", self._resume),
            ("createRunFiles", self._files),
            ("createArtifact(", lambda values: {"createArtifact": {"artifact": ARTIFACT}}),
            ("upsertView(", self._view),
            ("query GetProjects(", lambda values: {"models": _page([PROJECT])}),
            ("query Runs(", self._listed),
            ("query Run(", self._one),
            ("query RunFiles(", self._served),
            ("query ArtifactType(", lambda values: {"project": {"artifact": None}}),
            ("viewer", lambda values: {"viewer": VIEWER}),
            ("serverInfo", lambda values: {"serverInfo": SERVER}),
        ):
            if word in query:
                return method(values)
        self.unknown.append(" ".join(query.split())[:200])
        return {}

    def _upsert(self, values: dict[str, Any]) -> dict[str, Any]:
        isnew = values["name"] not in self.runs
        run = self.runs.setdefault(values["name"], ServedRun())
        run.variables |= {key: value for key, value in values.items() if value is not None}
        run.config |= json.loads(values.get("config") or "{}")
        return {"upsertBucket": {"bucket": self._bucket(values["name"]), "inserted": isnew}}

    def _resume(self, values: dict[str, Any]) -> dict[str, Any]:
        bucket = self._bucket(values["name"]) if values["name"] in self.runs else None
        return {"model": {"id": "p1", "name": "p", "entity": ENTITY, "bucket": bucket}}

    def _bucket(self, name: str) -> dict[str, Any]:
        run = self.runs[name]
        history, events = run.lines.get(HISTORY, {}), run.lines.get(EVENTS, {})
        project = {"id": "p1", "name": run.variables.get("project", "p"), "entity": ENTITY}
        return {
            "id": f"id-{name}",
            "name": name,
            "displayName": run.variables.get("displayName", name),
            "description": "",
            "config": json.dumps(run.config),
            "sweepName": None,
            "project": project,
            "projectId": "1",
            "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": len(history),
            "eventsLineCount": len(events),
            "logLineCount": 0,
            "historyTail": json.dumps([history[max(history)]] if history else []),
            "eventsTail": json.dumps([events[max(events)]] if events else []),
            "tags": run.variables.get("tags") or [],
            "wandbConfig": json.dumps({"t": 1}),  # of a run that was begun
            "state": "finished",
            "group": run.variables.get("groupName"),
            "jobType": run.variables.get("jobType"),
            "createdAt": "2026-01-01T00:00:00Z",
            "heartbeatAt": "2026-01-01T00:00:00Z",
            "systemMetrics": "{}",
            "user": {"name": "me", "username": "me"},
            "historyKeys": None,
            "readOnly": False,
            "stopped": False,
        }

    def _listed(self, values: dict[str, Any]) -> dict[str, Any]:
        """Answer with the runs of a group and job type, all on one page."""
        wanted = json.loads(values["filters"])
        unknown = set(wanted) - {"group", "jobType"}
        if unknown or values["project"] not in self._projects():
            self.unknown.append(f"project or filters: {values}")
            return {"project": None}
        buckets = [self._bucket(name) for name in self.runs]
        shown = [one for one in buckets if all(one[key] == wanted[key] for key in wanted)]
        return {"project": {"internalId": "1", "runCount": len(shown), "runs": _page(shown)}}

    def _projects(self) -> set[str]:
        return {run.variables.get("project", "") for run in self.runs.values()}

    def _one(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            "project": {
                "run": self._bucket(values["name"]) if values["name"] in self.runs else None
            }
        }

    def _served(self, values: dict[str, Any]) -> dict[str, Any]:
        """Answer with where a run's files are."""
        name, wanted = values["name"], values.get("fileNames") or ()
        files = self.runs[name].files
        nodes = [
            {
                "id": f"{name}/{file}",
                "name": file,
                "url": self._address(name, file),
                "directUrl": self._address(name, file),
                "sizeBytes": len(content),
                "mimetype": "",
                "updatedAt": "2026-01-01T00:00:00Z",
                "md5": "",
            }
            for file, content in files.items()
            if not wanted or file in wanted
        ]
        run = {"fileCount": len(nodes), "files": _page(nodes)}
        return {"project": {"internalId": "1", "run": run}}

    def _view(self, values: dict[str, Any]) -> dict[str, Any]:
        """Keep a view or a report: a new one, or in the place of the one with its id."""
        isnew = not values.get("id")
        name = values["id"] if not isnew else f"Vm{len(self.views)}"
        self.views[name] = values
        project = {"id": "p1", "name": values["projectName"], "entityName": values["entityName"]}
        shown = {key: values[key] for key in ("type", "name", "displayName", "description", "spec")}
        view = shown | {"id": name, "project": project, "updatedAt": "2026-01-01T00:00:00Z"}
        return {"upsertView": {"view": view, "inserted": isnew}}

    def _address(self, run: str, file: str) -> str:
        return f"{self.url}/storage/{urllib.parse.quote(run)}/{urllib.parse.quote(file)}"

    def _files(self, values: dict[str, Any]) -> dict[str, Any]:
        run = values["run"]
        files = [{"name": name, "uploadUrl": self._address(run, name)} for name in values["files"]]
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": files}}

    def stream(self, name: str, body: dict[str, Any]) -> None:
        """Take in lines of streamed files, and how the run ended."""
        run = self.runs.setdefault(name, ServedRun())
        for file, part in (body.get("files") or {}).items():
            if file == SUMMARY:
                run.summary |= json.loads(part["content"][-1])
                continue
            known = run.lines.setdefault(file, {})
            known |= {part["offset"] + n: line for n, line in enumerate(part["content"])}
        if body.get("complete"):
            run.exit_code = body.get("exitcode")


VIEWER = {
    "id": "user-1",
    "username": "me",
    "name": "me",
    "entity": "me",
    "flags": "{}",
    "teams": {"edges": []},
}
ARTIFACT = {  # it says of every artifact that it has it already: no content is asked for
    "id": "artifact-1",
    "digest": "",
    "state": "COMMITTED",
    "aliases": [],
    "artifactSequence": {"id": "s-1", "latestArtifact": {"id": "artifact-1", "versionIndex": 0}},
}
SERVER = {
    "cliVersionInfo": {"max_cli_version": "99.0.0"},
    "latestLocalVersionInfo": None,
    "features": [],
}


PROJECT = {
    "__typename": "Project",
    "id": "p1",
    "name": "repghost",
    "entityName": "me",
    "createdAt": "2026-01-01T00:00:00Z",
    "isBenchmark": False,
    "user": None,
}


def _page(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all of a list as its only page."""
    info = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
    return {"edges": [{"node": one, "cursor": one["name"]} for one in nodes], "pageInfo": info}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeWandb

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _reply(self, body: bytes, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        _, _, run, name = urllib.parse.unquote(self.path).split("/", 3)
        self.fake.runs.setdefault(run, ServedRun()).files[name] = self._body()
        self._reply(b"{}")

    def do_GET(self) -> None:
        _, _, run, name = urllib.parse.unquote(self.path).split("/", 3)
        served = self.fake.runs.get(run, ServedRun()).files
        self._reply(served.get(name, b""), 200 if name in served else 404)

    def do_POST(self) -> None:
        text = self._body().decode(errors="replace")
        self.fake.bodies.append(text)
        found = STREAM.match(self.path)
        if found:
            self.fake.stream(found[1], json.loads(text))
        if self.fake.refuses:
            self._reply(b'{"errors": [{"message": "permission denied"}]}', 401)
            return
        if self.path != "/graphql":
            self._reply(b"{}")
            return
        asked = json.loads(text)
        answer = self.fake.answer(asked["query"], asked.get("variables") or {})
        self._reply(json.dumps({"data": answer}).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is none."""


@contextmanager
def fake_wandb() -> Iterator[FakeWandb]:
    """Serve an empty W&B on a free port of this machine."""
    fake = FakeWandb()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": fake}))
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
