"""An application with ordered migrations, row-level security, quoted names and sequences of all kinds, in each storage mode."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from localcloud.rds import postgres
from tests.e2e.cases import few
from tests.e2e.reader import Reader
from tests.e2e.service import FAST_SETTINGS, Service
from tests.e2e.test_promote_crash import run_and_kill
from tests.e2e.workspace import DEPENDENCIES, Workspace, copy_checkout, relayed_through
from tests.e2e.writer import Writer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.data,
    pytest.mark.skipif(postgres.unavailable_reason() is not None, reason=str(postgres.unavailable_reason())),
]

HOST, PASSWORD = "/guestbook/production/db/host", "/guestbook/production/db/password"
# Seconds: a restart of PostgreSQL on a busy machine. benchmarks/promote.py measures how long it is on a quiet one.
READERS_WAIT = 20.0
RENAME = "ALTER TABLE entries RENAME COLUMN message TO body;\n"
# Every user has written "Amen", so the index cannot be created on today's rows, but in an empty database.
UNIQUE = "CREATE INDEX prayers_added ON prayers (added_at);\nCREATE UNIQUE INDEX prayers_text ON prayers (text);\n"


@dataclass
class Hymnal:
    """A fleet that serves the hymnal.

    Attributes:
        images: AMI ids: of the first version, of the one with a renamed column, and of one whose migration fails on the rows.
    """

    service: Service
    mode: str
    images: dict[str, str] = field(default_factory=dict)

    @property
    def ctx(self) -> Workspace:
        return self.service.ctx

    @property
    def address(self) -> str:
        return self.service.address

    def bake(self, name: str) -> str:
        self.images[name] = self.ctx.ok("bake").strip()
        return self.images[name]

    def counts(self) -> str:
        """Return the row counts of the tables; fails if an entry is not in each of them."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        connection.request("GET", "/consistent")
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200, f"{answer.status}: {text}"
        return text

    def check(self, writer: Writer, reader: Reader) -> None:
        """Check that every acknowledged row exists once in every table; print what readers and writers had to wait."""
        writer.check()
        print(
            f"{self.mode}: {self.counts().strip()}; writers waited {writer.longest:.1f} s, readers {reader.longest:.1f} s"
        )
        reader.check(READERS_WAIT)


def use_hymnal(ctx: Workspace, mode: str) -> None:
    """Change the recipe to the hymnal with its migrations, with its data in this storage mode."""
    ctx.edit("golden.toml", 'source = "examples/guestbook"', 'source = "tests/e2e/hymnal"')
    ctx.edit("golden.toml", "-o guestbook ./cmd/server", "-o guestbook main.go")
    ctx.edit("golden.toml", 'schema = "schema.sql"\n', "")
    ctx.edit("golden.toml", "[database] ", '[release]\nmigrations = "migrations/"\n\n[database] ')
    for name in DEPENDENCIES:  # as in the example, so that the base layer is reused
        shutil.copy(ctx.root / "examples/guestbook" / name, ctx.root / "tests/e2e/hymnal" / name)
    if mode == "rds":
        ctx.edit("golden.toml", 'mode = "instance"', f'mode = "rds"\nhost_parameter = "{HOST}"')
        # An owner who is not allowed to bypass row-level security cannot back up what it forces on him.
        ctx.edit("tests/e2e/hymnal/migrations/003_notes.sql", "ALTER TABLE notes FORCE ROW LEVEL SECURITY;\n", "")
    elif mode == "volume":
        ctx.edit("golden.toml", 'mode = "instance"', 'mode = "volume"')
        ctx.edit("golden.toml", "[[parameters]]", "[database.volume]\nsize_gib = 1\n\n[[parameters]]")


def create_server(ctx: Workspace) -> None:
    """Create the DB instance `hymnal` and the parameter with its address."""
    ssm, rds = ctx.client("ssm"), ctx.client("rds")
    password = ssm.get_parameter(Name=PASSWORD, WithDecryption=True)["Parameter"]["Value"]
    rds.create_db_instance(
        DBInstanceIdentifier="hymnal", DBInstanceClass="db.t4g.micro", Engine="postgres", AllocatedStorage=20,
        MasterUsername="guestbook", MasterUserPassword=password, DBName="guestbook", StorageEncrypted=True,
    )  # fmt: skip
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier="hymnal", WaiterConfig={"Delay": 1})
    endpoint = rds.describe_db_instances(DBInstanceIdentifier="hymnal")["DBInstances"][0]["Endpoint"]["Address"]
    ssm.put_parameter(Name=HOST, Value=endpoint, Type="String", Overwrite=True)


