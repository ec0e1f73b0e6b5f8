"""Tests of the release script on a real server: migrations run once, in order, as the application; errors name the statement."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.provisioners.cluster import Cluster, programs, started
from tests.provisioners.guest import PROVISIONERS

pytestmark = pytest.mark.skipif(programs() is None or not shutil.which("psql"), reason="PostgreSQL is not installed")

HYMNS = "CREATE TABLE hymns (id int PRIMARY KEY, number int);\nINSERT INTO hymns VALUES (1, 7), (2, 7);\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with started() as running:
        yield running


class Release:
    """The release script with an application's folder, and a new database."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.app = folder / "app"
        (self.app / "migrations").mkdir(parents=True)
        self.program("runuser", 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"')
        self.program("ssm-parameter", "printf 'it''s known'")
        for name in ("release", "init-database"):
            shutil.copy(PROVISIONERS / "files" / name, folder / name)

    def program(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def file(self, name: str, text: str) -> None:
        (self.app / "migrations" / name).write_text(text)

    def start(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.folder}:{self.cluster.environment['PATH']}",
            "DB_NAME": "book",
            "DB_USER": "book",
            "DB_PASSWORD_PARAMETER": "/p",
            "DB_PORT": str(self.cluster.port),
            "APP_USER": "nobody",
            "APP_DIRECTORY": str(self.app),
            "APP_MIGRATIONS": "migrations/",
            **settings,
        }
        argv = [str(self.folder / "release"), *arguments]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def ok(self, *arguments: str, **settings: str) -> Any:
        done = self.start(*arguments, **settings)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def error(self, *arguments: str, **settings: str) -> list[str]:
        done = self.start(*arguments, **settings)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.splitlines()

    def applied(self) -> list[str]:
        return self.cluster.sql("SELECT name FROM public.goldenami_migrations ORDER BY applied_at", "book").split()


@pytest.fixture
def release(tmp_path: Path, cluster: Cluster) -> Release:
    cluster.sql("DROP DATABASE IF EXISTS book WITH (FORCE)")
    cluster.sql("DROP ROLE IF EXISTS book")
    cluster.sql("CREATE ROLE book LOGIN PASSWORD 'its known'")
    cluster.sql("CREATE DATABASE book OWNER book")
    return Release(tmp_path, cluster)


def test_migrations_are_applied_once_in_the_order_of_their_numbers(release: Release) -> None:
    release.file("10_later.sql", "ALTER TABLE hymns ADD COLUMN title text;")
    release.file("002_hymns.sql", HYMNS)
    release.file("002_hymns.down.sql", "DROP TABLE hymns;")
    assert release.ok("plan") == {
        "applied": [],
        "pending": ["002_hymns.sql", "10_later.sql"],
        "missing": [],
        "changed": [],
    }
    done = release.ok("apply")
    assert [entry["name"] for entry in done["applied"]] == ["002_hymns.sql", "10_later.sql"]
    assert done["applied"][1]["locks"] == ["AccessExclusiveLock public.hymns"]
    assert done["applied"][0]["locks"] == [], "the table is new"
    assert 0 <= done["applied"][1]["seconds"] < 10
    assert release.ok("apply") == {"applied": []}
    plan = release.ok("plan")
    assert plan["pending"] == []
    assert [sorted(entry) for entry in plan["applied"]] == [["applied_at", "checksum", "name"]] * 2
    assert release.cluster.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'hymns'", "book") == "book"


def test_failing_migration_leaves_the_database_as_before_it(release: Release) -> None:
    release.file("001_hymns.sql", HYMNS)
    release.file(
        "002_unique.sql", "ALTER TABLE hymns ADD COLUMN x int;\n\nCREATE UNIQUE INDEX numbers\n  ON hymns (number);\n"
    )
    lines = release.error("apply")
    assert lines[0] == 'ERROR 002_unique.sql, line 4: ERROR:  could not create unique index "numbers"'
    assert lines[1] == "DETAIL:  Key (number)=(7) is duplicated."
    assert lines[2] == "STATE The database is as before 002_unique.sql; applied before it: 001_hymns.sql"
    assert release.applied() == ["001_hymns.sql"]
    assert (
        release.cluster.sql(
            "SELECT count(*) FROM pg_attribute WHERE attname = 'x' AND attrelid = 'hymns'::regclass", "book"
        )
        == "0"
    )


def test_hint_of_postgresql_follows_the_error(release: Release) -> None:
    release.file("001_a.sql", HYMNS + "SELECT 'x' NOTICE;\nSELECT numbr FROM hymns;")
    lines = release.error("apply")
    assert lines[0] == 'ERROR 001_a.sql, line 4: ERROR:  column "numbr" does not exist'
    assert lines[1].startswith("HINT:  Perhaps you meant to reference the column")


def test_file_without_a_transaction_says_what_stands(release: Release) -> None:
    release.file("001_hymns.sql", HYMNS)
    release.file(
        "002_index.sql",
        "-- no transaction\r\nALTER TABLE hymns ADD COLUMN x int;\r\n"
        "CREATE UNIQUE INDEX CONCURRENTLY numbers ON hymns (number);\r\n",
    )
    lines = release.error("apply")
    assert lines[0].startswith('ERROR 002_index.sql, line 3: ERROR:  could not create unique index "numbers"')
    state = next(line for line in lines if line.startswith("STATE "))
    assert "The statements of 002_index.sql before the failed one stand" in state
    assert "invalid indexes: numbers" in state
    assert release.applied() == ["001_hymns.sql"]
    release.cluster.sql("DELETE FROM hymns WHERE id = 2; DROP INDEX numbers; ALTER TABLE hymns DROP COLUMN x", "book")
    assert [entry["name"] for entry in release.ok("apply")["applied"]] == ["002_index.sql"]


@pytest.mark.parametrize("text", ["CREATE TABLE a (x int);\nCOMMIT;\n", "ROLLBACK;\n"])
def test_file_that_ends_its_transaction_is_not_recorded(release: Release, text: str) -> None:
    release.file("001_a.sql", text)
    assert release.error("apply")[0].startswith("ERROR 001_a.sql ends its transaction itself: remove COMMIT")
    assert release.applied() == []


def test_ignored_errors_do_not_count_as_applied(release: Release) -> None:
    release.file("001_a.sql", "\\set ON_ERROR_STOP off\nSELECT 1/0;\nCREATE TABLE a (x int);\n")
    release.error("apply")
    assert release.applied() == []


def test_two_at_once_apply_each_file_once(release: Release) -> None:
    release.file("001_hymns.sql", "CREATE TABLE hymns (id int); SELECT pg_sleep(0.5);")
    release.file("002_rows.sql", "INSERT INTO hymns VALUES (1);")
    release.file("003_index.sql", "-- no transaction\nCREATE INDEX CONCURRENTLY ids ON hymns (id);")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: release.ok("apply"), range(4)))
    assert sorted(len(result["applied"]) for result in done) == [0, 0, 0, 3]
    assert release.cluster.sql("SELECT count(*) FROM hymns", "book") == "1"


