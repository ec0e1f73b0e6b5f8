#!/usr/bin/env python3
"""Compare a full bake with an app-only bake, and each layer with a plain `packer build` of the same folder.

Uses a temporary state folder: python benchmarks/bake.py (several minutes)
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
    process = subprocess.run(argv, cwd=cwd, env=env, text=True, capture_output=True)
    seconds = time.perf_counter() - begin
    if process.returncode:
        sys.exit(f"{argv} failed:\n{process.stdout[-2000:]}{process.stderr[-4000:]}")
    return seconds, process.stdout


def plain_build(folder: Path, copy: Path, layer: str, env: dict[str, str], group: str) -> float:
    """Return the seconds of a plain `packer build` of a run's folder, with its own AMI name and key."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("packer-manifest.json", "report", "*.log"))
    (copy / "ssh_key.pub").unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ssh_key"], cwd=copy, check=True)
    name = f"-var=ami_name=plain-{layer}-{time.monotonic_ns()}"
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
        run(["./invoke", "local.up"], tree, env)  # the first start builds the base image
        bake(tree, env)  # fills the caches
        cloud = json.loads(run([".venv/bin/python", "-m", "localcloud", "status", "--json"], tree, env)[1])
        env |= {"AWS_ENDPOINT_URL": cloud["endpoint"], "AWS_DEFAULT_REGION": cloud["region"]}
        env |= {"AWS_ACCESS_KEY_ID": cloud["access_key"], "AWS_SECRET_ACCESS_KEY": cloud["secret_key"]}
        compare(tree, scratch, env)
    finally:
        subprocess.run(["./invoke", "local.reset", "--yes"], cwd=tree, env=env, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(scratch, ignore_errors=True)


def bake(tree: Path, env: dict[str, str], *more: str) -> tuple[float, dict[str, Any]]:
    seconds, output = run(["./invoke", "bake", "--json", *more], tree, env)
    return seconds, json.loads(output)


def bake_app(tree: Path, env: dict[str, str]) -> tuple[float, dict[str, Any]]:
    """Bake after a change of the application alone."""
    (tree / "examples/guestbook/changed.txt").write_text(f"{time.monotonic_ns()}\n")
    return bake(tree, env)


def compare(tree: Path, scratch: Path, env: dict[str, str]) -> None:
    """Alternate bakes and plain builds of their folders, so that caches and load affect both alike."""
    group = open_group(tree, env)
    whole: dict[str, list[float]] = {"app": [], "both layers": []}
    goldenami: dict[str, list[float]] = {"app": [], "both layers": []}
    plain: dict[str, list[float]] = {"app": [], "both layers": []}
    inside: dict[str, list[float]] = {"app": [], "both layers": []}
    for number in range(ROUNDS):
        for kind, run_bake in (
            ("app", lambda: bake_app(tree, env)),
            ("both layers", lambda: bake(tree, env, "--fresh")),
        ):
            seconds, result = run_bake()
            phases = result["phases_seconds"]
            gate = sum(s for name, s in phases.items() if name.startswith("verify"))
            packer = sum(s for name, s in phases.items() if name.endswith("with Packer"))
            layers = ["app"] if kind == "app" else ["base", "app"]
            alone = sum(
                plain_build(Path(result["folder"]) / layer, scratch / f"{kind}-{layer}-{number}", layer, env, group)
                for layer in layers
            )
            whole[kind].append(seconds)
            goldenami[kind].append(seconds - gate)
            inside[kind].append(packer)
            plain[kind].append(alone)
    app, full = statistics.median(whole["app"]), statistics.median(whole["both layers"])
    print(f"full bake {full:.1f} s, app-only bake {app:.1f} s: ratio {app / full:.3f} (at most 0.333)", flush=True)
    for kind, durations in goldenami.items():
        median, alone = statistics.median(durations), statistics.median(plain[kind])
        print(
            f"{kind}: goldenami {median:.1f} s without the second gate ({statistics.median(inside[kind]):.1f} s in Packer),"
            f" plain packer build {alone:.1f} s: ratio {median / alone:.3f}",
            flush=True,
        )


def open_group(tree: Path, env: dict[str, str]) -> str:
    """Create a security group that allows SSH, and return its id."""
    code = (
        "import boto3; e = boto3.client('ec2'); g = e.create_security_group(GroupName='bench', Description='bench')['GroupId'];"
        "e.authorize_security_group_ingress(GroupId=g, IpProtocol='tcp', FromPort=22, ToPort=22, CidrIp='127.0.0.0/8'); print(g)"
    )
    return run([".venv/bin/python", "-c", code], tree, env)[1].strip()


if __name__ == "__main__":
    main()
