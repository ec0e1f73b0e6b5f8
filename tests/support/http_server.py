"""A tiny web server on loopback whose answers follow a script."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import TracebackType
from typing import Any


class Web:
    """Answers each request with the next status of its script, and with the last one from then on.

    `pages` are the status and body of other paths.
    """

    def __init__(self, script: Sequence[int], pages: Mapping[str, tuple[int, str]] | None = None) -> None:
        self.script, self.pages = list(script), dict(pages or {})
        self.paths: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.paths.append(self.path)
                if self.path in web.pages:
                    status, body = web.pages[self.path]
                else:
                    status, body = web.script.pop(0) if len(web.script) > 1 else web.script[0], ""
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/health"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Web:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
