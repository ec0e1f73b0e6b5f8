"""The RDS API's actions on DB instances, each of which is a PostgreSQL server."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable
from typing import Any, NoReturn

from moto.core.responses import ActionResult
from moto.rds.exceptions import InvalidParameterCombination, InvalidParameterValue, RDSClientError
from moto.rds.models import DBInstance, MasterUserSecret, RDSBackend
from moto.rds.responses import RDSResponse

from localcloud.core.cloud import Cloud
from localcloud.core.overrides import replace_methods
from localcloud.rds import postgres
from localcloud.rds.instances import DatabaseService

_create, _modify = RDSBackend.create_db_instance, RDSBackend.modify_db_instance
RESOURCE_ID_CHARACTERS = string.ascii_uppercase + string.digits
FORBIDDEN = set('/"@ ')  # in a master password


def install(cloud: Cloud, databases: DatabaseService) -> None:
    """Replace moto's methods."""

    def create_db_instance(self: Any, options: dict[str, Any]) -> Any:
        """moto accepts any engine, invents an address, and is available at once.
        https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html"""
        options["engine_version"] = check_request(options)
        database = _create(self, options)
        database.status, database.answered = "creating", False
        database.dbi_resource_id = "db-" + "".join(secrets.choice(RESOURCE_ID_CHARACTERS) for _ in range(26))
        database.loopback_address = cloud.addresses.allocate()
        databases.create(database)
        return database

    def modify_db_instance(self: Any, identifier: str, options: dict[str, Any]) -> Any:
        """moto ignores the password. RDS changes it at once, also without ApplyImmediately.
        https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBInstance.html"""
        database = self.describe_db_instances(identifier)[0]
        if password := options.get("master_user_password"):
            check_password(password)
            check_state(database, "available")
        _modify(self, identifier, options)
        if password:
            database._master_user_password = password
            database.status = "resetting-master-credentials"
            databases.set_password(database)
        return database

    def start_db_instance(self: Any, identifier: str) -> Any:
        """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_StartDBInstance.html"""
        return change_state(self, identifier, "stopped", "starting", databases.start)

    def stop_db_instance(self: Any, identifier: str, snapshot: str | None = None) -> Any:
        """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_StopDBInstance.html"""
        if snapshot:
            refuse_snapshots()
        return change_state(self, identifier, "available", "stopping", databases.stop)

    def reboot_db_instance(self: Any, identifier: str) -> Any:
        """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RebootDBInstance.html"""
        return change_state(self, identifier, "available", "rebooting", databases.reboot)

    def delete_db_instance(self: Any) -> Any:
        """moto deletes at once, and does not require a final snapshot.
        https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DeleteDBInstance.html"""
        database = self.backend.describe_db_instances(self.params.get("DBInstanceIdentifier"))[0]
        final, skip = self.params.get("FinalDBSnapshotIdentifier"), self.params.get("SkipFinalSnapshot", False)
        if skip == bool(final):
            problem = "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified, and only then."
            raise InvalidParameterCombination(problem)
        if database.deletion_protection:
            problem = "Cannot delete protected DB Instance, please disable deletion protection and try again."
            raise InvalidParameterCombination(problem)
        if database.status == "deleting":
            problem = f"Instance {database.db_instance_identifier} is already being deleted."
            raise RDSClientError("InvalidDBInstanceState", problem)
        if final:
            refuse_snapshots()
        database.status = "deleting"
        databases.delete(database)
        return ActionResult({"DBInstance": database})

    def endpoint(self: Any) -> dict[str, Any] | None:
        """https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_Endpoint.html"""
        return {"Address": self.loopback_address, "Port": self.port} if self.answered else None

    def _generate_secret_string(self: Any) -> str:
        """moto always generates the same password.
        https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html"""
        self.resource._master_user_password = secrets.token_urlsafe(24)
        return json.dumps({"username": self.resource.master_username, "password": self.resource._master_user_password})

    replace_methods(RDSBackend, create_db_instance, modify_db_instance)
    replace_methods(RDSBackend, start_db_instance, stop_db_instance, reboot_db_instance)
    replace_methods(RDSResponse, delete_db_instance)
    RDSResponse.create_db_snapshot = RDSResponse.restore_db_instance_from_db_snapshot = refuse_snapshots
    DBInstance.endpoint = property(endpoint)
    replace_methods(MasterUserSecret, _generate_secret_string)


def change_state(backend: Any, identifier: str, required: str, status: str, work: Callable[[Any], None]) -> Any:
    """Change a DB instance's status and begin the work for it. Raises RDS's error if it is not in `required` state."""
    database = backend.describe_db_instances(identifier)[0]
    check_state(database, required)
    database.status = status
    work(database)
    return database


def check_request(options: dict[str, Any]) -> str:
    """Return the engine version of a new DB instance. Raises RDS's error for invalid parameters.
    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html"""
    if options.get("engine") != "postgres":
        raise NotImplementedError(f"the engine {options.get('engine')}: the local cloud's databases are PostgreSQL")
    if reason := postgres.unavailable_reason():
        raise RDSClientError("InsufficientDBInstanceCapacity", reason)
    programs = postgres.installed_versions()
    version = str(options.get("engine_version") or max(programs))
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) not in programs:
        majors = ", ".join(map(str, sorted(programs)))
        raise InvalidParameterCombination(f"Cannot find version {version} for postgres (installed here: {majors})")
    if not options.get("master_username"):
        raise InvalidParameterValue("The parameter MasterUsername must be provided and must not be blank.")
    if options["master_username"] in (postgres.ADMIN, "rds_superuser", "admin"):
        name = options["master_username"]
        raise InvalidParameterValue(f"MasterUsername {name} cannot be used as it is a reserved word")
    managed, password = options.get("manage_master_user_password"), options.get("master_user_password")
    if managed and password:
        raise InvalidParameterCombination("MasterUserPassword cannot be given where RDS manages it.")
    if not managed:
        check_password(password)
    return version


def check_password(password: str | None) -> None:
    """Raise RDS's error for an invalid master password.
    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html, MasterUserPassword"""
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
    """Raise RDS's error if the DB instance is in another state."""
    if database.status != state:
        problem = f"Instance {database.db_instance_identifier} is not in {state} state."
        raise RDSClientError("InvalidDBInstanceState", problem)


def refuse_snapshots(_: Any = None) -> NoReturn:
    """Fail actions on DB snapshots: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBSnapshot.html"""
    raise NotImplementedError("DB snapshots are not supported: use pg_dump, or SkipFinalSnapshot")