def test_changed_file_is_refused(release: Release) -> None:
    release.file("001_hymns.sql", HYMNS)
    release.ok("apply")
    release.file("001_hymns.sql", HYMNS + "-- more\n")
    release.file("002_x.sql", "CREATE TABLE x ();")
    assert release.ok("plan")["changed"] == ["001_hymns.sql"]
    assert release.error("apply")[0].startswith(
        "ERROR 001_hymns.sql changed after it was applied to the database: restore its contents"
    )
    assert release.applied() == ["001_hymns.sql"]


def test_migration_that_this_image_lacks_is_missing(release: Release) -> None:
    release.file("001_hymns.sql", HYMNS)
    release.file("002_x.sql", "CREATE TABLE x ();")
    release.ok("apply")
    (release.app / "migrations/002_x.sql").unlink()
    assert release.ok("plan")["missing"] == ["002_x.sql"]
    assert release.ok("plan", APP_MIGRATIONS="")["missing"] == ["001_hymns.sql", "002_x.sql"]


def test_files_lists_checksum_and_compatibility(release: Release) -> None:
    release.file("001_hymns.sql", HYMNS)
    release.file("002_x.sql", "-- no transaction\n-- compatible with the version before\nSELECT 1;\n")
    first, second = release.ok("files")
    assert (first["name"], first["compatible"]) == ("001_hymns.sql", False)
    assert (second["name"], second["compatible"]) == ("002_x.sql", True)
    assert re.fullmatch("[0-9a-f]{64}", first["checksum"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["schema.sql"], "expected a migration NNN_name.sql"),
        (["1_a.sql", "001_b.sql"], "the migrations 001_b.sql and 1_a.sql have the same number"),
        ([], "expected a migration NNN_name.sql"),
        (["1_it's.sql"], "expected a migration NNN_name.sql"),
    ],
)
def test_wrong_names_are_refused(release: Release, names: list[str], message: str) -> None:
    for name in names:
        release.file(name, "SELECT 1;")
    assert message in release.error("files")[0]
    assert message in release.error("apply")[0]


def test_missing_folder_is_refused(release: Release) -> None:
    assert "there is no folder db/nowhere" in release.error("files", APP_MIGRATIONS="db/nowhere")[0]


def test_boot_applies_to_a_new_database_and_only_checks_later(release: Release) -> None:
    release.file("001_hymns.sql", HYMNS)
    assert release.start("boot").returncode == 0
    assert release.applied() == ["001_hymns.sql"]
    assert release.start("boot").returncode == 0
    release.file("002_x.sql", "CREATE TABLE x ();")
    assert release.error("boot")[0] == "ERROR 002_x.sql is not applied to the database: promote this image"
    assert release.start("boot", DB_TEMPORARY="yes").returncode == 0
    assert release.applied() == ["001_hymns.sql", "002_x.sql"]


