"""Objects in S3: the bucket of the backups, and what lies in it.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import Connection
from goldenami.errors import AwsError


def ensure_bucket(aws: Connection, name: str, keep_days: int, tags: dict[str, str]) -> bool:
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


def exists(aws: Connection, name: str) -> bool:
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


def put(aws: Connection, bucket: str, key: str, text: str) -> None:
    """Write an object; S3 refuses it if it arrives otherwise than it was sent."""
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode(), ChecksumAlgorithm="SHA256")


def get(aws: Connection, bucket: str, key: str) -> str | None:
    """A small object's text, or None when there is none (nor a bucket)."""
    try:
        return aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    except ClientError as error:
        if code(error) in ("NoSuchKey", "NoSuchBucket"):
            return None
        raise


def folders(aws: Connection, bucket: str, prefix: str) -> Iterator[str]:
    """The names right below a prefix that ends with a slash, in order."""
    pages = aws.client("s3").get_paginator("list_objects_v2")
    try:
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            for found in page.get("CommonPrefixes", []):
                yield found["Prefix"][len(prefix) :].rstrip("/")
    except ClientError as error:
        if code(error) != "NoSuchBucket":
            raise


def size(aws: Connection, bucket: str, key: str) -> int | None:
    """The size of an object in bytes, or None when there is none."""
    try:
        return aws.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"]
    except ClientError as error:
        if code(error) in ("404", "NoSuchKey", "NoSuchBucket"):
            return None
        raise
