"""What a run made in EC2 and may have left behind, found by the run id in its tags.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from goldenami.aws import instances
from goldenami.aws import security_groups as networks
from goldenami.aws.errors import code
from goldenami.aws.session import Connection
from goldenami.aws.tags import mapping
from goldenami.model.image import RUN
from goldenami.tools.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef, TagTypeDef

Kind = Literal["instance", "volume", "snapshot", "security-group", "key-pair"]
_OURS: list[FilterTypeDef] = [{"Name": "tag-key", "Values": [RUN]}]
# An instance holds its volumes and security group, so it goes first.
_ORDER: tuple[Kind, ...] = ("instance", "volume", "snapshot", "key-pair", "security-group")


@dataclass(frozen=True)
class Leftover:
    """Something that carries a run's tag and is not part of an AMI; `busy` while it is attached to something."""

    kind: Kind
    id: str
    run_id: str
    detail: str = ""
    busy: bool = False


def find(aws: Connection) -> list[Leftover]:
    """Everything with a run tag that costs money or clutters the account, in the order in which it can be removed.

    Snapshots behind an AMI and terminated instances are not leftovers.
    """
    kinds = (_instances, _volumes, _snapshots, _keys, _groups)
    with ThreadPoolExecutor(len(kinds)) as pool:  # none depends on another, and the account is far away
        answers = [pool.submit(lambda look: list(look(aws)), look) for look in kinds]
        found = [left for answer in answers for left in answer.result()]
    return sorted(found, key=lambda left: (_ORDER.index(left.kind), left.id))


def remove(aws: Connection, clock: Clock, left: Leftover) -> None:
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
            networks.delete_security_group(aws, clock, left.id)
    except ClientError as error:
        if not code(error).endswith(".NotFound"):
            raise


def _instances(aws: Connection) -> Iterator[Leftover]:
    for page in aws.client("ec2").get_paginator("describe_instances").paginate(Filters=_OURS):
        for machine in (i for r in page["Reservations"] for i in r["Instances"]):
            state = machine["State"]["Name"]
            if state not in ("terminated", "shutting-down"):
                yield Leftover("instance", machine["InstanceId"], _run(machine["Tags"]), state)


def _volumes(aws: Connection) -> Iterator[Leftover]:
    for page in aws.client("ec2").get_paginator("describe_volumes").paginate(Filters=_OURS):
        for volume in page["Volumes"]:
            state = volume["State"]
            told = f"{volume['Size']} GiB, {state}"
            yield Leftover("volume", volume["VolumeId"], _run(volume["Tags"]), told, busy=state != "available")


def _snapshots(aws: Connection) -> Iterator[Leftover]:
    pages = list(aws.client("ec2").get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=_OURS))
    # Asked after them: a snapshot may become an AMI's in between, and would be taken for nobody's.
    used = _snapshots_of_images(aws) if any(page["Snapshots"] for page in pages) else set()
    for snapshot in (one for page in pages for one in page["Snapshots"]):
        if snapshot["SnapshotId"] not in used:
            told = f"{snapshot['VolumeSize']} GiB"
            yield Leftover("snapshot", snapshot["SnapshotId"], _run(snapshot["Tags"]), told)


def _keys(aws: Connection) -> Iterator[Leftover]:
    for key in aws.client("ec2").describe_key_pairs(Filters=_OURS)["KeyPairs"]:
        yield Leftover("key-pair", key["KeyPairId"], _run(key.get("Tags", [])), key["KeyName"])


def _groups(aws: Connection) -> Iterator[Leftover]:
    for page in aws.client("ec2").get_paginator("describe_security_groups").paginate(Filters=_OURS):
        for group in page["SecurityGroups"]:
            yield Leftover("security-group", group["GroupId"], _run(group["Tags"]), group["GroupName"])


def _run(tags: Iterable[TagTypeDef]) -> str:
    return mapping(tags).get(RUN, "")


def _snapshots_of_images(aws: Connection) -> set[str]:
    pages = aws.client("ec2").get_paginator("describe_images").paginate(Owners=["self"])
    return {
        mapping["Ebs"]["SnapshotId"]
        for page in pages
        for image in page["Images"]
        for mapping in image.get("BlockDeviceMappings", [])
        if "SnapshotId" in mapping.get("Ebs", {})
    }
