"""Copy AMIs between regions and accounts, and let other accounts launch them.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/CopyingAMIs.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import tag_specification
from goldenami.model.image import Image


def in_region(aws: AwsSession, region: str, profile: str) -> AwsSession:
    """The same way to AWS, in another region, and in another account where a profile names one."""
    if not profile:
        return replace(aws, region=region)
    return replace(aws, region=region, profile=profile, keys=None)


def start_copy(
    aws: AwsSession, source: Image, region: str, *, encrypted: bool, kms_key: str, token: str, tags: Mapping[str, str]
) -> str | None:
    """Begin to copy an image to where this connection leads; returns the copy's id, or None when its name is taken there.

    Args:
        aws: The destination.
        source: The original.
        region: Where the original is.
        encrypted: Whether the copy is encrypted, whatever the original is.
        kms_key: The destination's key; empty takes the account's default key for EBS.
        token: Asked again with the same token, EC2 returns the copy that it has begun.
        tags: Of the copy and its snapshots.
    """
    key: Any = {"KmsKeyId": kms_key} if kms_key else {}
    try:
        return aws.client("ec2").copy_image(
            Name=source.name,
            Description=f"Copy of {source.id} in {region}",
            SourceImageId=source.id,
            SourceRegion=region,
            Encrypted=encrypted,
            ClientToken=token,
            TagSpecifications=[tag_specification("image", tags), tag_specification("snapshot", tags)],
            **key,
        )["ImageId"]
    except ClientError as error:
        if code(error) == "InvalidAMIName.Duplicate":
            return None
        raise


def share(aws: AwsSession, image: Image, account: str) -> None:
    """Let another account launch an image, and copy it: it must be able to read the snapshots, too."""
    ec2 = aws.client("ec2")
    for snapshot in image.snapshots:
        ec2.modify_snapshot_attribute(
            SnapshotId=snapshot, Attribute="createVolumePermission", OperationType="add", UserIds=[account]
        )
    ec2.modify_image_attribute(ImageId=image.id, LaunchPermission={"Add": [{"UserId": account}]})
