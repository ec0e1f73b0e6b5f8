"""EC2 resources that an interrupted run has left, found by the run id in their tags.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from goldenami.aws import instances, security_groups
from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.aws.tags import mapping
from goldenami.model.image import RUN
from goldenami.model.resources import OrphanedResource, OrphanKind
from goldenami.tools.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, TagTypeDef

_RUN_TAG_FILTER: list[FilterTypeDef] = [{"Name": "tag-key", "Values": [RUN]}]
# An instance uses its volumes and security groups, so it is deleted first.
_ORDER: tuple[OrphanKind, ...] = ("instance", "volume", "snapshot", "key-pair", "security-group")


def find(aws: AwsSession) -> list[OrphanedResource]:
    """Return every resource with a run tag, in the order in which they can be deleted.

    Snapshots of AMIs and terminated instances are not included.
    """
    listings = (_instances, _volumes, _snapshots, _key_pairs, _security_groups)
    with ThreadPoolExecutor(len(listings)) as pool:  # parallel API calls
        futures = [pool.submit(lambda listing: list(listing(aws)), listing) for listing in listings]
        resources = [resource for future in futures for resource in future.result()]
    return sorted(resources, key=lambda resource: (_ORDER.index(resource.kind), resource.id))


def remove(aws: AwsSession, clock: Clock, resource: OrphanedResource) -> None:
    """Delete a resource; no error if it does not exist."""
    ec2 = aws.client("ec2")
    try:
        if resource.kind == "instance":
            instances.terminate(aws, clock, resource.id)
        elif resource.kind == "volume":
            ec2.delete_volume(VolumeId=resource.id)
        elif resource.kind == "snapshot":
            ec2.delete_snapshot(SnapshotId=resource.id)
        elif resource.kind == "key-pair":
            ec2.delete_key_pair(KeyPairId=resource.id)
        else:
            security_groups.delete(aws, clock, resource.id)
    except ClientError as error:
        if not code(error).endswith(".NotFound"):
            raise


def _instances(aws: AwsSession) -> Iterator[OrphanedResource]:
    for page in aws.client("ec2").get_paginator("describe_instances").paginate(Filters=_RUN_TAG_FILTER):
        for instance in (i for r in page["Reservations"] for i in r["Instances"]):
            state = instance["State"]["Name"]
            if state not in ("terminated", "shutting-down"):
                yield OrphanedResource("instance", instance["InstanceId"], _run(instance["Tags"]), state)


def _volumes(aws: AwsSession) -> Iterator[OrphanedResource]:
    for page in aws.client("ec2").get_paginator("describe_volumes").paginate(Filters=_RUN_TAG_FILTER):
        for volume in page["Volumes"]:
            state = volume["State"]
            detail, busy = f"{volume['Size']} GiB, {state}", state != "available"
            yield OrphanedResource("volume", volume["VolumeId"], _run(volume["Tags"]), detail, busy=busy)


def _snapshots(aws: AwsSession) -> Iterator[OrphanedResource]:
    pages = aws.client("ec2").get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=_RUN_TAG_FILTER)
    snapshots = [snapshot for page in pages for snapshot in page["Snapshots"]]
    # The images are read after the snapshots: a snapshot may become part of an AMI in between.
    used = _snapshots_of_images(aws) if snapshots else set()
    for snapshot in snapshots:
        if snapshot["SnapshotId"] not in used:
            detail = f"{snapshot['VolumeSize']} GiB"
            yield OrphanedResource("snapshot", snapshot["SnapshotId"], _run(snapshot["Tags"]), detail)


def _key_pairs(aws: AwsSession) -> Iterator[OrphanedResource]:
    for key in aws.client("ec2").describe_key_pairs(Filters=_RUN_TAG_FILTER)["KeyPairs"]:
        yield OrphanedResource("key-pair", key["KeyPairId"], _run(key.get("Tags", [])), key["KeyName"])


def _security_groups(aws: AwsSession) -> Iterator[OrphanedResource]:
    for page in aws.client("ec2").get_paginator("describe_security_groups").paginate(Filters=_RUN_TAG_FILTER):
        for group in page["SecurityGroups"]:
            yield OrphanedResource("security-group", group["GroupId"], _run(group["Tags"]), group["GroupName"])


def _run(tags: Iterable[TagTypeDef]) -> str:
    return mapping(tags).get(RUN, "")


def _snapshots_of_images(aws: AwsSession) -> set[str]:
    pages = aws.client("ec2").get_paginator("describe_images").paginate(Owners=["self"])
    return {
        device["Ebs"]["SnapshotId"]
        for page in pages
        for image in page["Images"]
        for device in image.get("BlockDeviceMappings", [])
        if "SnapshotId" in device.get("Ebs", {})
    }
