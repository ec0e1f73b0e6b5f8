"""What of a group's state blocks a promotion, with the command that ends it; and what is kept by an instance refresh."""

from __future__ import annotations

from dataclasses import replace

import pytest

from goldenami.model.auto_scaling import InstanceRefresh, LifecycleHook, ScheduledAction
from goldenami.model.fleet import AutoScalingGroup
from goldenami.promote.plan import plan_promotion
from goldenami.promote.rollback_plan import choose_target
from goldenami.rollout.instance_refresh import is_complete
from goldenami.rollout.plan import refresh_preferences
from tests.support.fleet_states import NEW, OLD, fleet_state, group, image, member, request_for, template

LAUNCH, END = LifecycleHook("warm", True, 600, "ABANDON"), LifecycleHook("drain", False, 600, "CONTINUE")


def one(lifecycle: str = "InService", **more: object) -> AutoScalingGroup:
    """A group of one instance in a lifecycle state."""
    return replace(group(members=(member(0, 1, lifecycle=lifecycle),)), **more)  # type: ignore[arg-type]


ENDED_BY: list[tuple[AutoScalingGroup, str]] = [
    (
        one("Standby", desired=0),
        "aws autoscaling exit-standby --auto-scaling-group-name guestbook-asg --instance-ids i-0",
    ),
    (
        one("Pending:Wait", hooks=(LAUNCH,)),
        "complete-lifecycle-action --auto-scaling-group-name guestbook-asg --lifecycle-hook-name warm",
    ),
    (one("Terminating:Wait", hooks=(END,)), "held by drain"),
    (one("Terminating"), "i-0 is Terminating; wait until it is in service"),
    (
        one(desired=0, max=0),
        "update-auto-scaling-group --auto-scaling-group-name guestbook-asg --max-size 1 --desired-capacity 1",
    ),
    (
        one(suspended=("AddToLoadBalancer",), target_groups=("arn",)),
        "resume-processes --auto-scaling-group-name guestbook-asg --scaling-processes AddToLoadBalancer",
    ),
    (one(hooks=(LAUNCH,)), "delete-lifecycle-hook --auto-scaling-group-name guestbook-asg --lifecycle-hook-name warm"),
    (one(warm_pool=True), "delete-warm-pool"),
    (one(mixed=True), "mixed instances policy"),
    (group(desired=1, members=(member(0, 1), member(1, 1))), "the authoritative copy is unknown"),
]


@pytest.mark.parametrize(("state", "command"), ENDED_BY)
def test_group_that_endangers_the_data_is_refused_with_the_command_that_ends_it(
    state: AutoScalingGroup, command: str
) -> None:
    request = request_for(transfers_data=True)
    reasons = plan_promotion(request, fleet_state(group=state)).blockers
    assert any(command in reason for reason in reasons), reasons


@pytest.mark.parametrize(
    "state",
    [
        one(min=0),
        one(hooks=(END,)),
        one(suspended=("Launch", "Terminate", "HealthCheck", "AZRebalance", "ReplaceUnhealthy")),
        one(suspended=("AddToLoadBalancer",)),
        group(members=(member(0, 1), member(1, 1, lifecycle="Terminating"))),
    ],
)
def test_group_that_does_not_endanger_the_data_is_not_refused(state: AutoScalingGroup) -> None:
    assert plan_promotion(request_for(transfers_data=True), fleet_state(group=state)).blockers == ()


def test_scheduled_action_that_resizes_the_group_is_a_warning() -> None:
    state = one(schedules=(ScheduledAction("nightly", desired=0), ScheduledAction("daily", min=1, max=1)))
    notes = plan_promotion(request_for(transfers_data=True), fleet_state(group=state)).warnings
    assert [note for note in notes if "scheduled" in note] == [
        "the scheduled action nightly resizes guestbook-asg, whose instance has the data (aws autoscaling"
        " delete-scheduled-action --auto-scaling-group-name guestbook-asg --scheduled-action-name nightly)"
    ]


KEPT = (member(0, 1, protected=True), member(1, 1), member(2, 1, lifecycle="Standby", target="unused"))


def test_refresh_names_the_instances_that_it_keeps() -> None:
    plan = plan_promotion(request_for(), fleet_state(group=group(desired=2, members=KEPT)))
    assert plan.blockers == ()
    assert (
        "not replaced: i-0 keeps version 1 (protected from scale-in), i-2 keeps version 1 (in Standby)" in plan.warnings
    )
    assert plan.refresh_preferences is not None
    assert plan.refresh_preferences.protected == "Ignore"


def test_refresh_that_would_replace_nothing_is_refused() -> None:
    state = group(desired=1, members=(KEPT[0], KEPT[2]))
    (reason,) = plan_promotion(request_for(), fleet_state(group=state)).blockers
    assert "would replace no instance" in reason
    assert "--no-protected-from-scale-in --instance-ids i-0" in reason


def test_refresh_replaces_instances_that_the_group_protects_as_every_new_one() -> None:
    state = group(desired=1, members=(KEPT[0],), protects_new=True)
    plan = plan_promotion(request_for(), fleet_state(group=state))
    assert plan.blockers == ()
    assert plan.refresh_preferences is not None
    assert plan.refresh_preferences.protected == "Refresh"


def test_promoted_fleet_with_a_kept_instance_is_unchanged_and_rolls_back_to_the_version_before() -> None:
    members = (member(0, 1, protected=True, image=OLD), member(1, 2, image=NEW))
    state = fleet_state(
        template=template(OLD, NEW, default=2),
        group=group(2, 2, members),
        refreshes=(InstanceRefresh("r", "Successful", 2),),
        history=(*fleet_state().history, replace(fleet_state().history[0], ami=NEW, version=2)),
    )
    assert plan_promotion(request_for(), state).unchanged
    target = choose_target(state, {OLD: image(OLD), NEW: image(NEW)})
    assert target is not None
    assert target.image.id == OLD


def test_refresh_is_complete_with_instances_that_it_keeps_and_those_that_a_hook_holds() -> None:
    new, held = member(1, 2), member(3, 1, lifecycle="Terminating:Wait")
    assert is_complete(group(2, 2, (KEPT[0], new, KEPT[2], held)), 2)
    assert not is_complete(group(2, 2, (replace(KEPT[0], protected=False), new)), 2)
    assert is_complete(group(2, 2, (replace(KEPT[0], protected=False), new)), 2, {"i-0"}), (
        "its protection has ended since"
    )
    assert not is_complete(group(2, 3, (KEPT[0], new, KEPT[2])), 2), "one is missing"


@pytest.mark.parametrize(("desired", "kept"), [(2, 1), (4, 1), (10, 3)])
def test_canary_is_a_part_of_the_instances_that_are_replaced(desired: int, kept: int) -> None:
    preferences = refresh_preferences(desired, request_for(canary=25, watch=60), kept=kept)
    if desired - kept == 1:
        assert (preferences.checkpoints, preferences.warmup) == ((), 60)
        return
    first = preferences.checkpoints[0] * desired / 100
    assert kept < first + 1
    assert first < desired, "also if AWS counts the kept ones as updated, one is replaced before the pause"
