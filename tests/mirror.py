"""A web server on this machine that serves files well and badly, for the tests of downloads."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = b"<!DOCTYPE html><html><body>Google Drive: quota exceeded</body></html>"


class Handler(BaseHTTPRequestHandler):
    """Serves `files`; the first part of the path says how."""

    files: dict[str, bytes]
    asked: list[str]
    over: threading.Event

    def do_GET(self) -> None:
        """Answer as the path wants it."""
        _, how, name = self.path.split("/")
        self.asked.append(self.path.lstrip("/"))
        content = self.files[name]
        with contextlib.suppress(OSError):
            getattr(self, how)(content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def head(self, length: int | str, kind: str = "application/gzip") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", kind)
        self.end_headers()

    def good(self, content: bytes) -> None:
        self.head(len(content))
        self.wfile.write(content)

    def wrong(self, content: bytes) -> None:
        """Send as many bytes, one of them another."""
        self.head(len(content))
        self.wfile.write(content[:-1] + bytes([content[-1] ^ 1]))

    def cut(self, content: bytes) -> None:
        """Promise all, and close after the half."""
        self.head(len(content))
        self.wfile.write(content[: len(content) // 2])

    def short(self, content: bytes) -> None:
        """Serve the half as if it were all."""
        self.good(content[: len(content) // 2])

    def long(self, content: bytes) -> None:
        self.good(content + b"more")

    def page(self, content: bytes) -> None:
        del content
        self.head(len(PAGE), "text/html")
        self.wfile.write(PAGE)

    def missing(self, content: bytes) -> None:
        del content
        self.send_error(404)

    def odd(self, content: bytes) -> None:
        """Send a length that is no number."""
        self.head("many")
        self.wfile.write(content)

    def unpacked(self, content: bytes) -> None:
        """Say that the file is only packed for the way, as some servers do with .gz."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(content)

    def hangs(self, content: bytes) -> None:
        """Take the request and say nothing."""
        del content
        self.over.wait(20)

    def stalls(self, content: bytes) -> None:
        """Send the half, then nothing."""
        self.head(len(content))
        self.wfile.write(content[: len(content) // 2])
        self.over.wait(20)

    def trickles(self, content: bytes) -> None:
        """Send a little, again and again."""
        self.head(len(content))
        for start in range(0, len(content), 4096):
            self.wfile.write(content[start : start + 4096])
            self.wfile.flush()
            time.sleep(0.1)


@contextlib.contextmanager
def serving(files: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Serve files; give the server's address, and a list that gets what is asked for."""
    over, asked = threading.Event(), list[str]()
    handler = type("Serving", (Handler,), {"files": files, "asked": asked, "over": over})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
