"""The two UNIX sockets through which one machine reaches its metadata service and the AWS API."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server


class QuietHandler(MotoRequestHandler):  # type: ignore[misc]
    """moto's handler without a log line for each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Requests are not logged: waiters poll, and the log is for what went wrong."""


class UnixServer:
    """A WSGI application served on a UNIX socket."""

    def __init__(self, path: Path, app: Any) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(path.parent, os.O_PATH)
        try:
            # sun_path holds 107 bytes and state folders may lie deep: bind through the folder's descriptor
            listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        finally:
            os.close(folder)
        listener.listen(64)
        self._server: BaseWSGIServer = make_server(
            "unix://door", 0, app, threaded=True, request_handler=QuietHandler, fd=listener.fileno()
        )
        listener.close()  # the server has its own copy
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name=f"door {path}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)
