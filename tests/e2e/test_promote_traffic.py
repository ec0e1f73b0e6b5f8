"""Weighted traffic shifting: a canary group receives increasing shares, or none when it is unhealthy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cases import few
from tests.e2e.client import Client
from tests.e2e.relay import Relay
from tests.e2e.service import Service
from tests.e2e.test_promote_crash import run_and_kill
from tests.e2e.workspace import Workspace, copy_checkout

pytestmark = pytest.mark.fleet

TRIAL = "guestbook-asg-canary"


@pytest.fixture
def shifting(service: Service, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Another checkout with traffic shifting whose API calls go through the relay."""
    service.resize(1)
    info = service.ctx.cloud()
    with Relay(info["endpoint"], (info["access_key"], info["secret_key"])) as relay:
        other = copy_checkout(service.ctx, tmp_path / "shifting")
        other.edit("golden.toml", "[promote]", "[promote]\ntraffic = [10, 50, 100]")
        other.edit("golden.toml", "[targets.local]", f'[targets.local]\nendpoint_url = "{relay.endpoint}"')
        other.env |= {"AWS_ACCESS_KEY_ID": info["access_key"], "AWS_SECRET_ACCESS_KEY": info["secret_key"]}
        other.env |= {"AWS_EC2_METADATA_DISABLED": "true"}
        yield other, relay


def forward(service: Service) -> dict[str, int]:
    """Return the weight of each target group of the listener, by name."""
    elb = service.client("elbv2")
    (balancer,) = elb.describe_load_balancers(Names=["guestbook-alb"])["LoadBalancers"]
    (listener,) = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    (action,) = listener["DefaultActions"]
    groups: list[dict[str, Any]] = action.get("ForwardConfig", {}).get("TargetGroups", [])
    found = {group["TargetGroupArn"]: group.get("Weight", 1) for group in groups} or {action["TargetGroupArn"]: 1}
    return {arn.split("/")[1]: weight for arn, weight in found.items()}


def at_rest(service: Service, image: str) -> None:
    """Check that one group with this image receives all requests and no canary group remains."""
    assert (service.production_ami(), service.running_amis()) == (image, [image])
    assert forward(service) == {"guestbook-tg": 1}
    assert not service.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[TRIAL])[
        "AutoScalingGroups"
    ]
    status = service.status()
    assert (status["drift"], status["lock"]) == ([], None)


def weights(relay: Relay) -> list[str]:
    return [name for name in relay.calls if name == "ModifyListener"]


def test_healthy_image_receives_increasing_traffic_without_losses(
    service: Service, shifting: tuple[Workspace, Relay]
) -> None:
    ctx, _ = shifting
    image, versions = service.image("healthy"), service.versions()
    planned = json.loads(ctx.ok("promote", "--ami", image, "--plan", "--json"))
    assert planned["plan"]["traffic"] == [10, 50, 100]
    assert (service.versions(), forward(service)) == (versions, {"guestbook-tg": 1})
    with Client(service.address) as client:
        result = json.loads(ctx.ok("promote", "--ami", image, "--json"))
    assert client.per_second >= 20
    assert client.failures == []
    at_rest(service, image)
    assert service.versions() == [*versions, image]
    texts = [event["text"] for event in result["timeline"]]
    shares = [share[1] for text in texts if (share := re.search(r"receive (\d+) % of the requests", text))]
    assert shares == ["10", "50", "100"]
    report = max((ctx.root / "build").glob("*/promotion.json"))
    assert all(item["ok"] for item in json.loads(report.read_text())["checklist"])


def test_unhealthy_image_loses_its_traffic_and_the_fleet_is_unchanged(
    service: Service, shifting: tuple[Workspace, Relay]
) -> None:
    ctx, _ = shifting
    bad, before, refreshes = service.image("crashes"), service.production_ami(), len(service.refreshes())
    members = [one["id"] for one in service.status()["instances"]]
    with Client(service.address) as client:
        done = ctx.invoke("promote", "--ami", bad, "--watch", "40s")
    assert done.returncode == 5, done.stderr[-3000:]
    assert "10 % of the requests" in done.stderr
    assert "50 % of the requests" not in done.stderr
    # It is healthy at first and receives a tenth of the requests until the monitor detects the crash within seconds.
    assert len(client.failures) <= 0.1 * client.rate * 15, client.failures
    at_rest(service, before)
    assert [one["id"] for one in service.status()["instances"]] == members
    assert len(service.refreshes()) == refreshes, "no instance refresh"


@pytest.mark.parametrize("case", few(("2 promote", "4 promote", "3 rollback"), "4 promote"))
def test_killed_during_the_traffic_shift(service: Service, shifting: tuple[Workspace, Relay], case: str) -> None:
    number, goes_on = int(case[0]), case[2:]
    ctx, relay = shifting
    image, before, versions = service.image("healthy"), service.production_ami(), service.versions()

    def nth(name: str, _: str) -> bool:
        return name == "ModifyListener" and len(weights(relay)) == number

    relay.calls.clear()
    with Client(service.address) as client:
        run_and_kill(ctx, relay, nth, "promote", "--ami", image)
        if goes_on == "promote":
            ctx.ok("promote", "--ami", image)
        else:
            assert ctx.ok("rollback").strip() == before
    assert client.failures == []
    at_rest(service, image if goes_on == "promote" else before)
    assert service.versions() == [*versions, image], "one version"
