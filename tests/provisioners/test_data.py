"""Tests of the data script on a real PostgreSQL server: refused actions change nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from goldenami.database.agent import data_script
from goldenami.database.backup_model import (
    Fingerprint,
    Manifest,
    differences,
    parse_fingerprint,
    parse_manifest,
    property_differences,
)
from goldenami.database.survey_model import external_restore_blockers, parse_survey
from tests.provisioners.bucket import ACCOUNT, REGION, Bucket
from tests.provisioners.cluster import Cluster, programs, started
from tests.support.recipes import RDS, recipe

PART = 3072  # bytes: small, so that every dump has many parts

pytestmark = pytest.mark.skipif(programs() is None or not shutil.which("psql"), reason="PostgreSQL is not installed")

ROWS = """
CREATE TABLE entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, at timestamptz DEFAULT now(), f float8);
INSERT INTO entries (name, f) SELECT 'row ' || n || E' 한글\\n''"', random() FROM generate_series(1, 500) AS n;
CREATE TABLE t (t text, goldenami text); INSERT INTO t VALUES ('a', NULL), ('a', NULL), (NULL, '');
CREATE TABLE lines (t text); INSERT INTO lines VALUES ('COMMIT;'), (''), ('-- x'), ('COMMIT;'), ('BEGIN;');
CREATE TABLE parts (n int) PARTITION BY LIST (n);
CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1); INSERT INTO parts VALUES (1);
CREATE SCHEMA "Odd one"; CREATE TABLE "Odd one"."T x" (x bytea); INSERT INTO "Odd one"."T x" VALUES ('\\x00ff');
CREATE SEQUENCE unused; CREATE EXTENSION pgcrypto; SELECT lo_create(0);
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with started() as running:
        yield running


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with Bucket() as running:
        yield running


def restart_command(cluster: Cluster) -> str:
    """Return the command that restarts the server, as the user that it runs as."""
    restart = f"{programs()}/pg_ctl -D data -l log -w restart"
    if os.geteuid() != 0:
        return restart
    return f"{{ chown -f postgres data/standby.signal; {shutil.which('runuser')} -u postgres -- {restart}; }}"


