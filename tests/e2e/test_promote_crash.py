"""kill -9 right after any call of a promotion that changes something: the next one finishes it, and nothing is done twice."""

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
    """Another checkout whose calls all go through a relay."""
    service.resize(1)
    with relayed_through(service.ctx, tmp_path / "relayed") as both:
        yield both


def killed(
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


# Each of them, on machines that are none: tests/localcloud/test_fleet_promotions.py
@pytest.mark.parametrize("call", few(CALLS, "refresh", "pointer"))
def test_killed_after_a_call_the_next_promotion_finishes_it(
    service: Service, relayed: tuple[Workspace, Relay], call: str
) -> None:
    ctx, relay = relayed
    image, versions, refreshes = service.image("well"), service.versions(), len(service.refreshes())
    with Client(service.address) as client:
        killed(ctx, relay, CALLS[call], "promote", "--ami", image)
        relay.calls.clear()
        result = json.loads(ctx.ok("promote", "--ami", image, "--json"))
    assert client.failures == []
    assert result["ami"] == image
    assert service.versions() == [*versions, image], "one version"
    assert len(service.refreshes()) == refreshes + 1, "one refresh"
    assert (service.pointer(), service.running()) == (image, [image])
    status = service.status()
    assert (status["disagreements"], status["claim"]) == ([], None)


@pytest.mark.parametrize("call", ["refresh", "default"])
def test_killed_after_a_call_a_rollback_takes_it_back(
    service: Service, relayed: tuple[Workspace, Relay], call: str
) -> None:
    ctx, relay = relayed
    before, image = service.pointer(), service.image("well")
    with Client(service.address) as client:
        killed(ctx, relay, CALLS[call], "promote", "--ami", image)
        assert ctx.ok("rollback").strip() == before
    assert client.failures == []
    assert (service.pointer(), service.running()) == (before, [before])
    status = service.status()
    assert (status["disagreements"], status["claim"]) == ([], None)


def test_the_second_of_two_promotions_is_told_who_holds_the_fleet(service: Service, tmp_path: Path) -> None:
    service.resize(1)
    image = service.image("well")
    with service.ctx.running("promote", "--ami", image) as first:
        first.wait_for("began")
        second = service.ctx.invoke("promote", "--ami", service.good)
        assert second.returncode in (5, 7), second.stderr
        assert "the fleet is locked by" in second.stderr or "is in progress" in second.stderr
        assert first.process.wait(300) == 0
    assert service.pointer() == image


def test_the_calls_of_a_promotion_are_few(service: Service, relayed: tuple[Workspace, Relay]) -> None:
    ctx, relay = relayed
    image = service.image("well")
    ctx.ok("promote", "--ami", image)
    assert len(relay.calls) <= 16, relay.calls
