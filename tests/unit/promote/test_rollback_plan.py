"""The target of a rollback, also if the production parameter, the template and the group differ."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from goldenami.model.fleet import FleetState, InstanceRefresh, ReleasePointer
from goldenami.promote.rollback_plan import choose_target, drift
from tests.support.fleet_states import NEW, OLD, OTHER, fleet_state, fleet_states, group, image, member, template

KNOWN = {ami: image(ami) for ami in (OLD, NEW, OTHER)}
DONE = fleet_state(
    template=template(OLD, NEW, default=2), group=group(2), history=(ReleasePointer(OLD, 1), ReleasePointer(NEW, 2))
)


def chosen(state: FleetState) -> str:
    target = choose_target(state, KNOWN)
    return target.image.id if target else ""


def test_target_after_a_promotion_is_the_previous_production_image() -> None:
    state = replace(DONE, group=group(2, members=(member(1, 2, image=NEW),)))
    assert chosen(state) == OLD
    assert list(drift(state)) == []


def test_target_is_not_the_same_image_published_again() -> None:
    history = (
        ReleasePointer(OLD, 1),
        ReleasePointer(NEW, 2),
        ReleasePointer(OLD, 3),
        ReleasePointer(NEW, 4),
        ReleasePointer(NEW, 5),
    )
    assert chosen(replace(DONE, history=history)) == OLD


def test_target_of_an_uncommitted_promotion_is_the_production_image() -> None:
    state = fleet_state(template=template(OLD, NEW), group=group(2, members=(member(1, 2, image=NEW),)))
    assert chosen(state) == OLD
    assert len(list(drift(state))) == 2


def test_target_during_an_instance_refresh_is_the_production_image() -> None:
    state = fleet_state(
        template=template(OLD, NEW),
        refreshes=(InstanceRefresh("r", "InProgress", 2),),
        history=(ReleasePointer(OLD, 1),),
    )
    assert chosen(state) == OLD


def test_target_is_never_a_deleted_or_failed_image() -> None:
    history = (ReleasePointer(OTHER, 1), ReleasePointer(OLD, 2), ReleasePointer(NEW, 3))
    state = replace(DONE, history=history)
    bad = KNOWN | {OLD: replace(image(OLD), tags={"goldenami:failed": "boot"})}
    target = choose_target(state, bad)
    assert target is not None
    assert target.image.id == OTHER
    del bad[OTHER]
    assert choose_target(state, bad) is None


def test_no_target_without_a_production_parameter() -> None:
    assert choose_target(fleet_state(history=()), KNOWN) is None


def test_drift_of_an_instance_changed_in_place() -> None:
    drifted = group(2, members=(member(1, 2, image=NEW, drifted="updated to main"),))
    assert list(drift(replace(DONE, group=drifted))) == ["i-1 was changed in place: updated to main"]


@given(fleet_states())
def test_target_of_any_fleet_is_verified_and_was_in_production(state: FleetState) -> None:
    target = choose_target(state, KNOWN)
    list(drift(state))
    if target is not None:
        assert target.image.verified
        assert target.image.id in {pointer.ami for pointer in state.history}


def test_first_image_of_a_fleet_has_no_earlier_version() -> None:
    state = fleet_state(template=template(OLD), group=group(1, members=(member(1, 1, image=OLD),)))
    assert chosen(replace(state, history=(ReleasePointer(OLD, 1),))) == ""


def test_target_is_never_the_running_or_a_retired_image() -> None:
    history = (ReleasePointer(OLD, 1), ReleasePointer(NEW, 2))
    running = replace(DONE, history=history, group=group(2, members=(member(1, 2, image=OLD),)))
    gone = {OLD: KNOWN[OLD]}
    assert choose_target(running, gone) is None
    retired = KNOWN | {OLD: replace(image(OLD), tags={**image(OLD).tags, "goldenami:retired": "slow"})}
    assert choose_target(replace(DONE, group=group(2, members=(member(1, 2, image=NEW),))), retired) is None
