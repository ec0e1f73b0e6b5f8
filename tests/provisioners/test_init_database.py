"""Tests of init-database on a real server: role, password and schema; no password in arguments or logs."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provisioners.cluster import Cluster, programs, started
from tests.provisioners.guest import PROVISIONERS, Guest

pytestmark = pytest.mark.skipif(programs() is None or not shutil.which("psql"), reason="PostgreSQL is not installed")

HARD = "it's \\ a \"very\" $secret `id` :name :'name' & 비밀 %{x}; DROP TABLE x; --\n'two\\'\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One server for all tests of this module."""
    with started() as running:
        yield running


class Instance:
    """Fake instance for init-database; runs without changing users and records psql's arguments."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.app = folder / "app"
        self.app.mkdir()
        self.arguments = folder / "arguments"
        self.program("runuser", 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"')
        self.program("psql", f'printf "%s\\n" "$*" >>{self.arguments}\nexec {programs()}/psql "$@"')
        for name in ("init-database", "release"):
            shutil.copy(PROVISIONERS / "files" / name, folder / name)

    def program(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def environment(self, **settings: str) -> dict[str, str]:
        own = {
            "DB_NAME": "book",
            "DB_USER": "book",
            "DB_PASSWORD_PARAMETER": "/p",
            "APP_USER": "nobody",
            "APP_SCHEMA": "",
        }
        inherited = self.cluster.environment
        path = f"{self.folder}:{inherited['PATH']}"
        return {**inherited, **own, "APP_DIRECTORY": str(self.app), **settings, "PATH": path}

    def boot(self, password: str, **settings: str) -> subprocess.CompletedProcess[str]:
        self.program("ssm-parameter", f"printf %s {shlex.quote(password)}")
        return subprocess.run(
            [str(self.folder / "init-database")],
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def instance(tmp_path: Path, cluster: Cluster) -> Instance:
    """An instance before its first boot."""
    cluster.sql("DROP DATABASE IF EXISTS book")
    cluster.sql("DROP ROLE IF EXISTS book")
    return Instance(tmp_path, cluster)


@pytest.mark.parametrize("password", ["plain", HARD, "'", "\\'", "''", "\n", " x ", "끝", "a" * 200])
def test_any_password_is_accepted(instance: Instance, cluster: Cluster, password: str) -> None:
    done = instance.boot(password)
    assert done.returncode == 0, done.stderr
    assert cluster.login("book", password, "book")
    assert not cluster.login("book", password + "x", "book")


def test_password_is_not_visible(instance: Instance, cluster: Cluster) -> None:
    (instance.app / "schema.sql").write_text("CREATE TABLE IF NOT EXISTS t (x int);")
    done = instance.boot("needle-" + HARD, APP_SCHEMA="schema.sql")
    assert done.returncode == 0, done.stderr
    for text in (instance.arguments.read_text(), cluster.log, done.stdout, done.stderr):
        assert "needle" not in text


def test_failing_statement_does_not_show_the_password(instance: Instance, cluster: Cluster) -> None:
    done = instance.boot("needle", DB_USER="pg_reserved")
    assert done.returncode != 0
    assert "reserved" in done.stderr
    assert "needle" not in done.stdout + done.stderr + cluster.log


def test_init_is_idempotent(instance: Instance, cluster: Cluster) -> None:
    (instance.app / "schema.sql").write_text("CREATE TABLE IF NOT EXISTS t (x int);")
    assert instance.boot("first", APP_SCHEMA="schema.sql").returncode == 0
    cluster.sql("INSERT INTO t VALUES (42)", "book")
    assert instance.boot("second", APP_SCHEMA="schema.sql").returncode == 0
    assert cluster.sql("SELECT x FROM t", "book") == "42"
    assert cluster.login("book", "second", "book")
    assert not cluster.login("book", "first", "book")


@pytest.mark.parametrize(("limit", "remembered", "expected"), [(20, "", 20), (0, "20", 20), (0, "", -1), (-1, "", -1)])
def test_boot_with_a_volume_allows_connections_up_to_the_limit_from_before(
    instance: Instance, cluster: Cluster, limit: int, remembered: str, expected: int
) -> None:
    assert instance.boot("plain", DB_MODE="volume").returncode == 0
    cluster.sql(f"ALTER DATABASE book CONNECTION LIMIT {limit}")
    if remembered:
        cluster.sql(f"ALTER DATABASE book SET goldenami.connection_limit = '{remembered}'")
    done = instance.boot("plain", DB_MODE="volume")
    assert done.returncode == 0, done.stderr
    assert cluster.sql("SELECT datconnlimit FROM pg_database WHERE datname = 'book'") == str(expected)
    assert cluster.sql("SELECT count(*) FROM pg_db_role_setting") == "0"


def test_schema_is_owned_by_the_application(instance: Instance, cluster: Cluster) -> None:
    (instance.app / "schema.sql").write_text("CREATE TABLE IF NOT EXISTS t (x text); SELECT 1/1;")
    assert instance.boot("x", APP_SCHEMA="schema.sql").returncode == 0
    assert cluster.sql("SELECT tableowner FROM pg_tables WHERE tablename = 't'", "book") == "book"
    assert cluster.sql("SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = 'book'") == "f"
    assert cluster.sql("SHOW server_encoding", "book") == "UTF8"


def test_failing_schema_is_rolled_back(instance: Instance, cluster: Cluster) -> None:
    (instance.app / "schema.sql").write_text("CREATE TABLE t (x int); SELECT 1/0;")
    done = instance.boot("x", APP_SCHEMA="schema.sql")
    assert done.returncode != 0
    assert "division by zero" in done.stderr
    assert cluster.sql("SELECT count(*) FROM pg_tables WHERE tablename = 't'", "book") == "0"


def test_schema_program_gets_the_connection(instance: Instance, cluster: Cluster) -> None:
    script = instance.app / "init.sh"
    script.write_text(
        "#!/bin/bash\n"
        "export PGPASSWORD=$DB_PASSWORD PGHOST=$DB_HOST PGPORT=$DB_PORT PGUSER=$DB_USER PGDATABASE=$DB_NAME\n"
        "psql -q -c 'CREATE TABLE made (x int)'\n"
    )
    script.chmod(0o755)
    done = instance.boot(HARD, APP_SCHEMA="init.sh")
    assert done.returncode == 0, done.stderr
    assert cluster.sql("SELECT count(*) FROM made", "book") == "0"


def test_empty_password_is_refused(instance: Instance) -> None:
    done = instance.boot("")
    assert done.returncode == 1
    assert "/p is empty" in done.stderr


def test_unreadable_parameter_fails(instance: Instance) -> None:
    instance.boot("x")
    instance.program("ssm-parameter", "exit 1")
    done = subprocess.run([str(instance.folder / "init-database")], env=instance.environment(), check=False)
    assert done.returncode == 1


def empty_database(
    instance: Instance, cluster: Cluster, tmp_path: Path, **values: str
) -> subprocess.CompletedProcess[str]:
    """Run 85-empty-database on the cluster."""
    (tmp_path / "guest").mkdir()
    guest = Guest(tmp_path / "guest")
    guest.fake("runuser", 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"')
    run = f'env PATH="{instance.folder}:$PATH" {instance.folder}/init-database'
    # A unit that is active is not started again.
    active = tmp_path / "active"
    started = f"[[ $1 != start || $2 != book-database.service || -e {active} ]] || {{ {run} && touch {active}; }}"
    guest.fake("systemctl", f'[[ $1 != stop || "$*" != *book-database.service* ]] || rm -f {active}\n{started}')
    instance.program("ssm-parameter", "printf secret")
    names = {name: value for name, value in values.items() if name in ("DB_NAME", "DB_USER")}
    environment = instance.environment(APP_SCHEMA="schema.sql", GOLDENAMI_SHARE=str(tmp_path / "share"), **names)
    shutil.copy(PROVISIONERS / "files/table-contents.sql", guest.golden / "files")
    (guest.golden / "report").mkdir()
    (guest.golden / "report/inventory.json").write_text('{"layer": "app"}')
    guest.bin.joinpath("psql").symlink_to(f"{programs()}/psql")
    if not (instance.app / "schema.sql").exists():
        (instance.app / "schema.sql").touch()
    own = {"APP_SCHEMA": "schema.sql", "APP_DIRECTORY": str(instance.app)}
    return guest.run("app/85-empty-database.sh", {**own, **values}, **environment)


def test_image_contains_only_the_schema(instance: Instance, cluster: Cluster, tmp_path: Path) -> None:
    """85-empty-database deletes the rows and every trace of the password from the cluster's files."""
    schema = "CREATE TABLE IF NOT EXISTS t (x int); CREATE TABLE IF NOT EXISTS u (x int);"
    (instance.app / "schema.sql").write_text(schema)
    assert instance.boot("secret", APP_SCHEMA="schema.sql").returncode == 0
    cluster.sql("INSERT INTO t SELECT generate_series(1, 1000)", "book")
    verifier = cluster.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'book'")
    done = empty_database(instance, cluster, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "CHECK hygiene-database ok database book contains only its schema: 2 table(s), 0 seeded row(s)" in done.stdout
    )
    assert "CHECK hygiene-database-trace ok" in done.stdout
    assert cluster.sql("SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL") == "0"
    found = subprocess.run(["grep", "-rlaF", verifier, str(cluster.folder / "data")], capture_output=True, check=False)
    assert found.stdout == b""
    assert cluster.sql("SHOW wal_recycle") == "on"


