"""Storage migrations to RDS and back under a continuous writer: every acknowledged row exists exactly once."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from localcloud.rds import postgres
from tests.e2e import test_rows
from tests.e2e.cases import few
from tests.e2e.relay import Relay
from tests.e2e.service import FAST_SETTINGS, VARIANTS, Service, _unit
from tests.e2e.test_promote_crash import run_and_kill
from tests.e2e.workspace import Workspace, copy_checkout, relayed_through
from tests.e2e.writer import Writer, entries

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.data,
    pytest.mark.skipif(postgres.unavailable_reason() is not None, reason=str(postgres.unavailable_reason())),
]

VARIANTS["dies later"] = _unit("RuntimeMaxSec=25s")
HOST, PASSWORD = "/guestbook/production/db/host", "/guestbook/production/db/password"


@dataclass
class Databases:
    """A fleet of one, an RDS instance, and a checkout for each of the two storage modes."""

    here: Service
    there: Service
    host: str
    password: str

    @property
    def migrate(self) -> tuple[str, ...]:
        """Command that migrates the data to RDS and replaces stale data there."""
        return ("db.migrate", "--to", "rds", "--host", self.host, "--replace")

    def sql(self, text: str) -> str:
        """Run SQL on the RDS instance as the database's owner."""
        host, _, port = self.host.partition(":")
        place = f"host={host} port={port or 5432} user=guestbook dbname=guestbook sslmode=require"
        env = {"PGPASSWORD": self.password, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["psql", "-XqtA", place, "-c", text], capture_output=True, text=True, env=env, check=True)
        return done.stdout.strip()

    def parameter(self) -> str:
        return str(self.here.client("ssm").get_parameter(Name=HOST)["Parameter"]["Value"])

    def set_password(self, text: str) -> None:
        rds = self.here.client("rds")
        rds.modify_db_instance(DBInstanceIdentifier="elsewhere", MasterUserPassword=text, ApplyImmediately=True)
        available(rds)

    def back(self) -> None:
        """Migrate the data back to the instance's disk unless it is there."""
        if self.here.status()["instances"] and self.there.production_ami() != self.here.good:
            self.there.resize(1)
            self.here.ctx.ok("db.migrate", "--to", "instance", "--ami", self.here.good)


def available(rds: Any) -> str:
    """Wait until the RDS instance is available and return its address."""
    deadline = time.monotonic() + 60
    while True:
        db_instance = rds.describe_db_instances(DBInstanceIdentifier="elsewhere")["DBInstances"][0]
        if db_instance["DBInstanceStatus"] == "available":
            return str(db_instance["Endpoint"]["Address"])
        assert time.monotonic() < deadline, db_instance["DBInstanceStatus"]
        time.sleep(0.2)


