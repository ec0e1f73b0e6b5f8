"""Replace the fleet's instances by those of a launch template version, and roll back if the health gate fails."""

from __future__ import annotations

from goldenami.aws import instance_refreshes, instances
from goldenami.database import membership, transfer
from goldenami.database.release import ReleaseError
from goldenami.database.switchover_model import Switchover
from goldenami.errors import DataError, GateError
from goldenami.model.fleet import AutoScalingGroup
from goldenami.promote import history
from goldenami.promote.plan import PromotionPreflight
from goldenami.rollout import traffic_shift
from goldenami.rollout.context import RolloutContext, get_group
from goldenami.rollout.instance_refresh import InstanceRefreshRollout, restore_group
from goldenami.rollout.monitor import RolloutMonitor
from goldenami.rollout.replace_instance import InstanceReplacement
from goldenami.rollout.timeline_model import NO_CANARY
from goldenami.rollout.traffic_shift import TrafficShift
from goldenami.text import seconds


def roll_out(rollout: RolloutContext, preflight: PromotionPreflight, version: int, why: str) -> str:
    """Bring every instance of the group to a launch template version.

    Returns:
        The id of the instance refresh; empty if the single instance was replaced without one.

    Raises:
        GateError: The health gate failed; the fleet runs the previous version.
    """
    ctx, fleet_state, plan, request = rollout.ctx, preflight.fleet_state, preflight.plan, preflight.request
    if fleet_state.group is not None and fleet_state.group.desired <= 1 and not plan.traffic:
        rollout.record(NO_CANARY, "the fleet has one instance, so its replacement takes all the traffic")
    if request.transfers_data:
        replace_single_instance(rollout, preflight, version, why)
        return ""
    group, template = fleet_state.group, fleet_state.template
    assert group is not None
    assert template is not None
    assert plan.refresh_preferences is not None
    monitor = RolloutMonitor(rollout, version, hook_timeout=group.hook_timeout(launching=True))
    shift = TrafficShift(monitor, group.desired, plan.traffic, request.watch, request.alarms)
    refresh = InstanceRefreshRollout(monitor, group, template.id, version, plan.refresh_preferences, plan.adopt)
    reason = shift.run() if plan.traffic else ""
    if not reason:
        monitor.canary_group = ctx.names.canary_group if plan.traffic or fleet_state.canary else ""
        if plan.adopt:
            ctx.progress.info(f"continuing with the instance refresh {plan.adopt}")
        with ctx.progress.phase(f"replacing {group.desired} instance(s) of {group.name}"):
            reason = refresh.run()
    if not reason and plan.adopt:  # the process that monitored it before was interrupted
        reason = watch_again(rollout, group, version, request.watch)
    if reason:
        raise _roll_back(rollout, preflight, shift, refresh, reason, why)
    return refresh.refresh_id


def watch_again(rollout: RolloutContext, group: AutoScalingGroup, version: int, watch: int) -> str:
    """Monitor instances that an interrupted promotion has put in service, for the whole time; return the failure reason."""
    monitor = RolloutMonitor(rollout, version)
    rollout.record("resumed", f"the promotion was resumed: its instances are monitored again for {seconds(watch)}")
    for _, due in monitor.ticks(watch):
        if due:
            monitor.poll(get_group(rollout.ctx, group.name))
        if reason := monitor.failure_reason(group.grace):
            return reason
    rollout.record(
        "watched", f"{monitor.healthy_count} instance(s) monitored for {seconds(watch)} after the resumption"
    )
    return ""


def resume_replacement(rollout: RolloutContext, preflight: PromotionPreflight, why: str) -> bool:
    """Monitor the target of an interrupted switchover to this image again, before recovery completes the switchover.

    Returns:
        True if there was such a switchover; it is complete.

    Raises:
        GateError: It failed; the source is in service with the current data.
    """
    ctx, request, group = rollout.ctx, preflight.request, preflight.fleet_state.group
    switchover = transfer.load(ctx)
    if group is None or switchover is None or not switchover.data_arrived or switchover.is_reversal:
        return False
    target = instances.get(ctx.aws, switchover.target)
    gone = any(instances.is_terminated(ctx.aws, i) for i in (switchover.source, switchover.target))
    if switchover.backup or gone or target is None or target.image != request.ami:
        return False
    watch = max(request.watch, switchover.watch)
    rollout.record("resumed", f"the promotion was resumed: {target.id} is monitored again for {seconds(watch)}")
    retry = "./invoke rollback tries again"
    replacement = InstanceReplacement(
        rollout,
        switchover,
        group.template_id,
        group.number or switchover.version,
        group.grace,
        watch,
        retry,
        group.name,
    )
    if reason := replacement.resume():
        raise _replacement_error(rollout, preflight, switchover.version, why, reason, replacement)
    return True


