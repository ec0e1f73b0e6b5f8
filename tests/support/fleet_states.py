"""States of a fleet for tests: any that may occur, drawn by hypothesis, and simple ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from goldenami.model.auto_scaling import InstanceRefresh
from goldenami.model.fleet import (
    AutoScalingGroup,
    CanaryGroup,
    FleetState,
    GroupInstance,
    LaunchTemplate,
    LaunchTemplateVersion,
    ReleasePointer,
)
from goldenami.model.image import Image
from goldenami.promote.plan import PromotionPlan
from goldenami.rollout.request_model import RolloutRequest

OLD, NEW, OTHER = (f"ami-{digit * 17}" for digit in "123")


def data(ami: str, **more: Any) -> dict[str, Any]:
    return {"ImageId": ami, "InstanceType": "t3.micro", "SecurityGroupIds": ["sg-1"], **more}


def image(ami: str = NEW, **more: Any) -> Image:
    tags = more.pop("tags", {"goldenami:verified": "2026-01-01T00:00:00Z"})
    return Image(
        ami, "guestbook-golden-v1.1", "available", "x86_64", "2026-01-01T00:00:00Z", size_gib=8, tags=tags, **more
    )


def request_for(ami: str = NEW, **more: Any) -> RolloutRequest:
    given: dict[str, Any] = {"ami": ami, "image": image(ami), "overrides": {"ImageId": ami, "InstanceType": "t3.micro"}}
    return RolloutRequest(**(given | more))


def template(*amis: str, default: int = 1) -> LaunchTemplate:
    versions = {number: LaunchTemplateVersion(number, data(ami)) for number, ami in enumerate(amis, 1)}
    return LaunchTemplate("lt-1", "guestbook-template", default, len(amis), versions)


def member(number: int, version: int, *, healthy: bool = True, target: str = "healthy", **more: Any) -> GroupInstance:
    return GroupInstance(f"i-{number}", version, more.pop("lifecycle", "InService"), healthy, target=target, **more)


def group(
    version: int | str = 1, desired: int = 1, members: tuple[GroupInstance, ...] | None = None, **more: Any
) -> AutoScalingGroup:
    if members is None:
        members = tuple(member(n, int(version)) for n in range(desired))
    name = more.pop("name", "guestbook-asg")
    return AutoScalingGroup(name, "lt-1", str(version), 1, more.pop("max", 5), desired, members, **more)


def fleet_state(**more: Any) -> FleetState:
    given: dict[str, Any] = {"template": template(OLD), "group": group(), "history": (ReleasePointer(OLD, 1),)}
    return FleetState(**(given | more))


@st.composite
def fleet_states(draw: st.DrawFn, *, calm: bool = False) -> FleetState:
    """Any state: partly refreshed, unhealthy, without a group, during an instance refresh, with an old production parameter.

    A calm one has nothing that blocks a promotion because of the group.
    """
    amis = [OLD, *draw(st.lists(st.sampled_from([OLD, NEW, OTHER]), max_size=3))]
    count = len(amis)
    launch_template = draw(
        (st.nothing() if calm else st.none()) | st.just(template(*amis, default=draw(st.integers(1, count))))
    )
    history = tuple(
        ReleasePointer(ami, number)
        for number, ami in enumerate(draw(st.lists(st.sampled_from([OLD, NEW]), max_size=3)), 1)
    )
    if launch_template is None or draw(st.integers(0, 9)) == 0:
        return FleetState(template=launch_template, history=history)
    desired = draw(st.integers(0, 12))
    members = tuple(
        member(
            number,
            draw(st.integers(1, count)),
            healthy=draw(st.booleans()),
            target=draw(st.sampled_from(["healthy", "initial", "unhealthy", "draining"])),
            lifecycle=draw(st.sampled_from(["InService", "InService", "Pending", "Terminating", "Standby"])),
            protected=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, desired + 2)))
    )
    version = draw(st.sampled_from([*map(str, range(1, count + 1)), *([] if calm else ["$Latest", "$Default"])]))
    status = draw(st.sampled_from(["Pending", "InProgress", "Baking", "RollbackInProgress", "Successful", "Failed"]))
    status = "Failed" if calm else status
    refreshes = (
        (InstanceRefresh("r-1", status, draw(st.none() | st.integers(1, count))),) if draw(st.booleans()) else ()
    )
    suspended = ("Launch",) if not calm and draw(st.integers(0, 9)) == 0 else ()
    max_size = draw(st.integers(max(desired, 1) + calm, desired + 3))
    target_groups = ("arn:tg",) if draw(st.booleans()) else ()
    own = group(version, desired, members, max=max_size, suspended=suspended, target_groups=target_groups)
    canary = CanaryGroup(group(draw(st.integers(1, count)), 2, name="guestbook-asg-canary"), draw(st.integers(0, 100)))
    return FleetState(launch_template, own, refreshes, history, canary if draw(st.booleans()) else None)


def applied(fleet_state: FleetState, request: RolloutRequest, plan: PromotionPlan, upto: int) -> FleetState:
    """The fleet after the first `upto` effects of a plan: version, refresh started, refresh done, default, parameter.

    A canary group exists from the version on until the refresh is done; it is deleted before the default changes.
    """
    template, own = fleet_state.template, fleet_state.group
    assert template is not None
    number = plan.version
    if upto >= 1 and number is None:
        assert fleet_state.source_version is not None
        number = template.latest + 1
        version = LaunchTemplateVersion(number, {**fleet_state.source_version.data, **request.overrides})
        template = LaunchTemplate(
            template.id, template.name, template.default, number, {**template.versions, number: version}
        )
    refreshes = fleet_state.refreshes
    if plan.refresh_preferences is not None and own is not None:
        if upto == 2 and not plan.adopt:
            refreshes = (InstanceRefresh("r-2", "InProgress", number), *refreshes)
        if upto >= 3:
            assert number is not None
            members = tuple(member(n, number) for n in range(own.desired))
            own = replace(own, version=str(number), members=members)
            refreshes = (InstanceRefresh("r-2", "Successful", number),)
    if upto >= 4 and number is not None:
        template = LaunchTemplate(template.id, template.name, number, template.latest, template.versions)
    history = fleet_state.history
    if upto >= 5 and plan.publish:
        history = (*history, ReleasePointer(request.ami, len(history) + 1))
    canary = fleet_state.canary if upto < 4 else None
    if plan.traffic and 1 <= upto < 4:
        canary = CanaryGroup(group(number or 1, 2, name="guestbook-asg-canary"), 50 if upto == 1 else 100)
    return FleetState(template, own, refreshes, history, canary)