SEEDED = """
CREATE TABLE IF NOT EXISTS countries (code text PRIMARY KEY);
INSERT INTO countries VALUES ('KR'), ('NL') ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS "__EFMigrationsHistory" ("MigrationId" text PRIMARY KEY, "At" timestamptz DEFAULT clock_timestamp());
INSERT INTO "__EFMigrationsHistory" VALUES ('001 시작') ON CONFLICT ("MigrationId") DO UPDATE SET "At" = clock_timestamp();
CREATE TABLE IF NOT EXISTS settings (key text PRIMARY KEY, value text);
INSERT INTO settings VALUES ('installation', gen_random_uuid()), ('theme', 'light') ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS unused (n int);
CREATE TABLE IF NOT EXISTS goldenami_migrations (name text PRIMARY KEY);
INSERT INTO goldenami_migrations VALUES ('001_a.sql') ON CONFLICT DO NOTHING;
"""


def test_bake_records_what_the_schema_creates_without_what_differs_each_time(
    instance: Instance, cluster: Cluster, tmp_path: Path
) -> None:
    (instance.app / "schema.sql").write_text(SEEDED)
    done = empty_database(instance, cluster, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "CHECK hygiene-database ok database book contains only its schema: 5 table(s), 5 seeded row(s)" in done.stdout
    )
    seeds = json.loads((tmp_path / "share/seeds.json").read_text())
    assert [(seed["table"], seed["rows"], seed["volatile"], len(seed["fixed"])) for seed in seeds] == [
        ("__EFMigrationsHistory", 1, ["At"], 0),
        ("countries", 2, [], 0),
        ("settings", 2, ["value"], 1),
    ]
    assert all(int(seed["checksum"]) for seed in seeds)
    inventory = json.loads((tmp_path / "guest/golden/report/inventory.json").read_text())
    assert inventory == {"layer": "app", "seeds": seeds}


