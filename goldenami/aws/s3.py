"""S3: the backup bucket and its objects. S3 verifies the SHA-256 of every write; boto3 retries (aws/session.py).

Backups are streamed by the instance itself: templates/data/s3.sh.j2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code, suppress
from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError

_EXPIRES_ALL = "goldenami-backups"  # the rule of earlier releases, for every object in the bucket


def upload(aws: AwsSession, bucket: str, key: str, path: Path) -> None:
    """Upload a file, in parts if it is large. The object appears only when it is complete.

    Raises:
        AwsError: The upload failed.
    """
    with _transfer(f"upload of {path} to s3://{bucket}/{key}"):
        aws.client("s3").upload_file(str(path), bucket, key, ExtraArgs={"ChecksumAlgorithm": "SHA256"})


def download(aws: AwsSession, bucket: str, key: str, path: Path) -> None:
    """Download an object to a file, which appears only when it is complete.

    Raises:
        AwsError: The download failed, or the object was replaced meanwhile.
    """
    with _transfer(f"download of s3://{bucket}/{key}"):
        aws.client("s3").download_file(bucket, key, str(path))


def digest(aws: AwsSession, bucket: str, key: str) -> str:
    """Read an object and return the SHA-256 of its bytes in hexadecimal digits.

    S3's own checksum of an object that was uploaded in parts is a digest of the parts' digests:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html

    Raises:
        AwsError: The download failed, or the object was replaced meanwhile.
    """
    sink = _Sha256()
    with _transfer(f"download of s3://{bucket}/{key}"):
        aws.client("s3").download_fileobj(bucket, key, sink)  # type: ignore[arg-type]  # boto3 needs only write()
    return sink.hash.hexdigest()


class _Sha256:
    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return len(data)


@contextmanager
def _transfer(what: str) -> Iterator[None]:
    from boto3.exceptions import Boto3Error  # boto3 is slow to import, and most commands transfer nothing
    from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError, S3ValidationError

    try:
        yield
    except (Boto3Error, RetriesExceededError, S3DownloadFailedError, S3ValidationError) as error:
        raise AwsError(f"the {what} failed: {error}", next="the same command again") from error


def abort_unfinished(aws: AwsSession, bucket: str, key: str) -> None:
    """Abort every incomplete multipart upload of an object, which deletes its parts."""
    s3 = aws.client("s3")
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=key):
        for upload in page.get("Uploads", []):
            if upload["Key"] == key:
                with suppress("NoSuchUpload"):
                    s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])


def ensure_bucket(aws: AwsSession, name: str, prefix: str, keep_days: int, tags: dict[str, str]) -> bool:
    """Create a private, encrypted and versioned bucket; let the objects below a prefix expire after `keep_days` days.

    Nothing else of an existing bucket is changed, because it may have other uses.
    Return True if the bucket was created.

    Raises:
        AwsError: The bucket belongs to another account.
    """
    created = not exists(aws, name)
    if created:
        _create_bucket(aws, name, tags)
    _ensure_expiry(aws, name, prefix, keep_days)
    return created


def _create_bucket(aws: AwsSession, name: str, tags: dict[str, str]) -> None:
    s3 = aws.client("s3")
    # us-east-1 is the one region that must not be named.
    location: Any = {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
    with suppress("BucketAlreadyOwnedByYou"):
        s3.create_bucket(Bucket=name, **({} if aws.region == "us-east-1" else location))
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in sorted(tags.items())]})
    switches = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    blocked: Any = dict.fromkeys(switches, True)
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=blocked)
    encryption: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=encryption)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def _ensure_expiry(aws: AwsSession, name: str, prefix: str, keep_days: int) -> None:
    """Set the rule for a prefix, and keep the bucket's other rules: the API replaces all of them.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html
    """
    s3 = aws.client("s3")
    rules: list[Any] = []
    with suppress("NoSuchLifecycleConfiguration"):
        rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    expiry: Any = {
        "ID": f"goldenami {prefix}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "Expiration": {"Days": keep_days},
        "NoncurrentVersionExpiration": {"NoncurrentDays": keep_days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    others = [rule for rule in rules if rule.get("ID") not in (expiry["ID"], _EXPIRES_ALL)]
    if rules != [*others, expiry]:
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [*others, expiry]})


def exists(aws: AwsSession, name: str) -> bool:
    """Return True if a bucket of this name exists in the account.

    Raises:
        AwsError: The bucket belongs to another account.
    """
    try:
        aws.client("s3").head_bucket(Bucket=name)
    except ClientError as error:
        if code(error) in ("404", "NoSuchBucket"):
            return False
        if code(error) in ("403", "AccessDenied"):
            raise AwsError(
                f"the bucket {name} belongs to another account",
                state="Nothing was changed.",
                next="set bucket under [backup] in golden.toml to another name",
            ) from None
        raise
    return True


def put(aws: AwsSession, bucket: str, key: str, text: str) -> None:
    """Write a text to an object."""
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode(), ChecksumAlgorithm="SHA256")


def get(aws: AwsSession, bucket: str, key: str) -> str | None:
    """Return a small object's text, or None if the object or bucket does not exist."""
    with suppress("NoSuchKey", "NoSuchBucket"):
        return aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    return None


def list_folders(aws: AwsSession, bucket: str, prefix: str) -> Iterator[str]:
    """Yield the names directly below a prefix that ends with a slash, in order."""
    pages = aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    with suppress("NoSuchBucket"):
        for page in pages:
            for folder in page.get("CommonPrefixes", []):
                yield folder["Prefix"][len(prefix) :].rstrip("/")


def size(aws: AwsSession, bucket: str, key: str) -> int | None:
    """Return the size of an object in bytes, or None if it does not exist."""
    with suppress("404", "NoSuchKey", "NoSuchBucket"):
        return aws.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"]
    return None
