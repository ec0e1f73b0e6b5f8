"""Large objects: to S3 in parts and back piece by piece, so that a transfer that broke off goes on where it was, or fails whole.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError

PART = 32 << 20  # bytes; S3 takes 10,000 parts of at least 5 MiB: 312 GiB
_TRIES = 5  # in a row without a byte; the SDK's own retries end where the answer begins


def upload(aws: AwsSession, bucket: str, key: str, path: Path, *, part: int = PART) -> None:
    """Write a file to an object, which is there when all of it is. S3 holds each part against its SHA-256.

    What an earlier try has sent is not sent again: S3 keeps the parts of an upload until it is complete, or the bucket's
    lifecycle ends it.
    """
    s3 = aws.client("s3")
    if path.stat().st_size <= part:
        with path.open("rb") as file:
            s3.put_object(Bucket=bucket, Key=key, Body=file, ChecksumAlgorithm="SHA256")
        return
    upload = _unfinished(aws, bucket, key)
    kept = _kept(aws, bucket, key, upload) if upload else {}
    if not upload:
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm="SHA256")["UploadId"]
    parts: list[Any] = []
    with path.open("rb") as file:
        for number in count(1):
            body = file.read(part)
            if not body:
                break
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            etag = kept.get((number, digest))
            if etag is None:
                etag = s3.upload_part(
                    Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body, ChecksumSHA256=digest
                )["ETag"]
            parts.append({"PartNumber": number, "ETag": etag, "ChecksumSHA256": digest})
    try:
        s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
    except (ClientError, HTTPClientError):
        if not _whole(aws, bucket, key, [one["ChecksumSHA256"] for one in parts], path.stat().st_size):
            raise


def _whole(aws: AwsSession, bucket: str, key: str, digests: Sequence[str], size: int) -> bool:
    """Whether an object is there as it was sent: the reply may be lost although all is done, and then its upload is no more.

    It says the digest of its parts' digests, with their number:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    """
    try:
        told = aws.client("s3").head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError:
        return False
    whole = base64.b64encode(hashlib.sha256(b"".join(base64.b64decode(one) for one in digests)).digest()).decode()
    return (told.get("ChecksumSHA256"), told["ContentLength"]) == (f"{whole}-{len(digests)}", size)


def abort_unfinished(aws: AwsSession, bucket: str, key: str) -> None:
    """End every upload of an object that is not complete; its parts go."""
    while upload := _unfinished(aws, bucket, key):
        try:
            aws.client("s3").abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
        except ClientError as error:
            if code(error) != "NoSuchUpload":
                raise


def _unfinished(aws: AwsSession, bucket: str, key: str) -> str:
    """The newest upload of this object that was begun and is not complete; empty when there is none."""
    pages = aws.client("s3").get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key)
    found = [one for page in pages for one in page.get("Uploads", []) if one["Key"] == key]
    return max(found, key=lambda one: one["Initiated"])["UploadId"] if found else ""


def _kept(aws: AwsSession, bucket: str, key: str, upload: str) -> Mapping[tuple[int, str], str]:
    """The ETag of each part that S3 has, by its number and SHA-256."""
    pages = aws.client("s3").get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=upload)
    found = [one for page in pages for one in page.get("Parts", [])]
    return {(one["PartNumber"], one.get("ChecksumSHA256", "")): one["ETag"] for one in found}


def download(aws: AwsSession, bucket: str, key: str, path: Path) -> None:
    """Write an object to a file, which appears whole or not at all.

    What an earlier try has read of this very object (its ETag is in the name of what lies there) is not read again.

    Raises:
        AwsError: The object was replaced meanwhile.
    """
    size, etag = _measured(aws, bucket, key)
    part = path.with_name(f"{path.name}.{etag.strip(chr(34))}.part")
    with part.open("ab") as file:
        for chunk in _read(aws, bucket, key, etag, file.tell(), size):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def digest(aws: AwsSession, bucket: str, key: str) -> str:
    """The SHA-256 of an object, read whole, in hexadecimal digits: of its bytes, where S3's own is one of its parts' digests."""
    size, etag = _measured(aws, bucket, key)
    found = hashlib.sha256()
    for chunk in _read(aws, bucket, key, etag, 0, size):
        found.update(chunk)
    return found.hexdigest()


