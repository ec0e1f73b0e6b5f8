"""Copies of the checkout and their local cloud."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from localcloud.state_dir import StateDir
from tests.e2e.relay import Relay

ROOT = Path(__file__).resolve().parents[2]
DEPENDENCIES = ("go.mod", "distro.mod")


@dataclass
class Workspace:
    """Copy of the checkout with a state folder."""

    root: Path
    state: Path
    env: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        own = {"GOLDENAMI_STATE": str(self.state), "GOLDENAMI_UNTIL": str(os.getpid()), "COLUMNS": "120"}
        return {**inherited, **own, **self.env}

    def invoke(self, *args: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run a task and wait until it has finished."""
        done = subprocess.run(
            ["./invoke", *args],
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def ok(self, *args: str, timeout: float = 900) -> str:
        """Run a task that must succeed and return its standard output."""
        done = self.invoke(*args, timeout=timeout)
        assert done.returncode == 0, f"{args}: exit code {done.returncode}\n{done.stderr[-6000:]}"
        return done.stdout

    @contextmanager
    def running(self, *args: str) -> Iterator[Running]:
        """Run a task in the background; it is killed when the block exits."""
        log = self.root / f"{'-'.join(args)}-{time.monotonic_ns()}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["./invoke", *args],
                cwd=self.root,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield Running(process, log)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text that must exist in the file."""
        file = self.root / path
        text = file.read_text()
        assert old in text, f"{path} does not hold {old!r}"
        file.write_text(text.replace(old, new))

    def cloud(self) -> dict[str, Any]:
        """Return the contents of the cloud, with its owner's access key."""
        found: dict[str, Any] = json.loads(self.ok("local.status", "--json"))
        return found | {"secret_key": StateDir(self.state).read_owner().secret_key}

    def client(self, service: str) -> Any:
        """Return a boto3 client of the workspace's cloud."""
        info = self.cloud()
        return boto3.client(
            service,
            region_name=info["region"],
            endpoint_url=info["endpoint"],
            aws_access_key_id=info["access_key"],
            aws_secret_access_key=info["secret_key"],
            config=Config(retries={"max_attempts": 2}),
        )

    def images(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ok("images", "--json"))
        return found

    def golden(self) -> list[dict[str, Any]]:
        """Return the golden AMIs, newest first."""
        return [image for image in self.images() if image["version"]]

    def golden_ids(self) -> set[str]:
        return {image["id"] for image in self.golden()}

    def launched(self) -> int:
        """Return the number of instances that were ever launched."""
        pages = self.client("ec2").get_paginator("describe_instances").paginate()
        return sum(len(r["Instances"]) for page in pages for r in page["Reservations"])

    def candidate(self) -> str:
        return str(self.client("ssm").get_parameter(Name="/goldenami/guestbook/candidate")["Parameter"]["Value"])

    def leftovers(self) -> list[str]:
        """Return resources in the cloud that a bake must not leave behind."""
        ec2 = self.client("ec2")
        found = [
            f"instance {i['InstanceId']} {i['State']['Name']}"
            for r in ec2.describe_instances()["Reservations"]
            for i in r["Instances"]
            if i["State"]["Name"] != "terminated"
        ]
        found += [f"volume {v['VolumeId']}" for v in ec2.describe_volumes()["Volumes"]]
        found += [f"key pair {k['KeyName']}" for k in ec2.describe_key_pairs()["KeyPairs"]]
        groups = ec2.describe_security_groups()["SecurityGroups"]
        found += [f"security group {g['GroupName']}" for g in groups if g["GroupName"] != "default"]
        images = ec2.describe_images(Owners=["self"])["Images"]
        used = {m["Ebs"]["SnapshotId"] for i in images for m in i["BlockDeviceMappings"] if "Ebs" in m}
        snapshots = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        return found + [f"snapshot {s['SnapshotId']}" for s in snapshots if s["SnapshotId"] not in used]

    def host_leftovers(self) -> list[str]:
        """Return mounts, loop devices and processes of the cloud on the host."""
        state = str(self.state)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if state in line]
        loops = [path for path in Path("/sys/block").glob("loop*/loop/backing_file") if state in path.read_text()]
        found = [f"mount {mount}" for mount in mounts] + [f"loop {loop.parts[3]}" for loop in loops]
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if state in line and "localcloud serve" not in line:
                found.append(f"process {folder.name}: {line[:100]}")
        return found


@dataclass
class Running:
    """A task that runs in the background."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for(self, text: str, timeout: float = 600) -> None:
        """Wait until the task has logged a text."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if text in self.log.read_text():
                return
            assert self.process.poll() is None, f"ended without logging {text!r}:\n{self.log.read_text()[-4000:]}"
            time.sleep(0.05)
        raise AssertionError(f"did not log {text!r} within {timeout} s:\n{self.log.read_text()[-4000:]}")

    def stop(self, number: signal.Signals, timeout: float = 300) -> int:
        """Send a signal and wait until the task has ended."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


def checkout(destination: Path) -> Path:
    """Copy the files that git tracks or would track, and link .venv."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, destination / name, follow_symlinks=False)
    (destination / ".venv").symlink_to(ROOT / ".venv")
    return destination


def copy_checkout(ctx: Workspace, destination: Path) -> Workspace:
    """Copy the checkout to another folder on the same cloud, without its runs."""
    shutil.copytree(ctx.root, destination, symlinks=True, ignore=shutil.ignore_patterns("build", "*.log"))
    return Workspace(destination, ctx.state)


def use_tiny_app(ctx: Workspace, who: str) -> None:
    """Change the recipe to an application that builds in a second; `who` makes its source unique."""
    ctx.edit("golden.toml", 'source = "examples/guestbook"', 'source = "tests/e2e/tiny"')
    ctx.edit("golden.toml", "go build -modfile=distro.mod -o guestbook ./cmd/server", "go build -o guestbook main.go")
    ctx.edit("golden.toml", 'schema = "schema.sql"\n', "")
    for name in DEPENDENCIES:  # as in the example, so that the base layer is reused
        shutil.copy(ctx.root / "examples/guestbook" / name, ctx.root / "tests/e2e/tiny" / name)
    # It stores no data, so the host is never contacted. A fleet of any size is possible and uses instance refreshes.
    ctx.edit("golden.toml", 'mode = "instance"', 'mode = "rds"\nhost_parameter = "/guestbook/production/db/host"')
    host = '[[parameters]]\nname = "/guestbook/production/db/host"\nvalue = "127.0.0.1"\n\n[instance]'
    ctx.edit("golden.toml", "[instance]", host)
    ctx.edit("golden.toml", "max = 1 ", "max = 5 ")
    (ctx.root / "tests/e2e/tiny/who.txt").write_text(who)


@contextmanager
def relayed_through(ctx: Workspace, destination: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Copy of a checkout whose API calls go through a relay."""
    info = ctx.cloud()
    with Relay(info["endpoint"], (info["access_key"], info["secret_key"])) as relay:
        other = copy_checkout(ctx, destination)
        other.edit("golden.toml", "[targets.local]", f'[targets.local]\nendpoint_url = "{relay.endpoint}"')
        other.env |= {"AWS_ACCESS_KEY_ID": info["access_key"], "AWS_SECRET_ACCESS_KEY": info["secret_key"]}
        other.env |= {"AWS_EC2_METADATA_DISABLED": "true"}
        yield other, relay