def test_other_database_is_used_when_asked(release: Release) -> None:
    release.file("001_hymns.sql", HYMNS)
    release.cluster.sql("CREATE DATABASE copy OWNER book")
    try:
        release.ok("apply", "--database", "copy")
        assert release.cluster.sql("SELECT count(*) FROM hymns", "copy") == "2"
        assert release.ok("plan")["pending"] == ["001_hymns.sql"]
    finally:
        release.cluster.sql("DROP DATABASE copy WITH (FORCE)")


def test_unreachable_database_is_not_taken_for_a_new_one(release: Release) -> None:
    release.file("001_hymns.sql", HYMNS)
    for action in ("plan", "apply", "boot"):
        lines = release.error(action, DB_PASSWORD="wrong")
        assert lines[0].startswith("ERROR the database book on 127.0.0.1: ")
        assert "password authentication failed" in lines[0]


def test_command_gets_the_connection(release: Release) -> None:
    release.program(
        "release-command",
        'psql -XAtq "$DATABASE_URL" -c "CREATE TABLE made (x int)"\necho "$DB_NAME on $DB_HOST:$DB_PORT as $DB_USER"',
    )
    assert release.ok("plan", APP_MIGRATIONS="") == {"command": True}
    done = release.start("apply", APP_MIGRATIONS="", DB_PASSWORD="its known")
    assert done.returncode == 0, done.stderr
    assert [entry["name"] for entry in json.loads(done.stdout)["applied"]] == ["command"]
    assert f"book on 127.0.0.1:{release.cluster.port} as book" in done.stderr
    assert release.cluster.sql("SELECT count(*) FROM made", "book") == "0"
    release.program("release-command", "exit 9")
    assert release.start("boot", APP_MIGRATIONS="").returncode == 0, "it has run on this database"


def test_failing_command_shows_its_error(release: Release) -> None:
    release.program(
        "release-command",
        'echo migrating\npsql -X "$DATABASE_URL" -v ON_ERROR_STOP=1 -c "CREATE TABLE t (x int);'
        ' INSERT INTO t VALUES (1), (1); CREATE UNIQUE INDEX u ON t (x)"',
    )
    lines = release.error("apply", APP_MIGRATIONS="")
    assert lines[0] == 'ERROR the release command failed with exit code 1: ERROR:  could not create unique index "u"'
    assert lines[1] == "DETAIL:  Key (x)=(1) is duplicated."
    assert lines[2].startswith("STATE ")


def test_schema_error_names_the_statement(release: Release) -> None:
    (release.app / "schema.sql").write_text(HYMNS + "CREATE INDEX CONCURRENTLY i ON hymns (id);\n")
    lines = release.error("boot", APP_MIGRATIONS="", APP_SCHEMA="schema.sql")
    assert (
        lines[0] == "ERROR schema.sql, line 3: ERROR:  CREATE INDEX CONCURRENTLY cannot run inside a transaction block"
    )
    assert lines[1].startswith("STATE The database is as before")


def test_script_with_windows_line_endings_is_named(release: Release) -> None:
    path = release.app / "init.sh"
    path.write_bytes(b"#!/bin/bash\r\necho x\r\n")
    path.chmod(0o755)
    lines = release.error("boot", APP_MIGRATIONS="", APP_SCHEMA="init.sh")
    assert lines[0].startswith("ERROR init.sh has Windows line endings (CRLF)")
    assert lines[0].endswith("#!/bin/bash\\r")


def test_failing_script_shows_its_last_line(release: Release) -> None:
    path = release.app / "init.py"
    path.write_text("#!/usr/bin/env python3\nimport sys\nprint('starting')\nsys.exit('no such table')\n")
    path.chmod(0o755)
    lines = release.error("boot", APP_MIGRATIONS="", APP_SCHEMA="init.py")
    assert lines[0] == "ERROR init.py: no such table"


@pytest.mark.skipif(os.geteuid() != 0, reason="changing users requires root")
def test_files_have_the_rights_of_the_application(release: Release, tmp_path: Path) -> None:
    (release.folder / "runuser").unlink()
    for folder in [tmp_path, *list(tmp_path.parents)[:3]]:
        if folder != Path("/tmp"):
            folder.chmod(0o755)
    secret, who = tmp_path / "secret", tmp_path / "app/who"
    secret.write_text("root\n")
    secret.chmod(0o600)
    shutil.chown(release.app, "nobody")
    release.file("001_who.sql", f"\\! id -un >{who}\nCREATE TABLE who AS SELECT current_user::text AS name;")
    release.ok("apply")
    assert who.read_text() == "nobody\n"
    assert release.cluster.sql("SELECT name FROM who", "book") == "book"
    release.file("002_secret.sql", f"\\copy who FROM {secret}\n")
    assert release.error("apply")[0] == f"ERROR 002_secret.sql, line 1: error: {secret}: Permission denied"
    release.file("002_secret.sql", "COPY who FROM PROGRAM 'id';\n")
    assert "ERROR 002_secret.sql, line 1: ERROR:  " in release.error("apply")[0]