def _measured(aws: AwsSession, bucket: str, key: str) -> tuple[int, str]:
    told = aws.client("s3").head_object(Bucket=bucket, Key=key)
    return told["ContentLength"], told["ETag"]


def _read(aws: AwsSession, bucket: str, key: str, etag: str, begin: int, size: int) -> Iterator[bytes]:
    """An object's bytes from somewhere on; asked for again from where a connection broke."""
    tries = _TRIES
    while begin < size:
        try:
            rest = f"bytes={begin}-{size - 1}"
            told = aws.client("s3").get_object(Bucket=bucket, Key=key, Range=rest, IfMatch=etag)
            for chunk in told["Body"].iter_chunks(1 << 20):
                yield chunk
                begin, tries = begin + len(chunk), _TRIES
        except ClientError as error:
            if code(error) not in ("412", "PreconditionFailed"):
                raise
            raise AwsError(
                f"s3://{bucket}/{key} was replaced while it was read", next="the same command, which begins anew"
            ) from None
        except (HTTPClientError, IncompleteReadError):
            tries -= 1
            if not tries:
                raise


def ensure_bucket(aws: AwsSession, name: str, keep_days: int, tags: dict[str, str]) -> bool:
    """A bucket that is private, encrypted and versioned, and that lets go of what is too old. Returns whether it was made.

    Raises:
        AwsError: The name belongs to somebody else.
    """
    s3 = aws.client("s3")
    made = not exists(aws, name)
    if made:
        try:
            if aws.region == "us-east-1":  # the one region that must not be named
                s3.create_bucket(Bucket=name)
            else:
                s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.region})  # type: ignore[typeddict-item]
        except ClientError as error:
            if code(error) != "BucketAlreadyOwnedByYou":
                raise
        s3.put_bucket_tagging(
            Bucket=name, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in sorted(tags.items())]}
        )
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    s3.put_bucket_encryption(
        Bucket=name,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_lifecycle_configuration(
        Bucket=name,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "goldenami-backups",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "Expiration": {"Days": keep_days},
                    "NoncurrentVersionExpiration": {"NoncurrentDays": keep_days},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                }
            ]
        },
    )
    return made


def exists(aws: AwsSession, name: str) -> bool:
    """Whether there is a bucket of this name that we may see.

    Raises:
        AwsError: It belongs to somebody else.
    """
    try:
        aws.client("s3").head_bucket(Bucket=name)
    except ClientError as error:
        if code(error) in ("404", "NoSuchBucket"):
            return False
        if code(error) in ("403", "AccessDenied"):
            raise AwsError(
                f"the bucket {name} is not ours to use",
                state="Nothing was changed.",
                next="set bucket under [backup] in golden.toml to another name",
            ) from None
        raise
    return True


def put(aws: AwsSession, bucket: str, key: str, text: str) -> None:
    """Write an object; S3 refuses it if it arrives otherwise than it was sent."""
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode(), ChecksumAlgorithm="SHA256")


def get(aws: AwsSession, bucket: str, key: str) -> str | None:
    """A small object's text, or None when there is none (nor a bucket)."""
    try:
        return aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    except ClientError as error:
        if code(error) in ("NoSuchKey", "NoSuchBucket"):
            return None
        raise


def folders(aws: AwsSession, bucket: str, prefix: str) -> Iterator[str]:
    """The names right below a prefix that ends with a slash, in order."""
    pages = aws.client("s3").get_paginator("list_objects_v2")
    try:
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            for found in page.get("CommonPrefixes", []):
                yield found["Prefix"][len(prefix) :].rstrip("/")
    except ClientError as error:
        if code(error) != "NoSuchBucket":
            raise


def size(aws: AwsSession, bucket: str, key: str) -> int | None:
    """The size of an object in bytes, or None when there is none."""
    try:
        return aws.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"]
    except ClientError as error:
        if code(error) in ("404", "NoSuchKey", "NoSuchBucket"):
            return None
        raise
