"""A stand-in for S3 and the metadata service on loopback: keeps objects, and checks signature and digests as S3 does."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET, TOKEN = "AKIAEXAMPLE", "wJalr/secret+key", "session/token=="
REGION = "ap-northeast-2"


@dataclass
class Upload:
    """What came of an upload in parts: each part by its number."""

    path: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Bucket:
    """Use it as a context.

    Attributes:
        objects: What was put, by its path.
        uploads: What was begun and is neither complete nor given up.
        requests: Each request that came so far: method, target and range.
        refused: Why requests were refused.
        breaks: Asked before a request is carried out: whether the connection breaks in the middle of its body, or of its answer.
        loses: Asked after a request has been carried out: whether its answer is lost.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, Upload] = {}
        self.requests: list[str] = []
        self.refused: list[str] = []
        self.breaks: Callable[[str], bool] = lambda request: False
        self.loses: Callable[[str], bool] = lambda request: False
        self._composite: dict[str, str] = {}
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                if self.path == "/latest/api/token":
                    return self.answer(200, b"imds-token")
                name = f"{self.command} {self.path} {self.headers.get('Range', '')}".strip()
                bucket.requests.append(name)
                broken = bucket.breaks(name)
                body = self.rfile.read(length // 2 if broken else length)
                if broken and self.command != "GET":
                    self.close_connection = True
                    return None
                if problem := bucket.wrong(self, body):
                    bucket.refused.append(problem)
                    return self.answer(403, problem.encode())
                code, headers, found = bucket.carry_out(self, body)
                if bucket.loses(name):
                    self.close_connection = True
                    return None
                return self.answer(code, found, headers, short=broken)

            do_POST = do_DELETE = do_HEAD = do_PUT

            def do_GET(self) -> None:
                if not self.path.startswith("/latest/"):
                    return self.do_PUT()
                role = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": TOKEN}
                return self.answer(200, b"web" if self.path.endswith("/") else json.dumps(role).encode())

            def answer(
                self, code: int, body: bytes, headers: dict[str, str] | None = None, *, short: bool = False
            ) -> None:
                self.send_response(code)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body[: len(body) // 2] if short else body)
                self.close_connection = self.close_connection or short

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

    def asked(self, pattern: str) -> list[str]:
        """The requests so far that a pattern is found in."""
        return [request for request in self.requests if re.search(pattern, request)]

    def carry_out(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer to a request that is signed well.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
        """
        path, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query, keep_blank_values=True)
        if request.command == "POST" and "uploads" in query:
            # The characters that S3's own ids have beside letters and digits.
            name = f"upload.{len(self.requests)}_-~"
            self.uploads[name] = Upload(path)
            return 200, {}, f"<Result>\n<UploadId>{name}</UploadId></Result>".encode()
        if "uploadId" in query:
            return self._upload(request, query, body)
        if request.command == "PUT":
            self.objects[path] = body
            return 200, {}, b""
        found = self.objects.get(path)
        if found is None:
            return 404, {}, b""
        etag = f'"{hashlib.md5(found).hexdigest()}"'
        if request.headers.get("If-Match", etag) != etag:
            return 412, {}, b""
        if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", "")):
            return 206, {"ETag": etag}, found[int(asked[1]) : int(asked[2]) + 1]
        headers = {"ETag": etag}
        if request.headers.get("x-amz-checksum-mode") == "ENABLED" and path in self._composite:
            headers["x-amz-checksum-sha256"] = self._composite[path]
        return 200, headers, found

    def _upload(
        self, request: BaseHTTPRequestHandler, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        there = self.uploads.get(query["uploadId"][0])
        if there is None or there.path != urlsplit(request.path).path:
            return 404, {}, b"NoSuchUpload"
        if request.command == "DELETE":
            del self.uploads[query["uploadId"][0]]
            return 204, {}, b""
        if request.command == "PUT":
            there.parts[int(query["partNumber"][0])] = body
            return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""
        told = re.findall(
            r"<Part><PartNumber>(\d+)</PartNumber><ETag>(.*?)</ETag><ChecksumSHA256>(.*?)</ChecksumSHA256></Part>",
            body.decode(),
        )
        kept = [
            (str(n), f'"{hashlib.md5(p).hexdigest()}"', base64.b64encode(hashlib.sha256(p).digest()).decode())
            for n, p in sorted(there.parts.items())
        ]
        if told != kept:
            # S3 begins its answer before it knows how it ends.
            return 200, {}, b"<Error><Code>InvalidPart</Code></Error>"
        self.objects[there.path] = b"".join(part for _, part in sorted(there.parts.items()))
        digests = b"".join(hashlib.sha256(part).digest() for _, part in sorted(there.parts.items()))
        whole = base64.b64encode(hashlib.sha256(digests).digest()).decode()
        self._composite[there.path] = f"{whole}-{len(there.parts)}"
        del self.uploads[query["uploadId"][0]]
        return 200, {}, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"

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
        path, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query, keep_blank_values=True)
        canonical = "\n".join(
            [
                request.command,
                path,
                "&".join(f"{name}={quote(values[0], safe='-_.~')}" for name, values in sorted(query.items())),
                *(f"{name}:{(given[name] if name != 'host' else request.headers['Host']).strip()}" for name in signed),
                "",
                ";".join(signed),
                digest,
            ]
        )
        ours = auth.signature(auth.string_to_sign(again, canonical), again)
        return "" if ours == theirs else f"SignatureDoesNotMatch over {';'.join(signed)}"
