#!/usr/bin/env python3
"""Compare a promotion with a plain boot of its image; measure rollbacks and, with the data on the instance, the longest time
without answers and without writes; count the calls to AWS.

Uses a temporary state folder: python benchmarks/promote.py (several minutes)
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e import workspace  # noqa: E402
from tests.e2e.reader import Reader  # noqa: E402
from tests.e2e.relay import Relay  # noqa: E402
from tests.e2e.service import FAST_SETTINGS, Service  # noqa: E402
from tests.e2e.writer import Writer  # noqa: E402

ROUNDS = 5
MAX_RATIO, MAX_ROLLBACK_SECONDS, MAX_WRITES = 1.3, 10.0, 16
MAX_READS, MAX_READS_PER_SECOND = 40, 4
MAX_SECONDS_WITHOUT_ANSWER = 2.0
HEALTHY, FAILED = "healthy after", "not healthy after"  # parts of the lines that `promote` prints


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}:8080/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def plain_boot(service: Service, image: str) -> float:
    """Return the seconds from RunInstances until an instance from the group's template is healthy.

    As for a new instance of a promotion: it responds, and the load balancer reports it healthy.
    """
    ec2, elbv2 = service.client("ec2"), service.client("elbv2")
    targets = elbv2.describe_target_groups(Names=["guestbook-tg"])["TargetGroups"][0]["TargetGroupArn"]
    template = {"LaunchTemplateName": "guestbook-template", "Version": "$Default"}
    begin = time.monotonic()
    launched = ec2.run_instances(LaunchTemplate=template, ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]
    machine = launched["InstanceId"]
    registered = False
    while True:
        instance = ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
        if instance["State"]["Name"] == "running" and not registered:
            elbv2.register_targets(TargetGroupArn=targets, Targets=[{"Id": machine}])
            registered = True
        if registered and answers(instance["PublicIpAddress"]):
            response = elbv2.describe_target_health(TargetGroupArn=targets, Targets=[{"Id": machine}])
            if response["TargetHealthDescriptions"][0]["TargetHealth"]["State"] == "healthy":
                break
        time.sleep(0.1)
    seconds = time.monotonic() - begin
    elbv2.deregister_targets(TargetGroupArn=targets, Targets=[{"Id": machine}])
    ec2.terminate_instances(InstanceIds=[machine])
    return seconds


def promote(service: Service, image: str, *more: str) -> tuple[dict[str, float], float, int]:
    """Return the time of the first line with each marker, the duration of the command (seconds), and its exit code."""
    begin = time.monotonic()
    times: dict[str, float] = {}
    argv = ["./invoke", "promote", "--ami", image, *more]
    with subprocess.Popen(
        argv,
        cwd=service.ctx.root,
        env=service.ctx.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            for marker in (HEALTHY, FAILED):
                if marker in line:
                    times.setdefault(marker, time.monotonic() - begin)
    return times, time.monotonic() - begin, process.returncode


def main() -> None:
    scratch = Path(tempfile.mkdtemp(prefix="goldenami-bench-"))
    ctx = checkout(scratch, "tree")
    workspace.use_tiny_app(ctx, "bench")
    good = True
    try:
        service = create_fleet(ctx)
        info = ctx.cloud()
        with Relay(info["endpoint"], (info["access_key"], info["secret_key"])) as relay:
            ctx.edit("golden.toml", "[targets.local]", f'[targets.local]\nendpoint_url = "{relay.endpoint}"')
            ctx.env |= {"AWS_ACCESS_KEY_ID": info["access_key"], "AWS_SECRET_ACCESS_KEY": info["secret_key"]}
            good &= measure_boot(service, relay)
            good &= measure_rollback(service)
            ctx.ok("local.reset", "--yes")
        good &= measure_gaps(create_fleet(checkout(scratch, "instance")))
    finally:
        ctx.invoke("local.reset", "--yes")
        shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(0 if good else 1)


def checkout(scratch: Path, name: str) -> workspace.Workspace:
    """Return a checkout with short timeouts; all of them use the same cloud."""
    ctx = workspace.Workspace(workspace.checkout(scratch / name), scratch / "state")
    for old, new in FAST_SETTINGS.items():
        ctx.edit("golden.toml", old, new)
    return ctx


def create_fleet(ctx: workspace.Workspace) -> Service:
    """Bake an image and create a fleet from it."""
    image = ctx.ok("bake").strip()
    return Service(ctx, image, ctx.ok("fleet.create", "--ami", image).strip().removeprefix("http://"))


def measure_boot(service: Service, relay: Relay) -> bool:
    """Alternate promotions and plain boots, so that load affects both."""
    boots, promotions, within_limits = [], [], True
    for _ in range(ROUNDS):
        image = service.image("healthy")
        boots.append(plain_boot(service, image))
        relay.calls.clear()
        relay.looks.clear()
        times, seconds, code = promote(service, image)
        assert code == 0, code
        promotions.append(times[HEALTHY])
        max_reads = MAX_READS + MAX_READS_PER_SECOND * seconds
        within_limits &= len(relay.calls) <= MAX_WRITES and len(relay.looks) <= max_reads
        print(f"promotion of {seconds:.0f} s: {len(relay.calls)} writing calls, {len(relay.looks)} reading calls")
    ratio = statistics.median(promotions) / statistics.median(boots)
    print(
        f"promote to first new instance healthy {statistics.median(promotions):.1f} s,"
        f" plain boot {statistics.median(boots):.1f} s: ratio {ratio:.2f} (at most {MAX_RATIO})"
    )
    return within_limits and ratio <= MAX_RATIO


def measure_rollback(service: Service) -> bool:
    """Measure from the failed health gate to the refresh's rollback, and from `rollback` to its own refresh."""
    image = service.image("health 503")
    begin = datetime.now().astimezone()
    times, _, code = promote(service, image, "--watch", "5s")
    assert code == 5, code
    rollback_start = service.refreshes()[0]["RollbackDetails"]["RollbackStartTime"]
    automatic = (rollback_start - begin).total_seconds() - times[FAILED]
    begin = datetime.now().astimezone()
    service.ctx.ok("rollback")
    rollback = (service.refreshes()[0]["StartTime"] - begin).total_seconds()
    print(
        f"failed gate to rollback {automatic:.1f} s; `rollback` to its refresh {rollback:.1f} s"
        f" (at most {MAX_ROLLBACK_SECONDS:.0f})"
    )
    return max(automatic, rollback) <= MAX_ROLLBACK_SECONDS


def measure_gaps(service: Service) -> bool:
    """Measure a promotion and a rollback under writers and a reader, with the data on the instance."""
    image, within_limits = service.image("healthy"), True
    for command in (("promote", "--ami", image), ("rollback",)):
        with Writer(service.address) as writer, Reader(service.address) as reader:
            service.ctx.ok(*command)
        writer.check()
        within_limits &= reader.longest <= MAX_SECONDS_WITHOUT_ANSWER and not reader.backwards
        print(
            f"{command[0]} with the data on the instance: longest time without an answer {reader.longest:.1f} s"
            f" (at most {MAX_SECONDS_WITHOUT_ANSWER:.0f}), without a write {writer.longest:.1f} s"
        )
    return within_limits


if __name__ == "__main__":
    main()
