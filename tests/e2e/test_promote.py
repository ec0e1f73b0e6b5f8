"""Promotions while a client asks without pause: good images cost no request; bad ones are taken back by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.client import Client
from tests.e2e.service import Service

pytestmark = pytest.mark.fleet


@pytest.fixture
def fleet_of_one(service: Service) -> Service:
    service.resize(1)
    return service


@pytest.fixture
def fleet_of_three(service: Service) -> Service:
    service.resize(3)
    return service


def run_of(service: Service) -> Path:
    """The folder of the latest promotion."""
    return max(path.parent for path in (service.ctx.root / "build").glob("*/promotion.json"))


def test_the_fleet_serves_and_is_found_again(service: Service) -> None:
    assert service.pointer() == service.good
    before = json.loads(service.ctx.ok("fleet.show", "--json"))
    assert all(part["there"] for part in before)
    service.ctx.ok("fleet.create")
    assert json.loads(service.ctx.ok("fleet.show", "--json")) == before
    assert service.versions() == [service.good]


def test_a_plan_changes_nothing(service: Service) -> None:
    image = service.image("well")
    told = json.loads(service.ctx.ok("promote", "--ami", image, "--plan", "--json"))
    assert told["refusals"] == []
    assert len(told["steps"]) >= 4
    assert service.versions() == [service.good]
    assert service.refreshes() == []


@pytest.mark.parametrize("size", [1, 3])
def test_a_good_image_costs_no_request(service: Service, size: int) -> None:
    service.resize(size)
    image = service.image("well")
    versions, refreshes = service.versions(), service.refreshes()
    with Client(service.address) as client:
        result = json.loads(service.ctx.ok("promote", "--ami", image, "--json"))
    assert client.per_second >= 20
    assert client.failures == []
    assert service.pointer() == image
    assert service.running() == [image] * size
    assert service.versions() == [*versions, image]
    assert service.template()["DefaultVersionNumber"] == result["version"]
    assert len(service.refreshes()) == len(refreshes) + 1
    assert service.status()["disagreements"] == []
    report = json.loads((run_of(service) / "promotion.json").read_text())
    assert report["passed"]
    assert all(item["ok"] for item in report["checklist"]), report["checklist"]
    assert "<h1>" in (run_of(service) / "promotion.html").read_text()

    again = json.loads(service.ctx.ok("promote", "--ami", image, "--json"))
    assert again["unchanged"]
    assert service.versions() == [*versions, image]
    assert len(service.refreshes()) == len(refreshes) + 1


# Watched for as long as it takes to show: the crash comes after 20 s, and the grace period is 30 s.
WATCH = {"crashes": "40s", "slow": "40s"}
# What each bad image may cost: while it was healthy, and then crashes, the balancer needs two probes to notice.
BAD = {"does not boot": 0, "unit fails": 0, "health 503": 0, "crashes": 400, "slow": 0}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_image_is_taken_back(fleet_of_one: Service, kind: str) -> None:
    service = fleet_of_one
    bad = service.image(kind)
    pointer, default, before = service.pointer(), service.template()["DefaultVersionNumber"], service.running()
    with Client(service.address) as client:
        done = service.ctx.invoke("promote", "--ami", bad, "--watch", WATCH.get(kind, "5s"))
    assert done.returncode == 5, done.stderr[-3000:]
    assert "failed the health gate" in done.stderr
    assert "The fleet is back" in done.stderr
    assert client.per_second >= 20
    assert len(client.failures) <= BAD[kind], client.failures
    assert service.pointer() == pointer
    assert service.template()["DefaultVersionNumber"] == default
    assert service.running() == before
    folder = run_of(service)
    assert not json.loads((folder / "promotion.json").read_text())["passed"]
    assert list(folder.glob("instances/*/console.log"))


def test_an_image_without_its_gates_is_refused(service: Service) -> None:
    image = service.image("well", verified=False)
    versions = service.versions()
    done = service.ctx.invoke("promote", "--ami", image)
    assert done.returncode == 5
    assert "is not verified" in done.stderr
    assert service.versions() == versions


def test_rollback_goes_to_what_was_before(fleet_of_one: Service) -> None:
    service = fleet_of_one
    before, image = service.pointer(), service.image("well")
    service.ctx.ok("promote", "--ami", image)
    versions = service.versions()
    with Client(service.address) as client:
        assert service.ctx.ok("rollback").strip() == before
    assert client.failures == []
    assert service.pointer() == before
    assert service.running() == [before]
    assert service.versions() == versions
    assert service.status()["disagreements"] == []
