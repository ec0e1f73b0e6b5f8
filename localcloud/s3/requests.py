"""S3: what arrives is what was sent, and what moto lets pass is refused: wrong checksums, expired URLs, unknown uploads."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs
from xml.dom.minidom import parseString

from moto.s3.exceptions import InvalidPart, NoSuchUpload, S3ClientError
from moto.s3.models import S3Backend
from moto.s3.responses import S3Response

from localcloud.core import request

_upload_part = S3Backend.upload_part
_complete_body = S3Response._complete_multipart_body
_UNTOLD = (
    "The upload was created using a sha256 checksum. The complete request must include the checksum for each part."
    " It was missing for part {} in the request."
)
SUMS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
}
"""By the end of their header's name, x-amz-checksum-…; CRC32C and CRC64NVME are kept, not compared."""


def install() -> None:
    """Replace moto's methods."""

    def upload_part(self: Any, bucket_name: str, multipart_id: str, part_id: int, value: bytes) -> Any:
        """moto: fails on an upload that was completed, aborted or never begun."""
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(multipart_id)
        part = _upload_part(self, bucket_name, multipart_id, part_id, value)
        part.checksum_value = base64.b64encode(SUMS["sha256"](value)).decode()
        return part

    def complete_body(self: Any, body: bytes) -> list[tuple[int, str]]:
        """moto: does not look at the parts' checksums, which S3 wants told again where an upload was begun with them."""
        upload = self.backend.get_bucket(self.bucket_name).multiparts.get(self._get_param("uploadId"))
        if upload is None:
            raise NoSuchUpload(self._get_param("uploadId"))
        told = [part.getElementsByTagName("ChecksumSHA256") for part in parseString(body).getElementsByTagName("Part")]  # noqa: S318 - our own test's, on loopback
        sums: Any
        parts = list(_complete_body(self, body))
        for (number, _), sums in zip(parts, told, strict=True):
            part = upload.parts.get(number)
            if upload.metadata.get("x-amz-checksum-algorithm") == "SHA256" and part is not None:
                if not sums:
                    raise S3ClientError("InvalidRequest", _UNTOLD.format(number))
                if sums[0].firstChild.data != part.checksum_value:
                    raise InvalidPart
        return parts

    S3Backend.upload_part = upload_part
    S3Response._complete_multipart_body = complete_body


def untyped(environ: dict[str, Any]) -> None:
    """An object that its sender calls a form (curl -d, urllib): moto's server would read it as one, and keep nothing."""
    if environ["REQUEST_METHOD"] == "PUT" and "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        environ["CONTENT_TYPE"] = environ["HTTP_CONTENT_TYPE"] = "binary/octet-stream"


def refusal(environ: dict[str, Any], body: bytes) -> tuple[str, str, int] | None:
    """S3's (code, message, status) for a request that moto would accept; None for a good one.

    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    """
    query = parse_qs(environ.get("QUERY_STRING", ""))
    if expired(query):
        return "AccessDenied", "Request has expired", 403
    if environ["REQUEST_METHOD"] not in ("PUT", "POST"):
        return None
    told = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if told.startswith("STREAMING-"):
        return None  # in chunks, with their sums within
    if re.fullmatch("[0-9a-f]{64}", told) and told != hashlib.sha256(body).hexdigest():
        return (
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            400,
        )
    if md5 := environ.get("HTTP_CONTENT_MD5"):
        if len(decoded(md5)) != 16:
            return "InvalidDigest", "The Content-MD5 you specified was invalid.", 400
        if decoded(md5) != hashlib.md5(body, usedforsecurity=False).digest():
            return "BadDigest", "The Content-MD5 you specified did not match what we received.", 400
    for kind, digest in SUMS.items():
        given = environ.get(f"HTTP_X_AMZ_CHECKSUM_{kind.upper()}")
        if given and "uploadId" in query and environ["REQUEST_METHOD"] == "POST":
            continue  # CompleteMultipartUpload tells the sum of the whole object, not of this request
        if given and decoded(given) != digest(body):
            return "BadDigest", f"The {kind.upper()} you specified did not match the calculated checksum.", 400
        if given:  # moto keeps the sum only of a request that also names its algorithm
            environ.setdefault("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", kind.upper())
    return None


def cut_short(environ: dict[str, Any]) -> None:
    """Take half of an upload off the socket: what a connection that breaks in the middle leaves."""
    if environ.get("wsgi.input_terminated"):
        environ["wsgi.input"].read(1)
    else:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)


def is_upload(environ: dict[str, Any]) -> bool:
    return environ["REQUEST_METHOD"] in ("PUT", "POST") and request.service(environ) == "s3"


def expired(query: dict[str, list[str]]) -> bool:
    """Whether this is a presigned URL (Signature Version 4) whose time is over."""
    signed, seconds = query.get("X-Amz-Date"), query.get("X-Amz-Expires")
    if not signed or not seconds:
        return False
    try:
        at = datetime.strptime(signed[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return time.time() > at.timestamp() + int(seconds[0])
    except ValueError:
        return True


def decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
