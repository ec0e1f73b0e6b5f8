"""Temporary PostgreSQL server for tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


def programs() -> Path | None:
    """Return the folder with initdb and pg_ctl, if a server is installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    return installed[-1].parent if installed else Path(on_path).parent if on_path else None


@dataclass(frozen=True)
class Cluster:
    """A running server, with every statement in its log."""

    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which psql connects as superuser."""
        return {
            "PATH": f"{programs()}:{os.environ['PATH']}",
            "PGHOST": str(self.folder),
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "DB_PORT": str(self.port),
        }

    @property
    def log(self) -> str:
        """Log of the server."""
        return (self.folder / "log").read_text()

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement and return the bare result."""
        argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement]
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def login(self, user: str, password: str, database: str) -> bool:
        """Return True if the password is accepted over TCP."""
        argv = ["psql", "-XAtq", "-h", "127.0.0.1", "-U", user, "-d", database, "-c", "SELECT 1"]
        done = subprocess.run(argv, env={**self.environment, "PGPASSWORD": password}, capture_output=True, check=False)
        return done.returncode == 0


@contextmanager
def started(*further: str) -> Iterator[Cluster]:
    """Run a server until the block exits, with further settings.

    As root it runs as the user postgres, because PostgreSQL refuses root.
    """
    bin_folder = programs()
    assert bin_folder is not None
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if prefix:
        shutil.chown(folder, "postgres")
    folder.chmod(0o755)

    def run(*argv: str) -> None:
        subprocess.run([*prefix, *argv], check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60)

    data = str(folder / "data")
    run(
        str(bin_folder / "initdb"),
        "-D",
        data,
        "-U",
        "postgres",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
        "--no-sync",
        "--locale=C.UTF-8",
    )
    settings = "listen_addresses=127.0.0.1", "log_statement=all", "log_min_duration_statement=0", "fsync=off", *further
    options = " ".join([f"-p {port} -k {folder}", *(f"-c {setting}" for setting in settings)])
    run(str(bin_folder / "pg_ctl"), "-D", data, "-l", str(folder / "log"), "-o", options, "-w", "start")
    try:
        yield Cluster(folder, port)
    finally:
        run(str(bin_folder / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)
