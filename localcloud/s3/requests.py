"""Checks of S3 requests that moto lacks: expected owner, checksums, expired presigned URLs, unknown multipart uploads."""

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
from moto.s3.models import S3Backend, s3_backends
from moto.s3.responses import S3Response

from localcloud.core import request
from localcloud.core.overrides import replace_methods

_upload_part = S3Backend.upload_part
_complete_body = S3Response._complete_multipart_body
_MISSING_CHECKSUM = (
    "The upload was created using a sha256 checksum. The complete request must include the checksum for each part."
    " It was missing for part {} in the request."
)
CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
}
"""Functions by the suffix of their header, x-amz-checksum-…. CRC32C and CRC64NVME are stored without a check."""


def install() -> None:
    """Replace moto's methods."""

    def upload_part(self: Any, bucket_name: str, multipart_id: str, part_id: int, value: bytes) -> Any:
        """moto fails with an internal error on an unknown upload.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html"""
        if multipart_id not in self.get_bucket(bucket_name).multiparts:
            raise NoSuchUpload(multipart_id)
        part = _upload_part(self, bucket_name, multipart_id, part_id, value)
        part.checksum_value = base64.b64encode(CHECKSUMS["sha256"](value)).decode()
        return part

    def _complete_multipart_body(self: Any, body: bytes) -> list[tuple[int, str]]:
        """moto ignores the checksums of parts, which S3 requires if the upload was created with a checksum algorithm.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html"""
        upload = self.backend.get_bucket(self.bucket_name).multiparts.get(self._get_param("uploadId"))
        if upload is None:
            raise NoSuchUpload(self._get_param("uploadId"))
        elements = parseString(body).getElementsByTagName("Part")  # noqa: S318 - from a client on loopback
        sums: Any
        parts = list(_complete_body(self, body))
        for (number, _), element in zip(parts, elements, strict=True):
            sums = element.getElementsByTagName("ChecksumSHA256")
            part = upload.parts.get(number)
            if upload.metadata.get("x-amz-checksum-algorithm") == "SHA256" and part is not None:
                if not sums:
                    raise S3ClientError("InvalidRequest", _MISSING_CHECKSUM.format(number))
                if sums[0].firstChild.data != part.checksum_value:
                    raise InvalidPart
        return parts

    replace_methods(S3Backend, upload_part)
    replace_methods(S3Response, _complete_multipart_body)


def drop_form_type(environ: dict[str, Any]) -> None:
    """Remove the content type of a form from an object (curl -d, urllib), which moto would parse and not store."""
    if environ["REQUEST_METHOD"] == "PUT" and "x-www-form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        environ["CONTENT_TYPE"] = environ["HTTP_CONTENT_TYPE"] = "binary/octet-stream"


def find_error(environ: dict[str, Any], body: bytes) -> tuple[str, str, int] | None:
    """Return the code, message and status of S3's error for a request that moto accepts; None for a valid request.
    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""
    query = parse_qs(environ.get("QUERY_STRING", ""))
    expected, owner = environ.get("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER"), bucket_owner(environ["PATH_INFO"])
    if expected and owner and expected != owner:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
        return "AccessDenied", "Access Denied", 403
    if is_expired(query):
        return "AccessDenied", "Request has expired", 403
    if environ["REQUEST_METHOD"] not in ("PUT", "POST"):
        return None
    sha256 = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if sha256.startswith("STREAMING-"):
        return None  # the chunks contain their checksums
    if re.fullmatch("[0-9a-f]{64}", sha256) and sha256 != hashlib.sha256(body).hexdigest():
        return (
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            400,
        )
    if md5 := environ.get("HTTP_CONTENT_MD5"):
        if len(decode_base64(md5)) != 16:
            return "InvalidDigest", "The Content-MD5 you specified was invalid.", 400
        if decode_base64(md5) != hashlib.md5(body, usedforsecurity=False).digest():
            return "BadDigest", "The Content-MD5 you specified did not match what we received.", 400
    for kind, digest in CHECKSUMS.items():
        checksum = environ.get(f"HTTP_X_AMZ_CHECKSUM_{kind.upper()}")
        if not checksum or ("uploadId" in query and environ["REQUEST_METHOD"] == "POST"):
            continue  # CompleteMultipartUpload has the checksum of the object, not of this request
        if decode_base64(checksum) != digest(body):
            return "BadDigest", f"The {kind.upper()} you specified did not match the calculated checksum.", 400
        # moto stores the checksum only if the request also names its algorithm
        environ.setdefault("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", kind.upper())
    return None


def bucket_owner(path: str) -> str:
    """Return the account of the bucket that a path begins with; empty if there is no such bucket."""
    _, account = s3_backends.bucket_accounts.get(path.lstrip("/").partition("/")[0], ("", ""))
    return str(account)


def read_half(environ: dict[str, Any]) -> None:
    """Read half of an upload, for the fault of a broken connection."""
    if environ.get("wsgi.input_terminated"):
        environ["wsgi.input"].read(1)
    else:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)


def is_upload(environ: dict[str, Any]) -> bool:
    return environ["REQUEST_METHOD"] in ("PUT", "POST") and request.signing_service(environ) == "s3"


def is_expired(query: dict[str, list[str]]) -> bool:
    """Return True for an expired presigned URL (Signature Version 4)."""
    signed, seconds = query.get("X-Amz-Date"), query.get("X-Amz-Expires")
    if not signed or not seconds:
        return False
    try:
        signed_at = datetime.strptime(signed[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return time.time() > signed_at.timestamp() + int(seconds[0])
    except ValueError:
        return True


def decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
