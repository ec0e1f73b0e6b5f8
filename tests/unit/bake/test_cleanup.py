"""Sweeping: what dead runs left goes, what may be alive stays."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, strategies as st

from goldenami.bake import cleanup
from goldenami.images import report as images_report
from goldenami.images.model import TrimResult
from goldenami.model import resources
from goldenami.model.image import RUN
from goldenami.model.resources import OrphanedResource
from goldenami.state import runs
from tests.support.contexts import Checkout

run_ids = st.sampled_from(["run1", "run2", "other1", ""])
kinds = st.sampled_from(["instance", "volume", "snapshot", "security-group", "key-pair"])
found_things = st.lists(st.builds(OrphanedResource, kinds, st.uuids().map(str), run_ids))  # type: ignore[arg-type]


@given(found_things, st.sets(st.sampled_from(["run1", "run2", "run3"])))
def test_a_plan_divides_and_loses_nothing(found: list[OrphanedResource], dead: set[str]) -> None:
    plan = cleanup.plan(found, dead)
    assert sorted([*plan.removable, *plan.kept], key=lambda left: left.id) == sorted(found, key=lambda left: left.id)
    assert all(left.run_id in dead for left in plan.removable)
    assert not any(left.run_id in dead for left in plan.kept)
    assert [left for left in found if left.run_id in dead] == list(plan.removable)  # in the order of removal


def leave(at: Checkout, run_id: str) -> None:
    """A volume and a security group with a run's tag."""
    tags = [{"Key": RUN, "Value": run_id}]
    volume = {"VolumeId": f"vol-{run_id}", "Size": 8, "State": "available", "Tags": tags}
    at.account.volumes[f"vol-{run_id}"] = volume
    at.account.groups[f"sg-{run_id}"] = {"GroupId": f"sg-{run_id}", "GroupName": run_id, "Tags": tags}


def test_runs_of_this_checkout_are_swept_and_those_of_others_listed(at: Checkout) -> None:
    ctx = at.ctx()
    ours = runs.create(ctx.build, at.clock.now())
    ours.record(state="running")
    leave(at, ours.id)
    leave(at, "a-colleague-s")
    swept = cleanup.sweep(ctx)
    assert {left.id for left in swept.removable} == {f"vol-{ours.id}", f"sg-{ours.id}"}
    assert at.account.alive() == ["sg-a-colleague-s", "vol-a-colleague-s"]
    told = images_report.swept(swept, TrimResult(()), plan_only=False).facts
    assert [(len(told["deleted"]), len(told["kept"]))] == [(2, 2)]


def test_a_named_run_of_others_is_swept_too(at: Checkout) -> None:
    leave(at, "a-colleague-s")
    cleanup.sweep(at.ctx(), run_ids=frozenset({"a-colleague-s"}))
    assert at.account.alive() == []


def test_a_plan_removes_nothing(at: Checkout) -> None:
    leave(at, "run1")
    swept = cleanup.sweep(at.ctx(), run_ids=frozenset({"run1"}), plan_only=True)
    assert len(at.account.alive()) == 2
    assert "would delete" in images_report.swept(swept, TrimResult(()), plan_only=True).text


def test_nothing_left_is_said(at: Checkout) -> None:
    swept = cleanup.sweep(at.ctx())
    assert images_report.swept(swept, TrimResult(()), plan_only=False).text == "no orphaned resources"


def test_what_is_older_than_any_run_goes_whoever_left_it(at: Checkout) -> None:
    leave(at, "20260310-092653-abcdef")  # four days before the clock's now
    leave(at, "20260313-092653-abcdef")
    at.account.volumes["vol-20260310-092653-abcdef"]["State"] = "in-use"
    cleanup.sweep(at.ctx())
    assert sorted(at.account.alive()) == [
        "sg-20260313-092653-abcdef",
        "vol-20260310-092653-abcdef",
        "vol-20260313-092653-abcdef",
    ]


@given(kinds, run_ids | st.datetimes().map(lambda t: f"{t:%Y%m%d-%H%M%S}-0123ab"), st.booleans())
def test_only_a_run_with_a_date_is_ever_outlived_and_no_instance_is(
    kind: resources.OrphanKind, run: str, busy: bool
) -> None:
    now = datetime(2026, 3, 14, tzinfo=UTC)
    gone = cleanup.is_expired(OrphanedResource(kind, "x", run, busy=busy), now)
    if kind == "instance" or busy or len(run) != 22:
        assert not gone
    elif gone:
        assert run < f"{now - cleanup.LIFETIME:%Y%m%d-%H%M%S}"
