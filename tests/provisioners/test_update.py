"""Tests of the update script: the release step runs between the build and the restart, and a failure restores the code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from goldenami.fleet.update import update_script
from tests.support.recipes import recipe


class Host:
    """An instance with a checkout of the application, and fakes for what needs root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.tools, self.bin, self.app = folder / "tools", folder / "bin", folder / "app"
        for path in (self.tools, self.bin, folder / "origin"):
            path.mkdir()
        self.program(self.bin / "runuser", 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"')
        self.program(
            self.bin / "systemctl",
            f'echo "systemctl $*" >>{self.calls}\n[[ $1 != show ]] || echo "DB_NAME=book APP_MIGRATIONS=m"',
        )
        self.program(self.bin / "curl", f"[[ ! -e {folder}/unhealthy || ! -e {self.app}/new ]]")
        self.program(self.bin / "install", 'mkdir -p "${@: -1}"')
        self.program(self.bin / "sleep", "")
        self.git("origin", "init", "-q", "-b", "main")
        self.commit("old")
        subprocess.run(["git", "clone", "-q", str(folder / "origin"), str(self.app)], check=True)

    def program(self, path: Path, script: str) -> None:
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def git(self, folder: str, *arguments: str) -> str:
        argv = [
            "git",
            "-C",
            str(self.folder / folder),
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.com",
            *arguments,
        ]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, name: str) -> str:
        (self.folder / "origin" / name).touch()
        self.git("origin", "add", ".")
        self.git("origin", "commit", "-qm", name)
        return self.git("origin", "rev-parse", "HEAD")

    def release(self, script: str) -> None:
        self.program(self.tools / "release", f'echo "release $* $DB_NAME" >>{self.calls}\n{script}')

    def update(self) -> subprocess.CompletedProcess[str]:
        git = {"app.source": "https://example.com/app.git", "app.build": f"echo build >>{self.calls}"}
        script = update_script(recipe(git), "ap-northeast-2", "main")
        script = script.replace("directory=/opt/guestbook", f"directory={self.app}").replace(
            "/var/tmp/golden-update", f"{self.folder}/cache"
        )
        script = script.replace("export PATH=", f"export PATH={self.bin}:", 1).replace("SECONDS + 60", "SECONDS + 1")
        environment = {
            "GOLDENAMI_TOOLS": str(self.tools),
            "GOLDENAMI_RUN": str(self.folder / "run"),
            "GOLDENAMI_ETC": str(self.folder / "etc"),
        }
        return subprocess.run(
            ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    @property
    def recorded(self) -> str:
        return (self.folder / "etc/systemd/system/guestbook.service.d/goldenami-commit.conf").read_text()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_release_step_runs_before_the_restart_and_the_commit_is_recorded(host: Host) -> None:
    host.release("""echo '{"applied":[{"name":"002_x.sql","seconds":1,"locks":[]}]}'""")
    commit = host.commit("new")
    done = host.update()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(f" {commit}")
    calls = host.calls.read_text().splitlines()
    assert calls.index("build") < calls.index("release apply book") < calls.index("systemctl restart guestbook.service")
    assert host.recorded == f'[Service]\nEnvironment="APP_COMMIT={commit}"\n'


def test_failing_release_step_restores_the_code_and_names_the_statement(host: Host) -> None:
    host.release(
        'echo "ERROR 002_x.sql, line 1: ERROR:  division by zero" >&2\n'
        'echo "STATE The database is as before 002_x.sql" >&2; exit 1'
    )
    old = host.git("app", "rev-parse", "HEAD")
    host.commit("new")
    done = host.update()
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "ERROR 002_x.sql, line 1: ERROR:  division by zero"
    assert lines[-1] == f"ROLLED_BACK {old}"
    assert "systemctl restart guestbook.service" not in host.calls.read_text()
    assert not (host.app / "new").exists()


def test_unhealthy_update_names_the_migrations_that_stay(host: Host) -> None:
    host.release("""echo '{"applied":[{"name":"002_x.sql","seconds":1,"locks":[]}]}'""")
    (host.folder / "unhealthy").touch()
    host.commit("new")
    done = host.update()
    assert done.returncode == 1
    assert "STATE Applied to the database and not reverted: 002_x.sql" in done.stderr
    assert host.git("app", "rev-parse", "HEAD") in host.recorded
