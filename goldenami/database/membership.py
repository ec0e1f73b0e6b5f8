"""The group's side of a switchover: both instances have a copy of the data, and the group must not choose between them.

While the switchover lasts, the group's automatic processes are suspended, and both instances are protected from scale-in. Another
tool may reset the group's size or resume its processes meanwhile (Terraform puts back what its configuration says), so neither
alone is relied on, and sizes are read again before each step.
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenami.aws import auto_scaling, instances, launch_templates, load_balancers
from goldenami.context import Context
from goldenami.database import agent, transfer, volume
from goldenami.database.switchover_model import Switchover
from goldenami.errors import GoldenError
from goldenami.infra import wait
from goldenami.model.fleet import AutoScalingGroup
from goldenami.tools.clock import poll

# Suspended while two instances of the group have a copy of the data.
AUTOMATIC_PROCESSES = (
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
)


def hold(ctx: Context, switchover: Switchover, group: AutoScalingGroup) -> None:
    """Keep the group from terminating the source or the target: suspend its processes, and protect both. Idempotent.

    A member cannot be protected before it is in service; until then, the suspended process Terminate keeps it.
    """
    auto_scaling.suspend(ctx.aws, group.name, [p for p in AUTOMATIC_PROCESSES if p not in group.suspended])
    pair = (switchover.source, switchover.target)
    unprotected = [m.id for m in group.members if m.id in pair and m.can_be_protected and not m.protected]
    auto_scaling.protect(ctx.aws, group.name, unprotected)


def detach(ctx: Context, group: AutoScalingGroup, instance: str) -> None:
    """Detach an instance, if it is a member, and leave the desired capacity at the number of the others.

    The desired capacity does not count an instance in Standby, and may have been reset: to decrement it then would make the group
    terminate the other instance.
    """
    others = [m for m in group.members if m.id != instance and not m.is_leaving and not m.is_standby]
    for member in group.members:
        if member.id == instance and member.can_be_protected:  # the same states can be detached
            decrement = group.desired > len(others)
            if decrement and group.desired - 1 < group.min:
                auto_scaling.update(ctx.aws, {"AutoScalingGroupName": group.name, "MinSize": group.desired - 1})
            auto_scaling.detach(ctx.aws, group.name, instance, decrement=decrement)


def release(ctx: Context, switchover: Switchover, max_size: int, suspended: Sequence[str]) -> None:
    """Return the group to its sizes, protection and processes, with one healthy instance. Idempotent.

    Args:
        max_size: Its maximum size from now on.
        suspended: Its processes that stay suspended.
    """
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if group is None:
        return
    wait.wait_until_healthy(ctx, group.grace)
    sizes = {"MinSize": min(group.min, 1), "MaxSize": max_size, "DesiredCapacity": 1}
    if (group.min, group.max, group.desired) != tuple(sizes.values()):
        auto_scaling.update(ctx.aws, {"AutoScalingGroupName": group.name, **sizes})
    if not switchover.protected:
        pair = (switchover.source, switchover.target)
        protected = [m.id for m in group.members if m.id in pair and m.can_be_protected and m.protected]
        auto_scaling.protect(ctx.aws, group.name, protected, protected=False)
    auto_scaling.resume(ctx.aws, group.name, [p for p in AUTOMATIC_PROCESSES if p not in suspended])


def unready_reason(ctx: Context, switchover: Switchover) -> str:
    """Return why the source must not be terminated yet: the target does not serve, or not with the data; empty if it may be.

    Looked at now: the group and its load balancer, which have the group's grace period to agree, then the data on the target.
    """
    target = switchover.target
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if group is not None:
        for _ in poll(ctx.clock, timeout=group.grace, every=1):
            group = auto_scaling.get(ctx.aws, ctx.names.group) or group
            hold(ctx, switchover, group)
            if any(m.id == target and m.serving for m in group.members):
                break
        else:
            states = [f"{m.lifecycle} {m.target}".rstrip() for m in group.members if m.id == target]
            return f"{target} does not serve in {group.name} ({', '.join(states) or 'not a member'})"
    elif arn := load_balancers.get_target_group(ctx.aws, ctx.names.target_group):
        states = [t.state for t in load_balancers.list_targets(ctx.aws, arn) if t.id == target]
        if states == ["unhealthy"]:
            return f"{target} is unhealthy in {ctx.names.target_group}"
    if instances.is_terminated(ctx.aws, target):
        return f"{target} was terminated"
    if switchover.storage_mode == "volume":
        return "" if volume.is_attached_to(ctx, target) else f"the volume with the data is not attached to {target}"
    data = agent.inspect(ctx, target)
    if not data.reachable or data.fenced_by:
        return (
            f"the data of {target} cannot be inspected: {data.reason or f'its writes are stopped ({data.fenced_by})'}"
        )
    if switchover.storage_mode != "instance":
        return ""
    try:  # repeated, this confirms that the database on it is the one that was transferred
        agent.run(ctx, target, "swap-in", backup=transfer.backup_id(switchover))
    except GoldenError as error:
        return f"the data of {target} is not what was transferred to it: {error.message}"
    return ""


def attach_target(ctx: Context, switchover: Switchover) -> None:
    """Attach the target to the group, raise the group's maximum for it, and keep the group from terminating either instance."""
    group = auto_scaling.get(ctx.aws, ctx.names.group)
    if group is None:
        return
    hold(ctx, switchover, group)
    if any(m.id == switchover.target for m in group.members):
        return
    if group.max < group.desired + 1:
        auto_scaling.update(ctx.aws, {"AutoScalingGroupName": group.name, "MaxSize": group.desired + 1})
    auto_scaling.attach(ctx.aws, group.name, switchover.target)


def unprotected_reason(ctx: Context, switchover: Switchover, timeout: float) -> str:
    """Wait until the attached target is protected; return why it is not, empty if it is or there is no group.

    Before it is in service it cannot be protected, and only the suspended process Terminate keeps it.

    Args:
        timeout: Seconds that it has to come into service.
    """
    target = switchover.target
    for _ in poll(ctx.clock, timeout=timeout, every=0.5):
        group = auto_scaling.get(ctx.aws, ctx.names.group)
        if group is None:
            return ""
        hold(ctx, switchover, group)
        member = next((m for m in group.members if m.id == target), None)
        if member is None or member.is_leaving:
            return f"{group.name} terminated {target} before it could be protected"
        if member.protected:
            return ""
    return f"{target} does not come into service in {ctx.names.group}"


def pin_launch_version(ctx: Context, group: AutoScalingGroup, version: int, max_size: int) -> None:
    """Set the launch template version that the group launches, and its maximum size."""
    template = launch_templates.get(ctx.aws, ctx.names.launch_template)
    assert template is not None
    specification = {"LaunchTemplateId": template.id, "Version": str(version)}
    settings = {"AutoScalingGroupName": group.name, "MaxSize": max_size, "LaunchTemplate": specification}
    auto_scaling.update(ctx.aws, settings)
