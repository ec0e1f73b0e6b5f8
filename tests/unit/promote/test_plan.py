"""The planner of a promotion, driven over any fleet that may be met."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, strategies as st

from goldenami.model.fleet import CanaryGroup, FleetState, InstanceRefresh, LaunchTemplateVersion, ReleasePointer
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
def test_no_healthy_instance_leaves_before_a_new_one_stands(desired: int, canary: int, watch: int, warmup: int) -> None:
    found = refresh_preferences(desired, request_for(canary=canary, watch=watch, warmup=warmup))
    assert found.min_healthy == 100, "never fewer than are wanted"
    assert found.max_healthy <= found.min_healthy + 100, "what AWS allows"
    if desired:
        assert math.floor(desired * found.max_healthy / 100) >= desired + 1, "room for one more"
    assert list(found.checkpoints) == sorted(set(found.checkpoints))
    if found.checkpoints:
        assert found.checkpoints[-1] == 100, "all of them in the end"
        part = canary_count(desired, found)
        assert 1 <= part < desired, "a canary is neither none nor all"
        assert math.floor(100 * part / desired) >= found.checkpoints[0], "the canary alone reaches the checkpoint"
    if desired == 1:
        assert found.warmup >= watch, "the old one stays as long as the new one is watched"
    assert 0 < min_healthy_time(found) < found.warmup + found.delay


TRAFFIC = st.sampled_from([(), (100,), (10, 50, 100)])


@given(fleet_states(), st.booleans(), TRAFFIC)
def test_whatever_the_fleet_the_plan_is_sound(found: FleetState, verified: bool, traffic: tuple[int, ...]) -> None:
    wished = request_for(image=image(tags={"goldenami:verified": "x"} if verified else {}), traffic=traffic)
    decided = plan_promotion(wished, found)
    assert decided == plan_promotion(wished, found)
    if not verified:
        assert decided.blockers
    if decided.version is not None:
        assert found.template is not None
        assert found.template.versions[decided.version].image == NEW, "a literal AMI in a numbered version"
    if decided.blockers or found.group is None:
        return
    assert found.group.number is not None, "never $Latest, never $Default"
    if decided.refresh_preferences is not None:
        assert not found.group.suspended
        assert found.group.desired == 0 or found.group.max > found.group.desired
        assert decided.refresh_preferences.auto_rollback or found.group.number == decided.version
    if decided.adopt:
        assert decided.refresh_preferences is not None
        assert not decided.traffic, "a refresh under way is seen through to its end"
    if decided.traffic:
        assert decided.refresh_preferences is not None, "only beside a fleet that is renewed afterwards"
        assert decided.refresh_preferences.min_healthy == 100
        assert not decided.refresh_preferences.checkpoints
        assert found.group.target_groups
        assert found.group.desired
    assert decided.end_canary == (found.canary is not None), "one that is left goes"


@given(fleet_states(calm=True), st.integers(0, 5), TRAFFIC)
def test_killed_after_any_step_the_next_plan_is_the_rest(
    found: FleetState, upto: int, traffic: tuple[int, ...]
) -> None:
    wished = request_for(traffic=traffic)
    decided = plan_promotion(wished, found)
    assume(not decided.blockers and found.template is not None)
    after = applied(found, wished, decided, upto)
    rest = plan_promotion(wished, after)
    assert not rest.blockers, "what it has done itself never stops it"
    if upto >= 1:
        assert rest.version is not None, "no second version"
    if upto == 2 and decided.refresh_preferences is not None:
        assert rest.adopt, "no second refresh"
    if upto >= 3:
        assert rest.refresh_preferences is None
        assert not rest.traffic
    if upto < 4 and decided.traffic and upto:
        assert rest.end_canary, "what stands beside the fleet is not forgotten"
    if upto >= 4:
        assert not rest.default
    if upto == 5:
        assert rest.unchanged


def test_the_whole_promotion() -> None:
    decided = plan_promotion(request_for(), fleet_state())
    assert (decided.version, decided.source, decided.adopt) == (None, 1, "")
    assert decided.refresh_preferences is not None
    assert (decided.default, decided.publish, decided.blockers) == (True, True, ())


def test_without_a_group_only_template_and_parameter_change() -> None:
    decided = plan_promotion(request_for(), fleet_state(group=None))
    assert decided.refresh_preferences is None
    assert "no Auto Scaling group" in decided.warnings[0]


def test_an_image_that_runs_already_is_only_committed() -> None:
    decided = plan_promotion(request_for(), fleet_state(template=template(OLD, NEW), group=group(2)))
    assert (decided.version, decided.refresh_preferences, decided.default, decided.publish) == (2, None, True, True)


def test_a_group_that_is_half_renewed_goes_on_without_a_way_back() -> None:
    half = group(2, 2, (member(1, 1), member(2, 2)))
    decided = plan_promotion(request_for(), fleet_state(template=template(OLD, NEW), group=half))
    assert decided.refresh_preferences is not None
    assert not decided.refresh_preferences.auto_rollback
    assert any("cannot roll that back" in note for note in decided.warnings)


def test_other_data_makes_another_version() -> None:
    other = template(OLD, NEW)
    changed = LaunchTemplateVersion(2, data(NEW, InstanceType="t3.large"))
    found = fleet_state(template=replace(other, versions={**other.versions, 2: changed}))
    assert plan_promotion(request_for(), found).version is None


def test_defaults_that_ec2_fills_in_do_not_make_another_version() -> None:
    options = {"HttpTokens": "required"}
    told = LaunchTemplateVersion(2, data(NEW, MetadataOptions={**options, "HttpEndpoint": "enabled"}))
    other = template(OLD, NEW)
    found = fleet_state(template=replace(other, versions={**other.versions, 2: told}))
    wished = request_for(overrides={"ImageId": NEW, "InstanceType": "t3.micro", "MetadataOptions": options})
    assert plan_promotion(wished, found).version == 2


REFUSED: list[tuple[FleetState, Image | None, str]] = [
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


@pytest.mark.parametrize(("found", "wanted", "told"), REFUSED)
def test_what_the_preflight_refuses(found: FleetState, wanted: Image | None, told: str) -> None:
    refusals = plan_promotion(request_for(image=wanted), found).blockers
    assert any(told in refusal for refusal in refusals), refusals


def test_a_root_volume_that_is_too_small_is_refused() -> None:
    small = {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 4}}]}
    other = template(OLD)
    found = fleet_state(template=replace(other, versions={1: LaunchTemplateVersion(1, data(OLD, **small))}))
    assert any("root volume of 8 GiB" in refusal for refusal in plan_promotion(request_for(), found).blockers)


def test_unverified_is_loud() -> None:
    decided = plan_promotion(request_for(image=replace(image(), tags={}), unverified=True), fleet_state())
    assert decided.blockers == ()
    assert decided.warnings[0].startswith("UNVERIFIED")


def test_a_trial_that_was_left_is_something_to_do() -> None:
    left = CanaryGroup(group(2, 1, name="guestbook-asg-canary"), 100)
    history = (ReleasePointer(OLD, 1), ReleasePointer(NEW, 2))
    found = fleet_state(template=template(OLD, NEW, default=2), group=group(2), history=history, canary=left)
    decided = plan_promotion(request_for(), found)
    assert (decided.refresh_preferences, decided.end_canary, decided.unchanged) == (None, True, False)


def test_nothing_to_do_is_said() -> None:
    found = fleet_state(
        template=template(OLD, NEW, default=2), group=group(2), history=(ReleasePointer(OLD, 1), ReleasePointer(NEW, 2))
    )
    assert plan_promotion(request_for(), found).unchanged
