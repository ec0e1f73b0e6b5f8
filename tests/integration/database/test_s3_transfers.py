"""Large objects are sent and read in parts, which are retried; a transfer that fails leaves nothing."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.s3.models import s3_backends

from goldenami.aws import s3
from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError
from localcloud import control
from localcloud.core.cloud import ACCOUNT
from tests.support.cloud_server import KEYS

PART = 5 << 20  # bytes, the minimum of S3
CHUNK = 8 << 20  # bytes of a part that boto3 sends
BODY = os.urandom(2 * PART + 12345)
AT = {"Bucket": "backups", "Key": "dump"}


def sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


@pytest.fixture
def aws(cloud: Any) -> AwsSession:
    cloud.s3.create_bucket(Bucket="backups", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"})
    return AwsSession("ap-northeast-2", endpoint_url=cloud.server.endpoint, keys=KEYS)


def calls_of(aws: AwsSession, call: str) -> list[dict[str, Any]]:
    """Return a list of the parameters of each call of a name from now on."""
    made: list[dict[str, Any]] = []
    aws.client("s3").meta.events.register(
        f"provide-client-params.s3.{call}", lambda params, **_: made.append(dict(params))
    )
    return made


def break_off(cloud: Any, kind: str, action: str, times: int = 1) -> None:
    control.request(
        cloud.server.endpoint,
        cloud.folder.read_owner(),
        "POST",
        "faults",
        {"kind": kind, "action": action, "times": times},
    )


def test_a_large_file_is_sent_in_parts_and_a_broken_part_again(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(BODY)
    sent = calls_of(aws, "UploadPart")
    break_off(cloud, "cut_upload", "PUT")
    s3.upload(aws, "backups", "dump", tmp_path / "dump")
    assert [call["PartNumber"] for call in sorted(sent, key=lambda call: call["PartNumber"])] == [1, 2]
    assert cloud.s3.get_object(**AT)["Body"].read() == BODY
    assert "Uploads" not in cloud.s3.list_multipart_uploads(Bucket="backups")
    parts = base64.b64decode(sha256(BODY[:CHUNK])) + base64.b64decode(sha256(BODY[CHUNK:]))
    assert cloud.s3.head_object(**AT, ChecksumMode="ENABLED")["ChecksumSHA256"].startswith(sha256(parts))
    assert s3.digest(aws, "backups", "dump") == hashlib.sha256(BODY).hexdigest()


def test_an_upload_that_fails_leaves_no_object_and_no_parts(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(BODY)

    def abort(**_: Any) -> None:
        s3.abort_unfinished(aws, "backups", "dump")

    aws.client("s3").meta.events.register("before-call.s3.CompleteMultipartUpload", abort)
    with pytest.raises(AwsError, match=r"upload of .*dump to s3://backups/dump failed: .*NoSuchUpload"):
        s3.upload(aws, "backups", "dump", tmp_path / "dump")
    assert "Uploads" not in cloud.s3.list_multipart_uploads(Bucket="backups")
    with pytest.raises(ClientError, match="404"):
        cloud.s3.head_object(**AT)


def test_incomplete_uploads_of_an_object_are_aborted_and_no_others(cloud: Any, aws: AwsSession) -> None:
    for key in ("dump", "dump", "dump2"):
        cloud.s3.create_multipart_upload(Bucket="backups", Key=key)
    s3.abort_unfinished(aws, "backups", "dump")
    assert [one["Key"] for one in cloud.s3.list_multipart_uploads(Bucket="backups")["Uploads"]] == ["dump2"]


def test_a_small_file_is_one_request(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    sent = calls_of(aws, "PutObject")
    for body in (b"", b"roles"):
        (tmp_path / "roles.sql").write_bytes(body)
        s3.upload(aws, "backups", "dump", tmp_path / "roles.sql")
        s3.download(aws, "backups", "dump", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == body
        assert s3.digest(aws, "backups", "dump") == hashlib.sha256(body).hexdigest()
    assert len(sent) == 2


def test_a_broken_download_is_repeated(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    cloud.s3.put_object(**AT, Body=BODY)
    break_off(cloud, "cut_download", "GET")
    s3.download(aws, "backups", "dump", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == BODY
    break_off(cloud, "cut_download", "GET")
    assert s3.digest(aws, "backups", "dump") == hashlib.sha256(BODY).hexdigest()
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy"]


def test_what_cannot_be_read_does_not_appear(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    cloud.s3.put_object(**AT, Body=b"four")
    break_off(cloud, "cut_download", "GET", times=99)
    with pytest.raises(AwsError, match="download of s3://backups/dump failed"):
        s3.download(aws, "backups", "dump", tmp_path / "copy")
    with pytest.raises(AwsError, match="download of s3://backups/dump failed"):
        s3.digest(aws, "backups", "dump")
    assert list(tmp_path.glob("copy*")) == []
    control.request(cloud.server.endpoint, cloud.folder.read_owner(), "DELETE", "faults")
    s3.download(aws, "backups", "dump", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"four"


def test_an_object_that_is_replaced_while_it_is_read_is_refused(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    cloud.s3.put_object(**AT, Body=BODY)

    def replace(**_: Any) -> None:
        cloud.s3.put_object(**AT, Body=BODY[::-1])

    aws.client("s3").meta.events.register("before-call.s3.GetObject", replace)
    with pytest.raises(AwsError, match="did not match expected ETag"):
        s3.download(aws, "backups", "dump", tmp_path / "copy")
    assert list(tmp_path.glob("copy*")) == []


def test_an_upload_with_checksums_is_complete_only_with_all_of_them(cloud: Any, aws: AwsSession) -> None:
    upload = cloud.s3.create_multipart_upload(**AT, ChecksumAlgorithm="SHA256")["UploadId"]
    part = cloud.s3.upload_part(**AT, UploadId=upload, PartNumber=1, Body=b"rows", ChecksumSHA256=sha256(b"rows"))
    for told, code in (({}, "InvalidRequest"), ({"ChecksumSHA256": sha256(b"row")}, "InvalidPart")):
        parts = [{"PartNumber": 1, "ETag": part["ETag"], **told}]
        with pytest.raises(ClientError, match=code):
            cloud.s3.complete_multipart_upload(**AT, UploadId=upload, MultipartUpload={"Parts": parts})
    with pytest.raises(ClientError, match="404"):
        cloud.s3.head_object(**AT)


def test_a_large_object_is_one_file_and_its_ranges_are_read_from_there(cloud: Any, aws: AwsSession) -> None:
    upload = cloud.s3.create_multipart_upload(**AT)["UploadId"]
    parts = [
        {
            "PartNumber": n + 1,
            "ETag": cloud.s3.upload_part(**AT, UploadId=upload, PartNumber=n + 1, Body=BODY[n * PART : (n + 1) * PART])[
                "ETag"
            ],
        }
        for n in range(3)
    ]
    cloud.s3.complete_multipart_upload(**AT, UploadId=upload, MultipartUpload={"Parts": parts})
    for _ in range(2):
        key = s3_backends[ACCOUNT]["aws"].get_object("backups", "dump")
        files = [path for path in cloud.folder.objects.iterdir() if path.stat().st_size]
        assert [path.name for path in files] == [hashlib.sha256(BODY).hexdigest()]
        assert Path(key._value_buffer.name) == files[0]
        for asked in ("bytes=0-9", f"bytes={PART - 5}-{PART + 4}", "bytes=-7", f"bytes={len(BODY) - 1}-"):
            first, last = asked.removeprefix("bytes=").split("-")
            expected = BODY[int(first) : int(last) + 1 if last else None] if first else BODY[-int(last) :]
            told = cloud.s3.get_object(**AT, Range=asked)
            assert (told["ContentLength"], told["Body"].read()) == (len(expected), expected)
        cloud.s3.copy_object(Bucket="backups", Key="copy", CopySource=AT)
        assert cloud.s3.get_object(Bucket="backups", Key="copy")["Body"].read() == BODY
        cloud.s3.delete_object(Bucket="backups", Key="copy")
        cloud.restart()
