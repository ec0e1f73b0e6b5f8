"""Status of the fleet as text and JSON, and the promotions that it lists."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from goldenami.aws import load_balancers
from goldenami.aws.load_balancers import LoadBalancer
from goldenami.bake import inventory
from goldenami.fleet import describe, report
from goldenami.fleet.model import Assessment, Drift, FleetObservation, FleetStatus, ServiceProbe
from goldenami.infra import describe as infra_describe
from goldenami.model.fleet import ReleasePointer
from goldenami.model.inventory import Package
from goldenami.promote import history
from goldenami.promote.history import HistoryEntry
from goldenami.text import Report
from goldenami.tools import http
from tests.support.contexts import Checkout
from tests.support.fleet_states import NEW, OLD, fleet_state, group, image, member

CERTIFICATE = "arn:aws:acm:ap-northeast-2:123456789012:certificate/12345678-1234-1234-1234-123456789012"
NOTE = json.dumps({"by": "kim@build", "why": "release", "refresh": "r-1", "run": "20260105-0300"})
STATE = fleet_state(
    group=group(members=(member(1, 1, state="running", image=OLD),)),
    history=(ReleasePointer(OLD, 1, "2026-01-05T03:00:00+00:00", note=NOTE),),
)
SERVING = Assessment("serving", "HTTP 200 from https://lb/health", "2026-01-05T03:00:00Z", "i-1 launched", (), (), "")
OBSERVED = FleetObservation(STATE, ServiceProbe("HTTP 200", 1), images={OLD: image(OLD)})
STATUS = FleetStatus(OBSERVED, SERVING, "https://lb")
ENTRY = HistoryEntry(
    "2026-01-06T03:00:00Z", "r", "kim", "arn", OLD, NEW, 2, "", "HTTP 503", "rolled back", recipe="guestbook"
)


def status(at: Checkout, **changes: Any) -> Report:
    return report.status(at.ctx(), replace(STATUS, assessment=replace(SERVING, **changes)))


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infra_describe, "describe_fleet", lambda _: STATE)
    monkeypatch.setattr(load_balancers, "get", lambda *_: LoadBalancer("arn", "lb", "lb.example.com"))
    monkeypatch.setattr(http, "probe", lambda url, timeout: http.Probe(True, f"HTTP 200 from {url}"))


@pytest.mark.usefixtures("described")
@pytest.mark.parametrize(("certificate", "scheme"), [("", "http"), (CERTIFICATE, "https")])
def test_status_address_has_the_scheme_of_the_listener(at: Checkout, certificate: str, scheme: str) -> None:
    at.account.put_image(OLD, "guestbook-golden-v1.0", tags={"goldenami:verified": "2026-01-01T00:00:00Z"})
    ctx = at.ctx({"fleet.certificate_arn": certificate} if certificate else {})
    found = describe.fleet_status(ctx)
    assert found.address == f"{scheme}://lb.example.com"
    text = report.status(ctx, found).text
    assert text.startswith(f"serving, as seen now: HTTP 200 from {scheme}://lb.example.com/health; 1 of 1 instance(s)")


def test_status_begins_with_the_service_and_ends_its_summary_with_one_command(at: Checkout) -> None:
    text = status(
        at,
        state="not serving",
        event="i-1 stopped",
        under_way=("promote v1.1, by kim",),
        drift=(Drift("the template differs", "./invoke rollback"),),
        next="./invoke rollback",
    ).text
    assert text.startswith(
        "NOT serving since 2026-01-05 03:00 (i-1 stopped), as seen now: HTTP 200 from https://lb/health\n"
        "\nUnder way\n  - promote v1.1, by kim\n\nDRIFT\n  - the template differs\n\nNext: ./invoke rollback\n"
    )
    assert text.count("Next: ") == 1


def test_status_without_known_change_says_only_what_is_seen_now(at: Checkout) -> None:
    assert status(at, since="").text.startswith("serving, as seen now: HTTP 200 from https://lb/health\n")


def test_status_without_drift_prints_no_drift(at: Checkout) -> None:
    assert "\nno drift\n\nNext: nothing to do\n" in status(at).text


def test_status_names_no_image_to_return_to_after_the_first_promotion(at: Checkout) -> None:
    assert "no earlier image to return to" in status(at).text


def test_status_as_json_has_the_same_facts(at: Checkout) -> None:
    facts = status(at, under_way=("promote",), drift=(Drift("differs", "./invoke rollback"),), next="./invoke x").facts
    assert facts["service"] == {
        "state": "serving",
        "since": "2026-01-05T03:00:00Z",
        "event": "i-1 launched",
        "evidence": "HTTP 200 from https://lb/health",
    }
    assert (facts["under_way"], facts["drift"], facts["next"]) == (["promote"], ["differs"], "./invoke x")
    assert (facts["lock"], facts["data"], facts["write_freeze"], facts["switchover"]) == (None, None, None, None)
    assert facts["current"]["pointer"] == f"/goldenami/guestbook/production version 1: {OLD}"
    assert facts["promotions"] == [
        {
            "version": 1,
            "ami": OLD,
            "name": "guestbook-golden-v1.1",
            "when": "2026-01-05T03:00:00+00:00",
            "labels": [],
            **json.loads(NOTE),
        }
    ]


@pytest.mark.usefixtures("described")
def test_status_lists_failed_promotions_of_this_recipe_only(at: Checkout) -> None:
    ctx = at.ctx()
    history.append_entry(ctx, replace(ENTRY, result="promoted", to_ami=OLD))
    history.append_entry(ctx, ENTRY)
    history.append_entry(ctx, replace(ENTRY, recipe="other"))
    found = describe.fleet_status(ctx)
    assert [dict(line) for line in found.failed_promotions] == [asdict(ENTRY)]
    assert f"2026-01-06 03:00  {NEW}  HTTP 503" in report.status(ctx, found).text


@pytest.mark.usefixtures("described")
def test_status_names_the_migrations_that_the_candidate_brings_and_lacks(at: Checkout) -> None:
    ctx = at.ctx({"app.schema": "", "release.migrations": "migrations/"})
    for ami, version, names in ((OLD, "1.0", ("001_a.sql", "002_b.sql")), (NEW, "1.1", ("001_a.sql", "003_c.sql"))):
        at.account.put_image(ami, f"guestbook-golden-v{version}", tags={"goldenami:verified": "2026-01-01T00:00:00Z"})
        migrations = [{"name": name, "checksum": name, "compatible": False} for name in names]
        inventory.save(ctx, image(ami), {"migrations": migrations}, [Package("bash", "5.2")])
    assert describe.fleet_status(ctx).candidate is None, "nothing is published"
    at.account.parameters[ctx.candidate] = [NEW]
    assert describe.fleet_status(at.ctx()).candidate is None, "the recipe has no release step"
    page = report.status(ctx, describe.fleet_status(ctx))
    assert f"guestbook-golden-v1.1 ({NEW}) brings migration 003_c.sql and lacks migration 002_b.sql\n" in page.text
    assert page.facts["candidate"]["migrations"]["pending"] == ("003_c.sql",)
    at.account.parameters[ctx.candidate] = [OLD]
    assert describe.fleet_status(ctx).candidate is None, "it runs already"


def test_history_without_recipe_belongs_to_the_recipe_of_its_image(at: Checkout) -> None:
    ctx = at.ctx()
    for ami in (NEW, OLD):
        history.append_entry(ctx, replace(ENTRY, recipe="", to_ami=ami))
    with history.history_path(ctx).open("a") as file:
        file.write('{"when": "2026-0')  # killed while it wrote
    assert [entry["to_ami"] for entry in history.load(ctx, {NEW: image(NEW)})] == [NEW]
