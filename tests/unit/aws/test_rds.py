"""The server elsewhere that goldenami makes: private, encrypted, protected, once; and only the fleet gets in."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldenami.aws import rds
from goldenami.database import rds_plan
from goldenami.errors import AwsError
from goldenami.model.names import ResourceNames
from tests.support.aws_stubs import scripted
from tests.support.clock import ScriptedClock
from tests.support.recipes import RDS, problems, recipe

NAME = {"DBInstanceIdentifier": "guestbook-data"}
THERE = {"DBInstanceIdentifier": "guestbook-data", "StorageEncrypted": True, "PubliclyAccessible": False}


def test_what_is_asked_for_is_safe() -> None:
    found = rds_plan.db_instance_request(
        recipe(RDS | {"database.rds": {"multi_az": True}}), ResourceNames("guestbook"), "sg-1", "alias/k"
    )
    assert (found["StorageEncrypted"], found["KmsKeyId"], found["PubliclyAccessible"]) == (True, "alias/k", False)
    assert (found["DeletionProtection"], found["BackupRetentionPeriod"], found["MultiAZ"]) == (True, 7, True)
    assert (found["MasterUsername"], found["DBName"], found["EngineVersion"]) == ("guestbook", "guestbook", "15")
    assert "MasterUserPassword" not in found, "no plan holds a secret"
    assert "KmsKeyId" not in rds_plan.db_instance_request(recipe(RDS), ResourceNames("guestbook"), "sg-1", "")


def test_the_recipe_says_how_large_it_is() -> None:
    assert any("no rds with mode" in told for told in problems({"database.rds": {}}))
    bad = RDS | {"database.rds": {"instance_class": "t4g.micro"}}
    assert any("an RDS instance class such as" in told for told in problems(bad)), problems(bad)
    assert any("from 1 to 35" in told for told in problems(RDS | {"database.rds": {"backup_retention_days": 0}}))


def test_it_is_waited_for_until_it_has_an_endpoint(tmp_path: Path) -> None:
    with scripted() as wire:
        for status in ("creating", "backing-up"):
            told = {**THERE, "DBInstanceStatus": status}
            wire.answer("rds", "describe_db_instances", NAME, {"DBInstances": [told]})
        told = {**THERE, "DBInstanceStatus": "available", "Endpoint": {"Address": "db.example", "Port": 5432}}
        told |= {"DBInstanceClass": "db.t4g.micro", "AllocatedStorage": 20, "StorageType": "gp3"}
        told |= {"EngineVersion": "15.4", "MultiAZ": True}
        wire.answer("rds", "describe_db_instances", NAME, {"DBInstances": [told]})
        found = rds.wait_available(wire.aws, ScriptedClock(), "guestbook-data")
    assert (found.endpoint, found.public, found.encrypted) == ("db.example:5432", False, True)
    assert found.detail == "db.t4g.micro, 20 GiB gp3, PostgreSQL 15.4, two zones, available, db.example:5432"


@pytest.mark.parametrize("status", ["failed", "storage-full"])
def test_what_waiting_does_not_mend_is_told_at_once(status: str) -> None:
    with scripted() as wire:
        wire.answer("rds", "describe_db_instances", NAME, {"DBInstances": [{**THERE, "DBInstanceStatus": status}]})
        with pytest.raises(AwsError, match=f"the DB instance guestbook-data did not become available: {status}"):
            rds.wait_available(wire.aws, ScriptedClock(), "guestbook-data")


def test_one_that_is_there_is_not_made_again() -> None:
    with scripted() as wire:
        wire.refuse("rds", "describe_db_instances", NAME, "DBInstanceNotFound")
        assert rds.get(wire.aws, "guestbook-data") is None
        wanted = {**NAME, "Engine": "postgres", "DBInstanceClass": "db.t4g.micro"}
        sent = {**wanted, "MasterUserPassword": "secret-word", "Tags": [{"Key": "Team", "Value": "web"}]}
        wire.refuse("rds", "create_db_instance", sent, "DBInstanceAlreadyExists")
        assert not rds.create(wire.aws, wanted, "secret-word", {"Team": "web"})
        group = {
            "DBSubnetGroupName": "d", "DBSubnetGroupDescription": "goldenami d", "SubnetIds": ["subnet-1"], "Tags": [],
        }  # fmt: skip
        wire.refuse("rds", "create_db_subnet_group", group, "DBSubnetGroupAlreadyExists")
        rds.ensure_subnets(wire.aws, "d", ["subnet-1"], {})
