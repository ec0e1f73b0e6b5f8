"""A PostgreSQL server of the distribution, set up as on RDS: TLS only, with a master user that is not a superuser."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from localcloud.errors import CloudError
from localcloud.rds.certificate import write_certificate
from localcloud.rds.sandbox import SANDBOX_HOME

SANDBOX = Path(__file__).with_name("sandbox.py")
USER = "postgres"
ADMIN = "rdsadmin"  # RDS's own superuser
START_SECONDS, STOP_SECONDS = 60.0, 30.0
PACKAGES = Path("/usr/lib/postgresql")

SETTINGS = """\
listen_addresses = '{address}'
port = {port}
unix_socket_directories = '{folder}/run'
unix_socket_permissions = 0700
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
password_encryption = 'scram-sha-256'
max_connections = 100
shared_buffers = '32MB'
# In files of its own folder: segments in /dev/shm would remain after a kill.
dynamic_shared_memory_type = mmap
# The data has to survive this process, not a power loss of the host.
fsync = off
full_page_writes = off
timezone = 'UTC'
log_timezone = 'UTC'
# Statements are not logged, as they may contain a password.
log_min_error_statement = panic
"""
# rds.force_ssl is on by default since PostgreSQL 15; RDS's own superuser cannot connect over the network.
ACCESS = f"""\
local all {ADMIN} trust
local all all reject
host all {ADMIN} all reject
hostssl all all all scram-sha-256
"""


def installed_versions() -> dict[int, Path]:
    """Return the folders of PostgreSQL's programs by major version."""
    folders = [path for path in PACKAGES.glob("*/bin") if path.parent.name.isdigit() and (path / "initdb").exists()]
    return {int(path.parent.name): path for path in folders}


def unavailable_reason() -> str | None:
    """Return why no database can run on this host, with the fix; None if one can."""
    if not installed_versions():
        return "PostgreSQL is not installed; run: sudo apt-get install --yes --no-install-recommends postgresql"
    return None


