"""RDS: a DB instance is a real PostgreSQL, with RDS's states, errors and master user, and it keeps its rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localcloud import control
from localcloud.rds import postgres
from tests.support.cloud_server import client, eventually

pytestmark = pytest.mark.skipif(postgres.unavailable_reason() is not None, reason=str(postgres.unavailable_reason()))

PASSWORD = "it's-secret$1"


def raises(code: str) -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\)")


class Rds:
    """The calls that the tests share."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud

    @property
    def api(self) -> Any:
        return client(self.cloud.server.endpoint, "rds")

    def create(self, **options: Any) -> Any:
        given = {
            "DBInstanceIdentifier": "guestbook", "DBInstanceClass": "db.t4g.micro", "Engine": "postgres",
            "MasterUsername": "app", "MasterUserPassword": PASSWORD, "DBName": "guestbook", "AllocatedStorage": 20,
        }  # fmt: skip
        return self.api.create_db_instance(**{k: v for k, v in {**given, **options}.items() if v})["DBInstance"]

    def describe(self) -> Any:
        return self.api.describe_db_instances(DBInstanceIdentifier="guestbook")["DBInstances"][0]

    def wait(self, status: str) -> Any:
        eventually(lambda: self.describe()["DBInstanceStatus"] == status, 30)
        return self.describe()

    def sql(self, text: str, password: str = PASSWORD, mode: str = "require", user: str = "app") -> str:
        endpoint = self.describe()["Endpoint"]
        place = f"host={endpoint['Address']} port={endpoint['Port']} user={user} dbname=guestbook sslmode={mode}"
        done = subprocess.run(
            ["psql", "-XqtA", place, "-c", text], check=False, capture_output=True, text=True,
            env={"PGPASSWORD": password, "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        return (done.stdout + done.stderr).strip()


@pytest.fixture
def rds(cloud: Any) -> Rds:
    return Rds(cloud)


def test_a_database_lives_as_on_rds(rds: Rds) -> None:
    created = rds.create(StorageEncrypted=True, Tags=[{"Key": "Name", "Value": "data"}])
    assert created["DBInstanceStatus"] == "creating"
    assert "Endpoint" not in created
    response = rds.wait("available")
    assert response["Endpoint"]["Address"].startswith(rds.cloud.server.cloud.prefix + ".")
    assert (response["Endpoint"]["Port"], response["StorageEncrypted"], response["DBName"]) == (5432, True, "guestbook")
    assert response["TagList"] == [{"Key": "Name", "Value": "data"}]

    # The master user is powerful, and no superuser; RDS's own superuser lets nobody in; nothing goes in the clear.
    powers = "SELECT rolsuper, rolcreatedb, rolcreaterole, pg_has_role('rds_superuser', 'member') FROM pg_roles"
    assert rds.sql(f"{powers} WHERE rolname = current_user") == "f|t|t|t"
    assert "permission denied" in rds.sql("ALTER SYSTEM SET work_mem = '1MB'")
    assert rds.sql("CREATE EXTENSION pg_trgm; CREATE ROLE reader; CREATE TABLE entry (id int PRIMARY KEY)") == ""
    assert "rejects connection" in rds.sql("SELECT 1", user="rdsadmin")
    assert "no encryption" in rds.sql("SELECT 1", mode="disable")
    rds.sql("INSERT INTO entry SELECT generate_series(1, 1000)")

    rds.api.modify_db_instance(
        DBInstanceIdentifier="guestbook", MasterUserPassword="another-one", ApplyImmediately=True
    )
    rds.wait("available")
    assert "authentication failed" in rds.sql("SELECT 1")
    assert rds.sql("SELECT count(*) FROM entry", "another-one") == "1000"

    rds.api.stop_db_instance(DBInstanceIdentifier="guestbook")
    rds.wait("stopped")
    assert "refused" in rds.sql("SELECT 1", "another-one")
    with raises("InvalidDBInstanceState"):
        rds.api.stop_db_instance(DBInstanceIdentifier="guestbook")
    rds.api.start_db_instance(DBInstanceIdentifier="guestbook")
    rds.wait("available")
    rds.api.reboot_db_instance(DBInstanceIdentifier="guestbook")
    rds.wait("available")
    assert rds.sql("SELECT count(*) FROM entry", "another-one") == "1000"

    # The cloud ends and starts again: the same address, the same rows.
    address = rds.describe()["Endpoint"]["Address"]
    rds.cloud.restart()
    eventually(lambda: rds.sql("SELECT count(*) FROM entry", "another-one") == "1000", 30)
    assert rds.wait("available")["Endpoint"]["Address"] == address

    # It dies by itself and is started again.
    (process,) = rds.cloud.server.databases._running.values()
    process.kill()
    process.wait()
    eventually(lambda: rds.sql("SELECT count(*) FROM entry", "another-one") == "1000", 30)

    with raises("InvalidParameterCombination"):
        rds.api.delete_db_instance(DBInstanceIdentifier="guestbook")
    rds.api.delete_db_instance(DBInstanceIdentifier="guestbook", SkipFinalSnapshot=True)
    eventually(lambda: not rds.api.describe_db_instances()["DBInstances"], 30)
    assert list(rds.cloud.folder.databases.iterdir()) == []


def test_rds_can_manage_the_password(rds: Rds) -> None:
    rds.create(MasterUserPassword=None, ManageMasterUserPassword=True)
    response = rds.wait("available")
    secrets = client(rds.cloud.server.endpoint, "secretsmanager")
    held = secrets.get_secret_value(SecretId=response["MasterUserSecret"]["SecretArn"])["SecretString"]
    assert json.loads(held)["username"] == "app"
    assert rds.sql("SELECT 1", json.loads(held)["password"]) == "1"


def test_what_rds_refuses(rds: Rds) -> None:
    with raises("InvalidParameterValue"):
        rds.create(MasterUserPassword="short")
    with raises("InvalidParameterValue"):
        rds.create(MasterUserPassword="has a/slash")
    with raises("InvalidParameterValue"):
        rds.create(MasterUsername="rdsadmin")
    with raises("InvalidParameterCombination"):
        rds.create(EngineVersion="9.6")
    with raises("UnsupportedOperation"):
        rds.create(Engine="mysql")
    with raises("DBInstanceNotFound"):
        rds.describe()
    assert list(rds.cloud.folder.databases.iterdir()) == []


def test_a_database_can_be_slow_to_come_up(rds: Rds) -> None:
    control.request(
        rds.cloud.server.endpoint,
        rds.cloud.folder.read_owner(),
        "POST",
        "faults",
        {"kind": "slow_database", "seconds": 60},
    )
    rds.create()
    assert rds.describe()["DBInstanceStatus"] == "creating"
    with raises("DBInstanceAlreadyExists"):
        rds.create()
    rds.cloud.server.databases.ending.set()  # enough of it
    rds.wait("available")
    assert rds.sql("SELECT 1") == "1"


SERVER = """
import sys, time
from pathlib import Path
from localcloud.rds import postgres
server = postgres.PostgresServer(Path(sys.argv[1]), max(postgres.installed_versions()), "127.201.11.9", 5432)
server.create("app", "secret-word", "guestbook")
server.start()
print("started", flush=True)
time.sleep(600)
"""


def test_a_killed_cloud_leaves_no_database_process(tmp_path: Path) -> None:
    home = tmp_path / "databases" / "db-TEST"
    with subprocess.Popen([sys.executable, "-c", SERVER, str(home)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"started\n"
        assert count_processes(home) > 3
        server.kill()
    eventually(lambda: count_processes(home) == 0)
    assert postgres.kill_servers(tmp_path / "databases") == []
    # What was cut off comes back.
    again = postgres.PostgresServer(home, max(postgres.installed_versions()), "127.201.11.9", 5432)
    process = again.start()
    assert count_processes(home) > 3
    postgres.stop(process)
    assert count_processes(home) == 0


def count_processes(home: Path) -> int:
    """Processes that work in the server's data folder."""
    place = (home / "data").stat()
    count = 0
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            count += (entry.stat().st_dev, entry.stat().st_ino) == (place.st_dev, place.st_ino)
        except OSError:
            continue
    return count
