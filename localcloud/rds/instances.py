"""The PostgreSQL servers of DB instances: created, started, stopped and monitored, each in its own work queue."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from moto.rds.models import RDSBackend, rds_backends

from localcloud.core.cloud import Cloud, regional_backends
from localcloud.errors import CloudError
from localcloud.rds import postgres

_delete = RDSBackend.delete_db_instance


class DatabaseService:
    """The servers by resource id. Not saved: a restarted cloud starts the available DB instances again."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.ending = threading.Event()  # ends injected delays

    def _submit(self, database: Any, work: Callable[[], None], status: str) -> None:
        """Do work in the database's queue. Its status becomes `status` afterwards, or one for a failure."""

        def run() -> None:
            result = status
            try:
                work()
            except (CloudError, OSError) as error:
                print(f"{database.db_instance_identifier}: {error}", file=sys.stderr, flush=True)
                result = "failed" if database.status == "creating" else "incompatible-network"
            with self._cloud.change():
                database.status = result
                database.answered = database.answered or result == "available"

        self._cloud.queues.submit(database.dbi_resource_id, run)

    def server(self, database: Any) -> postgres.PostgresServer:
        """Return the PostgreSQL server of a DB instance."""
        folder = self._cloud.state_dir.databases / database.dbi_resource_id
        major = int(str(database.engine_version).split(".")[0])
        return postgres.PostgresServer(folder, major, database.loopback_address, int(database.port))

    def create(self, database: Any) -> None:
        server = self.server(database)

        def work() -> None:
            if slow := self._cloud.faults.consume("CreateDBInstance", "slow_database"):
                self.ending.wait(slow.seconds)
            server.create(database.master_username, database._master_user_password, database.db_name)
            self._start(database)

        self._submit(database, work, "available")

    def start(self, database: Any) -> None:
        self._submit(database, lambda: self._start(database), "available")

    def stop(self, database: Any) -> None:
        self._submit(database, lambda: self._stop(database), "stopped")

    def reboot(self, database: Any) -> None:
        def work() -> None:
            self._stop(database)
            self._start(database)

        self._submit(database, work, "available")

    def set_password(self, database: Any) -> None:
        server, password = self.server(database), database._master_user_password
        self._submit(database, lambda: server.set_password(database.master_username, password), "available")

    def delete(self, database: Any) -> None:
        def work() -> None:
            self._stop(database)
            shutil.rmtree(self._cloud.state_dir.databases / database.dbi_resource_id, ignore_errors=True)
            with self._cloud.change():
                if database.db_instance_identifier in database.backend.databases:
                    _delete(database.backend, database.db_instance_identifier, skip_final_snapshot=True)

        self._cloud.queues.submit(database.dbi_resource_id, work)
        self._cloud.queues.close(database.dbi_resource_id)

    def tick(self) -> None:
        """Restart servers that crashed, as RDS does."""
        for database in list_databases():
            process = self._running.get(database.dbi_resource_id)
            crashed = process is not None and process.poll() is not None
            if crashed and database.status == "available" and not self._cloud.queues.is_busy(database.dbi_resource_id):
                print(f"{database.db_instance_identifier}: its server crashed; restarting it", file=sys.stderr)
                self.start(database)

    def shut_down(self) -> None:
        """Stop all servers in their queues. DB instances stay `available`, so that the next start brings them back."""
        self.ending.set()
        for database in list_databases():
            self._cloud.queues.submit(database.dbi_resource_id, self._stop, database)

    def resume(self) -> None:
        """Start available databases after a restart, complete interrupted work, and delete orphaned folders."""
        for database in list_databases():
            if not self._cloud.addresses.contains(database.loopback_address):
                database.loopback_address = self._cloud.addresses.allocate()
            if database.status == "deleting":
                self.delete(database)
            elif database.status == "stopping":
                database.status = "stopped"
            elif database.status == "creating":
                self.create(database)
            elif database.status != "stopped":
                self.start(database)
                if database.status == "resetting-master-credentials":
                    self.set_password(database)
        resource_ids = {database.dbi_resource_id for database in list_databases()}
        for folder in self._cloud.state_dir.databases.iterdir():
            if folder.name not in resource_ids:
                shutil.rmtree(folder, ignore_errors=True)

    def _start(self, database: Any) -> None:
        process = self._running.get(database.dbi_resource_id)
        if process is None or process.poll() is not None:
            self._running[database.dbi_resource_id] = self.server(database).start()

    def _stop(self, database: Any) -> None:
        if process := self._running.pop(database.dbi_resource_id, None):
            postgres.stop(process)


def list_databases() -> list[Any]:
    """Return the DB instances that have a PostgreSQL server."""
    return [
        database
        for backend in regional_backends(rds_backends)
        for database in list(backend.databases.values())
        if hasattr(database, "loopback_address")
    ]
