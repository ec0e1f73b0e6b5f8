"""Whom the local cloud answers: no web page, no foreign host, nobody for moto's own API, and the owner for control calls."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import control
from localcloud.core.addresses import PORT
from localcloud.credentials import Credentials
from localcloud.errors import CloudError, NotOurCloudError
from localcloud.server import admission
from localcloud.state_dir import StateDir
from tests.localcloud.ec2.test_metadata import Guest
from tests.support.cloud_server import client

ENDPOINT = f"127.9.9.1:{PORT}"
SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/ap-northeast-2/{}/aws4_request, SignedHeaders=host, Signature=0"
MOTO_PATHS = [
    "/moto-api/",
    "/moto-api/reset",
    "/moto-api/recorder/start-recording",
    "/moto-api/recorder/download-recording",
    "//moto-api/reset",
    "///moto-api//reset",
    "////moto-api/reset",
    "/MOTO-API/reset",
    "/%6doto%2Dapi/reset",
    "/%256doto-api/reset",
    "/x/../moto-api/reset",
    "/moto-api/reset/more",
    "http://{}/moto-api/reset",
]


def send_to_endpoint(cloud: Any, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
    """Send one request as any process of this machine, and a guest through user-mode networking, does."""
    host = cloud.server.endpoint.removeprefix("http://")
    return send_request(http.client.HTTPConnection(host, timeout=5), method, path.format(host), body, headers)


def ask_as_guest(cloud: Any, method: str, path: str, host: str = "169.254.169.250", **headers: str) -> tuple[int, str]:
    instance = cloud.run()
    cloud.wait(instance, "running")
    return send_request(Guest(cloud.driver.launched(instance)[0].spec.api_socket, host), method, path, None, headers)


def send_request(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]
) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text


def test_a_web_page_is_refused_and_changes_nothing(cloud: Any) -> None:
    for origin in ("https://evil.example", "null", cloud.server.endpoint):
        status, text = send_to_endpoint(cloud, "PUT", "/stolen", Origin=origin)
        assert (status, "<Code>AccessDenied</Code>" in text) == (403, True)
    assert send_to_endpoint(cloud, "PUT", "/stolen", Sec_Fetch_Site="cross-site")[0] == 403
    options = {"Origin": "https://evil.example", "Access_Control_Request_Method": "PUT"}
    for headers in ({}, options):
        assert send_to_endpoint(cloud, "OPTIONS", "/stolen", **headers)[0] == 403
    assert cloud.s3.list_buckets()["Buckets"] == []


def test_a_url_that_the_user_opens_is_answered(cloud: Any) -> None:
    cloud.s3.create_bucket(Bucket="own", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"})
    cloud.s3.put_object(Bucket="own", Key="a", Body=b"text")
    url = cloud.s3.generate_presigned_url("get_object", Params={"Bucket": "own", "Key": "a"}, ExpiresIn=60)
    path = url.removeprefix(cloud.server.endpoint)
    assert send_to_endpoint(cloud, "GET", path, Sec_Fetch_Site="none") == (200, "text")
    assert send_to_endpoint(cloud, "GET", path, Sec_Fetch_Site="same-site")[0] == 403


def test_a_foreign_host_is_refused_and_changes_nothing(cloud: Any) -> None:
    address = cloud.server.endpoint.removeprefix("http://").partition(":")[0]
    for host in (
        "evil.example",
        f"evil.example:{PORT}",
        f"localhost:{PORT}",
        f"127.0.0.1:{PORT}",
        f"stolen.{address}:{PORT}",
        f"{address}:{PORT}.evil.example",
        f"{address}:80",
        address,
        "169.254.169.250",
        "",
    ):
        assert send_to_endpoint(cloud, "PUT", "/stolen", Host=host)[0] == 403, host
    assert send_to_endpoint(cloud, "PUT", "http://evil.example/stolen")[0] == 403
    assert cloud.s3.list_buckets()["Buckets"] == []


@pytest.mark.parametrize("path", MOTO_PATHS)
def test_moto_s_own_api_is_refused_in_every_spelling(cloud: Any, path: str) -> None:
    cloud.ssm.put_parameter(Name="/kept", Value="1", Type="String")
    for method in ("GET", "POST"):
        status, text = send_to_endpoint(cloud, method, path)
        assert (status, "own API" in text) == (403, True)
    trick = SIGNED.format("motoapi.amazonaws.com")  # moto takes the service for a part of a host's name
    assert send_to_endpoint(cloud, "POST", path, Authorization=trick)[0] == 403
    assert cloud.ssm.get_parameter(Name="/kept")["Parameter"]["Value"] == "1"


def test_a_guest_is_admitted_by_its_own_host_name_only(cloud: Any) -> None:
    for host in ("169.254.169.250", "169.254.169.250:80"):
        status, text = ask_as_guest(cloud, "GET", "/", host=host)
        assert (status, "Request is missing Authentication Token" in text) == (403, True)  # admitted, but not signed
    for refused in ({"host": "evil.example"}, {"Origin": "http://169.254.169.250"}):
        status, text = ask_as_guest(cloud, "GET", "/", **refused)
        assert (status, "The local cloud answers" in text) == (403, True)
    assert ask_as_guest(cloud, "POST", "/moto-api/reset")[0] == 403


def test_nobody_but_the_owner_orders_faults_or_the_end(cloud: Any) -> None:
    for call in (("POST", "shutdown"), ("POST", "faults"), ("DELETE", "faults"), ("GET", "status")):
        for path in (f"/_localcloud/{call[1]}", f"//_localcloud/{call[1]}"):
            for send in (ask_as_guest, send_to_endpoint):
                assert send(cloud, call[0], path)[0] == 403
    assert not cloud.server.gateway.end.is_set()


def test_a_role_is_not_the_owner(cloud: Any) -> None:
    cloud.iam.create_role(RoleName="web", AssumeRolePolicyDocument="{}")
    role = cloud.iam.get_role(RoleName="web")["Role"]["Arn"]
    keys = client(cloud.server.endpoint, "sts").assume_role(RoleArn=role, RoleSessionName="guest")["Credentials"]
    session = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"])
    with pytest.raises(NotOurCloudError):  # it has a token, which control calls have not
        control.request(cloud.server.endpoint, session, "POST", "shutdown")
    assert not cloud.server.gateway.end.is_set()


def test_the_owner_s_control_calls_work_and_say_why_when_refused(cloud: Any) -> None:
    owner = cloud.folder.read_owner()
    assert control.request(cloud.server.endpoint, owner, "GET", "status")["state"] == str(cloud.folder.root)
    with pytest.raises(CloudError, match=r"refused nothing: .*unknown control call"):
        control.request(cloud.server.endpoint, owner, "GET", "nothing")
    control.request(cloud.server.endpoint, owner, "POST", "shutdown")
    assert cloud.server.gateway.end.is_set()


def test_a_server_without_the_owner_s_key_is_not_believed(cloud: Any, tmp_path: Path) -> None:
    StateDir(tmp_path / "other").prepare()
    stranger = StateDir(tmp_path / "other").read_owner()
    with pytest.raises(NotOurCloudError, match="is not the local cloud of this state folder"):
        control.request(cloud.server.endpoint, stranger, "GET", "status")


def test_a_service_that_is_not_offered_is_refused(cloud: Any) -> None:
    with pytest.raises(ClientError, match="does not offer the service lambda"):
        client(cloud.server.endpoint, "lambda").list_functions()


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("ec2", lambda ec2: ec2.describe_vpcs(), "UnauthorizedOperation"),
        ("s3", lambda s3: s3.list_buckets(), "AccessDenied"),
        ("ssm", lambda ssm: ssm.describe_parameters(), "AccessDeniedException"),
        ("iam", lambda iam: iam.list_roles(), "AccessDenied"),
        ("scheduler", lambda scheduler: scheduler.list_schedules(), "AccessDeniedException"),
    ],
)
def test_sdks_read_the_refusal(cloud: Any, service: str, call: Callable[[Any], Any], code: str) -> None:
    sdk = client(cloud.server.endpoint, service)
    call(sdk)
    sdk.meta.events.register("before-send", lambda request, **_: request.headers.__setitem__("Origin", "null"))
    with pytest.raises(ClientError) as refused:
        call(sdk)
    told = refused.value.response
    assert (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]) == (code, 403)
    assert told["Error"]["Message"] == "The local cloud answers no web page."


def test_the_body_is_not_waited_for(cloud: Any) -> None:
    host = cloud.server.endpoint.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.putrequest("PUT", "/stolen/a")
    connection.putheader("Origin", "null")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders()  # and no body
    assert connection.getresponse().status == 403
    connection.close()


def test_a_request_names_its_host() -> None:
    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": ENDPOINT, "REQUEST_METHOD": "POST", "PATH_INFO": "/"}
    assert admission.refusal_response(environ, ENDPOINT) is None
    del environ["HTTP_HOST"]
    assert admission.refusal_response(environ, ENDPOINT) is not None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("", "/"),
        ("/Bucket/key", "/bucket/key"),
        ("//moto-api//reset/", "/moto-api/reset"),
        ("/%25256doto-api", "/moto-api"),
        ("/..%2fmoto-api", "/moto-api"),
        ("\\moto-api", "/moto-api"),
        ("/bucket/moto-api/reset", "/bucket/moto-api/reset"),
    ],
)
def test_a_path_has_one_plain_spelling(path: str, expected: str) -> None:
    assert admission.normalize_path(path) == expected
