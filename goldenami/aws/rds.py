"""RDS: the PostgreSQL server that a fleet shares; made once, found again by its name, never changed and never removed here.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from goldenami.aws.errors import code
from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError
from goldenami.model.resources import DbInstance
from goldenami.tools.clock import Clock, poll

# What a DB instance cannot get out of by waiting.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html
_FAILED_STATES = (
    "failed",
    "incompatible-network",
    "incompatible-parameters",
    "incompatible-restore",
    "storage-full",
    "deleting",
)


def get(aws: AwsSession, name: str) -> DbInstance | None:
    """A DB instance by its name; None when there is none."""
    try:
        found = aws.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    except ClientError as error:
        if code(error) in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
            return None
        raise
    place = found.get("Endpoint", {})
    return DbInstance(
        name=name,
        status=found.get("DBInstanceStatus", ""),
        endpoint=f"{place['Address']}:{place['Port']}" if "Address" in place and "Port" in place else "",
        encrypted=found.get("StorageEncrypted", False),
        public=found.get("PubliclyAccessible", False),
        instance_class=found.get("DBInstanceClass", ""),
        storage=found.get("AllocatedStorage", 0),
        storage_type=found.get("StorageType", ""),
        version=found.get("EngineVersion", ""),
        multi_az=found.get("MultiAZ", False),
    )


def ensure_subnets(aws: AwsSession, name: str, subnets: Sequence[str], tags: Mapping[str, str]) -> None:
    """The subnets that it may stand in; they lie in two zones at least, or RDS refuses."""
    try:
        aws.client("rds").create_db_subnet_group(
            DBSubnetGroupName=name, DBSubnetGroupDescription=f"goldenami {name}", SubnetIds=subnets, Tags=_tags(tags)
        )
    except ClientError as error:
        if code(error) not in ("DBSubnetGroupAlreadyExists", "DBSubnetGroupAlreadyExistsFault"):
            raise


def create(aws: AwsSession, request: Mapping[str, Any], password: str, tags: Mapping[str, str]) -> bool:
    """Make a DB instance; False when there is one of this name."""
    try:
        aws.client("rds").create_db_instance(**request, MasterUserPassword=password, Tags=_tags(tags))
    except ClientError as error:
        if code(error) in ("DBInstanceAlreadyExists", "DBInstanceAlreadyExistsFault"):
            return False
        raise
    return True


def wait_available(aws: AwsSession, clock: Clock, name: str, timeout: float = 3600) -> DbInstance:
    """Wait until it can be connected to, which takes RDS about ten minutes.

    Raises:
        AwsError: It cannot, or the time (seconds) is up.
    """
    seen = "unknown"
    for _ in poll(clock, timeout=timeout, every=5):
        found = get(aws, name)
        seen = found.status if found else "not there"
        if found and found.status == "available" and found.endpoint:
            return found
        if found is None or seen in _FAILED_STATES:
            break
    raise AwsError(
        f"the DB instance {name} is {seen}",
        state="It is left as it is.",
        next=f"aws rds describe-db-instances --db-instance-identifier {name}; then the same command goes on",
    )


def _tags(tags: Mapping[str, str]) -> Any:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
