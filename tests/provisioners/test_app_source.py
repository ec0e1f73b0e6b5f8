"""Tests of the application's source in the image: the exact commit of a repository, or the packed directory."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.provisioners.guest import Guest

ME = pwd.getpwuid(os.geteuid()).pw_name

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=main"]
    argv = ["git", *settings, "-C", str(folder), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for content in ("first", "second"):
        (folder / "file").write_text(content)
        git(folder, "add", "file")
        git(folder, "commit", "--quiet", "-m", content)
    return folder


@pytest.fixture
def app(guest: Guest) -> Path:
    """The install directory; runs without changing users."""
    guest.fake("runuser", 'while [[ $1 != -- ]]; do shift; done; shift; exec "$@"')
    folder = guest.folder / "app"
    folder.mkdir()
    return folder


def values(app: Path, **further: str) -> dict[str, str]:
    return {"APP_USER": ME, "APP_DIRECTORY": str(app), "APP_SOURCE": "git", **further}


def test_exact_commit_is_checked_out(guest: Guest, app: Path, repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD~1")
    settings = values(app, APP_REPOSITORY=f"file://{repository}", APP_COMMIT=commit)
    for _ in range(2):
        done = guest.run("app/20-source.sh", settings)
        assert done.returncode == 0, done.stderr
        assert (app / "file").read_text() == "first"
        assert git(app, "rev-parse", "HEAD") == commit
        # Leftovers of an interrupted run are deleted.
        (app / "file").write_text("changed")
        (app / "left").touch()


def test_history_stays_out_of_the_image(guest: Guest, app: Path, repository: Path) -> None:
    git(repository, "tag", "v1", "HEAD~1")
    commit = git(repository, "rev-parse", "HEAD")
    done = guest.run("app/20-source.sh", values(app, APP_REPOSITORY=f"file://{repository}", APP_COMMIT=commit))
    assert done.returncode == 0, done.stderr
    assert git(app, "rev-list", "--all", "HEAD") == commit


def test_missing_commit_is_an_error(guest: Guest, app: Path, repository: Path) -> None:
    guest.fake("sleep")
    settings = values(app, APP_REPOSITORY=f"file://{repository}", APP_COMMIT="0" * 40)
    assert guest.run("app/20-source.sh", settings).returncode != 0


def test_password_in_the_url_is_refused(guest: Guest, app: Path) -> None:
    done = guest.run("app/20-source.sh", values(app, APP_REPOSITORY="https://me:needle@example.com/x.git"))
    assert done.returncode == 1
    assert "contains a password" in done.stderr
    assert "needle" not in done.stderr + done.stdout


def test_directory_replaces_previous_contents(guest: Guest, app: Path) -> None:
    (app / "old").touch()
    source = guest.folder / "source"
    (source / "cmd").mkdir(parents=True)
    (source / "cmd/main.go").write_text("package main")
    with tarfile.open(guest.golden / "source.tar.gz", "w:gz") as archive:
        archive.add(source / "cmd", "cmd")
    done = guest.run("app/20-source.sh", values(app, APP_SOURCE="directory"))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in app.iterdir()) == ["cmd"]


def build(guest: Guest, app: Path, command: str, program: str) -> subprocess.CompletedProcess[str]:
    return guest.run("app/30-build.sh", values(app, APP_BUILD=command, APP_EXEC=program))


def test_build_command_is_run_verbatim(guest: Guest, app: Path) -> None:
    command = "x=\"it's $((1+1)) 비밀\"\nprintf '%s' \"$x\" >out\nprintf '#!/bin/sh' >app; chmod +x app"
    done = build(guest, app, command, f"-{app}/app --flag")
    assert done.returncode == 0, done.stderr
    assert (app / "out").read_text() == "it's 2 비밀"
    assert not guest.cache.exists()


def test_failing_line_stops_the_build(guest: Guest, app: Path) -> None:
    done = build(guest, app, "false\ntouch went-on", f"{app}/app")
    assert done.returncode == 1
    assert "the build command of the recipe failed with exit code 1" in done.stderr
    assert not (app / "went-on").exists()


def test_build_without_a_program_fails(guest: Guest, app: Path) -> None:
    done = build(guest, app, "true", f"{app}/missing")
    assert f"the build created no program at {app}/missing" in done.stderr


def depend(guest: Guest, app: Path, command: str) -> subprocess.CompletedProcess[str]:
    (guest.folder / "go.mod").write_text("module app")
    with tarfile.open(guest.golden / "dependencies.tar", "w") as archive:
        archive.add(guest.folder / "go.mod", "go.mod")
    return guest.run("base/70-dependencies.sh", values(app, APP_DEPENDENCIES=command))


def test_dependencies_are_compiled_from_their_files_and_cached_for_the_build(guest: Guest, app: Path) -> None:
    command = 'ls >"$HOME/seen"\nmkdir -p "$GOCACHE"; echo compiled >"$GOCACHE/lib"'
    done = depend(guest, app, command)
    assert done.returncode == 0, done.stderr
    assert (guest.cache / "seen").read_text() == "go.mod\n"
    done = build(guest, app, 'cp "$GOCACHE/lib" app; chmod +x app', f"{app}/app")
    assert done.returncode == 0, done.stderr
    assert (app / "app").read_text() == "compiled\n"
    assert not guest.cache.exists()


def test_failing_dependencies_stop_the_bake(guest: Guest, app: Path) -> None:
    done = depend(guest, app, "exit 3")
    assert done.returncode == 1
    assert "the command of [app.dependencies] failed with exit code 3" in done.stderr


def test_recipe_without_dependencies_compiles_none(guest: Guest, app: Path) -> None:
    done = guest.run("base/70-dependencies.sh", values(app, APP_DEPENDENCIES=""))
    assert (done.returncode, guest.cache.exists()) == (0, False)
