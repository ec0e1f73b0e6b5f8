#!/usr/bin/env python3
"""A full bake beside an app-only bake, and each of our layers beside a bare `packer build` of the same folder.

Uses a state folder of its own and removes it: python benchmarks/bake.py (several minutes)
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3


def run(argv: list[str], cwd: Path, env: dict[str, str]) -> tuple[float, str]:
    begin = time.perf_counter()
    done = subprocess.run(argv, cwd=cwd, env=env, text=True, capture_output=True)
    took = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{argv} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return took, done.stdout


def bare(folder: Path, copy: Path, layer: str, env: dict[str, str], group: str) -> float:
    """Seconds of a bare `packer build` of a run's folder, with a name and a key of its own."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("packer-manifest.json", "report", "*.log"))
    (copy / "ssh_key.pub").unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ssh_key"], cwd=copy, check=True)
    name = f"-var=ami_name=bare-{layer}-{time.monotonic_ns()}"
    return run(["packer", "build", name, f'-var=security_group_ids=["{group}"]', "."], copy, env)[0]


def main() -> None:
    scratch = Path(tempfile.mkdtemp(prefix="goldenami-bench-"))
    tree = scratch / "tree"
    env = {**os.environ, "GOLDENAMI_STATE": str(scratch / "state")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's Python keeps what it has compiled
    ignore = shutil.ignore_patterns(".git", "build", ".venv", "__pycache__")
    shutil.copytree(ROOT, tree, ignore=ignore)
    (tree / ".venv").symlink_to(ROOT / ".venv")
    try:
        run(["./invoke", "local.up"], tree, env)  # the first start may build the base image
        bake(tree, env)  # so that no first time is in what follows
        cloud = json.loads(run([".venv/bin/python", "-m", "localcloud", "status", "--json"], tree, env)[1])
        env |= {"AWS_ENDPOINT_URL": cloud["endpoint"], "AWS_DEFAULT_REGION": cloud["region"]}
        env |= {"AWS_ACCESS_KEY_ID": cloud["access_key"], "AWS_SECRET_ACCESS_KEY": cloud["secret_key"]}
        beside(tree, scratch, env)
    finally:
        subprocess.run(["./invoke", "local.reset", "--yes"], cwd=tree, env=env, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(scratch, ignore_errors=True)


def bake(tree: Path, env: dict[str, str], *more: str) -> tuple[float, dict[str, Any]]:
    took, printed = run(["./invoke", "bake", "--json", *more], tree, env)
    return took, json.loads(printed)


def change(tree: Path, env: dict[str, str]) -> tuple[float, dict[str, Any]]:
    """A bake after a change of the application alone."""
    (tree / "examples/guestbook/changed.txt").write_text(f"{time.monotonic_ns()}\n")
    return bake(tree, env)


def beside(tree: Path, scratch: Path, env: dict[str, str]) -> None:
    """Our bakes and bare builds of their folders in turn, so that caches and noisy moments serve both alike."""
    group = open_group(tree, env)
    whole: dict[str, list[float]] = {"app": [], "both layers": []}
    ours: dict[str, list[float]] = {"app": [], "both layers": []}
    plain: dict[str, list[float]] = {"app": [], "both layers": []}
    inside: dict[str, list[float]] = {"app": [], "both layers": []}
    for number in range(ROUNDS):
        for what, bakes in (("app", lambda: change(tree, env)), ("both layers", lambda: bake(tree, env, "--fresh"))):
            took, told = bakes()
            phases = told["phases_seconds"]
            gate = sum(s for name, s in phases.items() if name.startswith("verify"))
            packer = sum(s for name, s in phases.items() if name.endswith("with Packer"))
            layers = ["app"] if what == "app" else ["base", "app"]
            alone = sum(
                bare(Path(told["folder"]) / one, scratch / f"{what}-{one}-{number}", one, env, group) for one in layers
            )
            whole[what].append(took)
            ours[what].append(took - gate)
            inside[what].append(packer)
            plain[what].append(alone)
    app, full = statistics.median(whole["app"]), statistics.median(whole["both layers"])
    print(f"full bake {full:.1f} s, app-only bake {app:.1f} s: ratio {app / full:.3f} (at most 0.333)", flush=True)
    for what, seconds in ours.items():
        mine, alone = statistics.median(seconds), statistics.median(plain[what])
        print(
            f"{what}: ours {mine:.1f} s without the boot gate ({statistics.median(inside[what]):.1f} s of it in Packer),"
            f" bare {alone:.1f} s: {mine / alone:.3f}",
            flush=True,
        )


def open_group(tree: Path, env: dict[str, str]) -> str:
    """A security group that lets SSH in, made through the API."""
    code = (
        "import boto3; e = boto3.client('ec2'); g = e.create_security_group(GroupName='bench', Description='bench')['GroupId'];"
        "e.authorize_security_group_ingress(GroupId=g, IpProtocol='tcp', FromPort=22, ToPort=22, CidrIp='127.0.0.0/8'); print(g)"
    )
    return run([".venv/bin/python", "-c", code], tree, env)[1].strip()


if __name__ == "__main__":
    main()