@dataclass(frozen=True)
class PostgresServer:
    """A server: its folder in the state folder, its major version and its address."""

    folder: Path
    major: int
    address: str
    port: int

    @property
    def inside(self) -> str:
        """The folder's path within the server's sandbox."""
        return SANDBOX_HOME if os.geteuid() == 0 else str(self.folder)

    def create(self, master: str, password: str, database: str | None) -> None:
        """Create the server, unless it exists. An interrupted attempt is repeated from scratch. Raises CloudError."""
        if (self.folder / "created").exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        (self.folder / "run").mkdir(mode=0o700)
        write_certificate(self.folder, self.address)
        if os.geteuid() == 0:
            entry = pwd.getpwnam(USER)
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        self._run(
            "initdb", f"--pgdata={self.inside}/data", f"--username={ADMIN}", "--auth=trust", "--no-sync",
            "--encoding=UTF8", "--locale=C.UTF-8",
        )  # fmt: skip
        self._configure()
        script = "\n".join(role_statements(self.major, master, password, database)) + "\n"
        output = self._run("postgres", "--single", "-D", f"{self.inside}/data", "postgres", text=script)
        if "ERROR:" in output:
            raise CloudError(f"cannot set the database up: {output[output.index('ERROR:') :].splitlines()[0]}")
        (self.folder / "created").touch()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server and wait until it accepts connections. Raises CloudError with its error message."""
        self._configure()
        with (self.folder / "server.log").open("ab") as log:
            begin = log.tell()
            process = subprocess.Popen(
                self._argv("postgres", "-D", f"{self.inside}/data"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(), cwd="/", start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        probe = [str(self._programs / "pg_isready"), "-q", "-h", self.address, "-p", str(self.port), "-t", "1"]
        while subprocess.run(probe, check=False, capture_output=True, env=environment()).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                stop(process)
                with (self.folder / "server.log").open("rb") as log_file:
                    log_file.seek(begin)
                    lines = log_file.read().decode(errors="replace").splitlines()
                reason = next((line for line in lines if "FATAL" in line or "could not" in line), "it does not answer")
                raise CloudError(f"the database server on {self.address}:{self.port} does not start: {reason.strip()}")
            time.sleep(0.05)
        return process

    def set_password(self, master: str, password: str) -> None:
        """Set the master password of the running server. Raises CloudError."""
        statement = f"ALTER ROLE {quote_identifier(master)} PASSWORD {quote_literal(password)};\n"
        self._run("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", f"{self.inside}/run", "-p", str(self.port), "-U", ADMIN,
                  "-d", "postgres", text=statement)  # fmt: skip

    @property
    def _programs(self) -> Path:
        programs = installed_versions().get(self.major)
        if programs is None:
            packages = f"--no-install-recommends postgresql-{self.major}"
            raise CloudError(f"PostgreSQL {self.major} is not installed; run: sudo apt-get install --yes {packages}")
        return programs

    def _argv(self, program: str, *arguments: str) -> list[str]:
        command = [str(SANDBOX), str(self.folder), USER, str(self._programs / program)]
        return [sys.executable, "-I", "-S", *command, *arguments]

    def _run(self, program: str, *arguments: str, text: str = "") -> str:
        done = subprocess.run(
            self._argv(program, *arguments), check=False, input=text, capture_output=True, text=True,
            env=environment(), cwd="/",
        )  # fmt: skip
        output = (done.stderr + done.stdout).strip()
        if done.returncode != 0:
            lines = [line for line in output.splitlines() if "rror" in line or "FATAL" in line] or output.splitlines()
            raise CloudError(f"{program}: {lines[-1] if lines else f'ended with {done.returncode}'}")
        return output

    def _configure(self) -> None:
        """Write the configuration. Called at each start, as the address may change."""
        settings = SETTINGS.format(address=self.address, port=self.port, folder=self.inside)
        for file, text in (("postgresql.conf", settings), ("pg_hba.conf", ACCESS)):
            (self.folder / "data" / file).write_text(text)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Shut the server down as RDS does: open transactions are rolled back, all data is written to disk."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    if process.poll() is None:
        process.kill()  # the kernel then kills the server in its PID namespace
    process.wait()


def kill_servers(databases: Path) -> list[str]:
    """Kill servers that still run below this folder after a crash of the cloud. Return the actions."""
    data_folders = [(path.stat().st_dev, path.stat().st_ino) for path in databases.glob("*/data")]
    actions = []
    for entry in Path("/proc").iterdir():
        if data_folders and entry.name.isdecimal():
            with contextlib.suppress(OSError):
                current = (entry / "cwd").stat()
                if (current.st_dev, current.st_ino) in data_folders:
                    os.kill(int(entry.name), signal.SIGKILL)
                    actions.append(f"ended the database process {entry.name}")
    return actions


def role_statements(major: int, master: str, password: str, database: str | None) -> list[str]:
    """Return the statements that create RDS's roles, one per line.
    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.PostgreSQL.CommonDBATasks.Roles.rds_superuser.html"""
    roles = ["pg_monitor", "pg_signal_backend", *(["pg_checkpoint"] if major >= 15 else [])]
    user, secret = quote_identifier(master), quote_literal(password)
    statements = [
        "CREATE ROLE rds_superuser NOLOGIN",
        f"GRANT {', '.join(roles)} TO rds_superuser WITH ADMIN OPTION",
        f"CREATE ROLE {user} LOGIN CREATEDB CREATEROLE PASSWORD {secret} IN ROLE rds_superuser",
        f"CREATE DATABASE {ADMIN}",
        f"REVOKE CONNECT ON DATABASE {ADMIN} FROM PUBLIC",
        f"ALTER DATABASE postgres OWNER TO {user}",
    ]
    if database and database != "postgres":
        statements.append(f"CREATE DATABASE {quote_identifier(database)} OWNER {user}")
    return statements


def quote_identifier(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
