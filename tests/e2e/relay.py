"""HTTP proxy in front of the cloud that records modifying API calls and can kill the caller after one of them."""

from __future__ import annotations

import os
import re
import signal
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_LOOKS = ("Describe", "Get", "Head", "List")


class Relay:
    """Proxy with its own endpoint; a context manager.

    Attributes:
        calls: The names of the calls that change something, in their order.
        looks: The names of those that do not.
    """

    def __init__(self, upstream: str, keys: tuple[str, str]) -> None:
        self.upstream = upstream
        self._keys = Credentials(*keys)
        self.calls: list[str] = []
        self.looks: list[str] = []
        self._matches: Callable[[str, str], bool] | None = None
        self._victim: Callable[[], int] = lambda: 0
        self.killed = threading.Event()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                # S3 requests have no operation name; the HTTP method identifies the operation.
                name = relay.name(self.headers.get("X-Amz-Target", ""), body) or f"{self.command.title()}Object"
                status, headers, answer = relay.forward(self.path, dict(self.headers), body, self.command)
                if name.startswith(_LOOKS):
                    relay.looks.append(name)
                else:
                    relay.calls.append(name)
                    if relay.kill(name, body.decode(errors="replace")):
                        self.close_connection = True  # the reply is lost, as with a killed caller
                        return
                self.send_response(status)
                for key, value in headers.items():
                    if key.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                        self.send_header(key, value)
                self.send_header(
                    "Content-Length", headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(answer))
                )
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_HEAD = do_PUT = do_DELETE = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Relay:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def kill_after(self, matches: Callable[[str, str], bool], victim: Callable[[], int]) -> None:
        """Kill a process (by its id) after a matching call was executed, before its reply."""
        self.killed.clear()
        self._matches, self._victim = matches, victim

    def kill(self, name: str, body: str) -> bool:
        if self._matches is None or not self._matches(name, urllib.parse.unquote_plus(body)):
            return False
        self._matches = None
        os.kill(self._victim(), signal.SIGKILL)
        self.killed.set()
        return True

    @staticmethod
    def name(target: str, body: bytes) -> str:
        """Return the operation name from the header of a JSON request or from the form."""
        if target:
            return target.rpartition(".")[2]
        return urllib.parse.parse_qs(body.decode(errors="replace")).get("Action", [""])[0]

    def forward(
        self, path: str, headers: dict[str, str], body: bytes, method: str = "POST"
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request to the cloud, signed again, because the signature covers the host."""
        replaced = ("host", "content-length", "connection", "authorization", "x-amz-date")
        kept = {key: value for key, value in headers.items() if key.lower() not in replaced}
        if body and not any(key.lower() == "content-type" for key in kept):
            kept["Content-Type"] = (
                "application/xml"  # urllib's default type is a form, whose parser would read the body
            )
        scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", headers.get("Authorization", ""))
        assert scope is not None, headers
        signed = AWSRequest(method, f"{self.upstream}{path}", kept, body)
        auth = S3SigV4Auth if scope[2] == "s3" else SigV4Auth
        auth(self._keys, scope[2], scope[1]).add_auth(signed)
        request = urllib.request.Request(
            f"{self.upstream}{path}", data=body or None, headers=dict(signed.headers.items()), method=method
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()
