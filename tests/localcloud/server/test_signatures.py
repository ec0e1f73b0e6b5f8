"""Signature Version 4: what SDKs sign is accepted, and each change of it is refused with the service's code."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import ClientError
from hypothesis import given, strategies as st

from localcloud.credentials import Credentials
from localcloud.server import signatures
from localcloud.server.signatures import SignatureError
from tests.support.cloud_server import KEYS, client

OWNER = Credentials(*KEYS)
HOST = "127.9.9.1:4566"


def environ_of(request: Any, body: bytes) -> dict[str, Any]:
    """Return the WSGI request of a signed request, as werkzeug makes it."""
    url = urlsplit(request.url)
    environ = {"REQUEST_METHOD": request.method, "RAW_URI": url.path + (f"?{url.query}" if url.query else "")}
    for name, value in {"Host": url.netloc, **dict(request.headers.items())}.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ


def signed(auth: type, service: str, url: str, body: bytes = b"", method: str = "POST", **headers: str) -> Any:
    request = AWSRequest(method, url, dict(headers), body)
    auth(BotocoreCredentials(*KEYS), service, "ap-northeast-2").add_auth(request)
    return request


def verify(environ: dict[str, Any], body: bytes = b"", now: datetime | None = None) -> Credentials:
    return signatures.verify(environ, body, lambda key: OWNER if key == OWNER.access_key else None, now)


def kind(environ: dict[str, Any], body: bytes = b"", now: datetime | None = None) -> str:
    with pytest.raises(SignatureError) as refused:
        verify(environ, body, now)
    return refused.value.kind


text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(key=text, query=st.dictionaries(text.filter(bool), text, max_size=3), body=st.binary(max_size=20))
def test_what_botocore_signs_is_accepted(key: str, query: dict[str, str], body: bytes) -> None:
    from urllib.parse import quote, urlencode

    url = f"http://{HOST}/bucket/{quote(key, safe='/~')}?{urlencode(query, quote_via=quote)}"
    request = signed(S3SigV4Auth, "s3", url, body, "PUT")
    assert verify(environ_of(request, body), body) == OWNER


def test_each_change_of_a_signed_request_is_refused() -> None:
    body = b"Action=DescribeInstances&Version=2016-11-15"
    request = signed(SigV4Auth, "ec2", f"http://{HOST}/", body, Accept="*/*")
    good = environ_of(request, body)
    assert verify(good, body) == OWNER
    assert kind(good, body.replace(b"Describe", b"Terminate")) == "mismatch"
    assert kind(good | {"REQUEST_METHOD": "GET"}, body) == "mismatch"
    assert kind(good | {"RAW_URI": "/other"}, body) == "mismatch"
    assert kind(good | {"RAW_URI": "/?Action=TerminateInstances"}, body) == "mismatch"
    assert kind(good | {"HTTP_HOST": "evil.example"}, body) == "mismatch"
    assert kind(good | {"HTTP_X_AMZ_SECURITY_TOKEN": "forged"}, body) == "unknown key"
    assert kind(good | {"HTTP_X_AMZ_TARGET": "AmazonSSM.GetParameter"}, body) == "mismatch"
    assert (
        kind(good | {"HTTP_AUTHORIZATION": good["HTTP_AUTHORIZATION"].replace(KEYS[0], "AKIASTRANGER")}, body)
        == "unknown key"
    )
    assert kind(good | {"HTTP_AUTHORIZATION": good["HTTP_AUTHORIZATION"].replace("/ec2/", "/ssm/")}, body) == "mismatch"
    assert kind(good | {"HTTP_AUTHORIZATION": "AWS AKIA:old"}, body) == "missing"
    assert kind({name: value for name, value in good.items() if name != "HTTP_AUTHORIZATION"}, body) == "missing"
    for minutes in (-20, 20):
        assert kind(good, body, datetime.now(UTC) + timedelta(minutes=minutes)) == "skewed"


def test_a_body_that_is_not_the_declared_one_is_refused() -> None:
    request = signed(S3SigV4Auth, "s3", f"http://{HOST}/bucket/key", b"rows", "PUT")
    environ = environ_of(request, b"rows")
    assert environ["HTTP_X_AMZ_CONTENT_SHA256"] == hashlib.sha256(b"rows").hexdigest()
    assert kind(environ, b"other") == "payload"
    del environ["HTTP_X_AMZ_CONTENT_SHA256"]
    assert kind(environ, b"rows") == "payload"
    unsigned = signed(SigV4Auth, "s3", f"http://{HOST}/bucket/key", b"rows", "PUT")
    assert kind(environ_of(unsigned, b"rows"), b"rows") == "payload"


def test_a_presigned_url_is_valid_until_it_expires() -> None:
    request = AWSRequest("GET", f"http://{HOST}/bucket/key", {}, b"")
    SigV4QueryAuth(BotocoreCredentials(*KEYS), "ssm", "ap-northeast-2", expires=60).add_auth(request)
    environ = environ_of(request, b"")
    assert verify(environ) == OWNER
    assert kind(environ, now=datetime.now(UTC) + timedelta(seconds=90)) == "expired"
    assert kind(environ | {"RAW_URI": environ["RAW_URI"].replace("Expires=60", "Expires=600")}) == "mismatch"
    assert kind(environ | {"RAW_URI": "/bucket/key"}) == "missing"


@pytest.mark.parametrize(
    ("service", "call", "unknown", "forged"),
    [
        ("ec2", lambda sdk: sdk.describe_vpcs(), "AuthFailure", "AuthFailure"),
        ("s3", lambda sdk: sdk.list_buckets(), "InvalidAccessKeyId", "SignatureDoesNotMatch"),
        ("ssm", lambda sdk: sdk.describe_parameters(), "UnrecognizedClientException", "InvalidSignatureException"),
        ("iam", lambda sdk: sdk.list_roles(), "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ],
)
def test_sdks_read_who_is_refused(cloud: Any, service: str, call: Any, unknown: str, forged: str) -> None:
    call(client(cloud.server.endpoint, service))
    for keys, code in ((("AKIASTRANGERSTRANGER", "test"), unknown), ((KEYS[0], "guessed"), forged)):
        with pytest.raises(ClientError) as refused:
            call(client(cloud.server.endpoint, service, keys=keys))
        assert refused.value.response["Error"]["Code"] == code


def test_an_unsigned_request_reads_and_changes_nothing(cloud: Any) -> None:
    cloud.s3.create_bucket(Bucket="own", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"})
    cloud.s3.put_object(Bucket="own", Key="a", Body=b"text")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for method in ("GET", "PUT", "DELETE"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(urllib.request.Request(f"{cloud.server.endpoint}/own/a", b"stolen", method=method))
        assert refused.value.code == 403
    assert cloud.s3.get_object(Bucket="own", Key="a")["Body"].read() == b"text"
