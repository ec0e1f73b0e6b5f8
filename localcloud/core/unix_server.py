"""WSGI servers on UNIX sockets, through which a machine reaches its metadata service and the AWS API."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server

from localcloud.machines.unix_socket import short_path


class QuietHandler(MotoRequestHandler):  # type: ignore[misc]
    """moto's request handler without its access log."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: pollers would fill the log, which is for errors."""


class UnixServer:
    """A WSGI application served on a UNIX socket."""

    def __init__(self, path: Path, app: Any) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short_path(path) as address:
            listener.bind(address)
        listener.listen(64)
        self._server: BaseWSGIServer = make_server(
            "unix://socket", 0, app, threaded=True, request_handler=QuietHandler, fd=listener.fileno()
        )
        listener.close()  # the server has duplicated it
        serve, name = self._server.serve_forever, f"server {path}"
        threading.Thread(target=serve, kwargs={"poll_interval": 0.05}, name=name, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)
