"""Tests of the data script's release actions on a real server: what is pending, applying it, and its rehearsal on a copy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.provisioners.guest import PROVISIONERS
from tests.provisioners.test_data import Machine, bucket, cluster, machine, pytestmark, reset_database  # noqa: F401

OWN = (
    "SET ROLE guestbook; CREATE TABLE hymns (id int PRIMARY KEY, number int); INSERT INTO hymns VALUES (1, 7), (2, 7);"
)


@pytest.fixture
def released(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """An instance with the helpers of its image and one pending migration."""
    tools, app = machine.folder / "tools", machine.folder / "app"
    tools.mkdir()
    (app / "migrations").mkdir(parents=True)
    for name in ("release", "init-database"):
        shutil.copy(PROVISIONERS / "files" / name, tools / name)
    (tools / "ssm-parameter").write_text("#!/bin/bash\nprintf known\n")
    (tools / "ssm-parameter").chmod(0o755)
    settings = {
        "DB_NAME": "guestbook",
        "DB_USER": "guestbook",
        "DB_PASSWORD_PARAMETER": "/p",
        "APP_SCHEMA": "",
        "APP_MIGRATIONS": "migrations/",
        "APP_DIRECTORY": str(app),
        "APP_USER": "nobody",
    }
    (machine.folder / "unit").write_text(" ".join(f"{name}={value}" for name, value in settings.items()) + "\n")
    monkeypatch.setattr(machine, "tools", tools)
    machine.cluster.sql(OWN, "guestbook")
    (app / "migrations/001_title.sql").write_text("ALTER TABLE hymns ADD COLUMN title text;\n")
    return machine


def databases(machine: Machine) -> str:
    return machine.cluster.sql("SELECT count(*) FROM pg_database WHERE datname ~ '^goldenami_'")


def test_pending_migration_is_applied_once(released: Machine) -> None:
    assert released.ok("release-plan")["pending"] == ["001_title.sql"]
    applied = released.ok("release-apply")["applied"]
    assert [(entry["name"], entry["locks"]) for entry in applied] == [
        ("001_title.sql", ["AccessExclusiveLock public.hymns"])
    ]  # type: ignore[attr-defined]
    assert released.ok("release-apply") == {"applied": []}


def test_release_step_leaves_writes_stopped(released: Machine) -> None:
    released.ok("stop-writes")
    released.ok("release-apply")
    assert not released.cluster.login("guestbook", "known", "guestbook")
    assert released.ok("release-plan", release_database="postgres")["pending"] == ["001_title.sql"]


def test_rehearsal_finds_what_the_data_does_not_allow_and_changes_nothing(released: Machine) -> None:
    released.ok("backup")
    (released.folder / "app/migrations/002_unique.sql").write_text("CREATE UNIQUE INDEX numbers ON hymns (number);\n")
    done = released.run("release-rehearse")
    assert done.returncode != 0
    errors = done.stderr[done.stderr.index("ERROR 002_unique.sql") :].splitlines()
    assert errors[0] == 'ERROR 002_unique.sql, line 1: ERROR:  could not create unique index "numbers"'
    assert errors[1] == "DETAIL:  Key (number)=(7) is duplicated."
    assert databases(released) == "0"
    released.cluster.sql("DELETE FROM hymns WHERE id = 2", "guestbook")
    released.ok("backup")
    result = released.ok("release-rehearse")
    assert [entry["name"] for entry in result["applied"]] == ["001_title.sql", "002_unique.sql"]  # type: ignore[attr-defined]
    assert json.dumps(result["restore_seconds"]).isdigit()
    assert databases(released) == "0"
    assert released.ok("release-plan")["pending"] == ["001_title.sql", "002_unique.sql"], (
        "the database itself is unchanged"
    )


AWKWARD = """
CREATE TABLE tunes (name text);
CREATE FUNCTION label(n int) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT n || min(name) FROM tunes WHERE false';
CREATE INDEX by_label ON hymns (label(id));
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM hymns';
CREATE MATERIALIZED VIEW totals AS SELECT total() AS n;
"""


def test_rehearsal_restores_what_a_restore_does(released: Machine) -> None:
    released.cluster.sql(f"SET ROLE guestbook; {AWKWARD}", "guestbook")
    released.ok("backup")
    assert [entry["name"] for entry in released.ok("release-rehearse")["applied"]] == ["001_title.sql"]  # type: ignore[attr-defined]


def test_rehearsal_of_an_external_database_is_on_the_instances_own_server(released: Machine) -> None:
    reset_database(released)
    cluster = released.cluster
    cluster.sql(f"DROP TABLE entries; CREATE EXTENSION pageinspect; {OWN}{AWKWARD}", "guestbook")
    external = f"DB_MODE=rds DB_HOST_PARAMETER=/host DB_PORT={cluster.port} DB_SSLMODE=disable"
    unit = released.folder / "unit"
    unit.write_text(f"{unit.read_text().strip()} {external}\n")
    own = f"export PGHOST={cluster.folder} PGPORT={cluster.port} PGUSER=postgres"
    released.program("runuser", f'{own}; while [[ $1 != -- ]]; do shift; done; shift; exec "$@"')
    released.program("ssm-parameter", "case $1 in */host) printf 127.0.0.1 ;; *) printf known ;; esac")
    released.ok("backup")
    (released.folder / "app/migrations/002_owner.sql").write_text("ALTER INDEX by_label RENAME TO labels;\n")
    assert len(released.ok("release-rehearse")["applied"]) == 2  # type: ignore[arg-type]
    assert cluster.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'guestbook'") == "f"
    assert databases(released) == "0"


def test_instance_of_an_older_image_is_named(released: Machine) -> None:
    (Path(released.folder) / "tools/release").unlink()
    assert released.error("release-plan") == "ERROR the image of this instance has no release step: bake it again"