def _replacement_error(
    rollout: RolloutContext,
    preflight: PromotionPreflight,
    version: int,
    why: str,
    reason: str,
    replacement: InstanceReplacement,
) -> GateError:
    state = "The previous instance is in service with all data. The production parameter is unchanged."
    if replacement.data_failed:
        return DataError(
            f"{rollout.ctx.name} was not promoted because of its data, not of the image: {reason}",
            state=state,
            next="./invoke db.verify --restore",
        )
    return history.record_rollback(rollout, preflight, version, why, reason, state=state, evidence=replacement.evidence)


def _roll_back(
    rollout: RolloutContext,
    preflight: PromotionPreflight,
    shift: TrafficShift,
    refresh: InstanceRefreshRollout,
    reason: str,
    why: str,
) -> GateError:
    """Restore traffic and group, and delete the canary group; return the error to raise."""
    ctx, group, version = rollout.ctx, refresh.group, refresh.version
    rollout.record("failed", reason)
    if preflight.plan.traffic:
        shift.roll_back()
    if refresh.refresh_id:  # AWS may roll it back by itself, too
        instance_refreshes.roll_back(ctx.aws, group.name)
    evidence = refresh.monitor.save_evidence()
    state = "The production parameter and the template's default version are unchanged."
    if group.number is not None and group.number != version:
        with ctx.progress.phase(f"rolling back to version {group.number}"):
            restore_group(ctx, rollout.held_lock, group.name, refresh.template_id, group.number)
        rollout.record("restored", f"the whole fleet runs version {group.number} again")
        state = f"The fleet is back on version {group.number} and healthy. {state}"
    if migrated := rollout.timeline.first("migrated"):
        state += f" The schema stays newer: {migrated.text}."
    traffic_shift.end(ctx, rollout.held_lock)
    return history.record_rollback(
        rollout, preflight, version, why, reason, state=state, evidence=evidence, refresh=refresh.refresh_id
    )


def replace_single_instance(rollout: RolloutContext, preflight: PromotionPreflight, version: int, why: str) -> None:
    """Replace the group's only instance by one that gets its data, without an instance refresh.

    Raises:
        GateError: The new instance failed; the previous one is in service.
    """
    ctx, group, request = rollout.ctx, preflight.fleet_state.group, preflight.request
    assert group is not None
    members = [m.id for m in group.members if not m.lifecycle.startswith(("Terminat", "Detach"))]
    if len(members) > 1:
        raise GateError(f"{group.name} has {len(members)} instances, each with its own database: {', '.join(members)}")
    if not members:  # an empty group has no data to transfer
        membership.pin_launch_version(ctx, group, version, group.max)
        return
    change = request.storage_change
    switchover = Switchover(
        rollout.run.id,
        members[0],
        version=version,
        max_size=group.max,
        suspended=group.suspended,
        protected=any(m.protected for m in group.members if m.id == members[0]),
        method="backup" if change else transfer.transfer_method(ctx),
        storage_change=change,
        release_step=request.schema is not None and request.schema.has_step,
        source_had_volume=change is not None or transfer.source_has_data(ctx, members[0]),
        watch=request.watch,
    )
    retry = f"./invoke db.migrate --to {change.mode} continues" if change else "./invoke rollback tries again"
    replacement = InstanceReplacement(
        rollout,
        switchover,
        group.template_id,
        previous_version=group.number or version,
        grace=group.grace,
        watch=request.watch,
        retry=retry,
        group=group.name,
    )
    try:
        with ctx.progress.phase(f"replacing the instance of {group.name} and transferring its data"):
            reason = replacement.run()
    except ReleaseError as error:
        history.record_rollback(rollout, preflight, version, why, error.message, state="", evidence=())
        raise
    if reason:
        raise _replacement_error(rollout, preflight, version, why, reason, replacement)
