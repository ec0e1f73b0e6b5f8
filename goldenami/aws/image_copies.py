"""Copy AMIs between regions and accounts, and let other accounts launch them.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/CopyingAMIs.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from goldenami.aws.errors import suppress
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import tag_specification
from goldenami.model.image import Image


def in_region(aws: AwsSession, region: str, profile: str) -> AwsSession:
    """Return a session for another region, with the same credentials unless a profile is given."""
    if not profile:
        return replace(aws, region=region)
    return replace(aws, region=region, profile=profile, keys=None)


def start_copy(
    aws: AwsSession, source: Image, region: str, *, encrypted: bool, kms_key: str, token: str, tags: Mapping[str, str]
) -> str | None:
    """Start to copy an image from `region` to the session's region; return the copy's id, None if the name is taken there.

    `encrypted` also encrypts the copy of an unencrypted image; an empty `kms_key` is the account's default key for EBS.
    With the same client token, EC2 returns the copy that it has started.
    """
    key: Any = {"KmsKeyId": kms_key} if kms_key else {}
    with suppress("InvalidAMIName.Duplicate"):
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
    return None


def share(aws: AwsSession, image: Image, account: str) -> None:
    """Let another account launch an image, and read its snapshots, which copying the image needs."""
    ec2 = aws.client("ec2")
    for snapshot in image.snapshots:
        ec2.modify_snapshot_attribute(
            SnapshotId=snapshot, Attribute="createVolumePermission", OperationType="add", UserIds=[account]
        )
    ec2.modify_image_attribute(ImageId=image.id, LaunchPermission={"Add": [{"UserId": account}]})
