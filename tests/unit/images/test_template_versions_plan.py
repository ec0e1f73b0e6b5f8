"""Versions of the launch template: those go that nothing launches and no rollback needs, and none of another maker."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st

from goldenami.images.template_versions_plan import decide
from goldenami.model.fleet import FleetState, LaunchTemplate, LaunchTemplateVersion, ReleasePointer
from goldenami.model.references import Reference
from tests.support.fleet_states import NEW, OLD, OTHER, fleet_state, fleet_states, group

OURS = [{"ResourceType": "instance", "Tags": [{"Key": "goldenami:ami", "Value": "x"}]}]
numbers = st.lists(st.sampled_from(["1", "2", "3", "$Latest", "$Default", ""]), max_size=3)


def made(*amis: str, default: int = 1, first: int = 1) -> LaunchTemplate:
    versions = {
        number: LaunchTemplateVersion(number, {"ImageId": ami, "TagSpecifications": OURS})
        for number, ami in enumerate(amis, first)
    }
    return LaunchTemplate("lt-1", "guestbook-template", default, first + len(amis) - 1, versions)


def mark(found: FleetState) -> FleetState:
    """The fleet with all versions of our making."""
    if found.template is None:
        return found
    versions = {n: replace(v, data={**v.data, "TagSpecifications": OURS}) for n, v in found.template.versions.items()}
    return replace(found, template=replace(found.template, versions=versions))


@given(fleet_states(), numbers, st.sets(st.sampled_from([OLD, NEW, OTHER])))
def test_whatever_the_fleet_nothing_of_use_goes(found: FleetState, launched: list[str], targets: set[str]) -> None:
    found = mark(found)
    references = [Reference(f"lt-1:{number}", "group", "a group") for number in launched]
    judged = decide(found, references, sorted(targets))
    gone = {one.version.number for one in judged if not one.reason}
    template = found.template
    if template is None:
        assert judged == ()
        return
    assert {one.version.number for one in judged} == set(template.versions)
    assert not gone & {template.default, template.latest}
    if found.group is not None:
        assert not gone & {member.version for member in found.group.members}
    assert not gone & {int(number) for number in launched if number.isdigit()}
    for image in {*targets, *([found.pointer.ami] if found.pointer else [])}:
        having = {n for n, v in template.versions.items() if v.image == image}
        assert not having or having - gone, "one of them stays"


def test_what_is_of_no_use_goes_and_each_other_says_why() -> None:
    template = made(OTHER, OLD, OLD, NEW, OTHER, NEW, default=6)
    fleet = fleet_state(template=template, group=group(6), history=(ReleasePointer(OLD, 1), ReleasePointer(NEW, 2)))
    told = {one.version.number: one.reason for one in decide(fleet, [], [OLD])}
    assert told == {1: "", 2: "", 3: f"{OLD}: it is a rollback target", 4: "", 5: "", 6: "it is the default"}


def test_a_version_that_somebody_else_made_stays() -> None:
    template = replace(made(OTHER, OTHER, NEW), default=3)
    theirs = LaunchTemplateVersion(1, {"ImageId": OTHER})
    template = replace(template, versions={**template.versions, 1: theirs})
    told = {
        one.version.number: one.reason for one in decide(fleet_state(template=template, group=None, history=()), [], [])
    }
    assert told == {1: "not managed by goldenami", 2: "", 3: "it is the default"}
