"""A study's report on 127.0.0.1, made anew when its files change; the open page follows."""

import hashlib
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from analysis.report import render
from analysis.results import load

HOST = "127.0.0.1"
AGAIN_S = 2  # a browser asks again after so long while there is nothing to show yet
OF_A_RUN = ("metrics.jsonl", "certificate.json", "result.json")


class LiveReport:
    """The report of a study, rendered when what it is made from has changed since the last."""

    def __init__(self, study_dir: Path, compare: Path | None = None) -> None:
        self._study_dir, self._compare = study_dir, compare
        self._lock = threading.Lock()
        self._made: tuple[str, bytes] = ("", b"")

    def tag(self) -> str:
        """Return what changes with the study's files, as HTTP writes an ETag."""
        digest = hashlib.sha256()
        for path in self._sources():
            try:
                stat = path.stat()
            except OSError:
                continue
            digest.update(f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}\n".encode())
        return f'"{digest.hexdigest()[:16]}"'

    def page(self) -> tuple[str, bytes]:
        """Return the tag and the HTML of the study as it is now.

        Raises:
            ValueError: there is nothing to show yet, or a file is garbled.
        """
        with self._lock:  # two open pages do not render twice
            tag = self.tag()
            if self._made[0] != tag:
                other = load(self._compare) if self._compare else None
                html = render(load(self._study_dir), other, live=tag)
                self._made = tag, html.encode()
            return self._made

    def _sources(self) -> Iterator[Path]:
        for folder in filter(None, (self._study_dir, self._compare)):
            yield from (folder / "results.csv", folder / "study.json")
            yield from (folder.parent / "latency.db", folder.parent / "profiles")
            for key in self._keys(folder):
                yield from (folder.parent / "runs" / key / name for name in OF_A_RUN)

    def _keys(self, folder: Path) -> list[str]:
        try:
            return [row.key for row in load(folder).rows]
        except (ValueError, OSError):
            return []


def serve(study_dir: Path, compare: Path | None, port: int) -> None:
    """Serve the study's report until the user ends it; only this machine can open it.

    Raises:
        ValueError: the port is taken, or out of range.
    """
    server = make_server(LiveReport(study_dir, compare), port)
    print(f"http://{HOST}:{server.server_port}/ follows {study_dir}; Ctrl-C ends it", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("ended")
    finally:
        server.server_close()


def make_server(report: LiveReport, port: int) -> ThreadingHTTPServer:
    """Return a server of one report on 127.0.0.1, not yet started; port 0 is any free one."""

    class Handler(_Handler):
        live = report

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except (OSError, OverflowError) as error:
        raise ValueError(f"--port {port}: {error}; name another one, or 0 for any free") from error


class _Handler(BaseHTTPRequestHandler):
    """Answers `/`: the report, or "not modified"; refuses names other than this machine's own."""

    live: LiveReport
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        # A page of another site could otherwise read the report under a name that it points here.
        if self.headers.get("Host", "").partition(":")[0] not in (HOST, "localhost"):
            self._answer(HTTPStatus.FORBIDDEN, b"this server is for 127.0.0.1 alone")
        elif self.path.partition("?")[0] != "/":
            self._answer(HTTPStatus.NOT_FOUND, b"the report is at /")
        elif self.headers.get("If-None-Match") == self.live.tag():
            self._answer(HTTPStatus.NOT_MODIFIED, b"")
        else:
            self._report()

    def _report(self) -> None:
        try:
            tag, html = self.live.page()
        except (ValueError, OSError) as error:
            said = f"nothing to show yet: {error}".encode()
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, said, {"Refresh": str(AGAIN_S)})
        else:
            about = {"ETag": tag, "Content-Type": "text/html; charset=utf-8"}
            self._answer(HTTPStatus.OK, html, about)

    def _answer(
        self, status: HTTPStatus, content: bytes, about: dict[str, str] | None = None
    ) -> None:
        shared = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
        self.send_response(status)
        for name, value in (shared | (about or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request: a page asks every two seconds."""
