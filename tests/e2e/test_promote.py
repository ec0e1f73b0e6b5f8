"""Promotions under continuous requests: healthy images lose no request, unhealthy ones are rolled back."""

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
    """Return the run folder of the latest promotion."""
    return max(path.parent for path in (service.ctx.root / "build").glob("*/promotion.json"))


def test_fleet_create_is_idempotent(service: Service) -> None:
    assert service.production_ami() == service.good
    before = json.loads(service.ctx.ok("fleet.show", "--json"))
    assert all(part["exists"] for part in before)
    service.ctx.ok("fleet.create")
    assert json.loads(service.ctx.ok("fleet.show", "--json")) == before
    assert service.versions() == [service.good]


def test_plan_changes_nothing(service: Service) -> None:
    image = service.image("healthy")
    plan = json.loads(service.ctx.ok("promote", "--ami", image, "--plan", "--json"))
    assert plan["blockers"] == []
    assert len(plan["steps"]) >= 4
    assert service.versions() == [service.good]
    assert service.refreshes() == []


@pytest.mark.parametrize("size", [1, 3])
def test_healthy_image_loses_no_request(service: Service, size: int) -> None:
    service.resize(size)
    image = service.image("healthy")
    versions, refreshes = service.versions(), service.refreshes()
    with Client(service.address) as client:
        result = json.loads(service.ctx.ok("promote", "--ami", image, "--json"))
    assert client.per_second >= 20
    assert client.failures == []
    assert service.production_ami() == image
    assert service.running_amis() == [image] * size
    assert service.versions() == [*versions, image]
    assert service.template()["DefaultVersionNumber"] == result["version"]
    assert len(service.refreshes()) == len(refreshes) + 1
    assert service.status()["drift"] == []
    report = json.loads((run_of(service) / "promotion.json").read_text())
    assert report["passed"]
    assert all(item["ok"] for item in report["checklist"] if item["applicable"]), report["checklist"]
    assert "<h1>" in (run_of(service) / "promotion.html").read_text()

    again = json.loads(service.ctx.ok("promote", "--ami", image, "--json"))
    assert again["unchanged"]
    assert service.versions() == [*versions, image]
    assert len(service.refreshes()) == len(refreshes) + 1


# Long enough to detect each failure: the crash comes after 20 s, and the grace period is 30 s.
WATCH = {"crashes": "40s", "slow": "40s"}
# Failed requests that each variant may cause: the load balancer needs two health checks to detect a crash.
BAD = {"does not boot": 0, "unit fails": 0, "health 503": 0, "crashes": 400, "slow": 0}


@pytest.mark.parametrize("kind", BAD)
def test_unhealthy_image_is_rolled_back(fleet_of_one: Service, kind: str) -> None:
    service = fleet_of_one
    bad = service.image(kind)
    pointer, default, before = (
        service.production_ami(),
        service.template()["DefaultVersionNumber"],
        service.running_amis(),
    )
    with Client(service.address) as client:
        done = service.ctx.invoke("promote", "--ami", bad, "--watch", WATCH.get(kind, "5s"))
    assert done.returncode == 5, done.stderr[-3000:]
    assert "failed the health gate" in done.stderr
    assert "The fleet is back" in done.stderr
    assert client.per_second >= 20
    assert len(client.failures) <= BAD[kind], client.failures
    assert service.production_ami() == pointer
    assert service.template()["DefaultVersionNumber"] == default
    assert service.running_amis() == before
    folder = run_of(service)
    assert not json.loads((folder / "promotion.json").read_text())["passed"]
    assert list(folder.glob("instances/*/console.log"))


def test_unverified_image_is_refused(service: Service) -> None:
    image = service.image("healthy", verified=False)
    versions = service.versions()
    done = service.ctx.invoke("promote", "--ami", image)
    assert done.returncode == 5
    assert "is not verified" in done.stderr
    assert service.versions() == versions


def test_rollback_returns_to_the_previous_image(fleet_of_one: Service) -> None:
    service = fleet_of_one
    before, image = service.production_ami(), service.image("healthy")
    service.ctx.ok("promote", "--ami", image)
    versions = service.versions()
    with Client(service.address) as client:
        assert service.ctx.ok("rollback").strip() == before
    assert client.failures == []
    assert service.production_ami() == before
    assert service.running_amis() == [before]
    assert service.versions() == versions
    assert service.status()["drift"] == []
