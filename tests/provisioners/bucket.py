"""Fake S3 and metadata service on loopback that verify signatures and digests like S3."""

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
ACCOUNT, REGION = "123456789012", "ap-northeast-2"


@dataclass
class Upload:
    """An unfinished multipart upload: its parts by number."""

    path: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Bucket:
    """A context manager.

    Attributes:
        objects: Contents of the objects, by path.
        uploads: Multipart uploads that are neither complete nor aborted.
        requests: All requests: method, target and range.
        rejected: Errors of rejected requests.
        breaks: Returns True for a request whose connection breaks in the middle of its body or response.
        loses: Returns True for a request that is executed but whose response is lost.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, Upload] = {}
        self.requests: list[str] = []
        self.rejected: list[str] = []
        self.breaks: Callable[[str], bool] = lambda request: False
        self.loses: Callable[[str], bool] = lambda request: False
        self._composite: dict[str, str] = {}
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                if self.path == "/latest/api/token":
                    return self.respond(200, b"imds-token")
                name = f"{self.command} {self.path} {self.headers.get('Range', '')}".strip()
                bucket.requests.append(name)
                broken = bucket.breaks(name)
                body = self.rfile.read(length // 2 if broken else length)
                if broken and self.command != "GET":
                    self.close_connection = True
                    return None
                if problem := bucket.find_error(self, body):
                    bucket.rejected.append(problem)
                    return self.respond(403, problem.encode())
                code, headers, content = bucket.execute(self, body)
                if bucket.loses(name):
                    self.close_connection = True
                    return None
                return self.respond(code, content, headers, short=broken)

            do_POST = do_DELETE = do_HEAD = do_PUT

            def do_GET(self) -> None:
                if not self.path.startswith("/latest/"):
                    return self.do_PUT()
                role = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": TOKEN}
                return self.respond(200, b"web" if self.path.endswith("/") else json.dumps(role).encode())

            def respond(
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

    def matching(self, pattern: str) -> list[str]:
        """Return the requests that match a pattern."""
        return [request for request in self.requests if re.search(pattern, request)]

    def execute(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Execute a correctly signed request; return status, headers and body.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
        """
        path, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query, keep_blank_values=True)
        if request.command == "POST" and "uploads" in query:
            # With the special characters of S3's upload ids.
            name = f"upload.{len(self.requests)}_-~"
            self.uploads[name] = Upload(path)
            return 200, {}, f"<Result>\n<UploadId>{name}</UploadId></Result>".encode()
        if "uploadId" in query:
            return self._upload(request, query, body)
        if request.command == "PUT":
            self.objects[path] = body
            return 200, {}, b""
        content = self.objects.get(path)
        if content is None:
            return 404, {}, b""
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        if request.headers.get("If-Match", etag) != etag:
            return 412, {}, b""
        if byte_range := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", "")):
            return 206, {"ETag": etag}, content[int(byte_range[1]) : int(byte_range[2]) + 1]
        headers = {"ETag": etag}
        if request.headers.get("x-amz-checksum-mode") == "ENABLED" and path in self._composite:
            headers["x-amz-checksum-sha256"] = self._composite[path]
        return 200, headers, content

    def _upload(
        self, request: BaseHTTPRequestHandler, query: dict[str, list[str]], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        upload = self.uploads.get(query["uploadId"][0])
        if upload is None or upload.path != urlsplit(request.path).path:
            return 404, {}, b"NoSuchUpload"
        if request.command == "DELETE":
            del self.uploads[query["uploadId"][0]]
            return 204, {}, b""
        if request.command == "PUT":
            upload.parts[int(query["partNumber"][0])] = body
            return 200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}, b""
        sent = re.findall(
            r"<Part><PartNumber>(\d+)</PartNumber><ETag>(.*?)</ETag><ChecksumSHA256>(.*?)</ChecksumSHA256></Part>",
            body.decode(),
        )
        received = [
            (str(n), f'"{hashlib.md5(p).hexdigest()}"', base64.b64encode(hashlib.sha256(p).digest()).decode())
            for n, p in sorted(upload.parts.items())
        ]
        if sent != received:
            # S3 sends the status before it has assembled the parts.
            return 200, {}, b"<Error><Code>InvalidPart</Code></Error>"
        self.objects[upload.path] = b"".join(part for _, part in sorted(upload.parts.items()))
        digests = b"".join(hashlib.sha256(part).digest() for _, part in sorted(upload.parts.items()))
        composite = base64.b64encode(hashlib.sha256(digests).digest()).decode()
        self._composite[upload.path] = f"{composite}-{len(upload.parts)}"
        del self.uploads[query["uploadId"][0]]
        return 200, {}, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>"

    def find_error(self, request: BaseHTTPRequestHandler, body: bytes) -> str:
        """Return the error that S3 would report for a wrong digest or signature; empty if both are valid."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        digest = hashlib.sha256(body).hexdigest()
        if headers.get("x-amz-content-sha256") != digest:
            return f"XAmzContentSHA256Mismatch {headers.get('x-amz-content-sha256')} for {digest}"
        checksum = headers.get("x-amz-checksum-sha256")
        if checksum and base64.b64decode(checksum) != bytes.fromhex(digest):
            return "BadDigest"
        authorization = headers.get("authorization", "")
        if not authorization.startswith("AWS4-HMAC-SHA256 ") or headers.get("x-amz-security-token") != TOKEN:
            return f"AccessDenied {authorization[:20]}"
        signed = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        actual = authorization.rpartition("Signature=")[2]
        if "x-amz-expected-bucket-owner" not in signed or headers["x-amz-expected-bucket-owner"] != ACCOUNT:
            return "AccessDenied: the bucket belongs to another account"
        signed_request = AWSRequest(method=request.command, url=self.endpoint + request.path, data=body)
        for name in signed:
            if name != "host":
                signed_request.headers[name] = headers[name]
        signed_request.context["timestamp"] = headers["x-amz-date"]
        signed_request.context["payload_signing_enabled"] = True
        auth = S3SigV4Auth(Credentials(KEY, SECRET, TOKEN), "s3", REGION)
        path, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query, keep_blank_values=True)
        canonical = "\n".join(
            [
                request.command,
                path,
                "&".join(f"{name}={quote(values[0], safe='-_.~')}" for name, values in sorted(query.items())),
                *(
                    f"{name}:{(headers[name] if name != 'host' else request.headers['Host']).strip()}"
                    for name in signed
                ),
                "",
                ";".join(signed),
                digest,
            ]
        )
        expected = auth.signature(auth.string_to_sign(signed_request, canonical), signed_request)
        return "" if expected == actual else f"SignatureDoesNotMatch over {';'.join(signed)}"
