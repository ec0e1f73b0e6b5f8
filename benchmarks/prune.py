#!/usr/bin/env python3
"""Prune on a grown account, beside Cloud Custodian's policy for old AMIs on the same one.

The account (tests/goldenami/grown.py) is in memory and answers at botocore's wire, page by page as AWS does, so that what is
measured is what each of them asks for and does, without the network's time. Cloud Custodian is installed from PyPI into an
environment of its own.

    python benchmarks/prune.py [--images 10000 --snapshots 40000 --templates 300 --versions 50]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CUSTODIAN = "c7n==0.9.53"
# What its documentation gives for old AMIs that nothing uses: https://cloudcustodian.io/docs/aws/resources/ami.html
POLICY = """
policies:
  - name: old-images
    resource: aws.ami
    filters:
      - "tag:goldenami:image": guestbook
      - type: image-age
        days: 60
        op: ge
      - DeregistrationProtection: absent    # it ends at the first image that EC2 protects
      - type: unused
        value: true
    actions:
      - type: deregister
        delete-snapshots: true
"""
# What Cloud Custodian asks besides; the account's instances have no tags.
OWNER = "123456789012"
ASIDE: dict[str, dict[str, Any]] = {
    "DescribeTags": {"Tags": []},
    "GetCallerIdentity": {"Account": OWNER, "Arn": f"arn:aws:iam::{OWNER}:user/x", "UserId": "x"},
}


def account(asked: argparse.Namespace, wrong: list[str]) -> Any:
    from tests.support.large_account import START
    from tests.support.large_account_growth import grow_account

    facts = {"DeprecationTime": f"{START - timedelta(days=50):%Y-%m-%dT%H:%M:%S.000Z}"}
    return grow_account(
        asked.images, asked.snapshots, asked.templates, asked.versions, each_way=20, deprecated=facts, wrong=wrong
    )


def figures(estate: Any, wrong: list[str], seconds: float, before: int) -> dict[str, Any]:
    """What there is to say. Memory: the peak of the process over what it held once the account was there, in KiB."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "seconds": round(seconds, 1),
        "memory_mib": round(held / 1024),
        "calls": sum(estate.calls.values()),
        "by_call": dict(estate.calls.most_common()),
        "deregistered": len(estate.gone),
        "wrongly": len(wrong),
        "of_which": dict(Counter(estate.needed[one].partition(" of lt-")[0] for one in wrong).most_common()),
    }


def ours(asked: argparse.Namespace) -> dict[str, Any]:
    from goldenami.context import Shop
    from goldenami.images import prune
    from goldenami.recipe.parse import parse
    from goldenami.tools.progress import Progress
    from tests.support import recipes
    from tests.support.clock import ScriptedClock
    from tests.support.large_account import START

    wrong: list[str] = []
    estate = account(asked, wrong)
    keep = {"verified": 5, "months": 6, "rollbacks": 3, "minimum_age_days": 60, "per_run": asked.deletes}
    recipe = parse(recipes.text({f"retention.{name}": value for name, value in keep.items()}), ROOT / "golden.toml")
    clock = ScriptedClock(START)
    with tempfile.TemporaryDirectory() as folder:
        ctx = Shop(Path(folder), recipe, recipe.target("local"), estate.aws, clock, Progress(clock, io.StringIO()))
        for service in ("ec2", "autoscaling", "ssm"):
            ctx.aws.client(service)  # type: ignore[call-overload]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        prune.prune(ctx, plan_only=True)
        planned, calls = time.monotonic() - start, sum(estate.calls.values())
        prune.prune(ctx)
    found = figures(estate, wrong, time.monotonic() - start - planned, before)
    return {"plan_seconds": round(planned, 1), "plan_calls": calls, **found, "calls": found["calls"] - calls}


def custodian(asked: argparse.Namespace) -> dict[str, Any]:
    """Runs in Cloud Custodian's own environment."""
    import botocore.client
    import botocore.exceptions
    from c7n.cli import main

    from tests.support.large_account import Refused

    wrong: list[str] = []
    estate = account(asked, wrong)

    def call(_: Any, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        if name in ASIDE:
            return {**ASIDE[name], "ResponseMetadata": {}}
        try:
            answer: dict[str, Any] = estate.call(name, given)
        except Refused as refusal:
            raise botocore.exceptions.ClientError({"Error": {"Code": str(refusal), "Message": "no"}}, name) from None
        for image in answer.get("Images", []):
            image["OwnerId"] = OWNER
        return {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}

    botocore.client.BaseClient._make_api_call = call
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "policy.yml"
        policy.write_text(POLICY)
        options = [
            "--region",
            "ap-northeast-2",
            "--output-dir",
            folder,
            "--cache-period",
            "0",
        ]
        sys.argv = ["custodian", "run", *options, str(policy)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        main()
    return figures(estate, wrong, time.monotonic() - start, before)


def environment() -> Path:
    """Cloud Custodian's own environment, made once."""
    folder = Path.home() / ".cache/goldenami/benchmarks" / CUSTODIAN.replace("==", "-")
    python = folder / "bin/python"
    if not (folder / "ready").exists():
        print(f"installing {CUSTODIAN} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", CUSTODIAN], check=True)
        (folder / "ready").touch()
    return python


def side(python: Path, name: str, given: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [str(python), __file__, "--side", name, *given], text=True, stdout=subprocess.PIPE, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, size in {"images": 10_000, "snapshots": 40_000, "templates": 300, "versions": 50, "deletes": 100}.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--side", choices=["ours", "custodian"])
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(ours(asked) if asked.side == "ours" else custodian(asked)))
        return
    given = sys.argv[1:]
    mine = side(Path(sys.executable), "ours", given)
    theirs = side(environment(), "custodian", given)
    print(
        f"{asked.images} images, {asked.snapshots} snapshots, {asked.templates} templates x {asked.versions} versions"
    )
    for name, found in (("goldenami", mine), ("Cloud Custodian", theirs)):
        print(f"\n{name}")
        for key, value in found.items():
            print(f"  {key:14} {value}")
    sys.exit(1 if mine["wrongly"] else 0)


if __name__ == "__main__":
    main()
