"""What a run made in EC2 and may have left behind, found by the run id in its tags.

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
# An instance holds its volumes and security group, so it goes first.
_ORDER: tuple[OrphanKind, ...] = ("instance", "volume", "snapshot", "key-pair", "security-group")


def find(aws: AwsSession) -> list[OrphanedResource]:
    """Everything with a run tag that costs money or clutters the account, in the order in which it can be removed.

    Snapshots behind an AMI and terminated instances are not leftovers.
    """
    kinds = (_instances, _volumes, _snapshots, _keys, _groups)
    with ThreadPoolExecutor(len(kinds)) as pool:  # none depends on another, and the account is far away
        answers = [pool.submit(lambda look: list(look(aws)), look) for look in kinds]
        found = [left for answer in answers for left in answer.result()]
    return sorted(found, key=lambda left: (_ORDER.index(left.kind), left.id))


def remove(aws: AwsSession, clock: Clock, left: OrphanedResource) -> None:
    """Remove one of them; one that is gone already is fine."""
    ec2 = aws.client("ec2")
    try:
        if left.kind == "instance":
            instances.terminate(aws, clock, left.id)
        elif left.kind == "volume":
            ec2.delete_volume(VolumeId=left.id)
        elif left.kind == "snapshot":
            ec2.delete_snapshot(SnapshotId=left.id)
        elif left.kind == "key-pair":
            ec2.delete_key_pair(KeyPairId=left.id)
        else:
            security_groups.delete(aws, clock, left.id)
    except ClientError as error:
        if not code(error).endswith(".NotFound"):
            raise


def _instances(aws: AwsSession) -> Iterator[OrphanedResource]:
    for page in aws.client("ec2").get_paginator("describe_instances").paginate(Filters=_RUN_TAG_FILTER):
        for machine in (i for r in page["Reservations"] for i in r["Instances"]):
            state = machine["State"]["Name"]
            if state not in ("terminated", "shutting-down"):
                yield OrphanedResource("instance", machine["InstanceId"], _run(machine["Tags"]), state)


def _volumes(aws: AwsSession) -> Iterator[OrphanedResource]:
    for page in aws.client("ec2").get_paginator("describe_volumes").paginate(Filters=_RUN_TAG_FILTER):
        for volume in page["Volumes"]:
            state = volume["State"]
            told = f"{volume['Size']} GiB, {state}"
            yield OrphanedResource("volume", volume["VolumeId"], _run(volume["Tags"]), told, busy=state != "available")


def _snapshots(aws: AwsSession) -> Iterator[OrphanedResource]:
    pages = list(
        aws.client("ec2").get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=_RUN_TAG_FILTER)
    )
    # Asked after them: a snapshot may become an AMI's in between, and would be taken for nobody's.
    used = _snapshots_of_images(aws) if any(page["Snapshots"] for page in pages) else set()
    for snapshot in (one for page in pages for one in page["Snapshots"]):
        if snapshot["SnapshotId"] not in used:
            told = f"{snapshot['VolumeSize']} GiB"
            yield OrphanedResource("snapshot", snapshot["SnapshotId"], _run(snapshot["Tags"]), told)


def _keys(aws: AwsSession) -> Iterator[OrphanedResource]:
    for key in aws.client("ec2").describe_key_pairs(Filters=_RUN_TAG_FILTER)["KeyPairs"]:
        yield OrphanedResource("key-pair", key["KeyPairId"], _run(key.get("Tags", [])), key["KeyName"])


def _groups(aws: AwsSession) -> Iterator[OrphanedResource]:
    for page in aws.client("ec2").get_paginator("describe_security_groups").paginate(Filters=_RUN_TAG_FILTER):
        for group in page["SecurityGroups"]:
            yield OrphanedResource("security-group", group["GroupId"], _run(group["Tags"]), group["GroupName"])


def _run(tags: Iterable[TagTypeDef]) -> str:
    return mapping(tags).get(RUN, "")


def _snapshots_of_images(aws: AwsSession) -> set[str]:
    pages = aws.client("ec2").get_paginator("describe_images").paginate(Owners=["self"])
    return {
        mapping["Ebs"]["SnapshotId"]
        for page in pages
        for image in page["Images"]
        for mapping in image.get("BlockDeviceMappings", [])
        if "SnapshotId" in mapping.get("Ebs", {})
    }
