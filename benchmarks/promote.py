#!/usr/bin/env python3
"""A promotion beside the bare boot of its image; how soon a red gate turns it back; and what it asks of AWS.

Uses a state folder of its own and removes it: python benchmarks/promote.py (several minutes)
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
from tests.e2e.relay import Relay  # noqa: E402
from tests.e2e.service import (  # noqa: E402
    QUICK,
    Service,
)

ROUNDS = 3
BOOT, TURN, WRITES = 1.3, 10.0, 16  # at most: ratio, seconds, calls that change something
LOOKS = 40, 4  # at most so many calls that look, and so many more for each second


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}:8080/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def bare(service: Service, image: str) -> float:
    """Seconds from RunInstances until an instance, launched as the group launches its own and registered by hand, is healthy:
    it answers, and the balancer finds it well, as for a new instance of a promotion.
    """
    ec2, elbv2 = service.client("ec2"), service.client("elbv2")
    targets = elbv2.describe_target_groups(Names=["guestbook-tg"])["TargetGroups"][0]["TargetGroupArn"]
    template = {"LaunchTemplateName": "guestbook-template", "Version": "$Default"}
    begin = time.monotonic()
    launched = ec2.run_instances(LaunchTemplate=template, ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]
    machine = launched["InstanceId"]
    registered = False
    while True:
        found = ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
        if found["State"]["Name"] == "running" and not registered:
            elbv2.register_targets(TargetGroupArn=targets, Targets=[{"Id": machine}])
            registered = True
        if registered and answers(found["PublicIpAddress"]):
            told = elbv2.describe_target_health(TargetGroupArn=targets, Targets=[{"Id": machine}])
            if told["TargetHealthDescriptions"][0]["TargetHealth"]["State"] == "healthy":
                break
        time.sleep(0.1)
    took = time.monotonic() - begin
    elbv2.deregister_targets(TargetGroupArn=targets, Targets=[{"Id": machine}])
    ec2.terminate_instances(InstanceIds=[machine])
    return took


def promoted(service: Service, image: str, *more: str) -> tuple[dict[str, float], float, int]:
    """When each kind of line was said, in seconds since the command's start; its whole time; its exit code."""
    begin, said = time.monotonic(), {}
    argv = ["./invoke", "promote", "--ami", image, *more]
    with subprocess.Popen(
        argv,
        cwd=service.ctx.root,
        env=service.ctx.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as going:
        assert going.stderr is not None
        for line in going.stderr:
            for word in ("healthy after", "RED:"):
                if word in line:
                    said.setdefault(word, time.monotonic() - begin)
    return said, time.monotonic() - begin, going.returncode


def main() -> None:
    scratch = Path(tempfile.mkdtemp(prefix="goldenami-bench-"))
    ctx = workspace.Workspace(workspace.checkout(scratch / "tree"), scratch / "state")
    workspace.use_tiny_app(ctx, "bench")
    for old, new in QUICK.items():
        ctx.edit("golden.toml", old, new)
    good = True
    try:
        ctx.ok("bake")
        service = Service(ctx, "", ctx.ok("fleet.create").strip().removeprefix("http://"))
        service.good = service.pointer()
        info = ctx.cloud()
        with Relay(info["endpoint"]) as relay:
            ctx.edit("golden.toml", "[targets.local]", f'[targets.local]\nendpoint_url = "{relay.endpoint}"')
            ctx.env |= {"AWS_ACCESS_KEY_ID": info["access_key"], "AWS_SECRET_ACCESS_KEY": info["secret_key"]}
            good &= boots(service, relay)
            good &= turns(service)
    finally:
        ctx.invoke("local.reset", "--yes")
        shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(0 if good else 1)


def boots(service: Service, relay: Relay) -> bool:
    """Promotions and bare boots in turn, so that a noisy moment hits both."""
    plain, ours, fine = [], [], True
    for _ in range(ROUNDS):
        image = service.image("well")
        plain.append(bare(service, image))
        relay.calls.clear()
        relay.looks.clear()
        said, whole, code = promoted(service, image)
        assert code == 0, code
        ours.append(said["healthy after"])
        few = len(relay.calls) <= WRITES and len(relay.looks) <= LOOKS[0] + LOOKS[1] * whole
        fine &= few
        print(
            f"promotion of {whole:.0f} s: {len(relay.calls)} calls that change something, {len(relay.looks)} that look"
        )
    ratio = statistics.median(ours) / statistics.median(plain)
    print(
        f"promote to first new instance healthy {statistics.median(ours):.1f} s,"
        f" bare boot {statistics.median(plain):.1f} s: ratio {ratio:.2f} (at most {BOOT})"
    )
    return fine and ratio <= BOOT


def turns(service: Service) -> bool:
    """From the red gate to the refresh on its way back, and from `rollback` to its own refresh."""
    image = service.image("health 503")
    begin = datetime.now().astimezone()
    said, _, code = promoted(service, image, "--watch", "5s")
    assert code == 5, code
    back = service.refreshes()[0]["RollbackDetails"]["RollbackStartTime"]
    red = (back - begin).total_seconds() - said["RED:"]
    begin = datetime.now().astimezone()
    service.ctx.ok("rollback")
    rollback = (service.refreshes()[0]["StartTime"] - begin).total_seconds()
    print(
        f"red gate to rollback under way {red:.1f} s; `rollback` to its refresh {rollback:.1f} s (at most {TURN:.0f})"
    )
    return red <= TURN and rollback <= TURN


if __name__ == "__main__":
    main()
