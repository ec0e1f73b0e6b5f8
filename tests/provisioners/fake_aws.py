"""Metadata service and Parameter Store on one address, with verified signatures, for the scripts in the image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET, SESSION = "ASIAEXAMPLE", "se/cret+key", 'session"token\\'
TOKEN = "imds-token"


@dataclass
class FakeAws:
    """Both services, and the requests that they received.

    Attributes:
        parameters: Name to (type, value).
        failures: Number of Parameter Store requests to answer with 503 first.
        rejected: Errors of requests with an invalid signature.
        role: The instance's role, or None for an instance without one.
    """

    parameters: Mapping[str, tuple[str, str]]
    failures: int = 0
    role: str | None = "app-role"
    region: str = "ap-northeast-2"
    rejected: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    address: tuple[str, int] = ("127.0.0.1", 0)

    def __enter__(self) -> FakeAws:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self._send(200, TOKEN) if self.path == "/latest/api/token" else self._send(404, "")

            def do_GET(self) -> None:
                fake._metadata(self)

            def do_POST(self) -> None:
                fake._ssm(self)

            def _send(self, status: int, body: str) -> None:
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                # The SDK for Go rejects a token without its lifetime.
                self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "300")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(self.address, Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Endpoint of both services."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def _metadata(self, handler: BaseHTTPRequestHandler) -> None:
        send = handler._send  # type: ignore[attr-defined]
        if handler.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            send(401, "")
        elif handler.path == "/latest/meta-data/placement/region":
            send(200, self.region)
        elif handler.path == "/latest/meta-data/iam/security-credentials/" and self.role:
            send(200, self.role)
        elif handler.path == f"/latest/meta-data/iam/security-credentials/{self.role}":
            credentials = {"Code": "Success", "AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": SESSION}
            send(200, json.dumps({**credentials, "Expiration": "2099-01-01T00:00:00Z"}))
        else:
            send(404, "")

    def _ssm(self, handler: BaseHTTPRequestHandler) -> None:
        send = handler._send  # type: ignore[attr-defined]
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        error = self._signature_error(handler, body)
        if error:
            self.rejected.append(error)
            send(400, json.dumps({"__type": "InvalidSignatureException", "message": error}))
            return
        if self.failures > 0:
            self.failures -= 1
            send(503, "")
            return
        name = json.loads(body)["Name"]
        self.requested.append(name)
        if name not in self.parameters:
            send(400, json.dumps({"__type": "ParameterNotFound", "message": ""}))
            return
        kind, value = self.parameters[name]
        send(200, json.dumps({"Parameter": {"Name": name, "Type": kind, "Value": value, "Version": 1}}))

    def _signature_error(self, handler: BaseHTTPRequestHandler, body: bytes) -> str | None:
        """Sign the same request with botocore and compare; None if the signature is valid."""
        if handler.headers.get("X-Amz-Target") != "AmazonSSM.GetParameter":
            return "target " + str(handler.headers.get("X-Amz-Target"))
        authorization = handler.headers.get("Authorization", "")
        if "SignedHeaders=" not in authorization:
            return "no signature"
        signed = authorization.split("SignedHeaders=")[1].split(",")[0].split(";")
        if "x-amz-security-token" not in signed or "host" not in signed:
            return f"signed only {signed}"
        headers = {name: handler.headers[name] for name in signed if name != "x-amz-date"}
        request = AWSRequest("POST", f"http://{handler.headers['Host']}{handler.path}", headers=headers, data=body)
        request.context["timestamp"] = handler.headers["X-Amz-Date"]
        signer = SigV4Auth(Credentials(KEY, SECRET), "ssm", self.region)
        request.headers["X-Amz-Date"] = handler.headers["X-Amz-Date"]
        canonical = signer.canonical_request(request)
        expected = signer.signature(signer.string_to_sign(request, canonical), request)
        return (
            None
            if f"Signature={expected}" in authorization
            else f"signature does not match, canonical request {canonical!r}"
        )
