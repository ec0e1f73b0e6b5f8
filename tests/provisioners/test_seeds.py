"""A database counts as empty only while each table is empty or exactly as the schema fills it, on a real server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provisioners.bucket import Bucket
from tests.provisioners.cluster import Cluster, programs, started
from tests.provisioners.test_data import Machine
from tests.provisioners.test_init_database import Instance, empty_database
from tests.support.recipes import RDS

pytestmark = pytest.mark.skipif(programs() is None or not shutil.which("psql"), reason="PostgreSQL is not installed")

SCHEMA = """
CREATE TABLE IF NOT EXISTS prayers (id int PRIMARY KEY, text text, at timestamptz DEFAULT clock_timestamp());
INSERT INTO prayers VALUES (1, 'first'), (2, 'second') ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS "__EFMigrationsHistory" ("MigrationId" text PRIMARY KEY, "At" timestamptz DEFAULT clock_timestamp());
INSERT INTO "__EFMigrationsHistory" VALUES ('001 시작') ON CONFLICT ("MigrationId") DO UPDATE SET "At" = clock_timestamp();
CREATE TABLE IF NOT EXISTS settings (key text PRIMARY KEY, value text);
INSERT INTO settings VALUES ('installation', gen_random_uuid()), ('theme', 'light') ON CONFLICT DO NOTHING;
CREATE SCHEMA IF NOT EXISTS "한글 이름";
CREATE TABLE IF NOT EXISTS "한글 이름"."It's ""a"" table" ("a column" float8, "b'c" bytea, z int[] UNIQUE);
INSERT INTO "한글 이름"."It's ""a"" table" VALUES (0.1, '\\x00ff', '{1,NULL}') ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS months (n int PRIMARY KEY) PARTITION BY RANGE (n);
CREATE TABLE IF NOT EXISTS months_1 PARTITION OF months FOR VALUES FROM (0) TO (10);
CREATE TABLE IF NOT EXISTS months_2 PARTITION OF months FOR VALUES FROM (10) TO (1000);
INSERT INTO months VALUES (1), (11), (12) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS entries (id int);
CREATE TABLE IF NOT EXISTS goldenami_migrations (name text PRIMARY KEY);
INSERT INTO goldenami_migrations VALUES ('001_a.sql') ON CONFLICT DO NOTHING;
"""
SEEDED = 9  # rows, without goldenami_migrations


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with started() as running:
        yield running


@pytest.fixture
def instance(tmp_path: Path, cluster: Cluster) -> Instance:
    """An instance on the day of its image's bake."""
    cluster.sql("DROP DATABASE IF EXISTS guestbook WITH (FORCE)")
    cluster.sql("DROP ROLE IF EXISTS guestbook")
    (tmp_path / "instance").mkdir()
    return Instance(tmp_path / "instance", cluster)


def boot(instance: Instance) -> None:
    """Apply the schema again, as every boot does."""
    done = instance.boot("known", DB_NAME="guestbook", DB_USER="guestbook", APP_SCHEMA="schema.sql")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def machine(tmp_path: Path, cluster: Cluster, instance: Instance) -> Iterator[Machine]:
    """The instance after its first boot, with the seeds that the bake recorded."""
    (instance.app / "schema.sql").write_text(SCHEMA)
    (tmp_path / "machine").mkdir()
    baked = empty_database(instance, cluster, tmp_path, DB_NAME="guestbook", DB_USER="guestbook")
    assert baked.returncode == 0, baked.stdout + baked.stderr
    boot(instance)
    with Bucket() as bucket:
        machine = Machine(tmp_path / "machine", cluster, bucket)
        (tmp_path / "share").rename(machine.folder / "share")
        yield machine


def test_database_that_only_the_schema_filled_is_empty(machine: Machine, instance: Instance, cluster: Cluster) -> None:
    assert machine.ok("inspect")["rows"] == 0
    boot(instance)
    assert machine.ok("inspect")["rows"] == 0, "whatever the schema changes at each boot"
    cluster.sql("DROP DATABASE guestbook")
    boot(instance)
    assert machine.ok("survey")["rows"] == 0, "on another server"
    cluster.sql("TRUNCATE prayers, settings", "guestbook")
    assert machine.ok("inspect")["rows"] == 0, "each table is as the schema fills it, or empty"


CHANGES = [
    ("INSERT INTO entries VALUES (1)", SEEDED + 1),
    ("INSERT INTO prayers VALUES (3, 'mine')", SEEDED + 1),
    ("UPDATE prayers SET text = 'mine' WHERE id = 2", SEEDED),
    ("UPDATE prayers SET text = NULL WHERE id = 2", SEEDED),
    ("DELETE FROM prayers WHERE id = 2", SEEDED - 1),
    ("DELETE FROM prayers; INSERT INTO prayers VALUES (1, 'first'), (3, 'second')", SEEDED),
    ("UPDATE settings SET value = 'dark' WHERE key = 'theme'", SEEDED),
    ("""INSERT INTO "__EFMigrationsHistory" VALUES ('002')""", SEEDED + 1),
    ('UPDATE "한글 이름"."It\'s ""a"" table" SET "a column" = 0.2', SEEDED),
    ('INSERT INTO "한글 이름"."It\'s ""a"" table" VALUES (NULL, NULL, NULL)', SEEDED + 1),
    ("INSERT INTO months SELECT generate_series(13, 112)", SEEDED + 100),
    ("ALTER TABLE prayers ADD mine text DEFAULT 'x'", SEEDED),
]


