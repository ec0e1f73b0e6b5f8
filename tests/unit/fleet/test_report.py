"""Status of the fleet: address, drift, promotions and failed promotions."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from goldenami.aws import load_balancers
from goldenami.aws.load_balancers import LoadBalancer
from goldenami.fleet import describe, report
from goldenami.fleet.model import FleetStatus
from goldenami.infra import describe as infra_describe
from goldenami.model.fleet import ReleasePointer
from goldenami.promote import history
from goldenami.promote.history import HistoryEntry
from goldenami.text import Report
from tests.support.contexts import Checkout
from tests.support.fleet_states import NEW, OLD, fleet_state

CERTIFICATE = "arn:aws:acm:ap-northeast-2:123456789012:certificate/12345678-1234-1234-1234-123456789012"
NOTE = json.dumps({"by": "kim@build", "why": "release", "refresh": "r-1", "run": "20260105-0300"})
STATE = fleet_state(history=(ReleasePointer(OLD, 1, "2026-01-05T03:00:00+00:00", note=NOTE),))
STATUS = FleetStatus(STATE, (), None, False, "https://lb", {OLD: "guestbook-golden-v1.0"}, ())


def status(at: Checkout, **changes: Any) -> Report:
    return report.status(at.ctx(), replace(STATUS, **changes))


@pytest.mark.parametrize(("certificate", "scheme"), [("", "http"), (CERTIFICATE, "https")])
def test_status_address_has_the_scheme_of_the_listener(
    at: Checkout, monkeypatch: pytest.MonkeyPatch, certificate: str, scheme: str
) -> None:
    monkeypatch.setattr(infra_describe, "describe_fleet", lambda _: STATE)
    monkeypatch.setattr(load_balancers, "get", lambda *_: LoadBalancer("arn", "lb", "lb.example.com"))
    ctx = at.ctx({"fleet.certificate_arn": certificate} if certificate else {})
    found = describe.fleet_status(ctx)
    assert found.address == f"{scheme}://lb.example.com"
    assert f"{scheme}://lb.example.com" in report.status(ctx, found).text


def test_status_as_json_has_the_state_and_the_promotions(at: Checkout) -> None:
    facts = status(at).facts
    assert (facts["drift"], facts["lock"], facts["data"]) == ([], None, None)
    assert facts["current"]["pointer"] == f"/goldenami/guestbook/production version 1: {OLD}"
    assert facts["promotions"] == [
        {
            "version": 1,
            "ami": OLD,
            "name": "guestbook-golden-v1.0",
            "when": "2026-01-05T03:00:00+00:00",
            "labels": [],
            **json.loads(NOTE),
        }
    ]


def test_status_without_drift_prints_no_drift(at: Checkout) -> None:
    assert "\nno drift\n" in status(at).text


def test_status_with_drift_lists_it(at: Checkout) -> None:
    assert (
        "DRIFT (fix it with ./invoke rollback)\n  - the template differs"
        in status(at, drift=("the template differs",)).text
    )


def test_status_lists_failed_promotions_of_this_checkout(at: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infra_describe, "describe_fleet", lambda _: STATE)
    monkeypatch.setattr(load_balancers, "get", lambda *_: None)
    ctx = at.ctx()
    entry = HistoryEntry("2026-01-06T03:00:00Z", "r", "kim", "arn", OLD, NEW, 2, "", "HTTP 503", "rolled back")
    history.append_entry(ctx, replace(entry, result="promoted", to_ami=OLD))
    history.append_entry(ctx, entry)
    found = describe.fleet_status(ctx)
    assert [dict(line) for line in found.failed_promotions] == [asdict(entry)]
    assert f"2026-01-06 03:00  {NEW}  HTTP 503" in report.status(ctx, found).text