@pytest.fixture(scope="module")
def databases(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    folder = tmp_path_factory.mktemp("migrate")
    here = copy_checkout(ctx, folder / "here")
    for old, new in FAST_SETTINGS.items():
        here.edit("golden.toml", old, new)
    ssm, rds = ctx.client("ssm"), ctx.client("rds")
    password = ssm.get_parameter(Name=PASSWORD, WithDecryption=True)["Parameter"]["Value"]
    rds.create_db_instance(
        DBInstanceIdentifier="elsewhere", DBInstanceClass="db.t4g.micro", Engine="postgres", AllocatedStorage=20,
        MasterUsername="guestbook", MasterUserPassword=password, DBName="guestbook", StorageEncrypted=True,
    )  # fmt: skip
    there = copy_checkout(here, folder / "there")
    there.edit("golden.toml", 'mode = "instance"', f'mode = "rds"\nhost_parameter = "{HOST}"')
    there.edit("golden.toml", "[instance]", f'[[parameters]]\nname = "{HOST}"\nvalue = "not-yet.example"\n\n[instance]')
    there.edit("golden.toml", "max = 1 ", "max = 3 ")
    image = there.ok("bake").strip()
    address = here.ok("fleet.create", "--ami", baked).strip().removeprefix("http://")
    found = Databases(Service(here, baked, address), Service(there, image, address), available(rds), password)
    yield found
    found.back()
    here.ok("fleet.destroy", "--yes")
    found.there.clean_up()
    ctx.client("ec2").deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
    rds.delete_db_instance(DBInstanceIdentifier="elsewhere", SkipFinalSnapshot=True)
    ssm.delete_parameter(Name=HOST)
    ec2 = ctx.client("ec2")
    filters = [
        {"Name": "group-name", "Values": ["guestbook-data"]}
    ]  # belongs to the RDS instance, which outlives the fleet
    for group in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
        ec2.delete_security_group(GroupId=group["GroupId"])
    assert here.leftovers() == []


@pytest.fixture
def on_instance(databases: Databases) -> Databases:
    """The data is on the instance."""
    databases.back()
    test_rows.assert_idle(databases.here, databases.here.good)
    return databases


def assert_idle(databases: Databases, image: str, size: int = 1) -> None:
    """Check that all instances run this image on the RDS instance, without drift and without an unfinished switchover."""
    service = databases.there
    assert service.running_amis() == [image] * size
    assert service.production_ami() == image
    status = service.status()
    group = service.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    # A migration leaves the group's sizes to `fleet.create`.
    sizes = f"guestbook-asg has the size 1 to {group['MaxSize']}, the recipe 1 to 3"
    assert (status["drift"], status["lock"]) == ([] if group["MaxSize"] == 3 else [sizes], None)
    names = [p["Name"] for p in service.client("ssm").describe_parameters()["Parameters"]]
    assert "/goldenami/guestbook/switchover" not in names
    assert [p["ProcessName"] for p in group["SuspendedProcesses"]] == []
    assert databases.parameter() == databases.host
    assert databases.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'goldenami_stale'") == "0"
    assert int(databases.sql("SELECT count(*) FROM entries")) <= len(entries(service.address)), (
        "some may be written meanwhile"
    )


def test_migration_to_rds_allows_a_larger_fleet(on_instance: Databases) -> None:
    databases, there = on_instance, on_instance.there
    migrate = ("db.migrate", "--to", "rds", "--host", databases.host)
    refused = databases.here.ctx.invoke(*migrate)
    assert refused.returncode == 5
    assert 'set mode = "rds" under [database]' in refused.stderr
    refused = there.ctx.invoke("promote", "--ami", there.good)
    assert refused.returncode == 5
    assert "./invoke db.migrate --to rds transfers it" in refused.stderr
    databases.set_password("another-password")
    refused = there.ctx.invoke(*migrate)
    assert refused.returncode == 5
    assert "the new database cannot be used" in refused.stderr
    assert "password authentication failed" in refused.stderr
    databases.set_password(databases.password)
    databases.sql("CREATE TABLE theirs (n int); INSERT INTO theirs VALUES (1)")
    refused = there.ctx.invoke(*migrate)
    assert "already has 1 row(s); --replace" in refused.stderr
    databases.sql("DROP TABLE theirs")
    test_rows.assert_idle(databases.here, databases.here.good)
    assert databases.parameter() != databases.host, "nothing was touched"

    with Writer(there.address) as writer:
        plan = json.loads(there.ctx.ok(*migrate, "--plan", "--json"))
        assert (plan["blockers"], plan["host"], plan["target"]["rows"]) == ([], databases.host, 0)
        assert there.ctx.ok(*migrate).strip() == there.good
        after = len(writer.acknowledged)
        settled_by = time.monotonic() + 30
        while len(writer.acknowledged) <= after:
            assert time.monotonic() < settled_by, "it goes on"
            time.sleep(0.1)
    assert_idle(databases, there.good)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, longest write downtime {writer.longest:.1f} s")
    again = there.ctx.invoke(*migrate, "--ami", there.good)
    assert again.returncode == 0, again.stderr
    assert "unchanged" in again.stderr

    # Now the fleet can grow, and instance refreshes replace its instances under writes.
    there.ctx.ok("fleet.create")
    there.resize(2)
    image = there.image("healthy")
    with Writer(there.address) as writer:
        there.ctx.ok("promote", "--ami", image)
        assert_idle(databases, image, 2)
        assert there.ctx.ok("rollback").strip() == there.good
    assert_idle(databases, there.good, 2)
    writer.check()
    assert writer.refused == []


@pytest.mark.long
def test_migration_creates_rds_instance_and_migrates_back(databases: Databases) -> None:
    databases.back()
    migrate = ("db.migrate", "--to", "rds", "--create", "--ami", databases.there.good)
    with Writer(databases.there.address) as writer:
        assert "if it does not exist" in databases.there.ctx.ok(*migrate, "--plan")
        databases.there.ctx.ok(*migrate)
        assert_idle(replace(databases, host=databases.parameter()), databases.there.good)
        shown = {part["name"]: part for part in json.loads(databases.there.ctx.ok("fleet.show", "--json"))}
        assert f"available, {databases.parameter()}" in shown["guestbook-data"]["detail"]
        data = databases.there.status()["data"]
        assert (data["kind"], data["endpoint"], data["storage"]) == ("DB instance", databases.parameter(), 20)
        cost = json.loads(databases.there.ctx.ok("cost", "--json"))
        assert "db.t4g.micro RDS server" in [item["what"] for item in cost["images"]["items"]]
        databases.back()
    test_rows.assert_idle(databases.here, databases.here.good)
    writer.check()
    rds = databases.here.client("rds")
    (made,) = rds.describe_db_instances(DBInstanceIdentifier="guestbook-data")["DBInstances"]
    assert (made["StorageEncrypted"], made["PubliclyAccessible"], made["DeletionProtection"]) == (True, False, True)
    rds.modify_db_instance(DBInstanceIdentifier="guestbook-data", DeletionProtection=False, ApplyImmediately=True)
    rds.delete_db_instance(DBInstanceIdentifier="guestbook-data", SkipFinalSnapshot=True)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["unit fails", "dies later"])
