"""RDS: the PostgreSQL DB instance of a fleet. It is created once, found by its name, and never changed or deleted here.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goldenami.aws.errors import suppress
from goldenami.aws.session import AwsSession
from goldenami.errors import AwsError
from goldenami.model.resources import DbInstance
from goldenami.tools.clock import Clock, wait_until

# A DB instance does not leave these states by itself.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html
_FAILED_STATES = (
    *("failed", "incompatible-network", "incompatible-parameters", "incompatible-restore", "storage-full", "deleting"),
)


def get(aws: AwsSession, name: str) -> DbInstance | None:
    """Return a DB instance by its name, or None if it does not exist."""
    with suppress("DBInstanceNotFound", "DBInstanceNotFoundFault"):
        instance = aws.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        endpoint = instance.get("Endpoint", {})
        has_address = "Address" in endpoint and "Port" in endpoint
        return DbInstance(
            name=name,
            status=instance.get("DBInstanceStatus", ""),
            endpoint=f"{endpoint['Address']}:{endpoint['Port']}" if has_address else "",
            encrypted=instance.get("StorageEncrypted", False),
            public=instance.get("PubliclyAccessible", False),
            instance_class=instance.get("DBInstanceClass", ""),
            storage=instance.get("AllocatedStorage", 0),
            storage_type=instance.get("StorageType", ""),
            version=instance.get("EngineVersion", ""),
            multi_az=instance.get("MultiAZ", False),
        )
    return None


def ensure_subnets(aws: AwsSession, name: str, subnets: Sequence[str], tags: Mapping[str, str]) -> None:
    """Create the DB subnet group unless it exists; RDS requires subnets in at least two zones."""
    with suppress("DBSubnetGroupAlreadyExists", "DBSubnetGroupAlreadyExistsFault"):
        aws.client("rds").create_db_subnet_group(
            DBSubnetGroupName=name, DBSubnetGroupDescription=f"goldenami {name}", SubnetIds=subnets, Tags=_tags(tags)
        )


def create(aws: AwsSession, request: Mapping[str, Any], password: str, tags: Mapping[str, str]) -> bool:
    """Create a DB instance; return False if one of this name exists."""
    with suppress("DBInstanceAlreadyExists", "DBInstanceAlreadyExistsFault"):
        aws.client("rds").create_db_instance(**request, MasterUserPassword=password, Tags=_tags(tags))
        return True
    return False


def wait_available(aws: AwsSession, clock: Clock, name: str, timeout: float = 3600) -> DbInstance:
    """Wait until a DB instance is available, about ten minutes after its creation.

    Raises:
        AwsError: The DB instance failed, or is not available after `timeout` seconds.
    """
    instance = wait_until(
        clock,
        lambda: get(aws, name),
        lambda instance: instance and instance.status == "available" and instance.endpoint,
        timeout=timeout,
        every=5,
        failed=lambda instance: instance is None or instance.status in _FAILED_STATES,
        on_timeout=lambda instance: AwsError(
            f"the DB instance {name} did not become available: {instance.status if instance else 'not found'}",
            state="The DB instance was not changed.",
            next=f"aws rds describe-db-instances --db-instance-identifier {name}; then the same command again",
        ),
    )
    assert instance is not None
    return instance


def _tags(tags: Mapping[str, str]) -> Any:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
