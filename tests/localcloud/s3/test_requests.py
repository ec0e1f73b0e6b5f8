"""S3: what arrives is what was sent, interrupted transfers fail whole, and objects outlive restarts."""

from __future__ import annotations

import base64
import hashlib
import os
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from localcloud import control
from localcloud.s3 import requests
from tests.support.cloud_server import client

LOCATION = {"LocationConstraint": "ap-northeast-2"}


@pytest.fixture
def s3(cloud: Any) -> Any:
    cloud.s3.create_bucket(Bucket="backups", CreateBucketConfiguration=LOCATION)
    return cloud.s3


def raises(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\)")


def sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def test_bucket_of_another_owner_than_expected_is_refused(s3: Any) -> None:
    s3.put_object(Bucket="backups", Key="a", Body=b"rows", ExpectedBucketOwner="123456789012")
    with raises("AccessDenied"):
        s3.put_object(Bucket="backups", Key="a", Body=b"other rows", ExpectedBucketOwner="210987654321")
    with raises("403"):
        s3.head_bucket(Bucket="backups", ExpectedBucketOwner="210987654321")
    assert s3.get_object(Bucket="backups", Key="a")["Body"].read() == b"rows"
    with raises("NoSuchBucket"):
        s3.get_object(Bucket="nobodys", Key="a", ExpectedBucketOwner="210987654321")


def test_checksums_are_compared_and_kept(s3: Any) -> None:
    s3.put_object(
        Bucket="backups", Key="a", Body=b"rows", ChecksumSHA256=sha256(b"rows"), ServerSideEncryption="aws:kms"
    )
    response = s3.head_object(Bucket="backups", Key="a", ChecksumMode="ENABLED")
    assert (response["ChecksumSHA256"], response["ServerSideEncryption"]) == (sha256(b"rows"), "aws:kms")
    with raises("BadDigest"):
        s3.put_object(Bucket="backups", Key="b", Body=b"row", ChecksumSHA256=sha256(b"rows"))
    with raises("BadDigest"):
        s3.put_object(Bucket="backups", Key="b", Body=b"row", ContentMD5=base64.b64encode(bytes(16)).decode())
    with raises("InvalidDigest"):
        s3.put_object(Bucket="backups", Key="b", Body=b"row", ContentMD5="short")
    with raises("404"):
        s3.head_object(Bucket="backups", Key="b")


def test_a_payload_that_differs_from_its_signature_s_is_refused() -> None:
    environ = {
        "REQUEST_METHOD": "PUT",
        "PATH_INFO": "/backups/a",
        "HTTP_X_AMZ_CONTENT_SHA256": hashlib.sha256(b"sent").hexdigest(),
    }
    assert requests.find_error(environ, b"sent") is None
    result = requests.find_error(environ, b"arrived")
    assert result is not None
    assert result[0] == "XAmzContentSHA256Mismatch"


def test_presigned_urls_work_until_they_expire(s3: Any) -> None:
    def send(url: str) -> int:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(urllib.request.Request(url, data=b"streamed", method="PUT")) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code

    options = {"Bucket": "backups", "Key": "streamed"}
    assert send(s3.generate_presigned_url("put_object", Params=options, ExpiresIn=60)) == 200
    assert s3.get_object(**options)["Body"].read() == b"streamed"
    assert send(s3.generate_presigned_url("put_object", Params=options, ExpiresIn=-1)) == 403


def test_uploads_in_parts_and_old_versions_outlive_restarts(cloud: Any, s3: Any) -> None:
    s3.put_bucket_versioning(Bucket="backups", VersioningConfiguration={"Status": "Enabled"})
    upload = s3.create_multipart_upload(Bucket="backups", Key="dump", ChecksumAlgorithm="SHA256")["UploadId"]
    bodies = [os.urandom(5 << 20), os.urandom(1 << 20)]

    def part(number: int) -> dict[str, Any]:
        options = {"Bucket": "backups", "Key": "dump", "UploadId": upload, "PartNumber": number}
        response = cloud.s3.upload_part(**options, Body=bodies[number - 1], ChecksumSHA256=sha256(bodies[number - 1]))
        return {"PartNumber": number, "ETag": response["ETag"], "ChecksumSHA256": response["ChecksumSHA256"]}

    parts = [part(1)]
    cloud.restart()
    assert [one["Size"] for one in cloud.s3.list_parts(Bucket="backups", Key="dump", UploadId=upload)["Parts"]] == [
        5 << 20
    ]
    parts.append(part(2))
    done = {"Bucket": "backups", "Key": "dump", "UploadId": upload, "MultipartUpload": {"Parts": parts}}
    cloud.s3.complete_multipart_upload(**done)
    with raises("NoSuchUpload"):
        part(2)
    assert cloud.s3.get_object(Bucket="backups", Key="dump")["Body"].read() == b"".join(bodies)
    cloud.s3.put_object(Bucket="backups", Key="dump", Body=b"newer")
    assert len(cloud.s3.list_object_versions(Bucket="backups", Prefix="dump")["Versions"]) == 2
    cloud.restart()
    newer, older = cloud.s3.list_object_versions(Bucket="backups", Prefix="dump")["Versions"]
    for version, body in ((newer, b"newer"), (older, b"".join(bodies))):
        options = {"Bucket": "backups", "Key": "dump", "VersionId": version["VersionId"]}
        assert cloud.s3.get_object(**options)["Body"].read() == body
    cloud.s3.delete_object(Bucket="backups", Key="dump")
    cloud.restart()
    cloud.s3.delete_object(
        Bucket="backups",
        Key="dump",
        VersionId=cloud.s3.list_object_versions(Bucket="backups")["DeleteMarkers"][0]["VersionId"],
    )
    assert cloud.s3.get_object(Bucket="backups", Key="dump")["Body"].read() == b"newer"


def test_an_upload_can_break_off_in_the_middle(cloud: Any, s3: Any) -> None:
    control.request(
        cloud.server.endpoint, cloud.folder.read_owner(), "POST", "faults", {"kind": "cut_upload", "action": "PUT"}
    )
    with pytest.raises(ConnectionClosedError):
        s3.put_object(Bucket="backups", Key="a", Body=os.urandom(1 << 20))
    assert "Contents" not in s3.list_objects_v2(Bucket="backups")
    control.request(
        cloud.server.endpoint, cloud.folder.read_owner(), "POST", "faults", {"kind": "cut_upload", "action": "PUT"}
    )
    client(cloud.server.endpoint, "s3", attempts=3).put_object(Bucket="backups", Key="a", Body=os.urandom(1 << 20))
    assert s3.head_object(Bucket="backups", Key="a")["ContentLength"] == 1 << 20
    s3.delete_object(Bucket="backups", Key="a")
    assert list(cloud.folder.objects.iterdir()) == []  # at once, not only at the next start
