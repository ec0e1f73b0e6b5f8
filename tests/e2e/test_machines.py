"""Single instances: deployment without a group, update in place, logs, console, termination."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import workspace
from tests.e2e.service import FAST_SETTINGS, Service
from tests.e2e.test_whole_bake import get
from tests.e2e.workspace import Workspace

pytestmark = pytest.mark.fleet

VARIANTS = {
    "v2.0": ('fmt.Fprintln(w, "ok")', 'fmt.Fprintln(w, "two")'),
    "v3.0": ('fmt.Fprintln(w, "two")', "undeclared()"),
    "v4.0": ("undeclared()", 'http.Error(w, "no", 503); fmt.Print()'),
}


def git(folder: Path, *args: str) -> str:
    argv = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.com", *args]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def repository(ctx: Workspace, baked: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Git repository of the tiny application that instances can reach, with versions that fail to build or are unhealthy."""
    folder = tmp_path_factory.mktemp("git") / "app"
    folder.mkdir()
    shutil.copy(workspace.ROOT / "tests/e2e/tiny/main.go", folder)
    for name in workspace.DEPENDENCIES:
        shutil.copy(workspace.ROOT / "examples/guestbook" / name, folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for tag, change in {"v1.0": ("", ""), **VARIANTS}.items():
        text = (folder / "main.go").read_text()
        assert change[0] in text
        (folder / "main.go").write_text(text.replace(*change))
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", tag)
        git(folder, "tag", tag)
    git(folder, "reset", "--quiet", "--hard", "v1.0")
    # An address of the cloud's loopback range, which instances can reach.
    address = f"{ctx.cloud()['range'].rpartition('.')[0]}.250"
    with socket.socket() as free:
        free.bind((address, 0))
        port = free.getsockname()[1]
    daemon = subprocess.Popen(
        [
            "git",
            "daemon",
            "--export-all",
            f"--base-path={folder.parent}",
            f"--listen={address}",
            f"--port={port}",
            "--reuseaddr",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"git://{address}:{port}/app/.git"
    daemon.terminate()
    daemon.wait()


@pytest.fixture(scope="module")
def alone(ctx: Workspace, baked: str, repository: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Service of one instance without Auto Scaling group and load balancer, built from git."""
    other = workspace.copy_checkout(ctx, tmp_path_factory.mktemp("alone") / "tiny")
    workspace.use_tiny_app(other, "alone")
    for old, new in FAST_SETTINGS.items():
        other.edit("golden.toml", old, new)
    other.edit("golden.toml", 'source = "tests/e2e/tiny"', f'source = "{repository}"\nref = "v1.0"')
    good = other.ok("bake").strip()
    machine = other.ok("deploy", "--ami", good).strip()
    assert machine.startswith("i-")
    found = Service(other, good, "")
    yield found
    for left in machines(other):
        other.ok("terminate", "--instance", left["id"], "--force")
    other.ok("fleet.destroy", "--yes")
    found.clean_up()
    assert other.leftovers() == []


def machines(ctx: Workspace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ctx.ok("instances", "--json"))
    return found


def answer(machine: dict[str, Any]) -> str:
    return get(f"http://{machine['address']}:8080/health")[1].strip()


def test_deploy_replaces_the_instance(alone: Service) -> None:
    (before,) = machines(alone.ctx)
    assert (before["image"], answer(before), alone.production_ami()) == (alone.good, "ok", alone.good)
    image = alone.image("healthy")
    result = json.loads(alone.ctx.ok("deploy", "--ami", image, "--json"))
    (after,) = machines(alone.ctx)
    assert result["replaced"] == [before["id"]]
    assert (after["id"], after["image"], answer(after)) == (result["instance"], image, "ok")
    assert alone.production_ami() == image


def test_failed_deploy_keeps_the_old_instance(alone: Service) -> None:
    before, pointer = machines(alone.ctx), alone.production_ami()
    done = alone.ctx.invoke("deploy", "--ami", alone.image("health 503"))
    assert done.returncode == 5
    assert "The previous instance is in service" in done.stderr
    assert (machines(alone.ctx), alone.production_ami()) == (before, pointer)


def test_only_instance_is_not_terminated_by_mistake(alone: Service) -> None:
    (machine,) = machines(alone.ctx)
    done = alone.ctx.invoke("terminate", "--instance", machine["id"])
    assert done.returncode == 5
    assert "last instance in service" in done.stderr


def test_logs_and_console(alone: Service) -> None:
    assert "Started" in alone.ctx.ok("logs", "--lines", "50")
    assert alone.ctx.ok("console").strip()


def test_update_in_place_rolls_back_on_failure_and_marks_drift(alone: Service) -> None:
    ctx = alone.ctx
    ctx.ok("update", "--ref", "v2.0")
    (machine,) = machines(ctx)
    assert answer(machine) == "two"
    assert "v2.0" in machine["drifted"]
    for bad in ("v3.0", "v4.0", "v9.9"):
        done = ctx.invoke("update", "--ref", bad)
        assert done.returncode == 5, done.stderr
        assert "Rolled back to" in done.stderr
        (after,) = machines(ctx)
        assert (answer(after), after["drifted"]) == ("two", machine["drifted"])
    ctx.ok("update", "--ref", "v1.0")
    (machine,) = machines(ctx)
    assert answer(machine) == "ok"