def test_unhealthy_image_in_the_new_storage_mode_loses_no_row(on_instance: Databases, kind: str) -> None:
    databases, before = on_instance, on_instance.parameter()
    image = databases.there.image(kind)
    with Writer(databases.there.address) as writer:
        done = databases.there.ctx.invoke(*databases.migrate, "--ami", image, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service with all data" in done.stderr
    test_rows.assert_idle(databases.here, databases.here.good)
    assert databases.parameter() == before
    writer.check()
    if kind == "unit fails":
        assert (writer.refused, writer.unsure) == ([], [])
    else:
        assert databases.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'goldenami_stale'") == "1"


CALLS: dict[str, Callable[[str, str], bool]] = {
    **{name: call for name, call in test_rows.CALLS.items() if name not in ("suspended",)},
    "host": lambda name, body: name == "PutParameter" and HOST in body,
    "looked": lambda name, body: name == "SendCommand" and "action=inspect" in body,
    "default": lambda name, _: name == "ModifyLaunchTemplate",
}


@pytest.fixture
def relayed(databases: Databases, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Another checkout whose API calls go through the relay."""
    with relayed_through(databases.there.ctx, tmp_path / "relayed") as both:
        yield both


@pytest.mark.parametrize("call", few(CALLS))
def test_killed_migration_is_completed_by_the_same_command(
    on_instance: Databases, relayed: tuple[Workspace, Relay], call: str
) -> None:
    databases, (ctx, relay) = on_instance, relayed
    migrate = (*databases.migrate, "--ami", databases.there.good)
    with Writer(databases.there.address) as writer:
        run_and_kill(ctx, relay, CALLS[call], *migrate)
        ctx.ok(*migrate)
    assert_idle(databases, databases.there.good)
    writer.check()


@pytest.mark.long
@pytest.mark.parametrize("call", ["fenced", "restored", "adopted", "resumed"])
def test_killed_restore_on_rds_is_completed_by_the_same_command(
    databases: Databases, relayed: tuple[Workspace, Relay], call: str
) -> None:
    there = databases.there
    if there.production_ami() != there.good:
        there.ctx.ok(*databases.migrate, "--ami", there.good)
    there.ctx.ok("fleet.create")
    there.resize(2)
    test_rows.check_killed_restore(there, *relayed, call)
    assert_idle(databases, there.good, 2)


@pytest.mark.long
@pytest.mark.parametrize("call", ["fenced", "open"])
def test_migration_killed_before_the_data_arrived_is_rolled_back(
    on_instance: Databases, relayed: tuple[Workspace, Relay], call: str
) -> None:
    databases, (ctx, relay), before = on_instance, relayed, on_instance.parameter()
    with Writer(databases.there.address) as writer:
        run_and_kill(ctx, relay, CALLS[call], *databases.migrate, "--ami", databases.there.good)
        assert ctx.ok("rollback").strip() == databases.here.good
    test_rows.assert_idle(databases.here, databases.here.good)
    assert databases.parameter() == before
    writer.check()
