"""Plans of promotions for any state of the fleet."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, strategies as st

from goldenami.model.auto_scaling import InstanceRefresh
from goldenami.model.fleet import CanaryGroup, FleetState, LaunchTemplateVersion, ReleasePointer
from goldenami.model.image import Image
from goldenami.promote.plan import plan_promotion
from goldenami.rollout.plan import canary_count, min_healthy_time, refresh_preferences
from tests.support.fleet_states import (
    NEW,
    OLD,
    OTHER,
    applied,
    data,
    fleet_state,
    fleet_states,
    group,
    image,
    member,
    request_for,
    template,
)


@given(
    desired=st.integers(0, 400), canary=st.integers(0, 100), watch=st.integers(0, 86400), warmup=st.integers(10, 3600)
)
def test_preferences_keep_all_healthy_instances_in_service(desired: int, canary: int, watch: int, warmup: int) -> None:
    state = refresh_preferences(desired, request_for(canary=canary, watch=watch, warmup=warmup))
    assert state.min_healthy == 100, "never fewer than are wanted"
    assert state.max_healthy <= state.min_healthy + 100, "what AWS allows"
    if desired:
        assert math.floor(desired * state.max_healthy / 100) >= desired + 1, "room for one more"
    assert list(state.checkpoints) == sorted(set(state.checkpoints))
    if state.checkpoints:
        assert state.checkpoints[-1] == 100, "all of them in the end"
        part = canary_count(desired, state)
        assert 1 <= part < desired, "a canary is neither none nor all"
        assert math.floor(100 * part / desired) >= state.checkpoints[0], "the canary alone reaches the checkpoint"
    if desired == 1:
        assert state.warmup >= watch, "the old one stays as long as the new one is watched"
    assert 0 < min_healthy_time(state) < state.warmup + state.delay


TRAFFIC = st.sampled_from([(), (100,), (10, 50, 100)])


@given(fleet_states(), st.booleans(), TRAFFIC)
def test_plan_of_any_fleet_is_consistent(state: FleetState, verified: bool, traffic: tuple[int, ...]) -> None:
    request = request_for(image=image(tags={"goldenami:verified": "x"} if verified else {}), traffic=traffic)
    plan = plan_promotion(request, state)
    assert plan == plan_promotion(request, state)
    if not verified:
        assert plan.blockers
    if plan.version is not None:
        assert state.template is not None
        assert state.template.versions[plan.version].image == NEW, "a literal AMI in a numbered version"
    if plan.blockers or state.group is None:
        return
    assert state.group.number is not None, "never $Latest, never $Default"
    if plan.refresh_preferences is not None:
        assert not state.group.suspended
        assert state.group.desired == 0 or state.group.max > state.group.desired
        assert plan.refresh_preferences.auto_rollback or state.group.number == plan.version
    if plan.adopt:
        assert plan.refresh_preferences is not None
        assert not plan.traffic, "a refresh in progress is completed"
    if plan.traffic:
        assert plan.refresh_preferences is not None, "only beside a fleet that is renewed afterwards"
        assert plan.refresh_preferences.min_healthy == 100
        assert not plan.refresh_preferences.checkpoints
        assert state.group.target_groups
        assert state.group.desired
    assert plan.end_canary == (state.canary is not None), "one that was left is deleted"


@given(fleet_states(calm=True), st.integers(0, 5), TRAFFIC)
def test_plan_after_any_step_is_the_rest(state: FleetState, upto: int, traffic: tuple[int, ...]) -> None:
    request = request_for(traffic=traffic)
    plan = plan_promotion(request, state)
    assume(not plan.blockers and state.template is not None)
    after = applied(state, request, plan, upto)
    rest = plan_promotion(request, after)
    assert not rest.blockers, "its own effects never block it"
    if upto >= 1:
        assert rest.version is not None, "no second version"
    if upto == 2 and plan.refresh_preferences is not None:
        assert rest.adopt, "no second refresh"
    if upto >= 3:
        assert rest.refresh_preferences is None
        assert not rest.traffic
    if upto < 4 and plan.traffic and upto:
        assert rest.end_canary, "the canary group is not forgotten"
    if upto >= 4:
        assert not rest.default
    if upto == 5:
        assert rest.unchanged


def test_plan_of_a_new_image_has_every_step() -> None:
    plan = plan_promotion(request_for(), fleet_state())
    assert (plan.version, plan.source, plan.adopt) == (None, 1, "")
    assert plan.refresh_preferences is not None
    assert (plan.default, plan.publish, plan.blockers) == (True, True, ())


def test_plan_without_a_group_changes_template_and_parameter_only() -> None:
    plan = plan_promotion(request_for(), fleet_state(group=None))
    assert plan.refresh_preferences is None
    assert "no Auto Scaling group" in plan.warnings[0]


def test_plan_of_a_running_image_only_commits() -> None:
    plan = plan_promotion(request_for(), fleet_state(template=template(OLD, NEW), group=group(2)))
    assert (plan.version, plan.refresh_preferences, plan.default, plan.publish) == (2, None, True, True)


def test_plan_of_a_partly_refreshed_group_has_no_auto_rollback() -> None:
    half = group(2, 2, (member(1, 1), member(2, 2)))
    plan = plan_promotion(request_for(), fleet_state(template=template(OLD, NEW), group=half))
    assert plan.refresh_preferences is not None
    assert not plan.refresh_preferences.auto_rollback
    assert any("cannot roll that back" in note for note in plan.warnings)


def test_version_with_other_data_does_not_match() -> None:
    other = template(OLD, NEW)
    changed = LaunchTemplateVersion(2, data(NEW, InstanceType="t3.large"))
    state = fleet_state(template=replace(other, versions={**other.versions, 2: changed}))
    assert plan_promotion(request_for(), state).version is None


def test_version_with_defaults_of_ec2_matches() -> None:
    options = {"HttpTokens": "required"}
    described = LaunchTemplateVersion(2, data(NEW, MetadataOptions={**options, "HttpEndpoint": "enabled"}))
    other = template(OLD, NEW)
    state = fleet_state(template=replace(other, versions={**other.versions, 2: described}))
    request = request_for(overrides={"ImageId": NEW, "InstanceType": "t3.micro", "MetadataOptions": options})
    assert plan_promotion(request, state).version == 2


BLOCKED: list[tuple[FleetState, Image | None, str]] = [
    (fleet_state(), None, "does not exist"),
    (fleet_state(), image(state="pending") if False else replace(image(), state="pending"), "is pending"),
    (fleet_state(), replace(image(), tags={}), "is not verified"),
    (
        fleet_state(),
        replace(image(), tags={"goldenami:verified": "x", "goldenami:failed": "boot"}),
        "failed verification (boot)",
    ),
    (fleet_state(), replace(image(), architecture="arm64"), "is for arm64, which t3.micro is not"),
    (fleet_state(group=group("$Latest", 1, (member(1, 1),))), image(), "cannot be rolled back"),
    (fleet_state(group=group("$Default", 1, (member(1, 1),))), image(), "cannot be rolled back"),
    (fleet_state(template=template("resolve:ssm:/a")), image(), "not a literal AMI"),
    (fleet_state(group=group(desired=5)), image(), "no room to launch before it terminates"),
    (fleet_state(group=group(suspended=("Launch",))), image(), "Launch of guestbook-asg is suspended"),
    (
        fleet_state(template=template(OLD, OTHER), refreshes=(InstanceRefresh("r", "InProgress", 2),)),
        image(),
        "in progress (r, 0 %)",
    ),
    (fleet_state(refreshes=(InstanceRefresh("r", "InProgress"),)), image(), "another configuration"),
    (
        fleet_state(refreshes=(InstanceRefresh("r", "RollbackInProgress", 7),)),
        image(),
        "being rolled back or cancelled",
    ),
]


@pytest.mark.parametrize(("state", "selected", "reason"), BLOCKED)
def test_plan_is_blocked(state: FleetState, selected: Image | None, reason: str) -> None:
    reasons = plan_promotion(request_for(image=selected), state).blockers
    assert any(reason in blocker for blocker in reasons), reasons


def test_root_volume_that_is_too_small_is_blocked() -> None:
    small = {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 4}}]}
    other = template(OLD)
    state = fleet_state(template=replace(other, versions={1: LaunchTemplateVersion(1, data(OLD, **small))}))
    assert any("root volume of 8 GiB" in blocker for blocker in plan_promotion(request_for(), state).blockers)


def test_unverified_image_is_a_warning() -> None:
    plan = plan_promotion(request_for(image=replace(image(), tags={}), unverified=True), fleet_state())
    assert plan.blockers == ()
    assert plan.warnings[0].startswith("UNVERIFIED")


def test_plan_deletes_a_canary_group_that_was_left() -> None:
    left = CanaryGroup(group(2, 1, name="guestbook-asg-canary"), 100)
    history = (ReleasePointer(OLD, 1), ReleasePointer(NEW, 2))
    state = fleet_state(template=template(OLD, NEW, default=2), group=group(2), history=history, canary=left)
    plan = plan_promotion(request_for(), state)
    assert (plan.refresh_preferences, plan.end_canary, plan.unchanged) == (None, True, False)


def test_plan_of_a_promoted_image_is_unchanged() -> None:
    state = fleet_state(
        template=template(OLD, NEW, default=2), group=group(2), history=(ReleasePointer(OLD, 1), ReleasePointer(NEW, 2))
    )
    assert plan_promotion(request_for(), state).unchanged
