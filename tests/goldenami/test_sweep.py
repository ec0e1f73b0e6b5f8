"""Sweeping: what dead runs left goes, what may be alive stays."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from shops import Works

from goldenami.flows import sweep, telling
from goldenami.values.images import RUN
from goldenami.walls import runs
from goldenami.walls.aws.leftovers import Leftover

run_ids = st.sampled_from(["run1", "run2", "other1", ""])
kinds = st.sampled_from(["instance", "volume", "snapshot", "security-group", "key-pair"])
found_things = st.lists(st.builds(Leftover, kinds, st.uuids().map(str), run_ids))  # type: ignore[arg-type]


@given(found_things, st.sets(st.sampled_from(["run1", "run2", "run3"])))
def test_a_plan_divides_and_loses_nothing(found: list[Leftover], dead: set[str]) -> None:
    plan = sweep.plan(found, dead)
    assert sorted([*plan.removable, *plan.kept], key=lambda left: left.id) == sorted(found, key=lambda left: left.id)
    assert all(left.run_id in dead for left in plan.removable)
    assert not any(left.run_id in dead for left in plan.kept)
    assert [left for left in found if left.run_id in dead] == list(plan.removable)  # in the order of removal


def leave(at: Works, run_id: str) -> None:
    """A volume and a security group with a run's tag."""
    tags = [{"Key": RUN, "Value": run_id}]
    volume = {"VolumeId": f"vol-{run_id}", "Size": 8, "State": "available", "Tags": tags}
    at.account.volumes[f"vol-{run_id}"] = volume
    at.account.groups[f"sg-{run_id}"] = {"GroupId": f"sg-{run_id}", "GroupName": run_id, "Tags": tags}


def test_runs_of_this_checkout_are_swept_and_those_of_others_listed(at: Works) -> None:
    shop = at.shop()
    ours = runs.new(shop.build, at.clock.now())
    ours.record(state="running")
    leave(at, ours.id)
    leave(at, "a-colleague-s")
    swept = sweep.sweep(shop)
    assert {left.id for left in swept.removable} == {f"vol-{ours.id}", f"sg-{ours.id}"}
    assert at.account.alive() == ["sg-a-colleague-s", "vol-a-colleague-s"]
    told = json.loads(telling.swept(swept, plan_only=False, as_json=True))
    assert [(len(told["removed"]), len(told["kept"]))] == [(2, 2)]


def test_a_named_run_of_others_is_swept_too(at: Works) -> None:
    leave(at, "a-colleague-s")
    sweep.sweep(at.shop(), run_ids=frozenset({"a-colleague-s"}))
    assert at.account.alive() == []


def test_a_plan_removes_nothing(at: Works) -> None:
    leave(at, "run1")
    swept = sweep.sweep(at.shop(), run_ids=frozenset({"run1"}), plan_only=True)
    assert len(at.account.alive()) == 2
    assert "would remove" in telling.swept(swept, plan_only=True, as_json=False)


def test_nothing_left_is_said(at: Works) -> None:
    swept = sweep.sweep(at.shop())
    assert telling.swept(swept, plan_only=False, as_json=False) == "nothing was left behind"