def test_schema_without_rows_has_no_seeds(instance: Instance, cluster: Cluster, tmp_path: Path) -> None:
    (instance.app / "schema.sql").write_text("CREATE TABLE IF NOT EXISTS t (x int);")
    assert empty_database(instance, cluster, tmp_path).returncode == 0
    assert json.loads((tmp_path / "share/seeds.json").read_text()) == []


def test_rows_in_another_database_fail_the_image(instance: Instance, cluster: Cluster, tmp_path: Path) -> None:
    cluster.sql("CREATE DATABASE aside")
    try:
        cluster.sql("CREATE TABLE kept AS SELECT 1 AS x", "aside")
        done = empty_database(instance, cluster, tmp_path)
        assert done.returncode != 0
        assert "the database aside contains rows: 1 row(s) in public.kept" in done.stdout
    finally:
        cluster.sql("DROP DATABASE aside")


RDS = {"DB_MODE": "rds", "DB_HOST_PARAMETER": "/host", "DB_SSLMODE": "disable"}


def boot_with_external_server(
    instance: Instance, cluster: Cluster, password: str = "known", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Boot with an external server, the test's own over TCP, and without user data."""
    cluster.sql(f"CREATE ROLE book LOGIN PASSWORD '{password}'")
    cluster.sql("CREATE DATABASE book OWNER book")
    instance.program("curl", 'case "$*" in *api/token*) echo token ;; *) printf 404 ;; esac')
    instance.program("systemctl", f'echo "$*" >>{instance.folder}/systemctl.calls')
    instance.program(
        "ssm-parameter", f"case $1 in /host) printf 127.0.0.1:{cluster.port} ;; *) printf {password} ;; esac"
    )
    environment = instance.environment(**RDS, GOLDENAMI_RUN=str(instance.folder / "run"), **settings)
    # The application cannot connect as superuser.
    for name in ("PGHOST", "PGPORT", "PGUSER"):
        del environment[name]
    return subprocess.run(
        [str(instance.folder / "init-database")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_external_database_gets_its_schema(instance: Instance, cluster: Cluster) -> None:
    (instance.app / "schema.sql").write_text("CREATE TABLE IF NOT EXISTS t (x int);")
    done = boot_with_external_server(instance, cluster, APP_SCHEMA="schema.sql")
    assert done.returncode == 0, done.stderr
    assert cluster.sql("SELECT tableowner FROM pg_tables WHERE tablename = 't'", "book") == "book"
    settings = (instance.folder / "run/database.env").read_text()
    assert settings == f"DB_HOST=127.0.0.1\nDB_PORT={cluster.port}\nDB_SSLMODE=disable\n"
    assert not (instance.folder / "systemctl.calls").exists(), "no local server"
    assert "known" not in done.stdout + done.stderr + instance.arguments.read_text()


def test_builder_uses_a_temporary_database(instance: Instance, cluster: Cluster) -> None:
    run = instance.folder / "run"
    run.mkdir()
    (run / "temporary-database").touch()
    instance.program("systemctl", f'echo "$*" >>{instance.folder}/systemctl.calls')
    done = instance.boot("x", **RDS, GOLDENAMI_RUN=str(run))
    assert done.returncode == 0, done.stderr
    assert "start postgresql.service" in (instance.folder / "systemctl.calls").read_text()
    assert cluster.sql("SELECT count(*) FROM pg_database WHERE datname = 'book'") == "1"
    assert (run / "database.env").read_text().startswith("DB_HOST=127.0.0.1\n")


@pytest.mark.parametrize(("status", "succeeds"), [("200", True), ("500", False)])
def test_gate_2_uses_a_temporary_database(instance: Instance, status: str, succeeds: bool) -> None:
    marker = "# goldenami: temporary database"
    instance.program(
        "curl",
        f"""case "$*" in *api/token*) echo token; exit ;; esac
while [[ $1 != --output ]]; do shift; done; printf '#!/bin/bash\n{marker}\n' >"$2"; printf {status}""",
    )
    instance.program("systemctl", "")
    done = instance.boot("x", **RDS, GOLDENAMI_RUN=str(instance.folder / "run"))
    assert (done.returncode == 0) == succeeds, done.stderr
    if not succeeds:
        assert "cannot select the database" in done.stderr


def test_image_with_external_database_has_no_local_server(instance: Instance, cluster: Cluster, tmp_path: Path) -> None:
    done = empty_database(instance, cluster, tmp_path, DB_MODE="rds")
    # The fake systemctl reports that the server is still enabled, so the check fails.
    assert "CHECK no-database-server FAIL" in done.stdout
    assert cluster.sql("SELECT count(*) FROM pg_database WHERE datname = 'book'") == "0"
    assert cluster.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'book'") == "0"
