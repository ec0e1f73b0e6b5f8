"""The gateway of the AWS API: passes one request at a time to moto, and saves the state before it replies."""

from __future__ import annotations

import gc
import json
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from botocore.model import OperationNotFoundError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from localcloud import credentials
from localcloud.core import request
from localcloud.core.addresses import PORT
from localcloud.core.cloud import Cloud
from localcloud.credentials import Credentials
from localcloud.s3 import requests
from localcloud.server import admission, identity, signatures

Reply = tuple[str, list[tuple[str, str]], bytes | Iterable[bytes]]


class Gateway:
    """A WSGI application. moto is not thread-safe, so it runs under the cloud's lock. Long work (copies, boots) is done in work
    queues, so that a request holds the lock for milliseconds."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._endpoint = f"{cloud.prefix}.1:{PORT}"
        self._owner = cloud.state_dir.read_owner()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.after_change: Callable[[], None] = lambda: None
        self.status: Callable[[], dict[str, Any]] = dict
        self.end = threading.Event()  # set by the operator's shutdown request

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if refused := admission.refusal_response(environ, self._endpoint):
            start_response(*refused[:2])
            return [refused[2]]
        if requests.is_upload(environ) and self._cloud.faults.consume(environ["REQUEST_METHOD"], "cut_upload"):
            requests.read_half(environ)
            break_connection(environ)
        body = request.read_body(environ)
        content: bytes | Iterable[bytes]
        try:
            caller = signatures.verify(environ, body, self._find_credentials)
        except signatures.SignatureError as error:
            status, headers, content = identity.error_response(request.parse_call(environ, body), error)
        else:
            if environ["PATH_INFO"].startswith(f"{admission.CONTROL}/"):
                status, headers, content = self._control(environ, body, caller)
            else:
                status, headers, content = self._call(environ, body)
        method, service = environ["REQUEST_METHOD"], request.signing_service(environ)
        if service == "s3" and self._cloud.faults.consume(method, "cut_download"):
            content = send_half(environ, content)
        start_response(status, headers)
        return [content] if isinstance(content, bytes) else content

    def _find_credentials(self, access_key: str) -> Credentials | None:
        with self._cloud.lock:  # for the look-up alone: the digest of a large body is computed without it
            return identity.find_credentials(self._owner, access_key)

    def _call(self, environ: dict[str, Any], body: bytes) -> Reply:
        call = request.parse_call(environ, body)
        faults = self._cloud.faults
        if fault := faults.consume(call.action, "delay"):
            time.sleep(fault.seconds)
        if faults.consume(call.action, "throttle"):
            return request.throttling_response(call)
        if faults.consume(call.action, "error500"):
            return request.error_response(call, "InternalError", "An internal error has occurred", 500)
        if call.service == "s3":
            requests.drop_form_type(environ)
            if refused := requests.find_error(environ, body):
                return request.error_response(call, *refused)
        with self._cloud.lock:
            reply = self._moto_reply(call, environ)
            if len(body) > 1 << 20:
                gc.collect(1)  # moto's request object is a reference cycle that keeps its copy of the body
            if not call.read_only:
                self.after_change()
                self._cloud.store.save()
        if faults.consume(call.action, "lost_reply"):
            break_connection(environ)
        return reply

    def _moto_reply(self, call: request.Call, environ: dict[str, Any]) -> Reply:
        head: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            head[:] = [status, headers]

        try:
            chunks = self._moto(environ, start)
            # S3 objects are sent from their files after the lock is released (s3_bodies.py).
            content = chunks if call.service == "s3" and call.read_only else b"".join(chunks)
        except (NotImplementedError, OperationNotFoundError) as error:
            # moto replies with an HTML page, which SDKs cannot parse.
            if isinstance(error, OperationNotFoundError):
                text = f"The action {call.action} is not valid for this service."
                return request.error_response(call, "InvalidAction", text, 400)
            text = f"The local cloud has no {call.action}: {error}"
            return request.error_response(call, "UnsupportedOperation", text, 400)
        except Exception as error:
            print(f"{call.service} {call.action}: {traceback.format_exc()}", file=sys.stderr, flush=True)
            return request.error_response(call, "InternalError", f"{type(error).__name__}: {error}", 500)
        return head[0], head[1], content

    def _control(self, environ: dict[str, Any], body: bytes, caller: Credentials) -> Reply:
        """Handle control calls, which are not part of AWS. The reply proves that this is the owner's cloud."""
        if caller != self._owner:
            return json_reply({"error": "control calls are for the owner only"}, "403 Forbidden")
        status, headers, content = self._control_reply(environ, body)
        nonce = str(environ.get("HTTP_X_LOCALCLOUD_NONCE", ""))
        return status, [*headers, ("X-Localcloud-Proof", credentials.proof(self._owner, nonce, content))], content

    def _control_reply(self, environ: dict[str, Any], body: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
        route = (environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix(f"{admission.CONTROL}/"))
        faults = self._cloud.faults
        if route == ("GET", "status"):
            with self._cloud.lock:
                return json_reply(self.status())
        if route == ("GET", "faults"):
            return json_reply({"faults": faults.as_dicts()})
        if route == ("POST", "faults"):
            try:
                faults.add(json.loads(body))
            except (ValueError, TypeError) as error:
                return json_reply({"error": str(error)}, "400 Bad Request")
            return json_reply({"faults": faults.as_dicts()})
        if route == ("DELETE", "faults"):
            faults.clear()
            return json_reply({"faults": []})
        if route == ("POST", "shutdown"):
            self.end.set()
            return json_reply({"ending": True})
        return json_reply({"error": "unknown control call"}, "404 Not Found")


def break_connection(environ: dict[str, Any]) -> NoReturn:
    """Close the connection without a reply, for an injected fault."""
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("injected fault: broken connection")  # werkzeug handles it as a disconnected client


def send_half(environ: dict[str, Any], content: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """Yield half of a body, then break the connection."""
    body = content if isinstance(content, bytes) else b"".join(content)
    yield body[: len(body) // 2]
    break_connection(environ)


def json_reply(value: dict[str, Any], status: str = "200 OK") -> tuple[str, list[tuple[str, str]], bytes]:
    content = json.dumps(value, default=str).encode()
    return status, [("Content-Type", "application/json"), ("Content-Length", str(len(content)))], content
