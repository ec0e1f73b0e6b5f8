"""Data moves to another home under a writer that never stops: every acknowledged row is there exactly once, whatever happens."""

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
from tests.e2e.service import ILL, QUICK, Service, _unit
from tests.e2e.test_promote_crash import killed
from tests.e2e.workspace import Workspace, colleague, relayed_through
from tests.e2e.writer import Writer, entries

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.data,
    pytest.mark.skipif(postgres.unavailable_reason() is not None, reason=str(postgres.unavailable_reason())),
]

ILL["dies later"] = _unit("RuntimeMaxSec=25s")
HOST, PASSWORD = "/guestbook/production/db/host", "/guestbook/production/db/password"


@dataclass
class Homes:
    """A fleet of one whose rows are on it, a server elsewhere, and a checkout for each of the two."""

    here: Service
    there: Service
    host: str
    password: str

    @property
    def migrate(self) -> tuple[str, ...]:
        """What moves the rows there, also where some that have left are there still."""
        return ("db.migrate", "--to", "rds", "--host", self.host, "--replace")

    def sql(self, text: str) -> str:
        """As the database's owner on the server."""
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
        """The rows go home, where they are not: to the instance's own disk."""
        if self.here.status()["instances"] and self.there.pointer() != self.here.good:
            self.there.resize(1)
            self.here.ctx.ok("db.migrate", "--to", "instance", "--ami", self.here.good)


def available(rds: Any) -> str:
    """Wait for the server; its address."""
    deadline = time.monotonic() + 60
    while True:
        told = rds.describe_db_instances(DBInstanceIdentifier="elsewhere")["DBInstances"][0]
        if told["DBInstanceStatus"] == "available":
            return str(told["Endpoint"]["Address"])
        assert time.monotonic() < deadline, told["DBInstanceStatus"]
        time.sleep(0.2)


@pytest.fixture(scope="module")
def homes(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homes]:
    folder = tmp_path_factory.mktemp("migrate")
    here = colleague(ctx, folder / "here")
    for old, new in QUICK.items():
        here.edit("golden.toml", old, new)
    ssm, rds = ctx.client("ssm"), ctx.client("rds")
    password = ssm.get_parameter(Name=PASSWORD, WithDecryption=True)["Parameter"]["Value"]
    rds.create_db_instance(
        DBInstanceIdentifier="elsewhere", DBInstanceClass="db.t4g.micro", Engine="postgres", AllocatedStorage=20,
        MasterUsername="guestbook", MasterUserPassword=password, DBName="guestbook", StorageEncrypted=True,
    )  # fmt: skip
    there = colleague(here, folder / "there")
    there.edit("golden.toml", 'mode = "instance"', f'mode = "rds"\nhost_parameter = "{HOST}"')
    there.edit("golden.toml", "[instance]", f'[[parameters]]\nname = "{HOST}"\nvalue = "not-yet.example"\n\n[instance]')
    there.edit("golden.toml", "max = 1 ", "max = 3 ")
    image = there.ok("bake").strip()
    address = here.ok("fleet.create", "--ami", baked).strip().removeprefix("http://")
    found = Homes(Service(here, baked, address), Service(there, image, address), available(rds), password)
    yield found
    found.back()
    here.ok("fleet.destroy", "--yes")
    found.there.forget()
    ctx.client("ec2").deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
    rds.delete_db_instance(DBInstanceIdentifier="elsewhere", SkipFinalSnapshot=True)
    ssm.delete_parameter(Name=HOST)
    ec2 = ctx.client("ec2")
    ours = [{"Name": "group-name", "Values": ["guestbook-data"]}]  # of a server that outlives the fleet
    for group in ec2.describe_security_groups(Filters=ours)["SecurityGroups"]:
        ec2.delete_security_group(GroupId=group["GroupId"])
    assert here.leftovers() == []


@pytest.fixture
def at_home(homes: Homes) -> Homes:
    """The rows are on the instance."""
    homes.back()
    test_rows.settled(homes.here, homes.here.good)
    return homes


