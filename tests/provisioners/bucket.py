"""A stand-in for S3 and the metadata service on loopback: keeps objects, and checks signature and digests as S3 does."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET, TOKEN = "AKIAEXAMPLE", "wJalr/secret+key", "session/token=="
REGION = "ap-northeast-2"


class Bucket:
    """Use it as a context. `objects` is what was put, by its path; `cut` makes the next transfers break off."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refused: list[str] = []
        self.cut = 0
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path == "/latest/api/token":
                    return self.answer(200, b"imds-token")
                if bucket.cut:
                    bucket.cut -= 1
                    self.close_connection = True
                    return None
                if problem := bucket.wrong(self, body):
                    bucket.refused.append(problem)
                    return self.answer(403, problem.encode())
                bucket.objects[self.path] = body
                return self.answer(200, b"")

            def do_GET(self) -> None:
                if self.path.startswith("/latest/"):
                    role = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": TOKEN}
                    return self.answer(200, b"web" if self.path.endswith("/") else json.dumps(role).encode())
                if problem := bucket.wrong(self, b""):
                    bucket.refused.append(problem)
                    return self.answer(403, problem.encode())
                found = bucket.objects.get(self.path)
                return self.answer(404, b"") if found is None else self.answer(200, found)

            def answer(self, code: int, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Bucket:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wrong(self, request: BaseHTTPRequestHandler, body: bytes) -> str:
        """What S3 would refuse: a digest that is not the body's, or a signature that is not the one botocore makes."""
        given = {name.lower(): value for name, value in request.headers.items()}
        digest = hashlib.sha256(body).hexdigest()
        if given.get("x-amz-content-sha256") != digest:
            return f"XAmzContentSHA256Mismatch {given.get('x-amz-content-sha256')} for {digest}"
        checksum = given.get("x-amz-checksum-sha256")
        if checksum and base64.b64decode(checksum) != bytes.fromhex(digest):
            return "BadDigest"
        authorization = given.get("authorization", "")
        if not authorization.startswith("AWS4-HMAC-SHA256 ") or given.get("x-amz-security-token") != TOKEN:
            return f"AccessDenied {authorization[:20]}"
        signed = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        theirs = authorization.rpartition("Signature=")[2]
        again = AWSRequest(method=request.command, url=self.endpoint + request.path, data=body)
        for name in signed:
            if name != "host":
                again.headers[name] = given[name]
        again.context["timestamp"] = given["x-amz-date"]
        again.context["payload_signing_enabled"] = True
        auth = S3SigV4Auth(Credentials(KEY, SECRET, TOKEN), "s3", REGION)
        canonical = "\n".join(
            [
                request.command,
                urlsplit(request.path).path,
                "",
                *(f"{name}:{(given[name] if name != 'host' else request.headers['Host']).strip()}" for name in signed),
                "",
                ";".join(signed),
                digest,
            ]
        )
        ours = auth.signature(auth.string_to_sign(again, canonical), again)
        return "" if ours == theirs else f"SignatureDoesNotMatch over {';'.join(signed)}"
