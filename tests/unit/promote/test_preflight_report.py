"""Preflight of a promotion: differences of the images, steps, capacity."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from goldenami.bake import inventory
from goldenami.images.diff_plan import Difference, ImageDiff
from goldenami.model.inventory import Package
from goldenami.model.resources import VcpuQuota
from goldenami.promote import preflight_report, promote
from goldenami.promote.plan import PromotionPreflight, plan_promotion
from tests.support.contexts import Checkout
from tests.support.fleet_states import NEW, OLD, fleet_state, group, image, request_for

RUNNING = replace(image(OLD), name="guestbook-golden-v1.0", tags={"Version": "1.0.0"})
QUOTA = VcpuQuota(32, 4, 2)


def preflight(**more: Any) -> PromotionPreflight:
    request, state = request_for(NEW), fleet_state(group=group(desired=2))
    given: dict[str, Any] = {"running": RUNNING, "quota": QUOTA, **more}
    return PromotionPreflight(request, state, plan_promotion(request, state), **given)


def test_differences_list_tags_and_contents() -> None:
    diff = ImageDiff(
        (Difference("package", "changed", "libssl3", "3.0.1", "3.0.2"), Difference("unit", "added", "web"))
    )
    lines = [line.split() for line in preflight_report.differences(preflight(diff=diff)).splitlines()]
    assert ["version", "1.0.0", "-"] in lines
    assert ["package", "libssl3", "3.0.1", "3.0.2"] in lines
    assert ["unit", "web", "-", "added"] in lines


def test_differences_beyond_the_limit_are_counted() -> None:
    diff = ImageDiff(tuple(Difference("package", "added", f"p{n}", "", "1") for n in range(40)))
    assert f"10 more: ./invoke diff running {NEW}" in preflight_report.differences(preflight(diff=diff))


def test_page_as_json_has_the_plan_and_the_differences(at: Checkout) -> None:
    diff = ImageDiff((Difference("package", "changed", "libssl3", "3.0.1", "3.0.2"),))
    report = preflight_report.promotion(at.ctx(), preflight(diff=diff))
    facts = json.loads(json.dumps(report.facts, default=dict))
    assert facts["diff"]["differences"][0]["name"] == "libssl3"
    assert (facts["blockers"], facts["unchanged"], facts["running"]) == ([], False, OLD)
    assert facts["capacity"]["vCPU quota"].startswith("4 of 32 in use, up to ")
    assert f"create a version of guestbook-template from version 1, with {NEW}" in report.text


def test_preflight_compares_the_inventories_that_the_bakes_published(at: Checkout) -> None:
    """Without this checkout's build folder, as on another machine or in CI."""
    ctx = at.ctx()
    at.account.put_image(OLD, "guestbook-golden-v1.0")
    for ami, version in ((OLD, "3.0.1"), (NEW, "3.0.2")):
        inventory.save(ctx, image(ami), {"kernel": "6.1"}, [Package("libssl3", version, "amd64", "openssl", version)])
    decided = promote.decide(ctx, request_for(NEW), fleet_state(group=None))
    assert decided.diff is None, "read for a preflight that is printed only"
    found = promote.compare_contents(ctx, decided)
    assert found.diff is not None
    assert [(d.name, d.before, d.after) for d in found.diff.differences] == [("libssl3", "3.0.1", "3.0.2")]