def settled(homes: Homes, image: str, size: int = 1) -> None:
    """All instances are of this image and serve from the server elsewhere, everything agrees, nothing is left of a switchover."""
    service = homes.there
    assert service.running() == [image] * size
    assert service.pointer() == image
    status = service.status()
    assert (status["disagreements"], status["claim"]) == ([], None)
    names = [p["Name"] for p in service.client("ssm").describe_parameters()["Parameters"]]
    assert "/goldenami/guestbook/switchover" not in names
    group = service.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert [p["ProcessName"] for p in group["SuspendedProcesses"]] == []
    assert homes.parameter() == homes.host
    assert homes.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'goldenami_stale'") == "0"
    assert int(homes.sql("SELECT count(*) FROM entries")) <= len(entries(service.address)), (
        "some may be written meanwhile"
    )


def test_rows_move_to_a_server_elsewhere_where_a_fleet_may_grow(at_home: Homes) -> None:
    homes, there = at_home, at_home.there
    migrate = ("db.migrate", "--to", "rds", "--host", homes.host)
    refused = homes.here.ctx.invoke(*migrate)
    assert refused.returncode == 5
    assert 'set mode = "rds" under [database]' in refused.stderr
    refused = there.ctx.invoke("promote", "--ami", there.good)
    assert refused.returncode == 5
    assert "./invoke db.migrate --to rds transfers it" in refused.stderr
    homes.set_password("of-somebody-else")
    refused = there.ctx.invoke(*migrate)
    assert refused.returncode == 5
    assert "the new database cannot be used" in refused.stderr
    assert "password authentication failed" in refused.stderr
    homes.set_password(homes.password)
    homes.sql("CREATE TABLE theirs (n int); INSERT INTO theirs VALUES (1)")
    refused = there.ctx.invoke(*migrate)
    assert "already has 1 row(s); --replace" in refused.stderr
    homes.sql("DROP TABLE theirs")
    test_rows.settled(homes.here, homes.here.good)
    assert homes.parameter() != homes.host, "nothing was touched"

    with Writer(there.address) as writer:
        told = json.loads(there.ctx.ok(*migrate, "--plan", "--json"))
        assert (told["refusals"], told["host"], told["target"]["rows"]) == ([], homes.host, 0)
        assert there.ctx.ok(*migrate).strip() == there.good
        after = len(writer.acknowledged)
        settled_by = time.monotonic() + 30
        while len(writer.acknowledged) <= after:
            assert time.monotonic() < settled_by, "it goes on"
            time.sleep(0.1)
    settled(homes, there.good)
    writer.check()
    print(f"{len(writer.acknowledged)} rows, nobody could write for at most {writer.longest:.1f} s")
    again = there.ctx.invoke(*migrate, "--ami", there.good)
    assert again.returncode == 0, again.stderr
    assert "unchanged" in again.stderr

    # Now the fleet may grow, and is renewed by instance refreshes while everybody writes.
    there.ctx.ok("fleet.create")
    there.resize(2)
    image = there.image("well")
    with Writer(there.address) as writer:
        there.ctx.ok("promote", "--ami", image)
        settled(homes, image, 2)
        assert there.ctx.ok("rollback").strip() == there.good
    settled(homes, there.good, 2)
    writer.check()
    assert writer.refused == []


