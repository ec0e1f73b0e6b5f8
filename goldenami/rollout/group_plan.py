"""States of an Auto Scaling group that block a promotion, with the command that ends each; warnings about others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from goldenami.model.fleet import AutoScalingGroup, GroupInstance
from goldenami.text import seconds

_REFRESH_NEEDS = ("Launch", "Terminate", "AddToLoadBalancer", "HealthCheck", "InstanceRefresh")


def group_blockers(group: AutoScalingGroup, version: int | None, *, transfers_data: bool) -> Iterator[str]:
    """Yield why instances of the group cannot be replaced in its current state.

    Args:
        version: The launch template version to promote; None if it has to be created.
        transfers_data: True if its only instance is replaced by one that gets the data, without an instance refresh.
    """
    if group.mixed:
        yield (
            f"{group.name} has a mixed instances policy, whose overrides a launch template version would replace"
            f" ({_aws('update-auto-scaling-group', group)} --launch-template LaunchTemplateId={group.template_id},"
            f"Version={group.version} drops them)"
        )
    needed = ("AddToLoadBalancer",) if group.target_groups else ()
    suspended = [p for p in (needed if transfers_data else _REFRESH_NEEDS) if p in group.suspended]
    if suspended:
        what = "the new instance would get no requests" if transfers_data else "an instance refresh cannot work"
        resume = f"{_aws('resume-processes', group)} --scaling-processes {' '.join(suspended)}"
        yield f"{', '.join(suspended)} of {group.name} is suspended, so {what} ({resume})"
    yield from _data_blockers(group) if transfers_data else _refresh_blockers(group, version)


def _data_blockers(group: AutoScalingGroup) -> Iterator[str]:
    active = [m for m in group.members if not m.is_leaving]
    if group.desired > 1 or len(active) > 1:
        yield (
            f"{group.name} has {max(group.desired, len(active))} instances, each with its own database: the authoritative copy"
            ' is unknown (set its size to 1, or mode = "rds" under [database])'
        )
        return
    for member in active or group.members:
        if reason := _out_of_service(group, member):
            yield reason
    if active and not active[0].is_standby and group.desired < 1:
        size = f"--max-size {max(1, group.max)} --desired-capacity 1"
        yield (
            f"{group.name} has the desired capacity 0, and would terminate {active[0].id} with its data"
            f" ({_aws('update-auto-scaling-group', group)} {size})"
        )
    for hook in (h for h in group.hooks if h.launching):
        yield (
            f"the lifecycle hook {hook.name} of {group.name} would hold the new instance out of service for up to"
            f" {seconds(hook.timeout)} without an instance in service, then {hook.result}"
            f" ({_aws('delete-lifecycle-hook', group)} --lifecycle-hook-name {hook.name})"
        )
    if group.warm_pool:
        yield f"{group.name} has a warm pool, whose instances have no data ({_aws('delete-warm-pool', group)})"


def _out_of_service(group: AutoScalingGroup, member: GroupInstance) -> str:
    """Return why the only instance cannot be replaced in its lifecycle state, and what ends it; empty if it can."""
    if member.is_standby:
        exits = f"{_aws('exit-standby', group)} --instance-ids {member.id}"
        return f"{member.id} is in Standby: it receives no requests, and {group.name} does not count it ({exits})"
    if member.lifecycle.endswith(":Wait"):
        names = " or ".join(h.name for h in group.hooks if h.launching != member.is_leaving) or "a lifecycle hook"
        complete = f"{_aws('complete-lifecycle-action', group)} --lifecycle-hook-name {names}"
        return (
            f"{member.id} is {member.lifecycle}, held by {names}; wait for it"
            f" ({complete} --instance-id {member.id} --lifecycle-action-result CONTINUE)"
        )
    return "" if member.lifecycle == "InService" else f"{member.id} is {member.lifecycle}; wait until it is in service"


def _refresh_blockers(group: AutoScalingGroup, version: int | None) -> Iterator[str]:
    if group.desired and group.max < group.desired + 1:
        yield (
            f"{group.name} has no room to launch before it terminates: desired {group.desired}, max {group.max}"
            f" (raise [fleet] max to {group.desired + 1} and run ./invoke fleet.create)"
        )
    active = [m for m in group.members if not m.is_leaving]
    kept = kept_members(group, version)
    if group.desired and kept and len(kept) == len(active):
        protected = [m.id for m in kept if not m.is_standby]
        repair = f"{_aws('exit-standby', group)} --instance-ids {kept[0].id}"
        if protected:
            ids = f"--instance-ids {' '.join(protected)}"
            repair = f"{_aws('set-instance-protection', group)} --no-protected-from-scale-in {ids}"
        yield (
            f"an instance refresh would replace no instance: {describe_kept(kept)}, so none can show whether the image works"
            f" ({repair})"
        )


def group_warnings(group: AutoScalingGroup, version: int | None, *, transfers_data: bool) -> Iterator[str]:
    """Yield what the operator should know about the group's state, and what the promotion does about it."""
    if transfers_data:
        for action in group.schedules:
            if any(size not in (None, 1) for size in (action.min, action.max, action.desired)):
                remove = f"{_aws('delete-scheduled-action', group)} --scheduled-action-name {action.name}"
                yield f"the scheduled action {action.name} resizes {group.name}, whose instance has the data ({remove})"
        return
    if kept := kept_members(group, version):
        yield f"not replaced: {describe_kept(kept)}"
    if group.protects_new and any(m.protected for m in group.members):
        yield f"{group.name} protects every new instance from scale-in; the instance refresh replaces them all the same"
    for hook in group.hooks:
        when = "launched" if hook.launching else "terminated"
        yield f"the lifecycle hook {hook.name} may hold each {when} instance for {seconds(hook.timeout)}, which is waited for"
    if group.warm_pool:
        yield "the instance refresh replaces the instances of the warm pool, too"


def kept_members(group: AutoScalingGroup, version: int | None) -> list[GroupInstance]:
    """Return the members of another version that an instance refresh leaves as they are."""
    return [m for m in group.members if group.keeps(m) and m.version != version and not m.is_leaving]


def describe_kept(members: Iterable[GroupInstance]) -> str:
    """Return the instances that keep their version, and why."""
    return ", ".join(
        f"{m.id} keeps version {m.version} ({'in Standby' if m.is_standby else 'protected from scale-in'})"
        for m in members
    )


def _aws(command: str, group: AutoScalingGroup) -> str:
    return f"aws autoscaling {command} --auto-scaling-group-name {group.name}"
