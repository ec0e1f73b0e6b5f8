"""The actions of the RDS API on DB instances, with a real PostgreSQL behind each."""

from __future__ import annotations

import json
import secrets
import string
from typing import Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import InvalidParameterCombination, InvalidParameterValue, RDSClientError
from moto.rds.models import DBInstance, MasterUserSecret, RDSBackend
from moto.rds.responses import RDSResponse

from localcloud.core.cloud import Cloud
from localcloud.rds import postgres
from localcloud.rds.instances import DatabaseService

_create, _modify = RDSBackend.create_db_instance, RDSBackend.modify_db_instance
RESOURCE_ID_CHARACTERS = string.ascii_uppercase + string.digits
FORBIDDEN = set('/"@ ')  # in a master password


def install(cloud: Cloud, databases: DatabaseService) -> None:
    """Replace moto's methods by these. May be called again with another cloud."""

    def create_db_instance(self: Any, asked: dict[str, Any]) -> Any:
        """moto: available at once, any engine, an address that leads nowhere."""
        asked["engine_version"] = check_request(asked)
        database = _create(self, asked)
        database.status, database.answered = "creating", False
        database.dbi_resource_id = "db-" + "".join(secrets.choice(RESOURCE_ID_CHARACTERS) for _ in range(26))
        database.loopback_address = cloud.addresses.allocate()
        databases.create(database)
        return database

    def modify_db_instance(self: Any, identifier: str, asked: dict[str, Any]) -> Any:
        """moto: the password is forgotten. It is changed at once, ApplyImmediately or not, as on RDS."""
        database = self.describe_db_instances(identifier)[0]
        if password := asked.get("master_user_password"):
            check_password(password)
            check_state(database, "available")
        _modify(self, identifier, asked)
        if password:
            database._master_user_password = password
            database.status = "resetting-master-credentials"
            databases.set_password(database)
        return database

    def start_db_instance(self: Any, identifier: str) -> Any:
        database = self.describe_db_instances(identifier)[0]
        check_state(database, "stopped")
        database.status = "starting"
        databases.start(database)
        return database

    def stop_db_instance(self: Any, identifier: str, snapshot: str | None = None) -> Any:
        database = self.describe_db_instances(identifier)[0]
        check_state(database, "available")
        if snapshot:
            no_snapshots()
        database.status = "stopping"
        databases.stop(database)
        return database

    def reboot_db_instance(self: Any, identifier: str) -> Any:
        database = self.describe_db_instances(identifier)[0]
        check_state(database, "available")
        database.status = "rebooting"
        databases.reboot(database)
        return database

    def delete_db_instance(self: Any) -> Any:
        """moto: gone at once, and without a final snapshot also where none was to be skipped."""
        database = self.backend.describe_db_instances(self.params.get("DBInstanceIdentifier"))[0]
        final, skip = self.params.get("FinalDBSnapshotIdentifier"), self.params.get("SkipFinalSnapshot", False)
        if skip == bool(final):
            raise InvalidParameterCombination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified, and only then."
            )
        if database.deletion_protection:
            raise InvalidParameterCombination(
                "Cannot delete protected DB Instance, please disable deletion protection and try again."
            )
        if database.status == "deleting":
            raise RDSClientError(
                "InvalidDBInstanceState", f"Instance {database.db_instance_identifier} is already being deleted."
            )
        if final:
            no_snapshots()
        database.status = "deleting"
        databases.delete(database)
        return ActionResult({"DBInstance": database})

    def refuse_snapshots(_: Any) -> Any:
        no_snapshots()

    def endpoint(self: Any) -> dict[str, Any] | None:
        return {"Address": self.loopback_address, "Port": self.port} if self.answered else None

    def secret(self: Any) -> str:
        """moto: always the same password."""
        self.resource._master_user_password = secrets.token_urlsafe(24)
        return json.dumps({"username": self.resource.master_username, "password": self.resource._master_user_password})

    for method in (
        create_db_instance, modify_db_instance, start_db_instance, stop_db_instance, reboot_db_instance,
    ):  # fmt: skip
        setattr(RDSBackend, method.__name__, method)
    RDSResponse.delete_db_instance = delete_db_instance
    RDSResponse.create_db_snapshot = RDSResponse.restore_db_instance_from_db_snapshot = refuse_snapshots
    DBInstance.endpoint = property(endpoint)
    MasterUserSecret._generate_secret_string = secret


def check_request(asked: dict[str, Any]) -> str:
    """The engine version of a new DB instance, or RDS's error."""
    if asked.get("engine") != "postgres":
        raise NotImplementedError(f"the engine {asked.get('engine')}: the local cloud's databases are PostgreSQL")
    if why := postgres.unavailable_reason():
        raise RDSClientError("InsufficientDBInstanceCapacity", why)
    programs = postgres.installed_versions()
    version = str(asked.get("engine_version") or max(programs))
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) not in programs:
        have = ", ".join(map(str, sorted(programs)))
        raise InvalidParameterCombination(f"Cannot find version {version} for postgres (installed here: {have})")
    if not asked.get("master_username"):
        raise InvalidParameterValue("The parameter MasterUsername must be provided and must not be blank.")
    if asked["master_username"] in (postgres.ADMIN, "rds_superuser", "admin"):
        raise InvalidParameterValue(
            f"MasterUsername {asked['master_username']} cannot be used as it is a reserved word"
        )
    managed, password = asked.get("manage_master_user_password"), asked.get("master_user_password")
    if managed and password:
        raise InvalidParameterCombination("MasterUserPassword cannot be given where RDS manages it.")
    if not managed:
        check_password(password)
    return version


def check_password(password: str | None) -> None:
    """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html, MasterUserPassword."""
    if not password or not 8 <= len(password) <= 128 or any(not " " < c < "\x7f" for c in password):
        raise InvalidParameterValue(
            "The parameter MasterUserPassword is not a valid password: 8 to 128 printable ASCII"
        )
    if FORBIDDEN & set(password):
        raise InvalidParameterValue(
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides "
            "'/', '@', '\"', ' ' may be used."
        )


def check_state(database: Any, state: str) -> None:
    if database.status != state:
        raise RDSClientError(
            "InvalidDBInstanceState", f"Instance {database.db_instance_identifier} is not in {state} state."
        )


def no_snapshots() -> None:
    raise NotImplementedError("DB snapshots: the local cloud's databases have none; use pg_dump, or SkipFinalSnapshot")
