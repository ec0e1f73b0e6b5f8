"""Verification of AWS Signature Version 4, in the Authorization header or a presigned URL.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from localcloud.credentials import Credentials

_ALGORITHM = "AWS4-HMAC-SHA256"
_HEADER = re.compile(rf"{_ALGORITHM} Credential=([^,]+), *SignedHeaders=([^,]+), *Signature=([0-9a-f]+)")
_MAX_SKEW = timedelta(minutes=15)
_MAX_EXPIRES = 7 * 24 * 3600  # seconds
_UNSIGNED = ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")  # S3 only
# https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html


class SignatureError(Exception):
    """A request whose signature does not prove who sent it.

    Attributes:
        kind: `missing`, `unknown key`, `mismatch`, `expired`, `skewed` or `payload`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class _Signature:
    """The parts of a signature. `expires` is None in a header."""

    scope: str
    signed_headers: str
    signature: str
    date: str
    token: str
    expires: int | None = None

    @property
    def access_key(self) -> str:
        return self.scope.partition("/")[0]


def verify(
    environ: Mapping[str, Any], body: bytes, find: Callable[[str], Credentials | None], now: datetime | None = None
) -> Credentials:
    """Return the credentials that signed a request.

    Args:
        environ: The WSGI request.
        find: Returns the credentials with an access key id.
        now: The time of the request.

    Raises:
        SignatureError: The request is not signed, or not by credentials of this cloud.
    """
    path, _, query = str(environ["RAW_URI"]).partition("?")
    pairs = [_decode_pair(part) for part in query.split("&") if part]
    signature = _parse(environ, dict(pairs))
    credentials = find(signature.access_key)
    if credentials is None or not hmac.compare_digest(credentials.token, signature.token):
        raise SignatureError("unknown key", "The security token included in the request is invalid.")
    parts = signature.scope.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request" or not signature.date.startswith(parts[1]):
        raise SignatureError("mismatch", f"The credential scope {signature.scope} is not valid.")
    _check_time(signature, now or datetime.now(UTC))
    service = parts[3]
    headers = _canonical_headers(environ, signature.signed_headers)
    canonical = "\n".join(
        [
            str(environ["REQUEST_METHOD"]),
            canonical_path(path, service),
            "&".join(
                f"{name}={value}" for name, value in sorted(map(_encode_pair, pairs)) if name != "X-Amz-Signature"
            ),
            headers,
            signature.signed_headers,
            _payload_hash(environ, body, service, presigned=signature.expires is not None),
        ]
    )
    scope = "/".join(parts[1:])
    text = f"{_ALGORITHM}\n{signature.date}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    if not hmac.compare_digest(_sign(credentials.secret_key, parts[1:], text), signature.signature):
        message = "The request signature we calculated does not match the signature you provided."
        raise SignatureError("mismatch", message)
    return credentials


def canonical_path(raw: str, service: str) -> str:
    """Return the canonical URI. S3's path is encoded once and not normalized; that of other services twice."""
    path = urlsplit(raw).path if not raw.startswith("/") else raw
    if service == "s3":
        return quote(unquote(path), safe="/~") or "/"
    normalized = posixpath.normpath(path) + ("/" if path.endswith("/") and path != "/" else "")
    return quote("/" + normalized.lstrip("/"), safe="/~")


def _parse(environ: Mapping[str, Any], query: Mapping[str, str]) -> _Signature:
    if header := environ.get("HTTP_AUTHORIZATION"):
        match = _HEADER.fullmatch(str(header).strip())
        if match is None:
            raise SignatureError("missing", f"Authorization is not a signature of the form {_ALGORITHM} Credential=….")
        date, token = environ.get("HTTP_X_AMZ_DATE", ""), environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "")
        return _Signature(match[1], match[2], match[3], str(date), str(token))
    if query.get("X-Amz-Algorithm") != _ALGORITHM:
        raise SignatureError("missing", "Request is missing Authentication Token")
    scope, signed_headers = query.get("X-Amz-Credential", ""), query.get("X-Amz-SignedHeaders", "")
    signature, date = query.get("X-Amz-Signature", ""), query.get("X-Amz-Date", "")
    expires = query.get("X-Amz-Expires", "")
    if not (scope and signed_headers and signature and date and expires.isdigit()) or int(expires) > _MAX_EXPIRES:
        raise SignatureError("mismatch", "The query parameters of the presigned URL are incomplete.")
    token = query.get("X-Amz-Security-Token", "")
    return _Signature(scope, signed_headers, signature, date, token, int(expires))


def _check_time(signature: _Signature, now: datetime) -> None:
    try:
        signed = datetime.strptime(signature.date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SignatureError("missing", "The request has no valid X-Amz-Date.") from None
    if signature.expires is not None and now > signed + timedelta(seconds=signature.expires):
        raise SignatureError("expired", "Request has expired")
    if signed > now + _MAX_SKEW or (signature.expires is None and signed < now - _MAX_SKEW):
        raise SignatureError("skewed", "The difference between the request time and the current time is too large.")


def _canonical_headers(environ: Mapping[str, Any], signed_headers: str) -> str:
    """Return the signed headers. `host` must be among them, and every x-amz-* header that the request has."""
    names = signed_headers.split(";")
    present = {name[5:].lower().replace("_", "-") for name in environ if name.startswith("HTTP_X_AMZ_")}
    if "host" not in names or not present <= set(names):
        raise SignatureError("mismatch", "There were headers present in the request which were not signed.")
    lines = []
    for name in names:
        key = name.upper().replace("-", "_")
        value = str(environ.get(key if name in ("content-type", "content-length") else f"HTTP_{key}", ""))
        lines.append(f"{name}:{' '.join(value.split())}\n")
    return "".join(lines)


def _payload_hash(environ: Mapping[str, Any], body: bytes, service: str, *, presigned: bool) -> str:
    declared = str(environ.get("HTTP_X_AMZ_CONTENT_SHA256", ""))
    if service == "s3":
        if not declared and not presigned:
            raise SignatureError("payload", "Missing required header for this request: x-amz-content-sha256")
        if presigned or declared in _UNSIGNED:
            return declared or "UNSIGNED-PAYLOAD"
    digest = hashlib.sha256(body).hexdigest()
    if declared and declared != digest:
        raise SignatureError("payload", "The provided 'x-amz-content-sha256' header does not match what was computed.")
    return digest


def _sign(secret_key: str, scope: list[str], text: str) -> str:
    key = f"AWS4{secret_key}".encode()
    for part in (*scope, text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def _decode_pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return unquote(name.replace("+", " ")), unquote(value.replace("+", " "))


def _encode_pair(pair: tuple[str, str]) -> tuple[str, str]:
    return quote(pair[0], safe="-_.~"), quote(pair[1], safe="-_.~")
