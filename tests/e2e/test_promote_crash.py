"""Promotions that are killed after any modifying API call: the next one continues and repeats nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.cases import few
from tests.e2e.client import Client
from tests.e2e.relay import Relay
from tests.e2e.service import Service
from tests.e2e.workspace import Running, Workspace, relayed_through

pytestmark = pytest.mark.fleet

PRODUCTION = "/goldenami/guestbook/production"
CALLS: dict[str, Callable[[str, str], bool]] = {
    "claim": lambda name, body: name == "PutParameter" and "/lock" in body,
    "version": lambda name, _: name == "CreateLaunchTemplateVersion",
    "refresh": lambda name, _: name == "StartInstanceRefresh",
    "default": lambda name, _: name == "ModifyLaunchTemplate",
    "pointer": lambda name, body: name == "PutParameter" and PRODUCTION in body,
    "label": lambda name, _: name == "LabelParameterVersion",
    "tag": lambda name, _: name == "CreateTags",
    "give back": lambda name, _: name == "DeleteParameter",
}


@pytest.fixture
def relayed(service: Service, tmp_path: Path) -> Iterator[tuple[Workspace, Relay]]:
    """Another checkout whose API calls go through the relay."""
    service.resize(1)
    with relayed_through(service.ctx, tmp_path / "relayed") as both:
        yield both


def run_and_kill(
    ctx: Workspace, relay: Relay, wanted: Callable[[str, str], bool], *args: str, patience: float = 180
) -> Running:
    with ctx.running(*args) as going:
        relay.kill_after(wanted, lambda: going.process.pid)
        deadline = time.monotonic() + patience
        while not relay.killed.wait(0.1):
            assert going.process.poll() is None, going.log.read_text()[-3000:]
            assert time.monotonic() < deadline
        going.process.wait(10)
    return going


# All calls are covered with in-memory instances in tests/integration/promote.
@pytest.mark.parametrize("call", few(CALLS, "refresh", "pointer"))
def test_killed_promotion_is_completed_by_the_next(
    service: Service, relayed: tuple[Workspace, Relay], call: str
) -> None:
    ctx, relay = relayed
    image, versions, refreshes = service.image("healthy"), service.versions(), len(service.refreshes())
    with Client(service.address) as client:
        run_and_kill(ctx, relay, CALLS[call], "promote", "--ami", image)
        relay.calls.clear()
        result = json.loads(ctx.ok("promote", "--ami", image, "--json"))
    assert client.failures == []
    assert result["ami"] == image
    assert service.versions() == [*versions, image], "one version"
    assert len(service.refreshes()) == refreshes + 1, "one refresh"
    assert (service.production_ami(), service.running_amis()) == (image, [image])
    status = service.status()
    assert (status["drift"], status["lock"]) == ([], None)


@pytest.mark.parametrize("call", ["refresh", "default"])
def test_killed_promotion_is_rolled_back(service: Service, relayed: tuple[Workspace, Relay], call: str) -> None:
    ctx, relay = relayed
    before, image = service.production_ami(), service.image("healthy")
    with Client(service.address) as client:
        run_and_kill(ctx, relay, CALLS[call], "promote", "--ami", image)
        assert ctx.ok("rollback").strip() == before
    assert client.failures == []
    assert (service.production_ami(), service.running_amis()) == (before, [before])
    status = service.status()
    assert (status["drift"], status["lock"]) == ([], None)


def test_concurrent_promotion_reports_the_lock_holder(service: Service, tmp_path: Path) -> None:
    service.resize(1)
    image = service.image("healthy")
    with service.ctx.running("promote", "--ami", image) as first:
        first.wait_for("began")
        second = service.ctx.invoke("promote", "--ami", service.good)
        assert second.returncode in (5, 7), second.stderr
        assert "the fleet is locked by" in second.stderr or "is in progress" in second.stderr
        assert first.process.wait(300) == 0
    assert service.production_ami() == image


def test_promotion_makes_few_calls(service: Service, relayed: tuple[Workspace, Relay]) -> None:
    ctx, relay = relayed
    image = service.image("healthy")
    ctx.ok("promote", "--ami", image)
    assert len(relay.calls) <= 16, relay.calls
