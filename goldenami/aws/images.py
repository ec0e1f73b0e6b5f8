"""AMIs and their snapshots.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from goldenami.aws.errors import suppress
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import mapping, pairs
from goldenami.errors import AwsError
from goldenami.model.image import ORPHANED, SOURCE_AMI, Image, is_managed
from goldenami.tools.clock import Clock, wait_until

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef

_ABSENT = ("InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable")


def list_family(aws: AwsSession, image_name: str) -> list[Image]:
    """Return every golden and base AMI of this image name, in any state."""
    names: FilterTypeDef = {"Name": "name", "Values": [f"{image_name}-golden-*", f"{image_name}-base-*"]}
    pages = aws.client("ec2").get_paginator("describe_images").paginate(Owners=["self"], Filters=[names])
    images = [_image(image) for page in pages for image in page["Images"]]
    return [image for image in images if is_managed(image.name, image_name)]


def list_owned(aws: AwsSession, *filters: FilterTypeDef) -> tuple[Image, ...]:
    """Return every AMI of the account that matches, including disabled ones, whose snapshots are in use."""
    paginator = aws.client("ec2").get_paginator("describe_images")
    pages = paginator.paginate(
        Owners=["self"], IncludeDisabled=True, Filters=list(filters), PaginationConfig={"PageSize": 1000}
    )
    return tuple(_image(image) for page in pages for image in page["Images"])


def list_related(aws: AwsSession, image: Image) -> tuple[Image, ...]:
    """Return the AMIs that were created from this one, and those that use a snapshot of it."""
    filters: list[FilterTypeDef] = [
        {"Name": "source-image-id", "Values": [image.id]},
        {"Name": f"tag:{SOURCE_AMI}", "Values": [image.id]},
    ]
    if image.snapshots:
        filters.append({"Name": "block-device-mapping.snapshot-id", "Values": list(image.snapshots)})
    related = {other.id: other for each in filters for other in list_owned(aws, each)}
    return tuple(other for other in related.values() if other.id != image.id)


def get(aws: AwsSession, ami: str) -> Image | None:
    """Return an AMI by its id, or None if it does not exist or is not visible."""
    with suppress(*_ABSENT):
        images = aws.client("ec2").describe_images(ImageIds=[ami])["Images"]
        return _image(images[0]) if images else None
    return None


def wait_available(aws: AwsSession, clock: Clock, ami: str, timeout: float = 3600) -> Image:
    """Wait until an AMI is available; the first snapshot of a large volume takes many minutes on AWS.

    Raises:
        AwsError: The AMI failed, was deleted, or is not available after `timeout` seconds.
    """
    image = wait_until(
        clock,
        lambda: get(aws, ami),  # EC2 is eventually consistent: a new id may not be known yet
        lambda image: image and image.state == "available",
        timeout=timeout,
        every=5,
        failed=lambda image: image and image.state not in ("pending", "transient"),
        on_timeout=lambda image: AwsError(
            f"{ami} did not become available: {image.state if image else 'not found'}",
            state="The AMI was not changed.",
            next=f"aws ec2 describe-images --image-ids {ami}",
        ),
    )
    assert image is not None
    return image


def tag(aws: AwsSession, ids: Iterable[str], tags: Mapping[str, str]) -> None:
    """Tag images, snapshots or other EC2 resources."""
    resources = list(ids)
    if resources and tags:
        aws.client("ec2").create_tags(Resources=resources, Tags=pairs(tags))


def untag(aws: AwsSession, ids: Iterable[str], names: Iterable[str]) -> None:
    """Delete tags; no error if a resource does not have one."""
    aws.client("ec2").delete_tags(Resources=list(ids), Tags=[{"Key": name} for name in names])


def require_imdsv2(aws: AwsSession, ami: str) -> None:
    """Make the instances of an AMI require IMDSv2 by default.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-IMDS-new-instances.html
    """
    aws.client("ec2").modify_image_attribute(ImageId=ami, ImdsSupport={"Value": "v2.0"})


def shared_with(aws: AwsSession, ami: str) -> tuple[str, ...]:
    """Return the accounts, organizations and groups that may launch an AMI, besides its owner."""
    with suppress(*_ABSENT):
        response = aws.client("ec2").describe_image_attribute(ImageId=ami, Attribute="launchPermission")
        permissions = response.get("LaunchPermissions", [])
        return tuple(str(value) for permission in permissions for value in permission.values())
    return ()


def deprecate(aws: AwsSession, ami: str, at: datetime) -> None:
    """Deprecate an AMI: it disappears from searches after `at`, and can still be launched.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html
    """
    aws.client("ec2").enable_image_deprecation(ImageId=ami, DeprecateAt=at)


def cancel_deprecation(aws: AwsSession, ami: str) -> None:
    """Cancel a deprecation."""
    aws.client("ec2").disable_image_deprecation(ImageId=ami)


def deregister(aws: AwsSession, ami: str) -> str:
    """Deregister an AMI; no error if it does not exist. Its snapshots are kept: another image may use them.

    Return the reason why EC2 refused; empty if the AMI is deregistered.
    """
    with suppress("OperationNotPermitted"):
        with suppress(*_ABSENT):
            aws.client("ec2").deregister_image(ImageId=ami)
        return ""
    return "EC2 protects it from deregistration"


def delete_snapshot(aws: AwsSession, snapshot: str) -> bool:
    """Delete a snapshot; no error if it does not exist. Return False if an image uses it."""
    with suppress("InvalidSnapshot.InUse"):
        with suppress("InvalidSnapshot.NotFound"):
            aws.client("ec2").delete_snapshot(SnapshotId=snapshot)
        return True
    return False


def find_orphaned_snapshots(aws: AwsSession) -> dict[str, str]:
    """Return the snapshots that an interrupted prune has not deleted, each with the id of its AMI."""
    paginator = aws.client("ec2").get_paginator("describe_snapshots")
    orphaned: FilterTypeDef = {"Name": "tag-key", "Values": [ORPHANED]}
    pages = paginator.paginate(OwnerIds=["self"], Filters=[orphaned], PaginationConfig={"PageSize": 1000})
    return {s["SnapshotId"]: mapping(s.get("Tags", []))[ORPHANED] for page in pages for s in page["Snapshots"]}


def remove(aws: AwsSession, image: Image) -> None:
    """Deregister an AMI and delete its snapshots."""
    ec2 = aws.client("ec2")
    ec2.deregister_image(ImageId=image.id)
    for snapshot in image.snapshots:
        ec2.delete_snapshot(SnapshotId=snapshot)


def _image(image: ImageTypeDef) -> Image:
    root = image.get("RootDeviceName", "")
    disks = {m.get("DeviceName", ""): m["Ebs"] for m in image.get("BlockDeviceMappings", []) if "Ebs" in m}
    return Image(
        id=image["ImageId"],
        name=image.get("Name", ""),
        state=image.get("State", ""),
        architecture=image.get("Architecture", ""),
        created=image.get("CreationDate", ""),
        root_device=root,
        size_gib=disks[root].get("VolumeSize", 0) if root in disks else 0,
        snapshots=tuple(disk["SnapshotId"] for disk in disks.values() if "SnapshotId" in disk),
        imds=image.get("ImdsSupport", ""),
        public=image.get("Public", False),
        encrypted=bool(disks) and all(disk.get("Encrypted", False) for disk in disks.values()),
        deprecated=image.get("DeprecationTime", ""),
        protection=image.get("DeregistrationProtection", ""),
        source=image.get("SourceImageId", ""),
        tags=mapping(image.get("Tags", [])),
    )