@pytest.fixture(scope="module", params=few(("instance", "volume", "rds"), "instance"))
def hymnal(
    ctx: Workspace, baked: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hymnal]:
    mode = request.param
    other = copy_checkout(ctx, tmp_path_factory.mktemp("hymnal") / mode)
    use_hymnal(other, mode)
    for old, new in FAST_SETTINGS.items():
        other.edit("golden.toml", old, new)
    if mode == "rds":
        create_server(other)
    found = Hymnal(Service(other, "", ""), mode)
    first = found.bake("first")
    found.service.good = first
    found.service.address = other.ok("fleet.create", "--ami", first).strip().removeprefix("http://")
    (other.root / "tests/e2e/hymnal/migrations/006_rename.sql").write_text(RENAME)
    (other.root / "tests/e2e/hymnal/column.txt").write_text("body\n")
    found.bake("renamed")
    (other.root / "tests/e2e/hymnal/migrations/007_unique.sql").write_text(UNIQUE)
    found.bake("unique")
    yield found
    other.ok("fleet.destroy", "--yes")
    found.service.made.extend(found.images.values())
    found.service.clean_up()
    if mode == "rds":
        other.client("rds").delete_db_instance(DBInstanceIdentifier="hymnal", SkipFinalSnapshot=True)
        other.client("ssm").delete_parameter(Name=HOST)
    if mode == "volume":
        ec2 = other.client("ec2")
        for volume in ec2.describe_volumes(Filters=[{"Name": "tag:goldenami:data", "Values": ["guestbook"]}])[
            "Volumes"
        ]:
            ec2.delete_volume(VolumeId=volume["VolumeId"])


def run(hymnal: Hymnal, *args: str) -> tuple[int, str]:
    done = hymnal.ctx.invoke(*args)
    return done.returncode, done.stderr


def test_migrations_are_applied_once_and_no_row_is_lost(hymnal: Hymnal) -> None:
    assert hymnal.service.production_ami() == hymnal.images["first"]
    with Writer(hymnal.address) as writer, Reader(hymnal.address) as reader:
        hymnal.ctx.ok("promote", "--ami", hymnal.images["renamed"])
        after = len(writer.acknowledged)
    assert writer.acknowledged[:after]
    assert hymnal.service.running_amis() == [hymnal.images["renamed"]]
    if hymnal.mode == "rds":  # the column's new name is the old version's failure, until its instance is replaced
        reader.longest = 0.0
    hymnal.check(writer, reader)


def test_a_migration_that_fails_on_the_rows_changes_nothing(hymnal: Hymnal) -> None:
    before = hymnal.service.production_ami()
    with Writer(hymnal.address) as writer, Reader(hymnal.address) as reader:
        code, output = run(hymnal, "promote", "--ami", hymnal.images["unique"])
    assert code == 5, output[-3000:]
    assert "007_unique.sql, line 2: ERROR:  could not create unique index" in output
    assert "Key (text)=(Amen) is duplicated." in output
    assert hymnal.service.running_amis() == [before]
    assert hymnal.service.production_ami() == before
    if hymnal.mode == "rds":  # rehearsed on a copy: nobody waits
        assert writer.refused == []
        assert reader.failures == []
    hymnal.check(writer, reader)


def test_rollback_over_a_migration_is_refused_unless_it_is_asked_for(hymnal: Hymnal) -> None:
    before = hymnal.service.production_ami()
    code, output = run(hymnal, "rollback")
    assert code == 5, output[-3000:]
    assert "006_rename.sql" in output
    assert "--schema-newer" in output
    with Writer(hymnal.address) as writer, Reader(hymnal.address) as reader:
        code, output = run(hymnal, "rollback", "--schema-newer")
    # The former version asks for a column that is gone: it never becomes healthy with today's rows, and the new one goes on.
    assert code == 5, output[-3000:]
    assert hymnal.service.running_amis() == [before]
    hymnal.check(writer, reader)


def test_backup_restores_with_policies_sequences_and_views(hymnal: Hymnal) -> None:
    with Writer(hymnal.address):
        made = hymnal.ctx.ok("db.backup").strip()
    hymnal.ctx.ok("db.verify", "--backup", made, "--restore")
    before = hymnal.counts()
    code, output = run(hymnal, "db.restore", "--backup", made)
    assert code == 5, output[-3000:]
    assert hymnal.counts() == before


STEPS = {
    "applied": lambda name, body: name == "SendCommand" and "action=release-apply" in body,
    "rehearsed": lambda name, body: name == "SendCommand" and "action=release-rehearse" in body,
}


@pytest.mark.long
@pytest.mark.parametrize("call", list(STEPS))
def test_killed_promotion_with_a_migration_is_continued(hymnal: Hymnal, tmp_path: Path, call: str) -> None:
    folder = hymnal.ctx.root / "tests/e2e/hymnal/migrations"
    (folder / "007_unique.sql").unlink(missing_ok=True)
    (folder / f"{8 if call == 'applied' else 9:03}_{call}.sql").write_text(f"CREATE TABLE {call} (id integer);\n")
    image = hymnal.bake(call)
    with (
        relayed_through(hymnal.ctx, tmp_path / "relayed") as (ctx, relay),
        Writer(hymnal.address) as writer,
        Reader(hymnal.address) as reader,
    ):
        if call == "applied" or hymnal.mode == "rds":
            run_and_kill(ctx, relay, STEPS[call], "promote", "--ami", image)
        result: dict[str, Any] = json.loads(ctx.ok("promote", "--ami", image, "--json"))
    assert result["ami"] == image
    assert hymnal.service.running_amis() == [image]
    hymnal.check(writer, reader)