@pytest.mark.long
def test_a_server_is_made_and_the_way_back_is_a_migration_as_well(homes: Homes) -> None:
    homes.back()
    migrate = ("db.migrate", "--to", "rds", "--create", "--ami", homes.there.good)
    with Writer(homes.there.address) as writer:
        assert "is made where it is missing" in homes.there.ctx.ok(*migrate, "--plan")
        homes.there.ctx.ok(*migrate)
        settled(replace(homes, host=homes.parameter()), homes.there.good)
        shown = {part["name"]: part for part in json.loads(homes.there.ctx.ok("fleet.show", "--json"))}
        assert f"available, {homes.parameter()}" in shown["guestbook-data"]["detail"]
        data = homes.there.status()["data"]
        assert (data["home"], data["endpoint"], data["storage"]) == ("database server", homes.parameter(), 20)
        cost = json.loads(homes.there.ctx.ok("cost", "--json"))
        assert "db.t4g.micro RDS server" in [item["what"] for item in cost["images"]["items"]]
        homes.back()
    test_rows.settled(homes.here, homes.here.good)
    writer.check()
    rds = homes.here.client("rds")
    (made,) = rds.describe_db_instances(DBInstanceIdentifier="guestbook-data")["DBInstances"]
    assert (made["StorageEncrypted"], made["PubliclyAccessible"], made["DeletionProtection"]) == (True, False, True)
    rds.modify_db_instance(DBInstanceIdentifier="guestbook-data", DeletionProtection=False, ApplyImmediately=True)
    rds.delete_db_instance(DBInstanceIdentifier="guestbook-data", SkipFinalSnapshot=True)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["unit fails", "dies later"])
def test_an_image_that_is_bad_in_the_new_home_costs_no_row(at_home: Homes, kind: str) -> None:
    homes, before = at_home, at_home.parameter()
    image = homes.there.image(kind)
    with Writer(homes.there.address) as writer:
        done = homes.there.ctx.invoke(*homes.migrate, "--ami", image, "--watch", "40s")
        assert done.returncode == 5, done.stderr[-3000:]
        assert "The previous instance is in service with all data" in done.stderr
    test_rows.settled(homes.here, homes.here.good)
    assert homes.parameter() == before
    writer.check()
    if kind == "unit fails":
        assert (writer.refused, writer.unsure) == ([], [])
    else:
        assert homes.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'goldenami_stale'") == "1"


CALLS: dict[str, Callable[[str, str], bool]] = {
    **{name: call for name, call in test_rows.CALLS.items() if name not in ("suspended",)},
    "host": lambda name, body: name == "PutParameter" and HOST in body,
    "looked": lambda name, body: name == "SendCommand" and "action=inspect" in body,
    "default": lambda name, _: name == "ModifyLaunchTemplate",
}


@pytest.fixture
def relayed(homes: Homes, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Another checkout whose calls all go through a relay."""
    with relayed_through(homes.there.ctx, tmp_path / "relayed") as both:
        yield both


@pytest.mark.parametrize("call", few(CALLS))
def test_killed_at_any_step_the_same_command_finishes_it(
    at_home: Homes, relayed: tuple[Workspace, Relay], call: str
) -> None:
    homes, (ctx, relay) = at_home, relayed
    migrate = (*homes.migrate, "--ami", homes.there.good)
    with Writer(homes.there.address) as writer:
        killed(ctx, relay, CALLS[call], *migrate)
        ctx.ok(*migrate)
    settled(homes, homes.there.good)
    writer.check()


@pytest.mark.long
@pytest.mark.parametrize("call", ["fenced", "restored", "adopted", "resumed"])
def test_a_restore_onto_the_server_that_was_killed_is_finished_by_the_same_again(
    homes: Homes, relayed: tuple[Workspace, Relay], call: str
) -> None:
    there = homes.there
    if there.pointer() != there.good:
        there.ctx.ok(*homes.migrate, "--ami", there.good)
    there.ctx.ok("fleet.create")
    there.resize(2)
    test_rows.finished(there, *relayed, call)
    settled(homes, there.good, 2)


@pytest.mark.long
@pytest.mark.parametrize("call", ["fenced", "open"])
def test_killed_before_the_rows_have_arrived_a_rollback_takes_it_back(
    at_home: Homes, relayed: tuple[Workspace, Relay], call: str
) -> None:
    homes, (ctx, relay), before = at_home, relayed, at_home.parameter()
    with Writer(homes.there.address) as writer:
        killed(ctx, relay, CALLS[call], *homes.migrate, "--ami", homes.there.good)
        assert ctx.ok("rollback").strip() == homes.here.good
    test_rows.settled(homes.here, homes.here.good)
    assert homes.parameter() == before
    writer.check()