@pytest.mark.parametrize(("change", "rows"), CHANGES)
def test_every_other_change_of_a_seeded_table_is_data(
    machine: Machine, cluster: Cluster, change: str, rows: int
) -> None:
    cluster.sql(change, "guestbook")
    assert (machine.ok("inspect")["rows"], machine.ok("survey")["rows"]) == (rows, rows)
    machine.ok("backup")
    assert machine.metadata().rows == rows + 1, "all of them, and the applied migration"
    assert "contains data; --replace" in machine.error("restore")
    assert cluster.sql("SELECT count(*) FROM pg_database WHERE datname = 'goldenami_incoming'") == "0"


def test_rows_are_data_where_the_image_recorded_no_seeds(machine: Machine) -> None:
    (machine.folder / "share/seeds.json").unlink()
    assert machine.ok("inspect")["rows"] == SEEDED
    assert "contains data; --replace" in (machine.ok("backup"), machine.error("restore"))[1]


def test_only_large_tables_are_not_counted_to_the_end(machine: Machine, cluster: Cluster) -> None:
    cluster.sql("INSERT INTO entries SELECT generate_series(1, 99999)", "guestbook")
    counted = machine.ok("inspect")
    assert (counted["rows"], counted["exact"]) == (SEEDED + 99_999, True)
    cluster.sql("INSERT INTO entries SELECT generate_series(1, 50000)", "guestbook")
    counted = machine.ok("inspect")
    assert (counted["rows"], counted["exact"]) == (SEEDED + 100_000, False)


def test_other_sessions_temporary_tables_are_no_data(machine: Machine, cluster: Cluster) -> None:
    argv = ["psql", "-Xq", "-d", "guestbook"]
    with subprocess.Popen(argv, env=cluster.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
        assert session.stdin
        assert session.stdout
        session.stdin.write(b"CREATE TEMP TABLE cart AS SELECT 1 AS n; SELECT 'made';\n")
        session.stdin.flush()
        session.stdout.readline()
        assert machine.ok("inspect")["rows"] == 0
        session.stdin.close()


def test_inspect_reports_why_rows_cannot_be_counted(machine: Machine) -> None:
    (machine.folder / "share/seeds.json").write_text("damaged")
    found = machine.ok("inspect")
    assert found["server_running"]
    assert "json" in str(found["unreadable"]).lower()
    machine.ok("backup")
    assert machine.run("restore").returncode != 0


POLICY = """
CREATE TABLE notes (tenant text, text text); INSERT INTO notes SELECT 'other', n FROM generate_series(1, 7) AS n;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (tenant = current_setting('app.tenant', true));
"""
FORCED = f"{POLICY} ALTER TABLE notes FORCE ROW LEVEL SECURITY;"


@pytest.fixture
def server(machine: Machine, cluster: Cluster) -> Machine:
    """The same instance with an image of storage mode `rds`, whose database is the owner's."""
    host = f"127.0.0.1:{cluster.port}"
    machine.program("ssm-parameter", f"case $1 in */host) printf {host} ;; *) printf known ;; esac")
    machine.changes = {**RDS, "database.sslmode": "disable"}
    return machine


def test_rows_behind_policies_count_on_the_own_server(machine: Machine, cluster: Cluster) -> None:
    cluster.sql(f"SET ROLE guestbook; {FORCED}", "guestbook")
    assert machine.ok("inspect")["rows"] == SEEDED + 7
    found = machine.ok("survey")
    assert (found["row_security_forced"], found["bypasses_row_security"]) == (["public.notes"], True)
    machine.ok("backup")
    assert "contains data; --replace" in machine.error("restore")


def test_rows_behind_policies_count_for_their_owner(server: Machine, cluster: Cluster) -> None:
    cluster.sql(f"SET ROLE guestbook; {POLICY}", "guestbook")
    assert server.ok("survey")["rows"] == SEEDED + 7
    server.ok("backup")
    assert "contains data; --replace" in server.error("restore")


def test_rows_that_the_role_cannot_see_are_never_no_rows(server: Machine, cluster: Cluster) -> None:
    cluster.sql(f"SET ROLE guestbook; {FORCED}", "guestbook")
    reason = "ERROR row-level security hides rows of public.notes from the role guestbook"
    assert server.error("survey").startswith(reason)
    assert server.error("backup").startswith(reason), "before pg_dump finds it"
    cluster.sql("ALTER ROLE guestbook BYPASSRLS")
    try:
        assert server.ok("survey")["rows"] == SEEDED + 7
        server.ok("backup")
        assert "contains data; --replace" in server.error("restore")
    finally:
        cluster.sql("ALTER ROLE guestbook NOBYPASSRLS")
    assert server.error("restore").startswith(reason)
    assert cluster.sql("SELECT count(*) FROM notes", "guestbook") == "7"


def test_foreign_table_without_privileges_is_an_error(server: Machine, cluster: Cluster) -> None:
    cluster.sql("CREATE TABLE foreign_one (n int)", "guestbook")
    assert "permission denied for table foreign_one" in server.run("survey").stderr
