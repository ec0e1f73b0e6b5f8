"""The database at boot: role, password, schema on a real server; nothing of the password in arguments or logs."""

from __future__ import annotations

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
    """A machine's init-database beside a cluster: users are not changed, and every psql's arguments are written down."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.app = folder / "app"
        self.app.mkdir()
        self.arguments = folder / "arguments"
        self.program("runuser", 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"')
        self.program("psql", f'printf "%s\\n" "$*" >>{self.arguments}\nexec {programs()}/psql "$@"')
        shutil.copy(PROVISIONERS / "files/init-database", folder / "init-database")

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
    """A machine that has not booted yet."""
    cluster.sql("DROP DATABASE IF EXISTS book")
    cluster.sql("DROP ROLE IF EXISTS book")
    return Instance(tmp_path, cluster)


@pytest.mark.parametrize("password", ["plain", HARD, "'", "\\'", "''", "\n", " x ", "끝", "a" * 200])
def test_any_password_opens_the_database(instance: Instance, cluster: Cluster, password: str) -> None:
    done = instance.boot(password)
    assert done.returncode == 0, done.stderr
    assert cluster.login("book", password, "book")
    assert not cluster.login("book", password + "x", "book")


def test_the_password_is_nowhere_to_be_seen(instance: Instance, cluster: Cluster) -> None:
    (instance.app / "schema.sql").write_text("CREATE TABLE IF NOT EXISTS t (x int);")
    done = instance.boot("needle-" + HARD, APP_SCHEMA="schema.sql")
    assert done.returncode == 0, done.stderr
    for text in (instance.arguments.read_text(), cluster.log, done.stdout, done.stderr):
        assert "needle" not in text


def test_a_failing_statement_does_not_show_it_either(instance: Instance, cluster: Cluster) -> None:
    done = instance.boot("needle", DB_USER="pg_reserved")
    assert done.returncode != 0
    assert "reserved" in done.stderr
    assert "needle" not in done.stdout + done.stderr + cluster.log


def test_it_may_run_at_every_boot(instance: Instance, cluster: Cluster) -> None:
    (instance.app / "schema.sql").write_text("CREATE TABLE IF NOT EXISTS t (x int);")
    assert instance.boot("first", APP_SCHEMA="schema.sql").returncode == 0
    cluster.sql("INSERT INTO t VALUES (42)", "book")
    assert instance.boot("second", APP_SCHEMA="schema.sql").returncode == 0
    assert cluster.sql("SELECT x FROM t", "book") == "42"
    assert cluster.login("book", "second", "book")
    assert not cluster.login("book", "first", "book")


def test_the_schema_belongs_to_the_application(instance: Instance, cluster: Cluster) -> None:
    (instance.app / "schema.sql").write_text("CREATE TABLE IF NOT EXISTS t (x text); SELECT 1/1;")
    assert instance.boot("x", APP_SCHEMA="schema.sql").returncode == 0
    assert cluster.sql("SELECT tableowner FROM pg_tables WHERE tablename = 't'", "book") == "book"
    assert cluster.sql("SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = 'book'") == "f"
    assert cluster.sql("SHOW server_encoding", "book") == "UTF8"


def test_a_broken_schema_leaves_nothing_half_done(instance: Instance, cluster: Cluster) -> None:
    (instance.app / "schema.sql").write_text("CREATE TABLE t (x int); SELECT 1/0;")
    done = instance.boot("x", APP_SCHEMA="schema.sql")
    assert done.returncode != 0
    assert "division by zero" in done.stderr
    assert cluster.sql("SELECT count(*) FROM pg_tables WHERE tablename = 't'", "book") == "0"


def test_a_program_as_schema_gets_the_connection(instance: Instance, cluster: Cluster) -> None:
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


def test_an_empty_password_is_refused(instance: Instance) -> None:
    done = instance.boot("")
    assert done.returncode == 1
    assert "/p is empty" in done.stderr


def test_a_parameter_that_cannot_be_read_stops_it(instance: Instance) -> None:
    instance.boot("x")
    instance.program("ssm-parameter", "exit 1")
    done = subprocess.run([str(instance.folder / "init-database")], env=instance.environment(), check=False)
    assert done.returncode == 1


def test_the_image_keeps_the_schema_only(instance: Instance, cluster: Cluster, tmp_path: Path) -> None:
    """85-empty-database: rows, password and whatever was derived from it are gone from the cluster's files."""
    schema = "CREATE TABLE IF NOT EXISTS t (x int); CREATE TABLE IF NOT EXISTS u (x int);"
    (instance.app / "schema.sql").write_text(schema)
    assert instance.boot("secret", APP_SCHEMA="schema.sql").returncode == 0
    cluster.sql("INSERT INTO t SELECT generate_series(1, 1000)", "book")
    verifier = cluster.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'book'")
    (tmp_path / "guest").mkdir()
    guest = Guest(tmp_path / "guest")
    guest.fake("runuser", 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"')
    run = f'env PATH="{instance.folder}:$PATH" {instance.folder}/init-database'
    guest.fake("systemctl", f"[[ $1 != start || $2 != book-database.service ]] || {run}")
    environment = instance.environment(APP_SCHEMA="schema.sql")
    guest.bin.joinpath("psql").symlink_to(f"{programs()}/psql")
    done = guest.run(
        "app/85-empty-database.sh",
        {"APP_SCHEMA": "schema.sql", "APP_DIRECTORY": str(instance.app)},
        **environment,
    )
    assert done.returncode == 0, done.stderr
    assert "CHECK hygiene-database ok database book as its schema makes it: 2 table(s), 0 row(s)" in done.stdout
    assert "CHECK hygiene-database-trace ok" in done.stdout
    assert cluster.sql("SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL") == "0"
    found = subprocess.run(["grep", "-rlaF", verifier, str(cluster.folder / "data")], capture_output=True, check=False)
    assert found.stdout == b""
    assert cluster.sql("SHOW wal_recycle") == "on"
