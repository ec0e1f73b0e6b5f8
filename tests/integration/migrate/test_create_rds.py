"""The DB instance that db.migrate --create creates, in the embedded cloud with a real PostgreSQL server."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from goldenami.aws import security_groups
from goldenami.aws.session import AwsSession
from goldenami.context import Context
from goldenami.database import rds as database_rds
from goldenami.errors import GateError
from goldenami.infra import network
from goldenami.tools.clock import SystemClock
from goldenami.tools.progress import Progress
from localcloud.rds import postgres
from tests.support.cloud_server import KEYS, client, eventually
from tests.support.recipes import RDS, recipe

pytestmark = pytest.mark.skipif(postgres.unavailable_reason() is not None, reason=str(postgres.unavailable_reason()))
PASSWORD = "/guestbook/production/db/password"


@pytest.fixture
def ctx(cloud: Any, tmp_path: Path) -> Context:
    found, clock = recipe(RDS | {"targets.local.ssh_cidrs": ["127.0.0.1/32"]}), SystemClock()
    # The server's version is the recipe's, and behind it stands whatever PostgreSQL this machine has.
    major = found.runtime.postgresql.model_copy(update={"version": str(max(postgres.installed_versions()))})
    found = found.model_copy(update={"runtime": found.runtime.model_copy(update={"postgresql": major})})
    aws = AwsSession("ap-northeast-2", endpoint_url=cloud.server.endpoint, keys=KEYS)
    aws.client("ssm").put_parameter(Name=PASSWORD, Value="secret-word", Type="SecureString")
    return Context(tmp_path, found, found.target("local"), aws, clock, Progress(clock, io.StringIO()))


def test_db_instance_is_created_once_and_open_to_the_fleet_only(ctx: Context) -> None:
    place = network.find_network(ctx)
    web, _ = network.ensure_security_groups(ctx, place)
    endpoint = database_rds.ensure_db_instance(ctx)
    assert database_rds.ensure_db_instance(ctx) == endpoint
    rds = client(str(ctx.aws.endpoint_url), "rds")
    (made,) = rds.describe_db_instances()["DBInstances"]
    assert f"{made['Endpoint']['Address']}:{made['Endpoint']['Port']}" == endpoint
    assert (made["DBInstanceIdentifier"], made["DBName"], made["MasterUsername"]) == ("guestbook-data",) + (
        "guestbook",
    ) * 2
    assert (made["StorageEncrypted"], made["PubliclyAccessible"], made["DeletionProtection"]) == (True, False, True)
    assert made["BackupRetentionPeriod"] == 7
    assert {"Key": "goldenami:fleet", "Value": "guestbook"} in made["TagList"]
    assert len(made["DBSubnetGroup"]["Subnets"]) == 2
    security = security_groups.find(ctx.aws, "guestbook-data", place.vpc)
    assert [g["VpcSecurityGroupId"] for g in made["VpcSecurityGroups"]] == [security]
    ec2 = ctx.aws.client("ec2")
    (rule,) = ec2.describe_security_groups(GroupIds=[str(security)])["SecurityGroups"][0]["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"]) == (5432, 5432, [])
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [web]

    # A fleet that is taken down leaves it, and lets nobody in meanwhile; one that is made again comes in again.
    network.ensure_database_security_group(ctx, place.vpc, closed=True)
    assert not ec2.describe_security_groups(GroupIds=[str(security)])["SecurityGroups"][0]["IpPermissions"]
    network.ensure_security_groups(ctx, place)
    assert ec2.describe_security_groups(GroupIds=[str(security)])["SecurityGroups"][0]["IpPermissions"]

    rds.modify_db_instance(DBInstanceIdentifier="guestbook-data", PubliclyAccessible=True, ApplyImmediately=True)
    with pytest.raises(GateError, match="guestbook-data is public"):
        database_rds.ensure_db_instance(ctx)
    rds.modify_db_instance(DBInstanceIdentifier="guestbook-data", DeletionProtection=False, ApplyImmediately=True)
    rds.delete_db_instance(DBInstanceIdentifier="guestbook-data", SkipFinalSnapshot=True)
    eventually(lambda: not rds.describe_db_instances()["DBInstances"], 30)
