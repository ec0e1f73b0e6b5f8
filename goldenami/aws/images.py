"""AMIs and their snapshots: find ours, wait, tag, protect, remove.

Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImages.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import mapping, pairs
from goldenami.errors import AwsError
from goldenami.model.image import ORPHANED, SOURCE_AMI, Image, is_managed
from goldenami.tools.clock import Clock, poll

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef


_ABSENT = ("InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable")


def list_family(aws: AwsSession, image_name: str) -> list[Image]:
    """Every golden and base AMI of this name, whatever its state."""
    pages = (
        aws.client("ec2")
        .get_paginator("describe_images")
        .paginate(
            Owners=["self"], Filters=[{"Name": "name", "Values": [f"{image_name}-golden-*", f"{image_name}-base-*"]}]
        )
    )
    found = [_image(found) for page in pages for found in page["Images"]]
    return [image for image in found if is_managed(image.name, image_name)]


def list_owned(aws: AwsSession, *filters: FilterTypeDef) -> tuple[Image, ...]:
    """Every AMI of the account, disabled ones too: their snapshots are in use."""
    pages = (
        aws.client("ec2")
        .get_paginator("describe_images")
        .paginate(Owners=["self"], IncludeDisabled=True, Filters=list(filters), PaginationConfig={"PageSize": 1000})
    )
    return tuple(_image(found) for page in pages for found in page["Images"])


def list_related(aws: AwsSession, image: Image) -> tuple[Image, ...]:
    """The AMIs that were made from this one, and those that use a snapshot of it."""
    asked: list[FilterTypeDef] = [
        {"Name": "source-image-id", "Values": [image.id]},
        {"Name": f"tag:{SOURCE_AMI}", "Values": [image.id]},
    ]
    if image.snapshots:
        asked.append({"Name": "block-device-mapping.snapshot-id", "Values": list(image.snapshots)})
    found = {one.id: one for wanted in asked for one in list_owned(aws, wanted)}
    return tuple(one for one in found.values() if one.id != image.id)


def get(aws: AwsSession, ami: str) -> Image | None:
    """An AMI by its id, or None when there is none that we may see."""
    try:
        found = aws.client("ec2").describe_images(ImageIds=[ami])["Images"]
    except ClientError as error:
        if code(error) in _ABSENT:
            return None
        raise
    return _image(found[0]) if found else None


def wait_available(aws: AwsSession, clock: Clock, ami: str, timeout: float = 3600) -> Image:
    """Wait until an AMI is available.

    Args:
        aws: Where.
        clock: What to wait with.
        ami: The AMI's id.
        timeout: Seconds; a first snapshot of a large volume takes many minutes on AWS.

    Raises:
        AwsError: It failed, vanished, or is still pending when the time is up.
    """
    seen = "never seen"
    for _ in poll(clock, timeout=timeout, every=5):
        image = get(aws, ami)
        if image is None:
            continue  # EC2 is eventually consistent: a new id may not be known yet
        if image.state == "available":
            return image
        seen = image.state
        if image.state not in ("pending", "transient"):
            break
    raise AwsError(
        f"{ami} did not become available ({seen})",
        state="The AMI is left as it is.",
        next=f"aws ec2 describe-images --image-ids {ami}",
    )


def tag(aws: AwsSession, ids: Iterable[str], tags: Mapping[str, str]) -> None:
    """Put tags on images, snapshots or anything else of EC2."""
    given = list(ids)
    if given and tags:
        aws.client("ec2").create_tags(Resources=given, Tags=pairs(tags))


def untag(aws: AwsSession, ids: Iterable[str], names: Iterable[str]) -> None:
    """Take tags off; one that is not there is fine."""
    aws.client("ec2").delete_tags(Resources=list(ids), Tags=[{"Key": name} for name in names])


def require_imdsv2(aws: AwsSession, ami: str) -> None:
    """Make every instance of an AMI require IMDSv2 tokens unless its launch says otherwise.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-IMDS-new-instances.html
    """
    aws.client("ec2").modify_image_attribute(ImageId=ami, ImdsSupport={"Value": "v2.0"})


def shared_with(aws: AwsSession, ami: str) -> tuple[str, ...]:
    """The accounts, organizations and groups that may launch an AMI besides its owner; none for one that is gone."""
    try:
        found = aws.client("ec2").describe_image_attribute(ImageId=ami, Attribute="launchPermission")
    except ClientError as error:
        if code(error) in _ABSENT:
            return ()
        raise
    return tuple(str(value) for permission in found.get("LaunchPermissions", []) for value in permission.values())


def deprecate(aws: AwsSession, ami: str, at: datetime) -> None:
    """Warn whoever looks for an AMI that it will go; those that use it are not disturbed.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html
    """
    aws.client("ec2").enable_image_deprecation(ImageId=ami, DeprecateAt=at)


def cancel_deprecation(aws: AwsSession, ami: str) -> None:
    """Take a deprecation back."""
    aws.client("ec2").disable_image_deprecation(ImageId=ami)


def deregister(aws: AwsSession, ami: str) -> str:
    """Deregister an AMI; says why when EC2 does not let us, and nothing when it is gone (also when it was gone before).

    Its snapshots stay: they are deleted one by one, for what another image uses must not go.
    """
    try:
        aws.client("ec2").deregister_image(ImageId=ami)
    except ClientError as error:
        if code(error) in _ABSENT:
            return ""
        if code(error) == "OperationNotPermitted":
            return "EC2 protects it from deregistration"
        raise
    return ""


def delete_snapshot(aws: AwsSession, snapshot: str) -> bool:
    """Delete a snapshot; False when an image uses it. One that is gone already is fine."""
    try:
        aws.client("ec2").delete_snapshot(SnapshotId=snapshot)
    except ClientError as error:
        if code(error) == "InvalidSnapshot.InUse":
            return False
        if code(error) != "InvalidSnapshot.NotFound":
            raise
    return True


def find_orphaned_snapshots(aws: AwsSession) -> dict[str, str]:
    """The snapshots that a prune was about to delete, each with the AMI that it belongs to."""
    pages = (
        aws.client("ec2")
        .get_paginator("describe_snapshots")
        .paginate(
            OwnerIds=["self"],
            Filters=[{"Name": "tag-key", "Values": [ORPHANED]}],
            PaginationConfig={"PageSize": 1000},
        )
    )
    return {
        found["SnapshotId"]: mapping(found.get("Tags", []))[ORPHANED] for page in pages for found in page["Snapshots"]
    }


def remove(aws: AwsSession, image: Image) -> None:
    """Deregister an AMI and delete the snapshots behind it."""
    ec2 = aws.client("ec2")
    ec2.deregister_image(ImageId=image.id)
    for snapshot in image.snapshots:
        ec2.delete_snapshot(SnapshotId=snapshot)


def _image(found: ImageTypeDef) -> Image:
    disks = [m["Ebs"] for m in found.get("BlockDeviceMappings", []) if "Ebs" in m]
    root = found.get("RootDeviceName", "")
    sizes = [
        m["Ebs"].get("VolumeSize", 0)
        for m in found.get("BlockDeviceMappings", [])
        if "Ebs" in m and m.get("DeviceName") == root
    ]
    return Image(
        id=found["ImageId"],
        name=found.get("Name", ""),
        state=found.get("State", ""),
        architecture=found.get("Architecture", ""),
        created=found.get("CreationDate", ""),
        root_device=root,
        size_gib=sizes[0] if sizes else 0,
        snapshots=tuple(disk["SnapshotId"] for disk in disks if "SnapshotId" in disk),
        imds=found.get("ImdsSupport", ""),
        public=found.get("Public", False),
        encrypted=bool(disks) and all(disk.get("Encrypted", False) for disk in disks),
        deprecated=found.get("DeprecationTime", ""),
        protection=found.get("DeregistrationProtection", ""),
        source=found.get("SourceImageId", ""),
        tags=mapping(found.get("Tags", [])),
    )
