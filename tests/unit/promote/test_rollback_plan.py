"""What a rollback goes back to, also when pointer, template and group do not agree."""

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


def chosen(found: FleetState) -> str:
    choice = choose_target(found, KNOWN)
    return choice.image.id if choice else ""


def test_after_a_promotion_it_is_what_the_pointer_named_before() -> None:
    found = replace(DONE, group=group(2, members=(member(1, 2, image=NEW),)))
    assert chosen(found) == OLD
    assert list(drift(found)) == []


def test_the_same_image_published_again_is_not_an_earlier_one() -> None:
    history = (
        ReleasePointer(OLD, 1),
        ReleasePointer(NEW, 2),
        ReleasePointer(OLD, 3),
        ReleasePointer(NEW, 4),
        ReleasePointer(NEW, 5),
    )
    assert chosen(replace(DONE, history=history)) == OLD


def test_a_promotion_that_died_before_its_commit_goes_back_to_the_pointer() -> None:
    found = fleet_state(template=template(OLD, NEW), group=group(2, members=(member(1, 2, image=NEW),)))
    assert chosen(found) == OLD
    assert len(list(drift(found))) == 2


def test_a_refresh_under_way_is_a_reason_to_go_back_to_the_pointer() -> None:
    found = fleet_state(
        template=template(OLD, NEW),
        refreshes=(InstanceRefresh("r", "InProgress", 2),),
        history=(ReleasePointer(OLD, 1),),
    )
    assert chosen(found) == OLD


def test_images_that_are_gone_or_refused_are_passed_over() -> None:
    history = (ReleasePointer(OTHER, 1), ReleasePointer(OLD, 2), ReleasePointer(NEW, 3))
    found = replace(DONE, history=history)
    bad = KNOWN | {OLD: replace(image(OLD), tags={"goldenami:failed": "boot"})}
    choice = choose_target(found, bad)
    assert choice is not None
    assert choice.image.id == OTHER
    del bad[OTHER]
    assert choose_target(found, bad) is None


def test_without_a_pointer_there_is_nothing_to_go_back_to() -> None:
    assert choose_target(fleet_state(history=()), KNOWN) is None


def test_a_machine_that_was_changed_in_place_is_told() -> None:
    drifted = group(2, members=(member(1, 2, image=NEW, drifted="updated to main"),))
    assert list(drift(replace(DONE, group=drifted))) == ["i-1 was changed in place: updated to main"]


@given(fleet_states())
def test_whatever_the_fleet_the_choice_is_good_and_not_what_the_pointer_has_alone(found: FleetState) -> None:
    choice = choose_target(found, KNOWN)
    list(drift(found))
    if choice is not None:
        assert choice.image.verified
        assert choice.image.id in {pointer.ami for pointer in found.history}
