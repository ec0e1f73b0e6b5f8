#!/usr/bin/env python3
"""Compare `prune` on a large account with Cloud Custodian's policy for old AMIs on the same account.

The account (tests/support/large_account_growth.py) is in memory and responds below botocore, page by page as AWS does, so the
measurement covers the calls and the work of each, without network latency. Cloud Custodian is installed from PyPI into an
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
# Its documentation's policy for unused old AMIs: https://cloudcustodian.io/docs/aws/resources/ami.html
POLICY = """
policies:
  - name: old-images
    resource: aws.ami
    filters:
      - "tag:goldenami:image": guestbook
      - type: image-age
        days: 60
        op: ge
      - DeregistrationProtection: absent    # it stops at the first protected image
      - type: unused
        value: true
    actions:
      - type: deregister
        delete-snapshots: true
"""
# Additional calls of Cloud Custodian; the account's instances have no tags.
OWNER = "123456789012"
ASIDE: dict[str, dict[str, Any]] = {
    "DescribeTags": {"Tags": []},
    "GetCallerIdentity": {"Account": OWNER, "Arn": f"arn:aws:iam::{OWNER}:user/x", "UserId": "x"},
}


def account(arguments: argparse.Namespace, wrong: list[str]) -> Any:
    from tests.support.large_account import START
    from tests.support.large_account_growth import grow_account

    facts = {"DeprecationTime": f"{START - timedelta(days=50):%Y-%m-%dT%H:%M:%S.000Z}"}
    return grow_account(
        arguments.images,
        arguments.snapshots,
        arguments.templates,
        arguments.versions,
        each_way=20,
        deprecated=facts,
        wrong=wrong,
    )


def figures(estate: Any, wrong: list[str], seconds: float, before: int) -> dict[str, Any]:
    """Return the measurements. Memory is the peak of the process above its memory with the account loaded, in MiB."""
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


def measure_goldenami(arguments: argparse.Namespace) -> dict[str, Any]:
    from goldenami.context import Context
    from goldenami.images import prune
    from goldenami.recipe.parse import parse
    from goldenami.tools.progress import Progress
    from tests.support import recipes
    from tests.support.clock import ScriptedClock
    from tests.support.large_account import START

    wrong: list[str] = []
    estate = account(arguments, wrong)
    keep = {"verified": 5, "months": 6, "rollbacks": 3, "minimum_age_days": 60, "max_per_run": arguments.deletes}
    recipe = parse(recipes.text({f"retention.{name}": value for name, value in keep.items()}), ROOT / "golden.toml")
    clock = ScriptedClock(START)
    with tempfile.TemporaryDirectory() as folder:
        ctx = Context(Path(folder), recipe, recipe.target("local"), estate.aws, clock, Progress(clock, io.StringIO()))
        for service in ("ec2", "autoscaling", "ssm"):
            ctx.aws.client(service)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        prune.prune(ctx, plan_only=True)
        planned, calls = time.monotonic() - start, sum(estate.calls.values())
        prune.prune(ctx)
    results = figures(estate, wrong, time.monotonic() - start - planned, before)
    return {"plan_seconds": round(planned, 1), "plan_calls": calls, **results, "calls": results["calls"] - calls}


def measure_custodian(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure Cloud Custodian; runs in its own environment."""
    import botocore.client
    import botocore.exceptions
    from c7n.cli import main

    from tests.support.large_account import Refused

    wrong: list[str] = []
    estate = account(arguments, wrong)

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
        options = ["--region", "ap-northeast-2", "--output-dir", folder, "--cache-period", "0"]
        sys.argv = ["custodian", "run", *options, str(policy)]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.monotonic()
        main()
    return figures(estate, wrong, time.monotonic() - start, before)


def environment() -> Path:
    """Return the Python of Cloud Custodian's environment, which is created once."""
    folder = Path.home() / ".cache/goldenami/benchmarks" / CUSTODIAN.replace("==", "-")
    python = folder / "bin/python"
    if not (folder / "ready").exists():
        print(f"installing {CUSTODIAN} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", CUSTODIAN], check=True)
        (folder / "ready").touch()
    return python


def side(python: Path, name: str, argv: list[str]) -> dict[str, Any]:
    process = subprocess.run(
        [str(python), __file__, "--side", name, *argv], text=True, stdout=subprocess.PIPE, check=True
    )
    results: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, size in {"images": 10_000, "snapshots": 40_000, "templates": 300, "versions": 50, "deletes": 100}.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--side", choices=["goldenami", "custodian"])
    arguments = parser.parse_args()
    if arguments.side:
        measure = {"goldenami": measure_goldenami, "custodian": measure_custodian}[arguments.side]
        print(json.dumps(measure(arguments)))
        return
    argv = sys.argv[1:]
    goldenami = side(Path(sys.executable), "goldenami", argv)
    custodian = side(environment(), "custodian", argv)
    print(f"{arguments.images} images, {arguments.snapshots} snapshots,")
    print(f"{arguments.templates} templates x {arguments.versions} versions")
    for name, results in (("goldenami", goldenami), ("Cloud Custodian", custodian)):
        print(f"\n{name}")
        for key, value in results.items():
            print(f"  {key:14} {value}")
    sys.exit(1 if goldenami["wrongly"] else 0)


if __name__ == "__main__":
    main()
