#!/usr/bin/env python3
"""A full bake beside an app-only bake, and each of our layers beside a bare `packer build` of the same folder.

Uses a state folder of its own and removes it: python benchmarks/bake.py (several minutes)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


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
    ignore = shutil.ignore_patterns(".git", "build", ".venv", "__pycache__")
    shutil.copytree(ROOT, tree, ignore=ignore)
    (tree / ".venv").symlink_to(ROOT / ".venv")
    try:
        run(["./invoke", "local.up"], tree, env)  # the first start may build the base image
        full, printed = run(["./invoke", "bake", "--json"], tree, env)
        whole = json.loads(printed)
        (tree / "examples/guestbook/changed.txt").write_text("changed\n")
        app, printed = run(["./invoke", "bake", "--json"], tree, env)
        again = json.loads(printed)
        gate = sum(s for name, s in again["phases_seconds"].items() if name.startswith("verify"))
        print(f"full bake {full:.1f} s, app-only bake {app:.1f} s: ratio {app / full:.2f} (at most 0.33)")
        print("phases of the full bake:", whole["phases_seconds"])
        cloud = json.loads(run([".venv/bin/python", "-m", "localcloud", "status", "--json"], tree, env)[1])
        access = {
            "AWS_ACCESS_KEY_ID": cloud["access_key"],
            "AWS_SECRET_ACCESS_KEY": cloud["secret_key"],
            "AWS_DEFAULT_REGION": cloud["region"],
            "AWS_ENDPOINT_URL": cloud["endpoint"],
        }
        group = open_group(tree, env | access)
        plain = bare(Path(again["folder"]) / "app", scratch / "bare-app", "app", env | access, group)
        print(f"app layer: ours {app - gate:.1f} s (gate not counted), bare {plain:.1f} s: {(app - gate) / plain:.3f}")
        base = float(whole["phases_seconds"]["bake base layer with Packer"])
        plain = bare(Path(whole["folder"]) / "base", scratch / "bare-base", "base", env | access, group)
        around = app - gate - float(again["phases_seconds"]["bake app layer with Packer"])
        ours = base + around
        print(
            f"base layer: ours {ours:.1f} s ({around:.1f} s of it around Packer), bare {plain:.1f} s: {ours / plain:.3f}"
        )
    finally:
        subprocess.run(["./invoke", "local.reset", "--yes"], cwd=tree, env=env, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(scratch, ignore_errors=True)


def open_group(tree: Path, env: dict[str, str]) -> str:
    """A security group that lets SSH in, made through the API."""
    code = (
        "import boto3; e = boto3.client('ec2'); g = e.create_security_group(GroupName='bench', Description='bench')['GroupId'];"
        "e.authorize_security_group_ingress(GroupId=g, IpProtocol='tcp', FromPort=22, ToPort=22, CidrIp='127.0.0.0/8'); print(g)"
    )
    return run([".venv/bin/python", "-c", code], tree, env)[1].strip()


if __name__ == "__main__":
    main()
