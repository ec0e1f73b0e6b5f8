"""Large objects are transferred in parts, and an interrupted transfer resumes."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from moto.s3.models import s3_backends

from goldenami.aws import s3
from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError
from localcloud import control
from localcloud.core.cloud import ACCOUNT

PART = 5 << 20  # bytes, the least that S3 takes
BODY = os.urandom(2 * PART + 12345)
AT = {"Bucket": "backups", "Key": "dump"}


def sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


@pytest.fixture
def aws(cloud: Any) -> AwsSession:
    cloud.s3.create_bucket(Bucket="backups", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"})
    return AwsSession("ap-northeast-2", endpoint_url=cloud.server.endpoint, keys=("test", "test"))


def watched(aws: AwsSession, call: str) -> list[dict[str, Any]]:
    """The parameters of each call of a name from now on."""
    made: list[dict[str, Any]] = []
    aws.client("s3").meta.events.register(
        f"provide-client-params.s3.{call}", lambda params, **_: made.append(dict(params))
    )
    return made


def break_off(cloud: Any, kind: str, action: str, times: int = 1) -> None:
    control.request(cloud.server.endpoint, "POST", "faults", {"kind": kind, "action": action, "times": times})


def test_upload_resumes_with_missing_parts(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(BODY)
    begun = cloud.s3.create_multipart_upload(**AT, ChecksumAlgorithm="SHA256")["UploadId"]
    pieces = {1: BODY[:PART], 2: b"something else" * PART}
    for number, body in pieces.items():
        cloud.s3.upload_part(**AT, UploadId=begun, PartNumber=number, Body=body, ChecksumSHA256=sha256(body))
    cloud.restart()
    aws = AwsSession("ap-northeast-2", endpoint_url=cloud.server.endpoint, keys=("test", "test"))
    sent = watched(aws, "UploadPart")
    break_off(cloud, "cut_upload", "PUT")
    s3.upload(aws, "backups", "dump", tmp_path / "dump", part=PART)
    assert [call["PartNumber"] for call in sent] == [2, 3], "the first was there; one of these broke and was sent again"
    assert cloud.s3.get_object(**AT)["Body"].read() == BODY
    assert "Uploads" not in cloud.s3.list_multipart_uploads(Bucket="backups")
    assert s3.digest(aws, "backups", "dump") == hashlib.sha256(BODY).hexdigest()


def test_completed_upload_counts_although_the_response_was_lost(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(BODY)
    ended = watched(aws, "CompleteMultipartUpload")
    lost: list[int] = []

    def lose(**_: Any) -> None:
        """All is done, and somebody else hears of it."""
        if not lost:
            lost.append(1)
            cloud.s3.complete_multipart_upload(**ended[0])

    aws.client("s3").meta.events.register("before-call.s3.CompleteMultipartUpload", lose)
    s3.upload(aws, "backups", "dump", tmp_path / "dump", part=PART)
    assert lost
    assert cloud.s3.get_object(**AT)["Body"].read() == BODY
    assert "Uploads" not in cloud.s3.list_multipart_uploads(Bucket="backups")


def test_aborted_upload_does_not_count(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(BODY)
    s3.upload(aws, "backups", "dump", tmp_path / "dump", part=PART)
    (tmp_path / "dump").write_bytes(BODY[:-1] + b"x")

    def give_up(**_: Any) -> None:
        s3.abort_unfinished(aws, "backups", "dump")

    aws.client("s3").meta.events.register("before-call.s3.CompleteMultipartUpload", give_up)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.upload(aws, "backups", "dump", tmp_path / "dump", part=PART)
    assert "Uploads" not in cloud.s3.list_multipart_uploads(Bucket="backups")
    assert cloud.s3.get_object(**AT)["Body"].read() == BODY


def test_small_file_is_one_request(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    for body in (b"", b"roles"):
        (tmp_path / "roles.sql").write_bytes(body)
        s3.upload(aws, "backups", "dump", tmp_path / "roles.sql")
        s3.download(aws, "backups", "dump", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == body
        assert s3.digest(aws, "backups", "dump") == hashlib.sha256(body).hexdigest()


def test_download_resumes(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(BODY)
    s3.upload(aws, "backups", "dump", tmp_path / "dump", part=PART)
    etag = cloud.s3.head_object(**AT)["ETag"].strip('"')
    (tmp_path / f"copy.{etag}.part").write_bytes(BODY[:PART])  # as a killed one leaves it
    asked = watched(aws, "GetObject")
    break_off(cloud, "cut_download", "GET")
    s3.download(aws, "backups", "dump", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == BODY
    begins = [int(call["Range"].removeprefix("bytes=").partition("-")[0]) for call in asked]
    assert begins[0] == PART
    assert begins == sorted(set(begins)), "nothing was read twice"
    assert len(begins) == 2
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("copy")) == ["copy"]


def test_failed_download_leaves_no_file(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    cloud.s3.put_object(**AT, Body=b"four")
    break_off(cloud, "cut_download", "GET", times=99)
    with pytest.raises(BotoCoreError, match="bytes expected"):
        s3.download(aws, "backups", "dump", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    control.request(cloud.server.endpoint, "DELETE", "faults")
    s3.download(aws, "backups", "dump", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"four"


def test_object_replaced_during_download_is_refused(cloud: Any, aws: AwsSession, tmp_path: Path) -> None:
    cloud.s3.put_object(**AT, Body=BODY)

    def replace(**_: Any) -> None:
        cloud.s3.put_object(**AT, Body=BODY[::-1])

    aws.client("s3").meta.events.register("before-call.s3.GetObject", replace)
    with pytest.raises(AwsError, match="was replaced while it was read"):
        s3.download(aws, "backups", "dump", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_upload_with_checksums_needs_all_of_them(cloud: Any, aws: AwsSession) -> None:
    upload = cloud.s3.create_multipart_upload(**AT, ChecksumAlgorithm="SHA256")["UploadId"]
    part = cloud.s3.upload_part(**AT, UploadId=upload, PartNumber=1, Body=b"rows", ChecksumSHA256=sha256(b"rows"))
    (listed,) = cloud.s3.list_parts(**AT, UploadId=upload)["Parts"]
    assert listed["ChecksumSHA256"] == sha256(b"rows")
    for told, code in (({}, "InvalidRequest"), ({"ChecksumSHA256": sha256(b"row")}, "InvalidPart")):
        parts = [{"PartNumber": 1, "ETag": part["ETag"], **told}]
        with pytest.raises(ClientError, match=code):
            cloud.s3.complete_multipart_upload(**AT, UploadId=upload, MultipartUpload={"Parts": parts})
    with pytest.raises(ClientError, match="404"):
        cloud.s3.head_object(**AT)


def test_large_object_is_one_file_with_ranges(cloud: Any, aws: AwsSession) -> None:
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