class Machine:
    """Fake instance with a real database server."""

    changes: Mapping[str, object] = {}
    tools = Path("/nonexistent")  # the image's helpers
    part = PART
    longest = 4 * PART  # bytes: limit for every file that the script writes

    def __init__(self, folder: Path, cluster: Cluster, bucket: Bucket) -> None:
        self.folder, self.cluster, self.bucket = folder, cluster, bucket
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls = folder / "calls"
        self.program(
            "restart-server", f"ulimit -f unlimited; cd {cluster.folder} && {restart_command(cluster)} >/dev/null 9>&-"
        )
        self.program("runuser", 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"')
        self.program(
            "systemctl",
            f'echo "$*" >>{self.calls}\n[[ $1 != show-environment ]] || echo AWS_ENDPOINT_URL={bucket.endpoint}\n'
            f'[[ "$*" != "show guestbook-database.service --property Environment --value" ]] || cat {folder}/unit 2>/dev/null\n'
            f'[[ "$*" != "restart postgresql@"* ]] || {folder}/bin/restart-server',
        )
        # The service is always healthy; other requests go to the real curl.
        self.program("curl", f'case "$*" in *:8080/health*) exit 0 ;; esac\nexec {shutil.which("curl")} "$@"')

    def program(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def run(self, action: str, backup: str = "b1", **values: str) -> subprocess.CompletedProcess[str]:
        """Run the script with a limit on file sizes, so that it cannot write a dump to a file."""
        given = {"bucket": "kept", "account": ACCOUNT, "prefix": f"guestbook/backups/{backup}", **values}
        given.setdefault("result", "restored.json")
        script = data_script(recipe(self.changes), REGION, action, given)
        script = script.replace("/usr/local/lib/goldenami/ssm-parameter", f"{self.bin}/ssm-parameter")
        script = script.replace("export PATH=", f"export PATH={self.bin}:{programs()}:", 1)
        inherited = self.cluster.environment
        own = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.bucket.endpoint, "GOLDENAMI_ETC": str(self.folder / "etc")}
        own |= {
            "GOLDENAMI_VOLUME": str(self.folder / "volume"),
            "GOLDENAMI_RUN": str(self.folder),
            "GOLDENAMI_TOOLS": str(self.tools),
            "GOLDENAMI_SHM": str(self.folder),
            "GOLDENAMI_SCRATCH": str(self.folder / "scratch"),
            "GOLDENAMI_SHARE": str(self.folder / "share"),
            "GOLDENAMI_PART": str(self.part),
        }
        return subprocess.run(
            ["bash", "-c", f"ulimit -S -f {self.longest // 1024}\n{script}"],
            env={**inherited, **own},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ok(self, action: str, backup: str = "b1", **values: str) -> dict[str, object]:
        done = self.run(action, backup, **values)
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout.splitlines()[-1].removeprefix("RESULT "))
        return found

    def error(self, action: str, backup: str = "b1", **values: str) -> str:
        done = self.run(action, backup, **values)
        assert done.returncode != 0, done.stdout
        return next(line for line in done.stderr.splitlines() if line.startswith("ERROR "))

    def object(self, name: str, backup: str = "b1") -> bytes:
        return self.bucket.objects[f"/kept/guestbook/backups/{backup}/{name}"]

    def metadata(self) -> Fingerprint:
        return parse_fingerprint(json.loads(self.object("metadata.json"))["fingerprint"])

    def restored(self) -> Fingerprint:
        return parse_fingerprint(json.loads(self.object("restored.json")))


@pytest.fixture
def machine(tmp_path: Path, cluster: Cluster, bucket: Bucket) -> Machine:
    """An instance whose database has rows of many types."""
    cluster.sql("SELECT pg_promote() WHERE pg_is_in_recovery()")
    for name in ("guestbook", "goldenami_incoming", "goldenami_previous"):
        cluster.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    cluster.sql("DROP ROLE IF EXISTS guestbook")
    cluster.sql("CREATE ROLE guestbook LOGIN PASSWORD 'known'")
    cluster.sql("CREATE DATABASE guestbook OWNER guestbook ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0")
    cluster.sql(ROWS, "guestbook")
    return Machine(tmp_path, cluster, bucket)


def reset_database(machine: Machine) -> None:
    """Reset the database as after the first boot."""
    machine.cluster.sql("DROP DATABASE guestbook WITH (FORCE)")
    machine.cluster.sql("CREATE DATABASE guestbook OWNER guestbook ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0")
    machine.cluster.sql("CREATE TABLE entries (id bigint PRIMARY KEY)", "guestbook")


def test_restore_returns_every_row_with_the_same_fingerprint(machine: Machine) -> None:
    machine.ok("stop-writes")
    machine.ok("backup")
    before = machine.metadata()
    assert before.tables["public.entries"][0] == 500
    assert before.tables["public.t"][0] == 3
    assert before.tables["public.part1"][0] == 1
    assert {name: (state.last_value, state.is_called) for name, state in before.sequences.items()} == {
        "public.entries_id_seq": (500, True),
        "public.unused": (1, False),
    }
    assert set(before.extensions) == {"plpgsql", "pgcrypto"}
    assert before.large_objects == 1
    assert "guestbook" in before.roles
    reset_database(machine)
    machine.ok("restore")
    assert machine.cluster.sql("SELECT count(*) FROM entries", "guestbook") == "0", "not changed yet"
    assert machine.restored() == before
    machine.ok("swap-in")
    machine.ok("swap-in")
    assert "there is no restored database to swap in" in machine.error("swap-in", "b2")
    machine.ok("resume")
    assert machine.cluster.sql("SELECT count(*) FROM entries", "guestbook") == "500"
    assert machine.cluster.login("guestbook", "known", "guestbook")
    assert machine.cluster.sql("SELECT count(*) FROM pg_database WHERE datname ~ '^goldenami_'") == "0"
    owners = machine.cluster.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", "guestbook")
    assert owners == "postgres", "as it was"


def test_stop_writes_persists_across_reboots(machine: Machine) -> None:
    assert machine.cluster.login("guestbook", "known", "guestbook")
    machine.ok("stop-writes")
    assert not machine.cluster.login("guestbook", "known", "guestbook")
    for unit in ("guestbook", "guestbook-database"):
        drop_in = machine.folder / f"etc/systemd/system/{unit}.service.d/goldenami-fence.conf"
        assert drop_in.read_text() == f"[Unit]\nConditionPathExists=!{machine.folder}/etc/goldenami/fenced\n"
    assert machine.ok("inspect")["fenced_by"] == "guestbook/backups/b1"
    machine.ok("resume")
    assert machine.cluster.login("guestbook", "known", "guestbook")
    assert not list((machine.folder / "etc").rglob("*.conf"))
    assert machine.ok("inspect")["fenced_by"] == ""


WRITES = (
    "INSERT INTO t VALUES ('new', '')",
    "SELECT nextval('unused')",
    "BEGIN; SET TRANSACTION READ WRITE; DELETE FROM t; COMMIT",
    "CREATE TABLE more (n int)",
    "ALTER DATABASE guestbook CONNECTION LIMIT 5",
)


def refuses_writes(machine: Machine) -> bool:
    """Return True if the server refuses every kind of write, also of the superuser."""
    return all(not accepts(machine, statement) for statement in WRITES)


def accepts(machine: Machine, statement: str) -> bool:
    try:
        machine.cluster.sql(statement, "guestbook")
    except subprocess.CalledProcessError:
        return False
    return True


def test_read_only_database_answers_reads_and_refuses_every_write(machine: Machine) -> None:
    before = machine.ok("inspect")["rows"]
    found = machine.ok("read-only")
    assert found["serving"] is True
    assert 0 < found["unavailable"] < 30  # type: ignore[operator]
    assert machine.cluster.sql("SELECT count(*) FROM entries", "guestbook") == "500"
    assert machine.cluster.login("guestbook", "known", "guestbook"), "the service reads"
    assert refuses_writes(machine)
    assert "stop guestbook.service guestbook-database.service" not in machine.calls.read_text().splitlines()
    for unit in ("guestbook", "guestbook-database"):
        assert (machine.folder / f"etc/systemd/system/{unit}.service.d/goldenami-fence.conf").exists(), "over a reboot"
    assert machine.ok("inspect")["rows"] == before
    machine.ok("backup")
    assert machine.metadata().rows == 510
    assert machine.ok("read-only")["serving"] is True, "idempotent"
    machine.ok("resume")
    assert accepts(machine, WRITES[0])
    assert machine.ok("inspect")["fenced_by"] == ""


def test_read_only_database_stops_its_service_or_accepts_a_restore(machine: Machine) -> None:
    machine.ok("backup")
    machine.ok("read-only")
    machine.ok("stop-service")
    assert refuses_writes(machine)
    machine.ok("restore", replace="yes")
    assert not machine.cluster.login("guestbook", "known", "guestbook")
    machine.ok("swap-in", replace="yes")
    assert machine.ok("serve-read-only") == {"serving": True}
    assert machine.cluster.login("guestbook", "known", "guestbook")
    assert refuses_writes(machine)
    assert machine.ok("open-writes") == {"open": True}
    assert accepts(machine, WRITES[0])
    assert machine.ok("inspect")["fenced_by"] == ""


def test_service_that_cannot_answer_read_only_is_stopped(machine: Machine) -> None:
    machine.program("curl", f"[[ ! -e {machine.cluster.folder}/data/standby.signal ]]")
    assert machine.ok("read-only") == {"serving": False, "unavailable": 0}
    assert "stop guestbook.service guestbook-database.service" in machine.calls.read_text().splitlines()
    assert refuses_writes(machine)


def test_database_with_unlogged_tables_keeps_their_rows(machine: Machine) -> None:
    machine.cluster.sql("CREATE UNLOGGED TABLE carts (n int); INSERT INTO carts VALUES (1)", "guestbook")
    assert machine.ok("read-only") == {"serving": False, "unavailable": 0}
    assert not machine.cluster.login("guestbook", "known", "guestbook")
    assert machine.ok("serve-read-only") == {"serving": False}
    assert machine.cluster.sql("SELECT n FROM carts", "guestbook") == "1", "a standby would have lost it"


def test_database_serves_again_if_it_cannot_become_a_standby(machine: Machine) -> None:
    machine.program("restart-server", f"[[ ! -e {machine.cluster.folder}/data/standby.signal ]]")
    found = machine.ok("read-only")
    assert found == {"serving": False, "unavailable": 0}
    assert machine.cluster.sql("SELECT pg_is_in_recovery()") == "f"
    assert not machine.cluster.login("guestbook", "known", "guestbook"), "writes are stopped"


def test_fingerprint_detects_one_changed_value(machine: Machine) -> None:
    machine.ok("backup")
    before = machine.metadata()
    machine.cluster.sql("UPDATE entries SET name = name || ' ' WHERE id = 250", "guestbook")
    machine.ok("backup")
    after = machine.metadata()
    assert before.tables["public.entries"] != after.tables["public.entries"]
    assert {k: v for k, v in before.tables.items() if k != "public.entries"} == {
        k: v for k, v in after.tables.items() if k != "public.entries"
    }


@pytest.mark.parametrize("how", ["truncated", "corrupt", "swapped", "missing"])
def test_damaged_backup_is_refused_before_any_change(machine: Machine, how: str) -> None:
    machine.ok("backup")
    reset_database(machine)
    path = "/kept/guestbook/backups/b1/dump"
    whole = machine.bucket.objects[path]
    machine.bucket.objects[path] = {
        "truncated": whole[: len(whole) // 2],
        "corrupt": whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
        "swapped": b"PGDMP, but another dump",
        "missing": b"",
    }[how]
    if how == "missing":
        del machine.bucket.objects[path]
    message = machine.error("restore")
    assert ("cannot be read" if how == "missing" else "is damaged") in message
    assert machine.cluster.sql("SELECT count(*) FROM pg_database WHERE datname ~ '^goldenami_'") == "0"
    assert machine.cluster.sql("SELECT count(*) FROM entries", "guestbook") == "0"


def test_restore_replaces_data_only_with_replace(machine: Machine) -> None:
    machine.ok("backup")
    assert "contains data; --replace" in machine.error("restore")
    machine.cluster.sql("DELETE FROM entries WHERE id > 10", "guestbook")
    machine.ok("restore", replace="yes")
    assert machine.cluster.sql("SELECT count(*) FROM entries", "guestbook") == "10"
    machine.ok("swap-in", replace="yes")
    assert machine.cluster.sql("SELECT count(*) FROM entries", "guestbook") == "500"


def break_once(*patterns: str) -> Callable[[str], bool]:
    """Return a function that breaks the first request that matches each pattern."""
    remaining = list(patterns)

    def breaks(request: str) -> bool:
        found = next((pattern for pattern in remaining if re.search(pattern, request)), None)
        if found:
            remaining.remove(found)
        return found is not None

    return breaks


def test_only_interrupted_parts_are_transferred_again(machine: Machine) -> None:
    machine.program("sleep", "exit 0")
    bucket = machine.bucket
    puts = [f"PUT .*/dump[?]partNumber={number}&" for number in (1, 3, 3)]
    bucket.breaks = break_once("POST .*uploads=", *puts, "POST .*/dump[?]uploadId", "PUT .*/metadata.json")
    result = machine.ok("backup")
    dump = machine.object("dump")
    parts = -(-len(dump) // PART)
    assert parts >= 5, "too few parts for this test"
    assert result["size"] == json.loads(machine.object("metadata.json"))["size"] == len(dump)
    sent = Counter(int(re.findall(r"partNumber=(\d+)", request)[0]) for request in bucket.matching("PUT .*partNumber"))
    assert sent == {number: {1: 2, 3: 3}.get(number, 1) for number in range(1, parts + 1)}
    assert (bucket.rejected, bucket.uploads) == ([], {})

    reset_database(machine)
    first, last = "GET .*/dump bytes=0-", f"GET .*/dump bytes={(parts - 1) * PART}-"
    bucket.requests.clear()
    bucket.breaks = break_once(last, last, "HEAD .*/dump", "GET .*roles.sql")
    machine.ok("restore")
    # Each range is read once for verification and once for the restore. The first is also read for the table of contents, to
    # verify it and to order it; the last twice more because it broke off.
    assert len(bucket.matching(first)) == 4
    assert len(bucket.matching(last)) == 4
    assert machine.restored() == machine.metadata()


def test_failed_upload_leaves_nothing_behind(machine: Machine) -> None:
    machine.program("sleep", "exit 0")
    machine.bucket.breaks = lambda request: "partNumber=3&" in request
    assert "cannot be written" in machine.error("backup")
    assert len(machine.bucket.matching("partNumber=3&")) == 5
    assert not machine.bucket.matching("partNumber=4&")
    assert (machine.bucket.objects, machine.bucket.uploads) == ({}, {})


def test_incomplete_dump_creates_no_object(machine: Machine) -> None:
    machine.program(
        "pg_dump", f'{programs()}/pg_dump "$@" | head -c 9999; echo "pg_dump: error: it broke off" >&2; exit 1'
    )
    done = machine.run("backup")
    assert done.returncode != 0
    assert "pg_dump: error: it broke off" in done.stderr
    assert machine.bucket.matching("partNumber=3&")
    assert (machine.bucket.objects, machine.bucket.uploads) == ({}, {})


def test_rejected_completion_creates_no_backup(machine: Machine) -> None:
    real = shutil.which("sed")
    machine.program("sed", f'if [[ $* == *etag* ]]; then echo wrong; else exec {real} "$@"; fi')
    assert "cannot be written" in machine.error("backup")
    assert (machine.bucket.objects, machine.bucket.uploads) == ({}, {})


def test_completed_upload_with_a_lost_reply_is_a_backup(machine: Machine) -> None:
    machine.program("sleep", "exit 0")
    bucket, last = machine.bucket, "POST .*/dump[?]uploadId"
    bucket.loses = break_once(last)
    machine.ok("backup")
    assert len(bucket.matching(last)) == 2, "the retry finds no such upload"
    assert bucket.matching("HEAD .*/dump")
    assert len(machine.object("dump")) == json.loads(machine.object("metadata.json"))["size"]
    reset_database(machine)
    bucket.loses = lambda request: False
    machine.ok("restore")
    assert machine.restored() == machine.metadata()


def test_older_dump_of_the_same_key_is_not_accepted(machine: Machine) -> None:
    machine.program("sleep", "exit 0")
    machine.ok("backup")
    before = machine.object("dump")
    machine.cluster.sql("UPDATE entries SET name = 'other' WHERE id = 1", "guestbook")
    bucket = machine.bucket

    def lost(request: str) -> bool:
        if re.search("PUT .*partNumber=3&", request):
            bucket.uploads.clear()  # as if another client had aborted it
        return False

    bucket.loses = lost
    assert "cannot be written" in machine.error("backup")
    assert machine.object("dump") == before


def test_dump_replaced_during_the_download_is_refused(machine: Machine) -> None:
    machine.ok("backup")
    reset_database(machine)
    path, seen = "/kept/guestbook/backups/b1/dump", machine.metadata()
    whole = machine.bucket.objects[path]

    def replaces(request: str) -> bool:
        if len(machine.bucket.matching("GET .*/dump bytes=6144-")) == 2:
            machine.bucket.objects[path] = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
        return False

    machine.bucket.breaks = replaces
    done = machine.run("restore")
    assert done.returncode != 0
    assert "412" in done.stderr
    machine.bucket.objects[path] = whole
    machine.bucket.breaks = lambda request: False
    machine.ok("restore")
    assert machine.restored() == seen


def test_inspect_counts_user_rows(machine: Machine) -> None:
    found = machine.ok("inspect")
    assert (found["server_running"], found["rows"]) == (True, 510), "a partition's row once"
    reset_database(machine)
    assert machine.ok("inspect")["rows"] == 0


def test_inspect_reports_the_platform_of_the_volume(machine: Machine) -> None:
    assert "family" not in machine.ok("inspect"), "there is none"
    for folder in ("goldenami", "volume"):
        (machine.folder / folder).mkdir()
    (machine.folder / "goldenami/data-volume").write_text("vol-1\n")
    assert machine.ok("inspect")["volume"] == "vol-1"
    (machine.folder / "volume/goldenami.json").write_text('{"service": "guestbook", "family": "debian-12"}')
    found = machine.ok("inspect")
    assert (found["family"], found["architecture"]) == ("debian-12", "")
    (machine.folder / "volume/goldenami.json").write_text("damaged")
    assert "family" not in machine.ok("inspect")


ROLES = r"""
CREATE ROLE "Odd ""name"" of a; role" LOGIN PASSWORD 'it''s \ known' VALID UNTIL '2030-01-01' CONNECTION LIMIT 3 CREATEDB;
CREATE ROLE readers;
GRANT readers TO "Odd ""name"" of a; role" WITH ADMIN OPTION;
ALTER ROLE readers SET search_path TO public, "Odd schema";
ALTER ROLE readers SET work_mem TO '8MB';
COMMENT ON ROLE readers IS 'those who''ll read; \! only';
"""
ROLE_STATE = """SELECT jsonb_agg(jsonb_build_array(rolname, rolcanlogin, rolcreatedb, rolconnlimit, rolpassword, rolvaliduntil,
    setconfig, shobj_description(r.oid, 'pg_authid'),
    (SELECT array_agg(member::regrole) FROM pg_auth_members WHERE roleid = r.oid)) ORDER BY rolname)
  FROM pg_authid AS r LEFT JOIN pg_db_role_setting ON setrole = r.oid AND setdatabase = 0 WHERE rolname ~ '^(Odd|readers)'"""


@pytest.fixture
def odd_roles(machine: Machine) -> Iterator[Callable[[], str]]:
    """Roles with awkward names and attributes; the function drops them, and returns what is left of them."""

    def drop() -> str:
        machine.cluster.sql("""DROP ROLE IF EXISTS readers, "Odd ""name"" of a; role", intruder""")
        return machine.cluster.sql(ROLE_STATE)

    machine.cluster.sql(ROLES)
    yield drop
    drop()


def test_roles_are_restored_with_attributes_settings_and_memberships(
    machine: Machine, odd_roles: Callable[[], str]
) -> None:
    before = machine.cluster.sql(ROLE_STATE)
    machine.ok("backup")
    assert odd_roles() == ""
    machine.ok("restore", replace="yes")
    assert machine.cluster.sql(ROLE_STATE) == before


@pytest.mark.parametrize(
    "line",
    [
        r"\! touch {mark}",
        r"CREATE ROLE intruder; \! touch {mark}",
        r"CREATE ROLE intruder \! touch {mark}",
        "CREATE ROLE intruder; COPY (SELECT 1) TO PROGRAM 'touch {mark}';",
        "COPY (SELECT 1) TO PROGRAM 'touch {mark}';",
        r"COMMENT ON ROLE guestbook IS 'a\'; \! touch {mark} ';",
        "COMMENT ON ROLE guestbook IS E'a\\\\'; COPY (SELECT 1) TO PROGRAM $$touch {mark}$$; --';",
        "ALTER ROLE guestbook SET search_path TO x; COPY (SELECT 1) TO PROGRAM 'touch {mark}';",
    ],
)
def test_file_of_roles_runs_nothing_else(machine: Machine, odd_roles: Callable[[], str], line: str) -> None:
    machine.ok("backup")
    mark = machine.cluster.folder / "mark"  # the server can write there, too
    mark.unlink(missing_ok=True)
    path = "/kept/guestbook/backups/b1"
    roles = machine.bucket.objects[f"{path}/roles.sql"] + line.replace("{mark}", str(mark)).encode() + b"\n"
    metadata = json.loads(machine.object("metadata.json"))
    metadata["sha256"]["roles"] = hashlib.sha256(roles).hexdigest()
    machine.bucket.objects |= {f"{path}/roles.sql": roles, f"{path}/metadata.json": json.dumps(metadata).encode()}
    odd_roles()
    machine.ok("restore", replace="yes")
    assert not mark.exists()


def test_secrets_are_neither_printed_nor_arguments(machine: Machine) -> None:
    arguments = machine.folder / "arguments"
    machine.longest = 1 << 20  # the list of arguments is longer than a part
    for name in ("curl", "jq", "pg_dump", "pg_restore"):
        real = shutil.which(name, path=f"{programs()}:/usr/bin")
        machine.program(name, f'printf "%s\\n" "$*" >>{arguments}\nexec {real} "$@"')
    done = machine.run("backup")
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, done.stderr, arguments.read_text()):
        assert "wJalr" not in text
        assert "session/token" not in text
        assert "SCRAM" not in text


def test_external_database_is_backed_up_and_restored_as_its_owner(machine: Machine) -> None:
    reset_database(machine)
    own = ROWS.replace("CREATE EXTENSION pgcrypto; SELECT lo_create(0);", "")
    machine.cluster.sql(f"DROP TABLE entries; SET ROLE guestbook; {own}", "guestbook")
    machine.changes = {**RDS, "database.sslmode": "disable"}
    host = f"127.0.0.1:{machine.cluster.port}"
    machine.program("ssm-parameter", f"case $1 in */host) printf {host} ;; *) printf known ;; esac")
    machine.ok("backup")
    before = machine.metadata()
    assert before.rows == 510
    assert "contains data; --replace" in machine.error("restore")
    machine.cluster.sql("DELETE FROM entries WHERE id > 7", "guestbook")
    machine.ok("restore", replace="yes")
    assert machine.restored().tables == before.tables
    assert machine.restored().sequences == before.sequences
    machine.ok("swap-in", replace="yes")
    assert machine.cluster.sql("SELECT count(*) FROM entries", "guestbook") == "500"


@pytest.fixture
def server(machine: Machine) -> Machine:
    """The same instance with an image of storage mode `rds`."""
    host = f"127.0.0.1:{machine.cluster.port}"
    machine.program("ssm-parameter", f"case $1 in */host) printf {host} ;; *) printf known ;; esac")
    machine.changes = {**RDS, "database.sslmode": "disable"}
    return machine


def back_up_local_database(server: Machine) -> Fingerprint:
    """Back up a local database, then replace it by the empty schema of an image on the external server."""
    server.cluster.sql("ALTER TABLE entries OWNER TO guestbook", "guestbook")
    server.ok("stop-writes", storage_mode="instance")
    server.ok("backup", storage_mode="instance")
    server.ok("resume", storage_mode="instance")
    server.cluster.sql("DROP DATABASE guestbook WITH (FORCE)")
    server.cluster.sql("CREATE DATABASE guestbook OWNER guestbook ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0")
    server.cluster.sql("CREATE EXTENSION pgcrypto; COMMENT ON EXTENSION pgcrypto IS 'of the server'", "guestbook")
    schema = (
        "CREATE TABLE entries (id bigint PRIMARY KEY); CREATE TABLE newer (n int); CREATE VIEW v AS SELECT FROM newer"
    )
    server.cluster.sql(f"SET ROLE guestbook; {schema}", "guestbook")
    return server.metadata()


def test_local_database_is_restored_to_an_external_server(server: Machine) -> None:
    before = back_up_local_database(server)
    assert json.loads(server.object("metadata.json"))["mode"] == "instance"
    server.ok("restore")
    assert (server.restored().tables, server.restored().sequences) == (before.tables, before.sequences)
    assert server.ok("survey")["stale"] == "guestbook/backups/b1", "it is stale before the swap"
    server.ok("restore"), "a killed restore can be repeated"
    server.ok("swap-in")
    found = server.ok("survey")
    assert (found["stale"], found["rows"], found["owner"], found["foreign"]) == ("", 510, "guestbook", [])
    assert "ERROR" in server.error("swap-in"), "there is no restored database any more"
    assert "contains data; --replace" in server.error("restore")
    server.ok("resume")
    assert server.cluster.login("guestbook", "known", "guestbook")
    # Discarded data is marked as stale; the next restore can replace it.
    server.ok("discard")
    assert server.ok("survey")["stale"] == "guestbook/backups/b1"
    server.ok("restore")


def test_data_of_other_clients_is_never_stale(server: Machine) -> None:
    back_up_local_database(server)
    server.cluster.sql("INSERT INTO newer VALUES (1)", "guestbook")
    assert "contains data; --replace" in server.error("restore")
    server.ok("discard")
    assert server.ok("survey")["stale"] == ""


def test_different_restore_on_an_external_server_is_rolled_back(server: Machine) -> None:
    back_up_local_database(server)
    path = "/kept/guestbook/backups/b1/metadata.json"
    seen = json.loads(server.bucket.objects[path])
    seen["fingerprint"]["tables"]["public.entries"] = [499, "1"]
    server.bucket.objects[path] = json.dumps(seen).encode()
    server.ok("restore")
    assert server.restored().tables["public.entries"][0] == 500, "for the caller's comparison"
    found = server.ok("survey")
    assert (found["rows"], found["stale"]) == (0, "")
    assert server.cluster.sql("SELECT count(*) FROM newer", "guestbook") == "0", "rolled back"
    assert "nothing" not in server.error("swap-in")


def restore_blockers(server: Machine) -> list[str]:
    """Return the reasons against a restore into the external server, from its survey and the manifest."""
    target, backed_up = parse_survey(server.ok("survey")), manifest(server).fingerprint
    forced, relations = backed_up.row_security_forced, backed_up.relations
    return list(external_restore_blockers(target, "the server", "guestbook", forced, relations))


@pytest.mark.parametrize(("tables", "fits"), [(10, True), (200, False)])
def test_lock_table_too_small_for_a_restore_to_an_external_server_is_foreseen(
    server: Machine, tables: int, fits: bool
) -> None:
    server.longest = 1 << 20
    many = "".join(f"CREATE TABLE many{n} (id int PRIMARY KEY, t text); " for n in range(tables))
    server.cluster.sql(f"DROP TABLE entries; SET ROLE guestbook; {many}", "guestbook")
    server.ok("backup", storage_mode="instance")
    with started("max_locks_per_transaction=10", "max_connections=12") as small:
        server.cluster = small
        server.program("ssm-parameter", f"case $1 in */host) printf 127.0.0.1:{small.port} ;; *) printf known ;; esac")
        small.sql("CREATE ROLE guestbook LOGIN PASSWORD 'known'")
        small.sql("CREATE DATABASE guestbook OWNER guestbook")
        small.sql("CREATE EXTENSION pgcrypto", "guestbook")
        reasons = restore_blockers(server)
        done = server.run("restore")
    assert (done.returncode == 0) is fits is (reasons == []), done.stderr
    if not fits:
        assert "out of shared memory" in done.stderr
        assert re.search(r"with \d+ locks, and the lock table of the server has 120 entries", reasons[0])


def test_objects_that_a_restore_drops_are_counted(server: Machine) -> None:
    make = "CREATE TABLE n (id serial PRIMARY KEY, t text); CREATE VIEW v AS TABLE n; SELECT lo_create(0), lo_create(0)"
    server.cluster.sql(f"SET ROLE guestbook; {make}", "guestbook")
    count = "SELECT count(DISTINCT (locktype, relation, classid, objid)) FROM pg_locks WHERE pid = pg_backend_pid()"
    locks = server.cluster.sql(f"BEGIN; SET ROLE guestbook; DROP OWNED BY CURRENT_USER; {count}; ROLLBACK", "guestbook")
    assert int(locks) <= int(str(server.ok("survey", storage_mode="instance")["objects"]))


def test_forced_row_level_security_that_the_owner_does_not_bypass_is_foreseen(server: Machine) -> None:
    forced = (
        "ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; ALTER TABLE lines ENABLE ROW LEVEL SECURITY"
    )
    server.cluster.sql(f"ALTER TABLE t {forced}; CREATE POLICY forced ON lines USING (true)", "guestbook")
    back_up_local_database(server)
    assert manifest(server).fingerprint.row_security_forced == ("public.t",)
    (reason,) = restore_blockers(server)
    assert "row-level security would hide rows of public.t from guestbook on the server" in reason
    assert "query would be affected by row-level security" in server.run("restore").stderr
    server.cluster.sql("ALTER ROLE guestbook BYPASSRLS")
    assert restore_blockers(server) == []
    server.ok("restore")
    assert differences(manifest(server), server.restored()) == []


def test_image_sets_the_storage_mode(machine: Machine) -> None:
    machine.changes = {**RDS, "database.sslmode": "disable"}
    assert machine.ok("inspect")["storage_mode"] == "rds", "the recipe's by default"
    unit = machine.folder / "unit"
    unit.write_text("AWS_REGION=r DB_NAME=guestbook DB_USER=guestbook DB_PASSWORD_PARAMETER=/p APP_SCHEMA=schema.sql\n")
    assert machine.ok("inspect")["storage_mode"] == "instance"
    machine.ok("backup")
    assert machine.metadata().rows == 510, "a partition's row once"
    machine.changes = {}
    unit.write_text(
        "DB_NAME=guestbook DB_PASSWORD_PARAMETER=/p DB_MODE=rds DB_HOST_PARAMETER=/h DB_PORT=1 DB_SSLMODE=disable\n"
    )
    assert machine.ok("inspect")["storage_mode"] == "rds"
    reset_database(machine)
    machine.cluster.sql("ALTER TABLE entries OWNER TO guestbook", "guestbook")
    host = f"127.0.0.1:{machine.cluster.port}"
    machine.program("ssm-parameter", f"case $1 in /h) printf {host} ;; /p) printf known ;; esac")
    assert machine.ok("survey")["major"] == int(machine.cluster.sql("SHOW server_version_num")) // 10000


def test_unreachable_target_database_reports_the_cause(server: Machine) -> None:
    elsewhere = {"storage_mode": "rds", "host": f"127.0.0.1:{server.cluster.port}"}
    server.changes = {}
    server.program("ssm-parameter", "printf unknown")
    assert "password authentication failed" in server.run("survey", **elsewhere).stderr
    server.program("ssm-parameter", "printf known")
    server.cluster.sql("DROP DATABASE guestbook WITH (FORCE)")
    assert 'database "guestbook" does not exist' in server.run("survey", **elsewhere).stderr
    assert "Connection refused" in server.run("survey", storage_mode="rds", host="127.0.0.1:1").stderr


@pytest.mark.parametrize("changes", [{}, RDS])
def test_script_passes_shellcheck(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "data.sh"
    path.write_text(data_script(recipe(changes), REGION, "backup", {"bucket": "b", "prefix": "p"}))
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    assert not re.search(r"<[{%#]", path.read_text())


AWKWARD = """
CREATE ROLE reporting;
ALTER DATABASE guestbook SET search_path = public, "Odd one";
ALTER DATABASE guestbook CONNECTION LIMIT 20;
COMMENT ON DATABASE guestbook IS 'it''s the guests';
REVOKE ALL ON DATABASE guestbook FROM PUBLIC;
GRANT CONNECT ON DATABASE guestbook TO reporting;
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM entries';
CREATE FUNCTION label(n bigint) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT n || min(t) FROM lines WHERE false';
CREATE MATERIALIZED VIEW totals AS SELECT total() AS n;
CREATE MATERIALIZED VIEW broken AS SELECT 1 / (100 - n) AS n FROM (SELECT count(*) AS n FROM entries WHERE id <= 99) AS first;
CREATE INDEX by_label ON entries (label(id));
CREATE TABLE "__EFMigrationsHistory" ("한글 id" int); INSERT INTO "__EFMigrationsHistory" VALUES (1);
CREATE TABLE hidden (n int); INSERT INTO hidden VALUES (1), (2);
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; ALTER TABLE hidden FORCE ROW LEVEL SECURITY;
CREATE POLICY "only ones" ON hidden USING (n = 1);
CREATE SEQUENCE down INCREMENT -1 MAXVALUE -1; SELECT nextval('down'), nextval('down');
CREATE SEQUENCE "Next one" START 7; SELECT setval('"Next one"', 70, false);
CREATE SEQUENCE wheel MAXVALUE 3 CYCLE; SELECT nextval('wheel') FROM generate_series(1, 4);
CREATE SEQUENCE large START 9223372036854775000; SELECT nextval('large');
SELECT lo_from_bytea(0, decode(repeat('a1b2', 600000), 'hex'));
ALTER DATABASE guestbook SET default_transaction_read_only = on;
"""


@pytest.fixture
def awkward(machine: Machine) -> Iterator[Machine]:
    """An instance with a schema that restores stumble over."""
    machine.cluster.sql("DROP ROLE IF EXISTS reporting")
    for statement in re.split(r";\n", AWKWARD.strip().rstrip(";")):
        machine.cluster.sql(statement, "guestbook")
    yield machine
    machine.cluster.sql("DROP DATABASE IF EXISTS guestbook WITH (FORCE)")
    machine.cluster.sql("DROP DATABASE IF EXISTS goldenami_incoming WITH (FORCE)")
    machine.cluster.sql("DROP ROLE IF EXISTS reporting")


def manifest(machine: Machine) -> Manifest:
    """Return the manifest that goldenami writes for the backup."""
    values = json.loads(machine.object("metadata.json"))
    return parse_manifest(json.dumps({**values, "id": "b1", "created": "", "instance": "i-1"}), "b1")


def test_awkward_schema_is_restored_with_the_properties_of_the_database(awkward: Machine) -> None:
    awkward.ok("stop-writes")
    awkward.ok("backup")
    properties = manifest(awkward).fingerprint.database
    assert properties is not None
    assert (properties["connection_limit"], properties["comment"]) == (20, "it's the guests")
    assert ["reporting", "CONNECT", False] in properties["privileges"]
    result = awkward.ok("restore", replace="yes")
    assert differences(manifest(awkward), awkward.restored()) == []
    assert property_differences(manifest(awkward), awkward.restored()) == []
    assert result["unrefreshed"] == []
    awkward.ok("swap-in", replace="yes")
    awkward.ok("resume")
    assert awkward.cluster.sql("SELECT n FROM totals", "guestbook") == "500"
    assert awkward.cluster.sql("SELECT datconnlimit FROM pg_database WHERE datname = 'guestbook'") == "20"
    assert awkward.cluster.sql("SELECT relforcerowsecurity FROM pg_class WHERE relname = 'hidden'", "guestbook") == "t"
    assert awkward.cluster.sql("SELECT to_regclass('by_label') IS NOT NULL", "guestbook") == "t"
    settings = awkward.cluster.sql("SHOW search_path", "guestbook")
    assert settings == 'public, "Odd one"'


def test_view_that_cannot_be_refreshed_is_named_and_sinks_no_row(awkward: Machine) -> None:
    awkward.cluster.sql(
        "BEGIN READ WRITE; INSERT INTO entries OVERRIDING SYSTEM VALUE VALUES (-1); COMMIT", "guestbook"
    )
    awkward.ok("backup")
    result = awkward.ok("restore", replace="yes")
    assert result["unrefreshed"] == ["REFRESH MATERIALIZED VIEW public.broken; division by zero"]
    assert differences(manifest(awkward), awkward.restored()) == []


def test_backup_leaves_out_temporary_tables_of_other_sessions(machine: Machine) -> None:
    argv = ["psql", "-XAtq", "-d", "guestbook"]
    session = subprocess.Popen(
        argv, env=machine.cluster.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write("CREATE TEMP TABLE cart (id serial); INSERT INTO cart DEFAULT VALUES; SELECT 'ready';\n")
    session.stdin.flush()
    assert session.stdout.readline() == "ready\n"
    machine.ok("backup")
    assert not [name for name in (*machine.metadata().tables, *machine.metadata().sequences) if "cart" in name]
    session.communicate("\\q\n")


def test_sequence_that_is_set_during_the_backup_is_restored(machine: Machine) -> None:
    real = f"{programs()}/pg_dump"
    moves = "SELECT nextval('entries_id_seq'); SELECT setval('unused', 5); SELECT setval('unused', 3, false)"
    machine.program("pg_dump", f'psql -Xq -d guestbook -c "{moves}" >/dev/null; exec {real} "$@"')
    machine.ok("backup")
    machine.ok("restore", replace="yes")
    assert differences(manifest(machine), machine.restored()) == []
    assert machine.restored().sequences["public.entries_id_seq"].last_value == 501


@pytest.mark.long
def test_many_large_objects_and_tables_are_restored(machine: Machine) -> None:
    machine.part, machine.longest = 1 << 20, 1 << 22  # the fingerprint has a line for each table
    machine.cluster.sql("SELECT lo_from_bytea(0, int4send(n)) FROM generate_series(1, 15000) AS n", "guestbook")
    many = "SELECT format('CREATE TABLE many%s (id serial PRIMARY KEY)', n) FROM generate_series({}) AS n \\gexec\n"
    subprocess.run(
        ["psql", "-Xq", "-d", "guestbook"],
        env=machine.cluster.environment,
        input=many.format("1, 2500"),
        text=True,
        check=True,
    )
    machine.ok("backup")
    reset_database(machine)
    machine.ok("restore")
    assert differences(manifest(machine), machine.restored()) == []
    assert machine.restored().large_objects == 15001


def temporary_server(machine: Machine) -> None:
    """PostgreSQL refuses to run as root, so the temporary server runs as the user postgres."""
    real = shutil.which("runuser")
    machine.program(
        "runuser",
        f'while [[ $1 != -- ]]; do shift; done; shift\ncase $1 in initdb | pg_ctl) exec {real} -u postgres -- "$@" ;; esac\n'
        'exec "$@"',
    )
    machine.longest = 1 << 26
    for folder in (machine.folder, *machine.folder.parents):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(0o755)


def temporary_servers(machine: Machine) -> list[str]:
    return [path.name for path in machine.folder.rglob("server.*")]


def test_bucket_of_another_account_receives_nothing(machine: Machine) -> None:
    assert "cannot be written" in machine.error("backup", account="210987654321")
    assert machine.bucket.objects == {}
    assert machine.bucket.uploads == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="starts a server as the user postgres")
def test_verify_restore_leaves_the_database_alone_and_nothing_behind(awkward: Machine) -> None:
    temporary_server(awkward)
    awkward.ok("backup")
    awkward.cluster.sql("BEGIN READ WRITE; DELETE FROM entries; COMMIT", "guestbook")
    assert awkward.ok("verify-restore")["unrefreshed"] == []
    assert differences(manifest(awkward), awkward.restored()) == []
    assert property_differences(manifest(awkward), awkward.restored()) == []
    assert awkward.cluster.sql("SELECT count(*) FROM entries", "guestbook") == "0"
    assert awkward.cluster.sql("SELECT count(*) FROM pg_database WHERE datname ~ '^goldenami_'") == "0"
    assert temporary_servers(awkward) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="starts a server as the user postgres")
def test_killed_verify_restore_leaves_nothing_behind(machine: Machine) -> None:
    temporary_server(machine)
    machine.ok("backup")
    machine.program("pg_restore", 'kill -9 "$(cat "$GOLDENAMI_RUN/pid")"')
    machine.program("df", f'echo "$PPID" >"$GOLDENAMI_RUN/pid"; exec {shutil.which("df")} "$@"')
    assert machine.run("verify-restore").returncode != 0
    deadline = time.monotonic() + 30
    while temporary_servers(machine) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert temporary_servers(machine) == []
